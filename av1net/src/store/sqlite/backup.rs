//! Copies of the database beside it, made at each start: the last three, and one from
//! before each change of the schema.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::open::Place;
use crate::store::StoreError;
use crate::units::UnixMs;

type Result<T> = std::result::Result<T, StoreError>;

/// Backups that are kept.
const KEPT: usize = 3;

/// A master that starts over and over does not push out older backups with copies of
/// the same.
const APART: Duration = Duration::from_secs(3600);

/// Pages copied before it is looked whether the store is being closed: some 8 MB.
const PAGES_AT_ONCE: i32 = 2000;

const PREFIX: &str = "jobs.sqlite3.backup-";

/// Backups beside the database, oldest first: their names tell when they were made.
fn all(place: &Place) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(&place.directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// The newest backup beside the database.
pub(super) fn newest(place: &Place) -> Option<PathBuf> {
    all(place).ok()?.pop()
}

/// Makes a backup if there are jobs and the last one is not of just now, and removes
/// those past the last three. `stop` ends it early, and nothing is left then.
pub(super) fn at_start(
    conn: &Connection,
    place: &Place,
    now: UnixMs,
    stop: &AtomicBool,
) -> Result<()> {
    let last_job = "SELECT value FROM sums WHERE name = 'last_job'";
    let last_job: i64 = conn.query_row(last_job, [], |row| row.get(0))?;
    let apart_ms = i64::try_from(APART.as_millis()).unwrap_or(i64::MAX);
    let name = |at: UnixMs| place.directory.join(format!("{PREFIX}{}", stamp(at)));
    let recent = newest(place).is_some_and(|newest| newest > name(now.plus_ms(-apart_ms)));
    if last_job == 0 || recent {
        return Ok(());
    }
    copy(conn, place, &name(now), stop)?;
    let mut kept = all(place)?;
    let old = kept.len().saturating_sub(KEPT);
    for old in kept.drain(..old) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// Keeps what an older version of this program can read.
pub(super) fn before_migration(conn: &Connection, place: &Place, schema: usize) -> Result<()> {
    let name = place.beside(&format!("schema-{schema}"));
    copy(conn, place, &name, &AtomicBool::new(false))
}

/// Copies the database as it is now, whatever is written meanwhile.
fn copy(conn: &Connection, place: &Place, to: &Path, stop: &AtomicBool) -> Result<()> {
    let part = place.beside("part");
    remove_if_there(&part)?;
    let whole = copy_into(conn, &part, stop);
    if !matches!(whole, Ok(true)) {
        remove_if_there(&part)?;
        return whole.map(|_| ());
    }
    File::open(&part)?.sync_all()?;
    fs::rename(&part, to)?;
    File::open(&place.directory)?.sync_all()?;
    Ok(())
}

/// Whether it came to its end.
fn copy_into(conn: &Connection, part: &Path, stop: &AtomicBool) -> Result<bool> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut target = Connection::open_with_flags(part, flags)?;
    target.pragma_update(None, "synchronous", "off")?;
    // The copy begins anew with each write that comes between two of its steps, unless
    // its source is a snapshot of its own.
    let snapshot = conn.unchecked_transaction()?;
    snapshot.query_row("SELECT count(*) FROM sums", [], |_| Ok(()))?;
    let copying = Backup::new(&snapshot, &mut target)?;
    while !stop.load(Ordering::Relaxed) {
        if copying.step(PAGES_AT_ONCE)? == StepResult::Done {
            return Ok(true);
        }
    }
    Ok(false)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A moment as a part of a name; names sort as moments do.
fn stamp(at: UnixMs) -> String {
    let moment = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    moment.strftime("%Y%m%dT%H%M%S%3fZ").to_string()
}
