//! When a worker speaks: pure.
//!
//! At once when something happens, else when the master wants to hear of it. Numbers
//! alone are worth a message once a second, and only where a message is no new
//! connection. One report is on its way at a time: a master that is slow to answer is
//! not asked more often for it.

use std::time::Duration;

use tokio::time::Instant;

/// The page draws a new frame count about as often.
const NUMBERS_EVERY: Duration = Duration::from_secs(1);

/// A master that asks for less has a broken clock or a broken mind: more would keep
/// both busy with nothing but this.
const SHORTEST_BEAT: Duration = Duration::from_millis(100);

/// Longer silence would be taken for death by whatever stands between the two.
const LONGEST_BEAT: Duration = Duration::from_secs(60);

/// When to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Now.
    Now,
    /// Then, unless something happens before.
    At(Instant),
    /// Not before something happens.
    Later,
}

/// What is known of the conversation.
#[derive(Debug)]
pub(crate) struct Pace {
    link: Option<Link>,
    is_on_its_way: bool,
    is_urgent: bool,
    has_numbers: bool,
    spoke: Instant,
    beat: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    is_cheap: bool,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            link: None,
            is_on_its_way: false,
            is_urgent: true,
            has_numbers: false,
            spoke: now,
            beat: now,
        }
    }

    /// There is a connection; a new master may be at its other end.
    pub(crate) fn up(&mut self, is_cheap: bool) {
        self.link = Some(Link { is_cheap });
        self.is_on_its_way = false;
        self.is_urgent = true;
    }

    /// There is none any more.
    pub(crate) fn down(&mut self) {
        self.link = None;
        self.is_on_its_way = false;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.link.is_some()
    }

    /// Something happened that the master should hear of.
    pub(crate) fn urgent(&mut self) {
        self.is_urgent = true;
    }

    /// Numbers changed.
    pub(crate) fn numbers(&mut self) {
        self.has_numbers = true;
    }

    /// Everything that is known was said.
    pub(crate) fn spoke(&mut self, now: Instant) {
        self.is_on_its_way = true;
        self.is_urgent = false;
        self.has_numbers = false;
        self.spoke = now;
    }

    /// The master answered, or spoke by itself.
    pub(crate) fn heard(&mut self, now: Instant, next_ms: u64) {
        self.is_on_its_way = false;
        self.beat = now + Duration::from_millis(next_ms).clamp(SHORTEST_BEAT, LONGEST_BEAT);
    }

    /// When to speak.
    pub(crate) fn due(&self, now: Instant) -> Due {
        let Some(link) = self.link.filter(|_| !self.is_on_its_way) else {
            return Due::Later;
        };
        let numbers = self.spoke + NUMBERS_EVERY;
        let at = if self.has_numbers && link.is_cheap {
            self.beat.min(numbers)
        } else {
            self.beat
        };
        if self.is_urgent || at <= now {
            Due::Now
        } else {
            Due::At(at)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A conversation in which the first report was answered just now.
    fn talking(is_cheap: bool, now: Instant) -> Pace {
        let mut pace = Pace::new(now);
        assert_eq!(pace.due(now), Due::Later, "nobody is there");
        pace.up(is_cheap);
        assert_eq!(pace.due(now), Due::Now, "who comes back speaks");
        pace.spoke(now);
        assert_eq!(pace.due(now), Due::Later, "one at a time");
        pace.heard(now, 10_000);
        pace
    }

    #[tokio::test]
    async fn a_worker_speaks_at_its_beat_and_at_once_when_something_happens() {
        let now = Instant::now();
        let mut pace = talking(true, now);
        assert_eq!(pace.due(now), Due::At(now + Duration::from_secs(10)));
        assert_eq!(pace.due(now + Duration::from_secs(10)), Due::Now);
        pace.urgent();
        assert_eq!(pace.due(now), Due::Now);
    }

    #[tokio::test]
    async fn what_happens_while_a_report_is_on_its_way_is_said_after_the_answer() {
        let now = Instant::now();
        let mut pace = talking(true, now);
        pace.urgent();
        pace.spoke(now);
        pace.urgent();
        assert_eq!(pace.due(now), Due::Later);
        pace.heard(now, 10_000);
        assert_eq!(pace.due(now), Due::Now);
    }

    #[tokio::test]
    async fn numbers_are_said_once_a_second_where_that_is_cheap() {
        let now = Instant::now();
        let mut pace = talking(true, now);
        pace.numbers();
        assert_eq!(pace.due(now), Due::At(now + NUMBERS_EVERY));
        let mut pace = talking(false, now);
        pace.numbers();
        assert_eq!(pace.due(now), Due::At(now + Duration::from_secs(10)));
    }

    #[tokio::test]
    async fn a_lost_connection_is_silence_and_its_return_a_report() {
        let now = Instant::now();
        let mut pace = talking(true, now);
        pace.urgent();
        pace.spoke(now);
        pace.down();
        assert_eq!(pace.due(now + LONGEST_BEAT), Due::Later);
        pace.up(true);
        assert_eq!(pace.due(now), Due::Now);
    }

    #[tokio::test]
    async fn a_beat_without_sense_is_kept_within_bounds() {
        let now = Instant::now();
        let mut pace = talking(true, now);
        pace.heard(now, 0);
        assert_eq!(pace.due(now), Due::At(now + SHORTEST_BEAT));
        pace.heard(now, u64::MAX);
        assert_eq!(pace.due(now), Due::At(now + LONGEST_BEAT));
    }
}
