//! Anything at all, to hold one store against another.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::store::Counters;

/// Files, names, roots and moments are few, so that ops meet each other.
fn any_file() -> impl Strategy<Value = FileId> {
    (1_u64..5).prop_map(|n| file(n * 100))
}

fn any_name() -> impl Strategy<Value = RelPath> {
    select(vec!["a.avi", "a.mkv", "b/c.avi", "b/c.mkv", "d.mkv"]).prop_map(path)
}

fn any_root() -> impl Strategy<Value = RootId> {
    select(vec!["films", "films", "series", "nowhere"]).prop_map(root)
}

fn any_now() -> impl Strategy<Value = UnixMs> {
    // A few days, so that there are days with savings.
    (0_i64..40).prop_map(|n| NOW.plus_ms(n * 7_000_000))
}

fn any_reason() -> impl Strategy<Value = Option<Reason>> {
    proptest::option::of(select(vec!["excluded", "av1_already"]).prop_map(reason))
}

fn any_event() -> impl Strategy<Value = JobEvent> {
    use JobEvent as E;
    let committed = (any_name(), any_file()).prop_map(|(path, file)| Committed {
        path,
        file,
        ..committed("x", 450, 1)
    });
    prop_oneof![
        4 => Just(E::Grant { worker: worker("x") }),
        4 => Just(E::Staged { staged: staged(77) }),
        4 => Just(E::Permit),
        8 => committed.prop_map(|committed| E::Committed { committed }),
        1 => Just(E::LeaveAlone { reason: reason("not_worthwhile") }),
        2 => any::<bool>().prop_map(|retryable| E::AttemptFailed { failure: failure(retryable) }),
        1 => Just(E::HandBack),
        2 => Just(E::LeaseLost { reason: reason("lease_lost") }),
        1 => Just(E::NotCommitted),
        1 => Just(E::RetryDue),
        1 => Just(E::Cancel),
        2 => Just(E::Retry),
        1 => Just(E::Skip),
        2 => (-100..=100).prop_map(|priority| E::Prioritise { priority }),
        1 => any_file().prop_map(|file| E::SourceChanged { file, leave_alone: None }),
        1 => Just(E::Vanished),
    ]
}

fn any_change() -> impl Strategy<Value = ScanChange> {
    let job = || (1_i64..12).prop_map(JobId);
    prop_oneof![
        4 => (any_name(), any_file(), any_reason()).prop_map(|(path, file, leave_alone)| {
            ScanChange::New { path, file, leave_alone }
        }),
        1 => (job(), any_file(), any_file(), any_reason()).prop_map(
            |(job, was, file, leave_alone)| ScanChange::Changed { job, was, file, leave_alone }
        ),
        1 => (job(), any_file()).prop_map(|(job, was)| ScanChange::Gone { job, was }),
    ]
}

fn any_op() -> impl Strategy<Value = Op> {
    let job = (1_i64..12).prop_map(JobId);
    let epoch = proptest::option::weighted(0.3, (0_u64..4).prop_map(Epoch));
    let events = proptest::collection::vec(any_event(), 0..5);
    // Whole ways, which hardly come about by chance.
    let way = (any_name(), any_file()).prop_map(|(path, file)| {
        let committed = Committed {
            path,
            file,
            ..committed("x", 450, 1)
        };
        let mut way = vec![JobEvent::Grant {
            worker: worker("x"),
        }];
        way.extend(way_to(committed));
        way
    });
    let to_the_permit = Just(vec![
        JobEvent::Grant {
            worker: worker("y"),
        },
        JobEvent::Staged { staged: staged(78) },
        JobEvent::Permit,
    ]);
    let events = prop_oneof![3 => events, 1 => way, 1 => to_the_permit];
    let changes = proptest::collection::vec(any_change(), 1..6);
    let roots = proptest::collection::vec(any_root(), 0..3);
    prop_oneof![
        8 => (job, epoch, events, any_now()).prop_map(|(job, epoch, events, now)| {
            Op::Apply { job, epoch, events, now }
        }),
        2 => (roots, 0_usize..4, any_now()).prop_map(|(roots, limit, now)| {
            Op::Claim { worker: worker("w"), roots, limit, now }
        }),
        1 => any_now().prop_map(|now| Op::ReleaseDue { now }),
        4 => (any_root(), changes, any_now()).prop_map(|(root, changes, now)| {
            Op::Scan { root, changes, now }
        }),
        1 => select(vec!["films", "series"]).prop_map(put_root),
    ]
}

/// Transactions that come one after the other; the first one makes the roots.
pub(crate) fn any_batches() -> impl Strategy<Value = Vec<Vec<Op>>> {
    let batch = proptest::collection::vec(any_op(), 1..8);
    proptest::collection::vec(batch, 1..8).prop_map(|mut batches| {
        batches.insert(0, vec![put_root("films"), put_root("series")]);
        batches
    })
}

/// What one store answers otherwise than another, to every question that can be asked.
pub(crate) fn differences(one: &dyn Store, other: &dyn Store) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: String, one: String, other: String| {
        if one != other {
            found.push(format!("{what}:\n  {one}\n  {other}"));
        }
    };
    for sort in SORTS {
        for descending in [false, true] {
            let query = everything(sort, descending, 3);
            let list = |store| format!("{:?}", whole_list(store, &query));
            compare(format!("{query:?}"), list(one), list(other));
        }
    }
    let all = whole_list(one, &everything(SortBy::Path, false, 500));
    for job in &all {
        let of = |store: &dyn Store| {
            let attempts = store.attempts(job.id, 99).expect("reads");
            let at = store.job_at(&job.root, &job.path).expect("reads");
            format!(
                "{:?} {at:?} {attempts:?}",
                store.job(job.id).expect("reads")
            )
        };
        compare(format!("job {}", job.id), of(one), of(other));
    }
    let sums = |store: &dyn Store| {
        format!(
            "{:?} {:?} {:?} {:?} {:?}",
            store.counters().expect("reads"),
            store.saved_by_day(UnixMs(0)).expect("reads"),
            store.next_due().expect("reads"),
            store.active().expect("reads"),
            store.roots().expect("reads"),
        )
    };
    compare("sums".to_owned(), sums(one), sums(other));
    for of in ["films", "series"] {
        let rows = |store: &dyn Store| {
            format!(
                "{:?}",
                store.scan_rows(&root(of), None, 999).expect("reads")
            )
        };
        compare(format!("scan of {of}"), rows(one), rows(other));
    }
    found
}

/// That the counters are what counting gives.
pub(crate) fn expect_sums(store: &dyn Store) {
    let mut counted = Counters::default();
    let mut by_state: BTreeMap<JobState, u64> = BTreeMap::new();
    for job in whole_list(store, &everything(SortBy::Path, false, 500)) {
        *by_state.entry(job.state).or_default() += 1;
        if job.state != JobState::Vanished {
            counted.library_bytes += job.file.bytes;
        }
    }
    counted.by_state = by_state;
    let mut kept = store.counters().expect("reads");
    kept.by_state.retain(|_, jobs| *jobs > 0);
    // Of replacements ever, the history tells; jobs that were absorbed took theirs along.
    counted.saved_bytes = kept.saved_bytes;
    counted.replaced_source_bytes = kept.replaced_source_bytes;
    counted.frames = kept.frames;
    assert_eq!(kept, counted);
    let days = store.saved_by_day(UnixMs(0)).expect("reads");
    let saved: i64 = days.iter().map(|day| day.saved_bytes).sum();
    assert_eq!(kept.saved_bytes, saved);
}
