//! When a worker that is to end does so: pure.

use std::time::Duration;

use tokio::time::Instant;

/// An abort ends within the contract's ten seconds: what is left of them is for the
/// process to end in.
const ABORT: Duration = Duration::from_millis(9_500);

/// A worker that is done, and whose master is away, waits this long for it to come back
/// and hear of it. It finds out by itself, later.
const FAREWELL: Duration = Duration::from_secs(60);

/// The same in an abort.
const SHORT_FAREWELL: Duration = Duration::from_secs(2);

/// What is known of a worker's end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending {
    aborted: Option<Instant>,
    /// Since when nothing runs, in a worker that is to end.
    done: Option<Instant>,
}

impl Ending {
    /// It is to end at once. Whether this is new.
    pub(super) fn abort(&mut self, now: Instant) -> bool {
        let is_new = self.aborted.is_none();
        self.aborted.get_or_insert(now);
        is_new
    }

    /// Whether the worker is to end and has nothing that runs.
    pub(super) fn is_done(&mut self, is_done: bool, now: Instant) {
        self.done = is_done.then(|| self.done.unwrap_or(now));
    }

    /// When it ends, whatever the master knows by then.
    pub(super) fn at(&self, is_master_there: bool) -> Option<Instant> {
        let farewell = match (self.aborted, is_master_there) {
            (None, _) => FAREWELL,
            (Some(_), false) => SHORT_FAREWELL,
            (Some(_), true) => ABORT,
        };
        let aborted = self.aborted.map(|aborted| aborted + ABORT);
        let done = self.done.map(|done| done + farewell);
        aborted.into_iter().chain(done).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_abort_has_ten_seconds_and_a_drain_waits_a_minute_for_its_master() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let mut ending = Ending::default();
        assert_eq!(ending.at(true), None);
        ending.is_done(true, start);
        ending.is_done(true, later(9));
        assert_eq!(ending.at(false), Some(start + FAREWELL));
        ending.is_done(false, later(10));
        assert_eq!(ending.at(false), None, "something runs again");
        assert!(ending.abort(later(20)));
        assert!(!ending.abort(later(25)));
        assert_eq!(ending.at(true), Some(later(20) + ABORT));
        ending.is_done(true, later(21));
        assert_eq!(ending.at(false), Some(later(21) + SHORT_FAREWELL));
        assert_eq!(ending.at(true), Some(later(20) + ABORT));
    }
}
