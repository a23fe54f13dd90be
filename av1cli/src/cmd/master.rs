//! `av1cli master`

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf, absolute};
use std::pin::Pin;

use anyhow::Context;
use av1net::api::Role;
use av1net::clock;
use av1net::config::{AuthKey, Loaded};
use av1net::http::{Tokens, join_command};
use av1net::master::Master;
use av1net::worker::{self, WorkerControl, WorkerError, WorkerSummary};

use super::follow::{Follower, Show};
use super::runtime::{Wish, Wishes, serve};
use super::{config, local};
use crate::args::MasterArgs;
use crate::exit::{Exit, Usage};
use crate::out;
use crate::render::library::{Tally, finished};
use crate::settings::state::state_directory;
use crate::text;

/// More films than a person looks through are summed up alone.
const LONGEST_TABLE: usize = 200;

/// What the command was told beside the configuration.
#[derive(Clone, Copy)]
struct How {
    local_worker: bool,
    until_done: bool,
    talks: bool,
}

/// Whether films are told of in lines: to a person, and where their end is waited for. A
/// service has its log.
fn talks(args: &MasterArgs) -> bool {
    args.until_done || io::stdout().is_terminal()
}

/// What is logged where the environment says nothing.
pub(super) fn log_filter(args: &MasterArgs) -> &'static str {
    if talks(args) {
        "warn"
    } else {
        "warn,av1net=info"
    }
}

pub(super) fn run(args: MasterArgs) -> anyhow::Result<Exit> {
    let how = How {
        local_worker: args.local_worker,
        until_done: args.until_done,
        talks: talks(&args),
    };
    let mut config = args.config;
    if !args.directories.is_empty() {
        config = config.set("media_directories", directories(&args.directories)?);
    }
    let loaded = config::load(config)?;
    if loaded.config.media_directories.is_empty() {
        let message = "no folders to scan for films: name them, or set `media_directories` in \
                       config.json";
        return Err(Usage(message.to_owned()).into());
    }
    let state = state_directory(&loaded.config)?;
    serve(master(loaded, &state, how))
}

fn directories(named: &[PathBuf]) -> anyhow::Result<Vec<serde_json::Value>> {
    let text = |path: &PathBuf| {
        let path = absolute(path).with_context(|| format!("{}", path.display()))?;
        match path.to_str() {
            Some(text) => Ok(text.into()),
            None => Err(Usage(format!("{}: the path has to be UTF-8", path.display())).into()),
        }
    };
    named.iter().map(text).collect()
}

/// The worker within, while it runs.
type Work = Pin<Box<dyn Future<Output = Result<WorkerSummary, WorkerError>>>>;

async fn master(mut loaded: Loaded, state: &Path, how: How) -> anyhow::Result<Exit> {
    let mut wishes = Wishes::new()?;
    let began = clock::now();
    let master = Master::start(loaded.clone(), state).await?;
    for line in greeting(&master, &loaded, state)? {
        out::say(&line)?;
    }
    let control = WorkerControl::new();
    let mut work: Option<Work> = None;
    if how.local_worker {
        let config = local::worker(&loaded.config, state)?;
        let transport = local::transport(master.core());
        work = Some(Box::pin(worker::run(config, transport, control.clone())));
    }
    let show = if how.talks { Show::Lines } else { Show::Quiet };
    let mut follower = Follower::new(master.core().clone(), began, show, false).await;
    let mut course = Course::default();
    let exit = loop {
        tokio::select! {
            followed = follower.next() => {
                followed?;
                if let Some(exit) = course.on(&mut follower, how).await? {
                    break exit;
                }
            }
            ended = alive(&mut work) => {
                work = None;
                match ended {
                    Ok(_) => tracing::warn!("the worker within has ended"),
                    Err(error) => return Err(error.into()),
                }
            }
            wish = wishes.next() => match wish {
                Wish::Stop => break Exit::CANCELLED,
                Wish::HangUp => {
                    if let Some(next) = config::reload(&loaded) {
                        master.core().reconfigure(next.clone());
                        control.tune(local::tuning(&next.config)?);
                        loaded = next;
                    }
                }
            }
        }
    };
    stop(master, work, &control, &mut wishes, exit).await
}

/// Ends the worker within, then the master. A service that is stopped has done what it
/// was asked to.
async fn stop(
    master: Master,
    mut work: Option<Work>,
    control: &WorkerControl,
    wishes: &mut Wishes,
    exit: Exit,
) -> anyhow::Result<Exit> {
    if exit == Exit::CANCELLED {
        out::note("The master stops; once more (Ctrl-C, SIGTERM) does not wait for that.");
    }
    control.abort();
    let stopped = async {
        if work.is_some() {
            alive(&mut work).await?;
        }
        master.stop().await;
        anyhow::Ok(())
    };
    tokio::select! {
        stopped = stopped => stopped?,
        () = wishes.stop() => std::process::exit(Exit::CANCELLED.code.into()),
    }
    Ok(if exit == Exit::CANCELLED {
        Exit::DONE
    } else {
        exit
    })
}

async fn alive(work: &mut Option<Work>) -> Result<WorkerSummary, WorkerError> {
    match work {
        Some(work) => work.await,
        None => std::future::pending().await,
    }
}

/// What is told once on the way.
#[derive(Default)]
struct Course {
    scanned: bool,
    done: bool,
}

impl Course {
    /// What there is to say now; an exit where the master is to end.
    async fn on(&mut self, follower: &mut Follower, how: How) -> anyhow::Result<Option<Exit>> {
        if !self.scanned && follower.is_scanned().await {
            self.scanned = true;
            let found = follower.found().await?;
            out::say(&format!("{} to look into", text::count(found, "film")))?;
            for root in follower.roots().await {
                if let Some(problem) = root.problem {
                    out::note(&format!("warning: {}: {problem}", root.path));
                }
            }
        }
        if !how.talks || self.done || !self.scanned || !follower.is_done().await? {
            return Ok(None);
        }
        self.done = true;
        let ended = follower.ended().await?;
        let tally = Tally::of(&ended);
        table(&ended, &tally, follower)?;
        if !how.until_done {
            out::say("The library is done. The master goes on serving; Ctrl-C ends it.")?;
            return Ok(None);
        }
        Ok(Some(if tally.failed > 0 {
            Exit::SOME_FAILED
        } else {
            Exit::DONE
        }))
    }
}

fn table(ended: &[av1net::api::JobView], tally: &Tally, follower: &Follower) -> anyhow::Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    out::say("")?;
    if ended.len() <= LONGEST_TABLE {
        for line in finished(ended, follower.names(), tally) {
            out::say(&line)?;
        }
        out::say("")?;
    }
    for line in tally.lines() {
        out::say(&line)?;
    }
    Ok(())
}

/// Where everything is, for whoever starts it.
fn greeting(master: &Master, loaded: &Loaded, state: &Path) -> anyhow::Result<Vec<String>> {
    let config = &loaded.config;
    let tokens = match config.auth {
        AuthKey::Token => Some(Tokens::open(state)?),
        AuthKey::None => None,
    };
    let mut lines = vec![format!("av1cli {} master", env!("CARGO_PKG_VERSION"))];
    let mut line = |name: &str, text: String| lines.push(format!("  {name:<8} {text}"));
    if let (Some(address), Some(url)) = (master.address(), master.url()) {
        let tls = url.starts_with("https:");
        let token = tokens.as_ref().map(|tokens| tokens.of(Role::Worker));
        let join = join_command(address, tls, token);
        // The command ends with the address that other machines are likely to reach.
        let reached = join.rsplit(' ').next().filter(|there| *there != url);
        let pages: Vec<_> = [Some(url.as_str()), reached]
            .into_iter()
            .flatten()
            .collect();
        line("page", pages.join(" and "));
        if let Some(tokens) = &tokens {
            line("log in", login(tokens, state));
        }
        line("worker", join.clone());
    }
    for directory in &config.media_directories {
        line("films", directory.display().to_string());
    }
    line("state", state.display().to_string());
    if config.testing_mode {
        line("testing", "each source is kept as NAME.bak".to_owned());
    }
    Ok(lines)
}

/// The token of the page. What goes into a log file or a journal names its place alone.
fn login(tokens: &Tokens, state: &Path) -> String {
    if io::stdout().is_terminal() {
        format!("with {}", tokens.of(Role::Admin))
    } else {
        format!(
            "with the admin token in {}",
            state.join("tokens.json").display()
        )
    }
}
