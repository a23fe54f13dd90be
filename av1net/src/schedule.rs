//! Which pending job is next: pure. A job's rank is fixed when it is queued, so that an
//! index finds the next one among millions; since all age alike, a fixed rank ages too.

use serde::{Deserialize, Serialize};

use crate::job::Job;

/// What comes first among jobs of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Where most is likely to be saved: the largest files.
    #[default]
    LargestSaving,
    /// The smallest files, so that something is done soon.
    SmallestFirst,
    /// As they were found.
    Oldest,
    /// The files that changed last.
    Newest,
}

/// A step of priority is worth so much waiting: what waits that much longer goes first,
/// whatever its priority is. With 100 steps the longest a job can be held up by others
/// of higher priority is some days.
const STEP_MS: i64 = 3_600_000;

/// The most that an order can put a job in front of another, as waiting.
const ORDER_MS: i64 = 24 * 3_600_000;

/// The rank of a pending job: the least goes first; ties by number.
#[must_use]
pub fn rank(job: &Job, order: Order) -> i64 {
    let priority = i64::from(job.priority).saturating_mul(STEP_MS);
    let ahead = match order {
        Order::LargestSaving => by_size(job.file.bytes),
        Order::SmallestFirst => ORDER_MS - by_size(job.file.bytes),
        Order::Oldest => 0,
        // Seconds of modification within the last decades, mapped into the bound.
        Order::Newest => by_age(job.file.modified_ns),
    };
    job.queued.0.saturating_sub(priority).saturating_sub(ahead)
}

/// Grows with the size, up to the bound, in steps fine enough to tell any two films
/// apart that differ by a thousandth: 64 doublings share the bound.
fn by_size(bytes: u64) -> i64 {
    let log = (bytes.max(1) as f64).log2();
    (log / 64.0 * ORDER_MS as f64) as i64
}

/// Linear from 1990 to 2090.
fn by_age(modified_ns: i64) -> i64 {
    const FROM_S: f64 = 631_152_000.0;
    const SPAN_S: f64 = 100.0 * 365.25 * 86_400.0;
    let seconds = modified_ns as f64 / 1e9;
    (((seconds - FROM_S) / SPAN_S).clamp(0.0, 1.0) * ORDER_MS as f64) as i64
}
