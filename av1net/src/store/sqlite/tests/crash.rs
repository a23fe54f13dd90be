//! A master that is killed while it writes.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::store::conformance::{NOW, claim_op, new_file, put_root, scan};
use crate::store::{Done, conformance};

/// The directory of a process that writes until it is killed.
const DIRECTORY: &str = "AV1_TEST_STORE_WRITER";

/// Films a transaction adds.
const ADDED: u64 = 50;

/// What the child does in place of its test: adds films and has each claimed, and says so
/// when that is durable.
fn write_until_killed(directory: &Path) -> ! {
    let store = SqliteStore::open(directory, POLICY).expect("opens");
    store.write(&[put_root("films")]).expect("durable");
    let first = store.counters().expect("reads").files();
    for batch in first / ADDED.. {
        let numbers = batch * ADDED..(batch + 1) * ADDED;
        let films = numbers.map(|n| new_file(&format!("{n}.mkv"), n + 1));
        let ops = [
            scan("films", films.collect(), NOW),
            claim_op("one", &["films"], ADDED as usize),
        ];
        let results = store.write(&ops).expect("durable");
        assert!(matches!(&results[1], Ok(Done::Jobs(jobs)) if jobs.len() == ADDED as usize));
        writeln!(std::io::stdout(), "\nwritten {}", (batch + 1) * ADDED).expect("told");
    }
    unreachable!("the numbers have no end");
}

/// Again and again on one file: what was acknowledged is there, what was not is there
/// whole or not at all, and the sums are those of the rows.
#[test]
fn what_was_acknowledged_outlives_a_kill() {
    if let Some(directory) = env::var_os(DIRECTORY) {
        write_until_killed(directory.as_ref());
    }
    let directory = tempfile::tempdir().expect("a directory");
    let this = concat!(module_path!(), "::what_was_acknowledged_outlives_a_kill");
    let (_, this) = this.split_once("::").expect("a crate's name before it");
    let mut total = 0;
    for round in 0..8 {
        let mut child = Command::new(env::current_exe().expect("this binary"))
            .args(["--exact", this, "--nocapture"])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let said = |line: Option<std::io::Result<String>>| {
            let line = line?.ok()?;
            line.strip_prefix("written ")?.parse::<u64>().ok()
        };
        let mut acknowledged = 0;
        // Killed at another moment each time, after it has got somewhere.
        for _ in 0..3 + 2 * round {
            match lines.next() {
                None => panic!("the child ended by itself"),
                line => acknowledged = said(line).unwrap_or(acknowledged),
            }
        }
        thread::sleep(Duration::from_micros(700 * round));
        child.kill().expect("killed");
        let end = child.wait().expect("an end");
        assert_eq!(end.signal(), Some(9), "it ended by itself: {end}");
        for line in lines {
            acknowledged = said(Some(line)).unwrap_or(acknowledged);
        }

        let store = SqliteStore::open(directory.path(), POLICY).expect("opens");
        let files = store.counters().expect("reads").files();
        assert!(
            files >= acknowledged,
            "{files} films, {acknowledged} promised"
        );
        assert!(files >= total, "{files} films, {total} the last time");
        assert_eq!(files % ADDED, 0, "a transaction is whole or not there");
        let active = store.active().expect("reads").len() as u64;
        assert_eq!(active, files, "each with its lease");
        conformance::expect_sums(&store);
        total = files;
    }
    assert!(total > 8 * ADDED, "{total}: it was never killed at work");
}
