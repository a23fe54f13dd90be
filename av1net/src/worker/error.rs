//! Why a worker does not run.

use std::io;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::proto::{OLDEST_PROTOCOL, PROTOCOL};

/// Why a worker does not run, or had to end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The state directory is of no use.
    #[error(
        "{}: {source}; a worker keeps its identity there (`state_directory`), on a disk of its own machine",
        .path.display()
    )]
    State {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The temporary directory is of no use.
    #[error(
        "{}: {source}; a worker puts what it fetches there: name a folder that it may write to as `temp_directory`",
        .path.display()
    )]
    Temp {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Too many workers of one state directory.
    #[error("{}: {most} workers run with this state directory already; give each more `slots` instead", .path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// How many there may be.
        most: u32,
    },
    /// The master cannot be worked for.
    #[error(transparent)]
    Master(#[from] ClientError),
    /// The two are of too different an age.
    #[error(
        "the master and this worker do not understand each other: {what}. The worker speaks \
         protocol {OLDEST_PROTOCOL} to {PROTOCOL} (version {version}); bring the older of the two \
         to the version of the other",
        version = env!("CARGO_PKG_VERSION")
    )]
    Protocol {
        /// What was said.
        what: String,
    },
    /// The connection ended, or brought what cannot be read.
    #[error("the connection to the master at {address} ended: {why}")]
    Lost {
        /// Where.
        address: String,
        /// What was seen.
        why: String,
    },
}

impl WorkerError {
    /// Whether the same may work a little later, without anybody doing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Lost { .. } => true,
            Self::Master(error) => error.is_passing(),
            _ => false,
        }
    }

    /// What it means that a master refuses a report with these words.
    pub(crate) fn is_about_protocol(kind: &str) -> bool {
        kind.contains("protocol") || kind.contains("version")
    }
}
