//! A job's states, and the one function that changes them.
//!
//! ```text
//!            grant          staged          permit            committed
//! pending ----------> leased ------> staged ------> committing ---------> completed
//!    ^                  |  |           |                 |
//!    |  retry due       |  | verdict   | (both)          | lease lost
//! retry_wait <----------+  +-------> skipped             v          committed
//!    ^   attempt failed,                            recovering ---------> completed
//!    |   lease lost                                      |
//!    +---------------------------------------------------+ not committed
//! ```
//!
//! An attempt that fails for good, or that was the last one, ends in `failed`, or in
//! `quarantined` where the file took its worker down. A person may cancel, skip and
//! retry; a scan finds files changed or gone.
//!
//! All of it, as a test reads it out of [`apply`]; a change of priority is taken in every
//! state, and leaves it:
//!
//! ```mermaid
//! stateDiagram-v2
//!     [*] --> pending: found
//!     [*] --> skipped: found, to be left alone
//!     pending --> pending: source_changed
//!     pending --> leased: grant
//!     pending --> skipped: skip, source_changed
//!     pending --> cancelled: cancel
//!     pending --> vanished: vanished
//!     retry_wait --> pending: retry_due, retry, source_changed
//!     retry_wait --> skipped: skip, source_changed
//!     retry_wait --> cancelled: cancel
//!     retry_wait --> vanished: vanished
//!     leased --> pending: hand_back
//!     leased --> retry_wait: lease_lost, attempt_failed
//!     leased --> staged: staged
//!     leased --> skipped: leave_alone
//!     leased --> failed: attempt_failed
//!     leased --> cancelled: cancel
//!     leased --> quarantined: lease_lost, attempt_failed
//!     staged --> pending: hand_back
//!     staged --> retry_wait: lease_lost, attempt_failed
//!     staged --> committing: permit
//!     staged --> skipped: leave_alone
//!     staged --> failed: attempt_failed
//!     staged --> cancelled: cancel
//!     staged --> quarantined: lease_lost, attempt_failed
//!     committing --> retry_wait: attempt_failed
//!     committing --> recovering: lease_lost
//!     committing --> completed: committed
//!     committing --> failed: attempt_failed
//!     committing --> quarantined: attempt_failed
//!     recovering --> retry_wait: not_committed
//!     recovering --> completed: committed
//!     recovering --> quarantined: not_committed
//!     completed --> pending: source_changed
//!     completed --> skipped: source_changed
//!     completed --> vanished: vanished
//!     skipped --> pending: retry, source_changed
//!     skipped --> skipped: source_changed
//!     skipped --> vanished: vanished
//!     failed --> pending: retry, source_changed
//!     failed --> skipped: skip, source_changed
//!     failed --> vanished: vanished
//!     cancelled --> pending: retry, source_changed
//!     cancelled --> skipped: skip, source_changed
//!     cancelled --> vanished: vanished
//!     quarantined --> pending: retry, source_changed
//!     quarantined --> skipped: skip, source_changed
//!     quarantined --> vanished: vanished
//!     vanished --> pending: source_changed
//!     vanished --> skipped: source_changed
//! ```

mod transition;

use serde::{Deserialize, Serialize};

pub use self::transition::apply;

use crate::units::{Epoch, JobId, RelPath, RootId, TaskId, UnixMs, WorkerId};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waits for a worker.
    Pending,
    /// Waits for its next attempt's time.
    RetryWait,
    /// A worker encodes and verifies it.
    Leased,
    /// The verified output lies beside the source and waits for its permit.
    Staged,
    /// The worker may put the output in the source's place, and perhaps has.
    Committing,
    /// The worker went away while it could have; what became of it is being found out.
    Recovering,
    /// The output is in the source's place.
    Completed,
    /// Left alone, with the reason; not worthwhile is one of them.
    Skipped,
    /// Every attempt failed, or one for good.
    Failed,
    /// A person ended it.
    Cancelled,
    /// It took its workers down, or was the last thing they were seen with.
    Quarantined,
    /// The file is no longer there.
    Vanished,
}

/// The four statuses of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ContractStatus {
    /// Waiting to be assigned.
    Pending,
    /// Currently being transcoded.
    Processing,
    /// Successfully transcoded.
    Completed,
    /// Transcoding failed or not worthwhile.
    Failed,
}

impl JobState {
    /// Every state.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::RetryWait,
        Self::Leased,
        Self::Staged,
        Self::Committing,
        Self::Recovering,
        Self::Completed,
        Self::Skipped,
        Self::Failed,
        Self::Cancelled,
        Self::Quarantined,
        Self::Vanished,
    ];

    /// Its name in the API and the store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::RetryWait => "retry_wait",
            Self::Leased => "leased",
            Self::Staged => "staged",
            Self::Committing => "committing",
            Self::Recovering => "recovering",
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Quarantined => "quarantined",
            Self::Vanished => "vanished",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether somebody holds a lease on it, or did when last seen.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(
            self,
            Self::Leased | Self::Staged | Self::Committing | Self::Recovering
        )
    }

    /// Which of the contract's four statuses this is.
    #[must_use]
    pub fn contract(self) -> ContractStatus {
        match self {
            Self::Pending | Self::RetryWait => ContractStatus::Pending,
            Self::Leased | Self::Staged | Self::Committing | Self::Recovering => {
                ContractStatus::Processing
            }
            Self::Completed => ContractStatus::Completed,
            Self::Skipped | Self::Failed | Self::Cancelled | Self::Quarantined | Self::Vanished => {
                ContractStatus::Failed
            }
        }
    }
}

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Inode number.
    pub inode: u64,
}

impl FileId {
    /// Whether two looks, perhaps from two machines, saw one content. The inode says
    /// nothing: a library copied to a new disk has other ones, and some network and FUSE
    /// file systems make them up anew at each mount. A time may have been cut to what a
    /// protocol or a file system holds (100 ns over SMB, whole seconds on some).
    #[must_use]
    pub fn is_same_content(&self, other: &Self) -> bool {
        let alike = |unit: i64| {
            let (a, b) = (self.modified_ns, other.modified_ns);
            (a % unit == 0 || b % unit == 0) && a.div_euclid(unit) == b.div_euclid(unit)
        };
        self.bytes == other.bytes && (alike(1) || alike(100) || alike(1_000_000_000))
    }
}

/// Why a job stands where it stands, in words and by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reason {
    /// Its name, such as `not_worthwhile`, `av1_already`, `disk_full`, `lease_lost`.
    pub kind: String,
    /// One line for people.
    pub message: String,
}

/// A verified output beside its source, under a dot name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StagedFile {
    /// The token in its name, 16 hexadecimal digits: whoever renames this file first
    /// decides whether there is a replacement.
    pub token: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// What came of a replacement.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Committed {
    /// The film's path now; its extension may be another than the source's.
    pub path: RelPath,
    /// What the file system says of it now, so that a scan knows it again.
    pub file: FileId,
    /// Size of the source in bytes.
    pub source_bytes: u64,
    /// Video frames.
    pub frames: u64,
    /// Time the encode and its verification took, in milliseconds.
    pub elapsed_ms: u64,
    /// The video encoder with its version.
    pub encoder: String,
    /// What the viewer might notice.
    pub warnings: Vec<String>,
}

impl Committed {
    /// Bytes saved; negative where the output is larger.
    #[must_use]
    pub fn saved_bytes(&self) -> i64 {
        let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        bytes(self.source_bytes).saturating_sub(bytes(self.file.bytes))
    }
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub reason: Reason,
    /// Whether another attempt may succeed without a change to the source.
    pub retryable: bool,
    /// Whether the encode's process died or hung: a file that does this to every worker
    /// is quarantined.
    pub crashed: bool,
}

/// One source on its way through the system.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Job {
    /// Given by the store.
    pub id: JobId,
    /// The media directory.
    pub root: RootId,
    /// The file's path below it.
    pub path: RelPath,
    /// The file as the last scan, or the replacement, left it.
    pub file: FileId,
    /// Where it stands.
    pub state: JobState,
    /// Set by a person; higher is sooner, 0 is usual, -100 to 100.
    pub priority: i32,
    /// Since when it waits: what it is aged by.
    pub queued: UnixMs,
    /// Attempts that failed since it was last queued afresh.
    pub attempts: u32,
    /// The epoch of the last grant.
    pub epoch: Epoch,
    /// Who holds the lease, or held the last one.
    pub worker: Option<WorkerId>,
    /// The next attempt's time, in `RetryWait`.
    pub retry_at: Option<UnixMs>,
    /// The output that waits or is being committed.
    pub staged: Option<StagedFile>,
    /// Why it stands where it stands, where there is more to say.
    pub reason: Option<Reason>,
    /// What came of it, in `Completed`.
    pub committed: Option<Committed>,
    /// When it last changed its state.
    pub changed: UnixMs,
}

impl Job {
    /// A job as a scan makes it; its number is the store's to give, and 0 until then.
    /// With a reason to leave the file alone it is skipped from the start.
    #[must_use]
    pub fn found(
        root: RootId,
        path: RelPath,
        file: FileId,
        leave_alone: Option<Reason>,
        now: UnixMs,
    ) -> Self {
        Self {
            id: JobId(0),
            root,
            path,
            file,
            state: if leave_alone.is_some() {
                JobState::Skipped
            } else {
                JobState::Pending
            },
            priority: 0,
            queued: now,
            attempts: 0,
            epoch: Epoch::default(),
            worker: None,
            retry_at: None,
            staged: None,
            reason: leave_alone,
            committed: None,
            changed: now,
        }
    }

    /// Its one task.
    #[must_use]
    pub fn task(&self) -> TaskId {
        self.id.into()
    }
}

/// What may happen to a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum JobEvent {
    /// A worker gets the lease; the epoch goes up.
    Grant {
        /// Who.
        worker: WorkerId,
    },
    /// The output is encoded, verified and staged.
    Staged {
        /// The file.
        staged: StagedFile,
    },
    /// The worker may replace.
    Permit,
    /// The output is in the source's place.
    Committed {
        /// What came of it.
        committed: Committed,
    },
    /// The source is to be left alone.
    LeaveAlone {
        /// Why.
        reason: Reason,
    },
    /// An attempt failed; the source is as it was.
    AttemptFailed {
        /// How.
        failure: Failure,
    },
    /// The worker gave it back without having failed (drain, shutdown).
    HandBack,
    /// Nothing was heard of the worker for the lease's time, or it forgot the task.
    LeaseLost {
        /// In what words it is told.
        reason: Reason,
    },
    /// It was found out that the replacement did not happen, and no longer can.
    NotCommitted,
    /// The time of the next attempt has come.
    RetryDue,
    /// A person ends it.
    Cancel,
    /// A person wants it tried (again).
    Retry,
    /// A person wants the file left alone.
    Skip,
    /// A person changes its priority.
    Prioritise {
        /// The new one.
        priority: i32,
    },
    /// A scan found another content under the name.
    SourceChanged {
        /// The new content.
        file: FileId,
        /// Why it is left alone all the same, for a reason that a scan can see.
        #[serde(default)]
        leave_alone: Option<Reason>,
    },
    /// A scan found nothing under the name.
    Vanished,
}

/// How often, and how soon, a job is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all; the contract's "marked as failed" is 1.
    pub max_attempts: u32,
    /// Wait after the first failure, in milliseconds; doubles with each further one.
    pub first_wait_ms: i64,
    /// The longest wait, in milliseconds.
    pub longest_wait_ms: i64,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            first_wait_ms: 60_000,
            longest_wait_ms: 3_600_000,
        }
    }
}

/// An event that a job in its state does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a job that is {} does not take this ({event})", .state.name())]
pub struct Illegal {
    /// Where the job stands.
    pub state: JobState,
    /// The event's name.
    pub event: &'static str,
}

#[cfg(test)]
mod tests;
