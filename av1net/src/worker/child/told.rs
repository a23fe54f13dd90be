//! What the engine says, in the words of master and worker.

use av1core::{
    Error, Event, FramesTotal, NotWorthwhile, Progress, Report, Sampling, SkipReason, Verifying,
};

use super::Parent;
use crate::job::{Failure, Reason};
use crate::master::file_id;
use crate::proto::TaskProgress;
use crate::worker::orders::{ChildEnd, ChildEvent, ChildPhase, EncodedFilm};

/// Tells the parent what happens in the engine.
pub(super) fn tell(event: &Event, parent: &Parent) {
    let phase = |phase| parent.enter(phase);
    let progress = |progress| parent.say(&ChildEvent::Progress { progress });
    match event {
        Event::Planned(_) => phase(ChildPhase::Encoding),
        Event::Progress(found) => progress(of_progress(found)),
        Event::Sampling(found) => {
            phase(ChildPhase::Sampling);
            progress(of_sampling(*found));
        }
        Event::Verifying(found) => {
            phase(ChildPhase::Verifying);
            progress(of_verifying(*found));
        }
        Event::Warning(message) => parent.say(&ChildEvent::Warning {
            message: message.clone(),
        }),
        _ => {}
    }
}

fn of_progress(found: &Progress) -> TaskProgress {
    let ms = |us: u64| us / 1000;
    TaskProgress {
        frames_done: found.frames_done,
        frames_in: found.frames_in,
        frames_total: found.frames_total.frames(),
        frames_exact: matches!(found.frames_total, FramesTotal::Exact { .. }),
        fps: found.fps,
        speed: found.speed,
        bytes_written: found.bytes_written,
        projected_bytes: found.projected_bytes,
        eta_ms: found.eta_us.map(ms),
        elapsed_ms: ms(found.elapsed_us),
    }
}

fn of_sampling(found: Sampling) -> TaskProgress {
    counted(found.frames_done, found.frames_total)
}

fn of_verifying(found: Verifying) -> TaskProgress {
    counted(found.frames_done, found.frames_total)
}

fn counted(frames_done: u64, frames_total: u64) -> TaskProgress {
    TaskProgress {
        frames_done,
        frames_total: Some(frames_total),
        frames_exact: true,
        ..TaskProgress::default()
    }
}

/// Where a finished film lies, and what it is.
pub(super) fn film_at(report: &Report) -> Result<EncodedFilm, Error> {
    // Between the replacement and this somebody may have taken it away; the scan will
    // tell then.
    let file = file_id(&report.output).unwrap_or(crate::job::FileId {
        bytes: report.output_bytes,
        modified_ns: 0,
        inode: 0,
    });
    Ok(EncodedFilm {
        path: report.output.clone().into(),
        file,
        source_bytes: report.source_bytes,
        frames: report.frames,
        elapsed_ms: (report.elapsed_us + report.verify_us) / 1000,
        encoder: report.encoder.clone(),
        warnings: report.warnings.clone(),
    })
}

/// A reason of the engine's. What holds for the content alone is remembered by its key;
/// what holds for the moment alone is tried again.
pub(super) fn left_alone(reason: &SkipReason, key: Option<String>) -> ChildEnd {
    let told = Reason {
        kind: name(reason),
        message: reason.to_string(),
    };
    match reason {
        SkipReason::OpenForWriting | SkipReason::JustChanged { .. } => ChildEnd::Failed {
            failure: Failure {
                reason: told,
                retryable: true,
                crashed: false,
            },
        },
        SkipReason::OwnFile
        | SkipReason::Link { .. }
        | SkipReason::OutsideRoot
        | SkipReason::Excluded { .. }
        | SkipReason::DecidedBefore { .. }
        | SkipReason::HardLinked { .. }
        | SkipReason::TooSmall { .. }
        | SkipReason::TooShort { .. }
        | SkipReason::LowBitrate { .. } => ChildEnd::LeftAlone {
            reason: told,
            key: None,
        },
        _ => ChildEnd::LeftAlone { reason: told, key },
    }
}

/// The name that serde gives a reason.
fn name(reason: &SkipReason) -> String {
    let value = serde_json::to_value(reason).unwrap_or_default();
    value["kind"].as_str().unwrap_or("skipped").to_owned()
}

/// An output that saves too little.
pub(super) fn not_worthwhile(found: NotWorthwhile, key: Option<String>) -> ChildEnd {
    let how = if found.predicted {
        "is likely to weigh"
    } else if found.finished {
        "weighs"
    } else {
        "would weigh"
    };
    let message = format!(
        "not worthwhile: the output {how} at least {} of the source's {} bytes, and {} were allowed",
        found.least_bytes, found.source_bytes, found.most_bytes
    );
    let reason = Reason {
        kind: "not_worthwhile".to_owned(),
        message,
    };
    ChildEnd::LeftAlone { reason, key }
}

/// An error of the engine's.
pub(super) fn failed(error: &Error) -> Failure {
    Failure {
        reason: Reason {
            kind: error.kind().name().to_owned(),
            message: error.to_string(),
        },
        retryable: error.is_retryable(),
        crashed: false,
    }
}
