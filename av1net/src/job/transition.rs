//! The one function that changes a job's state: `(job, event, now) -> job | illegal`.

use super::{Failure, Illegal, Job, JobEvent, JobState, Reason, RetryPolicy};
use crate::units::UnixMs;

impl JobEvent {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Grant { .. } => "grant",
            Self::Staged { .. } => "staged",
            Self::Permit => "permit",
            Self::Committed { .. } => "committed",
            Self::LeaveAlone { .. } => "leave_alone",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::HandBack => "hand_back",
            Self::LeaseLost { .. } => "lease_lost",
            Self::NotCommitted => "not_committed",
            Self::RetryDue => "retry_due",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Skip => "skip",
            Self::Prioritise { .. } => "prioritise",
            Self::SourceChanged { .. } => "source_changed",
            Self::Vanished => "vanished",
        }
    }
}

/// What an event makes of a job. Pure: the same arguments, the same result.
///
/// # Errors
///
/// [`Illegal`] where the job's state does not take the event; the job stays as it is.
pub fn apply(
    job: &Job,
    event: &JobEvent,
    now: UnixMs,
    policy: &RetryPolicy,
) -> Result<Job, Illegal> {
    let mut next = job.clone();
    let state = at_work(&mut next, event, now, policy)
        .or_else(|| from_outside(&mut next, event, now))
        .ok_or(Illegal {
            state: job.state,
            event: event.name(),
        })?;
    if state != job.state {
        next.changed = now;
    }
    if state != JobState::RetryWait {
        next.retry_at = None;
    }
    next.state = state;
    Ok(next)
}

/// What workers, and the master in their place, say; `None` where the state does not
/// take it, and nothing is changed then.
fn at_work(
    next: &mut Job,
    event: &JobEvent,
    now: UnixMs,
    policy: &RetryPolicy,
) -> Option<JobState> {
    use JobEvent as E;
    use JobState as S;
    Some(match (next.state, event) {
        (S::Pending, E::Grant { worker }) => {
            next.epoch = next.epoch.next();
            next.worker = Some(worker.clone());
            next.reason = None;
            S::Leased
        }
        (S::Leased, E::Staged { staged }) => {
            next.staged = Some(staged.clone());
            S::Staged
        }
        (S::Staged, E::Permit) => S::Committing,
        (S::Committing | S::Recovering, E::Committed { committed }) => {
            next.path = committed.path.clone();
            next.file = committed.file;
            next.committed = Some(committed.clone());
            next.reason = None;
            next.staged = None;
            S::Completed
        }
        (S::Leased | S::Staged, E::LeaveAlone { reason }) => {
            next.reason = Some(reason.clone());
            next.staged = None;
            S::Skipped
        }
        (S::Leased | S::Staged | S::Committing, E::AttemptFailed { failure }) => {
            failed(next, failure, now, policy)
        }
        (S::Leased | S::Staged, E::HandBack) => {
            next.staged = None;
            S::Pending
        }
        (S::Leased | S::Staged, E::LeaseLost { reason }) => failed(
            next,
            &Failure {
                reason: reason.clone(),
                retryable: true,
                crashed: true,
            },
            now,
            policy,
        ),
        // It may have happened: what became of the file has to be found out first.
        (S::Committing, E::LeaseLost { reason }) => {
            next.reason = Some(reason.clone());
            S::Recovering
        }
        (S::Recovering, E::NotCommitted) => {
            let reason = next.reason.clone().unwrap_or_else(|| Reason {
                kind: "lease_lost".to_owned(),
                message: "its worker went away before the output was in place".to_owned(),
            });
            let failure = Failure {
                reason,
                retryable: true,
                crashed: true,
            };
            failed(next, &failure, now, policy)
        }
        (S::RetryWait, E::RetryDue) => S::Pending,
        _ => return None,
    })
}

/// What people and scans say; `None` as in [`at_work`].
fn from_outside(next: &mut Job, event: &JobEvent, now: UnixMs) -> Option<JobState> {
    use JobEvent as E;
    use JobState as S;
    Some(match (next.state, event) {
        // Past the permit it is too late: the output may have its name already.
        (S::Pending | S::RetryWait | S::Leased | S::Staged, E::Cancel) => {
            next.reason = Some(reason("cancelled", "cancelled by a person"));
            next.staged = None;
            S::Cancelled
        }
        (S::RetryWait | S::Skipped | S::Failed | S::Cancelled | S::Quarantined, E::Retry) => {
            requeue(next, now);
            S::Pending
        }
        (S::Pending | S::RetryWait | S::Failed | S::Cancelled | S::Quarantined, E::Skip) => {
            next.reason = Some(reason("by_person", "left alone by a person's wish"));
            S::Skipped
        }
        (state, E::Prioritise { priority }) => {
            next.priority = (*priority).clamp(-100, 100);
            state
        }
        (state, E::SourceChanged { file, leave_alone }) if !state.is_active() => {
            requeue(next, now);
            next.file = *file;
            next.committed = None;
            next.reason = leave_alone.clone();
            if leave_alone.is_some() {
                S::Skipped
            } else {
                S::Pending
            }
        }
        (state, E::Vanished) if !state.is_active() && state != S::Vanished => {
            next.reason = Some(reason("vanished", "the file is no longer there"));
            S::Vanished
        }
        _ => return None,
    })
}

fn reason(kind: &str, message: &str) -> Reason {
    Reason {
        kind: kind.to_owned(),
        message: message.to_owned(),
    }
}

/// Back to the queue's end, with all its attempts.
fn requeue(job: &mut Job, now: UnixMs) {
    job.attempts = 0;
    job.queued = now;
    job.reason = None;
    job.staged = None;
    job.worker = None;
}

/// Counts the attempt; the next state.
fn failed(job: &mut Job, failure: &Failure, now: UnixMs, policy: &RetryPolicy) -> JobState {
    job.attempts = job.attempts.saturating_add(1);
    job.reason = Some(failure.reason.clone());
    job.staged = None;
    if !failure.retryable {
        return JobState::Failed;
    }
    if job.attempts >= policy.max_attempts {
        return if failure.crashed && policy.max_attempts > 1 {
            JobState::Quarantined
        } else {
            JobState::Failed
        };
    }
    job.retry_at = Some(now.plus_ms(wait_ms(job, policy)));
    JobState::RetryWait
}

/// Doubling, with a jitter of up to a quarter, so that what failed together is not
/// tried together. The jitter comes of the job's number and its attempt: the function
/// stays pure.
fn wait_ms(job: &Job, policy: &RetryPolicy) -> i64 {
    let doublings = job.attempts.saturating_sub(1).min(30);
    let wait = policy
        .first_wait_ms
        .saturating_mul(1 << doublings)
        .clamp(0, policy.longest_wait_ms.max(0));
    // Knuth's multiplicative hash (TAOCP 3, 6.4) spreads neighbouring numbers.
    let seed = (job.id.0 as u64).wrapping_add(u64::from(job.attempts));
    let spread = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    let quarter = wait / 4;
    wait - quarter + (quarter.saturating_mul(spread as i64)) / (1 << 32)
}
