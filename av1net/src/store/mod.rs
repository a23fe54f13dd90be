//! The durable memory of a master: jobs, workers, verdicts, history. A trait with one
//! conformance suite over its implementations; SQLite is the default.
//!
//! Every change goes through [`Op`]s. A batch of them is one transaction, durable when
//! [`Store::write`] returns; each op succeeds or is refused for itself. [`Handle`] lets
//! many callers share one transaction (group commit).

mod engine;
mod handle;
mod memory;
mod order;
mod record;
mod rows;
mod sqlite;
mod sums;

#[cfg(test)]
pub(crate) mod conformance;

pub use self::handle::Handle;
pub use self::memory::MemoryStore;
pub use self::record::{
    Attempt, Counters, Cursor, Filter, KnownWorker, Page, PageQuery, RootRecord, SavedDay,
    ScanChange, ScanCounts, ScanRow, SortBy, Verdict,
};
pub use self::sqlite::SqliteStore;

use std::sync::Arc;

use crate::job::{Illegal, Job, JobEvent, JobState, RetryPolicy};
use crate::schedule::Order;
use crate::units::{Epoch, JobId, RelPath, RootId, UnixMs, WorkerId};

/// A change.
#[derive(Clone, Debug)]
pub enum Op {
    /// Something happens to a job ([`crate::job::apply`]). With an epoch, only where it
    /// is the job's own.
    ///
    /// A replacement gives the job its output's name. Another job of that name, found by
    /// a scan that came between, goes into this one; if that other one is at work, it
    /// keeps the name, and this one its old one, under which the next scan finds nothing.
    Apply {
        /// The job.
        job: JobId,
        /// The epoch of who says so; `None` for the master and for people.
        epoch: Option<Epoch>,
        /// What happens, in order: all of them or none.
        events: Vec<JobEvent>,
        /// When.
        now: UnixMs,
    },
    /// The next pending jobs of these roots are granted to a worker, best first.
    Claim {
        /// To whom.
        worker: WorkerId,
        /// Roots that it reaches, and no other.
        roots: Vec<RootId>,
        /// How many at the most.
        limit: usize,
        /// When.
        now: UnixMs,
    },
    /// Jobs whose next attempt's time has come become pending, 1000 of them at the most:
    /// where more are due, [`Store::next_due`] still names a past moment afterwards.
    ReleaseDue {
        /// When.
        now: UnixMs,
    },
    /// What a scan found, a piece of it.
    Scan {
        /// Of which root.
        root: RootId,
        /// What changed.
        changes: Vec<ScanChange>,
        /// When.
        now: UnixMs,
    },
    /// A root is known, or is mounted elsewhere now.
    PutRoot(RootRecord),
    /// A worker is known.
    PutWorker(KnownWorker),
    /// What was decided for a content under these settings, for good.
    PutVerdict(Verdict),
    /// A setting that outlives a restart (such as `paused`); `None` removes it.
    PutSetting {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
}

/// What an op did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Of [`Op::Apply`]: the job before and after. Boxed, since both are large.
    Applied(Box<(Job, Job)>),
    /// Of [`Op::Claim`] and [`Op::ReleaseDue`]: the jobs after.
    Jobs(Vec<Job>),
    /// Of [`Op::Scan`].
    Scanned(ScanCounts),
    /// Of the others.
    Nothing,
}

/// Why an op did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No such job.
    #[error("there is no job {0}")]
    NoSuchJob(JobId),
    /// The epoch is not the job's.
    #[error("epoch {said} is not the job's, which is {is}")]
    StaleEpoch {
        /// What was said.
        said: Epoch,
        /// What is.
        is: Epoch,
    },
    /// The job's state does not take the event.
    #[error(transparent)]
    Illegal(#[from] Illegal),
    /// No such root.
    #[error("there is no root {0}")]
    NoSuchRoot(RootId),
}

/// The store itself failed: a full or broken disk, a damaged file.
///
/// Cheap to clone: where many callers share one transaction, each of them is told.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has it open.
    #[error(
        "{path} is in use by another master; stop that one, or give this one a state directory of its own"
    )]
    InUse {
        /// The file.
        path: String,
    },
    /// It is of a newer version of this program.
    #[error(
        "{path} was written by a newer version of this program (schema {found}, known up to {known}); use that one, or the backup beside it"
    )]
    TooNew {
        /// The file.
        path: String,
        /// Its schema's number.
        found: u32,
        /// The last one known here.
        known: u32,
    },
    /// It is damaged.
    #[error("{path} is damaged ({what}); {advice}")]
    Damaged {
        /// The file.
        path: String,
        /// What the check said.
        what: String,
        /// What to do, with the name of the newest backup if there is one.
        advice: String,
    },
    /// The database said no.
    #[error("the job store failed: {0}")]
    Database(String),
    /// The file system said no.
    #[error("the job store failed: {0}")]
    Io(Arc<std::io::Error>),
    /// A page was asked for with a cursor that no page of this order gave.
    #[error("`after` is not what a page of this order gave as `next`; start without it")]
    BadCursor,
    /// The handle was closed: the master ends.
    #[error("the job store is closed: this master is ending")]
    Closed,
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}

/// What a store has to know to carry out an [`Op`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorePolicy {
    /// How often a job is tried.
    pub retry: RetryPolicy,
    /// Which pending job goes first.
    pub order: Order,
}

/// The result of an op.
pub type OpResult = Result<Done, Refused>;

/// Durable memory. Blocks; callers on an async runtime use [`Handle`].
pub trait Store: Send + Sync + 'static {
    /// Carries out a batch in one transaction, and returns when it is durable: a result
    /// for each op, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing of the batch happened then.
    fn write(&self, ops: &[Op]) -> Result<Vec<OpResult>, StoreError>;

    /// One job.
    fn job(&self, id: JobId) -> Result<Option<Job>, StoreError>;

    /// The job of a file.
    fn job_at(&self, root: &RootId, path: &RelPath) -> Result<Option<Job>, StoreError>;

    /// Every job with a lease, or that had one when the last process ended.
    fn active(&self) -> Result<Vec<Job>, StoreError>;

    /// A page of the list, by keyset. May be short, or even empty, with a cursor to go
    /// on from, where a search had to look at many rows.
    fn page(&self, query: &PageQuery) -> Result<Page, StoreError>;

    /// Sums, kept with every change.
    fn counters(&self) -> Result<Counters, StoreError>;

    /// The attempts of a job, newest first.
    fn attempts(&self, job: JobId, limit: usize) -> Result<Vec<Attempt>, StoreError>;

    /// What the last scan knows of a root's files after `after`, in byte order of their
    /// paths.
    fn scan_rows(
        &self,
        root: &RootId,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<ScanRow>, StoreError>;

    /// What was decided for this key.
    fn verdict(&self, key: &str) -> Result<Option<Verdict>, StoreError>;

    /// Every root ever seen.
    fn roots(&self) -> Result<Vec<RootRecord>, StoreError>;

    /// Every worker ever seen.
    fn workers(&self) -> Result<Vec<KnownWorker>, StoreError>;

    /// A setting.
    fn setting(&self, name: &str) -> Result<Option<String>, StoreError>;

    /// When the next waiting attempt is due.
    fn next_due(&self) -> Result<Option<UnixMs>, StoreError>;

    /// Bytes saved and jobs completed by day (UTC), from the day of `since` on, oldest
    /// first; days without a replacement are missing.
    fn saved_by_day(&self, since: UnixMs) -> Result<Vec<SavedDay>, StoreError>;

    /// How many jobs are in a state: from the counters.
    fn count(&self, state: JobState) -> Result<u64, StoreError> {
        Ok(self.counters()?.of(state))
    }
}
