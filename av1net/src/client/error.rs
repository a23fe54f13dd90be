//! Why a call to a master came to nothing: what happened, and what to do.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::MasterAddress;
use crate::proto::ErrorBody;

/// A failed call to a master.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing answers there.
    #[error("no master answers at {address} ({cause}){}", Hint(.cause))]
    Unreachable {
        /// Where.
        address: MasterAddress,
        /// What the system said. No `source`: the message has it.
        cause: io::Error,
    },
    /// It was found, and then was silent for too long.
    #[error("the master at {address} did not answer {call} within {seconds} s")]
    TimedOut {
        /// Where.
        address: MasterAddress,
        /// Method and path.
        call: String,
        /// How long it had.
        seconds: u64,
    },
    /// The connection broke within a call. Whether the master did what was asked is not
    /// known.
    #[error("the connection to the master at {address} broke ({why}) during {call}")]
    Broken {
        /// Where.
        address: MasterAddress,
        /// Method and path.
        call: String,
        /// What was seen.
        why: String,
    },
    /// No agreement on TLS.
    #[error("no TLS with the master at {address}: {why}")]
    Tls {
        /// Where.
        address: MasterAddress,
        /// What was seen, and what to do.
        why: String,
    },
    /// A file of certificates that is of no use.
    #[error("{}: {why}", .path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A token that no header can carry.
    #[error("the token from {origin} has characters that no token has")]
    BadToken {
        /// Where the token came from.
        origin: String,
    },
    /// The master wants a token.
    #[error(
        "the master at {address} wants a token: give it by --token or AV1CLI_TOKEN. \
         `av1cli master` prints it when it starts, and keeps it in its state directory"
    )]
    NoToken {
        /// Where.
        address: MasterAddress,
    },
    /// The master does not know the token.
    #[error(
        "the master at {address} does not take the token from {origin}: \
         `av1cli master` prints the right one when it starts, and keeps it in its state directory"
    )]
    WrongToken {
        /// Where.
        address: MasterAddress,
        /// Where the token came from.
        origin: String,
    },
    /// The master refuses, in its own words.
    #[error("the master at {address} refuses: {}", .body.message)]
    Refused {
        /// Where.
        address: MasterAddress,
        /// The HTTP status.
        status: u16,
        /// Its words.
        body: Box<ErrorBody>,
    },
    /// Something else answers there, or a master of another age.
    #[error(
        "what answers at {address} is no master that this program knows ({why}): \
         is it the right port, and is the master's version near {version}?",
        version = env!("CARGO_PKG_VERSION")
    )]
    NotAMaster {
        /// Where.
        address: MasterAddress,
        /// What was seen.
        why: String,
    },
}

impl ClientError {
    /// Whether the same call may succeed a little later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500..),
            _ => false,
        }
    }

    /// The HTTP status, where a master answered with one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NoToken { .. } | Self::WrongToken { .. } => Some(401),
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// What to do where nothing answers.
struct Hint<'a>(&'a io::Error);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::ConnectionRefused => {
                f.write_str("; is it running? Start it with `av1cli master`")
            }
            io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable => {
                f.write_str("; is the machine on, and its port open in the firewall?")
            }
            _ => Ok(()),
        }
    }
}
