//! What a worker tells whoever runs it, as plain data.

use std::sync::Arc;

use super::link::Means;
use crate::proto::{Phase, TaskEnd, TaskProgress};
use crate::units::{Epoch, RelPath, TaskId, WorkerId};

/// Hears what happens.
pub type Observer = Arc<dyn Fn(&WorkerEvent) + Send + Sync>;

/// Something that happened to a worker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum WorkerEvent {
    /// The master answers.
    Connected {
        /// By what means.
        means: Means,
    },
    /// It does not, and the worker tries again by itself.
    Disconnected {
        /// Why, in words.
        why: String,
    },
    /// It takes no more work, and ends when what runs is done.
    Draining,
    /// A task begins.
    TaskStarted {
        /// The task.
        task: TaskId,
        /// The epoch of its grant.
        epoch: Epoch,
        /// The film, below its media directory.
        path: RelPath,
        /// Its size in bytes.
        bytes: u64,
    },
    /// A task is in another phase.
    TaskMoved {
        /// The task.
        task: TaskId,
        /// Which.
        phase: Phase,
    },
    /// A task has new numbers.
    Progress {
        /// The task.
        task: TaskId,
        /// They.
        progress: TaskProgress,
    },
    /// Something the viewer of the result might notice.
    Warning {
        /// The task.
        task: TaskId,
        /// What.
        message: String,
    },
    /// A task that began is over.
    TaskEnded {
        /// The task.
        task: TaskId,
        /// The film, below its media directory.
        path: RelPath,
        /// How; `None`: the master took it back.
        end: Option<TaskEnd>,
    },
}

/// What came of a worker's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSummary {
    /// Who it was.
    pub worker: WorkerId,
    /// Films that it replaced.
    pub replaced: u64,
    /// Films whose output it delivered.
    pub delivered: u64,
    /// Films that are left alone.
    pub left_alone: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Tasks that it gave back, or that were taken back.
    pub handed_back: u64,
    /// Bytes that its replacements saved.
    pub saved_bytes: i64,
    /// Tasks whose end the master was not there to take note of; it finds out by itself.
    pub untold: Vec<TaskId>,
}

impl WorkerSummary {
    pub(crate) fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            replaced: 0,
            delivered: 0,
            left_alone: 0,
            failed: 0,
            handed_back: 0,
            saved_bytes: 0,
            untold: Vec::new(),
        }
    }

    pub(crate) fn count(&mut self, end: Option<&TaskEnd>) {
        match end {
            Some(TaskEnd::Replaced { committed }) => {
                self.replaced += 1;
                let saved = i128::from(committed.source_bytes) - i128::from(committed.file.bytes);
                self.saved_bytes += i64::try_from(saved).unwrap_or(0);
            }
            Some(TaskEnd::Delivered) => self.delivered += 1,
            Some(TaskEnd::LeftAlone { .. }) => self.left_alone += 1,
            Some(TaskEnd::Failed { .. }) => self.failed += 1,
            Some(TaskEnd::HandedBack) | None => self.handed_back += 1,
        }
    }
}
