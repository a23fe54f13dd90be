//! What people do while it runs.

use rustix::process::Signal;
use serde_json::json;

use crate::films::{Library, SHORT_FRAMES, assert_no_encode_below};
use crate::process::{Master, lives, quick_config, until};
use crate::support::watchdog::now;
use crate::support::{Scratch, watched};

/// The encode is gone within ten seconds of a cancel, and nothing is left behind.
#[test]
fn cancel_ends_the_encode_and_retry_begins_it_anew() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("film.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["preset"] = 6.into();
        let master = Master::start(&scratch, &config);
        let worker = master.worker(&scratch, "one");
        let job = until("frames are done", || {
            let job = master.api.job("film.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(job)
        });
        let children = worker.children();
        assert_eq!(children.len(), 1);
        let asked = now();
        let result = master.api.act("cancel", &job);
        assert_eq!(result["done"], 1, "{result}");
        until("the encode is gone", || (!lives(children[0])).then_some(()));
        let took = asked.elapsed();
        assert!(took.as_secs_f64() < 10.0, "cancelling took {took:?}");
        until("nothing is left", || {
            library.is_untouched("film.mkv").then_some(())?;
            let names = crate::support::scratch::names(&library.path);
            (names.len() == 2).then_some(())
        });
        library.assert_holds(&["film.mkv"]);
        let job = master.api.await_job("film.mkv", &["cancelled"]);
        // Nobody takes it up again by itself.
        master.api.await_worker("one", &["idle"]);
        master.api.act("retry", &job);
        master.api.await_job("film.mkv", &["leased"]);
    });
}

#[test]
fn drain_finishes_what_runs_and_ends() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        // The largest goes first.
        library.add_long("a.mkv");
        library.add("b.mkv");
        library.add("c.mkv");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let mut worker = master.worker(&scratch, "one");
        until("one runs", || (!worker.children().is_empty()).then_some(()));
        worker.process.signal(Signal::TERM);
        let status = worker.process.wait();
        assert!(status.success(), "{status}");
        let jobs = master.api.jobs();
        let count = |state: &str| jobs.iter().filter(|job| job["state"] == state).count();
        assert_eq!((count("completed"), count("pending")), (1, 2), "{jobs:?}");
        assert_no_encode_below(scratch.path());
    });
}

/// To drain a worker is to end it once: who starts it again wants it to work.
#[test]
fn a_worker_that_was_drained_works_when_it_is_started_again() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        let config = quick_config(&scratch, &[&library.path]);
        let mut master = Master::start(&scratch, &config);
        let mut worker = master.worker(&scratch, "one");
        for (name, restarts_master) in [("a.mkv", false), ("b.mkv", true)] {
            let id = master.api.await_worker("one", &["idle"])["id"].clone();
            let id = id.as_str().expect("text");
            let drain = json!({"draining": true});
            let (status, told) = master.api.post(&format!("/workers/{id}/settings"), &drain);
            assert_eq!(status, 200, "{told}");
            assert!(worker.process.wait().success(), "{}", worker.process.log());
            if restarts_master {
                master.process.kill();
                master.restart();
            }
            library.add(name);
            worker.restart();
            master.api.await_job(name, &["completed"]);
        }
    });
}

#[test]
fn a_second_signal_hands_back_what_runs() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("a.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["preset"] = 6.into();
        let master = Master::start(&scratch, &config);
        let mut worker = master.worker(&scratch, "one");
        until("it runs", || {
            let job = master.api.job("a.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(())
        });
        worker.process.signal(Signal::TERM);
        master.api.await_worker("one", &["draining"]);
        // A signal that comes at once after another is its echo (a terminal tells a whole
        // process group, and a service manager each process of it).
        std::thread::sleep(std::time::Duration::from_millis(400));
        worker.process.signal(Signal::TERM);
        worker.process.wait();
        let job = master.api.await_job("a.mkv", &["pending"]);
        assert_eq!(job["attempts"], 0, "handing back is no failure: {job}");
        library.assert_untouched("a.mkv");
        library.assert_holds(&["a.mkv"]);
    });
}

#[test]
fn pause_priority_and_skip() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        for name in ["a.mkv", "b.mkv", "c.mkv"] {
            library.add(name);
        }
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        assert_eq!(master.api.post("/pause", &json!({})).0, 204);
        let _worker = master.worker(&scratch, "one");
        master.api.await_worker("one", &["paused"]);
        until("all are found", || {
            (master.api.jobs().len() == 3).then_some(())
        });
        let job = |name: &str| master.api.job(name).expect("a job");
        master.api.act("skip", &job("b.mkv"));
        let body = json!({"action": "prioritise", "ids": [job("c.mkv")["id"]], "priority": 100});
        assert_eq!(master.api.post("/jobs/actions", &body).1["done"], 1);
        assert_eq!(master.api.post("/resume", &json!({})).0, 204);
        let (a, c) = (
            master.api.await_job("a.mkv", &["completed"]),
            master.api.await_job("c.mkv", &["completed"]),
        );
        assert!(c["changed"].as_i64() < a["changed"].as_i64(), "{c} {a}");
        assert_eq!(job("b.mkv")["state"], "skipped");
        library.assert_untouched("b.mkv");
        library.assert_shrunk("c.mkv", SHORT_FRAMES);
    });
}
