//! Exit codes. They are an interface: a number never changes its meaning.

use std::fmt;
use std::process::ExitCode;

use av1core::{ErrorKind, RejectReason};
use av1net::client::ClientError;
use av1net::http::ServeError;
use av1net::master::StartError;
use av1net::store::StoreError;
use av1net::worker::WorkerError;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    /// The number that the shell sees.
    pub(crate) code: u8,
    /// What it means, for the table at the end of `--help`.
    meaning: &'static str,
}

impl Exit {
    pub(crate) const DONE: Self = Self::new(0, "done");
    pub(crate) const UNEXPECTED: Self = Self::new(1, "unexpected failure");
    pub(crate) const USAGE: Self = Self::new(
        2,
        "wrong usage: a flag, a key of the configuration, or a value",
    );
    pub(crate) const SKIPPED: Self =
        Self::new(3, "skipped: the source is left alone, nothing was written");
    pub(crate) const OUTPUT_EXISTS: Self = Self::new(4, "the output exists (see --overwrite)");
    pub(crate) const OUTPUT_IS_SOURCE: Self = Self::new(5, "the output is the source");
    pub(crate) const SOURCE_UNREADABLE: Self =
        Self::new(6, "the source is missing, not a file, or cannot be read");
    pub(crate) const SOURCE_UNFIT: Self = Self::new(
        7,
        "the source cannot be encoded: empty, no media, no video, encrypted, unknown codec",
    );
    pub(crate) const SOURCE_DAMAGED: Self = Self::new(8, "the source is damaged or cut short");
    pub(crate) const OUTPUT_REFUSED: Self = Self::new(
        9,
        "the output's folder is missing or read-only, or its name is not one to write to",
    );
    pub(crate) const DISK_FULL: Self = Self::new(10, "no space left where the output goes");
    pub(crate) const OUTPUT_IO: Self = Self::new(11, "writing the output failed");
    pub(crate) const ENCODER: Self = Self::new(
        12,
        "an encoder is missing or refused its settings (see av1cli doctor)",
    );
    pub(crate) const MISMATCH: Self = Self::new(13, "the result did not match the plan");
    pub(crate) const NOT_WORTHWHILE: Self = Self::new(
        14,
        "not worthwhile: the saving would be below what is asked; nothing was written",
    );
    pub(crate) const SOURCE_CHANGED: Self = Self::new(
        15,
        "the source changed during the run, and was left as it is",
    );
    pub(crate) const NO_MASTER: Self = Self::new(
        16,
        "no master answers at the address, or what answers is none",
    );
    pub(crate) const NOT_ALLOWED: Self =
        Self::new(17, "the master wants a token, or one that may do more");
    pub(crate) const REFUSED: Self = Self::new(
        18,
        "the master does not do it: no such job or worker, or one in the wrong state",
    );
    pub(crate) const SOME_FAILED: Self = Self::new(
        19,
        "the library is done, and some files failed (shrink, master --until-done)",
    );
    pub(crate) const IN_USE: Self = Self::new(
        20,
        "in use by another process: these folders, the state directory, or the port",
    );
    pub(crate) const CANCELLED: Self = Self::new(130, "cancelled (Ctrl-C, SIGTERM)");

    const ALL: [Self; 22] = [
        Self::DONE,
        Self::UNEXPECTED,
        Self::USAGE,
        Self::SKIPPED,
        Self::OUTPUT_EXISTS,
        Self::OUTPUT_IS_SOURCE,
        Self::SOURCE_UNREADABLE,
        Self::SOURCE_UNFIT,
        Self::SOURCE_DAMAGED,
        Self::OUTPUT_REFUSED,
        Self::DISK_FULL,
        Self::OUTPUT_IO,
        Self::ENCODER,
        Self::MISMATCH,
        Self::NOT_WORTHWHILE,
        Self::SOURCE_CHANGED,
        Self::NO_MASTER,
        Self::NOT_ALLOWED,
        Self::REFUSED,
        Self::SOME_FAILED,
        Self::IN_USE,
        Self::CANCELLED,
    ];

    const fn new(code: u8, meaning: &'static str) -> Self {
        Self { code, meaning }
    }

    /// The table that ends `--help`.
    pub(crate) fn help() -> String {
        let lines: Vec<_> = Self::ALL
            .iter()
            .map(|exit| format!("  {:>3}  {}", exit.code, exit.meaning))
            .collect();
        format!("Exit codes:\n{}", lines.join("\n"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code)
    }
}

impl From<ErrorKind> for Exit {
    fn from(kind: ErrorKind) -> Self {
        use ErrorKind as K;
        match kind {
            K::NotFound | K::NotAFile | K::Unreadable => Self::SOURCE_UNREADABLE,
            K::Empty | K::NotMedia | K::NoVideo | K::Encrypted | K::UnknownCodec => {
                Self::SOURCE_UNFIT
            }
            K::Truncated | K::Damaged => Self::SOURCE_DAMAGED,
            K::OutputExists => Self::OUTPUT_EXISTS,
            K::OutputIsSource => Self::OUTPUT_IS_SOURCE,
            K::OutputFolder | K::OutputFormat | K::OutputDenied => Self::OUTPUT_REFUSED,
            K::DiskFull => Self::DISK_FULL,
            K::OutputIo => Self::OUTPUT_IO,
            K::EncoderMissing | K::EncoderRefused => Self::ENCODER,
            K::SourceChanged => Self::SOURCE_CHANGED,
            K::Mismatch => Self::MISMATCH,
            K::NotWorthwhile => Self::NOT_WORTHWHILE,
            K::Cancelled => Self::CANCELLED,
            _ => Self::UNEXPECTED,
        }
    }
}

impl From<&RejectReason> for Exit {
    fn from(reason: &RejectReason) -> Self {
        match reason {
            RejectReason::NoVideo
            | RejectReason::Encrypted { .. }
            | RejectReason::UnknownCodec { .. } => Self::SOURCE_UNFIT,
            RejectReason::NoSound { .. } | RejectReason::NoFrame { .. } => Self::SOURCE_DAMAGED,
            _ => Self::UNEXPECTED,
        }
    }
}

impl From<&ClientError> for Exit {
    fn from(error: &ClientError) -> Self {
        match error {
            ClientError::Certificates { .. } | ClientError::BadToken { .. } => Self::USAGE,
            ClientError::NoToken { .. } | ClientError::WrongToken { .. } => Self::NOT_ALLOWED,
            ClientError::Refused { status: 403, .. } => Self::NOT_ALLOWED,
            ClientError::Refused { status: 500.., .. } => Self::UNEXPECTED,
            ClientError::Refused { .. } => Self::REFUSED,
            _ => Self::NO_MASTER,
        }
    }
}

impl From<&StartError> for Exit {
    fn from(error: &StartError) -> Self {
        match error {
            StartError::Store(StoreError::InUse { .. })
            | StartError::Serve(ServeError::PortTaken { .. }) => Self::IN_USE,
            _ => Self::UNEXPECTED,
        }
    }
}

impl From<&WorkerError> for Exit {
    fn from(error: &WorkerError) -> Self {
        match error {
            WorkerError::Master(error) => Self::from(error),
            WorkerError::TooMany { .. } => Self::IN_USE,
            _ => Self::UNEXPECTED,
        }
    }
}

/// How a failed command ends.
impl From<&anyhow::Error> for Exit {
    fn from(error: &anyhow::Error) -> Self {
        if let Some(error) = error.downcast_ref::<av1core::Error>() {
            Self::from(error.kind())
        } else if let Some(error) = error.downcast_ref::<ClientError>() {
            Self::from(error)
        } else if let Some(error) = error.downcast_ref::<StartError>() {
            Self::from(error)
        } else if let Some(error) = error.downcast_ref::<WorkerError>() {
            Self::from(error)
        } else if error.is::<Usage>() {
            Self::USAGE
        } else if error.is::<NoSuch>() {
            Self::REFUSED
        } else if error.is::<InUse>() {
            Self::IN_USE
        } else {
            Self::UNEXPECTED
        }
    }
}

/// A command line that is well formed and cannot be meant so.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Another process is at it.
#[derive(Debug)]
pub(crate) struct InUse(pub(crate) String);

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InUse {}

/// A job or a worker was named that the master does not have.
#[derive(Debug)]
pub(crate) struct NoSuch(pub(crate) String);

impl fmt::Display for NoSuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoSuch {}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ErrorKind; 24] = [
        ErrorKind::NotFound,
        ErrorKind::NotAFile,
        ErrorKind::Empty,
        ErrorKind::Unreadable,
        ErrorKind::NotMedia,
        ErrorKind::NoVideo,
        ErrorKind::Encrypted,
        ErrorKind::UnknownCodec,
        ErrorKind::Truncated,
        ErrorKind::Damaged,
        ErrorKind::OutputExists,
        ErrorKind::OutputIsSource,
        ErrorKind::OutputFolder,
        ErrorKind::OutputFormat,
        ErrorKind::OutputDenied,
        ErrorKind::DiskFull,
        ErrorKind::OutputIo,
        ErrorKind::EncoderMissing,
        ErrorKind::EncoderRefused,
        ErrorKind::SourceChanged,
        ErrorKind::Mismatch,
        ErrorKind::NotWorthwhile,
        ErrorKind::Cancelled,
        ErrorKind::Library,
    ];

    #[test]
    fn every_kind_has_its_own_name_and_a_code() {
        for kind in KINDS {
            let words: String = format!("{kind:?}")
                .chars()
                .enumerate()
                .flat_map(|(at, c)| {
                    let gap = (at > 0 && c.is_ascii_uppercase()).then_some('_');
                    gap.into_iter().chain(Some(c.to_ascii_lowercase()))
                })
                .collect();
            assert_eq!(kind.name(), words);
            let unexpected = Exit::from(kind) == Exit::UNEXPECTED;
            assert_eq!(unexpected, kind == ErrorKind::Library, "{kind:?}");
        }
    }

    /// The compiler cannot tell that a kind is missing here (the enum may grow), its
    /// source can.
    #[test]
    fn no_kind_of_the_library_is_forgotten() {
        let source = include_str!("../../av1core/src/error.rs");
        let body = source
            .split_once("pub enum ErrorKind {")
            .and_then(|(_, rest)| rest.split_once("\n}"))
            .expect("the enum")
            .0;
        let declared: Vec<_> = body
            .lines()
            .map(|line| line.trim().trim_end_matches(','))
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .collect();
        let mapped = KINDS.map(|kind| format!("{kind:?}"));
        assert_eq!(declared, mapped);
    }

    #[test]
    fn a_rejected_source_ends_plan_and_transcode_alike() {
        let index = 0;
        let codec = "none".to_owned();
        for (reason, kind) in [
            (RejectReason::NoVideo, ErrorKind::NoVideo),
            (RejectReason::Encrypted { index }, ErrorKind::Encrypted),
            (
                RejectReason::UnknownCodec { index, codec },
                ErrorKind::UnknownCodec,
            ),
            (RejectReason::NoSound { index }, ErrorKind::Damaged),
            (RejectReason::NoFrame { index }, ErrorKind::Damaged),
        ] {
            assert_eq!(Exit::from(&reason), Exit::from(kind), "{reason}");
        }
    }

    #[test]
    fn codes_are_unique_and_in_order() {
        assert!(Exit::ALL.is_sorted_by(|a, b| a.code < b.code));
    }

    #[test]
    fn a_failed_command_ends_with_the_code_of_its_cause() {
        let library = av1core::probe("/nowhere/at/all").expect_err("not there");
        let with_context = anyhow::Error::from(library).context("while looking");
        assert_eq!(Exit::from(&with_context), Exit::SOURCE_UNREADABLE);
        let usage = anyhow::anyhow!("permission denied").context(Usage("no".to_owned()));
        assert_eq!(Exit::from(&usage), Exit::USAGE);
        assert_eq!(Exit::from(&anyhow::anyhow!("?")), Exit::UNEXPECTED);
        let path = "jobs.db".to_owned();
        let held = StartError::Store(StoreError::InUse { path });
        assert_eq!(Exit::from(&anyhow::Error::from(held)), Exit::IN_USE);
        let refused = WorkerError::Master(ClientError::WrongToken {
            address: "http://nas:8090".parse().expect("an address"),
            origin: "--token".to_owned(),
        });
        let refused = anyhow::Error::from(refused);
        assert_eq!(Exit::from(&refused), Exit::NOT_ALLOWED);
    }
}
