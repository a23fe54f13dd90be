//! What people do: with jobs, with workers, with everything.

use super::core::{Core, PAUSED};
use super::error::ApiError;
use crate::api::{ActionResult, JobAction, JobsAction, RefusedJob, ScanRequest, WorkerView};
use crate::clock;
use crate::config::Hours;
use crate::job::{Job, JobEvent};
use crate::proto::WorkerSettings;
use crate::store::{Cursor, Done, Op, PageQuery, SortBy};
use crate::units::{JobId, WorkerId};

/// Jobs that one call takes at the most.
const MOST: usize = 10_000;
/// Refusals that are told one by one.
const MOST_REFUSED: usize = 100;
/// Jobs of one transaction: other callers get their turn between two.
const PIECE: usize = 500;

impl Core {
    /// Does something with many jobs.
    ///
    /// # Errors
    ///
    /// 400 where the action makes no sense, 503 where the store fails: what was done
    /// until then stays done.
    pub async fn act(&self, action: JobsAction) -> Result<ActionResult, ApiError> {
        let event = event_of(&action)?;
        let mut result = ActionResult::default();
        let ids = match &action.filter {
            Some(_) if !action.ids.is_empty() => {
                let message = "name ids or a filter, not both";
                return Err(ApiError::new(400, "bad_request", message));
            }
            Some(filter) => {
                let (ids, more) = self.matching(filter.clone()).await?;
                result.more = more;
                ids
            }
            None if action.ids.len() > MOST => {
                let message = format!("one call takes {MOST} jobs at the most");
                return Err(ApiError::new(400, "bad_request", message));
            }
            None => action.ids.clone(),
        };
        for piece in ids.chunks(PIECE) {
            self.act_on(piece, &event, &mut result).await?;
        }
        Ok(result)
    }

    async fn act_on(
        &self,
        ids: &[JobId],
        event: &JobEvent,
        result: &mut ActionResult,
    ) -> Result<(), ApiError> {
        let now = clock::now();
        let ops = ids
            .iter()
            .map(|id| Op::Apply {
                job: *id,
                epoch: None,
                events: vec![event.clone()],
                now,
            })
            .collect();
        let results = self.0.store.write_many(ops).await?;
        for (id, outcome) in ids.iter().zip(results) {
            match outcome {
                Ok(Done::Applied(both)) => {
                    let (before, after) = *both;
                    self.changed(&before, &after);
                    if before.state.is_active() && !after.state.is_active() {
                        self.poke_worker(&before);
                    }
                    result.done += 1;
                }
                Ok(_) => {}
                Err(refused) if result.refused.len() < MOST_REFUSED => {
                    result.refused.push(RefusedJob {
                        id: *id,
                        message: refused.to_string(),
                    });
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// The jobs of a filter, and whether there are more than one call takes.
    async fn matching(&self, filter: crate::store::Filter) -> Result<(Vec<JobId>, bool), ApiError> {
        let mut ids = Vec::new();
        let mut after: Option<Cursor> = None;
        loop {
            let query = PageQuery {
                filter: filter.clone(),
                sort: SortBy::Path,
                descending: false,
                after,
                limit: 500,
            };
            let page = self.0.store.read(move |store| store.page(&query)).await?;
            ids.extend(page.jobs.iter().map(|job: &Job| job.id));
            after = page.next;
            if after.is_none() || ids.len() >= MOST {
                let more = after.is_some() || ids.len() > MOST;
                ids.truncate(MOST);
                return Ok((ids, more));
            }
        }
    }

    /// Sets something for one worker; it is told at once if it is connected.
    ///
    /// # Errors
    ///
    /// 404, 400 for values out of range, 503.
    pub async fn set_worker(
        &self,
        id: &WorkerId,
        settings: WorkerSettings,
    ) -> Result<WorkerView, ApiError> {
        let in_range = settings.slots.is_none_or(|slots| (1..=64).contains(&slots))
            && settings
                .threads
                .is_none_or(|threads| (1..=256).contains(&threads))
            && settings.niceness.is_none_or(|niceness| niceness <= 19);
        if !in_range {
            let message = "slots are 1 to 64, threads 1 to 256, niceness 0 to 19";
            return Err(ApiError::new(400, "out_of_range", message));
        }
        if let Some(Err(why)) = settings.schedule.as_deref().map(Hours::parse) {
            return Err(ApiError::new(
                400,
                "out_of_range",
                format!("schedule: {why}"),
            ));
        }
        let no_such = || ApiError::not_found(format_args!("worker {id}"));
        let turn = self.state().workers.get(id).map(|known| known.turn.clone());
        // Its own reports change settings, too.
        let turn = turn.ok_or_else(no_such)?;
        let turn = turn.lock().await;
        let (name, last_seen, kept) = {
            let offline_ms = self.settings().timing.offline_ms;
            let state = self.state();
            let known = state.workers.get(id).ok_or_else(no_such)?;
            let is_online = known.is_online(clock::steady(), offline_ms);
            let kept = known.with_settings(settings, is_online);
            (known.name.clone(), known.last_seen, kept)
        };
        self.put_worker(id, &name, &kept, last_seen).await?;
        if let Some(known) = self.state().workers.get_mut(id) {
            known.set(kept);
            known.poke();
        }
        drop(turn);
        self.0.live.touch_worker(id);
        self.0.live.touch_status();
        let views = self.views_of_workers(&[id.clone()].into());
        let view = views.into_iter().next();
        view.ok_or_else(|| ApiError::not_found(format_args!("worker {id}")))
    }

    /// Asks for a scan; it begins within moments.
    ///
    /// # Errors
    ///
    /// 404 for a media directory that is not known, 409 for one that is not there.
    pub async fn request_scan(&self, request: ScanRequest) -> Result<(), ApiError> {
        if let Some(id) = &request.root
            && self.0.roots.path_of(id).is_none()
        {
            return Err(match self.0.roots.path_text(id) {
                Some(path) => {
                    let message = format!("{path} is not mounted; mount it and ask again");
                    ApiError::new(409, "root_not_mounted", message)
                }
                None => ApiError::not_found(format_args!("media directory {id}")),
            });
        }
        self.0
            .scans
            .send(request)
            .await
            .map_err(|_| ApiError::new(503, "stopping", "the master is being stopped"))
    }

    /// All workers take no work, or do again; what runs goes on.
    ///
    /// # Errors
    ///
    /// 503.
    pub async fn set_paused(&self, paused: bool) -> Result<(), ApiError> {
        self.write(Op::PutSetting {
            name: PAUSED.to_owned(),
            value: paused.then(|| "true".to_owned()),
        })
        .await?;
        self.state().paused = paused;
        self.0.live.touch_status();
        self.poke_workers(usize::MAX);
        Ok(())
    }
}

fn event_of(action: &JobsAction) -> Result<JobEvent, ApiError> {
    Ok(match action.action {
        JobAction::Cancel => JobEvent::Cancel,
        JobAction::Retry => JobEvent::Retry,
        JobAction::Skip => JobEvent::Skip,
        JobAction::Prioritise => {
            let priority = action.priority.filter(|p| (-100..=100).contains(p));
            let priority = priority.ok_or_else(|| {
                let message = "name a priority of -100 to 100";
                ApiError::new(400, "out_of_range", message)
            })?;
            JobEvent::Prioritise { priority }
        }
    })
}
