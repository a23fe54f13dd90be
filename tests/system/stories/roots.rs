//! Media directories that come and go.

use std::fs;

use serde_json::json;

use crate::films::{Library, SHORT_FRAMES};
use crate::process::{Master, quick_config, until};
use crate::support::{Scratch, watched};

/// A vanished root pauses, and deletes nothing (Tdarr#994, #981, #915).
#[test]
fn a_root_that_is_not_mounted_loses_no_job() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add("a.mkv");
        library.add("b.mkv");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        until("both are found", || {
            (master.api.jobs().len() == 2).then_some(())
        });
        // What a mount leaves behind when it goes: an empty folder of the same name.
        let away = scratch.file("away");
        fs::rename(&library.path, &away).expect("moved");
        fs::create_dir(&library.path).expect("an empty mount point");
        until("it is noticed", || {
            let status = master.api.get("/status");
            (status["roots"][0]["mounted"] == false).then_some(())
        });
        master.api.post("/scan", &json!({}));
        let _worker = master.worker(&scratch, "one");
        master.api.await_worker("one", &["idle"]);
        assert_eq!(master.api.jobs().len(), 2);
        assert!(
            master
                .api
                .jobs()
                .iter()
                .all(|job| job["state"] == "pending")
        );
        assert_eq!(
            fs::read_dir(&library.path).expect("listed").count(),
            0,
            "something was written into an empty mount point"
        );
        fs::remove_dir(&library.path).expect("removed");
        fs::rename(&away, &library.path).expect("moved back");
        master.api.await_all(2);
        library.assert_shrunk("a.mkv", SHORT_FRAMES);
        library.assert_shrunk("b.mkv", SHORT_FRAMES);
    });
}

/// A file that is gone has no job any more, and one that changed is looked at anew.
#[test]
fn a_scan_follows_what_people_do_to_their_files() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add("a.mkv");
        library.write("b.mkv", b"rubbish");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let _worker = master.worker(&scratch, "one");
        master.api.await_all(2);
        library.add("b.mkv");
        master.api.await_job("b.mkv", &["completed"]);
        fs::remove_file(library.path.join("a.mkv")).expect("removed");
        until("it is gone", || {
            master.api.job("a.mkv").is_none().then_some(())
        });
    });
}
