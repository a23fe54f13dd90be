//! Time limits, and the one place of the tests that reads the clock.

use std::panic;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Time a test may take. The slowest takes some ten seconds on two cores; a CI
/// machine that is busy with other things is allowed ten times as long.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a test's body; a body that hangs fails the test.
pub(crate) fn watched(body: impl FnOnce() + Send + 'static) {
    watched_for(LIMIT, body);
}

/// The same for a body that may take this long.
pub(crate) fn watched_for(limit: Duration, body: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let name = thread::current().name().unwrap_or("test").to_owned();
    let worker = thread::Builder::new().name(name).spawn(move || {
        body();
        // Nobody listens any more where the limit has passed.
        let _ = done.send(());
    });
    let worker = worker.expect("a thread");
    match ended.recv_timeout(limit) {
        Err(RecvTimeoutError::Timeout) => {
            panic!("still running after {} s: a hang", limit.as_secs())
        }
        // A body that panicked drops its end of the channel.
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            if let Err(cause) = worker.join() {
                panic::resume_unwind(cause);
            }
        }
    }
}

/// A clock to measure with.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests measure how long a cancelled run takes to end"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}
