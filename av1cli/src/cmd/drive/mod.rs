//! Commands that drive a master over its API: one call or a few, and what came of them.

mod act;
mod jobs;
mod workers;

use std::path::PathBuf;

use av1net::api::{RootView, ScanRequest};
use av1net::client::{Client, DEFAULT_PORT, MasterAddress, Token};
use av1net::config::Sources;
use av1net::http::local_admin_token;
use av1net::master::local_address;
use av1net::units::RootId;

use super::runtime::block_on;
use crate::args::{Drive, ReachArgs, ScanArgs, StatusArgs};
use crate::exit::{Exit, NoSuch};
use crate::out;
use crate::render::api;
use crate::settings::state::state_directory;

/// Runs one of these commands.
pub(super) fn run(command: Drive) -> anyhow::Result<Exit> {
    match command {
        Drive::Status(args) => block_on(status(args)),
        Drive::Jobs(args) => block_on(jobs::run(args)),
        Drive::Workers(args) => block_on(workers::list(args)),
        Drive::Scan(args) => block_on(scan(args)),
        Drive::Cancel(args) => block_on(act::cancel(args)),
        Drive::Retry(args) => block_on(act::retry(args)),
        Drive::Skip(args) => block_on(act::skip(args)),
        Drive::Priority(args) => block_on(act::priority(args)),
        Drive::Drain(args) => block_on(workers::drain(args)),
        Drive::Pause(args) => block_on(workers::pause(args)),
        Drive::Resume(args) => block_on(workers::resume(args)),
    }
}

/// A client of the master that was named, else of the one that runs here, else of the
/// contract's port on this machine.
fn client(reach: ReachArgs) -> anyhow::Result<Client> {
    // Without a folder for state there is no master of this user, and no token of it.
    let state = own_state().ok();
    let running = || local_address(state.as_deref()?)?.parse().ok();
    let here = || MasterAddress::local(DEFAULT_PORT, false);
    let address = reach.master.or_else(running).unwrap_or_else(here);
    let own = || {
        let state = state.as_deref().filter(|_| address.is_loopback())?;
        Some(Token::new(
            local_admin_token(state)?,
            state.display().to_string(),
        ))
    };
    let named = reach.token.filter(|token| !token.is_empty());
    let named = named.map(|token| Token::new(token, "--token or AV1CLI_TOKEN"));
    let token = named.or_else(own);
    Ok(Client::new(address, token, reach.tls_ca.as_deref())?)
}

/// Where a master of this user on this machine keeps its state: by the same
/// configuration and environment, which may well be about something else.
fn own_state() -> anyhow::Result<PathBuf> {
    let loaded = Sources::new(None)?.load();
    state_directory(&loaded.map(|loaded| loaded.config).unwrap_or_default())
}

async fn status(args: StatusArgs) -> anyhow::Result<Exit> {
    let client = client(args.reach)?;
    let status = client.status().await?;
    if args.json {
        out::json_pretty(&status)?;
    } else {
        for line in api::status(&status, &client.address().to_string()) {
            out::say(&line)?;
        }
    }
    Ok(Exit::DONE)
}

async fn scan(args: ScanArgs) -> anyhow::Result<Exit> {
    let client = client(args.reach)?;
    let mut roots = vec![None];
    if !args.roots.is_empty() {
        let known = client.status().await?.roots;
        let named = args
            .roots
            .iter()
            .map(|name| root_named(&known, name).map(Some));
        roots = named.collect::<anyhow::Result<_>>()?;
    }
    for root in roots {
        let force = args.force;
        client.scan(&ScanRequest { root, force }).await?;
    }
    out::say("The scan is asked for; `av1cli status` shows how far it is.")?;
    Ok(Exit::DONE)
}

/// The media directory of a path, as the master names it, or of an identity.
fn root_named(roots: &[RootView], name: &str) -> anyhow::Result<RootId> {
    let trimmed = name.trim_end_matches('/');
    let found = roots.iter().find(|root| {
        let is_path = root.path.trim_end_matches('/') == trimmed;
        is_path || root.id.as_ref().is_some_and(|id| id.0 == name)
    });
    match found.and_then(|root| root.id.clone()) {
        Some(id) => Ok(id),
        None => {
            let paths: Vec<_> = roots.iter().map(|root| root.path.as_str()).collect();
            let message = format!(
                "{name} is no media directory of the master; it has {}",
                if paths.is_empty() {
                    "none".to_owned()
                } else {
                    paths.join(", ")
                }
            );
            Err(NoSuch(message).into())
        }
    }
}
