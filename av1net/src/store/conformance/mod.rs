//! What the trait promises, as tests that every implementation has to pass:
//! `conformance::suite!(fresh)` makes a test of each of them, where `fresh`
//! makes an empty store (and whatever has to live as long as it).

pub(crate) mod list;
mod random;
pub(crate) mod work;

use std::path::Path;

pub(crate) use self::random::{any_batches, differences, expect_sums};

use super::{Done, Filter, Op, OpResult, Page, PageQuery, RootRecord, ScanChange, SortBy, Store};
use crate::job::{
    Committed, Failure, FileId, Job, JobEvent, JobState, Reason, RetryPolicy, StagedFile,
};
use crate::units::{Epoch, JobId, RelPath, RootId, UnixMs, WorkerId};

macro_rules! suite {
    ($fresh:expr) => {
        $crate::store::conformance::suite!($fresh, work:
            a_scan_makes_jobs_and_tells_what_it_did,
            a_scan_of_an_unknown_root_is_refused,
            a_scan_that_comes_late_changes_nothing,
            a_file_that_comes_back_is_queued_again,
            the_best_of_the_roots_are_granted_and_each_once,
            a_job_goes_its_way_and_all_of_it_is_remembered,
            a_stale_epoch_changes_nothing,
            what_is_said_twice_is_refused_the_second_time,
            events_of_one_op_happen_all_or_none,
            a_refusal_harms_no_other_op_of_its_batch,
            failed_attempts_wait_and_are_released_when_due,
            a_replacement_takes_its_name_from_a_job_of_the_same_file,
            a_replacement_leaves_its_name_to_a_job_at_work,
            numbers_are_never_given_again,
            what_is_kept_beside_jobs_reads_back
        );
        $crate::store::conformance::suite!($fresh, list:
            pages_hold_everything_once_in_every_order,
            pages_hold_what_stays_while_other_rows_change,
            a_page_holds_what_its_filter_takes,
            a_cursor_of_another_order_is_an_error,
            a_page_is_bounded,
            the_queue_is_in_the_order_of_grants,
            a_scan_reads_its_root_in_byte_order
        );
    };
    ($fresh:expr, $module:ident: $($name:ident),+) => {
        $(
            #[test]
            fn $name() {
                let (store, _keeps) = $fresh();
                $crate::store::conformance::$module::$name(&store);
            }
        )+
    };
}
pub(crate) use suite;

/// How jobs are tried in these tests.
pub(crate) const RETRY: RetryPolicy = RetryPolicy {
    max_attempts: 3,
    first_wait_ms: 1000,
    longest_wait_ms: 10_000,
};

pub(crate) const NOW: UnixMs = UnixMs(1_700_000_000_000);

pub(crate) fn root(name: &str) -> RootId {
    RootId(name.to_owned())
}

pub(crate) fn path(name: &str) -> RelPath {
    RelPath::new(Path::new(name)).expect("a path below a root")
}

pub(crate) fn worker(name: &str) -> WorkerId {
    WorkerId(name.to_owned())
}

pub(crate) fn file(bytes: u64) -> FileId {
    FileId {
        bytes,
        modified_ns: 1_600_000_000_000_000_000,
        // Beyond what is signed: some file systems hash their inode numbers.
        inode: u64::MAX - bytes,
    }
}

pub(crate) fn reason(kind: &str) -> Reason {
    Reason {
        kind: kind.to_owned(),
        message: format!("because of {kind}"),
    }
}

pub(crate) fn staged(bytes: u64) -> StagedFile {
    StagedFile {
        token: "0123456789abcdef".to_owned(),
        bytes,
    }
}

pub(crate) fn committed(name: &str, source_bytes: u64, bytes: u64) -> Committed {
    Committed {
        path: path(name),
        file: file(bytes),
        source_bytes,
        frames: 240,
        elapsed_ms: 77,
        encoder: "SVT-AV1 9.9".to_owned(),
        warnings: vec!["a subtitle was dropped".to_owned()],
    }
}

pub(crate) fn failure(retryable: bool) -> Failure {
    Failure {
        reason: reason("no_space"),
        retryable,
        crashed: false,
    }
}

pub(crate) fn put_root(name: &str) -> Op {
    Op::PutRoot(RootRecord {
        id: root(name),
        path: format!("/media/{name}"),
        scanned: None,
    })
}

pub(crate) fn new_file(name: &str, bytes: u64) -> ScanChange {
    ScanChange::New {
        path: path(name),
        file: file(bytes),
        leave_alone: None,
    }
}

pub(crate) fn scan(of: &str, changes: Vec<ScanChange>, now: UnixMs) -> Op {
    Op::Scan {
        root: root(of),
        changes,
        now,
    }
}

pub(crate) fn claim_op(to: &str, roots: &[&str], limit: usize) -> Op {
    Op::Claim {
        worker: worker(to),
        roots: roots.iter().map(|name| root(name)).collect(),
        limit,
        now: NOW,
    }
}

pub(crate) fn apply_op(job: JobId, epoch: Option<u64>, events: Vec<JobEvent>, now: UnixMs) -> Op {
    Op::Apply {
        job,
        epoch: epoch.map(Epoch),
        events,
        now,
    }
}

/// One op in a transaction of its own.
pub(crate) fn write(store: &dyn Store, op: Op) -> OpResult {
    let mut results = store.write(&[op]).expect("durable");
    assert_eq!(results.len(), 1);
    results.pop().expect("one")
}

/// Puts a root with these files, all found at [`NOW`].
pub(crate) fn library(store: &dyn Store, name: &str, files: &[(&str, u64)]) {
    let changes = files.iter().map(|(name, bytes)| new_file(name, *bytes));
    let ops = [put_root(name), scan(name, changes.collect(), NOW)];
    for result in store.write(&ops).expect("durable") {
        result.expect("taken");
    }
}

pub(crate) fn at(store: &dyn Store, of: &str, name: &str) -> Job {
    let job = store.job_at(&root(of), &path(name)).expect("reads");
    job.expect("a job of this name")
}

pub(crate) fn claim(store: &dyn Store, to: &str, roots: &[&str], limit: usize) -> Vec<Job> {
    match write(store, claim_op(to, roots, limit)) {
        Ok(Done::Jobs(jobs)) => jobs,
        other => panic!("{other:?}"),
    }
}

/// The job afterwards; all is taken.
pub(crate) fn apply(store: &dyn Store, job: &Job, events: Vec<JobEvent>, now: UnixMs) -> Job {
    match write(store, apply_op(job.id, Some(job.epoch.0), events, now)) {
        Ok(Done::Applied(pair)) => {
            let (before, after) = *pair;
            assert_eq!(&before, job);
            assert_eq!(store.job(job.id).expect("reads").as_ref(), Some(&after));
            after
        }
        other => panic!("{other:?}"),
    }
}

/// From a lease to a replacement.
pub(crate) fn way_to(committed: Committed) -> Vec<JobEvent> {
    vec![
        JobEvent::Staged {
            staged: staged(committed.file.bytes),
        },
        JobEvent::Permit,
        JobEvent::Committed { committed },
    ]
}

/// Every page of a list, one after the other.
pub(crate) fn whole_list(store: &dyn Store, query: &PageQuery) -> Vec<Job> {
    let mut query = query.clone();
    let mut jobs = Vec::new();
    loop {
        let Page { jobs: more, next } = store.page(&query).expect("reads");
        assert!(more.len() <= query.limit);
        jobs.extend(more);
        match next {
            Some(next) => query.after = Some(next),
            None => return jobs,
        }
    }
}

/// A query of everything, what is gone as well.
pub(crate) fn everything(sort: SortBy, descending: bool, limit: usize) -> PageQuery {
    PageQuery {
        filter: Filter {
            states: JobState::ALL.to_vec(),
            ..Filter::default()
        },
        sort,
        descending,
        after: None,
        limit,
    }
}

pub(crate) const SORTS: [SortBy; 5] = [
    SortBy::Changed,
    SortBy::Path,
    SortBy::Bytes,
    SortBy::Saved,
    SortBy::Queue,
];
