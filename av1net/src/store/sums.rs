//! The counters, and what a transaction adds to them.

use std::collections::BTreeMap;

use super::record::{Counters, SavedDay};
use crate::job::{Committed, Job, JobState};
use crate::units::{RootId, UnixMs};

/// Milliseconds of a day; UTC has no other ones as seen from 1970's milliseconds.
const DAY_MS: i64 = 86_400_000;

/// Differences, or the sums themselves where they begin at nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Jobs by root, and by [`JobState`] as a number.
    pub(super) jobs: BTreeMap<RootId, [i64; JobState::ALL.len()]>,
    /// Bytes of all files that are there.
    pub(super) library_bytes: i64,
    /// Bytes saved by replacements.
    pub(super) saved_bytes: i64,
    /// Bytes of the sources replaced.
    pub(super) replaced_source_bytes: i64,
    /// Frames of the replacements.
    pub(super) frames: i64,
    /// By the first moment of each day: bytes saved, and replacements.
    pub(super) days: BTreeMap<UnixMs, (i64, i64)>,
}

impl Sums {
    /// A job is there that was not.
    pub(super) fn job_added(&mut self, job: &Job) {
        self.count(job, 1);
    }

    /// A job is there no longer.
    pub(super) fn job_removed(&mut self, job: &Job) {
        self.count(job, -1);
    }

    fn count(&mut self, job: &Job, by: i64) {
        if !self.jobs.contains_key(&job.root) {
            self.jobs.insert(job.root.clone(), Default::default());
        }
        if let Some(states) = self.jobs.get_mut(&job.root) {
            states[job.state as usize] += by;
        }
        if job.state != JobState::Vanished {
            self.library_bytes += by * signed(job.file.bytes);
        }
    }

    /// A replacement happened.
    pub(super) fn replaced(&mut self, committed: &Committed, now: UnixMs) {
        let saved = committed.saved_bytes();
        self.saved_bytes += saved;
        self.replaced_source_bytes += signed(committed.source_bytes);
        self.frames += signed(committed.frames);
        let day = self.days.entry(day_of(now)).or_default();
        day.0 += saved;
        day.1 += 1;
    }

    /// Adds differences.
    pub(super) fn add(&mut self, more: &Self) {
        for (root, more) in &more.jobs {
            let states = self.jobs.entry(root.clone()).or_default();
            for (sum, more) in states.iter_mut().zip(more) {
                *sum += more;
            }
        }
        self.library_bytes += more.library_bytes;
        self.saved_bytes += more.saved_bytes;
        self.replaced_source_bytes += more.replaced_source_bytes;
        self.frames += more.frames;
        for (day, more) in &more.days {
            let day = self.days.entry(*day).or_default();
            day.0 += more.0;
            day.1 += more.1;
        }
    }

    /// As the store's callers see them.
    pub(super) fn counters(&self) -> Counters {
        let mut counters = Counters {
            by_state: BTreeMap::new(),
            library_bytes: unsigned(self.library_bytes),
            saved_bytes: self.saved_bytes,
            replaced_source_bytes: unsigned(self.replaced_source_bytes),
            frames: unsigned(self.frames),
        };
        for states in self.jobs.values() {
            for state in JobState::ALL {
                let jobs = unsigned(states[state as usize]);
                if jobs > 0 {
                    *counters.by_state.entry(state).or_default() += jobs;
                }
            }
        }
        counters
    }
}

impl Sums {
    /// The days from this moment's day on, oldest first.
    pub(super) fn days_since(&self, since: UnixMs) -> Vec<SavedDay> {
        let day = |(day, sums): (&UnixMs, &(i64, i64))| SavedDay {
            day: *day,
            saved_bytes: sums.0,
            completed: unsigned(sums.1),
        };
        self.days.range(day_of(since)..).map(day).collect()
    }
}

/// The first moment of a moment's day, UTC.
pub(super) fn day_of(now: UnixMs) -> UnixMs {
    UnixMs(now.0.div_euclid(DAY_MS).saturating_mul(DAY_MS))
}

/// No file and no sum of files comes near 2^63 bytes.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Sums of what is there are never negative.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
