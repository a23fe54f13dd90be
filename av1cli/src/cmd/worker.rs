//! `av1cli worker`

use std::env;
use std::path::Path;

use av1net::client::{Client, MasterAddress, Token};
use av1net::config::{Loaded, Origin};
use av1net::http::local_token;
use av1net::master::local_address;
use av1net::worker::{self, WorkerControl, WorkerError, WorkerSummary};

use super::runtime::{Wish, Wishes, serve};
use super::{config, local};
use crate::args::WorkerArgs;
use crate::exit::{Exit, Usage};
use crate::out;
use crate::settings::state::state_directory;
use crate::text;

/// The variable in the command that a master prints; `AV1_TOKEN` is the key's own.
const TOKEN: &str = "AV1CLI_TOKEN";

pub(super) fn run(args: WorkerArgs) -> anyhow::Result<Exit> {
    let loaded = config::load(args.config)?;
    let state = state_directory(&loaded.config)?;
    let address = address(args.master, &state)?;
    let client = Client::new(
        address.clone(),
        token(&loaded, &address, &state),
        loaded.config.tls_ca.as_deref(),
    )?;
    serve(work(loaded, client, &state))
}

/// The master that was named, or the one of this machine and user.
fn address(named: Option<MasterAddress>, state: &Path) -> anyhow::Result<MasterAddress> {
    if let Some(address) = named {
        return Ok(address);
    }
    let found = local_address(state).and_then(|text| text.parse().ok());
    found.ok_or_else(|| {
        let message = "name the master's address, such as http://192.168.1.10:8090: no master \
                       of this user runs on this machine";
        Usage(message.to_owned()).into()
    })
}

/// What to join with. A token of this machine goes to masters of this machine alone.
fn token(loaded: &Loaded, address: &MasterAddress, state: &Path) -> Option<Token> {
    if let Some(token) = &loaded.config.token {
        let origin = loaded.origins.get("token").unwrap_or(&Origin::Default);
        return Some(Token::new(token, origin.to_string()));
    }
    if let Some(token) = env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
        return Some(Token::new(token, TOKEN));
    }
    let local = address.is_loopback().then(|| local_token(state)).flatten();
    local.map(|token| Token::new(token, state.display().to_string()))
}

async fn work(mut loaded: Loaded, client: Client, state: &Path) -> anyhow::Result<Exit> {
    let control = WorkerControl::new();
    let mut wishes = Wishes::new()?;
    let config = local::worker(&loaded.config, state)?;
    for warning in &config.warnings {
        out::note(&format!("warning: {warning}"));
    }
    let (name, address) = (config.name.clone(), client.address().to_string());
    out::say(&format!("{name} works for the master at {address}"))?;
    let transport = worker::Transport::Master(client);
    let work = worker::run(config, transport, control.clone());
    let mut work = std::pin::pin!(work);
    let mut stops = 0;
    loop {
        tokio::select! {
            ended = work.as_mut() => return told(ended, stops),
            wish = wishes.next() => match wish {
                Wish::HangUp => {
                    if let Some(next) = config::reload(&loaded) {
                        control.tune(local::tuning(&next.config)?);
                        loaded = next;
                    }
                }
                Wish::Stop => {
                    stops += 1;
                    stop(&control, stops);
                }
            }
        }
    }
}

/// The first wish lets what runs end, the second does not, the third does not wait.
fn stop(control: &WorkerControl, stops: u32) {
    match stops {
        1 => {
            control.drain();
            out::note("It ends when what runs is done; once more (Ctrl-C, SIGTERM) ends it now.");
        }
        2 => {
            control.abort();
            out::note("It gives back what runs, and ends.");
        }
        _ => std::process::exit(Exit::CANCELLED.code.into()),
    }
}

fn told(ended: Result<WorkerSummary, WorkerError>, stops: u32) -> anyhow::Result<Exit> {
    let summary = ended?;
    let WorkerSummary {
        replaced,
        delivered,
        left_alone,
        failed,
        handed_back,
        saved_bytes,
        ..
    } = summary;
    let saved = u64::try_from(saved_bytes).map_or("0 B".to_owned(), text::bytes);
    let shrunk = text::count(replaced, "film");
    // The master puts those in their place, and tells what they save.
    let brought_back = match delivered {
        0 => String::new(),
        films => format!("{films} brought back to the master, "),
    };
    out::say(&format!(
        "{shrunk} shrunk ({saved} saved), {brought_back}{left_alone} left alone, {failed} failed, \
         {handed_back} given back"
    ))?;
    Ok(if stops > 1 {
        Exit::CANCELLED
    } else {
        Exit::DONE
    })
}
