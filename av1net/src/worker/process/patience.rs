//! How long a process is waited for, and why it is killed: pure.

use std::time::Duration;

use tokio::time::Instant;

use crate::proto::TaskProgress;
use crate::worker::orders::{ChildEvent, ChildPhase};
use crate::worker::tasks::Answer;

/// How long is waited for a child process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Without progress or a new phase, where it does not wait for an answer.
    pub stall: Duration,
    /// From the word to stop on. The contract's ten seconds hold this, and the clearing
    /// away after it.
    pub stop: Duration,
    /// From its last event on.
    pub farewell: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stall: Duration::from_secs(600),
            stop: Duration::from_secs(8),
            farewell: Duration::from_secs(10),
        }
    }
}

/// Output that a dead process left in the pipe is there at once. Longer waits are for a
/// process of its own making that holds the pipe open.
pub(super) const DRAIN: Duration = Duration::from_secs(1);

/// Why a process is not waited for any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    Stalled,
    ToldToStop,
    Lingers,
    Gibberish(String),
    /// Dead already, but not all that it started.
    Orphans,
}

/// When patience ends.
#[derive(Debug)]
pub(super) struct Watch {
    patience: Patience,
    /// Since when nothing moved; `None` while it may take its time.
    still_since: Option<Instant>,
    phase: Option<ChildPhase>,
    numbers: Option<(u64, u64, u64)>,
    stopped: Option<Instant>,
    ended: Option<Instant>,
    died: Option<Instant>,
    is_killed: bool,
}

impl Watch {
    pub(super) fn new(patience: Patience, now: Instant) -> Self {
        Self {
            patience,
            still_since: Some(now),
            phase: None,
            numbers: None,
            stopped: None,
            ended: None,
            died: None,
            is_killed: false,
        }
    }

    /// It said something.
    pub(super) fn saw(&mut self, event: &ChildEvent, now: Instant) {
        let has_moved = match event {
            ChildEvent::Progress { progress } => {
                let numbers = numbers(progress);
                self.numbers.replace(numbers) != Some(numbers)
            }
            ChildEvent::Phase { phase } => self.phase.replace(*phase) != Some(*phase),
            // It waits for an answer, for as long as the master is away.
            ChildEvent::Asking { .. } | ChildEvent::Staged { .. } => {
                self.still_since = None;
                return;
            }
            ChildEvent::Ended { .. } => {
                self.still_since = None;
                self.ended = Some(now);
                return;
            }
            ChildEvent::Warning { .. } => false,
        };
        if self.phase == Some(ChildPhase::Committing) {
            // A source may have to be copied to its backup, hours of a slow disk; and to
            // kill it now is the one thing that would have to be mended.
            self.still_since = None;
        } else if has_moved && self.stopped.is_none() {
            self.still_since = Some(now);
        }
    }

    /// It was given what it waited for.
    pub(super) fn answered(&mut self, answer: &Answer, now: Instant) {
        self.still_since = (*answer != Answer::Commit).then_some(now);
    }

    /// It was told to stop.
    pub(super) fn stopped(&mut self, now: Instant) {
        self.stopped = Some(now);
        self.still_since = None;
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// It is dead.
    pub(super) fn died(&mut self, now: Instant) {
        self.died = Some(now);
    }

    /// It was killed: there is nothing to wait for but its death.
    pub(super) fn killed(&mut self) {
        self.is_killed = true;
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// The next moment at which patience ends, and what with.
    pub(super) fn deadline(&self) -> Option<(Instant, Kill)> {
        if let Some(died) = self.died {
            return Some((died + DRAIN, Kill::Orphans));
        }
        if self.is_killed {
            return None;
        }
        let Patience {
            stall,
            stop,
            farewell,
        } = self.patience;
        let ends = [
            self.still_since.map(|at| (at + stall, Kill::Stalled)),
            self.stopped.map(|at| (at + stop, Kill::ToldToStop)),
            self.ended.map(|at| (at + farewell, Kill::Lingers)),
        ];
        ends.into_iter().flatten().min_by_key(|(at, _)| *at)
    }
}

fn numbers(progress: &TaskProgress) -> (u64, u64, u64) {
    (
        progress.frames_done,
        progress.frames_in,
        progress.bytes_written,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, start: Instant) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn a_replacement_may_take_its_time_and_a_stop_has_its_own() {
        let start = Instant::now();
        let mut watch = Watch::new(Patience::default(), start);
        assert_eq!(watch.deadline(), Some((after(600, start), Kill::Stalled)));
        let phase = |phase| ChildEvent::Phase { phase };
        watch.saw(&phase(ChildPhase::Encoding), after(5, start));
        assert_eq!(watch.deadline(), Some((after(605, start), Kill::Stalled)));
        watch.saw(&phase(ChildPhase::Encoding), after(6, start));
        assert_eq!(watch.deadline(), Some((after(605, start), Kill::Stalled)));
        watch.answered(&Answer::Commit, after(7, start));
        assert_eq!(watch.deadline(), None);
        watch.saw(&phase(ChildPhase::Committing), after(8, start));
        assert_eq!(watch.deadline(), None);
        watch.stopped(after(9, start));
        assert_eq!(watch.deadline(), Some((after(17, start), Kill::ToldToStop)));
        watch.killed();
        assert_eq!(watch.deadline(), None);
        watch.died(after(18, start));
        assert_eq!(watch.deadline(), Some((after(19, start), Kill::Orphans)));
    }
}
