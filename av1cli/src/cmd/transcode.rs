//! `av1cli transcode`

use std::io::{self, IsTerminal};
use std::path::Path;

use av1core::{
    CancelToken, Decision, Event, NotWorthwhile, Outcome, Replaced, Report, Shrunk, SkipReason,
    ToEncode,
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
    let Settings {
        source, options, ..
    } = &settings;
    let mut observe = |event: &Event| renderers.event(event);
    let ended = match &settings.task {
        Task::Transcode(destination) => {
            av1core::transcode(source, destination, options, &cancel, &mut observe).map(Ended::from)
        }
        Task::Replace {
            how,
            dry_run: false,
        } => av1core::shrink(source, how, options, &cancel, &mut observe).map(Ended::from),
        Task::Replace { how, dry_run: true } => {
            av1core::decide(source, how, options, &cancel, &mut observe).map(Ended::from)
        }
    };
    let (message, exit) = match &ended {
        Ok(ended) => ended.told(source),
        Err(error) => (Message::Error(error.into()), Exit::from(error.kind())),
    };
    renderers.show(&message);
    Ok(exit)
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
