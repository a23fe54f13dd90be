//! Opening the file: who may, which schema it has, whether it is whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, params};

use super::backup;
use super::codes::{job, order_code, select_jobs};
use crate::schedule::{Order, rank};
use crate::store::StoreError;

type Result<T> = std::result::Result<T, StoreError>;

/// The steps from an empty file to the schema of this version, in order: the first makes
/// schema 1 of it, and so on. What was released is never edited.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_jobs.sql"),
    include_str!("migrations/0002_saved_days.sql"),
];

/// Names the file as ours to SQLite, in its header: "av1n".
const APPLICATION_ID: i32 = 0x6176_316e;

/// Up to this size a file is checked before it is used: 0.2 s on a slow disk, and some
/// 60,000 jobs. A larger one, of which two seconds are promised to be enough for
/// readiness with a million jobs (design, section 5), is checked while it is used.
pub(super) const CHECKED_FIRST_BYTES: i64 = 32 << 20;

/// A reader waits so long where another connection has the whole file, which happens
/// only while the last one of a process that was killed is tidied up after.
const BUSY: Duration = Duration::from_secs(10);

/// Page cache of the connection that writes, in KiB: the inner pages of the indexes over
/// a million jobs fit, and the leaves that a scan appends to.
const WRITER_CACHE_KIB: i64 = 32 << 10;

/// Page cache of each connection that reads, in KiB; the system's holds the rest.
const READER_CACHE_KIB: i64 = 4 << 10;

/// Pages in the log, after which a commit also brings them into the file: 64 MB. The
/// pages of the indexes are written over and over, and into the file only once then.
const CHECKPOINT_PAGES: i64 = 16_384;

/// Prepared statements that a connection keeps; a page may use some 30 for each order.
const STATEMENTS: usize = 128;

/// The files of a store in its directory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    pub(super) file: PathBuf,
}

impl Place {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            file: directory.join("jobs.sqlite3"),
        }
    }

    /// A file beside the database, whose name begins with the database's.
    pub(super) fn beside(&self, end: &str) -> PathBuf {
        self.directory.join(format!("jobs.sqlite3.{end}"))
    }

    /// The file as messages name it.
    pub(super) fn name(&self) -> String {
        self.file.display().to_string()
    }

    /// An error of damage, with what to do.
    pub(super) fn damaged(&self, what: String) -> StoreError {
        let advice = match backup::newest(self) {
            Some(backup) => format!(
                "stop the master, move this file away together with those that end in -wal and \
                 -shm, and copy its newest backup, {}, to its name",
                backup.display()
            ),
            None => "there is no backup of it yet: stop the master and move this file away \
                     together with those that end in -wal and -shm; the next start scans the \
                     media directories afresh"
                .to_owned(),
        };
        StoreError::Damaged {
            path: self.name(),
            what,
            advice,
        }
    }

    /// Fills in what the place of an error's making could not know.
    pub(super) fn told(&self, error: StoreError) -> StoreError {
        match error {
            StoreError::Damaged { path, what, .. } if path.is_empty() => self.damaged(what),
            other => other,
        }
    }
}

/// Keeps a second master out for as long as it lives; the system lets go of it with the
/// process, however that ends.
pub(super) fn lock(place: &Place) -> Result<File> {
    std::fs::create_dir_all(&place.directory)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.open(place.beside("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: place.name() }),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The connection that writes, on a file of this version's schema.
pub(super) fn writer(place: &Place) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(&place.file, flags)?;
    prepare(&conn)?;
    conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
    conn.pragma_update(None, "foreign_keys", true)?;
    let mode: String =
        conn.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Database(format!(
            "{} cannot have a write-ahead log (SQLite says {mode}); put the state directory on a \
             local disk",
            place.name()
        )));
    }
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    // Each commit waits for its fsync: what was acknowledged outlives a loss of power.
    conn.pragma_update(None, "synchronous", "full")?;
    migrate(&mut conn, place)?;
    Ok(conn)
}

/// What every connection has.
fn prepare(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // The bundled library is built with STAT4, with which it plans a prepared statement
    // anew for each value that it is given: half the time of a claim. No plan here
    // depends on values.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// A connection that only reads.
pub(super) fn reader(place: &Place) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(&place.file, flags)?;
    prepare(&conn)?;
    conn.pragma_update(None, "cache_size", -READER_CACHE_KIB)?;
    Ok(conn)
}

fn migrate(conn: &mut Connection, place: &Place) -> Result<()> {
    let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (found, application) = (number("user_version")?, number("application_id")?);
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION_ID {
        let what = "it is a database, but not a job store of this program".to_owned();
        return Err(place.damaged(what));
    }
    let known = MIGRATIONS.len();
    let found = usize::try_from(found).unwrap_or(usize::MAX);
    if found > known {
        let number = |schema| u32::try_from(schema).unwrap_or(u32::MAX);
        return Err(StoreError::TooNew {
            path: place.name(),
            found: number(found),
            known: number(known),
        });
    }
    if found == known {
        return Ok(());
    }
    if found > 0 {
        tracing::info!(found, known, "the job store's schema is brought up to date");
        backup::before_migration(conn, place, found)?;
    }
    let transaction = conn.transaction()?;
    for migration in &MIGRATIONS[found..] {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(
        None,
        "user_version",
        i64::try_from(known).unwrap_or(i64::MAX),
    )?;
    transaction.commit()?;
    Ok(())
}

/// Whether the file is small enough to be checked before it is used.
pub(super) fn is_small(conn: &Connection) -> Result<bool> {
    let number = |name| conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    Ok(number("page_count")? * number("page_size")? <= CHECKED_FIRST_BYTES)
}

/// Looks whether the file is whole: every page of every table and index, without
/// comparing the two.
pub(super) fn check(conn: &Connection, place: &Place) -> Result<()> {
    let mut statement = conn.prepare("PRAGMA quick_check(3)")?;
    let said = statement.query_map([], |row| row.get::<_, String>(0))?;
    let said: Vec<String> = said.collect::<rusqlite::Result<_>>()?;
    if said.iter().all(|line| line == "ok") {
        return Ok(());
    }
    Err(place.damaged(said.join("; ")))
}

/// Ranks pending jobs anew where they were ranked by another order.
pub(super) fn put_in_order(conn: &mut Connection, order: Order) -> Result<()> {
    const AT_ONCE: usize = 10_000;
    let stored = "SELECT value FROM sums WHERE name = 'order'";
    let stored: i64 = conn.query_row(stored, [], |row| row.get(0))?;
    if stored == order_code(order) {
        return Ok(());
    }
    let transaction = conn.transaction()?;
    let mut after = 0;
    loop {
        let pending = "WHERE j.id > ?1 AND j.state = 0 ORDER BY j.id LIMIT ?2";
        let mut pending = transaction.prepare_cached(&select_jobs(None, pending))?;
        let jobs = pending.query_map([after, AT_ONCE as i64], job)?;
        let jobs: Vec<_> = jobs.collect::<rusqlite::Result<_>>()?;
        let mut put = transaction.prepare_cached("UPDATE jobs SET rank = ?2 WHERE id = ?1")?;
        for job in &jobs {
            put.execute(params![job.id.0, rank(job, order)])?;
        }
        match jobs.last() {
            Some(last) if jobs.len() == AT_ONCE => after = last.id.0,
            _ => break,
        }
    }
    let put = "UPDATE sums SET value = ?1 WHERE name = 'order'";
    transaction.execute(put, [order_code(order)])?;
    transaction.commit()?;
    Ok(())
}
