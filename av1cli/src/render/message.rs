//! What there is to tell of a run, as plain data with its fields' public names.

use std::borrow::Cow;
use std::path::Path;

use av1core::{
    Difference, Error, Event, NotWorthwhile, Plan, Prediction, Progress, Replaced, Report,
    Sampling, SkipReason, ToEncode, Verifying,
};
use serde::Serialize;

use crate::exit::Exit;
use crate::text;

/// One thing told of a run; its serialized form is a line of `--json`.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Message<'a> {
    Planned { plan: &'a Plan },
    WaitingForEncoder,
    Progress(&'a Progress),
    Verifying(&'a Verifying),
    Sampling(&'a Sampling),
    Predicted(&'a Prediction),
    Warning { message: &'a str },
    Done(Finished<'a>),
    WouldReplace(WouldReplace<'a>),
    Skipped(Skipped<'a>),
    NotWorthwhile(TooLarge<'a>),
    Error(Failed),
}

impl<'a> Message<'a> {
    /// What an event tells; `None` for one that this program does not know.
    pub(super) fn from_event(event: &'a Event) -> Option<Self> {
        Some(match event {
            Event::Planned(plan) => Self::Planned { plan },
            Event::WaitingForEncoder => Self::WaitingForEncoder,
            Event::Progress(progress) => Self::Progress(progress),
            Event::Verifying(progress) => Self::Verifying(progress),
            Event::Sampling(progress) => Self::Sampling(progress),
            Event::Predicted(prediction) => Self::Predicted(prediction),
            Event::Warning(message) => Self::Warning { message },
            _ => return None,
        })
    }
}

/// An output in its place.
#[derive(Debug, Serialize)]
pub(crate) struct Finished<'a> {
    // Text and not a path: serde refuses a path that is not UTF-8, file systems do not.
    pub(super) output: Cow<'a, str>,
    pub(super) encoder: &'a str,
    pub(super) frames: u64,
    pub(super) source_bytes: u64,
    pub(super) output_bytes: u64,
    pub(super) film_us: i64,
    pub(super) elapsed_us: u64,
    pub(super) verify_us: u64,
    pub(super) decode_errors: u64,
    /// Where the source was kept; of a replacement alone.
    pub(super) backup: Option<Cow<'a, str>>,
    pub(super) warnings: &'a [String],
}

impl<'a> From<&'a Report> for Finished<'a> {
    fn from(report: &'a Report) -> Self {
        Self {
            output: report.output.to_string_lossy(),
            encoder: &report.encoder,
            frames: report.frames,
            source_bytes: report.source_bytes,
            output_bytes: report.output_bytes,
            film_us: report.film_us,
            elapsed_us: report.elapsed_us,
            verify_us: report.verify_us,
            decode_errors: report.decode_errors,
            backup: None,
            warnings: &report.warnings,
        }
    }
}

impl<'a> From<&'a Replaced> for Finished<'a> {
    fn from(replaced: &'a Replaced) -> Self {
        Self {
            backup: replaced.backup.as_deref().map(Path::to_string_lossy),
            ..Self::from(&replaced.report)
        }
    }
}

/// A file that would be replaced.
#[derive(Debug, Serialize)]
pub(crate) struct WouldReplace<'a> {
    pub(super) source: Cow<'a, str>,
    pub(super) output: Cow<'a, str>,
    pub(super) source_bytes: u64,
    pub(super) plan: &'a Plan,
    pub(super) prediction: Option<&'a Prediction>,
}

impl<'a> WouldReplace<'a> {
    pub(crate) fn new(source: &'a Path, to_encode: &'a ToEncode) -> Self {
        Self {
            source: source.to_string_lossy(),
            output: to_encode.place.destination().path().to_string_lossy(),
            source_bytes: to_encode.info.size_bytes,
            plan: &to_encode.plan,
            prediction: to_encode.prediction.as_ref(),
        }
    }

    /// The line for people.
    pub(crate) fn line(&self) -> String {
        let becomes = if self.source == self.output {
            "would be replaced".to_owned()
        } else {
            format!("would become {}", self.output)
        };
        if let Some(found) = self.prediction {
            return format!(
                "{}: {becomes}; {} -> about {} ({} to {}), {}",
                self.source,
                text::bytes(self.source_bytes),
                text::bytes(found.bytes),
                text::bytes(found.low_bytes),
                text::bytes(found.high_bytes),
                text::saving(self.source_bytes, found.bytes)
            );
        }
        let most = self.plan.most_bytes.map(text::bytes);
        format!(
            "{}: {becomes}, if it shrinks from {} to {} or less",
            self.source,
            text::bytes(self.source_bytes),
            most.unwrap_or_default()
        )
    }
}

/// A source left alone.
#[derive(Debug, Serialize)]
pub(crate) struct Skipped<'a> {
    source: Cow<'a, str>,
    pub(super) reason: &'a SkipReason,
    message: String,
    allowed_by: Option<&'static str>,
}

impl<'a> Skipped<'a> {
    pub(crate) fn new(source: &'a Path, reason: &'a SkipReason) -> Self {
        Self {
            source: source.to_string_lossy(),
            reason,
            message: reason.to_string(),
            allowed_by: reason.allowed_by(),
        }
    }

    /// The line for people.
    pub(crate) fn line(&self) -> String {
        let line = format!("{}: skipped: {}", self.source, self.message);
        match self.allowed_by {
            Some(flag) => format!("{line}; {flag} takes it all the same"),
            None => line,
        }
    }
}

/// An output that saves too little.
#[derive(Debug, Serialize)]
pub(crate) struct TooLarge<'a> {
    source: Cow<'a, str>,
    #[serde(flatten)]
    found: NotWorthwhile,
    pub(super) message: String,
}

impl<'a> TooLarge<'a> {
    pub(crate) fn new(source: &'a Path, found: NotWorthwhile) -> Self {
        let (source_bytes, least) = (found.source_bytes, text::bytes(found.least_bytes));
        let compared = text::saving(source_bytes, found.least_bytes);
        let certain = if found.finished {
            format!("the output is {least}, {compared}")
        } else if found.predicted {
            format!("by a prediction from samples the output is {least} or more ({compared})")
        } else {
            let frames = text::count(found.frames_done, "frame");
            format!("after {frames} the output is certain to be {least} or more ({compared})")
        };
        let message = format!(
            "{certain}, and {} is the most that saves enough of {}",
            text::bytes(found.most_bytes),
            text::bytes(source_bytes)
        );
        Self {
            source: source.to_string_lossy(),
            found,
            message,
        }
    }

    /// The line for people.
    pub(super) fn line(&self) -> String {
        format!("{}: not worthwhile: {}", self.source, self.message)
    }
}

/// A failure.
#[derive(Debug, Serialize)]
pub(crate) struct Failed {
    kind: &'static str,
    pub(super) message: String,
    pub(super) differences: Vec<Difference>,
    exit_code: u8,
}

impl From<&Error> for Failed {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind().name(),
            message: error.to_string(),
            differences: error.differences().to_vec(),
            exit_code: Exit::from(error.kind()).code,
        }
    }
}

impl Failed {
    pub(super) fn is_cancelled(&self) -> bool {
        self.exit_code == Exit::CANCELLED.code
    }

    /// The line for people. Who cancels makes no error.
    pub(super) fn line(&self) -> String {
        if self.is_cancelled() {
            self.message.clone()
        } else {
            format!("error: {}", self.message)
        }
    }
}
