//! What an implementation keeps: rows, without a rule of what may happen to them. The
//! rules are in [`super::engine`], once for all implementations.

use super::record::{Attempt, KnownWorker, RootRecord, Verdict};
use super::{StoreError, StorePolicy};
use crate::job::Job;
use crate::units::{JobId, RelPath, RootId, UnixMs};

type Result<T> = std::result::Result<T, StoreError>;

/// The rows within one transaction.
pub(super) trait Rows {
    /// How jobs are tried and ordered.
    fn policy(&self) -> &StorePolicy;

    /// A job.
    fn job(&mut self, id: JobId) -> Result<Option<Job>>;

    /// The job of a file.
    fn job_at(&mut self, root: &RootId, path: &RelPath) -> Result<Option<Job>>;

    /// Keeps a new job, under a number never given before; `None` where its path has one
    /// already. The job's own number is not looked at.
    fn insert(&mut self, job: &Job) -> Result<Option<JobId>>;

    /// Keeps what a job has become, after its attempts. Its root stays what it was.
    fn update(&mut self, before: &Job, after: &Job) -> Result<()>;

    /// Forgets a job and its attempts.
    fn remove(&mut self, job: &Job) -> Result<()>;

    /// The pending jobs of these roots, least rank first, ties by number.
    fn best_pending(&mut self, roots: &[RootId], limit: usize) -> Result<Vec<Job>>;

    /// The jobs that wait for a next attempt whose time has come, the longest due first.
    fn due(&mut self, now: UnixMs, limit: usize) -> Result<Vec<Job>>;

    /// Keeps a new attempt.
    fn begin_attempt(&mut self, attempt: &Attempt) -> Result<()>;

    /// Keeps how the attempt of this job and epoch ended: all but its start, its worker
    /// and its source.
    fn end_attempt(&mut self, attempt: &Attempt) -> Result<()>;

    /// Whether the root is known.
    fn has_root(&mut self, root: &RootId) -> Result<bool>;

    /// Keeps a root, in place of what was known of it.
    fn put_root(&mut self, root: &RootRecord) -> Result<()>;

    /// Keeps a worker, in place of what was known of it.
    fn put_worker(&mut self, worker: &KnownWorker) -> Result<()>;

    /// Keeps a verdict, in place of the one for its key.
    fn put_verdict(&mut self, verdict: &Verdict) -> Result<()>;

    /// Keeps a setting, or removes it.
    fn put_setting(&mut self, name: &str, value: Option<&str>) -> Result<()>;
}
