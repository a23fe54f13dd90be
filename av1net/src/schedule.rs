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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::job::FileId;
    use crate::units::{JobId, RelPath, RootId, UnixMs};

    const ORDERS: [Order; 4] = [
        Order::LargestSaving,
        Order::SmallestFirst,
        Order::Oldest,
        Order::Newest,
    ];

    /// The longest that others can go first: all the priority there is, and all that an
    /// order gives.
    const BOUND_MS: i64 = 200 * STEP_MS + ORDER_MS;

    fn job(queued_ms: i64, priority: i32, bytes: u64, modified_ns: i64) -> Job {
        let path = RelPath::new(Path::new("film.mkv")).expect("a path");
        let file = FileId {
            bytes,
            modified_ns,
            inode: 1,
        };
        let root = RootId("films".to_owned());
        let mut job = Job::found(root, path, file, None, UnixMs(queued_ms));
        job.priority = priority;
        job
    }

    prop_compose! {
        fn any_job()(
            queued in 0_i64..4_000_000_000_000,
            priority in -100..=100,
            bytes in any::<u64>(),
            modified in any::<i64>(),
        ) -> Job {
            job(queued, priority, bytes, modified)
        }
    }

    proptest! {
        #[test]
        fn what_waits_long_enough_goes_before_whatever_comes_later(
            waits in any_job(),
            mut later in any_job(),
            more in 1_i64..1_000_000_000,
            order in 0..ORDERS.len(),
        ) {
            later.queued = waits.queued.plus_ms(BOUND_MS + more);
            let order = ORDERS[order];
            prop_assert!(rank(&waits, order) < rank(&later, order));
        }

        #[test]
        fn a_higher_priority_goes_first_among_equals(
            mut one in any_job(),
            order in 0..ORDERS.len(),
        ) {
            one.priority = one.priority.min(99);
            let mut other = one.clone();
            other.priority += 1;
            prop_assert!(rank(&other, ORDERS[order]) < rank(&one, ORDERS[order]));
        }

        #[test]
        fn the_largest_goes_first_within_the_hour(
            small in 1_u64..1 << 50,
            queued in 0_i64..4_000_000_000_000,
            apart in 0_i64..3_600_000,
        ) {
            // Of what was found together, any larger one.
            let (one, larger) = (job(queued, 0, small, 0), job(queued, 0, small + 1 + small / 1000, 0));
            prop_assert!(rank(&larger, Order::LargestSaving) < rank(&one, Order::LargestSaving));
            prop_assert!(rank(&larger, Order::SmallestFirst) > rank(&one, Order::SmallestFirst));
            // Found up to an hour later, one that is eight times as large: three
            // doublings are worth 67 minutes.
            let later = job(queued + apart, 0, small * 8, 0);
            prop_assert!(rank(&later, Order::LargestSaving) < rank(&one, Order::LargestSaving));
        }
    }

    #[test]
    fn a_low_job_is_served_although_higher_ones_never_cease_to_come() {
        for order in ORDERS {
            let mut queue = vec![Job {
                id: JobId(0),
                ..job(0, -100, 1, i64::MAX)
            }];
            // One job comes and one is served each hour; a second one waits from the
            // start, so that there is always a rival.
            let mut served_at = None;
            for hour in 0..1000 {
                let arrivals = if hour == 0 { 2 } else { 1 };
                for _ in 0..arrivals {
                    let fresh = job(hour * STEP_MS, 100, u64::MAX, i64::MAX);
                    queue.push(Job {
                        id: JobId(hour + 1),
                        ..fresh
                    });
                }
                queue.sort_by_key(|job| std::cmp::Reverse((rank(job, order), job.id)));
                if queue.pop().is_some_and(|job| job.id == JobId(0)) {
                    served_at = Some(hour);
                    break;
                }
            }
            let waited = served_at.expect("served");
            assert!(waited > 100, "priority counts: {waited} hours, {order:?}");
            assert!(
                waited * STEP_MS <= BOUND_MS + 2 * STEP_MS,
                "{waited} hours, {order:?}"
            );
        }
    }

    #[test]
    fn orders_that_say_nothing_of_size_go_by_age() {
        let (old, new) = (job(0, 0, 1, 0), job(1, 0, 1 << 40, i64::MAX));
        assert!(rank(&old, Order::Oldest) < rank(&new, Order::Oldest));
        assert!(rank(&new, Order::Newest) < rank(&old, Order::Newest));
    }
}
