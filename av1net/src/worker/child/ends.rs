//! How a child's work ended, in the words of the system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use av1core::{Error, ErrorKind, Lasts, NotWorthwhile, Replaced, Report, SkipReason};

use super::Key;
use crate::job::{Failure, FileId, Reason};
use crate::units::DiskPath;
use crate::worker::orders::{ChildEnd, EncodedFilm};

/// The name of an output that is too large, as [`ErrorKind::name`] has it.
fn not_worthwhile_kind() -> String {
    ErrorKind::NotWorthwhile.name().to_owned()
}

pub(super) fn not_worthwhile(found: &NotWorthwhile, key: &Key) -> ChildEnd {
    ChildEnd::LeftAlone {
        reason: Reason {
            kind: not_worthwhile_kind(),
            message: found.to_string(),
        },
        key: key.clone(),
    }
}

/// What holds for the content is remembered by its key; what passes is a failure that is
/// tried again.
pub(super) fn left_alone(reason: &SkipReason, key: &Key) -> ChildEnd {
    let lasts = reason.lasts();
    let reason = Reason {
        kind: kind_of(reason),
        message: reason.to_string(),
    };
    if lasts == Lasts::ForTheMoment {
        let failure = Failure {
            reason,
            retryable: true,
            crashed: false,
        };
        return ChildEnd::Failed { failure };
    }
    let key = key.clone().filter(|_| lasts == Lasts::WithTheContent);
    ChildEnd::LeftAlone { reason, key }
}

/// The tag of the reason's JSON.
fn kind_of(reason: &SkipReason) -> String {
    let json = serde_json::to_value(reason).unwrap_or_default();
    let kind = json.get("kind").and_then(|kind| kind.as_str());
    kind.unwrap_or("skipped").to_owned()
}

pub(super) fn failed(error: &Error, key: &Key) -> ChildEnd {
    match error.kind() {
        ErrorKind::Cancelled => ChildEnd::Cancelled,
        ErrorKind::NotWorthwhile => ChildEnd::LeftAlone {
            reason: Reason {
                kind: not_worthwhile_kind(),
                message: error.to_string(),
            },
            key: key.clone(),
        },
        kind => ChildEnd::Failed {
            failure: Failure {
                reason: Reason {
                    kind: kind.name().to_owned(),
                    message: error.to_string(),
                },
                retryable: error.is_retryable(),
                crashed: false,
            },
        },
    }
}

/// A failure that another attempt would meet again.
pub(super) fn refused(kind: &str, message: String) -> ChildEnd {
    ChildEnd::Failed {
        failure: Failure {
            reason: Reason {
                kind: kind.to_owned(),
                message,
            },
            retryable: false,
            crashed: false,
        },
    }
}

pub(super) fn replaced(done: &Replaced) -> ChildEnd {
    let mut film = film(&done.report, done.path());
    film.warnings.extend_from_slice(&done.refused);
    ChildEnd::Replaced {
        film,
        backup: done.backup.clone().map(DiskPath),
    }
}

pub(super) fn encoded(report: &Report) -> ChildEnd {
    ChildEnd::Encoded {
        film: film(report, &report.output),
    }
}

fn film(report: &Report, path: &Path) -> EncodedFilm {
    EncodedFilm {
        path: path.into(),
        file: file_id(path, report.output_bytes),
        source_bytes: report.source_bytes,
        frames: report.frames,
        elapsed_ms: report.elapsed_us.saturating_add(report.verify_us) / 1000,
        encoder: report.encoder.clone(),
        warnings: report.warnings.clone(),
    }
}

/// What the file system says of the film. Where somebody has taken it away in this very
/// moment, a scan finds another file than this.
fn file_id(path: &Path, bytes: u64) -> FileId {
    match fs::metadata(path) {
        Ok(meta) => FileId {
            bytes: meta.len(),
            modified_ns: meta
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(meta.mtime_nsec()),
            inode: meta.ino(),
        },
        Err(_) => FileId {
            bytes,
            modified_ns: 0,
            inode: 0,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Some("key".to_owned())
    }

    #[test]
    fn only_what_holds_for_the_content_is_remembered() {
        let end = left_alone(&SkipReason::AlreadyAv1, &key());
        let ChildEnd::LeftAlone { reason, key: kept } = end else {
            panic!("{end:?}");
        };
        assert_eq!(reason.kind, "already_av1");
        assert_eq!(kept, key());

        let end = left_alone(&SkipReason::HardLinked { links: 2 }, &key());
        assert!(
            matches!(&end, ChildEnd::LeftAlone { reason, key: None } if reason.kind == "hard_linked"),
            "{end:?}"
        );
    }

    #[test]
    fn what_passes_is_tried_again() {
        for reason in [
            SkipReason::OpenForWriting,
            SkipReason::JustChanged { seconds: 3 },
        ] {
            let end = left_alone(&reason, &key());
            let ChildEnd::Failed { failure } = end else {
                panic!("{end:?}");
            };
            assert!(failure.retryable && !failure.crashed, "{failure:?}");
        }
    }
}
