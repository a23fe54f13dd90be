//! What a worker is given to do.

use std::collections::BTreeSet;

use super::core::{Core, unexpected};
use super::error::ApiError;
use crate::clock;
use crate::job::{Job, JobState};
use crate::proto::{Grant, Phase, WorkerMode};
use crate::store::{Done, Op};
use crate::units::{RootId, SessionId, WorkerId};

/// What a worker could take.
struct Wanted {
    session: SessionId,
    free: usize,
    /// All that are mounted on the master.
    roots: usize,
    mounted: Vec<RootId>,
    shipped: Vec<RootId>,
    grants: Vec<Grant>,
    again: Vec<Grant>,
}

impl Core {
    /// New work for a worker's free slots, and work granted before that it does not yet
    /// know of.
    pub(super) async fn grants(&self, worker: &WorkerId) -> Result<Vec<Grant>, ApiError> {
        let Some(mut wanted) = self.wanted(worker) else {
            return Ok(Vec::new());
        };
        let now = clock::now();
        for (roots, ship) in [
            (std::mem::take(&mut wanted.mounted), false),
            (std::mem::take(&mut wanted.shipped), true),
        ] {
            let limit = wanted.free.saturating_sub(wanted.grants.len());
            if limit == 0 || roots.is_empty() || !self.0.queue.may_hold() {
                continue;
            }
            let seen = self.0.queue.generation();
            let all_roots = roots.len() == wanted.roots;
            let op = Op::Claim {
                worker: worker.clone(),
                roots,
                limit,
                now,
            };
            let jobs = match self.write(op).await? {
                Done::Jobs(jobs) => jobs,
                other => return Err(unexpected(&other)),
            };
            if jobs.is_empty() && all_roots {
                self.0.queue.found_empty(seen);
            }
            self.took(&jobs);
            let mut state = self.state();
            for job in &jobs {
                if let Some(active) = state.active.get_mut(&job.id) {
                    active.session = Some(wanted.session.clone());
                    active.ship = ship;
                }
            }
            drop(state);
            wanted
                .grants
                .extend(jobs.iter().map(|job| self.grant(job, ship)));
        }
        wanted.grants.extend(wanted.again);
        Ok(wanted.grants)
    }

    fn grant(&self, job: &Job, ship: bool) -> Grant {
        Grant {
            task: job.task(),
            epoch: job.epoch,
            root: job.root.clone(),
            path: job.path.clone(),
            bytes: job.file.bytes,
            ship,
            work: self.settings().work.clone(),
        }
    }

    fn wanted(&self, worker: &WorkerId) -> Option<Wanted> {
        let roots = self.0.roots.mounted();
        let count = roots.len();
        let state = self.state();
        let known = state.workers.get(worker)?;
        let report = known.report.as_ref()?;
        let named: BTreeSet<_> = report.tasks.iter().map(|t| (t.task, t.epoch)).collect();
        let held = state.held_by(worker);
        let unnamed: Vec<_> = held
            .iter()
            .filter_map(|id| state.active.get(id))
            .filter(|active| {
                active.job.state == JobState::Leased
                    && !active.adopting
                    && active.session.as_ref() == Some(&report.session)
                    && !named.contains(&(active.job.task(), active.job.epoch))
            })
            .map(|active| (active.job.clone(), active.ship))
            .collect();
        let running = report
            .tasks
            .iter()
            .filter(|task| !matches!(task.phase, Phase::Ended { .. }))
            .count();
        let takes_work = report.mode == WorkerMode::Running
            && report.encoder.is_some()
            && !known.settings.paused
            && !known.settings.draining
            && !state.paused;
        let slots = known.settings.slots.unwrap_or(report.slots) as usize;
        let free = if takes_work {
            slots.saturating_sub(running + unnamed.len())
        } else {
            0
        };
        let is_mounted = |root: &RootId| report.mounted.contains(root);
        let (mounted, shipped): (Vec<_>, Vec<_>) = roots.into_iter().partition(is_mounted);
        let shipped = if report.ships { shipped } else { Vec::new() };
        let session = report.session.clone();
        drop(state);
        let again = unnamed.iter().map(|(job, ship)| self.grant(job, *ship));
        Some(Wanted {
            again: again.collect(),
            session,
            free,
            roots: count,
            mounted,
            shipped,
            grants: Vec::new(),
        })
    }
}
