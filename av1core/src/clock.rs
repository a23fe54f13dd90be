//! The one place that reads the clock (`clippy::disallowed_methods` keeps it so).

use std::time::{Duration, Instant, SystemTime};

/// The time since 1970 in microseconds; negative where the clock stands before.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where the clock is read"
)]
pub(crate) fn unix_now_us() -> i64 {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => micros(since),
        Err(before) => -micros(before.duration()),
    }
}

/// Monotonic time since this value was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "this module is where the clock is read"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Says when something is to be told again.
#[derive(Debug)]
pub(crate) struct Pace {
    clock: Stopwatch,
    every: Duration,
    last: Option<Duration>,
}

impl Pace {
    pub(crate) fn new(every: Duration) -> Self {
        Self {
            clock: Stopwatch::start(),
            every,
            last: None,
        }
    }

    /// Whether so much time has passed since this last said yes.
    pub(crate) fn is_due(&mut self) -> bool {
        let now = self.clock.elapsed();
        let due = self.last.is_none_or(|last| now - last >= self.every);
        if due {
            self.last = Some(now);
        }
        due
    }
}
