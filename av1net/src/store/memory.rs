//! A store that forgets at its end: for tests, and as the model that the durable one is
//! held against. Every answer looks at every row.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::order::{MOST_ON_A_PAGE, RowFilter, SortKey, states};
use super::rows::Rows;
use super::sums::Sums;
use super::{
    Attempt, Counters, KnownWorker, Op, OpResult, Page, PageQuery, RootRecord, SavedDay, ScanRow,
    Store, StoreError, StorePolicy, Verdict, engine,
};
use crate::job::{Job, JobState};
use crate::schedule::rank;
use crate::units::{Epoch, JobId, RelPath, RootId, UnixMs, WorkerId};

type Result<T> = std::result::Result<T, StoreError>;

/// A store in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    policy: StorePolicy,
    last_id: i64,
    jobs: BTreeMap<JobId, Job>,
    by_path: BTreeMap<(RootId, RelPath), JobId>,
    attempts: BTreeMap<(JobId, Epoch), Attempt>,
    roots: BTreeMap<RootId, RootRecord>,
    workers: BTreeMap<WorkerId, KnownWorker>,
    verdicts: BTreeMap<String, Verdict>,
    settings: BTreeMap<String, String>,
    sums: Sums,
}

impl MemoryStore {
    /// An empty one.
    #[must_use]
    pub fn new(policy: StorePolicy) -> Self {
        let tables = Tables {
            policy,
            ..Tables::default()
        };
        Self {
            tables: Mutex::new(tables),
        }
    }

    /// No code between two changes of a table can panic, so a lock that was poisoned by
    /// a caller's panic still guards whole tables.
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows for Tables {
    fn policy(&self) -> &StorePolicy {
        &self.policy
    }

    fn job(&mut self, id: JobId) -> Result<Option<Job>> {
        Ok(self.jobs.get(&id).cloned())
    }

    fn job_at(&mut self, root: &RootId, path: &RelPath) -> Result<Option<Job>> {
        let id = self.by_path.get(&(root.clone(), path.clone()));
        Ok(id.and_then(|id| self.jobs.get(id)).cloned())
    }

    fn insert(&mut self, job: &Job) -> Result<Option<JobId>> {
        let place = (job.root.clone(), job.path.clone());
        if self.by_path.contains_key(&place) {
            return Ok(None);
        }
        self.last_id += 1;
        let id = JobId(self.last_id);
        self.by_path.insert(place, id);
        self.jobs.insert(id, Job { id, ..job.clone() });
        Ok(Some(id))
    }

    fn update(&mut self, before: &Job, after: &Job) -> Result<()> {
        if before.path != after.path {
            self.by_path
                .remove(&(before.root.clone(), before.path.clone()));
            let place = (after.root.clone(), after.path.clone());
            self.by_path.insert(place, after.id);
        }
        self.jobs.insert(after.id, after.clone());
        Ok(())
    }

    fn remove(&mut self, job: &Job) -> Result<()> {
        self.by_path.remove(&(job.root.clone(), job.path.clone()));
        self.jobs.remove(&job.id);
        self.attempts.retain(|(id, _), _| *id != job.id);
        Ok(())
    }

    fn best_pending(&mut self, roots: &[RootId], limit: usize) -> Result<Vec<Job>> {
        let waits = |job: &&Job| job.state == JobState::Pending && roots.contains(&job.root);
        let mut jobs: Vec<&Job> = self.jobs.values().filter(waits).collect();
        jobs.sort_by_key(|job| (rank(job, self.policy.order), job.id));
        Ok(jobs.into_iter().take(limit).cloned().collect())
    }

    fn due(&mut self, now: UnixMs, limit: usize) -> Result<Vec<Job>> {
        let is_due = |job: &&Job| job.retry_at.is_some_and(|at| at <= now);
        let mut jobs: Vec<&Job> = self.jobs.values().filter(is_due).collect();
        jobs.sort_by_key(|job| (job.retry_at, job.id));
        Ok(jobs.into_iter().take(limit).cloned().collect())
    }

    fn begin_attempt(&mut self, attempt: &Attempt) -> Result<()> {
        let place = (attempt.job, attempt.epoch);
        self.attempts.insert(place, attempt.clone());
        Ok(())
    }

    fn end_attempt(&mut self, attempt: &Attempt) -> Result<()> {
        if let Some(known) = self.attempts.get_mut(&(attempt.job, attempt.epoch)) {
            *known = Attempt {
                worker: known.worker.clone(),
                started: known.started,
                source_bytes: known.source_bytes,
                ..attempt.clone()
            };
        }
        Ok(())
    }

    fn has_root(&mut self, root: &RootId) -> Result<bool> {
        Ok(self.roots.contains_key(root))
    }

    fn put_root(&mut self, root: &RootRecord) -> Result<()> {
        self.roots.insert(root.id.clone(), root.clone());
        Ok(())
    }

    fn put_worker(&mut self, worker: &KnownWorker) -> Result<()> {
        self.workers.insert(worker.id.clone(), worker.clone());
        Ok(())
    }

    fn put_verdict(&mut self, verdict: &Verdict) -> Result<()> {
        self.verdicts.insert(verdict.key.clone(), verdict.clone());
        Ok(())
    }

    fn put_setting(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => self.settings.insert(name.to_owned(), value.to_owned()),
            None => self.settings.remove(name),
        };
        Ok(())
    }
}

impl Store for MemoryStore {
    fn write(&self, ops: &[Op]) -> Result<Vec<OpResult>> {
        let mut tables = self.tables();
        let (results, sums) = engine::carry_out(&mut *tables, ops)?;
        tables.sums.add(&sums);
        Ok(results)
    }

    fn job(&self, id: JobId) -> Result<Option<Job>> {
        self.tables().job(id)
    }

    fn job_at(&self, root: &RootId, path: &RelPath) -> Result<Option<Job>> {
        self.tables().job_at(root, path)
    }

    fn active(&self) -> Result<Vec<Job>> {
        let tables = self.tables();
        let active = tables.jobs.values().filter(|job| job.state.is_active());
        Ok(active.cloned().collect())
    }

    fn page(&self, query: &PageQuery) -> Result<Page> {
        let tables = self.tables();
        let after = query.after.as_ref();
        let after = after
            .map(|cursor| SortKey::of_cursor(cursor, query.sort))
            .transpose()?;
        let states = states(&query.filter);
        let rows = RowFilter::of(&query.filter);
        let passes = |job: &&Job| {
            let reason = job.reason.as_ref().map(|reason| reason.kind.as_str());
            states.contains(&job.state)
                && query.filter.root.as_ref().is_none_or(|r| *r == job.root)
                && rows
                    .as_ref()
                    .is_none_or(|rows| rows.takes(job.path.as_bytes(), reason))
        };
        let mut sorted: Vec<(SortKey, &Job)> = tables
            .jobs
            .values()
            .filter(passes)
            .map(|job| (SortKey::of(job, query.sort, tables.policy.order), job))
            .filter(|(key, _)| match &after {
                None => true,
                Some(after) if query.descending => key < after,
                Some(after) => key > after,
            })
            .collect();
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        if query.descending {
            sorted.reverse();
        }
        let limit = query.limit.clamp(1, MOST_ON_A_PAGE);
        let more = sorted.len() > limit;
        sorted.truncate(limit);
        let last = sorted.last().filter(|_| more);
        Ok(Page {
            next: last.map(|(key, _)| key.cursor(query.sort)),
            jobs: sorted.into_iter().map(|(_, job)| job.clone()).collect(),
        })
    }

    fn counters(&self) -> Result<Counters> {
        Ok(self.tables().sums.counters())
    }

    fn attempts(&self, job: JobId, limit: usize) -> Result<Vec<Attempt>> {
        let tables = self.tables();
        let all = (job, Epoch(0))..=(job, Epoch(u64::MAX));
        let newest = tables.attempts.range(all).rev().take(limit);
        Ok(newest.map(|(_, attempt)| attempt.clone()).collect())
    }

    fn scan_rows(
        &self,
        root: &RootId,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<ScanRow>> {
        let tables = self.tables();
        let rows = tables
            .by_path
            .iter()
            .filter(|((of, path), _)| of == root && after.is_none_or(|after| path > after));
        let jobs = rows.filter_map(|(_, id)| tables.jobs.get(id)).take(limit);
        let row = |job: &Job| ScanRow {
            job: job.id,
            path: job.path.clone(),
            file: job.file,
            state: job.state,
            reason: job.reason.as_ref().map(|reason| reason.kind.clone()),
        };
        Ok(jobs.map(row).collect())
    }

    fn verdict(&self, key: &str) -> Result<Option<Verdict>> {
        Ok(self.tables().verdicts.get(key).cloned())
    }

    fn roots(&self) -> Result<Vec<RootRecord>> {
        Ok(self.tables().roots.values().cloned().collect())
    }

    fn workers(&self) -> Result<Vec<KnownWorker>> {
        Ok(self.tables().workers.values().cloned().collect())
    }

    fn setting(&self, name: &str) -> Result<Option<String>> {
        Ok(self.tables().settings.get(name).cloned())
    }

    fn next_due(&self) -> Result<Option<UnixMs>> {
        let tables = self.tables();
        Ok(tables.jobs.values().filter_map(|job| job.retry_at).min())
    }

    fn saved_by_day(&self, since: UnixMs) -> Result<Vec<SavedDay>> {
        Ok(self.tables().sums.days_since(since))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::conformance::{self, RETRY};

    fn fresh() -> (MemoryStore, ()) {
        let policy = StorePolicy {
            retry: RETRY,
            ..StorePolicy::default()
        };
        (MemoryStore::new(policy), ())
    }

    conformance::suite!(fresh);

    proptest! {
        #[test]
        fn counters_are_what_counting_gives(batches in conformance::any_batches()) {
            let (store, ()) = fresh();
            for batch in batches {
                store.write(&batch).expect("durable");
                conformance::expect_sums(&store);
            }
        }
    }
}
