//! A library of a million files.

use std::fs;
use std::time::Duration;

use serde_json::Value;

use crate::master::Master;
use crate::{now, percentile};

/// Files in a folder: a season or two, or a flat collection.
const IN_A_FOLDER: u64 = 100;

pub(crate) async fn run(files: u64) {
    tokio::task::block_in_place(|| measure(files));
}

fn measure(files: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let films = folder.path().join("films");
    for number in 0..files {
        let season = films.join(format!("show {:05}", number / IN_A_FOLDER));
        if number % IN_A_FOLDER == 0 {
            fs::create_dir_all(&season).expect("a folder");
        }
        fs::write(season.join(format!("episode {number:07}.mkv")), b"").expect("a file");
    }
    let began = now();
    let mut master = Master::start(folder.path(), 0);
    let agent = ureq::Agent::new_with_defaults();
    await_scan(&master, &agent, files);
    println!(
        "{files} files scanned and entered in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    println!("the master held {} MB at most", master.memory_mb().1);
    let port = master.address.port();
    master.kill();
    let began = now();
    drop(master);
    let master = Master::start(folder.path(), port);
    let ready = loop {
        if master.get(&agent, "/api/v1/status").is_some() {
            break began.elapsed();
        }
    };
    println!("started again: answers after {:.2} s", ready.as_secs_f64());
    await_scan(&master, &agent, files);
    println!(
        "scanned again, nothing changed: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    for query in [
        "sort=path",
        "sort=changed&desc=true",
        "sort=bytes&desc=true",
        "sort=queue&state=pending",
        "sort=path&search=episode%200999",
        "sort=path&state=failed",
    ] {
        pages(&master, &agent, query);
    }
}

fn await_scan(master: &Master, agent: &ureq::Agent, files: u64) {
    let deadline = now() + Duration::from_secs(600);
    loop {
        let status = master.get(agent, "/api/v1/status").unwrap_or(Value::Null);
        let root = &status["roots"][0];
        let found = status["files"].as_u64() == Some(files);
        if found && root["scanned"].is_number() && root["scanning_files"].is_null() {
            return;
        }
        assert!(now() < deadline, "not scanned: {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A hundred pages, one after the other.
fn pages(master: &Master, agent: &ureq::Agent, query: &str) {
    let mut took = Vec::new();
    let mut after = String::new();
    for _ in 0..100 {
        let path = format!("/api/v1/jobs?limit=100&{query}{after}");
        let asked = now();
        let page = master.get(agent, &path).expect("a page");
        took.push(asked.elapsed());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    took.sort_unstable();
    println!(
        "pages of {query}: {:?} (median), {:?} (p99) of {}",
        percentile(&took, 50),
        percentile(&took, 99),
        took.len()
    );
}
