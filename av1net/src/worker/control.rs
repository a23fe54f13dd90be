//! What is asked of a running worker from outside.

use std::sync::Arc;

use tokio::sync::watch;

use super::Tuning;

/// How far a worker is to go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wish {
    #[default]
    Run,
    /// Finish what runs, take no more, and end.
    Drain,
    /// Stop what runs, hand it back, and end.
    Abort,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) wish: Wish,
    pub(crate) tuning: Option<Tuning>,
}

/// Steers a running worker. Clones steer the same one.
#[derive(Clone, Debug)]
pub struct WorkerControl(Arc<watch::Sender<Wanted>>);

impl Default for WorkerControl {
    fn default() -> Self {
        Self::new()
    }
}

impl WorkerControl {
    /// For one worker.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Wanted::default())))
    }

    /// Finish what runs, take no more, and end.
    pub fn drain(&self) {
        self.wish(Wish::Drain);
    }

    /// Stop what runs, hand it back, and end within ten seconds.
    pub fn abort(&self) {
        self.wish(Wish::Abort);
    }

    /// Go on with other settings, as after a change of the configuration.
    pub fn tune(&self, tuning: Tuning) {
        self.0.send_modify(|wanted| wanted.tuning = Some(tuning));
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Wanted> {
        self.0.subscribe()
    }

    /// Never back: who was told to abort does not drain.
    fn wish(&self, wish: Wish) {
        self.0
            .send_modify(|wanted| wanted.wish = wanted.wish.max(wish));
    }
}
