//! A cancel token that any thread may trip.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops an encode from any thread. Clones share one state; there is no way back.
///
/// A tripped token ends the run within two seconds with
/// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled), and nothing of it stays on disk.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that is not tripped.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trips the token. It may be tripped any number of times.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether the token was tripped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
