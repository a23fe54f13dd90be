//! The live feed: what changed is collected and told twice a second at the most, as
//! numbered deltas that a client can take up again after a lost connection.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use super::core::Core;
use crate::api::{JobView, LiveDelta, LiveMessage, LiveState};
use crate::store::{Filter, PageQuery, SortBy};
use crate::units::{JobId, WorkerId};

/// Deltas remembered: two minutes of them, for a phone that was in a tunnel.
const REMEMBERED: usize = 240;
/// Bytes of them: with ten thousand workers two minutes would be half a gigabyte.
const REMEMBERED_BYTES: usize = 4 << 20;
/// Deltas that a slow client may lag behind before it has to begin anew.
const LAG: usize = 64;
/// Jobs in one delta, and workers. What is over it comes with the next one.
const MOST: usize = 500;

/// What is to be told, and what was told last.
pub(super) struct Live {
    feed: String,
    sender: broadcast::Sender<Arc<str>>,
    inner: Mutex<Touched>,
}

#[derive(Default)]
struct Touched {
    jobs: Turns<JobId>,
    workers: Turns<WorkerId>,
    status: bool,
    seq: u64,
    sent: VecDeque<(u64, Arc<str>)>,
    /// Of what was sent and is remembered.
    sent_bytes: usize,
}

impl Touched {
    fn remember(&mut self, seq: u64, text: &Arc<str>) {
        self.sent_bytes += text.len();
        self.sent.push_back((seq, Arc::clone(text)));
        while self.sent.len() > REMEMBERED || self.sent_bytes > REMEMBERED_BYTES {
            let Some((_, oldest)) = self.sent.pop_front() else {
                return;
            };
            self.sent_bytes -= oldest.len();
        }
    }
}

/// What changed and is to be told. Where more changes than goes into the deltas, each has
/// its turn all the same.
struct Turns<T> {
    waiting: BTreeSet<T>,
    /// Who had the last turn.
    last: Option<T>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeSet::new(),
            last: None,
        }
    }
}

impl<T: Ord + Clone> Turns<T> {
    /// Takes out as many as go into a delta.
    fn take(&mut self) -> BTreeSet<T> {
        if self.waiting.len() <= MOST {
            return std::mem::take(&mut self.waiting);
        }
        let last = self.last.as_ref();
        let after = (last.map_or(Unbounded, Excluded), Unbounded);
        let before = last.map(|last| self.waiting.range(..=last));
        let in_turn = self
            .waiting
            .range(after)
            .chain(before.into_iter().flatten());
        let taken: Vec<T> = in_turn.take(MOST).cloned().collect();
        self.last = taken.last().cloned();
        let taken: BTreeSet<T> = taken.into_iter().collect();
        self.waiting.retain(|one| !taken.contains(one));
        taken
    }
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
        self.inner().jobs.waiting.insert(job);
    }

    pub(super) fn touch_worker(&self, worker: &WorkerId) {
        let mut inner = self.inner();
        if !inner.workers.waiting.contains(worker) {
            inner.workers.waiting.insert(worker.clone());
        }
    }

    pub(super) fn touch_status(&self) {
        self.inner().status = true;
    }

    /// What is to be told next; `None` where nothing is.
    fn take(&self) -> Option<(Vec<JobId>, BTreeSet<WorkerId>, bool)> {
        let mut inner = self.inner();
        let jobs = inner.jobs.take();
        let workers = inner.workers.take();
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
        inner.remember(seq, &text);
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
        inner.sent_bytes = 0;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_where_more_changes_than_is_told() {
        let mut turns = Turns::default();
        let busy = 3 * MOST + 1;
        let mut told = BTreeSet::new();
        for _ in 0..4 {
            // All of them, again and again.
            turns.waiting.extend(0..busy);
            let taken = turns.take();
            assert_eq!(taken.len(), MOST);
            told.extend(taken);
        }
        assert_eq!(told.len(), busy);
        turns.waiting = [1, 2].into();
        assert_eq!(turns.take(), [1, 2].into());
        assert_eq!(turns.take(), [].into());
    }

    #[test]
    fn what_is_remembered_is_bounded_in_number_and_in_bytes() {
        let live = Live::new();
        let send = |message: &str| {
            let mut inner = live.inner();
            inner.seq += 1;
            let (seq, text) = (inner.seq, message.into());
            inner.remember(seq, &text);
        };
        for _ in 0..1000 {
            send("small");
        }
        assert_eq!(live.inner().sent.len(), REMEMBERED);
        let resumes = |after| live.resumed(&live.feed, after).map(|s| s.first.len());
        assert_eq!(resumes(900), Some(100));
        assert_eq!(resumes(1000 - REMEMBERED as u64), Some(REMEMBERED));
        assert_eq!(resumes(1000 - REMEMBERED as u64 - 1), None, "a snapshot");

        let large = "x".repeat(REMEMBERED_BYTES / 3);
        for _ in 0..10 {
            send(&large);
        }
        assert_eq!(resumes(1007), Some(3));
        assert_eq!(resumes(1006), None, "a snapshot");
        let held: usize = live.inner().sent.iter().map(|(_, text)| text.len()).sum();
        assert_eq!(held, live.inner().sent_bytes);
        assert!(held <= REMEMBERED_BYTES);
    }
}
