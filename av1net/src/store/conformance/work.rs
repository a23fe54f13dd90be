//! What ops do.

use super::*;
use crate::store::{Attempt, KnownWorker, Refused, SavedDay, ScanCounts, Verdict};

fn scanned(result: OpResult) -> (u64, u64, u64) {
    match result {
        Ok(Done::Scanned(ScanCounts {
            added,
            changed,
            gone,
        })) => (added, changed, gone),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_scan_makes_jobs_and_tells_what_it_did(store: &dyn Store) {
    write(store, put_root("films")).expect("taken");
    let left = ScanChange::New {
        path: path("trailer.mkv"),
        file: file(5),
        leave_alone: Some(reason("excluded")),
    };
    let first = vec![new_file("a.avi", 10), new_file("b.avi", 20), left];
    assert_eq!(
        scanned(write(store, scan("films", first.clone(), NOW))),
        (3, 0, 0)
    );
    let a = at(store, "films", "a.avi");
    assert_eq!(
        a,
        Job {
            id: a.id,
            ..Job::found(root("films"), path("a.avi"), file(10), None, NOW)
        }
    );
    let trailer = at(store, "films", "trailer.mkv");
    assert_eq!(trailer.state, JobState::Skipped);
    assert_eq!(trailer.reason, Some(reason("excluded")));

    // Said again, nothing is new.
    let later = NOW.plus_ms(5);
    assert_eq!(
        scanned(write(store, scan("films", first, later))),
        (0, 0, 0)
    );

    let second = vec![
        ScanChange::Changed {
            job: a.id,
            was: file(10),
            file: file(11),
            leave_alone: None,
        },
        ScanChange::Changed {
            job: trailer.id,
            was: file(5),
            file: file(5),
            leave_alone: None,
        },
        ScanChange::Gone {
            job: at(store, "films", "b.avi").id,
            was: file(20),
        },
    ];
    assert_eq!(
        scanned(write(store, scan("films", second, later))),
        (0, 2, 1)
    );
    let a = at(store, "films", "a.avi");
    assert_eq!(
        (a.state, a.file, a.queued),
        (JobState::Pending, file(11), later)
    );
    let trailer = at(store, "films", "trailer.mkv");
    assert_eq!((trailer.state, trailer.reason), (JobState::Pending, None));
    let b = at(store, "films", "b.avi");
    assert_eq!((b.state, b.changed), (JobState::Vanished, later));

    let third = vec![ScanChange::Changed {
        job: a.id,
        was: file(11),
        file: file(12),
        leave_alone: Some(reason("hard_linked")),
    }];
    assert_eq!(
        scanned(write(store, scan("films", third, later))),
        (0, 1, 0)
    );
    let a = at(store, "films", "a.avi");
    assert_eq!(
        (a.state, a.reason),
        (JobState::Skipped, Some(reason("hard_linked")))
    );

    let counters = store.counters().expect("reads");
    assert_eq!(counters.library_bytes, 12 + 5);
    assert_eq!(counters.files(), 2);
    expect_sums(store);
}

pub(crate) fn a_scan_of_an_unknown_root_is_refused(store: &dyn Store) {
    let result = write(store, scan("films", vec![new_file("a.avi", 1)], NOW));
    assert_eq!(result, Err(Refused::NoSuchRoot(root("films"))));
    assert_eq!(
        store.job_at(&root("films"), &path("a.avi")).expect("reads"),
        None
    );
}

pub(crate) fn a_scan_that_comes_late_changes_nothing(store: &dyn Store) {
    library(store, "films", &[("a.avi", 100), ("b.avi", 100)]);
    library(store, "other", &[]);
    let b = at(store, "films", "b.avi");
    let job = claim(store, "w", &["films"], 1).remove(0);
    let late = |was| {
        vec![
            ScanChange::Gone { job: job.id, was },
            ScanChange::Changed {
                job: job.id,
                was,
                file: file(101),
                leave_alone: None,
            },
            new_file("a.avi", 102),
        ]
    };
    // At work.
    assert_eq!(
        scanned(write(store, scan("films", late(file(100)), NOW))),
        (0, 0, 0)
    );
    assert_eq!(store.job(job.id).expect("reads"), Some(job.clone()));

    // Replaced since the scan looked: its file and its name are others now.
    let done = apply(store, &job, way_to(committed("a.mkv", 100, 60)), NOW);
    let mut changes = late(file(100));
    changes.pop();
    changes.push(new_file("a.mkv", 60));
    assert_eq!(
        scanned(write(store, scan("films", changes, NOW))),
        (0, 0, 0)
    );
    assert_eq!(store.job(job.id).expect("reads"), Some(done));

    // A job of another root, and one that never was.
    let gone = |job| ScanChange::Gone {
        job,
        was: file(100),
    };
    let strangers = vec![gone(b.id), gone(JobId(999))];
    assert_eq!(
        scanned(write(store, scan("other", strangers, NOW))),
        (0, 0, 0)
    );
    assert_eq!(store.job(b.id).expect("reads"), Some(b));
    expect_sums(store);
}

pub(crate) fn a_file_that_comes_back_is_queued_again(store: &dyn Store) {
    library(store, "films", &[("a.avi", 100)]);
    let job = at(store, "films", "a.avi");
    let gone = ScanChange::Gone {
        job: job.id,
        was: job.file,
    };
    write(store, scan("films", vec![gone], NOW)).expect("taken");
    assert!(claim(store, "w", &["films"], 9).is_empty());
    assert_eq!(store.counters().expect("reads").library_bytes, 0);

    let back = scan("films", vec![new_file("a.avi", 100)], NOW.plus_ms(1));
    assert_eq!(scanned(write(store, back)), (0, 1, 0));
    let granted = claim(store, "w", &["films"], 9);
    assert_eq!(granted.len(), 1);
    assert_eq!(granted[0].id, job.id);
    assert_eq!(store.counters().expect("reads").library_bytes, 100);
}

pub(crate) fn the_best_of_the_roots_are_granted_and_each_once(store: &dyn Store) {
    library(store, "films", &[("a", 10), ("b", 1000), ("c", 100_000)]);
    library(store, "series", &[("d", 500), ("e", 5_000_000)]);
    library(store, "far", &[("f", 1 << 40)]);
    let a = at(store, "films", "a");
    let first = JobEvent::Prioritise { priority: 50 };
    write(store, apply_op(a.id, None, vec![first], NOW)).expect("taken");

    let names =
        |jobs: Vec<Job>| -> Vec<String> { jobs.iter().map(|job| job.path.to_string()).collect() };
    // Twice the same root is once.
    let roots = ["films", "series", "films"];
    assert_eq!(names(claim(store, "v", &roots, 2)), ["a", "e"]);
    assert_eq!(names(claim(store, "w", &["series", "nowhere"], 9)), ["d"]);
    assert_eq!(names(claim(store, "w", &["films"], 0)), [""; 0]);
    assert_eq!(names(claim(store, "w", &["films"], 9)), ["c", "b"]);
    assert_eq!(names(claim(store, "w", &roots, 9)), [""; 0]);

    let active = store.active().expect("reads");
    let mut holders: Vec<_> = active
        .iter()
        .map(|job| (job.path.to_string(), job.worker.clone()))
        .collect();
    holders.sort();
    let by = |name: &str, to: &str| (name.to_owned(), Some(worker(to)));
    assert_eq!(
        holders,
        [
            by("a", "v"),
            by("b", "w"),
            by("c", "w"),
            by("d", "w"),
            by("e", "v")
        ]
    );
    for job in active {
        assert_eq!((job.state, job.epoch), (JobState::Leased, Epoch(1)));
    }
    expect_sums(store);
}

pub(crate) fn a_job_goes_its_way_and_all_of_it_is_remembered(store: &dyn Store) {
    library(store, "films", &[("a.avi", 1000)]);
    let at_ms = |ms| NOW.plus_ms(ms);
    let job = claim(store, "v", &["films"], 1).remove(0);
    let lost = JobEvent::LeaseLost {
        reason: reason("lease_lost"),
    };
    let job = apply(store, &job, vec![lost], at_ms(10));
    assert_eq!(job.state, JobState::RetryWait);
    let job = apply(store, &job, vec![JobEvent::RetryDue], at_ms(20));
    let grant = JobEvent::Grant {
        worker: worker("w"),
    };
    let op = apply_op(job.id, None, vec![grant], at_ms(30));
    write(store, op).expect("taken");
    let job = at(store, "films", "a.avi");
    let output = staged(600);
    let events = vec![JobEvent::Staged {
        staged: output.clone(),
    }];
    let job = apply(store, &job, events, at_ms(40));
    assert_eq!(job.staged, Some(output));
    let job = apply(store, &job, vec![JobEvent::Permit], at_ms(50));
    let done = JobEvent::Committed {
        committed: committed("a.mkv", 1001, 600),
    };
    let job = apply(store, &job, vec![done], at_ms(60));

    assert_eq!(job.state, JobState::Completed);
    assert_eq!((job.path.clone(), job.file), (path("a.mkv"), file(600)));
    assert_eq!(job.committed, Some(committed("a.mkv", 1001, 600)));
    assert_eq!(at(store, "films", "a.mkv"), job);
    assert_eq!(
        store.job_at(&root("films"), &path("a.avi")).expect("reads"),
        None
    );

    let attempt = |epoch, by: &str, started, ended| Attempt {
        job: job.id,
        epoch: Epoch(epoch),
        worker: worker(by),
        started,
        ended: Some(ended),
        outcome: None,
        reason: None,
        source_bytes: 1000,
        output_bytes: None,
        encoder: None,
    };
    let second = Attempt {
        outcome: Some(JobState::Completed),
        output_bytes: Some(600),
        encoder: Some("SVT-AV1 9.9".to_owned()),
        ..attempt(2, "w", at_ms(30), at_ms(60))
    };
    let first = Attempt {
        outcome: Some(JobState::RetryWait),
        reason: Some(reason("lease_lost")),
        ..attempt(1, "v", at_ms(0), at_ms(10))
    };
    let attempts = |limit| store.attempts(job.id, limit).expect("reads");
    assert_eq!(attempts(9), [second.clone(), first]);
    assert_eq!(attempts(1), [second]);

    let counters = store.counters().expect("reads");
    assert_eq!(counters.saved_bytes, 401);
    assert_eq!(counters.replaced_source_bytes, 1001);
    assert_eq!((counters.library_bytes, counters.frames), (600, 240));
    assert_eq!(store.count(JobState::Completed).expect("reads"), 1);
    let day = UnixMs(NOW.0 - NOW.0 % 86_400_000);
    let saved = SavedDay {
        day,
        saved_bytes: 401,
        completed: 1,
    };
    assert_eq!(store.saved_by_day(NOW).expect("reads"), [saved]);
    assert_eq!(store.saved_by_day(UnixMs(0)).expect("reads"), [saved]);
    let tomorrow = day.plus_ms(86_400_000);
    assert_eq!(store.saved_by_day(tomorrow).expect("reads"), []);

    // The film is watched, tagged, and so another one now: what came of it is history.
    let changed = ScanChange::Changed {
        job: job.id,
        was: file(600),
        file: file(601),
        leave_alone: None,
    };
    write(store, scan("films", vec![changed], at_ms(70))).expect("taken");
    let job = at(store, "films", "a.mkv");
    assert_eq!((job.state, job.committed), (JobState::Pending, None));
    assert_eq!(store.counters().expect("reads").saved_bytes, 401);
    expect_sums(store);
}

pub(crate) fn a_stale_epoch_changes_nothing(store: &dyn Store) {
    library(store, "films", &[("a.avi", 1000)]);
    let first = claim(store, "v", &["films"], 1).remove(0);
    let job = apply(store, &first, vec![JobEvent::HandBack], NOW);
    let second = claim(store, "w", &["films"], 1).remove(0);
    assert_eq!((job.epoch, second.epoch), (Epoch(1), Epoch(2)));
    for said in [0, 1, 3] {
        let events = way_to(committed("a.mkv", 1000, 600));
        let result = write(store, apply_op(first.id, Some(said), events, NOW));
        let stale = Refused::StaleEpoch {
            said: Epoch(said),
            is: Epoch(2),
        };
        assert_eq!(result, Err(stale));
    }
    assert_eq!(store.job(first.id).expect("reads"), Some(second));
    assert_eq!(store.counters().expect("reads").saved_bytes, 0);
    let nobody = write(store, apply_op(JobId(99), Some(1), vec![], NOW));
    assert_eq!(nobody, Err(Refused::NoSuchJob(JobId(99))));
}

pub(crate) fn what_is_said_twice_is_refused_the_second_time(store: &dyn Store) {
    library(store, "films", &[("a.avi", 1000)]);
    let mut job = claim(store, "w", &["films"], 1).remove(0);
    for event in way_to(committed("a.mkv", 1000, 600)) {
        job = apply(store, &job, vec![event.clone()], NOW);
        let again = write(store, apply_op(job.id, Some(1), vec![event], NOW));
        assert!(matches!(again, Err(Refused::Illegal(_))), "{again:?}");
        assert_eq!(store.job(job.id).expect("reads"), Some(job.clone()));
    }
    let counters = store.counters().expect("reads");
    assert_eq!((counters.saved_bytes, counters.frames), (400, 240));
    assert_eq!(store.attempts(job.id, 9).expect("reads").len(), 1);
}

pub(crate) fn events_of_one_op_happen_all_or_none(store: &dyn Store) {
    library(store, "films", &[("a.avi", 1000)]);
    let job = claim(store, "w", &["films"], 1).remove(0);
    let mut events = way_to(committed("a.mkv", 1000, 600));
    events.push(JobEvent::HandBack);
    let result = write(store, apply_op(job.id, Some(1), events, NOW));
    assert!(matches!(result, Err(Refused::Illegal(_))), "{result:?}");
    assert_eq!(store.job(job.id).expect("reads"), Some(job.clone()));
    assert_eq!(store.attempts(job.id, 9).expect("reads")[0].ended, None);
    expect_sums(store);
}

pub(crate) fn a_refusal_harms_no_other_op_of_its_batch(store: &dyn Store) {
    library(store, "films", &[("a.avi", 1000), ("b.avi", 500)]);
    let ops = [
        claim_op("w", &["films"], 1),
        apply_op(JobId(99), None, vec![JobEvent::Cancel], NOW),
        apply_op(at(store, "films", "a.avi").id, Some(7), vec![], NOW),
        scan("nowhere", vec![new_file("x", 1)], NOW),
        apply_op(
            at(store, "films", "b.avi").id,
            None,
            vec![JobEvent::Cancel],
            NOW,
        ),
        apply_op(
            at(store, "films", "b.avi").id,
            None,
            vec![JobEvent::Cancel],
            NOW,
        ),
        scan("films", vec![new_file("c.avi", 1)], NOW),
    ];
    let taken: Vec<bool> = store
        .write(&ops)
        .expect("durable")
        .iter()
        .map(Result::is_ok)
        .collect();
    assert_eq!(taken, [true, false, false, false, true, false, true]);
    assert_eq!(at(store, "films", "a.avi").state, JobState::Leased);
    assert_eq!(at(store, "films", "b.avi").state, JobState::Cancelled);
    assert_eq!(at(store, "films", "c.avi").state, JobState::Pending);
    assert!(store.write(&[]).expect("durable").is_empty());
    expect_sums(store);
}

pub(crate) fn failed_attempts_wait_and_are_released_when_due(store: &dyn Store) {
    library(store, "films", &[("a", 3), ("b", 2), ("c", 1)]);
    assert_eq!(store.next_due().expect("reads"), None);
    let mut due = Vec::new();
    for (n, job) in claim(store, "w", &["films"], 2).into_iter().enumerate() {
        let failed = JobEvent::AttemptFailed {
            failure: failure(true),
        };
        let job = apply(store, &job, vec![failed], NOW.plus_ms(n as i64 * 5000));
        assert_eq!((job.state, job.attempts), (JobState::RetryWait, 1));
        due.push(job.retry_at.expect("a time"));
    }
    assert_eq!(store.next_due().expect("reads"), Some(due[0]));
    let release = |now| match write(store, Op::ReleaseDue { now }) {
        Ok(Done::Jobs(jobs)) => jobs,
        other => panic!("{other:?}"),
    };
    assert_eq!(release(due[0].plus_ms(-1)), []);
    let released = release(due[0]);
    assert_eq!(released.len(), 1);
    assert_eq!(
        (released[0].state, released[0].retry_at),
        (JobState::Pending, None)
    );
    assert_eq!(store.next_due().expect("reads"), Some(due[1]));
    assert_eq!(release(due[1].plus_ms(1)).len(), 1);
    assert_eq!(store.next_due().expect("reads"), None);
    assert_eq!(claim(store, "w", &["films"], 9).len(), 3);
    expect_sums(store);
}

/// The job of a replacement that takes `film.mkv`, which another job may have.
fn replaces(store: &dyn Store) -> Job {
    let job = at(store, "films", "film.avi");
    let high = JobEvent::Prioritise { priority: 100 };
    write(store, apply_op(job.id, None, vec![high], NOW)).expect("taken");
    let job = claim(store, "w", &["films"], 1).remove(0);
    assert_eq!(job.path, path("film.avi"));
    job
}

pub(crate) fn a_replacement_takes_its_name_from_a_job_of_the_same_file(store: &dyn Store) {
    // As a scan finds the output before its worker can tell; gone; and long known.
    for (n, gone) in [(0, false), (1, true)] {
        let of = format!("films{n}");
        library(store, &of, &[("film.avi", 1000), ("film.mkv", 600)]);
        let other = at(store, &of, "film.mkv");
        if gone {
            let gone = ScanChange::Gone {
                job: other.id,
                was: other.file,
            };
            write(store, scan(&of, vec![gone], NOW)).expect("taken");
        }
        let job = claim(store, "w", &[&of], 1).remove(0);
        assert_eq!(job.path, path("film.avi"));
        let job = apply(store, &job, way_to(committed("film.mkv", 1000, 600)), NOW);
        assert_eq!(at(store, &of, "film.mkv"), job);
        assert_eq!(store.job(other.id).expect("reads"), None);
        assert_eq!(store.attempts(other.id, 9).expect("reads"), []);
        assert!(claim(store, "w", &[&of], 9).is_empty());
    }
    let counters = store.counters().expect("reads");
    assert_eq!((counters.files(), counters.library_bytes), (2, 1200));
    expect_sums(store);
}

pub(crate) fn a_replacement_leaves_its_name_to_a_job_at_work(store: &dyn Store) {
    library(store, "films", &[("film.avi", 1000), ("film.mkv", 600)]);
    let job = replaces(store);
    let other = claim(store, "v", &["films"], 1).remove(0);
    let done = apply(store, &job, way_to(committed("film.mkv", 1000, 600)), NOW);
    assert_eq!(
        (done.state, &done.path),
        (JobState::Completed, &path("film.avi"))
    );
    assert_eq!(done.committed, Some(committed("film.mkv", 1000, 600)));
    assert_eq!(store.job(other.id).expect("reads"), Some(other.clone()));
    assert_eq!(store.counters().expect("reads").saved_bytes, 400);

    // The other one's worker finds AV1, and the next scan finds nothing at the old name.
    let leave = JobEvent::LeaveAlone {
        reason: reason("av1_already"),
    };
    let other = apply(store, &other, vec![leave], NOW);
    assert_eq!(other.state, JobState::Skipped);
    let gone = ScanChange::Gone {
        job: done.id,
        was: done.file,
    };
    assert_eq!(
        scanned(write(store, scan("films", vec![gone], NOW))),
        (0, 0, 1)
    );
    expect_sums(store);
}

pub(crate) fn numbers_are_never_given_again(store: &dyn Store) {
    library(store, "films", &[("film.avi", 1000), ("film.mkv", 600)]);
    let last = at(store, "films", "film.mkv").id;
    let job = replaces(store);
    apply(store, &job, way_to(committed("film.mkv", 1000, 600)), NOW);
    assert_eq!(store.job(last).expect("reads"), None);
    write(store, scan("films", vec![new_file("next.avi", 1)], NOW)).expect("taken");
    assert!(at(store, "films", "next.avi").id > last);
}

pub(crate) fn what_is_kept_beside_jobs_reads_back(store: &dyn Store) {
    let roots = [("b", None), ("a", Some(NOW))].map(|(name, scanned)| RootRecord {
        id: root(name),
        path: format!("/media/{name}\\xff"),
        scanned,
    });
    let workers = ["w2", "w1"].map(|name| KnownWorker {
        id: worker(name),
        name: format!("name of {name}"),
        last_seen: NOW,
        settings: "{\"paused\":true}".to_owned(),
    });
    let verdict = Verdict {
        key: "key".to_owned(),
        reason: reason("not_worthwhile"),
        decided: NOW,
    };
    let setting = |value: Option<&str>| Op::PutSetting {
        name: "paused".to_owned(),
        value: value.map(str::to_owned),
    };
    // Twice: the second time in place of the first.
    for decided in [NOW, NOW.plus_ms(1)] {
        let verdict = Verdict {
            decided,
            ..verdict.clone()
        };
        let mut ops: Vec<Op> = roots.iter().cloned().map(Op::PutRoot).collect();
        ops.extend(workers.iter().cloned().map(Op::PutWorker));
        ops.push(Op::PutVerdict(verdict.clone()));
        ops.push(setting(Some("true")));
        for result in store.write(&ops).expect("durable") {
            assert!(matches!(result, Ok(Done::Nothing)));
        }
        let [b, a] = roots.clone();
        assert_eq!(store.roots().expect("reads"), [a, b]);
        let [two, one] = workers.clone();
        assert_eq!(store.workers().expect("reads"), [one, two]);
        assert_eq!(store.verdict("key").expect("reads"), Some(verdict));
        assert_eq!(store.verdict("ke").expect("reads"), None);
        assert_eq!(
            store.setting("paused").expect("reads").as_deref(),
            Some("true")
        );
    }
    for _ in 0..2 {
        write(store, setting(None)).expect("taken");
        assert_eq!(store.setting("paused").expect("reads"), None);
    }
}
