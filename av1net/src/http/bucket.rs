//! How often somebody may ask: token buckets, and a bounded table of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often: so many at once, and so many each second after that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// At once.
    pub burst: f64,
    /// Each second.
    pub per_second: f64,
}

/// What is left of a [`Rate`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            level: rate.burst,
            at: now,
        }
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * rate.per_second).min(rate.burst);
        self.at = self.at.max(now);
    }

    /// Takes one.
    ///
    /// # Errors
    ///
    /// How long until there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.fill(rate, now);
        if self.level >= 1.0 {
            self.level -= 1.0;
            return Ok(());
        }
        // A rate of nothing fills in a day, which is as good as never.
        let wait_s = (1.0 - self.level) / rate.per_second.max(1.0 / 86_400.0);
        Err(Duration::from_secs_f64(wait_s))
    }

    /// Takes one, on credit where there is none, and says how long to wait before going
    /// on: what slows somebody down rather than refusing.
    pub(super) fn owe(&mut self, rate: Rate, now: Instant) -> Duration {
        match self.take(rate, now) {
            Ok(()) => Duration::ZERO,
            Err(wait) => {
                self.level -= 1.0;
                wait
            }
        }
    }

    fn is_full(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.level >= rate.burst
    }
}

/// Buckets by who asks, of a bounded number.
pub(super) struct Buckets<K> {
    rate: Rate,
    most: usize,
    buckets: Mutex<HashMap<K, Bucket>>,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    pub(super) fn new(rate: Rate, most: usize) -> Self {
        Self {
            rate,
            most,
            buckets: Mutex::default(),
        }
    }

    /// Takes one from the bucket of `key`.
    ///
    /// # Errors
    ///
    /// How long until there is one.
    pub(super) fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(key) && buckets.len() >= self.most {
            buckets.retain(|_, bucket| !bucket.is_full(self.rate, now));
            // Nobody's is full: the fullest is the next to be, and who emptied theirs is
            // not forgotten for others that come.
            if buckets.len() >= self.most {
                let fullest = buckets
                    .iter()
                    .max_by(|(_, a), (_, b)| a.level.total_cmp(&b.level));
                let fullest = fullest.map(|(key, _)| key.clone());
                fullest.and_then(|key| buckets.remove(&key));
            }
        }
        let bucket = buckets
            .entry(key.clone())
            .or_insert_with(|| Bucket::full(self.rate, now));
        bucket.take(self.rate, now)
    }

    /// Gives one back, to who turned out to be welcome.
    pub(super) fn give_back(&self, key: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.level = (bucket.level + 1.0).min(self.rate.burst);
        }
    }
}

/// Whole seconds for `Retry-After`: rounded up, at least one.
pub(super) fn retry_after_s(wait: Duration) -> u64 {
    (wait.as_secs_f64().ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: Rate = Rate {
        burst: 3.0,
        per_second: 2.0,
    };

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(RATE, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, start), Ok(()));
        }
        assert_eq!(bucket.take(RATE, start), Err(Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take(RATE, later), Ok(()));
        assert!(bucket.take(RATE, later).is_err());
        // A clock that was read earlier by another thread gives nothing.
        assert!(bucket.take(RATE, start).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn who_owes_waits_longer_each_time() {
        let now = Instant::now();
        let mut bucket = Bucket::full(RATE, now);
        let waits: Vec<_> = (0..5).map(|_| bucket.owe(RATE, now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1000]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_is_bounded_and_remembers_who_asked_most() {
        let now = Instant::now();
        let buckets = Buckets::new(RATE, 2);
        for _ in 0..4 {
            let _ = buckets.take(&1, now);
        }
        let later = now + Duration::from_millis(10);
        assert_eq!(buckets.take(&2, later), Ok(()));
        assert_eq!(buckets.take(&3, later), Ok(()));
        assert_eq!(buckets.buckets.lock().expect("no panic").len(), 2);
        assert!(buckets.take(&1, later).is_err());
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate_allow(steps in proptest::collection::vec(0u64..2000, 1..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let start = runtime.block_on(async { Instant::now() });
            let mut bucket = Bucket::full(RATE, start);
            let (mut now, mut taken) = (start, 0.0);
            for step in steps {
                now += Duration::from_millis(step);
                if bucket.take(RATE, now).is_ok() { taken += 1.0; }
            }
            let passed = (now - start).as_secs_f64();
            prop_assert!(taken <= RATE.burst + RATE.per_second * passed + 1e-6);
        }
    }
}
