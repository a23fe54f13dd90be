//! The system as the API shows it.

use std::collections::{BTreeMap, BTreeSet};

use super::core::Core;
use super::error::ApiError;
use super::state::{Active, State};
use crate::api::{
    ConfigView, JobDetail, JobView, JobsPage, SavedView, Status, ThroughputView, WorkerState,
    WorkerView,
};
use crate::clock;
use crate::job::{Job, JobState};
use crate::store::{Counters, Filter, PageQuery};
use crate::units::{JobId, WorkerId};

const DAY_MS: i64 = 24 * 3_600_000;

/// How many jobs fit a filter, where the counters know.
fn total(counters: &Counters, filter: &Filter) -> Option<u64> {
    if filter.root.is_some() || filter.search.is_some() || filter.reason.is_some() {
        return None;
    }
    if filter.states.is_empty() {
        return Some(counters.files());
    }
    let states: BTreeSet<_> = filter.states.iter().collect();
    Some(states.into_iter().map(|state| counters.of(*state)).sum())
}

/// How the library went so far.
struct Course {
    elapsed_ms: u64,
    /// Jobs that ended meanwhile.
    done: u64,
    /// Jobs that have not ended, those that run among them.
    left: u64,
    /// What each that runs still takes, where it knows.
    running_ms: Vec<u64>,
}

impl Course {
    /// By the jobs that ended since the start: what the queue holds is not yet looked
    /// into, so its films count alike. What runs knows better, and is the least it takes.
    fn eta_ms(&self) -> Option<u64> {
        let of_running = self.running_ms.iter().copied().max().unwrap_or(0);
        if self.left <= self.running_ms.len() as u64 {
            return Some(of_running);
        }
        let by_count = self
            .elapsed_ms
            .saturating_mul(self.left)
            .checked_div(self.done);
        by_count.map(|ms| ms.max(of_running))
    }
}

impl Core {
    /// How everything stands.
    pub async fn status(&self) -> Status {
        let now = clock::now();
        let counters = self.counters();
        let offline_ms = self.settings().timing.offline_ms;
        let mut status = Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now,
            started: self.0.started,
            jobs: counters.by_state.clone(),
            contract: contract(&counters),
            files: counters.files(),
            library_bytes: counters.library_bytes,
            saved_bytes: counters.saved_bytes,
            replaced_source_bytes: counters.replaced_source_bytes,
            attention: counters.of(JobState::Failed) + counters.of(JobState::Quarantined),
            eta_ms: self.eta_ms(&counters),
            roots: self.0.roots.views(),
            notices: self.notices(),
            ..Status::default()
        };
        let state = self.state();
        status.paused = state.paused;
        status.busy_slots = u32::try_from(state.active.len()).unwrap_or(u32::MAX);
        (status.fps, status.speed) = rates(&state);
        for worker in state.workers.values() {
            let held = state
                .held
                .get(&worker.id)
                .is_some_and(|held| !held.is_empty());
            let shown = worker.state(clock::steady(), offline_ms, held);
            *status.workers.entry(shown).or_default() += 1;
            if shown != WorkerState::Offline {
                status.slots += worker.slots();
            }
        }
        status
    }

    /// Takes note of how fast everything goes, for [`Self::throughput`].
    pub(super) fn measure(&self) {
        let (fps, speed) = rates(&self.state());
        self.pulse().measured(fps, speed, clock::now());
    }

    fn pulse(&self) -> std::sync::MutexGuard<'_, super::pulse::Pulse> {
        let pulse = self.0.pulse.lock();
        pulse.unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// How fast everything went over the last day.
    #[must_use]
    pub fn throughput(&self) -> ThroughputView {
        self.pulse().view(clock::now())
    }

    pub(super) fn counters(&self) -> Counters {
        let counters = self.0.counters.lock();
        counters
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn eta_ms(&self, counters: &Counters) -> Option<u64> {
        let ended = |counters: &Counters| {
            counters.of(JobState::Completed)
                + counters.of(JobState::Skipped)
                + counters.of(JobState::Failed)
                + counters.of(JobState::Quarantined)
        };
        let left = counters.by_state.iter().filter(|(state, _)| {
            state.is_active() || matches!(state, JobState::Pending | JobState::RetryWait)
        });
        let running = {
            let state = self.state();
            let progress = state.active.values().filter_map(|active| active.progress);
            progress.filter_map(|progress| progress.eta_ms).collect()
        };
        let course = Course {
            elapsed_ms: u64::try_from(clock::steady().ms_since(self.0.began)).ok()?,
            done: ended(counters).saturating_sub(ended(&self.0.counters_at_start)),
            left: left.map(|(_, count)| count).sum(),
            running_ms: running,
        };
        course.eta_ms()
    }

    /// A page of jobs.
    ///
    /// # Errors
    ///
    /// 400 for a cursor that is none, 503 where the store fails.
    pub async fn jobs(&self, query: PageQuery) -> Result<JobsPage, ApiError> {
        let read = self.0.store.read(move |store| {
            // The store's own counters: those kept here lag behind what was just written,
            // and a library that was just scanned must not look empty.
            let total = total(&store.counters()?, &query.filter);
            Ok((store.page(&query)?, total))
        });
        let (page, total) = read.await?;
        Ok(JobsPage {
            jobs: page.jobs.iter().map(|job| self.view(job)).collect(),
            next: page.next.map(|cursor| cursor.0),
            total,
        })
    }

    /// All of one job.
    ///
    /// # Errors
    ///
    /// 404, 503.
    pub async fn job(&self, id: JobId) -> Result<JobDetail, ApiError> {
        let (job, attempts) = self
            .0
            .store
            .read(move |store| Ok((store.job(id)?, store.attempts(id, 100)?)))
            .await?;
        let job = job.ok_or_else(|| ApiError::not_found(format_args!("job {id}")))?;
        let warnings = job.committed.as_ref().map(|c| c.warnings.clone());
        Ok(JobDetail {
            root_path: self.0.roots.path_text(&job.root),
            job: self.view(&job),
            attempts,
            warnings: warnings.unwrap_or_default(),
        })
    }

    /// The jobs with a lease.
    pub(super) fn running(&self) -> Vec<JobView> {
        let jobs: Vec<Job> = {
            let state = self.state();
            state
                .active
                .values()
                .map(|active| active.job.clone())
                .collect()
        };
        let mut views: Vec<_> = jobs.iter().map(|job| self.view(job)).collect();
        views.sort_by_key(|view| view.id);
        views
    }

    /// These jobs as they are now.
    pub(super) async fn views_of(&self, ids: Vec<JobId>) -> Vec<JobView> {
        let mut views = Vec::with_capacity(ids.len());
        let mut others = Vec::new();
        for id in ids {
            let active = self
                .state()
                .active
                .get(&id)
                .map(|active| active.job.clone());
            match active {
                Some(job) => views.push(self.view(&job)),
                None => others.push(id),
            }
        }
        let read = self.0.store.read(move |store| {
            let jobs = others.into_iter().map(|id| store.job(id));
            jobs.collect::<Result<Vec<_>, _>>()
        });
        match read.await {
            Ok(jobs) => views.extend(jobs.iter().flatten().map(|job| self.view(job))),
            Err(error) => tracing::warn!(%error, "jobs of the feed are not read"),
        }
        views
    }

    pub(super) fn view(&self, job: &Job) -> JobView {
        let state = self.state();
        let active = state.active.get(&job.id);
        let active = active.filter(|active| active.job.epoch == job.epoch);
        let worker_name = job
            .worker
            .as_ref()
            .and_then(|id| state.workers.get(id))
            .map(|worker| worker.name.clone());
        let committed = job.committed.as_ref();
        let saved = |committed: &crate::job::Committed| {
            let (before, after) = (committed.source_bytes, committed.file.bytes);
            i64::try_from(before).unwrap_or(i64::MAX) - i64::try_from(after).unwrap_or(i64::MAX)
        };
        JobView {
            id: job.id,
            root: job.root.clone(),
            path: job.path.clone(),
            state: job.state,
            status: job.state.contract(),
            priority: job.priority,
            bytes: job.file.bytes,
            source_bytes: committed.map(|c| c.source_bytes),
            saved_bytes: committed.map(saved),
            attempts: job.attempts,
            worker: job.worker.clone(),
            worker_name,
            reason: job.reason.clone(),
            retry_at: job.retry_at,
            queued: job.queued,
            changed: job.changed,
            frames: committed.map(|c| c.frames),
            encoder: committed.map(|c| c.encoder.clone()),
            phase: active.map(|active| active.phase_name().to_owned()),
            progress: active.and_then(|active: &Active| active.progress),
        }
    }

    /// Every worker, by name.
    pub async fn workers(&self) -> Vec<WorkerView> {
        let all: BTreeSet<_> = self.state().workers.keys().cloned().collect();
        let mut views = self.views_of_workers(&all);
        views.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        views
    }

    pub(super) fn views_of_workers(&self, ids: &BTreeSet<WorkerId>) -> Vec<WorkerView> {
        let now = clock::steady();
        let offline_ms = self.settings().timing.offline_ms;
        let state = self.state();
        let known = ids.iter().filter_map(|id| state.workers.get(id));
        known
            .map(|worker| worker.view(now, offline_ms, state.held_by(&worker.id)))
            .collect()
    }

    /// The configuration, each key with its origin.
    #[must_use]
    pub fn config_view(&self) -> ConfigView {
        self.settings().loaded.view()
    }

    /// What was saved, by day, over the last year.
    ///
    /// # Errors
    ///
    /// 503.
    pub async fn saved(&self) -> Result<SavedView, ApiError> {
        let since = clock::now().plus_ms(-366 * DAY_MS);
        let days = self
            .0
            .store
            .read(move |store| store.saved_by_day(since))
            .await?;
        Ok(SavedView { days })
    }
}

/// Frames a second and film time by wall-clock time of everything that runs.
fn rates(state: &State) -> (f64, f64) {
    let running = state.active.values().filter_map(|active| active.progress);
    running.fold((0.0, 0.0), |(fps, speed), progress| {
        (fps + progress.fps, speed + progress.speed)
    })
}

fn contract(counters: &Counters) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for status in ["Pending", "Processing", "Completed", "Failed"] {
        sums.insert(status.to_owned(), 0);
    }
    for (state, count) in &counters.by_state {
        if *state != JobState::Vanished {
            *sums.entry(format!("{:?}", state.contract())).or_insert(0) += count;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eta_ms(done: u64, left: u64, running_ms: &[u64]) -> Option<u64> {
        let course = Course {
            elapsed_ms: 1_000,
            done,
            left,
            running_ms: running_ms.to_vec(),
        };
        course.eta_ms()
    }

    #[test]
    fn the_time_left_is_what_the_rest_takes_at_this_rate_and_what_runs_at_least() {
        assert_eq!(eta_ms(3, 0, &[]), Some(0), "all is done");
        assert_eq!(eta_ms(0, 2, &[]), None, "nothing to go by");
        assert_eq!(eta_ms(2, 10, &[70]), Some(5_000));
        assert_eq!(eta_ms(2, 10, &[70, 9_000]), Some(9_000));
        assert_eq!(eta_ms(2, 2, &[70, 90]), Some(90), "nothing but what runs");
        assert_eq!(eta_ms(0, 1, &[70]), Some(70), "the first");
    }
}
