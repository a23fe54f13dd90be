//! The runs that are at work, each a task of its own.

use std::collections::HashMap;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};

use crate::worker::process::Told;
use crate::worker::runner::{self, Place, Run, RunEvent};
use crate::worker::tasks::{Key, RunEnd};

/// More would let a busy run get ahead of what is made of its events.
const EVENTS: usize = 64;

/// The runs.
pub(super) struct Crew {
    runs: JoinSet<()>,
    keys: HashMap<Id, Key>,
    told: HashMap<Key, mpsc::UnboundedSender<Told>>,
    tell: mpsc::Sender<(Key, RunEvent)>,
    events: mpsc::Receiver<(Key, RunEvent)>,
}

impl Crew {
    pub(super) fn new() -> Self {
        let (tell, events) = mpsc::channel(EVENTS);
        Self {
            runs: JoinSet::new(),
            keys: HashMap::new(),
            told: HashMap::new(),
            tell,
            events,
        }
    }

    /// Where a run tells its events.
    pub(super) fn ear(&self) -> mpsc::Sender<(Key, RunEvent)> {
        self.tell.clone()
    }

    /// How many are at work.
    pub(super) fn len(&self) -> usize {
        self.runs.len()
    }

    /// Begins a run; without a place it is over at once.
    pub(super) fn begin(&mut self, run: Run, place: Option<Place>) {
        let key = run.key();
        let (tell, told) = mpsc::unbounded_channel();
        self.told.insert(key, tell);
        let running = self.runs.spawn(async move {
            match place {
                Some(place) => run.run(place, told).await,
                None => run.tell(RunEvent::Ended(RunEnd::Stopped)).await,
            }
        });
        self.keys.insert(running.id(), key);
    }

    /// Tells a run something. One that has ended says so by itself.
    pub(super) fn tell(&self, key: Key, word: Told) {
        if let Some(run) = self.told.get(&key) {
            let _ = run.send(word);
        }
    }

    /// What a run says next.
    ///
    /// Dropped before it is done, nothing is lost.
    pub(super) async fn next(&mut self) -> (Key, RunEvent) {
        loop {
            tokio::select! {
                Some((key, event)) = self.events.recv() => {
                    if matches!(event, RunEvent::Ended(_)) {
                        self.told.remove(&key);
                    }
                    return (key, event);
                }
                Some(joined) = self.runs.join_next_with_id() => {
                    if let Some(ended) = self.joined(joined) {
                        return ended;
                    }
                }
            }
        }
    }

    /// Ends what is still at work, processes included.
    pub(super) async fn end(&mut self) {
        self.runs.shutdown().await;
    }

    /// A run's task has ended. It has said how, unless it has a bug.
    fn joined(&mut self, joined: Result<(Id, ()), JoinError>) -> Option<(Key, RunEvent)> {
        let (id, error) = match joined {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let (key, error) = (self.keys.remove(&id)?, error?);
        tracing::error!(task = %key, %error, "a run ended by a fault of its own");
        self.told.remove(&key);
        let failure = runner::crashed("worker", "the worker made a mistake; its log has it");
        Some((key, RunEvent::Ended(runner::failed(failure))))
    }
}
