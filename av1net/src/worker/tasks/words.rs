//! What happens to tasks, and what is done about it.

use std::fmt;

use crate::job::Reason;
use crate::proto::{Grant, Order, Phase, TaskEnd, TaskProgress};
use crate::units::{Epoch, TaskId};

/// A grant of a task: what two lives of the same task are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// The task.
    pub(crate) task: TaskId,
    /// The epoch of its grant.
    pub(crate) epoch: Epoch,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.task, self.epoch)
    }
}

impl From<&Grant> for Key {
    fn from(grant: &Grant) -> Self {
        Self {
            task: grant.task,
            epoch: grant.epoch,
        }
    }
}

/// Something that happens to the tasks of a worker.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// The master gives work.
    Granted(Box<Grant>),
    /// The master says what to do with a task.
    Ordered(Order),
    /// How much is run at once, and whether new work is taken at all.
    Takes {
        /// Encodes at once.
        slots: usize,
        /// Whether new work is taken.
        new_work: bool,
    },
    /// A run is in another phase.
    Moved(Key, Phase),
    /// A run has new numbers.
    Progressed(Key, TaskProgress),
    /// A run is over, and its processes are gone.
    Ended(Key, RunEnd),
    /// Everything is to be stopped and handed back.
    Abort,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunEnd {
    /// By itself, or because its process died.
    Ended(TaskEnd),
    /// Because it was told to: the source is as it was, and nothing is left.
    Stopped,
}

/// The master's answer to a run that waits for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Nothing was decided for the content.
    Proceed,
    /// The content is to be left alone.
    Decided(Reason),
    /// The output may take the source's place.
    Commit,
}

/// What is to be done because of an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Begin a run.
    Start(Box<Grant>),
    /// Hand a run the answer that it waits for.
    Tell(Key, Answer),
    /// End a run, within ten seconds.
    Stop(Key),
    /// A run is over, and this is what the master will be told.
    Over(Box<Grant>, Box<TaskEnd>),
    /// A run is over, and the master does not want to hear of it.
    Dropped(Box<Grant>),
    /// The master should hear of it at once.
    Speak,
    /// Numbers changed: worth a message where messages cost little.
    Numbers,
}
