//! Whole workers within the process, with real child processes that are scripts.

use std::path::Path;

use super::*;
use crate::job::Failure;
use crate::proto::{Phase, TaskEnd};
use crate::units::RootId;
use crate::worker::orders::{ChildEnd, ChildPhase};
use crate::worker::process::tests::{
    asking, ended, expect, film, gone, phase, progress, say, staged,
};
use crate::worker::testing::{Bench, Master, ROOT, State, file_at, grant, key};

/// A child that encodes at once and replaces `film.mkv`.
fn obedient() -> String {
    let end = ChildEnd::Replaced {
        film: film(Path::new("/somewhere/a/film.mkv")),
        backup: None,
    };
    [
        expect("in_place"),
        say(&asking()),
        expect("proceed"),
        say(&phase(ChildPhase::Encoding)),
        say(&progress(7)),
        say(&staged()),
        expect("commit"),
        say(&phase(ChildPhase::Committing)),
        say(&ended(end)),
    ]
    .concat()
}

/// A child that encodes until it is told to stop, and writes its number to `file`.
fn patient(file: &Path) -> String {
    [
        expect("in_place"),
        format!("echo $$ > '{}'\n", file.display()),
        say(&phase(ChildPhase::Encoding)),
        expect("cancel"),
        say(&ended(ChildEnd::Cancelled)),
    ]
    .concat()
}

/// A bench whose child encodes until it is told to stop.
fn patient_bench() -> (Bench, std::path::PathBuf) {
    let mut bench = Bench::new("");
    let number = bench.file("number");
    bench.config.program =
        crate::worker::process::tests::program(bench.folder.path(), &patient(&number));
    (bench, number)
}

fn is_encoding(phase: &Phase) -> bool {
    *phase == Phase::Encoding
}

#[tokio::test]
async fn a_granted_film_is_encoded_committed_and_told() {
    let (bench, master) = (Bench::new(&obedient()), Master::new());
    let worker = bench.start(master.local());
    let k = key(7, 3);
    master.give(grant(k, "a/film.avi"));
    let TaskEnd::Replaced { committed } = master.end_of(k).await else {
        panic!("not replaced");
    };
    assert_eq!(committed.path.to_string(), "a/film.mkv");
    bench.control.drain();
    let summary = worker.ended().await.expect("ends well");
    assert_eq!((summary.replaced, summary.saved_bytes), (1, 5));
    assert_eq!(summary.untold, []);
    let events = bench.events.lock().expect("not poisoned");
    let is_end = |event: &&WorkerEvent| {
        matches!(
            event,
            WorkerEvent::TaskEnded {
                end: Some(TaskEnd::Replaced { .. }),
                ..
            }
        )
    };
    assert_eq!(events.iter().filter(is_end).count(), 1, "{events:?}");
    assert!(matches!(
        events[0],
        WorkerEvent::Connected {
            means: Means::Local
        }
    ));
}

#[tokio::test]
async fn a_busy_worker_is_never_silent() {
    let (bench, number) = patient_bench();
    let master = Master::new();
    let worker = bench.start(master.local());
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    file_at(&number).await;
    master.phase_of(k, is_encoding).await;
    let before = master.with(|state| state.reports.len());
    // The child says nothing at all meanwhile.
    master
        .until("ten more reports", |state| {
            (state.reports.len() >= before + 10).then_some(())
        })
        .await;
    master.with(|state| {
        let sequences: Vec<u64> = state.reports.iter().map(|r| r.sequence).collect();
        assert!(
            sequences.windows(2).all(|two| two[0] < two[1]),
            "{sequences:?}"
        );
        let load = state.reports.back().expect("one").load;
        assert!(load.cpus > 0, "{load:?}");
    });
    bench.control.abort();
    worker.ended().await.expect("ends well");
}

#[tokio::test]
async fn a_revoked_task_s_process_is_gone_and_another_begins() {
    let (bench, number) = patient_bench();
    let master = Master::new();
    let worker = bench.start(master.local());
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    let process: u32 = file_at(&number).await.trim().parse().expect("a number");
    std::fs::remove_file(&number).expect("removes");
    master.with(|state| state.revoked.push(k));
    gone(process).await;
    master.with(|state| state.leases.remove(&k));
    let next = key(1, 2);
    master.give(grant(next, "film.mkv"));
    file_at(&number).await;
    master.phase_of(next, is_encoding).await;
    bench.control.abort();
    let summary = worker.ended().await.expect("ends well");
    assert_eq!(summary.handed_back, 2);
}

#[tokio::test]
async fn a_crash_is_told_with_its_signal_and_last_words() {
    let bench = Bench::new("echo 'out of luck' >&2; kill -SEGV $$");
    let master = Master::new();
    let worker = bench.start(master.local());
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    let TaskEnd::Failed { failure } = master.end_of(k).await else {
        panic!("it did not fail");
    };
    let Failure {
        reason,
        retryable,
        crashed,
    } = failure;
    assert!(retryable && crashed);
    assert!(reason.message.contains("SIGSEGV"), "{reason:?}");
    assert!(reason.message.contains("out of luck"), "{reason:?}");
    bench.control.drain();
    assert_eq!(worker.ended().await.expect("ends well").failed, 1);
}

#[tokio::test]
async fn what_a_killed_process_staged_is_removed() {
    // It stages and hangs; the name is what the engine gives such files.
    let mut bench = Bench::new("");
    let litter = bench.films().join(".film.mkv.0123456789abcdef.av1part");
    let script = expect("in_place")
        + &format!("echo x > '{}'\n", litter.display())
        + &say(&staged())
        + "exec sleep 1000";
    bench.config.program = crate::worker::process::tests::program(bench.folder.path(), &script);
    let master = Master::new();
    master.with(|state| state.withholds = true);
    let worker = bench.start(master.local());
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    master
        .phase_of(k, |phase| matches!(phase, Phase::Staged { .. }))
        .await;
    assert!(litter.exists());
    let begun = Instant::now();
    bench.control.abort();
    let summary = worker.ended().await.expect("ends well");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(summary.handed_back, 1);
    assert!(!litter.exists(), "it is left");
    assert_eq!(master.end_of(k).await, TaskEnd::HandedBack);
}

#[tokio::test]
async fn a_drain_finishes_what_runs_and_takes_no_more() {
    let (bench, master) = (Bench::new(&obedient()), Master::new());
    master.with(|state| state.withholds = true);
    let worker = bench.start(master.local());
    let (k, more) = (key(1, 1), key(2, 1));
    master.give(grant(k, "a/film.mkv"));
    master
        .phase_of(k, |phase| matches!(phase, Phase::Staged { .. }))
        .await;
    bench.control.drain();
    let drains = |state: &mut State| {
        let mode = state.reports.back()?.mode;
        (mode == WorkerMode::Draining).then_some(())
    };
    master.until("draining", drains).await;
    master.give(grant(more, "b/film.mkv"));
    assert_eq!(master.end_of(more).await, TaskEnd::HandedBack);
    master.with(|state| state.withholds = false);
    assert!(matches!(master.end_of(k).await, TaskEnd::Replaced { .. }));
    let summary = worker.ended().await.expect("ends well");
    assert_eq!(summary.replaced, 1);
}

#[tokio::test]
async fn the_master_can_drain_pause_and_resize_a_worker() {
    let (bench, number) = patient_bench();
    let master = Master::new();
    master.with(|state| state.settings.paused = true);
    let worker = bench.start(master.local());
    let (one, two, three) = (key(1, 1), key(2, 1), key(3, 1));
    master
        .until("paused", |state| {
            (state.reports.back()?.mode == WorkerMode::Paused).then_some(())
        })
        .await;
    master.give(grant(one, "one.mkv"));
    assert_eq!(master.end_of(one).await, TaskEnd::HandedBack);
    master.with(|state| {
        state.settings.paused = false;
        state.settings.slots = Some(2);
    });
    let has_two = |state: &mut State| {
        let last = state.reports.back()?;
        (last.slots == 2 && last.mode == WorkerMode::Running).then_some(())
    };
    master.until("two slots", has_two).await;
    master.give(grant(two, "two.mkv"));
    master.give(grant(three, "three.mkv"));
    master.phase_of(two, is_encoding).await;
    master.phase_of(three, is_encoding).await;
    file_at(&number).await;
    master.with(|state| state.settings.draining = true);
    master.with(|state| state.revoked = vec![two, three]);
    worker.ended().await.expect("it ends by itself");
}

#[tokio::test]
async fn outside_its_hours_a_worker_takes_nothing_and_goes_on_with_what_runs() {
    let (bench, number) = patient_bench();
    let master = Master::new();
    let worker = bench.start(master.local());
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    let process: u32 = file_at(&number).await.trim().parse().expect("a number");
    bench.control.tune(crate::worker::Tuning {
        is_open: std::sync::Arc::new(|_| false),
        ..bench.config.tuning.clone()
    });
    master
        .until("outside its hours", |state| {
            (state.reports.back()?.mode == WorkerMode::OutsideHours).then_some(())
        })
        .await;
    master.phase_of(k, is_encoding).await;
    assert!(
        Path::new(&format!("/proc/{process}")).exists(),
        "it runs on"
    );
    bench.control.abort();
    worker.ended().await.expect("ends well");
}

#[tokio::test]
async fn a_media_directory_that_went_away_is_handed_back_and_not_told_any_more() {
    let (bench, number) = patient_bench();
    let master = Master::new();
    let worker = bench.start(master.local());
    let root = RootId(ROOT.to_owned());
    let is_mounted = |state: &mut State| {
        let mounted = &state.reports.back()?.mounted;
        mounted.contains(&root).then_some(())
    };
    master.until("mounted", is_mounted).await;
    std::fs::remove_dir(bench.films()).expect("removes");
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    assert_eq!(master.end_of(k).await, TaskEnd::HandedBack);
    assert!(!number.exists(), "no process was started");
    let mounted = master.with(|state| state.reports.back().expect("one").mounted.clone());
    assert_eq!(mounted, [], "told with the end itself");
    bench.control.abort();
    worker.ended().await.expect("ends well");
}

#[tokio::test]
async fn numbers_alone_are_told_once_a_second() {
    let script = expect("in_place")
        + &say(&phase(ChildPhase::Encoding))
        + "i=0; while sleep 0.02; do i=$((i+1)); echo '{\"event\":\"progress\",\"progress\":{\"frames_done\":'$i'}}'; done";
    let (bench, master) = (Bench::new(&script), Master::new());
    master.with(|state| state.next_sync_ms = 60_000);
    let worker = bench.start(master.local());
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    master.phase_of(k, is_encoding).await;
    let (begun, before) = (Instant::now(), master.with(|state| state.reports.len()));
    let frames = |state: &mut State| {
        let task = state.reports.back()?.tasks.first()?;
        (state.reports.len() >= before + 3).then_some(task.progress?.frames_done)
    };
    let frames = master.until("three more reports", frames).await;
    assert!(begun.elapsed() >= Duration::from_secs(2), "too often");
    assert!(frames > 10);
    bench.control.abort();
    worker.ended().await.expect("ends well");
}

#[tokio::test]
async fn an_abort_without_a_master_ends_soon_and_tells_what_it_leaves() {
    let (bench, number) = patient_bench();
    let master = Master::new();
    let (gate, asked) = (master.clone(), watch::Sender::new(false));
    let cut = asked.subscribe();
    let transport = Transport::Local(crate::worker::Local::new(
        move |report| {
            let (master, is_cut) = (gate.clone(), *cut.borrow());
            Box::pin(async move {
                if is_cut {
                    return Err(crate::proto::ErrorBody {
                        kind: "gone".to_owned(),
                        message: "the master is gone".to_owned(),
                        chain: Vec::new(),
                    });
                }
                Ok(master.answer(report))
            })
        },
        |_| None,
    ));
    let worker = bench.start(transport);
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    let process: u32 = file_at(&number).await.trim().parse().expect("a number");
    asked.send_replace(true);
    let begun = Instant::now();
    bench.control.abort();
    let summary = worker.ended().await.expect("ends well");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(summary.untold, [k.task]);
    gone(process).await;
}

#[tokio::test]
async fn a_worker_that_cannot_have_its_folders_says_which() {
    let mut bench = Bench::new("");
    let file = bench.file("a file");
    std::fs::write(&file, "").expect("writes");
    bench.config.temp_directory = file.clone();
    let worker = bench.start(Master::new().local());
    let error = worker.ended().await.expect_err("no folder");
    assert!(
        error.to_string().contains(&*file.to_string_lossy()),
        "{error}"
    );
    assert!(error.to_string().contains("temp_directory"), "{error}");
}
