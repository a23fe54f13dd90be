//! The master's core: leases in memory, states in the store, and everything that
//! changes told to the live feed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::error::ApiError;
use super::live::Live;
use super::pictures::Pictures;
use super::pulse::Pulse;
use super::roots::Roots;
use super::state::{State, Worker};
use crate::api::ScanRequest;
use crate::clock;
use crate::config::{Config, Loaded};
use crate::job::{Job, JobEvent, JobState, Reason};
use crate::proto::WorkSettings;
use crate::store::{Counters, Done, Handle, Op, StoreError};
use crate::units::{Epoch, JobId, SessionId, SteadyMs, UnixMs, WorkerId};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) heartbeat_ms: i64,
    pub(super) offline_ms: i64,
    pub(super) lease_ms: i64,
}

impl Timing {
    fn of(config: &Config) -> Self {
        let ms = |seconds: u64| i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        Self {
            heartbeat_ms: ms(config.heartbeat_s),
            offline_ms: ms(config.offline_s),
            lease_ms: ms(config.lease_seconds),
        }
    }
}

/// What can change while the master runs.
pub(super) struct Settings {
    pub(super) loaded: Loaded,
    pub(super) work: WorkSettings,
    pub(super) timing: Timing,
}

impl Settings {
    fn of(loaded: Loaded) -> Self {
        Self {
            work: loaded.config.work_settings(),
            timing: Timing::of(&loaded.config),
            loaded,
        }
    }
}

/// The master's core. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Core(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) store: Handle,
    settings: Mutex<Arc<Settings>>,
    state: Mutex<State>,
    pub(super) counters: Mutex<Counters>,
    pub(super) live: Live,
    pub(super) pulse: Mutex<Pulse>,
    pub(super) pictures: Pictures,
    pub(super) queue: Queue,
    pub(super) roots: Roots,
    pub(super) scans: tokio::sync::mpsc::Sender<ScanRequest>,
    pub(super) started: UnixMs,
    /// The same moment, to measure from.
    pub(super) began: SteadyMs,
    /// Counters at the start: what was done since tells how fast things go.
    pub(super) counters_at_start: Counters,
    /// Told when a retry may be due sooner than was thought.
    pub(super) timers: tokio::sync::Notify,
    /// Children that the master runs for itself: adoption, plans, pictures.
    pub(super) own_children: Arc<tokio::sync::Semaphore>,
    pub(super) state_directory: std::path::PathBuf,
}

impl Core {
    /// Takes up what the store knows: leases go on for their time, as if their workers
    /// had just spoken.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) async fn open(
        store: Handle,
        loaded: Loaded,
        scans: tokio::sync::mpsc::Sender<ScanRequest>,
        state_directory: std::path::PathBuf,
    ) -> Result<Self, StoreError> {
        let (active, workers, counters, paused) = store
            .read(|store| {
                Ok((
                    store.active()?,
                    store.workers()?,
                    store.counters()?,
                    store.setting(PAUSED)?.is_some(),
                ))
            })
            .await?;
        let settings = Settings::of(loaded);
        let mut state = State {
            paused,
            ..State::default()
        };
        for known in &workers {
            state.workers.insert(known.id.clone(), Worker::known(known));
        }
        for job in &active {
            let lease_until = clock::steady().plus_ms(settings.timing.lease_ms);
            state.put(job, lease_until);
        }
        Ok(Self(Arc::new(Inner {
            store,
            settings: Mutex::new(Arc::new(settings)),
            state: Mutex::new(state),
            live: Live::new(),
            pulse: Mutex::default(),
            pictures: Pictures::default(),
            queue: Queue::default(),
            roots: Roots::default(),
            scans,
            started: clock::now(),
            began: clock::steady(),
            counters_at_start: counters.clone(),
            counters: Mutex::new(counters),
            timers: tokio::sync::Notify::new(),
            // Each decodes a film: one at a time leaves a processor to the rest.
            own_children: Arc::new(tokio::sync::Semaphore::new(1)),
            state_directory,
        })))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held left maps that are whole: each change is one call.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        let settings = self.0.settings.lock();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// The configuration was read anew.
    pub fn reconfigure(&self, loaded: Loaded) {
        let settings = Arc::new(Settings::of(loaded));
        *self
            .0
            .settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = settings;
        self.0.live.touch_status();
        self.poke_workers(usize::MAX);
    }

    /// Something happens to a job. What it becomes is durable, in memory and in the feed
    /// when this returns.
    pub(super) async fn apply(
        &self,
        job: JobId,
        epoch: Option<Epoch>,
        events: Vec<JobEvent>,
    ) -> Result<Job, ApiError> {
        let now = clock::now();
        let op = Op::Apply {
            job,
            epoch,
            events,
            now,
        };
        match self.0.store.write(op).await?? {
            Done::Applied(both) => {
                let (before, after) = *both;
                self.changed(&before, &after);
                Ok(after)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a job that changed into memory and the feed.
    pub(super) fn changed(&self, before: &Job, after: &Job) {
        let lease_until = clock::steady().plus_ms(self.settings().timing.lease_ms);
        {
            let mut state = self.state();
            if before.state.is_active() && !after.state.is_active() {
                // By what it was held before: a transition may clear the worker.
                state.put(
                    &Job {
                        state: after.state,
                        ..before.clone()
                    },
                    lease_until,
                );
            }
            state.put(after, lease_until);
        }
        self.0.live.touch_job(after.id);
        if before.state == after.state {
            return;
        }
        tracing::info!(
            job = %after.id, path = %after.path, from = before.state.name(), to = after.state.name(),
            worker = after.worker.as_ref().map(|w| w.0.as_str()),
            reason = after.reason.as_ref().map(|r| r.message.as_str()),
            "job changed",
        );
        self.0.live.touch_status();
        match after.state {
            JobState::Pending => self.more_pending(1),
            JobState::RetryWait => self.0.timers.notify_one(),
            JobState::Recovering => self.recover_soon(after.clone()),
            _ => {}
        }
    }

    /// Jobs that the store moved by itself (claims, retries that came due).
    pub(super) fn took(&self, jobs: &[Job]) {
        let lease_until = clock::steady().plus_ms(self.settings().timing.lease_ms);
        let mut state = self.state();
        for job in jobs {
            state.put(job, lease_until);
            self.0.live.touch_job(job.id);
        }
        drop(state);
        if !jobs.is_empty() {
            self.0.live.touch_status();
        }
    }

    /// So many jobs became pending.
    pub(super) fn more_pending(&self, jobs: usize) {
        self.0.queue.grew();
        self.poke_workers(jobs);
    }

    /// Tells idle workers that there is work; all that are connected where `most` is
    /// large.
    pub(super) fn poke_workers(&self, most: usize) {
        let state = self.state();
        let idle = state.workers.values().filter(|worker| {
            let busy = state.held.get(&worker.id).map_or(0, Vec::len);
            worker
                .report
                .as_ref()
                .is_some_and(|r| busy < r.slots as usize)
        });
        if most == usize::MAX {
            state.workers.values().for_each(Worker::poke);
        } else {
            idle.take(most).for_each(Worker::poke);
        }
    }

    /// Writes something else than a job's event.
    pub(super) async fn write(&self, op: Op) -> Result<Done, ApiError> {
        Ok(self.0.store.write(op).await??)
    }

    /// Reads the counters anew; they are kept by the store with every change.
    pub(super) async fn refresh_counters(&self) -> Result<Counters, ApiError> {
        let counters = self.0.store.read(|store| store.counters()).await?;
        *self
            .0
            .counters
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = counters.clone();
        Ok(counters)
    }

    /// Runs what goes by the clock, until the runtime ends: leases, retries, the feed.
    pub(super) fn start_timers(&self, cancel: &CancellationToken) -> [JoinHandle<()>; 2] {
        // What was being put in place when the last master ended.
        let recovering: Vec<Job> = {
            let state = self.state();
            let jobs = state.active.values().map(|active| &active.job);
            jobs.filter(|job| job.state == JobState::Recovering)
                .cloned()
                .collect()
        };
        for job in recovering {
            self.recover_soon(job);
        }
        let (core, stop) = (self.clone(), cancel.clone());
        let clock = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(500));
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !stop.is_cancelled() {
                tick.tick().await;
                core.expire_leases().await;
                core.publish().await;
                core.measure();
            }
        });
        let (core, stop) = (self.clone(), cancel.clone());
        let retries = tokio::spawn(async move {
            loop {
                let wait = core.release_due().await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                    () = core.0.timers.notified() => {}
                }
            }
        });
        [clock, retries]
    }

    /// Jobs whose time has come become pending. How long to wait for the next.
    async fn release_due(&self) -> Duration {
        const LONGEST: Duration = Duration::from_secs(60);
        let now = clock::now();
        match self.write(Op::ReleaseDue { now }).await {
            Ok(Done::Jobs(jobs)) if !jobs.is_empty() => {
                self.took(&jobs);
                self.more_pending(jobs.len());
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "retries are not released"),
        }
        match self.0.store.read(|store| store.next_due()).await {
            Ok(Some(due)) => {
                let ms = u64::try_from(due.ms_since(clock::now())).unwrap_or(0);
                Duration::from_millis(ms.max(10)).min(LONGEST)
            }
            _ => LONGEST,
        }
    }

    /// Leases whose worker was not heard of for too long.
    async fn expire_leases(&self) {
        let now = clock::steady();
        let timing = self.settings().timing;
        let (expired, offline) = {
            let mut state = self.state();
            let expired: Vec<Job> = state
                .active
                .values()
                .filter(|active| {
                    active.lease_until < now
                        && !active.adopting
                        && active.job.state != JobState::Recovering
                })
                .map(|active| active.job.clone())
                .collect();
            state.lease_expiries += expired.len() as u64;
            let mut offline = Vec::new();
            for worker in state.workers.values_mut() {
                if !worker.shown_offline && !worker.is_online(now, timing.offline_ms) {
                    worker.shown_offline = true;
                    offline.push(worker.id.clone());
                }
            }
            (expired, offline)
        };
        for worker in offline {
            tracing::warn!(%worker, "worker offline");
            self.0.live.touch_worker(&worker);
            self.0.live.touch_status();
        }
        for job in expired {
            let lost = JobEvent::LeaseLost {
                reason: Reason {
                    kind: "lease_lost".to_owned(),
                    message: format!(
                        "nothing was heard of its worker for {} s",
                        timing.lease_ms / 1000
                    ),
                },
            };
            self.count_failure(&job);
            if let Err(error) = self.apply(job.id, Some(job.epoch), vec![lost]).await {
                tracing::error!(job = %job.id, %error, "the lease is not taken back");
            }
        }
    }

    pub(super) fn count_failure(&self, job: &Job) {
        let mut state = self.state();
        if let Some(worker) = job.worker.as_ref().and_then(|id| state.workers.get_mut(id)) {
            worker.failures += 1;
        }
    }

    /// Whether the store answers.
    pub async fn is_ready(&self) -> bool {
        self.0.store.read(|store| store.counters()).await.is_ok()
    }

    /// A worker's connection closed. Its leases go on for their time: most come back.
    pub fn worker_gone(&self, worker: &WorkerId, session: &SessionId) {
        tracing::info!(%worker, %session, "worker disconnected");
    }

    pub(super) fn poke_worker(&self, job: &Job) {
        let state = self.state();
        if let Some(worker) = job.worker.as_ref().and_then(|id| state.workers.get(id)) {
            worker.poke();
        }
    }
}

/// Whether it is worth asking the store for pending jobs: thousands of idle workers
/// would otherwise ask a durable store at every heartbeat for what is not there.
#[derive(Default)]
pub(super) struct Queue {
    /// Counts the times that something became pending; the store may hold jobs from
    /// before the start.
    generation: AtomicU64,
    /// The generation, plus one, at which the store was found empty.
    empty_at: AtomicU64,
}

impl Queue {
    fn grew(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    pub(super) fn may_hold(&self) -> bool {
        self.empty_at.load(Ordering::SeqCst) != self.generation() + 1
    }

    /// The store had no pending job, in a look that began at generation `seen`.
    pub(super) fn found_empty(&self, seen: u64) {
        self.empty_at.store(seen + 1, Ordering::SeqCst);
    }
}

/// The setting that outlives a restart.
pub(super) const PAUSED: &str = "paused";

pub(super) fn unexpected(done: &Done) -> ApiError {
    ApiError::new(
        500,
        "unexpected",
        format!("the store did something else: {done:?}"),
    )
}
