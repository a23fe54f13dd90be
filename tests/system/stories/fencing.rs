//! A worker that was thought dead, and was not.

use rustix::process::Signal;
use serde_json::json;

use crate::films::{LONG_FRAMES, Library};
use crate::process::{Master, lives, quick_config, until};
use crate::support::{Scratch, watched};

/// A zombie's late result is refused, and the file is shrunk once.
#[test]
fn a_worker_stopped_past_its_lease_changes_nothing_when_it_wakes() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("film.mkv");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let zombie = master.worker(&scratch, "zombie");
        master.api.await_worker("zombie", &["processing"]);
        let children = until("an encode runs", || {
            let children = zombie.children();
            (!children.is_empty()).then_some(children)
        });
        let stop = |signal| {
            zombie.process.signal(signal);
            for child in &children {
                rustix::process::kill_process(*child, signal).expect("a signal sent");
            }
        };
        stop(Signal::STOP);
        master.api.await_worker("zombie", &["offline"]);
        let second = master.worker(&scratch, "second");
        let job = master.api.await_job("film.mkv", &["completed"]);
        assert_eq!(job["worker_name"], "second", "{job}");
        library.assert_shrunk("film.mkv", LONG_FRAMES);
        let done = crate::support::scratch::fingerprint(&library.path.join("film.mkv"));
        stop(Signal::CONT);
        until("the zombie's encode is gone", || {
            children.iter().all(|child| !lives(*child)).then_some(())
        });
        master.api.await_worker("zombie", &["idle"]);
        let now = crate::support::scratch::fingerprint(&library.path.join("film.mkv"));
        assert_eq!(now, done, "the zombie touched the film");
        library.assert_holds(&["film.mkv"]);
        let detail = master.api.get(&format!("/jobs/{}", job["id"]));
        let attempts = detail["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 2, "{detail}");
        drop(second);
    });
}

/// Whoever speaks with an epoch that is not the lease's is told to stop.
#[test]
fn a_stale_epoch_changes_nothing() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("film.mkv");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let _worker = master.worker(&scratch, "one");
        let job = master.api.await_job("film.mkv", &["leased"]);
        let api = crate::api::Api::new(master.address, &master.worker_token());
        let forged = |epoch: u64, worker: &str| {
            json!({
                "protocol": 1, "worker": worker, "session": "forger", "sequence": 1,
                "name": "forger", "version": "0", "slots": 1, "mode": "paused",
                "load": {}, "tasks": [{
                    "task": {"job": job["id"], "number": 0}, "epoch": epoch,
                    "phase": {"phase": "ended", "end": {
                        "end": "left_alone",
                        "reason": {"kind": "forged", "message": "forged"},
                    }},
                }],
            })
        };
        // Not under the holder's own name: with another session that is a worker that was
        // restarted, whose task is given up.
        for (epoch, worker) in [(0, "one"), (1, "another"), (2, "third")] {
            let (status, reply) = api.post("/worker/sync", &forged(epoch, worker));
            assert_eq!(status, 200, "{reply}");
            assert_eq!(reply["orders"][0]["order"], "forget", "{reply}");
        }
        let now = master.api.job("film.mkv").expect("the job");
        assert_eq!(now["state"], "leased", "{now}");
        let metrics = master.api.get("/status");
        assert_eq!(metrics["contract"]["Failed"], 0);
    });
}
