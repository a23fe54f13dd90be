//! What a worker and the child process of an encode say to each other: one JSON object
//! a line. The order comes first on the child's standard input, commands after it; the
//! child's events come on its standard output, and what it logs on its standard error.
//!
//! ```text
//! parent                                   child
//! order in_place            ->
//!                                          looks at the content
//!                           <-             asking (key)
//! proceed                   ->
//!                                          rules, plan
//!                           <-             phase sampling, progress ...
//!                           <-             phase encoding, progress ...
//!                           <-             phase verifying, progress ...
//!                           <-             staged (token)
//! commit                    ->
//!                           <-             phase committing
//!                           <-             ended (replaced, where it lies now)
//! ```
//!
//! The end of the standard input (the parent died) is a [`ChildCommand::Cancel`]. One
//! that comes after a [`ChildCommand::Commit`] is too late: the replacement is brought
//! to its end first. Between the two nothing is left on disk: a child that ends without
//! a commit has touched no source and removes what it made. The last event is always
//! [`ChildEvent::Ended`]; where it does not come, the child died, and
//! [`av1core::recover`] on the source's folder finds out the rest.

use serde::{Deserialize, Serialize};

use crate::job::{Failure, FileId, Reason, StagedFile};
use crate::proto::{TaskProgress, WorkSettings};
use crate::units::DiskPath;

/// The first line to a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum ChildOrder {
    /// Shrink a file where it lies.
    InPlace {
        /// The file.
        source: DiskPath,
        /// The media directory that it lies in.
        root: Option<DiskPath>,
        /// What is wanted.
        work: WorkSettings,
        /// Threads of the encode; `None`: the encoder's choice.
        threads: Option<u32>,
    },
    /// Encode a film that was fetched, into a file of its own, verified. There is no
    /// commit: the parent sends the output on. Both files are the parent's to remove.
    Fetched {
        /// The copy of the source.
        source: DiskPath,
        /// Where to write to; must not exist. Its extension is the container's.
        output: DiskPath,
        /// What is wanted.
        work: WorkSettings,
        /// Threads of the encode; `None`: the encoder's choice.
        threads: Option<u32>,
    },
    /// Put an output that came over the network in its source's place: both are decoded
    /// and compared first. There is no question about the content. `file` stays, and is
    /// the parent's to remove.
    Adopt {
        /// The source.
        source: DiskPath,
        /// The output.
        file: DiskPath,
        /// The media directory that the source lies in.
        root: Option<DiskPath>,
        /// What was wanted.
        work: WorkSettings,
    },
}

/// A further line to a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum ChildCommand {
    /// Nothing was decided for the content: go on. The answer to
    /// [`ChildEvent::Asking`].
    Proceed,
    /// This was decided for the content: leave it alone. The answer to
    /// [`ChildEvent::Asking`].
    Decided {
        /// Why.
        reason: Reason,
    },
    /// Put the output in the source's place. The answer to [`ChildEvent::Staged`].
    Commit,
    /// Stop, and remove what is yours. Ends within two seconds, unless the replacement
    /// has begun.
    Cancel,
}

/// A line from a child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ChildEvent {
    /// It asks whether the content was decided before, and waits for
    /// [`ChildCommand::Proceed`] or [`ChildCommand::Decided`].
    Asking {
        /// [`av1core::DecisionKey`] as text.
        key: String,
    },
    /// A phase begins.
    Phase {
        /// Which.
        phase: ChildPhase,
    },
    /// How far the phase is.
    Progress {
        /// Numbers; in [`ChildPhase::Sampling`] and [`ChildPhase::Verifying`] those of
        /// the frames sampled and read back.
        progress: TaskProgress,
    },
    /// Something the viewer of the result might notice; the encode goes on.
    Warning {
        /// What.
        message: String,
    },
    /// The output is verified and lies beside the source; it waits for
    /// [`ChildCommand::Commit`].
    Staged {
        /// The file.
        staged: StagedFile,
    },
    /// It is over; the process ends.
    Ended {
        /// How.
        end: ChildEnd,
    },
}

/// What a child is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildPhase {
    /// Samples are encoded.
    Sampling,
    /// The film is encoded.
    Encoding,
    /// The output is read back; for [`ChildOrder::Adopt`] the source is decoded, too.
    Verifying,
    /// The output is being put in the source's place: nothing stops it any more.
    Committing,
}

/// How an encode ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum ChildEnd {
    /// The output is in the source's place.
    Replaced {
        /// The film.
        film: EncodedFilm,
        /// Where the source is kept, in testing mode.
        backup: Option<DiskPath>,
    },
    /// The output of [`ChildOrder::Fetched`] is complete and verified.
    Encoded {
        /// The film.
        film: EncodedFilm,
    },
    /// The source is to be left alone.
    LeftAlone {
        /// Why.
        reason: Reason,
        /// What this is to be remembered by, where it holds for the content and not for
        /// the file or the moment.
        key: Option<String>,
    },
    /// It failed; the source is as it was.
    Failed {
        /// How.
        failure: Failure,
    },
    /// It was told to stop; the source is as it was, and nothing is left.
    Cancelled,
}

/// A film that came of an encode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedFilm {
    /// Where it lies; its extension may be another than the source's.
    pub path: DiskPath,
    /// What the file system says of it now; its size is the output's.
    pub file: FileId,
    /// Size of the source in bytes.
    pub source_bytes: u64,
    /// Video frames.
    pub frames: u64,
    /// Time the encode and its verification took, in milliseconds; for
    /// [`ChildOrder::Adopt`] the verification alone.
    pub elapsed_ms: u64,
    /// The video encoder with its version.
    pub encoder: String,
    /// What the viewer might notice.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn an_order_is_one_line_and_keeps_a_name_of_any_bytes() {
        let name = std::ffi::OsString::from_vec(b"/media/a\\b\n\xff.mkv".to_vec());
        let order = ChildOrder::InPlace {
            source: PathBuf::from(name).into(),
            root: Some(PathBuf::from("/media").into()),
            work: WorkSettings::default(),
            threads: Some(2),
        };
        let line = serde_json::to_string(&order).expect("text");
        assert!(!line.contains('\n'), "{line}");
        let back: ChildOrder = serde_json::from_str(&line).expect("reads back");
        assert_eq!(back, order);
    }
}
