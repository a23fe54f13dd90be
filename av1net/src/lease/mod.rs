//! What the master makes of a worker's word about one task: pure.
//!
//! A lease is known by its task, its epoch and its worker. Whoever speaks with anything
//! else is late or lost: it changes nothing, and is told to stop.

use crate::job::{Job, JobEvent, JobState, Reason, StagedFile};
use crate::proto::{OrderKind, Phase, TaskEnd, TaskReport};
use crate::units::WorkerId;

/// What is to be done about a task's report.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// Nothing changes; answer this.
    Answer(OrderKind),
    /// These events happen to the job, durably; then answer this.
    Then(Vec<JobEvent>, OrderKind),
    /// The memory of verdicts has to be asked about this key: `Decided` or `Proceed`.
    AskMemory(String),
    /// The master has the output of a film that was shipped: it adopts it.
    Adopt,
}

/// Judges a report about a task whose job is `job`, if there is one with a lease.
#[must_use]
pub fn judge(job: Option<&Job>, worker: &WorkerId, report: &TaskReport) -> Judgement {
    let holds = |job: &&Job| {
        job.task() == report.task
            && job.epoch == report.epoch
            && job.worker.as_ref() == Some(worker)
            && job.state.is_active()
    };
    let Some(job) = job.filter(holds) else {
        return Judgement::Answer(match report.phase {
            Phase::Ended { .. } => OrderKind::Forget,
            _ => OrderKind::Revoke,
        });
    };
    match (&report.phase, job.state) {
        (Phase::Ended { end }, state) => ended(end, state),
        // What became of it is being found out at the file system.
        (_, JobState::Recovering) => Judgement::Answer(OrderKind::Revoke),
        (Phase::Staged { staged }, state) => staged_file(job, staged, state),
        (Phase::Committing, JobState::Committing) => Judgement::Answer(OrderKind::Continue),
        // Nobody gave a permit.
        (Phase::Committing, _) => Judgement::Answer(OrderKind::Revoke),
        (Phase::Asking { key }, _) => Judgement::AskMemory(key.clone()),
        _ => Judgement::Answer(OrderKind::Continue),
    }
}

fn staged_file(job: &Job, staged: &StagedFile, state: JobState) -> Judgement {
    match state {
        JobState::Leased => Judgement::Then(
            vec![
                JobEvent::Staged {
                    staged: staged.clone(),
                },
                JobEvent::Permit,
            ],
            OrderKind::Commit,
        ),
        JobState::Staged => Judgement::Then(vec![JobEvent::Permit], OrderKind::Commit),
        // The permit was given for this very file, and the answer was lost.
        JobState::Committing if job.staged.as_ref() == Some(staged) => {
            Judgement::Answer(OrderKind::Commit)
        }
        _ => Judgement::Answer(OrderKind::Revoke),
    }
}

fn ended(end: &TaskEnd, state: JobState) -> Judgement {
    let forget = |events| Judgement::Then(events, OrderKind::Forget);
    let may_have_replaced = matches!(state, JobState::Committing);
    match end {
        TaskEnd::Replaced { committed }
            if matches!(state, JobState::Committing | JobState::Recovering) =>
        {
            forget(vec![JobEvent::Committed {
                committed: committed.clone(),
            }])
        }
        // It is being found out, and that decides.
        _ if state == JobState::Recovering => Judgement::Answer(OrderKind::Forget),
        TaskEnd::Replaced { .. } => forget(vec![lost(
            "protocol",
            "the worker replaced without a permit; a scan will look at the file",
        )]),
        TaskEnd::Delivered => Judgement::Adopt,
        TaskEnd::LeftAlone { reason, .. } if may_have_replaced => {
            forget(vec![JobEvent::LeaseLost {
                reason: reason.clone(),
            }])
        }
        TaskEnd::LeftAlone { reason, .. } => forget(vec![JobEvent::LeaveAlone {
            reason: reason.clone(),
        }]),
        // Whatever went wrong in the middle of a replacement, the file system knows best
        // what became of the source.
        TaskEnd::Failed { failure } if may_have_replaced => forget(vec![JobEvent::LeaseLost {
            reason: failure.reason.clone(),
        }]),
        TaskEnd::Failed { failure } => forget(vec![JobEvent::AttemptFailed {
            failure: failure.clone(),
        }]),
        TaskEnd::HandedBack if may_have_replaced => forget(vec![lost(
            "handed_back",
            "the worker let go of it while it was being put in place",
        )]),
        TaskEnd::HandedBack => forget(vec![JobEvent::HandBack]),
    }
}

/// The lease is gone, in these words.
#[must_use]
pub fn lost(kind: &str, message: &str) -> JobEvent {
    JobEvent::LeaseLost {
        reason: Reason {
            kind: kind.to_owned(),
            message: message.to_owned(),
        },
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
