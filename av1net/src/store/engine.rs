//! What each [`Op`] does, over the rows of any implementation. Nothing is written before
//! it is known that the op is not refused, so that a refusal needs no undoing.

use super::record::{Attempt, ScanChange, ScanCounts};
use super::rows::Rows;
use super::sums::Sums;
use super::{Done, Op, OpResult, Refused, StoreError};
use crate::job::{FileId, Job, JobEvent, JobState, Reason, apply};
use crate::units::{Epoch, JobId, RootId, UnixMs, WorkerId};

/// Jobs that one [`Op::ReleaseDue`] releases, so that no op keeps all others waiting.
/// After an outage more may be due: [`super::Store::next_due`] then still names a past
/// moment.
const MOST_RELEASED: usize = 1000;

/// The results of a batch, and what it adds to the sums.
pub(super) fn carry_out<R: Rows>(
    rows: &mut R,
    ops: &[Op],
) -> Result<(Vec<OpResult>, Sums), StoreError> {
    let sums = Sums::default();
    let mut batch = Batch { rows, sums };
    let mut results = Vec::with_capacity(ops.len());
    for op in ops {
        results.push(batch.one(op)?);
    }
    Ok((results, batch.sums))
}

struct Batch<'a, R> {
    rows: &'a mut R,
    sums: Sums,
}

impl<R: Rows> Batch<'_, R> {
    fn one(&mut self, op: &Op) -> Result<OpResult, StoreError> {
        match op {
            Op::Apply {
                job,
                epoch,
                events,
                now,
            } => return self.apply_to(*job, *epoch, events, *now),
            Op::Claim {
                worker,
                roots,
                limit,
                now,
            } => return self.claim(worker, roots, *limit, *now),
            Op::ReleaseDue { now } => {
                let due = self.rows.due(*now, MOST_RELEASED)?;
                return self.each(due, &JobEvent::RetryDue, *now);
            }
            Op::Scan { root, changes, now } => return self.scan(root, changes, *now),
            Op::PutRoot(root) => self.rows.put_root(root)?,
            Op::PutWorker(worker) => self.rows.put_worker(worker)?,
            Op::PutVerdict(verdict) => self.rows.put_verdict(verdict)?,
            Op::PutSetting { name, value } => self.rows.put_setting(name, value.as_deref())?,
        }
        Ok(Ok(Done::Nothing))
    }

    fn apply_to(
        &mut self,
        id: JobId,
        epoch: Option<Epoch>,
        events: &[JobEvent],
        now: UnixMs,
    ) -> Result<OpResult, StoreError> {
        let Some(job) = self.rows.job(id)? else {
            return Ok(Err(Refused::NoSuchJob(id)));
        };
        if let Some(said) = epoch.filter(|said| *said != job.epoch) {
            return Ok(Err(Refused::StaleEpoch {
                said,
                is: job.epoch,
            }));
        }
        Ok(match self.change(&job, events, now)? {
            Ok(after) => Ok(Done::Applied(Box::new((job, after)))),
            Err(refused) => Err(refused),
        })
    }

    fn claim(
        &mut self,
        worker: &WorkerId,
        roots: &[RootId],
        limit: usize,
        now: UnixMs,
    ) -> Result<OpResult, StoreError> {
        let mut roots = roots.to_vec();
        roots.sort();
        roots.dedup();
        let best = self.rows.best_pending(&roots, limit)?;
        let worker = worker.clone();
        self.each(best, &JobEvent::Grant { worker }, now)
    }

    /// One event for jobs that are known to take it.
    fn each(
        &mut self,
        jobs: Vec<Job>,
        event: &JobEvent,
        now: UnixMs,
    ) -> Result<OpResult, StoreError> {
        let mut after = Vec::with_capacity(jobs.len());
        for job in jobs {
            after.extend(self.change(&job, std::slice::from_ref(event), now)?.ok());
        }
        Ok(Ok(Done::Jobs(after)))
    }

    /// All the events, or none of them.
    fn change(
        &mut self,
        job: &Job,
        events: &[JobEvent],
        now: UnixMs,
    ) -> Result<Result<Job, Refused>, StoreError> {
        let mut steps = Vec::with_capacity(events.len() + 1);
        let mut last = job.clone();
        for event in events {
            let next = match apply(&last, event, now, &self.rows.policy().retry) {
                Ok(next) => next,
                Err(illegal) => return Ok(Err(illegal.into())),
            };
            steps.push(std::mem::replace(&mut last, next));
        }
        if last.path != job.path && !self.make_way(job, &last)? {
            last.path = job.path.clone();
        }
        self.sums.job_removed(job);
        self.sums.job_added(&last);
        steps.push(last);
        for pair in steps.windows(2) {
            if let [before, after] = pair {
                self.remember(before, after, now)?;
            }
        }
        let last = steps.pop().unwrap_or_else(|| job.clone());
        self.rows.update(job, &last)?;
        Ok(Ok(last))
    }

    /// A replacement gave the film another name, which another job may have. Its file is
    /// then this job's output: a replacement never takes a stranger's name, so what a
    /// scan knew under it was gone before, or is the output, seen by a scan before its
    /// worker could tell. So that job goes into this one, whatever is known of its
    /// content (another one would be found as a change by the next scan).
    ///
    /// A job at work is not taken from its worker. It keeps the name, and this one its
    /// old name, under which the next scan finds nothing: `false`. The replacement is in
    /// the sums, in the attempts and in the job's own record all the same.
    fn make_way(&mut self, job: &Job, after: &Job) -> Result<bool, StoreError> {
        let Some(other) = self.rows.job_at(&job.root, &after.path)? else {
            return Ok(true);
        };
        if other.state.is_active() {
            return Ok(false);
        }
        self.sums.job_removed(&other);
        self.rows.remove(&other)?;
        Ok(true)
    }

    /// Attempts and savings, of one step.
    fn remember(&mut self, before: &Job, after: &Job, now: UnixMs) -> Result<(), StoreError> {
        if before.state != JobState::Completed
            && after.state == JobState::Completed
            && let Some(committed) = &after.committed
        {
            self.sums.replaced(committed, now);
        }
        let (was, is) = (before.state.is_active(), after.state.is_active());
        if was == is {
            return Ok(());
        }
        let Some(worker) = after.worker.as_ref().or(before.worker.as_ref()) else {
            return Ok(());
        };
        let mut attempt = Attempt {
            job: after.id,
            epoch: after.epoch,
            worker: worker.clone(),
            started: now,
            ended: None,
            outcome: None,
            reason: None,
            source_bytes: before.file.bytes,
            output_bytes: None,
            encoder: None,
        };
        if is {
            return self.rows.begin_attempt(&attempt);
        }
        let committed = (after.state == JobState::Completed)
            .then_some(after.committed.as_ref())
            .flatten();
        attempt.ended = Some(now);
        attempt.outcome = Some(after.state);
        attempt.reason = after.reason.clone();
        attempt.output_bytes = committed
            .map(|committed| committed.file.bytes)
            .or(before.staged.as_ref().map(|staged| staged.bytes));
        attempt.encoder = committed.map(|committed| committed.encoder.clone());
        self.rows.end_attempt(&attempt)
    }

    fn scan(
        &mut self,
        root: &RootId,
        changes: &[ScanChange],
        now: UnixMs,
    ) -> Result<OpResult, StoreError> {
        if !self.rows.has_root(root)? {
            return Ok(Err(Refused::NoSuchRoot(root.clone())));
        }
        let mut counts = ScanCounts::default();
        for change in changes {
            match change {
                ScanChange::New {
                    path,
                    file,
                    leave_alone,
                } => {
                    let job =
                        Job::found(root.clone(), path.clone(), *file, leave_alone.clone(), now);
                    self.found(&job, &mut counts)?;
                }
                ScanChange::Changed {
                    job,
                    was,
                    file,
                    leave_alone,
                } => {
                    if let Some(known) = self.as_scanned(root, *job, was)?
                        && self.source_changed(&known, *file, leave_alone, now)?
                    {
                        counts.changed += 1;
                    }
                }
                ScanChange::Gone { job, was } => {
                    if let Some(known) = self.as_scanned(root, *job, was)?
                        && self.change(&known, &[JobEvent::Vanished], now)?.is_ok()
                    {
                        counts.gone += 1;
                    }
                }
            }
        }
        Ok(Ok(Done::Scanned(counts)))
    }

    /// A file that the scan did not know. Its name may have a job all the same: one that
    /// was gone, or that came to this name since the scan looked.
    fn found(&mut self, job: &Job, counts: &mut ScanCounts) -> Result<(), StoreError> {
        if self.rows.insert(job)?.is_some() {
            self.sums.job_added(job);
            counts.added += 1;
        } else if let Some(known) = self.rows.job_at(&job.root, &job.path)? {
            let stands = known.state != JobState::Vanished && known.file.is_same_content(&job.file);
            if !stands && self.source_changed(&known, job.file, &job.reason, job.changed)? {
                counts.changed += 1;
            }
        }
        Ok(())
    }

    /// The job, where it still is what the scan knew.
    fn as_scanned(
        &mut self,
        root: &RootId,
        id: JobId,
        was: &FileId,
    ) -> Result<Option<Job>, StoreError> {
        let known = self.rows.job(id)?;
        Ok(known.filter(|job| job.root == *root && job.file == *was))
    }

    /// Whether the job took it: one that is at work does not.
    fn source_changed(
        &mut self,
        job: &Job,
        file: FileId,
        leave_alone: &Option<Reason>,
        now: UnixMs,
    ) -> Result<bool, StoreError> {
        let leave_alone = leave_alone.clone();
        let event = JobEvent::SourceChanged { file, leave_alone };
        Ok(self.change(job, &[event], now)?.is_ok())
    }
}
