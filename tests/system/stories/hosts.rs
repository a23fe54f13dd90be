//! Two machines, as far as the kernel can pretend: the contract's two commands, each on its
//! own host.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::films::{LONG_FRAMES, Library, SHORT_FRAMES, assert_no_encode_below};
use crate::host::Host;
use crate::process::{Master, Process, quick_config, until};
use crate::support::{Scratch, watched};

fn config(scratch: &Scratch, master: &Master) -> PathBuf {
    let config = json!({
        "temp_directory": scratch.file("temp-far"),
        "state_directory": scratch.file("state-far"),
        "worker_name": "far",
        "token": master.worker_token(),
        "niceness": 0,
        "threads": 1,
    });
    scratch.write("far.json", config.to_string())
}

fn worker(host: &Host, master: &Master, scratch: &Scratch, hidden: &Path) -> Process {
    let url = format!("http://{}:{}", host.address, master.address.port());
    let config = config(scratch, master);
    host.worker(&url, &config, hidden, &scratch.file("far.log"))
}

#[test]
fn two_hosts_shrink_a_shared_library_and_one_that_only_the_master_sees() {
    watched(|| {
        let Some(host) = Host::new() else { return };
        let scratch = Scratch::new();
        let mut shared = Library::new(&scratch, "shared");
        shared.add("a.mkv");
        let mut own = Library::new(&scratch, "own");
        own.add("b.mkv");
        let mut settings = quick_config(&scratch, &[&shared.path, &own.path]);
        settings["bind_address"] = "0.0.0.0".into();
        let master = Master::start(&scratch, &settings);
        let _worker = worker(&host, &master, &scratch, &own.path);
        master.api.await_all(2);
        let far = master.api.worker("far").expect("it is known");
        let mounted = far["mounted"].as_array().expect("a list");
        assert_eq!(mounted.len(), 1, "it sees the shared one alone: {far}");
        shared.assert_shrunk("a.mkv", SHORT_FRAMES);
        own.assert_shrunk("b.mkv", SHORT_FRAMES);
        shared.assert_holds(&["a.mkv"]);
        own.assert_holds(&["b.mkv"]);
        assert_no_encode_below(scratch.path());
    });
}

/// The worker is shown offline and keeps its film, since its lease has not run out.
#[test]
fn a_cable_that_is_pulled_for_a_moment_costs_nothing() {
    watched(|| {
        let Some(host) = Host::new() else { return };
        let scratch = Scratch::new();
        let mut library = Library::new(&scratch, "films");
        library.add_long("film.mkv");
        let mut settings = quick_config(&scratch, &[&library.path]);
        settings["bind_address"] = "0.0.0.0".into();
        settings["lease_seconds"] = 80.into();
        settings["preset"] = 10.into();
        let master = Master::start(&scratch, &settings);
        let _worker = worker(&host, &master, &scratch, &scratch.folder("nothing"));
        until("frames are done", || {
            let job = master.api.job("film.mkv")?;
            (job["progress"]["frames_done"].as_u64()? > 0).then_some(())
        });
        host.pull_the_cable();
        master.api.await_worker("far", &["offline"]);
        assert_eq!(
            master.api.job("film.mkv").expect("a job")["state"],
            "leased"
        );
        host.plug_it_in();
        let job = master.api.await_job("film.mkv", &["completed"]);
        assert_eq!(job["attempts"], 0, "{job}");
        let detail = master.api.get(&format!("/jobs/{}", job["id"]));
        let attempts = detail["attempts"].as_array().map(Vec::len);
        assert_eq!(attempts, Some(1), "{detail}");
        library.assert_shrunk("film.mkv", LONG_FRAMES);
    });
}
