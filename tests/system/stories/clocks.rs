//! A clock that is set under way, forwards and back, as by a machine that wakes up or is
//! told the time at last.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::films::{Library, steady_pace};
use crate::process::{Master, quick_config, until};
use crate::support::{Scratch, watched};

/// Where Debian, Arch and Fedora have it, which stands between a process and its clock.
fn libfaketime() -> Option<PathBuf> {
    let arch = std::env::consts::ARCH;
    let places = [
        format!("/usr/lib/{arch}-linux-gnu/faketime/libfaketimeMT.so.1"),
        "/usr/lib/faketime/libfaketimeMT.so.1".to_owned(),
        "/usr/lib64/faketime/libfaketimeMT.so.1".to_owned(),
    ];
    let found = places.into_iter().map(PathBuf::from).find(|p| p.is_file());
    if found.is_none() {
        eprintln!("skipped: libfaketime is not installed; ./dev setup does that");
    }
    found
}

/// Sets the clock of whoever reads this file.
fn set(clock: &Path, offset: &str) {
    let next = clock.with_extension("next");
    fs::write(&next, offset).expect("written");
    fs::rename(&next, clock).expect("set");
}

/// Leases go by a clock that nobody sets: neither an hour more nor a day less takes a film
/// from its worker.
#[test]
fn a_clock_that_is_set_takes_no_film_from_its_worker() {
    watched(|| {
        let Some(library) = libfaketime() else { return };
        let scratch = Scratch::new();
        let clock = scratch.file("clock");
        set(&clock, "+0");
        let environment = vec![
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", clock.clone()),
            // Read each time, and only what people set.
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ];
        let mut films = Library::new(&scratch, "films");
        films.add_long("film.mkv");
        let mut config = quick_config(&scratch, &[&films.path]);
        config["preset"] = 10.into();
        let master = Master::start_in(&scratch, &config, environment);
        let now = || master.api.get("/status")["now"].as_i64().expect("a time");
        let worker = master.worker_with(&scratch, "one", &steady_pace());
        until("frames are done", || {
            let job = master.api.job("film.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(())
        });
        let began = now();
        set(&clock, "+1h");
        assert!(now() > began + 3_500_000, "the clock was not set");
        // As long as the lease lasts, and longer.
        for (offset, after) in [("+1h", 300), ("-1d", 600)] {
            set(&clock, offset);
            until("frames are done", || {
                let job = master.api.job("film.mkv")?;
                assert_eq!(job["attempts"], 0, "{job}");
                (job["progress"]["frames_done"].as_u64()? >= after).then_some(())
            });
            let worker = master.api.worker("one").expect("a worker");
            assert_ne!(worker["state"], "offline", "{worker}");
        }
        // And one that is not heard of loses its film as soon as ever.
        worker.process.signal(Signal::STOP);
        until("its lease has run out", || {
            let job = master.api.job("film.mkv")?;
            assert_ne!(job["state"], "completed", "too quick for this test: {job}");
            (job["attempts"] == 1).then_some(())
        });
        films.assert_untouched("film.mkv");
    });
}
