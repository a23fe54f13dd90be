//! `av1cli transcode`

use std::io::{self, IsTerminal};
use std::path::Path;
use std::thread;
use std::time::Duration;

use av1core::{
    CancelToken, Decision, Error, Event, NotWorthwhile, Outcome, Replaced, Report, Shrunk,
    SkipReason, ToEncode,
};

use super::signals::cancel_on_signals;
use crate::args::TranscodeArgs;
use crate::exit::Exit;
use crate::render::{Message, Renderers, Skipped, TooLarge, WouldReplace};
use crate::settings::{Settings, Task};

pub(super) fn run(args: TranscodeArgs, logs: bool) -> anyhow::Result<Exit> {
    let settings = Settings::resolve(args, io::stderr().is_terminal() && !logs);
    tracing::debug!(?settings, "resolved");
    let mut renderers = Renderers::new(&settings)?;
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel)?;
    let source = &settings.source;
    let mut ended = run_task(&settings, &cancel, &mut renderers);
    if let Some(wait) = settling(&settings, &ended) {
        // Who names a file wants it done, and not to come back in ten seconds.
        let seconds = wait.as_secs();
        renderers.note(&format!("{}: settles for {seconds} s", source.display()));
        if wait_for(wait, &cancel) {
            ended = run_task(&settings, &cancel, &mut renderers);
        }
    }
    let (message, exit) = match &ended {
        Ok(ended) => ended.told(source),
        Err(error) => (Message::Error(error.into()), Exit::from(error.kind())),
    };
    renderers.show(&message);
    Ok(exit)
}

fn run_task(
    settings: &Settings,
    cancel: &CancelToken,
    renderers: &mut Renderers,
) -> Result<Ended, Error> {
    let Settings {
        source, options, ..
    } = settings;
    let observe = |event: &Event| renderers.event(event);
    match &settings.task {
        Task::Transcode(destination) => {
            av1core::transcode(source, destination, options, cancel, observe).map(Ended::from)
        }
        Task::Replace {
            how,
            dry_run: false,
        } => av1core::shrink(source, how, options, cancel, observe).map(Ended::from),
        Task::Replace { how, dry_run: true } => {
            av1core::decide(source, how, options, cancel, observe).map(Ended::from)
        }
    }
}

/// How long a file that was left alone for it may still take to settle.
fn settling(settings: &Settings, ended: &Result<Ended, Error>) -> Option<Duration> {
    match (&settings.task, ended) {
        (
            Task::Replace { how, .. },
            Ok(Ended::Skipped(SkipReason::JustChanged { seconds, .. })),
        ) => {
            let rest_us = how.rules.settling_us - seconds * 1_000_000;
            u64::try_from(rest_us).ok().map(Duration::from_micros)
        }
        _ => None,
    }
}

/// Waits; `false` where it was cancelled.
fn wait_for(time: Duration, cancel: &CancelToken) -> bool {
    const STEP: Duration = Duration::from_millis(100);
    for _ in 0..time.as_millis() / STEP.as_millis() + 1 {
        if cancel.is_cancelled() {
            return false;
        }
        thread::sleep(STEP);
    }
    true
}

/// How a run ended well.
enum Ended {
    Done(Report),
    Replaced(Replaced),
    Would(Box<ToEncode>),
    Skipped(SkipReason),
    NotWorthwhile(NotWorthwhile),
    /// In a way that came after this program.
    Unknown,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done(report) => Self::Done(report),
            Outcome::Skipped(reason) => Self::Skipped(reason),
            Outcome::NotWorthwhile(found) => Self::NotWorthwhile(found),
            _ => Self::Unknown,
        }
    }
}

impl From<Shrunk> for Ended {
    fn from(shrunk: Shrunk) -> Self {
        match shrunk {
            Shrunk::Replaced(replaced) => Self::Replaced(replaced),
            Shrunk::Skipped(reason) => Self::Skipped(reason),
            Shrunk::NotWorthwhile(found) => Self::NotWorthwhile(found),
            _ => Self::Unknown,
        }
    }
}

impl From<Decision> for Ended {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Encode(to_encode) => Self::Would(Box::new(to_encode)),
            Decision::Skip(reason) => Self::Skipped(reason),
            Decision::NotWorthwhile(found) => Self::NotWorthwhile(found),
            _ => Self::Unknown,
        }
    }
}

impl Ended {
    fn told<'a>(&'a self, source: &'a Path) -> (Message<'a>, Exit) {
        match self {
            Self::Done(report) => (Message::Done(report.into()), Exit::DONE),
            Self::Replaced(replaced) => (Message::Done(replaced.into()), Exit::DONE),
            Self::Would(to_encode) => {
                let would = WouldReplace::new(source, to_encode);
                (Message::WouldReplace(would), Exit::DONE)
            }
            Self::Skipped(reason) => {
                let skipped = Skipped::new(source, reason);
                (Message::Skipped(skipped), Exit::SKIPPED)
            }
            Self::NotWorthwhile(found) => {
                let found = TooLarge::new(source, *found);
                (Message::NotWorthwhile(found), Exit::NOT_WORTHWHILE)
            }
            Self::Unknown => {
                let unknown = "the run ended in a way that this program does not know";
                (Message::Warning { message: unknown }, Exit::UNEXPECTED)
            }
        }
    }
}
