//! What the master holds in memory: workers as they last spoke, and the leases. All of
//! it can be made anew from the store and the workers' next reports.

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::api::{WorkerState, WorkerView};
use crate::job::Job;
use crate::proto::{Phase, TaskProgress, WorkerMode, WorkerReport, WorkerSettings};
use crate::store::KnownWorker;
use crate::units::{JobId, SessionId, SteadyMs, UnixMs, WorkerId};

/// Loads kept for the page's small charts.
const HISTORY: usize = 60;

/// What is kept of a worker over a restart of the master.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    #[serde(flatten)]
    pub(super) settings: WorkerSettings,
    #[serde(default)]
    pub(super) drained: Option<SessionId>,
}

/// A worker as it last spoke.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) name: String,
    /// `None` until it speaks for the first time since the master started.
    pub(super) report: Option<WorkerReport>,
    pub(super) settings: WorkerSettings,
    /// For people, and over a restart.
    pub(super) last_seen: UnixMs,
    /// When it last spoke to this process.
    pub(super) heard: SteadyMs,
    pub(super) history: VecDeque<(f32, f32)>,
    pub(super) failures: u32,
    /// Whether its last state in the feed was offline.
    pub(super) shown_offline: bool,
    /// The life of it that was told to drain; `None` where the next one is.
    pub(super) drained: Option<SessionId>,
    /// The life before the one that speaks now.
    pub(super) superseded: Option<SessionId>,
    /// Changes when the master has something to say to it.
    pub(super) poke: watch::Sender<u64>,
    /// One report of a worker is worked on at a time.
    pub(super) turn: std::sync::Arc<tokio::sync::Mutex<()>>,
}

impl Worker {
    pub(super) fn known(known: &KnownWorker) -> Self {
        let kept: Kept = serde_json::from_str(&known.settings).unwrap_or_default();
        Self {
            drained: kept.drained,
            ..Self::new(
                known.id.clone(),
                known.name.clone(),
                kept.settings,
                known.last_seen,
            )
        }
    }

    pub(super) fn new(
        id: WorkerId,
        name: String,
        settings: WorkerSettings,
        last_seen: UnixMs,
    ) -> Self {
        Self {
            id,
            name,
            report: None,
            settings,
            last_seen,
            heard: SteadyMs::default(),
            history: VecDeque::new(),
            failures: 0,
            shown_offline: true,
            drained: None,
            superseded: None,
            poke: watch::Sender::new(0),
            turn: std::sync::Arc::default(),
        }
    }

    /// What the word of this session makes of an order to drain, where that is anything: it
    /// is the one that the order is for, or was started after that one had ended, and the
    /// order is done.
    pub(super) fn drain_heard_by(&self, session: &SessionId) -> Option<Kept> {
        if !self.settings.draining || self.drained.as_ref() == Some(session) {
            return None;
        }
        let is_done = self.drained.is_some();
        Some(Kept {
            settings: WorkerSettings {
                draining: !is_done,
                ..self.settings.clone()
            },
            drained: (!is_done).then(|| session.clone()),
        })
    }

    /// These settings, with whom an order to drain among them is for.
    pub(super) fn with_settings(&self, settings: WorkerSettings, is_online: bool) -> Kept {
        let report = self.report.as_ref().filter(|_| is_online);
        let drained = match (settings.draining, self.settings.draining) {
            (false, _) => None,
            (true, true) => self.drained.clone(),
            (true, false) => report.map(|report| report.session.clone()),
        };
        Kept { settings, drained }
    }

    pub(super) fn kept(&self) -> Kept {
        Kept {
            settings: self.settings.clone(),
            drained: self.drained.clone(),
        }
    }

    pub(super) fn set(&mut self, kept: Kept) {
        self.settings = kept.settings;
        self.drained = kept.drained;
    }

    pub(super) fn remember(&mut self, report: WorkerReport, (now, steady): (UnixMs, SteadyMs)) {
        let load = &report.load;
        let memory = load.memory_used_bytes as f32 / load.memory_total_bytes.max(1) as f32;
        self.history.push_back((load.cpu_percent, memory * 100.0));
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        self.last_seen = now;
        self.heard = steady;
        self.name.clone_from(&report.name);
        self.shown_offline = false;
        if let Some(last) = &self.report
            && last.session != report.session
        {
            self.superseded = Some(last.session.clone());
        }
        self.report = Some(report);
    }

    pub(super) fn is_online(&self, now: SteadyMs, offline_ms: i64) -> bool {
        self.report.is_some() && now.ms_since(self.heard) <= offline_ms
    }

    /// Tells its connection that there is something to say.
    pub(super) fn poke(&self) {
        self.poke.send_modify(|count| *count += 1);
    }

    pub(super) fn view(&self, now: SteadyMs, offline_ms: i64, jobs: Vec<JobId>) -> WorkerView {
        let report = self.report.as_ref();
        let fps = report.map_or(0.0, |report| {
            let running = report.tasks.iter().filter_map(|task| task.progress);
            running.map(|progress| progress.fps).sum()
        });
        WorkerView {
            id: self.id.clone(),
            name: self.name.clone(),
            state: self.state(now, offline_ms, !jobs.is_empty()),
            version: report.map(|r| r.version.clone()).unwrap_or_default(),
            encoder: report.and_then(|r| r.encoder.clone()),
            warnings: report.map(|r| r.warnings.clone()).unwrap_or_default(),
            slots: self.slots(),
            load: report.map(|r| r.load).unwrap_or_default(),
            history: self.history.iter().copied().collect(),
            last_seen: self.last_seen,
            mounted: report.map(|r| r.mounted.clone()).unwrap_or_default(),
            jobs,
            fps,
            failures: self.failures,
            settings: self.settings.clone(),
        }
    }

    pub(super) fn slots(&self) -> u32 {
        let own = self.report.as_ref().map_or(0, |report| report.slots);
        self.settings.slots.unwrap_or(own)
    }

    pub(super) fn state(&self, now: SteadyMs, offline_ms: i64, busy: bool) -> WorkerState {
        if !self.is_online(now, offline_ms) {
            return WorkerState::Offline;
        }
        let mode = self.report.as_ref().map(|report| report.mode);
        if self.settings.draining || mode == Some(WorkerMode::Draining) {
            WorkerState::Draining
        } else if self.settings.paused || mode == Some(WorkerMode::Paused) {
            WorkerState::Paused
        } else if busy {
            WorkerState::Processing
        } else if mode == Some(WorkerMode::OutsideHours) {
            WorkerState::OutsideHours
        } else {
            WorkerState::Idle
        }
    }
}

/// A job with a lease.
pub(super) struct Active {
    pub(super) job: Job,
    /// The life of the worker that it was granted to; `None` where the master has
    /// restarted since.
    pub(super) session: Option<SessionId>,
    /// When the lease ends, unless the worker speaks of the task.
    pub(super) lease_until: SteadyMs,
    /// What the worker last said.
    pub(super) phase: Option<Phase>,
    pub(super) progress: Option<TaskProgress>,
    /// The master does the rest itself, so no lease runs out.
    pub(super) adopting: bool,
    /// Whether it is shipped over HTTP.
    pub(super) ship: bool,
}

impl Active {
    pub(super) fn new(job: Job, lease_until: SteadyMs) -> Self {
        Self {
            job,
            session: None,
            lease_until,
            phase: None,
            progress: None,
            adopting: false,
            ship: false,
        }
    }

    /// The phase's name on the page.
    pub(super) fn phase_name(&self) -> &'static str {
        if self.adopting {
            return "replacing";
        }
        match &self.phase {
            None | Some(Phase::Starting | Phase::Asking { .. }) if self.ship => "fetching",
            None | Some(Phase::Starting | Phase::Asking { .. }) => "starting",
            Some(Phase::Sampling) => "predicting",
            Some(Phase::Encoding) => "encoding",
            Some(Phase::Verifying) => "verifying",
            Some(Phase::Delivering { .. }) => "delivering",
            Some(Phase::Staged { .. } | Phase::Committing | Phase::Ended { .. }) => "replacing",
        }
    }
}

/// Everything in memory. Behind one lock that is never held across an `await`.
#[derive(Default)]
pub(super) struct State {
    pub(super) workers: HashMap<WorkerId, Worker>,
    pub(super) active: HashMap<JobId, Active>,
    /// Jobs by the worker that holds them.
    pub(super) held: HashMap<WorkerId, Vec<JobId>>,
    pub(super) paused: bool,
    pub(super) lease_expiries: u64,
    pub(super) fenced: u64,
}

impl State {
    /// Takes a job in, or, where it has no lease any more, out.
    pub(super) fn put(&mut self, job: &Job, lease_until: SteadyMs) {
        if !job.state.is_active() {
            self.active.remove(&job.id);
            if let Some(held) = job.worker.as_ref().and_then(|w| self.held.get_mut(w)) {
                held.retain(|id| *id != job.id);
            }
            return;
        }
        if let Some(active) = self.active.get_mut(&job.id)
            && active.job.epoch == job.epoch
        {
            active.job = job.clone();
            active.lease_until = lease_until;
            return;
        }
        let active = Active::new(job.clone(), lease_until);
        self.active.insert(job.id, active);
        if let Some(worker) = &job.worker {
            let held = self.held.entry(worker.clone()).or_default();
            if !held.contains(&job.id) {
                held.push(job.id);
            }
        }
    }

    pub(super) fn held_by(&self, worker: &WorkerId) -> Vec<JobId> {
        self.held.get(worker).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker() -> Worker {
        let id = WorkerId("w".to_owned());
        Worker::new(id, "nas".to_owned(), WorkerSettings::default(), UnixMs(0))
    }

    fn report(session: &str) -> WorkerReport {
        let report = serde_json::json!({
            "protocol": 1, "worker": "w", "session": session, "sequence": 1, "name": "nas",
            "version": "0", "slots": 1, "mode": "running", "load": {},
        });
        serde_json::from_value(report).expect("a report")
    }

    fn session(name: &str) -> SessionId {
        SessionId(name.to_owned())
    }

    fn draining() -> WorkerSettings {
        WorkerSettings {
            draining: true,
            ..WorkerSettings::default()
        }
    }

    #[test]
    fn an_order_to_drain_is_for_the_life_that_speaks_now() {
        let mut worker = worker();
        worker.remember(report("first"), (UnixMs(0), SteadyMs(0)));
        let kept = worker.with_settings(draining(), true);
        assert_eq!(kept.drained, Some(session("first")));
        // Over a restart of the master.
        let text = serde_json::to_string(&kept).expect("JSON");
        worker.set(serde_json::from_str(&text).expect("JSON"));
        assert!(worker.drain_heard_by(&session("first")).is_none());
        let next = worker.drain_heard_by(&session("second")).expect("an end");
        assert!(!next.settings.draining, "it is started again, and works");
        assert_eq!(next.drained, None);
    }

    #[test]
    fn an_order_to_drain_for_one_that_is_away_is_for_its_next_life() {
        let mut worker = worker();
        worker.remember(report("first"), (UnixMs(0), SteadyMs(0)));
        worker.set(worker.with_settings(draining(), false));
        let heard = worker.drain_heard_by(&session("second")).expect("heard");
        assert!(heard.settings.draining, "it is not lost unheard");
        assert_eq!(heard.drained, Some(session("second")));
        // Said once more, it stays whose it is; taken back, it is nobody's.
        worker.set(heard);
        let again = worker.with_settings(draining(), true);
        assert_eq!(again.drained, Some(session("second")));
        let taken_back = worker.with_settings(WorkerSettings::default(), true);
        assert_eq!(taken_back.drained, None);
    }

    #[test]
    fn a_life_that_is_over_is_known() {
        let mut worker = worker();
        for (name, superseded) in [
            ("first", None),
            ("first", None),
            ("second", Some("first")),
            ("second", Some("first")),
        ] {
            worker.remember(report(name), (UnixMs(0), SteadyMs(0)));
            assert_eq!(worker.superseded, superseded.map(session));
        }
    }
}
