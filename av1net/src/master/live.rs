//! The live feed: what changed is collected and told twice a second at the most, as
//! numbered deltas that a client can take up again after a lost connection.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::core::Core;
use crate::api::{JobView, LiveDelta, LiveMessage, LiveState};
use crate::store::{Filter, PageQuery, SortBy};
use crate::units::{JobId, WorkerId};

/// Deltas remembered: two minutes of them, for a phone that was in a tunnel.
const REMEMBERED: usize = 240;
/// Deltas that a slow client may lag behind before it has to begin anew.
const LAG: usize = 64;
/// Jobs in one delta. What is over it comes with the next one.
const MOST_JOBS: usize = 500;

/// What is to be told, and what was told last.
pub(super) struct Live {
    feed: String,
    sender: broadcast::Sender<Arc<str>>,
    inner: Mutex<Touched>,
}

#[derive(Default)]
struct Touched {
    jobs: BTreeSet<JobId>,
    workers: BTreeSet<WorkerId>,
    status: bool,
    seq: u64,
    sent: VecDeque<(u64, Arc<str>)>,
}

/// A client's place in the feed.
pub struct LiveSubscription {
    /// What it is sent at once: a snapshot, or the deltas that it missed.
    pub first: Vec<Arc<str>>,
    /// What comes. A client that lags too far behind subscribes anew.
    pub next: broadcast::Receiver<Arc<str>>,
}

impl Live {
    pub(super) fn new() -> Self {
        Self {
            feed: format!("{:x}", crate::clock::now().0),
            sender: broadcast::channel(LAG).0,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Touched> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch_job(&self, job: JobId) {
        self.inner().jobs.insert(job);
    }

    pub(super) fn touch_worker(&self, worker: &WorkerId) {
        let mut inner = self.inner();
        if !inner.workers.contains(worker) {
            inner.workers.insert(worker.clone());
        }
    }

    pub(super) fn touch_status(&self) {
        self.inner().status = true;
    }

    /// What is to be told next; `None` where nothing is.
    fn take(&self) -> Option<(Vec<JobId>, BTreeSet<WorkerId>, bool)> {
        let mut inner = self.inner();
        let later = match inner.jobs.iter().nth(MOST_JOBS).copied() {
            Some(first_later) => inner.jobs.split_off(&first_later),
            None => BTreeSet::new(),
        };
        let jobs = std::mem::replace(&mut inner.jobs, later);
        let workers = std::mem::take(&mut inner.workers);
        let status = std::mem::take(&mut inner.status) || !jobs.is_empty();
        let is_nothing = jobs.is_empty() && workers.is_empty() && !status;
        (!is_nothing).then(|| (jobs.into_iter().collect(), workers, status))
    }

    fn send(&self, mut delta: LiveDelta) {
        let mut inner = self.inner();
        inner.seq += 1;
        delta.seq = inner.seq;
        let Some(text) = to_text(&LiveMessage::Delta(Box::new(delta))) else {
            return;
        };
        let seq = inner.seq;
        inner.sent.push_back((seq, Arc::clone(&text)));
        if inner.sent.len() > REMEMBERED {
            inner.sent.pop_front();
        }
        // Nobody may be listening.
        let _ = self.sender.send(text);
    }

    #[cfg(test)]
    pub(super) fn say(&self, text: Arc<str>) {
        let _ = self.sender.send(text);
    }

    /// Deltas are missing from here on: nobody can take the feed up before it.
    fn forget(&self) {
        let mut inner = self.inner();
        inner.seq += 1;
        inner.sent.clear();
    }

    /// The deltas after `after`, where they are still remembered.
    fn resumed(&self, feed: &str, after: u64) -> Option<LiveSubscription> {
        let inner = self.inner();
        let known = feed == self.feed && after <= inner.seq;
        let oldest = inner.sent.front().map_or(inner.seq + 1, |(seq, _)| *seq);
        if !known || after + 1 < oldest {
            return None;
        }
        let missed = inner.sent.iter().filter(|(seq, _)| *seq > after);
        Some(LiveSubscription {
            first: missed.map(|(_, text)| Arc::clone(text)).collect(),
            next: self.sender.subscribe(),
        })
    }
}

fn to_text(message: &LiveMessage) -> Option<Arc<str>> {
    match serde_json::to_string(message) {
        Ok(text) => Some(text.into()),
        Err(error) => {
            tracing::error!(%error, "a live message has no JSON");
            None
        }
    }
}

impl Core {
    /// A place in the live feed; with a feed and a number, the one after it if it is
    /// still remembered.
    pub async fn live(&self, resume: Option<(String, u64)>) -> LiveSubscription {
        let resumed = resume.and_then(|(feed, after)| self.0.live.resumed(&feed, after));
        if let Some(resumed) = resumed {
            return resumed;
        }
        // Subscribed before the snapshot is taken: a delta may come that the snapshot
        // has in it already, which does no harm, since deltas hold whole rows.
        let (seq, next) = {
            let inner = self.0.live.inner();
            (inner.seq, self.0.live.sender.subscribe())
        };
        let state = LiveState {
            feed: self.0.live.feed.clone(),
            seq,
            status: self.status().await,
            running: self.running(),
            recent: self.recent().await,
            workers: self.workers().await,
        };
        let first = to_text(&LiveMessage::Snapshot(Box::new(state)));
        LiveSubscription {
            first: first.into_iter().collect(),
            next,
        }
    }

    async fn recent(&self) -> Vec<JobView> {
        use crate::job::JobState as S;
        let query = PageQuery {
            filter: Filter {
                states: vec![
                    S::Completed,
                    S::Skipped,
                    S::Failed,
                    S::Cancelled,
                    S::Quarantined,
                ],
                ..Filter::default()
            },
            sort: SortBy::Changed,
            descending: true,
            limit: 50,
            ..PageQuery::default()
        };
        self.jobs(query)
            .await
            .map(|page| page.jobs)
            .unwrap_or_default()
    }

    /// Tells what changed since the last time.
    pub(super) async fn publish(&self) {
        let Some((jobs, workers, status)) = self.0.live.take() else {
            return;
        };
        let mut delta = LiveDelta::default();
        if status {
            if let Err(error) = self.refresh_counters().await {
                tracing::warn!(%error, "the counters are not read");
            }
            delta.status = Some(self.status().await);
        }
        if self.0.live.sender.receiver_count() == 0 && jobs.len() > LAG {
            // Nobody looks: who comes gets a snapshot.
            self.0.live.forget();
            return;
        }
        delta.jobs = self.views_of(jobs).await;
        delta.workers = self.views_of_workers(&workers);
        self.0.live.send(delta);
    }
}
