//! What is read of many jobs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::*;
use crate::store::StoreError;

/// Jobs in eight states, in two roots, with names, sizes and times that are often the
/// same: what tells them apart is often their number alone.
fn mixed(store: &dyn Store) {
    let names: Vec<String> = (0..40)
        .map(|n| format!("{}/film {n:02}.avi", ["Ä", "b", "C"][n % 3]))
        .collect();
    let files: Vec<(&str, u64)> = names
        .iter()
        .enumerate()
        .map(|(n, name)| (name.as_str(), 1000 + (n % 4) as u64))
        .collect();
    library(store, "films", &files);
    library(store, "series", &files);
    for (n, job) in claim(store, "w", &["films", "series"], 60)
        .iter()
        .enumerate()
    {
        let now = NOW.plus_ms(n as i64 / 7 * 100);
        let output = 500 + (n % 3) as u64;
        let mkv = job.path.to_string().replace(".avi", ".mkv");
        match n % 8 {
            0 | 1 => apply(store, job, way_to(committed(&mkv, 1000, output)), now),
            2 => {
                let failure = failure(true);
                apply(store, job, vec![JobEvent::AttemptFailed { failure }], now)
            }
            3 => {
                let failure = failure(false);
                apply(store, job, vec![JobEvent::AttemptFailed { failure }], now)
            }
            4 => {
                let kind = ["not_worthwhile", "av1_already"][n % 16 / 8];
                let reason = reason(kind);
                apply(store, job, vec![JobEvent::LeaveAlone { reason }], now)
            }
            5 => apply(store, job, vec![JobEvent::Cancel, JobEvent::Vanished], now),
            6 => apply(store, job, vec![JobEvent::Cancel], now),
            _ => continue,
        };
    }
}

pub(crate) fn pages_hold_everything_once_in_every_order(store: &dyn Store) {
    mixed(store);
    for sort in SORTS {
        let up = whole_list(store, &everything(sort, false, 500));
        assert_eq!(up.len(), 80, "{sort:?}");
        let ids: BTreeSet<JobId> = up.iter().map(|job| job.id).collect();
        assert_eq!(ids.len(), 80, "{sort:?}");
        let mut down = whole_list(store, &everything(sort, true, 500));
        down.reverse();
        assert_eq!(up, down, "{sort:?}");
        for limit in [1, 7, 79, 80] {
            assert_eq!(whole_list(store, &everything(sort, false, limit)), up);
            let mut down = whole_list(store, &everything(sort, true, limit));
            down.reverse();
            assert_eq!(down, up, "{sort:?} {limit}");
        }
        let sorted = |key: fn(&Job) -> i64| up.is_sorted_by_key(|job| (key(job), job.id));
        match sort {
            SortBy::Changed => assert!(sorted(|job| job.changed.0)),
            SortBy::Path => assert!(up.is_sorted_by_key(|job| (job.path.clone(), job.id))),
            SortBy::Bytes => assert!(sorted(|job| job.file.bytes as i64)),
            SortBy::Saved => {
                let done = up.iter().filter(|job| job.state == JobState::Completed);
                assert_eq!(done.clone().count(), 16);
                assert!(up[up.len() - 16..].iter().eq(done.clone()));
                let saved = |job: &Job| job.committed.as_ref().map(Committed::saved_bytes);
                assert!(done.is_sorted_by_key(|job| (saved(job), job.id)));
            }
            SortBy::Queue => {
                let waits = |job: &&Job| job.state == JobState::Pending;
                assert!(up[..20].iter().all(|job| waits(&job)));
                assert!(!up[20..].iter().any(|job| waits(&job)));
            }
        }
    }
}

pub(crate) fn pages_hold_what_stays_while_other_rows_change(store: &dyn Store) {
    mixed(store);
    for sort in SORTS {
        for descending in [false, true] {
            let mut query = everything(sort, descending, 5);
            let before = whole_list(store, &query);
            let mut seen = Vec::new();
            let mut moved = BTreeSet::new();
            loop {
                let page = store.page(&query).expect("reads");
                seen.extend(page.jobs.iter().map(|job| job.id));
                // Some that wait change their place: to the front, to the end, or to a
                // place in between.
                let n = seen.len() as i64;
                let jobs = claim(store, "w", &["films", "series"], 1);
                for job in jobs {
                    moved.insert(job.id);
                    let event = [JobEvent::HandBack, JobEvent::Cancel][seen.len() % 2].clone();
                    let job = apply(store, &job, vec![event], NOW.plus_ms(n));
                    if job.state == JobState::Cancelled {
                        let events = vec![JobEvent::Retry];
                        apply(store, &job, events, NOW.plus_ms(n * 1000));
                    }
                }
                match page.next {
                    Some(next) => query.after = Some(next),
                    None => break,
                }
            }
            let stayed = |ids: &[JobId]| -> Vec<JobId> {
                ids.iter()
                    .filter(|id| !moved.contains(id))
                    .copied()
                    .collect()
            };
            let before: Vec<JobId> = before.iter().map(|job| job.id).collect();
            assert!(!moved.is_empty());
            assert_eq!(stayed(&seen), stayed(&before), "{sort:?} {descending}");
        }
    }
}

pub(crate) fn a_page_holds_what_its_filter_takes(store: &dyn Store) {
    mixed(store);
    let all = whole_list(store, &everything(SortBy::Changed, false, 500));
    let kind = |job: &Job| job.reason.as_ref().map(|reason| reason.kind.clone());
    let expect = |filter: Filter, takes: &dyn Fn(&Job) -> bool| {
        let mut some = false;
        for sort in SORTS {
            let query = PageQuery {
                filter: filter.clone(),
                sort,
                limit: 7,
                ..PageQuery::default()
            };
            let list = whole_list(store, &query);
            let ids: BTreeSet<JobId> = list.iter().map(|job| job.id).collect();
            assert_eq!(ids.len(), list.len(), "once each: {filter:?}");
            let right = all.iter().filter(|job| takes(job)).map(|job| job.id);
            assert_eq!(ids, right.collect(), "{filter:?} {sort:?}");
            some |= !list.is_empty();
        }
        assert!(some, "the test holds something that passes {filter:?}");
    };
    let any = Filter::default;
    expect(any(), &|job| job.state != JobState::Vanished);
    for state in [JobState::Pending, JobState::Vanished, JobState::Completed] {
        let states = vec![state, state];
        expect(Filter { states, ..any() }, &|job| job.state == state);
    }
    let failed = [JobState::Failed, JobState::RetryWait];
    let states = failed.to_vec();
    expect(Filter { states, ..any() }, &|job| {
        failed.contains(&job.state)
    });
    let films = Some(root("films"));
    let filter = Filter {
        root: films.clone(),
        ..any()
    };
    expect(filter, &|job| {
        job.root == root("films") && job.state != JobState::Vanished
    });
    // Whatever its case, beyond ASCII too.
    for (search, holds) in [("C/FILM", "C/film"), ("ä/", "Ä/"), ("MKV", "mkv"), ("", "")] {
        let filter = Filter {
            search: Some(search.to_owned()),
            ..any()
        };
        expect(filter, &|job| {
            job.path.to_string().contains(holds) && job.state != JobState::Vanished
        });
    }
    let filter = Filter {
        reason: Some("av1_already".to_owned()),
        search: Some("film".to_owned()),
        states: vec![JobState::Skipped, JobState::Failed],
        root: films,
    };
    expect(filter, &|job| {
        job.root == root("films") && kind(job).as_deref() == Some("av1_already")
    });
    let nothing = PageQuery {
        filter: Filter {
            root: Some(root("nowhere")),
            ..any()
        },
        ..PageQuery::default()
    };
    assert_eq!(
        whole_list(
            store,
            &PageQuery {
                limit: 5,
                ..nothing
            }
        ),
        []
    );
}

pub(crate) fn a_cursor_of_another_order_is_an_error(store: &dyn Store) {
    mixed(store);
    for sort in SORTS {
        let page = store.page(&everything(sort, false, 3)).expect("reads");
        let next = page.next.expect("more");
        let url_safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        assert!(next.0.chars().all(url_safe), "{next:?}");
        for other in SORTS {
            let mut query = everything(other, false, 3);
            query.after = Some(next.clone());
            let page = store.page(&query);
            if sort == other {
                assert_eq!(page.expect("reads").jobs.len(), 3);
            } else {
                assert!(matches!(page, Err(StoreError::BadCursor)), "{page:?}");
            }
        }
        for text in ["", "ü", "ca", "ca1", "ca1.x", "pp!.1", "cp1.1", "pa1.1"] {
            let mut query = everything(sort, false, 3);
            query.after = Some(crate::store::Cursor(text.to_owned()));
            assert!(matches!(store.page(&query), Err(StoreError::BadCursor)));
        }
    }
}

pub(crate) fn a_page_is_bounded(store: &dyn Store) {
    let names: Vec<String> = (0..600).map(|n| format!("film {n}")).collect();
    let files: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
    library(store, "films", &files);
    let jobs = |limit| {
        let query = everything(SortBy::Path, false, limit);
        store.page(&query).expect("reads").jobs.len()
    };
    assert_eq!((jobs(usize::MAX), jobs(501), jobs(3)), (500, 500, 3));
    // An empty page with a cursor would never end.
    assert_eq!(jobs(0), 1);
}

pub(crate) fn the_queue_is_in_the_order_of_grants(store: &dyn Store) {
    mixed(store);
    let pending = PageQuery {
        filter: Filter {
            states: vec![JobState::Pending],
            ..Filter::default()
        },
        sort: SortBy::Queue,
        limit: 3,
        ..PageQuery::default()
    };
    let listed: Vec<JobId> = whole_list(store, &pending)
        .iter()
        .map(|job| job.id)
        .collect();
    let granted = claim(store, "w", &["series", "films"], 500);
    let granted: Vec<JobId> = granted.iter().map(|job| job.id).collect();
    assert_eq!(listed, granted);
    assert_eq!(listed.len(), 20);
}

pub(crate) fn a_scan_reads_its_root_in_byte_order(store: &dyn Store) {
    library(store, "other", &[("a", 1)]);
    write(store, put_root("films")).expect("taken");
    let names: [&[u8]; 6] = [b"a b/1", b"a/2", b"a\xff/3", b"Z", "ä".as_bytes(), b"b"];
    let changes = names.map(|name| ScanChange::New {
        path: RelPath::new(Path::new(OsStr::from_bytes(name))).expect("a path"),
        file: file(7),
        leave_alone: (name == b"b").then(|| reason("excluded")),
    });
    write(store, scan("films", changes.to_vec(), NOW)).expect("taken");
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let mut read = Vec::new();
    let mut after: Option<RelPath> = None;
    loop {
        let rows = store
            .scan_rows(&root("films"), after.as_ref(), 2)
            .expect("reads");
        assert!(rows.len() <= 2);
        let Some(last) = rows.last() else { break };
        after = Some(last.path.clone());
        read.extend(rows);
    }
    let paths: Vec<&[u8]> = read.iter().map(|row| row.path.as_bytes()).collect();
    assert_eq!(paths, sorted);
    for row in &read {
        let job = store.job(row.job).expect("reads").expect("a job");
        assert_eq!(
            (job.path, job.file, job.state),
            (row.path.clone(), row.file, row.state)
        );
        assert_eq!(job.reason.map(|reason| reason.kind), row.reason);
    }
    assert_eq!(read.iter().filter(|row| row.reason.is_some()).count(), 1);
    assert_eq!(
        store.scan_rows(&root("nowhere"), None, 9).expect("reads"),
        []
    );
}
