//! Why the master refuses something, as its API tells it.

use crate::proto::ErrorBody;
use crate::store::{Refused, StoreError};

/// An error of the API: a status and what is told with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .body.message)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// What is told.
    pub body: ErrorBody,
}

impl ApiError {
    /// An error with one line for people.
    #[must_use]
    pub fn new(status: u16, kind: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            body: ErrorBody {
                kind: kind.to_owned(),
                message: message.into(),
                chain: Vec::new(),
            },
        }
    }

    /// There is no such thing.
    #[must_use]
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(404, "not_found", format!("there is no {what}"))
    }

    /// The caller's lease is gone.
    #[must_use]
    pub fn stale_epoch(what: impl std::fmt::Display) -> Self {
        Self::new(409, "stale_epoch", format!("the lease is gone: {what}"))
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        // 503: nothing happened, and the same call may succeed once the disk is well.
        Self::new(503, "store_failed", error.to_string())
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let message = refused.to_string();
        match refused {
            Refused::NoSuchJob(_) | Refused::NoSuchRoot(_) => Self::new(404, "not_found", message),
            Refused::StaleEpoch { .. } => Self::new(409, "stale_epoch", message),
            Refused::Illegal(_) => Self::new(409, "wrong_state", message),
        }
    }
}
