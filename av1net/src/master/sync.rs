//! The one verb between master and worker. A report is judged task by task
//! ([`crate::lease`]), what it changes is made durable, and only then is it answered.

use std::collections::BTreeSet;

use super::core::Core;
use super::error::ApiError;
use super::state::{Kept, Worker};
use crate::clock;
use crate::job::{Job, JobEvent, JobState};
use crate::lease::{Judgement, judge, lost};
use crate::proto::{
    Grant, MasterReply, OLDEST_PROTOCOL, Order, OrderKind, PROTOCOL, Phase, RootInfo, TaskEnd,
    TaskReport, WorkerReport,
};
use crate::store::{KnownWorker, Op, Verdict};
use crate::units::{SessionId, UnixMs, WorkerId};

impl Core {
    /// A worker says what it runs; the answer says what it should run.
    ///
    /// # Errors
    ///
    /// 426 for a protocol that is not spoken here, 400 for a report that makes no sense,
    /// 503 where the store fails. Nothing is lost then: the worker says it again.
    pub async fn sync(&self, report: WorkerReport) -> Result<MasterReply, ApiError> {
        check(&report)?;
        let turn = self.meet(&report).await?;
        let _turn = turn.lock().await;
        if self.is_late(&report) {
            return Ok(self.reply(&report.worker, Vec::new(), Vec::new()));
        }
        self.heed_drain(&report).await?;
        self.find_forgotten(&report).await?;
        let mut orders = Vec::with_capacity(report.tasks.len());
        for task in &report.tasks {
            let order = self.answer(&report.worker, &report.session, task).await?;
            orders.push(Order {
                task: task.task,
                epoch: task.epoch,
                kind: order,
            });
        }
        let worker = report.worker.clone();
        {
            let mut state = self.state();
            let now = (clock::now(), clock::steady());
            if let Some(known) = state.workers.get_mut(&worker) {
                known.remember(report, now);
            }
        }
        self.0.live.touch_worker(&worker);
        let grants = self.grants(&worker).await?;
        Ok(self.reply(&worker, orders, grants))
    }

    /// What there is to say to a connected worker before it speaks again: orders that
    /// changed since, and new work.
    pub async fn reply_now(&self, worker: &WorkerId) -> Option<MasterReply> {
        let turn = self.state().workers.get(worker)?.turn.clone();
        let _turn = turn.lock().await;
        let tasks = {
            let state = self.state();
            state.workers.get(worker)?.report.as_ref()?.tasks.clone()
        };
        let mut orders = Vec::new();
        for task in &tasks {
            let job = self
                .state()
                .active
                .get(&task.task.job)
                .map(|a| a.job.clone());
            if let Judgement::Answer(kind @ (OrderKind::Revoke | OrderKind::Forget)) =
                judge(job.as_ref(), worker, task)
            {
                let (task, epoch) = (task.task, task.epoch);
                orders.push(Order { task, epoch, kind });
            }
        }
        match self.grants(worker).await {
            Ok(grants) => Some(self.reply(worker, orders, grants)),
            Err(error) => {
                tracing::error!(%worker, %error, "no work is granted");
                None
            }
        }
    }

    /// Changes when there is something to say to this worker; `None` before it has
    /// spoken for the first time.
    #[must_use]
    pub fn poke(&self, worker: &WorkerId) -> Option<tokio::sync::watch::Receiver<u64>> {
        let state = self.state();
        Some(state.workers.get(worker)?.poke.subscribe())
    }

    fn reply(&self, worker: &WorkerId, orders: Vec<Order>, grants: Vec<Grant>) -> MasterReply {
        let settings = self.settings();
        let roots = self.0.roots.infos();
        let state = self.state();
        let mut own = state
            .workers
            .get(worker)
            .map(|known| known.settings.clone())
            .unwrap_or_default();
        own.paused |= state.paused;
        MasterReply {
            protocol: PROTOCOL,
            next_sync_ms: u64::try_from(settings.timing.heartbeat_ms).unwrap_or(10_000),
            orders,
            grants,
            roots: roots
                .into_iter()
                .map(|(id, path)| RootInfo { id, path })
                .collect(),
            settings: own,
        }
    }

    /// Enters a worker that is new. Its turn: one report of a worker at a time.
    async fn meet(
        &self,
        report: &WorkerReport,
    ) -> Result<std::sync::Arc<tokio::sync::Mutex<()>>, ApiError> {
        let now = clock::now();
        let is_new = {
            let state = self.state();
            match state.workers.get(&report.worker) {
                Some(known) if known.name == report.name => return Ok(known.turn.clone()),
                Some(_) => false,
                None => true,
            }
        };
        let kept = {
            let state = self.state();
            let known = state.workers.get(&report.worker);
            known.map(Worker::kept).unwrap_or_default()
        };
        self.put_worker(&report.worker, &report.name, &kept, now)
            .await?;
        if is_new {
            tracing::info!(worker = %report.worker, name = report.name, "worker registered");
        }
        let mut state = self.state();
        let known = state
            .workers
            .entry(report.worker.clone())
            .or_insert_with(|| {
                let (id, name) = (report.worker.clone(), report.name.clone());
                Worker::new(id, name, kept.settings, now)
            });
        known.name.clone_from(&report.name);
        self.0.live.touch_status();
        Ok(known.turn.clone())
    }

    pub(super) async fn put_worker(
        &self,
        id: &WorkerId,
        name: &str,
        kept: &Kept,
        now: UnixMs,
    ) -> Result<(), ApiError> {
        let settings = serde_json::to_string(kept).unwrap_or_default();
        self.write(Op::PutWorker(KnownWorker {
            id: id.clone(),
            name: name.to_owned(),
            last_seen: now,
            settings,
        }))
        .await
        .map(drop)
    }

    /// Whether a newer report of its session was here already, or its whole session is over.
    /// The last one may come once more, since its answer was lost: it changes nothing a
    /// second time, for the epochs that it speaks of are over, and is answered as if it were
    /// the first.
    fn is_late(&self, report: &WorkerReport) -> bool {
        let state = self.state();
        let Some(known) = state.workers.get(&report.worker) else {
            return false;
        };
        let of_session =
            |last: &WorkerReport| last.session == report.session && last.sequence > report.sequence;
        known.superseded.as_ref() == Some(&report.session)
            || known.report.as_ref().is_some_and(of_session)
    }

    /// A worker that was drained has ended. Started again, it works again.
    async fn heed_drain(&self, report: &WorkerReport) -> Result<(), ApiError> {
        let kept = {
            let state = self.state();
            let known = state.workers.get(&report.worker);
            known.and_then(|known| known.drain_heard_by(&report.session))
        };
        let Some(kept) = kept else { return Ok(()) };
        self.put_worker(&report.worker, &report.name, &kept, clock::now())
            .await?;
        if let Some(known) = self.state().workers.get_mut(&report.worker) {
            known.set(kept);
        }
        Ok(())
    }

    /// Tasks that the worker holds and does not speak of. In the life that they were
    /// granted in the grant was lost, and is said again; in another one the worker has
    /// forgotten them.
    async fn find_forgotten(&self, report: &WorkerReport) -> Result<(), ApiError> {
        let named: BTreeSet<_> = report.tasks.iter().map(|t| (t.task, t.epoch)).collect();
        let forgotten: Vec<(Job, Option<SessionId>)> = {
            let state = self.state();
            let held = state.held_by(&report.worker);
            let active = held.iter().filter_map(|id| state.active.get(id));
            active
                .filter(|active| {
                    !active.adopting
                        && active.job.state != JobState::Recovering
                        && active.session.as_ref() != Some(&report.session)
                        && !named.contains(&(active.job.task(), active.job.epoch))
                })
                .map(|active| (active.job.clone(), active.session.clone()))
                .collect()
        };
        for (job, session) in forgotten {
            let event = match (job.state, session) {
                // This master has restarted: whether the grant ever arrived is unknown,
                // and no attempt is counted for it.
                (JobState::Leased | JobState::Staged, None) => JobEvent::HandBack,
                _ => {
                    self.count_failure(&job);
                    lost("worker_restarted", "its worker was restarted and forgot it")
                }
            };
            self.apply_if_current(&job, vec![event]).await?;
        }
        Ok(())
    }

    /// Applies events, and takes it for well where the job has moved on meanwhile.
    async fn apply_if_current(
        &self,
        job: &Job,
        events: Vec<JobEvent>,
    ) -> Result<Option<Job>, ApiError> {
        match self.apply(job.id, Some(job.epoch), events).await {
            Ok(after) => Ok(Some(after)),
            Err(error) if error.status == 409 => {
                self.state().fenced += 1;
                tracing::warn!(job = %job.id, %error, "a late word is refused");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What is to be done with one task.
    async fn answer(
        &self,
        worker: &WorkerId,
        session: &SessionId,
        report: &TaskReport,
    ) -> Result<OrderKind, ApiError> {
        let job = {
            let lease_until = clock::steady().plus_ms(self.settings().timing.lease_ms);
            let mut state = self.state();
            let active = state.active.get_mut(&report.task.job);
            let active = active.filter(|active| {
                active.job.epoch == report.epoch && active.job.worker.as_ref() == Some(worker)
            });
            active.map(|active| {
                active.lease_until = lease_until;
                active.session = Some(session.clone());
                active.phase = Some(report.phase.clone());
                active.progress = report.progress.or(active.progress);
                active.job.clone()
            })
        };
        if job.is_some() {
            self.0.live.touch_job(report.task.job);
        } else {
            self.state().fenced += 1;
        }
        match judge(job.as_ref(), worker, report) {
            Judgement::Answer(order) => Ok(order),
            Judgement::Then(events, order) => {
                let Some(job) = job else {
                    return Ok(OrderKind::Revoke);
                };
                if let Phase::Ended { end } = &report.phase {
                    self.remember_end(&job, end).await?;
                }
                match self.apply_if_current(&job, events).await? {
                    Some(_) => Ok(order),
                    // Between the look and the write something else happened to it.
                    None if order == OrderKind::Forget => Ok(order),
                    None => Ok(OrderKind::Revoke),
                }
            }
            Judgement::AskMemory(key) => self.ask_memory(key).await,
            Judgement::Adopt => {
                if let Some(job) = job {
                    self.adopt_soon(job);
                }
                Ok(OrderKind::Forget)
            }
        }
    }

    /// What outlives the job's own state: a verdict for the content, a failure counted
    /// against the worker.
    async fn remember_end(&self, job: &Job, end: &TaskEnd) -> Result<(), ApiError> {
        match end {
            TaskEnd::LeftAlone {
                reason,
                key: Some(key),
            } => self
                .write(Op::PutVerdict(Verdict {
                    key: key.clone(),
                    reason: reason.clone(),
                    decided: clock::now(),
                }))
                .await
                .map(drop),
            TaskEnd::Failed { .. } => {
                self.count_failure(job);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn ask_memory(&self, key: String) -> Result<OrderKind, ApiError> {
        let found = self.0.store.read(move |store| store.verdict(&key)).await?;
        Ok(
            found.map_or(OrderKind::Proceed, |verdict| OrderKind::Decided {
                reason: verdict.reason,
            }),
        )
    }
}

fn check(report: &WorkerReport) -> Result<(), ApiError> {
    if report.protocol < OLDEST_PROTOCOL {
        let message = format!(
            "the worker speaks protocol {}, and this master {OLDEST_PROTOCOL} to {PROTOCOL}; \
             bring the worker up to version {}",
            report.protocol,
            env!("CARGO_PKG_VERSION")
        );
        return Err(ApiError::new(426, "protocol_too_old", message));
    }
    let lawful = |text: &str| !text.is_empty() && text.len() <= 200;
    if !lawful(&report.worker.0) || !lawful(&report.session.0) || !lawful(&report.name) {
        let message = "worker, session and name have 1 to 200 bytes";
        return Err(ApiError::new(400, "bad_request", message));
    }
    // What a machine could run at most; also bounds what one report can hold.
    if report.slots > 64 || report.tasks.len() > 256 {
        let message = "a worker has 64 slots and speaks of 256 tasks at the most";
        return Err(ApiError::new(400, "bad_request", message));
    }
    Ok(())
}
