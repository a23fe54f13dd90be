//! Disks that are full, and one that goes away under an encode.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::films::{LONG_FRAMES, Library, SHORT_FRAMES, assert_no_encode_below};
use crate::process::{Master, quick_config, until};
use crate::support::mount::{Mounted, mount};
use crate::support::{Scratch, watched};

/// Takes all the room that a file system has left, but for so many bytes.
fn fill(folder: &Path, spare: u64) {
    let free = rustix::fs::statvfs(folder).expect("a file system");
    let free = free.f_bavail * free.f_frsize;
    let ballast = fs::File::create(folder.join(".ballast")).expect("made");
    // The last page may be needed for the name.
    rustix::fs::fallocate(
        &ballast,
        rustix::fs::FallocateFlags::empty(),
        0,
        free.saturating_sub(spare).max(1),
    )
    .expect("room taken");
}

#[test]
fn a_library_without_room_keeps_its_films_and_goes_on_when_there_is_some() {
    watched(|| {
        let scratch = Scratch::new();
        let Some(disk) = Mounted::tmpfs(&scratch, "films", "size=64m") else {
            return;
        };
        let mut library = Library::at(disk.path());
        library.add_long("film.mkv");
        fill(disk.path(), 64 * 1024);
        let mut config = quick_config(&scratch, &[&library.path]);
        config["max_attempts"] = 2.into();
        let master = Master::start(&scratch, &config);
        let _worker = master.worker(&scratch, "one");
        let job = master.api.await_job("film.mkv", &["failed"]);
        assert_eq!(job["reason"]["kind"], "disk_full", "{job}");
        library.assert_untouched("film.mkv");
        library.assert_holds(&[".ballast", "film.mkv"]);
        fs::remove_file(disk.path().join(".ballast")).expect("removed");
        master.api.act("retry", &job);
        master.api.await_job("film.mkv", &["completed"]);
        library.assert_shrunk("film.mkv", LONG_FRAMES);
        library.assert_holds(&["film.mkv"]);
    });
}

/// A worker that fetches its films has no room for one.
#[test]
fn a_worker_without_room_for_a_film_says_so_and_leaves_nothing() {
    watched(|| {
        let scratch = Scratch::new();
        let Some(disk) = Mounted::tmpfs(&scratch, "temp-far", "size=4m") else {
            return;
        };
        let mut library = Library::new(&scratch, "films");
        library.add_long("film.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["max_attempts"] = 1.into();
        let master = Master::start(&scratch, &config);
        let far = json!({"path_map": {library.path.to_str().expect("UTF-8"): "/nowhere/at/all"}});
        let _worker = master.worker_with(&scratch, "far", &far);
        let job = master.api.await_job("film.mkv", &["failed"]);
        assert_eq!(job["reason"]["kind"], "disk_full", "{job}");
        library.assert_untouched("film.mkv");
        until("what was fetched is gone", || {
            let files = walkdir::WalkDir::new(disk.path()).into_iter();
            let left = files
                .filter_map(Result::ok)
                .filter(|entry| entry.file_type().is_file() && entry.file_name() != "lock");
            (left.count() == 0).then_some(())
        });
        assert!(mount(&["-o", "remount,size=64m"], disk.path()), "larger");
        master.api.act("retry", &job);
        master.api.await_job("film.mkv", &["completed"]);
        library.assert_shrunk("film.mkv", LONG_FRAMES);
    });
}

/// What the master cannot write down it does not do; when there is room it goes on.
#[test]
fn a_master_whose_state_has_no_room_loses_nothing() {
    watched(|| {
        let scratch = Scratch::new();
        let Some(disk) = Mounted::tmpfs(&scratch, "state", "size=16m") else {
            return;
        };
        let mut library = Library::new(&scratch, "films");
        for name in ["a.mkv", "b.mkv", "c.mkv"] {
            library.add(name);
        }
        let config = quick_config(&scratch, &[&library.path]);
        let mut master = Master::start(&scratch, &config);
        until("all are known", || {
            (master.api.jobs().len() == 3).then_some(())
        });
        fill(disk.path(), 0);
        let worker = master.worker(&scratch, "one");
        // Grants are written down first, and so is what comes of them: at some point there
        // is no room for the next, and everything stops as it is.
        until("it says that it cannot write", || {
            master.process.log().contains("full").then_some(())
        });
        for name in ["a.mkv", "b.mkv", "c.mkv"] {
            assert!(library.path.join(name).is_file(), "{name} is gone");
        }
        fs::remove_file(disk.path().join(".ballast")).expect("removed");
        // As a person would who finds it so: also over a restart.
        master.process.kill();
        master.restart();
        for job in master.api.await_all(3) {
            assert_eq!(job["state"], "completed", "{job}");
        }
        for name in ["a.mkv", "b.mkv", "c.mkv"] {
            library.assert_shrunk(name, SHORT_FRAMES);
        }
        library.assert_holds(&["a.mkv", "b.mkv", "c.mkv"]);
        drop(worker);
        assert_no_encode_below(scratch.path());
    });
}

/// A share that goes while a film is encoded, and comes back.
#[test]
fn a_library_that_is_unmounted_under_an_encode_loses_no_film() {
    watched(|| {
        let scratch = Scratch::new();
        let mut share = Library::new(&scratch, "share");
        share.add_long("film.mkv");
        share.add("short.mkv");
        let films = scratch.folder("films");
        let source = share.path.to_str().expect("UTF-8");
        let Some(mounted) = Mounted::mount(&["--bind", source], &films) else {
            return;
        };
        let mut config = quick_config(&scratch, &[&films]);
        config["max_attempts"] = 10.into();
        let master = Master::start(&scratch, &config);
        let _worker = master.worker(&scratch, "one");
        until("frames are done", || {
            let job = master.api.job("film.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(())
        });
        drop(mounted);
        until("it is noticed", || {
            let status = master.api.get("/status");
            (status["roots"][0]["mounted"] == false).then_some(())
        });
        master.api.post("/scan", &json!({}));
        // A root that is not there is not scanned, which nothing tells: it is looked at
        // every second, and this is three of them.
        for _ in 0..30 {
            std::thread::sleep(std::time::Duration::from_millis(100));
            assert_eq!(master.api.jobs().len(), 2);
            let written = fs::read_dir(&films).expect("listed").count();
            assert_eq!(written, 0, "something is in an empty mount point");
        }
        let again = Mounted::mount(&["--bind", source], &films);
        assert!(again.is_some(), "mounted again");
        for job in master.api.await_all(2) {
            assert_eq!(job["state"], "completed", "{job}");
        }
        share.assert_shrunk("film.mkv", LONG_FRAMES);
        share.assert_shrunk("short.mkv", SHORT_FRAMES);
        until("nothing is left", || {
            let left = crate::support::scratch::names(&share.path);
            (left.len() == 3).then_some(())
        });
    });
}
