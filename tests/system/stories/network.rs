//! A network that cuts, delays, repeats and is away: no film is lost, none is done twice.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::films::{LONG_FRAMES, Library, SHORT_FRAMES, assert_no_encode_below, steady_pace};
use crate::process::{Master, Worker, quick_config, until};
use crate::proxy::{Proxy, Weather};
use crate::support::scratch::fingerprint;
use crate::support::{Scratch, watched};

/// A worker that reaches its master through a proxy.
fn behind(proxy: &Proxy, master: &Master, scratch: &Scratch, name: &str, keys: &Value) -> Worker {
    Worker::start(scratch, name, &proxy.url(), &master.worker_token(), keys)
}

/// Attempts at a job that came to an end of their own.
fn completed_attempts(master: &Master, job: &Value) -> usize {
    let detail = master.api.get(&format!("/jobs/{}", job["id"]));
    let attempts = detail["attempts"].as_array().expect("attempts");
    let completed = attempts.iter().filter(|one| one["outcome"] == "completed");
    completed.count()
}

/// One bad moment after the other, the same each time.
fn storm(proxy: &Proxy, is_over: &dyn Fn() -> bool) {
    let moments = [
        (Weather::Slow, 700, false),
        (Weather::Calm, 300, true),
        (Weather::Partitioned, 900, false),
        (Weather::Calm, 200, true),
        (Weather::Partitioned, 1500, true),
        (Weather::Slow, 400, true),
    ];
    for (weather, ms, cuts) in moments.into_iter().cycle() {
        if is_over() {
            break;
        }
        proxy.set(weather);
        thread::sleep(Duration::from_millis(ms));
        if cuts {
            proxy.cut();
        }
    }
    proxy.set(Weather::Calm);
}

#[test]
fn a_network_that_cuts_and_delays_loses_no_film_and_does_none_twice() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        let names: Vec<_> = (0..6).map(|number| format!("{number}.mkv")).collect();
        for name in &names {
            library.add(name);
        }
        let mut config = quick_config(&scratch, &[&library.path]);
        config["lease_seconds"] = 30.into();
        let master = Master::start(&scratch, &config);
        let proxy = Proxy::new(master.address);
        let far = json!({"path_map": {library.path.to_str().expect("UTF-8"): "/nowhere/at/all"}});
        // One in place, one that fetches each film and brings the result back.
        let _near = behind(&proxy, &master, &scratch, "near", &json!({}));
        let _far = behind(&proxy, &master, &scratch, "far", &far);
        let done = || {
            let jobs = master.api.jobs();
            jobs.len() == names.len() && jobs.iter().all(|job| job["state"] == "completed")
        };
        storm(&proxy, &done);
        for job in master.api.await_all(names.len()) {
            assert_eq!(job["state"], "completed", "{job}");
            assert_eq!(completed_attempts(&master, &job), 1, "{job}");
        }
        for name in &names {
            library.assert_shrunk(name, SHORT_FRAMES);
        }
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        library.assert_holds(&names);
        assert_no_encode_below(scratch.path());
    });
}

/// Longer than the lease: the film goes to somebody else, and when the network is back
/// whatever was on its way changes nothing.
#[test]
fn a_worker_cut_off_past_its_lease_loses_its_film_and_harms_none() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("film.mkv");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let proxy = Proxy::new(master.address);
        let cut_off = behind(&proxy, &master, &scratch, "cut-off", &json!({}));
        until("frames are done", || {
            let job = master.api.job("film.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(())
        });
        proxy.set(Weather::Partitioned);
        master.api.await_worker("cut-off", &["offline"]);
        let _second = master.worker(&scratch, "second");
        let job = master.api.await_job("film.mkv", &["completed"]);
        assert_eq!(job["worker_name"], "second", "{job}");
        library.assert_shrunk("film.mkv", LONG_FRAMES);
        let done = fingerprint(&library.path.join("film.mkv"));
        proxy.set(Weather::Calm);
        master.api.await_worker("cut-off", &["idle"]);
        until("its encode is gone", || {
            cut_off.children().is_empty().then_some(())
        });
        let now = fingerprint(&library.path.join("film.mkv"));
        assert_eq!(now, done, "the film was touched again");
        assert_eq!(completed_attempts(&master, &job), 1);
        library.assert_holds(&["film.mkv"]);
    });
}

/// Shorter than the lease: nobody else gets it, and the same encode goes on.
#[test]
fn a_worker_cut_off_for_a_moment_keeps_its_film() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("film.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["lease_seconds"] = 60.into();
        config["preset"] = 10.into();
        let master = Master::start(&scratch, &config);
        let proxy = Proxy::new(master.address);
        let worker = behind(&proxy, &master, &scratch, "one", &steady_pace());
        let job = master.api.await_job("film.mkv", &["leased"]);
        let _idle = master.worker(&scratch, "idle");
        let children = until("its encode runs", || {
            let children = worker.children();
            (!children.is_empty()).then_some(children)
        });
        proxy.set(Weather::Partitioned);
        master.api.await_worker("one", &["offline"]);
        proxy.set(Weather::Calm);
        master.api.await_worker("one", &["processing"]);
        assert_eq!(worker.children(), children, "the encode was begun anew");
        let done = master.api.await_job("film.mkv", &["completed"]);
        assert_eq!(done["worker_name"], job["worker_name"], "{done}");
        assert_eq!(done["attempts"], 0, "{done}");
        library.assert_shrunk("film.mkv", LONG_FRAMES);
    });
}

/// No WebSocket can be had, and each report arrives twice.
#[test]
fn every_report_may_arrive_twice() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        for name in ["a.mkv", "b.mkv", "c.mkv"] {
            library.add(name);
        }
        let master = Master::start(&scratch, &quick_config(&scratch, &[&library.path]));
        let proxy = Proxy::new(master.address);
        proxy.repeat_reports();
        let _worker = behind(&proxy, &master, &scratch, "one", &json!({}));
        for job in master.api.await_all(3) {
            assert_eq!(job["state"], "completed", "{job}");
            assert_eq!(job["attempts"], 0, "{job}");
            assert_eq!(completed_attempts(&master, &job), 1, "{job}");
        }
        assert!(proxy.repeated() > 3, "{} repeated", proxy.repeated());
        for name in ["a.mkv", "b.mkv", "c.mkv"] {
            library.assert_shrunk(name, SHORT_FRAMES);
        }
        library.assert_holds(&["a.mkv", "b.mkv", "c.mkv"]);
    });
}
