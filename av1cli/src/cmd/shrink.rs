//! `av1cli shrink`: a master and a worker in one process, without a network, until the
//! folders are done.

use std::path::{Path, PathBuf};
use std::pin::pin;

use anyhow::Context;
use av1net::clock;
use av1net::config::Loaded;
use av1net::master::{Master, StartError};
use av1net::store::StoreError;
use av1net::worker::{self, WorkerControl, WorkerSummary};
use serde::Serialize;

use super::follow::{Follower, Show};
use super::runtime::{Wishes, serve};
use super::{config, local};
use crate::args::ShrinkArgs;
use crate::exit::{Exit, InUse, Usage};
use crate::out;
use crate::render::library::Tally;
use crate::settings::state::of_folders;
use crate::text;

/// Attempts at a film: what fails on one machine twice fails again, but for a disk that
/// was full for a moment.
const ATTEMPTS: u32 = 2;

/// Wait before the second.
const RETRY_WAIT_S: u64 = 5;

/// The master hears of the worker so often; within a process that costs nothing.
const HEARTBEAT_S: u64 = 1;

pub(super) fn run(args: ShrinkArgs, logs: bool) -> anyhow::Result<Exit> {
    let folders = folders(&args.directories)?;
    let state = of_folders(&folders)?;
    let paths = folders.iter().map(|folder| folder.to_string_lossy());
    let directories: Vec<_> = paths.map(serde_json::Value::from).collect();
    let config = args
        .config
        .set("media_directories", directories)
        .set("heartbeat_s", HEARTBEAT_S)
        .set("rescan_s", 0)
        .set("watch", false)
        .set("temp_directory", state.join("tmp").to_string_lossy())
        .unless_given("max_attempts", ATTEMPTS)
        .unless_given("retry_wait_s", RETRY_WAIT_S);
    let loaded = config::load(config)?;
    let show = match (args.json, args.quiet) {
        (true, _) => Show::Json,
        (false, true) => Show::Quiet,
        (false, false) => Show::Lines,
    };
    if show == Show::Lines {
        let backups = if loaded.config.testing_mode {
            "; each source is kept as NAME.bak"
        } else {
            ""
        };
        for folder in &folders {
            out::say(&format!(
                "Shrinking the films in {}{backups}",
                folder.display()
            ))?;
        }
    }
    serve(shrink(loaded, &state, show, !logs))
}

/// The folders, absolute and sorted, none of them within another.
fn folders(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for name in named {
        let shown = name.display();
        let folder = name
            .canonicalize()
            .with_context(|| Usage(format!("{shown}: no folder to shrink")))?;
        if !folder.is_dir() {
            let message =
                format!("{shown} is no folder; `av1cli transcode --replace` takes a file");
            return Err(Usage(message).into());
        }
        if folder.to_str().is_none() {
            let message =
                format!("{shown}: the folder's own path has to be UTF-8; those below need not");
            return Err(Usage(message).into());
        }
        folders.push(folder);
    }
    folders.sort();
    folders.dedup();
    let all = folders.clone();
    folders.retain(|folder| {
        let outer = all
            .iter()
            .any(|other| other != folder && folder.starts_with(other));
        if outer {
            out::note(&format!(
                "{} is within another folder that was named",
                folder.display()
            ));
        }
        !outer
    });
    Ok(folders)
}

/// How it came to an end.
enum End {
    Done,
    /// By a wish.
    Stopped,
    /// This folder is not there any more.
    Lost(String),
}

async fn shrink(loaded: Loaded, state: &Path, show: Show, bars: bool) -> anyhow::Result<Exit> {
    let mut wishes = Wishes::new()?;
    let began = clock::now();
    let config = local::worker(&loaded.config, state)?;
    let master = Master::start_local(loaded, state).await.map_err(in_use)?;
    let control = WorkerControl::new();
    let transport = local::transport(master.core());
    let mut work = pin!(worker::run(config, transport, control.clone()));
    let mut follower = Follower::new(master.core().clone(), began, show, bars).await;
    let end = tokio::select! {
        end = to_the_end(&mut follower, show) => end?,
        ended = work.as_mut() => {
            follower.clear();
            ended?;
            anyhow::bail!("the worker ended before the films were done");
        }
        _ = wishes.next() => {
            follower.note("It stops; once more (Ctrl-C) does not wait for that.");
            End::Stopped
        }
    };
    match end {
        End::Done => control.drain(),
        End::Stopped | End::Lost(_) => control.abort(),
    }
    let untold = tokio::select! {
        ended = work.as_mut() => ended?,
        _ = wishes.next() => std::process::exit(Exit::CANCELLED.code.into()),
    };
    let exit = told(&mut follower, show, &end, &untold).await?;
    master.stop().await;
    Ok(exit)
}

/// Shows what happens until nothing is left to do.
async fn to_the_end(follower: &mut Follower, show: Show) -> anyhow::Result<End> {
    let mut was_scanned = false;
    loop {
        follower.next().await?;
        let roots = follower.roots().await;
        if let Some(lost) = roots.iter().find(|root| !root.mounted) {
            let why = lost
                .problem
                .as_deref()
                .unwrap_or("it is not there any more");
            return Ok(End::Lost(format!("{}: {why}", lost.path)));
        }
        if !was_scanned && follower.is_scanned().await {
            was_scanned = true;
            if show == Show::Lines {
                found(follower).await?;
            }
        }
        if was_scanned && follower.is_done().await? {
            return Ok(End::Done);
        }
    }
}

async fn found(follower: &Follower) -> anyhow::Result<()> {
    follower.say(&match follower.found().await? {
        0 => "There is nothing to do.".to_owned(),
        found => format!("{} to look into", text::count(found, "film")),
    })?;
    for root in follower.roots().await {
        if let Some(problem) = root.problem {
            follower.note(&format!("warning: {}: {problem}", root.path));
        }
    }
    Ok(())
}

/// The end, as a JSON line.
#[derive(Serialize)]
struct Summary<'a> {
    event: &'static str,
    #[serde(flatten)]
    tally: &'a Tally,
    /// Films that are still to be dealt with.
    left: u64,
    exit_code: u8,
}

async fn told(
    follower: &mut Follower,
    show: Show,
    end: &End,
    _worker: &WorkerSummary,
) -> anyhow::Result<Exit> {
    let ended = follower.ended().await?;
    follower.clear();
    let tally = Tally::of(&ended);
    let (_, left) = follower.left().await?;
    let exit = match end {
        End::Done if tally.failed > 0 => Exit::SOME_FAILED,
        End::Done => Exit::DONE,
        End::Stopped => Exit::CANCELLED,
        End::Lost(_) => Exit::SOURCE_UNREADABLE,
    };
    if show == Show::Json {
        out::json_line(&Summary {
            event: "summary",
            tally: &tally,
            left,
            exit_code: exit.code,
        })?;
    } else {
        if tally.films() > 0 {
            out::say("")?;
            for line in tally.lines() {
                out::say(&line)?;
            }
        }
        if left > 0 {
            let films = text::count(left, "film");
            out::say(&format!("{films} left; the same command goes on with them"))?;
        }
    }
    if let End::Lost(why) = end {
        out::note(&format!("error: {why}"));
    }
    Ok(exit)
}

/// Another run of these folders is told as one.
fn in_use(error: StartError) -> anyhow::Error {
    match error {
        StartError::Store(StoreError::InUse { .. }) => {
            InUse("these folders are being shrunk already, by another `av1cli shrink`".to_owned())
                .into()
        }
        other => other.into(),
    }
}
