//! A library that only the master can see.

use serde_json::json;

use crate::films::{LONG_FRAMES, Library, SHORT_FRAMES, assert_no_encode_below};
use crate::process::{Master, quick_config, until};
use crate::support::{Scratch, watched};

/// A worker that maps the master's folder to one that is not there.
fn blind(library: &Library) -> serde_json::Value {
    json!({"path_map": {library.path.to_str().expect("UTF-8"): "/nowhere/at/all"}})
}

#[test]
fn a_film_goes_over_http_and_comes_back() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add("a.mkv");
        library.add("sub/b.mkv");
        let config = quick_config(&scratch, &[&library.path]);
        let master = Master::start(&scratch, &config);
        let _worker = master.worker_with(&scratch, "far", &blind(&library));
        master.api.await_all(2);
        library.assert_shrunk("a.mkv", SHORT_FRAMES);
        library.assert_shrunk("sub/b.mkv", SHORT_FRAMES);
        library.assert_holds(&["a.mkv", "sub"]);
        until("nothing is left of the way", || {
            let empty = |path: std::path::PathBuf| {
                walkdir::WalkDir::new(path)
                    .into_iter()
                    .filter_map(Result::ok)
                    .all(|entry| !entry.file_type().is_file() || entry.file_name() == "lock")
            };
            (empty(scratch.file("temp-far")) && empty(master.state().join("incoming")))
                .then_some(())
        });
        assert_no_encode_below(scratch.path());
    });
}

#[test]
fn a_master_killed_while_a_film_is_away_gets_it_all_the_same() {
    watched(|| {
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("a.mkv");
        let mut config = quick_config(&scratch, &[&library.path]);
        config["lease_seconds"] = 30.into();
        let mut master = Master::start(&scratch, &config);
        let _worker = master.worker_with(&scratch, "far", &blind(&library));
        until("frames are done", || {
            let job = master.api.job("a.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(())
        });
        master.process.kill();
        master.restart();
        let job = master.api.await_job("a.mkv", &["completed"]);
        assert_eq!(job["attempts"], 0, "{job}");
        library.assert_shrunk("a.mkv", LONG_FRAMES);
    });
}
