//! The durable store: one SQLite file in the state directory, with a write-ahead log. An
//! fsync ends every transaction. One connection writes, a few read beside it.
//!
//! Before it opens, a lock file keeps a second master out, the schema is brought up to
//! this version's, and a small file is checked whole. A large one is checked, and each
//! one backed up, on a thread of its own after it has opened: with a million jobs both
//! take longer than a start may. What the check finds then stops all writing.

mod backup;
mod codes;
mod open;
mod page;
mod read;
mod rows;
mod stream;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, InterruptHandle, TransactionBehavior};

use self::open::Place;
use self::rows::{Remembered, SqliteRows};
use super::{
    Attempt, Counters, KnownWorker, Op, OpResult, Page, PageQuery, RootRecord, SavedDay, ScanRow,
    Store, StoreError, StorePolicy, Verdict, engine,
};
use crate::job::Job;
use crate::units::{JobId, RelPath, RootId, UnixMs};

type Result<T> = std::result::Result<T, StoreError>;

/// A store in a directory.
pub struct SqliteStore {
    place: Place,
    policy: StorePolicy,
    // Dropped in this order: the connection that is the last one to close puts the log
    // into the file, which one that only reads cannot.
    upkeep: Upkeep,
    /// Connections that wait for their next reader.
    readers: Mutex<Vec<Connection>>,
    writer: Mutex<Writer>,
    _lock: File,
}

struct Writer {
    conn: Connection,
    /// `None` after a transaction that failed: what it changed here is not so.
    remembered: Option<Remembered>,
}

impl SqliteStore {
    /// Opens the store of a state directory, and makes it if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] where another process has it; [`StoreError::TooNew`] where
    /// a newer version wrote it; [`StoreError::Damaged`] with what to do; others where
    /// the disk says no.
    pub fn open(directory: &Path, policy: StorePolicy) -> Result<Self> {
        let place = Place::new(directory);
        let lock = open::lock(&place)?;
        Self::open_locked(&place, policy, lock).map_err(|error| place.told(error))
    }

    fn open_locked(place: &Place, policy: StorePolicy, lock: File) -> Result<Self> {
        let mut conn = open::writer(place)?;
        let checked = open::is_small(&conn)?;
        if checked {
            open::check(&conn, place)?;
        }
        open::put_in_order(&mut conn, policy.order)?;
        let remembered = Remembered::load(&conn)?;
        Ok(Self {
            upkeep: Upkeep::start(place, checked)?,
            place: place.clone(),
            policy,
            writer: Mutex::new(Writer {
                conn,
                remembered: Some(remembered),
            }),
            readers: Mutex::new(Vec::new()),
            _lock: lock,
        })
    }

    /// Waits until the check and the backup of this start have ended.
    pub fn wait_for_upkeep(&self) {
        self.upkeep.wait();
    }

    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.readers().pop();
        let result = match idle {
            Some(conn) => Ok(conn),
            None => open::reader(&self.place).map_err(StoreError::from),
        }
        .and_then(|conn| {
            let snapshot = conn.unchecked_transaction()?;
            let result = read(&snapshot)?;
            drop(snapshot);
            // One that failed is not used again.
            self.readers().push(conn);
            Ok(result)
        });
        result.map_err(|error| self.place.told(error))
    }

    /// Nothing can panic while it is held.
    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn write(&mut self, ops: &[Op], policy: &StorePolicy) -> Result<Vec<OpResult>> {
        let remembered = match self.remembered.take() {
            Some(remembered) => remembered,
            None => Remembered::load(&self.conn)?,
        };
        let transaction = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut rows = SqliteRows {
            conn: &transaction,
            policy,
            remembered,
        };
        let (results, sums) = engine::carry_out(&mut rows, ops)?;
        rows.put_sums(&sums)?;
        let remembered = rows.remembered;
        transaction.commit()?;
        self.remembered = Some(remembered);
        Ok(results)
    }
}

impl Store for SqliteStore {
    fn write(&self, ops: &[Op]) -> Result<Vec<OpResult>> {
        if let Some(damage) = self.upkeep.damage() {
            return Err(damage);
        }
        // After a panic its transaction was taken back, and nothing is remembered.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let result = writer.write(ops, &self.policy);
        result.map_err(|error| self.place.told(error))
    }

    fn job(&self, id: JobId) -> Result<Option<Job>> {
        self.read(|conn| read::job(conn, id))
    }

    fn job_at(&self, root: &RootId, path: &RelPath) -> Result<Option<Job>> {
        self.read(|conn| read::job_at(conn, root, path))
    }

    fn active(&self) -> Result<Vec<Job>> {
        self.read(read::active)
    }

    fn page(&self, query: &PageQuery) -> Result<Page> {
        self.read(|conn| page::page(conn, query))
    }

    fn counters(&self) -> Result<Counters> {
        self.read(read::counters)
    }

    fn attempts(&self, job: JobId, limit: usize) -> Result<Vec<Attempt>> {
        self.read(|conn| read::attempts(conn, job, limit))
    }

    fn scan_rows(
        &self,
        root: &RootId,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<ScanRow>> {
        self.read(|conn| read::scan_rows(conn, root, after, limit))
    }

    fn verdict(&self, key: &str) -> Result<Option<Verdict>> {
        self.read(|conn| read::verdict(conn, key))
    }

    fn roots(&self) -> Result<Vec<RootRecord>> {
        self.read(read::roots)
    }

    fn workers(&self) -> Result<Vec<KnownWorker>> {
        self.read(read::workers)
    }

    fn setting(&self, name: &str) -> Result<Option<String>> {
        self.read(|conn| read::setting(conn, name))
    }

    fn next_due(&self) -> Result<Option<UnixMs>> {
        self.read(read::next_due)
    }

    fn saved_by_day(&self, since: UnixMs) -> Result<Vec<SavedDay>> {
        self.read(|conn| read::saved_by_day(conn, since))
    }
}

/// The check and the backup, on a thread that ends with the store at the latest.
struct Upkeep {
    thread: Mutex<Option<JoinHandle<()>>>,
    stop: Arc<AtomicBool>,
    interrupt: InterruptHandle,
    damage: Arc<OnceLock<StoreError>>,
}

impl Upkeep {
    fn start(place: &Place, checked: bool) -> Result<Self> {
        let conn = open::reader(place)?;
        let interrupt = conn.get_interrupt_handle();
        let stop = Arc::new(AtomicBool::new(false));
        let damage = Arc::new(OnceLock::new());
        let thread = thread::Builder::new().name("store-upkeep".to_owned());
        let thread = thread.spawn({
            let (place, stop, damage) = (place.clone(), Arc::clone(&stop), Arc::clone(&damage));
            move || {
                let done = check_and_back_up(&conn, &place, checked, &stop);
                if let Err(error) = done.map_err(|error| place.told(error))
                    && !stop.load(Ordering::Relaxed)
                {
                    tracing::error!(%error, "the job store's check and backup");
                    if matches!(error, StoreError::Damaged { .. }) {
                        // It is set here alone.
                        let _ = damage.set(error);
                    }
                }
            }
        })?;
        Ok(Self {
            thread: Mutex::new(Some(thread)),
            stop,
            interrupt,
            damage,
        })
    }

    fn damage(&self) -> Option<StoreError> {
        self.damage.get().cloned()
    }

    fn wait(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            // It has told what went wrong itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self
            .thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // Again and again: an interrupt between two statements is lost.
        while thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            self.interrupt.interrupt();
            thread::park_timeout(Duration::from_millis(5));
        }
        self.wait();
    }
}

fn check_and_back_up(
    conn: &Connection,
    place: &Place,
    checked: bool,
    stop: &AtomicBool,
) -> Result<()> {
    if !checked {
        open::check(conn, place)?;
    }
    backup::at_start(conn, place, crate::clock::now(), stop)
}

impl From<rusqlite::Error> for StoreError {
    /// Where a file is damaged, its name is added by `Place::told`.
    fn from(error: rusqlite::Error) -> Self {
        let what = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged {
                path: String::new(),
                what,
                advice: String::new(),
            },
            Some(ErrorCode::DiskFull) => Self::Database(format!(
                "{what}; free some space on the state directory's disk: nothing of what failed \
                 was written, and all before it is whole"
            )),
            _ => Self::Database(what),
        }
    }
}
