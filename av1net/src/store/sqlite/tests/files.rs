//! The file and what lies beside it: whose it is, whether it is whole, its backups, and
//! files of other versions.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::*;
use crate::job::JobState;
use crate::store::conformance::{NOW, at, claim, library, path, root};
use crate::store::sqlite::open::MIGRATIONS;

const DAY_MS: i64 = 24 * 3_600_000;

fn file(directory: &Path) -> PathBuf {
    directory.join("jobs.sqlite3")
}

fn open(directory: &Path) -> Result<SqliteStore> {
    SqliteStore::open(directory, POLICY)
}

fn refused(directory: &Path) -> StoreError {
    match open(directory) {
        Ok(_) => panic!("it opens"),
        Err(error) => error,
    }
}

/// A database as another program or version may have left it.
fn with_database(change: impl FnOnce(&Connection)) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let conn = Connection::open(file(directory.path())).expect("opens");
    change(&conn);
    directory
}

/// Names of files beside the database that begin so, in order.
fn beside(directory: &Path, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("text"));
    let mut names: Vec<_> = names.filter(|name| name.starts_with(prefix)).collect();
    names.sort();
    names
}

fn pragma(path: &Path, name: &str) -> i64 {
    let conn = Connection::open(path).expect("opens");
    let value = conn.pragma_query_value(None, name, |row| row.get(0));
    value.expect("a number")
}

/// The schema of this version.
fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).expect("small")
}

/// Overwrites pages in the middle, as a bad sector does.
fn spoil(path: &Path) {
    let file = File::options().write(true).open(path).expect("opens");
    let middle = file.metadata().expect("there").len() / 2 / 4096 * 4096;
    for page in 0..8 {
        file.write_all_at(&[0xA5; 4096], middle + page * 4096)
            .expect("written");
    }
}

#[test]
fn a_second_master_is_refused_and_told_which_file() {
    let (store, directory) = fresh();
    let error = refused(directory.path());
    let expected = file(directory.path()).display().to_string();
    assert!(
        matches!(&error, StoreError::InUse { path } if *path == expected),
        "{error}"
    );
    drop(store);
    open(directory.path()).expect("free again");
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let (store, directory) = fresh();
    drop(store);
    let path = file(directory.path());
    let conn = Connection::open(&path).expect("opens");
    conn.pragma_update(None, "user_version", 99)
        .expect("written");
    drop(conn);
    let error = refused(directory.path());
    assert!(
        matches!(error, StoreError::TooNew { found: 99, known: ours, .. } if i64::from(ours) == known()),
        "{error}"
    );
    assert_eq!(pragma(&path, "user_version"), 99);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let directory = with_database(|conn| {
        conn.execute_batch("CREATE TABLE recipes (name TEXT); INSERT INTO recipes VALUES ('soup')")
            .expect("written");
    });
    let error = refused(directory.path());
    assert!(
        error.to_string().contains("not a job store of this"),
        "{error}"
    );
    let conn = Connection::open(file(directory.path())).expect("opens");
    let kept: String = conn
        .query_row("SELECT name FROM recipes", [], |row| row.get(0))
        .expect("still there");
    assert_eq!(kept, "soup");
    let tables: i64 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .expect("counted");
    assert_eq!(tables, 1, "nothing was added to it");
}

#[test]
fn a_file_that_is_no_database_is_told_as_damaged() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(file(directory.path()), [0x42; 8192]).expect("written");
    let error = refused(directory.path());
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("no backup of it yet"), "{error}");
}

/// What the message says is done to the letter, and works.
#[test]
fn a_small_damaged_file_does_not_open_and_its_backup_takes_its_place() {
    let (store, directory) = fresh();
    store.wait_for_upkeep();
    let names: Vec<String> = (0..2000).map(|n| format!("film {n:04}.mkv")).collect();
    let films: Vec<_> = names.iter().map(|name| (name.as_str(), 1000)).collect();
    library(&store, "films", &films);
    drop(store);
    // Backups are made at each start, of what is there then.
    open(directory.path()).expect("opens").wait_for_upkeep();
    let [backup] = &beside(directory.path(), "jobs.sqlite3.backup-")[..] else {
        panic!("one backup");
    };
    spoil(&file(directory.path()));

    let error = refused(directory.path());
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let told = error.to_string();
    let backup = directory.path().join(backup);
    for expected in [&file(directory.path()), &backup] {
        assert!(told.contains(&expected.display().to_string()), "{told}");
    }

    for end in ["", "-wal", "-shm"] {
        let from = directory.path().join(format!("jobs.sqlite3{end}"));
        if from.exists() {
            fs::rename(&from, from.with_extension(format!("bad{end}"))).expect("moved away");
        }
    }
    fs::copy(&backup, file(directory.path())).expect("copied");
    let store = open(directory.path()).expect("opens");
    assert_eq!(store.counters().expect("reads").files(), 2000);
    assert_eq!(claim(&store, "one", &["films"], 1).len(), 1);
}

/// A large one opens at once; when the check finds the damage, writing ends.
#[test]
fn a_large_damaged_file_takes_no_writes_once_the_check_has_found_it() {
    let (store, directory) = fresh();
    store.wait_for_upkeep();
    let name = |n: u32| format!("{n:06} {}.mkv", "x".repeat(200));
    let names: Vec<String> = (0..60_000).map(name).collect();
    let films: Vec<_> = names.iter().map(|name| (name.as_str(), 1000)).collect();
    library(&store, "films", &films);
    drop(store);
    let path = file(directory.path());
    let large = i64::try_from(fs::metadata(&path).expect("there").len()).expect("a size");
    assert!(large > open::CHECKED_FIRST_BYTES, "{large} bytes");
    spoil(&path);

    let store = open(directory.path()).expect("opens");
    store.wait_for_upkeep();
    let error = store
        .write(&[conformance::put_root("series")])
        .expect_err("no write");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(beside(directory.path(), "jobs.sqlite3.backup-").is_empty());
}

#[test]
fn the_last_three_backups_are_kept_an_hour_apart() {
    let (store, directory) = fresh();
    // It makes a backup of its own where there are films by then.
    store.wait_for_upkeep();
    library(&store, "films", &[("a.avi", 10)]);
    let place = Place::new(directory.path());
    let conn = open::reader(&place).expect("opens");
    let back_up = |minutes: i64| {
        let now = NOW.plus_ms(minutes * 60_000);
        backup::at_start(&conn, &place, now, &AtomicBool::new(false)).expect("made");
        beside(directory.path(), "jobs.sqlite3.backup-")
    };
    let first = back_up(0);
    assert_eq!(first.len(), 1);
    assert_eq!(back_up(59), first, "the last one is of just now");
    assert_eq!(back_up(61).len(), 2);
    let three = back_up(130);
    assert_eq!(three.len(), 3);
    let last = back_up(200);
    assert_eq!(last[..2], three[1..], "the oldest went");
    assert_eq!(last.len(), 3);
    let newest = directory.path().join(&last[2]);
    assert_eq!(pragma(&newest, "user_version"), known());
}

#[test]
fn a_backup_that_is_cut_short_leaves_nothing() {
    let (store, directory) = fresh();
    // It makes a backup of its own where there are films by then.
    store.wait_for_upkeep();
    library(&store, "films", &[("a.avi", 10)]);
    let place = Place::new(directory.path());
    let conn = open::reader(&place).expect("opens");
    backup::at_start(&conn, &place, NOW, &AtomicBool::new(true)).expect("ended early");
    for left in ["jobs.sqlite3.backup-", "jobs.sqlite3.part"] {
        assert_eq!(beside(directory.path(), left), [""; 0]);
    }
}

/// The stored file is schema 1 with six films: pending, replaced (two, a day apart, one at
/// the second attempt), left alone, running, waiting for its next attempt.
#[test]
fn a_database_of_the_first_schema_is_brought_up_to_date_and_a_copy_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let stored = include_bytes!("schema-1.sqlite3");
    fs::write(file(directory.path()), stored).expect("written");
    let store = open(directory.path()).expect("opens");

    let job = |name: &str| at(&store, "films", name);
    for (name, state) in [
        ("pending.avi", JobState::Pending),
        ("done.mkv", JobState::Completed),
        ("next day.mkv", JobState::Completed),
        ("left.mkv", JobState::Skipped),
        ("running.mkv", JobState::Leased),
        ("waits.mkv", JobState::RetryWait),
    ] {
        assert_eq!(job(name).state, state, "{name}");
    }
    let done = job("done.mkv").committed.expect("a replacement");
    assert_eq!((done.source_bytes, done.file.bytes), (1000, 400));
    assert_eq!(done.path, path("done.mkv"));
    assert_eq!(done.warnings, ["a subtitle was dropped"]);
    let attempts = store.attempts(job("next day.mkv").id, 10).expect("reads");
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(
        outcomes,
        [Some(JobState::Completed), Some(JobState::Failed)]
    );
    let counters = store.counters().expect("reads");
    assert_eq!((counters.files(), counters.saved_bytes), (6, 1300));
    assert_eq!(
        store.setting("paused").expect("reads").as_deref(),
        Some("true")
    );
    // What schema 2 added, from what schema 1 knew.
    let days = store.saved_by_day(UnixMs(0)).expect("reads");
    let days: Vec<_> = days.iter().map(|day| (day.day, day.saved_bytes)).collect();
    let first = UnixMs(NOW.0 - NOW.0 % DAY_MS);
    assert_eq!(days, [(first, 600), (first.plus_ms(DAY_MS), 700)]);
    // It works on.
    let granted = claim(&store, "w2", &["films"], 5);
    assert_eq!(granted.len(), 1);
    assert_eq!(granted[0].path, path("pending.avi"));
    assert_eq!(granted[0].root, root("films"));

    drop(store);
    assert_eq!(pragma(&file(directory.path()), "user_version"), known());
    let kept = directory.path().join("jobs.sqlite3.schema-1");
    assert_eq!(pragma(&kept, "user_version"), 1);
}
