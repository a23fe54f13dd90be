//! Files in, smaller verified files out, through master and worker processes.

use serde_json::json;

use crate::films::{LONG_FRAMES, Library, SHORT_FRAMES, assert_no_encode_below};
use crate::process::{Master, quick_config, until};
use crate::support::{Scratch, watched};

#[test]
fn three_workers_shrink_a_library() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        let names: Vec<_> = (0..6).map(|n| format!("season/{n}.mkv")).collect();
        for name in &names {
            library.add(name);
        }
        library.write("season/broken.mkv", b"not a film at all");
        let odd = "name with \\ and \u{202e}right to left\u{1b}[31m.mkv";
        library.add(odd);
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let workers = ["one", "two", "three"].map(|name| master.worker(&scratch, name));
        let jobs = master.api.await_all(names.len() + 2);
        for job in &jobs {
            let path = job["path"].as_str().expect("text");
            if path == "season/broken.mkv" {
                assert_eq!(job["state"], "failed", "{job}");
                assert_eq!(job["status"], "Failed");
                assert_eq!(job["reason"]["kind"], "not_media");
            } else {
                assert_eq!(job["state"], "completed", "{job}");
                assert_eq!(job["frames"], SHORT_FRAMES);
                assert!(job["saved_bytes"].as_i64().expect("a number") > 0);
            }
        }
        for name in names.iter().map(String::as_str).chain([odd]) {
            library.assert_shrunk(name, SHORT_FRAMES);
        }
        library.assert_untouched("season/broken.mkv");
        library.assert_holds(&["season", odd]);
        let status = master.api.get("/status");
        assert_eq!(status["contract"]["Completed"], 7);
        assert_eq!(status["contract"]["Failed"], 1);
        assert!(status["saved_bytes"].as_i64().expect("a number") > 0);
        // What was done is not done again.
        master.api.post("/scan", &json!({}));
        until("every worker is idle", || {
            workers
                .iter()
                .all(|worker| master.api.await_worker(&worker.name, &["idle"])["jobs"] == json!([]))
                .then_some(())
        });
        assert_eq!(master.api.get("/status")["contract"]["Completed"], 7);
        assert_no_encode_below(scratch.path());
    });
}

/// The heartbeat runs apart from the encode: a worker that encodes for longer than the
/// offline limit and the lease stays online and keeps both.
#[test]
fn an_encode_longer_than_the_offline_limit_stays_online() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("long.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["preset"] = 8.into();
        let master = Master::start(&scratch, &config);
        let _worker = master.worker(&scratch, "one");
        let mut seen_ms = 0;
        until("the film is done", || {
            let worker = master.api.worker("one")?;
            assert_ne!(worker["state"], "offline");
            let job = master.api.job("long.mkv")?;
            assert_eq!(job["attempts"], 0, "{job}");
            seen_ms = seen_ms.max(job["progress"]["elapsed_ms"].as_u64().unwrap_or(0));
            (job["state"] == "completed").then_some(())
        });
        assert!(
            seen_ms > 4_000,
            "the encode took {seen_ms} ms only: no proof"
        );
        library.assert_shrunk("long.mkv", LONG_FRAMES);
    });
}

#[test]
fn two_workers_on_one_host_with_one_name_are_two() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add("a.mkv");
        library.add("b.mkv");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let keys = json!({"worker_name": "twin", "state_directory": scratch.file("shared-state")});
        let _one = master.worker_with(&scratch, "one", &keys);
        let _two = master.worker_with(&scratch, "two", &keys);
        master.api.await_all(2);
        let workers = master.api.get("/workers");
        let twins = workers.as_array().expect("workers");
        assert_eq!(twins.len(), 2, "{workers}");
        assert_ne!(twins[0]["id"], twins[1]["id"]);
    });
}

#[test]
fn testing_mode_keeps_every_source() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add("a.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["testing_mode"] = true.into();
        let master = Master::start(&scratch, &config);
        let _worker = master.worker(&scratch, "one");
        master.api.await_job("a.mkv", &["completed"]);
        library.assert_holds(&["a.mkv", "a.mkv.bak"]);
        library.assert_shrunk("a.mkv", SHORT_FRAMES);
        // The backup is no film of the library.
        assert_eq!(master.api.jobs().len(), 1);
    });
}
