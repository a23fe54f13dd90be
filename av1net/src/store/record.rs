//! What the store keeps, as plain data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::{FileId, Job, JobState, Reason};
use crate::units::{Epoch, JobId, RelPath, RootId, UnixMs, WorkerId};

/// A media directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootRecord {
    /// The text in its marker file.
    pub id: RootId,
    /// Where the master has it. As bytes would be; what is not UTF-8 is escaped as in
    /// [`RelPath`].
    pub path: String,
    /// When a scan of it last came to its end.
    pub scanned: Option<UnixMs>,
}

/// A worker that was ever seen, and what was set for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownWorker {
    /// Its identity.
    pub id: WorkerId,
    /// Its name for people.
    pub name: String,
    /// When it was last heard of.
    pub last_seen: UnixMs,
    /// What was set for it from the master, as JSON ([`crate::proto::WorkerSettings`]).
    pub settings: String,
}

/// What was decided for a content under certain settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// [`av1core::DecisionKey`] as text.
    pub key: String,
    /// Why the file is left alone.
    pub reason: Reason,
    /// When.
    pub decided: UnixMs,
}

/// One attempt at a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The job.
    pub job: JobId,
    /// The grant's epoch.
    pub epoch: Epoch,
    /// Who did it.
    pub worker: WorkerId,
    /// When it was granted.
    pub started: UnixMs,
    /// When it ended; `None` while it runs.
    pub ended: Option<UnixMs>,
    /// The state that the job went to when it ended.
    pub outcome: Option<JobState>,
    /// Why.
    pub reason: Option<Reason>,
    /// Size of the source in bytes.
    pub source_bytes: u64,
    /// Size of the output in bytes, where there was one.
    pub output_bytes: Option<u64>,
    /// The encoder with its version, where the worker told.
    pub encoder: Option<String>,
}

/// Sums over all jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Jobs by state; a state without jobs may be missing.
    pub by_state: BTreeMap<JobState, u64>,
    /// Bytes of all files that are known, as they are now.
    pub library_bytes: u64,
    /// Bytes saved by all replacements ever; a film that grew counts against it.
    pub saved_bytes: i64,
    /// Bytes of all sources ever replaced.
    pub replaced_source_bytes: u64,
    /// Video frames of all replacements ever.
    pub frames: u64,
}

impl Counters {
    /// Jobs in a state.
    #[must_use]
    pub fn of(&self, state: JobState) -> u64 {
        self.by_state.get(&state).copied().unwrap_or(0)
    }

    /// Files in the library: all jobs but those of files that are gone.
    #[must_use]
    pub fn files(&self) -> u64 {
        let all: u64 = self.by_state.values().sum();
        all - self.of(JobState::Vanished)
    }
}

/// What was saved on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedDay {
    /// Its first moment, UTC.
    pub day: UnixMs,
    /// Bytes.
    pub saved_bytes: i64,
    /// Replacements.
    pub completed: u64,
}

/// What a scan knows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRow {
    /// Its job.
    pub job: JobId,
    /// Its path.
    pub path: RelPath,
    /// Its content.
    pub file: FileId,
    /// Where its job stands.
    pub state: JobState,
    /// The name of the reason why it stands there ([`Reason::kind`]): a file that was
    /// left alone for what a scan can see (a pattern, a hard link, a `.noav1` beside it)
    /// is queued when that is so no longer, though its content is the same.
    pub reason: Option<String>,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanChange {
    /// A file that was not known: a pending job, or one that is left alone from the
    /// start for a reason that the scan can see.
    New {
        /// Its path.
        path: RelPath,
        /// Its content.
        file: FileId,
        /// Why it is left alone, if it is.
        leave_alone: Option<Reason>,
    },
    /// Another content under a known name; or the same one, which is to be left alone from
    /// now on, or no longer.
    Changed {
        /// The job.
        job: JobId,
        /// The content that the scan knew ([`ScanRow::file`]). Where the job has another
        /// one by now (a replacement came between), the change is refused.
        was: FileId,
        /// The content now.
        file: FileId,
        /// Why it is left alone, if it is.
        leave_alone: Option<Reason>,
    },
    /// Nothing under a known name.
    Gone {
        /// The job.
        job: JobId,
        /// The content that the scan knew, as in [`ScanChange::Changed`].
        was: FileId,
    },
}

/// What became of scan changes; those refused (a job that is at work, or that changed
/// since the scan looked) are in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanCounts {
    /// Files not known before.
    pub added: u64,
    /// Known files with another content.
    pub changed: u64,
    /// Known files that are gone.
    pub gone: u64,
}

impl std::ops::AddAssign for ScanCounts {
    fn add_assign(&mut self, other: Self) {
        self.added += other.added;
        self.changed += other.changed;
        self.gone += other.gone;
    }
}

/// What a list is sorted by; ties by job number, in the same direction. Where only some
/// jobs have the value, the others are sorted by when they last changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortBy {
    /// When it last changed its state.
    #[default]
    Changed,
    /// Path, in byte order.
    Path,
    /// Size of the file now.
    Bytes,
    /// Bytes saved: all that are not completed, then those that are.
    Saved,
    /// The order in which pending jobs are granted; then all others.
    Queue,
}

/// Which jobs a list holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// In one of these states; empty: in any but `vanished`.
    pub states: Vec<JobState>,
    /// Of this root.
    pub root: Option<RootId>,
    /// Whose path holds this text, whatever its case.
    pub search: Option<String>,
    /// Whose reason has this name.
    pub reason: Option<String>,
}

/// Where the next page goes on. Opaque text on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor(pub String);

/// Asks for a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// Which jobs.
    pub filter: Filter,
    /// In which order.
    pub sort: SortBy,
    /// Largest or newest first.
    pub descending: bool,
    /// From where on.
    pub after: Option<Cursor>,
    /// How many at the most; the store caps it at 500.
    pub limit: usize,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Where to go on; `None` at the end.
    pub next: Option<Cursor>,
}
