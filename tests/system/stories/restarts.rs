//! Masters, workers and encodes that die, and come back.

use rustix::process::Signal;

use crate::films::{LONG_FRAMES, Library, SHORT_FRAMES, assert_no_encode_below};
use crate::process::{Master, cpu_ticks, lives, quick_config, until};
use crate::support::{Scratch, watched};

/// A master's restart ends no encode, and none is done twice.
#[test]
fn a_master_killed_with_encodes_running_loses_none() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("a.mkv");
        library.add("b.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["lease_seconds"] = 20.into();
        config["preset"] = 8.into();
        let mut master = Master::start(&scratch, &config);
        let worker = master.worker(&scratch, "one");
        let before = until("frames are done", || {
            let job = master.api.job("a.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(job)
        });
        let children = worker.children();
        master.process.kill();
        master.restart();
        let after = until("the worker is back with its task", || {
            let job = master.api.job("a.mkv")?;
            job["progress"]["frames_done"].as_u64().map(|_| job)
        });
        assert_eq!(worker.children(), children, "the encode was begun anew");
        assert_eq!(after["attempts"], before["attempts"]);
        let job = master.api.await_job("a.mkv", &["completed"]);
        let detail = master.api.get(&format!("/jobs/{}", job["id"]));
        assert_eq!(
            detail["attempts"].as_array().map(Vec::len),
            Some(1),
            "{detail}"
        );
        library.assert_shrunk("a.mkv", LONG_FRAMES);
        master.api.await_job("b.mkv", &["completed"]);
        library.assert_shrunk("b.mkv", SHORT_FRAMES);
    });
}

/// An encode that ends while the master is away is not lost.
#[test]
fn a_result_waits_for_a_master_that_is_away() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("a.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["lease_seconds"] = 60.into();
        let mut master = Master::start(&scratch, &config);
        let worker = master.worker(&scratch, "one");
        until("frames are done", || {
            let job = master.api.job("a.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(())
        });
        master.process.kill();
        // Staged, it waits for the permit that nobody can give: its process has nothing
        // more to do.
        let child = worker.children()[0];
        let (mut last, mut quiet) = (0, 0);
        until("the encode has ended", || {
            let ticks = cpu_ticks(child);
            quiet = if ticks == last { quiet + 1 } else { 0 };
            last = ticks;
            (quiet > 20).then_some(())
        });
        library.assert_untouched("a.mkv");
        master.restart();
        let job = master.api.await_job("a.mkv", &["completed"]);
        assert_eq!(job["attempts"], 0, "{job}");
        library.assert_shrunk("a.mkv", LONG_FRAMES);
    });
}

/// A killed worker leaves no process and no litter; its job is tried again.
#[test]
fn a_killed_worker_leaves_nothing_and_loses_nothing() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("a.mkv");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let mut worker = master.worker(&scratch, "one");
        until("frames are done", || {
            let job = master.api.job("a.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(())
        });
        let children = worker.children();
        assert_eq!(children.len(), 1);
        worker.process.kill();
        until("its encode is gone", || (!lives(children[0])).then_some(()));
        library.assert_untouched("a.mkv");
        worker.restart();
        let job = master.api.await_job("a.mkv", &["completed"]);
        assert_eq!(job["attempts"], 1, "{job}");
        library.assert_shrunk("a.mkv", LONG_FRAMES);
        library.assert_holds(&["a.mkv"]);
        assert_no_encode_below(scratch.path());
    });
}

/// A file that takes its process down is tried a few times and then put aside.
#[test]
fn a_poison_file_is_quarantined() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("poison.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["preset"] = 6.into();
        let master = Master::start(&scratch, &config);
        let worker = master.worker(&scratch, "one");
        let mut killed = Vec::new();
        let job = until("it is quarantined", || {
            for child in worker.children() {
                if !killed.contains(&child) {
                    rustix::process::kill_process(child, Signal::ABORT).ok()?;
                    killed.push(child);
                }
            }
            master
                .api
                .job("poison.mkv")
                .filter(|job| job["state"] == "quarantined")
        });
        assert_eq!(job["attempts"], 3, "{job}");
        assert_eq!(killed.len(), 3);
        assert_eq!(job["status"], "Failed");
        library.assert_untouched("poison.mkv");
        library.assert_holds(&["poison.mkv"]);
    });
}

#[test]
fn a_second_master_on_one_state_directory_is_refused() {
    watched(|| {
        let scratch = Scratch::new();
        let library = Library::new(&scratch, "films");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let path = scratch.write("second.json", config.to_string());
        let path = path.to_str().expect("UTF-8");
        let second = crate::support::cli::run(["master", "--config", path]);
        assert_ne!(second.code(), 0);
        assert!(
            second.stderr.contains("in use by another master"),
            "{}",
            second.stderr
        );
        assert!(master.api.try_get("/status").is_some());
    });
}
