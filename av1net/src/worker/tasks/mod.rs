//! What a worker runs, as a pure state machine: `(state, event) -> effects`.
//!
//! ```text
//! grant -> waiting -> running -> over -> (forget)
//!             |          |        ^
//!             |          v        | handed back, or it had ended after all
//!             |       stopping ---+
//!             v          v
//!          (revoke)   (revoke)
//! ```
//!
//! Messages of the master may come twice, late, in another order, or never: what an
//! order says is done once, where the task's state takes it, and otherwise not at all.
//! Something lost is said again by the side that misses it: a grant by the master, an
//! end by the worker, until it is told to forget it.

#[cfg(test)]
mod tests;
mod words;

use std::collections::{BTreeMap, VecDeque};

pub(crate) use self::words::{Answer, Effect, Event, Key, RunEnd};
use crate::proto::{Grant, Order, OrderKind, Phase, TaskEnd, TaskProgress, TaskReport};
use crate::units::TaskId;

/// Epochs of tasks that are done with and remembered, so that a grant that comes late
/// is not taken for a new one. A reply names a handful of tasks, so this covers replies
/// that are hundreds late.
const REMEMBERED: usize = 256;

#[derive(Debug)]
struct Task {
    grant: Box<Grant>,
    state: State,
    phase: Phase,
    progress: Option<TaskProgress>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until another run has left its slot.
    Waiting,
    Running,
    Stopping(Then),
    /// The phase says how it ended.
    Over,
}

/// What follows when a run that was told to stop is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The master does not want to hear of it any more.
    Forget,
    /// The master is told that it may give it to another worker.
    HandBack,
}

/// All tasks of a worker.
#[derive(Debug)]
pub(crate) struct Tasks {
    tasks: BTreeMap<Key, Task>,
    slots: usize,
    new_work: bool,
    done_with: VecDeque<Key>,
}

impl Tasks {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            tasks: BTreeMap::new(),
            slots,
            new_work: true,
            done_with: VecDeque::new(),
        }
    }

    /// Everything that runs, or has ended and is not to be forgotten yet.
    pub(crate) fn reports(&self) -> Vec<TaskReport> {
        let report = |(key, task): (&Key, &Task)| TaskReport {
            task: key.task,
            epoch: key.epoch,
            phase: task.phase.clone(),
            progress: task.progress,
        };
        self.tasks.iter().map(report).collect()
    }

    /// Whether there is nothing to report.
    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Whether no process is, or will be, at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.values().all(|task| task.state == State::Over)
    }

    /// Tasks whose end the master has not taken note of.
    pub(crate) fn untold(&self) -> impl Iterator<Item = Key> {
        let over = self.tasks.iter().filter(|(_, t)| t.state == State::Over);
        over.map(|(key, _)| *key)
    }

    /// What an event makes of the tasks, and what is to be done about it.
    pub(crate) fn apply(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Granted(grant) => self.granted(grant, &mut effects),
            Event::Ordered(order) => self.ordered(order, &mut effects),
            Event::Takes { slots, new_work } => {
                self.slots = slots;
                self.new_work = new_work;
                if !new_work {
                    self.give_up_waiting(&mut effects);
                }
            }
            Event::Moved(key, phase) => self.moved(key, phase, &mut effects),
            Event::Progressed(key, progress) => self.progressed(key, progress, &mut effects),
            Event::Ended(key, end) => self.ended(key, end, &mut effects),
            Event::Abort => self.abort(&mut effects),
        }
        self.fill_slots(&mut effects);
        effects
    }

    fn granted(&mut self, grant: Box<Grant>, effects: &mut Vec<Effect>) {
        let key = Key::from(&*grant);
        let of_task = |known: &&Key| known.task == key.task;
        let newest = self.tasks.keys().filter(of_task).max().copied();
        if newest.is_some_and(|newest| newest.epoch >= key.epoch) {
            return;
        }
        for older in self.keys_of(key.task) {
            self.revoke(older, effects);
        }
        // A repetition that came late, or a master whose store was put back to an older
        // state: the first one drops the answer, the second one grants it anew.
        let is_done_with = self.done_with.iter().filter(of_task).any(|k| *k >= key);
        let state = if self.new_work && !is_done_with && self.has_room() {
            State::Waiting
        } else {
            State::Over
        };
        let phase = match state {
            State::Over => Phase::Ended {
                end: TaskEnd::HandedBack,
            },
            _ => Phase::Starting,
        };
        effects.push(Effect::Speak);
        let task = Task {
            grant,
            state,
            phase,
            progress: None,
        };
        self.tasks.insert(key, task);
    }

    fn ordered(&mut self, order: Order, effects: &mut Vec<Effect>) {
        let key = Key {
            task: order.task,
            epoch: order.epoch,
        };
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        let asks = task.state == State::Running && matches!(task.phase, Phase::Asking { .. });
        let staged = task.state == State::Running && matches!(task.phase, Phase::Staged { .. });
        let (answer, phase) = match order.kind {
            OrderKind::Proceed if asks => (Answer::Proceed, Phase::Starting),
            OrderKind::Decided { reason } if asks => (Answer::Decided(reason), Phase::Starting),
            OrderKind::Commit if staged => (Answer::Commit, Phase::Committing),
            OrderKind::Revoke => return self.revoke(key, effects),
            OrderKind::Forget if task.state == State::Over => return self.done_with(key),
            OrderKind::Continue
            | OrderKind::Proceed
            | OrderKind::Decided { .. }
            | OrderKind::Commit
            | OrderKind::Forget => return,
        };
        // Not the phase any more that asks for this answer: a second one changes nothing.
        task.phase = phase;
        effects.push(Effect::Tell(key, answer));
    }

    fn revoke(&mut self, key: Key, effects: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        match task.state {
            State::Waiting | State::Over => self.done_with(key),
            State::Running => {
                task.state = State::Stopping(Then::Forget);
                effects.push(Effect::Stop(key));
            }
            State::Stopping(_) => task.state = State::Stopping(Then::Forget),
        }
    }

    fn moved(&mut self, key: Key, phase: Phase, effects: &mut Vec<Effect>) {
        let Some(task) = self.running(key) else {
            return;
        };
        let counts_bytes = matches!(
            (&task.phase, &phase),
            (Phase::Delivering { .. }, Phase::Delivering { .. })
        );
        if task.phase != phase {
            effects.push(if counts_bytes {
                Effect::Numbers
            } else {
                Effect::Speak
            });
        }
        task.phase = phase;
    }

    fn progressed(&mut self, key: Key, progress: TaskProgress, effects: &mut Vec<Effect>) {
        let Some(task) = self.running(key) else {
            return;
        };
        if task.progress != Some(progress) {
            task.progress = Some(progress);
            effects.push(Effect::Numbers);
        }
    }

    fn ended(&mut self, key: Key, end: RunEnd, effects: &mut Vec<Effect>) {
        let Some(task) = self.tasks.get_mut(&key) else {
            return;
        };
        let end = match (task.state, end) {
            (State::Waiting | State::Over, _) => return,
            // Nobody told it to: whatever it was, it is to be done again.
            (State::Running, RunEnd::Stopped) => TaskEnd::HandedBack,
            (State::Running, RunEnd::Ended(end)) => end,
            // A replacement that came to its end all the same is a fact that the master
            // has to hear of, although it took the lease back.
            (State::Stopping(_), RunEnd::Ended(end @ TaskEnd::Replaced { .. })) => end,
            (State::Stopping(Then::Forget), _) => {
                effects.extend([Effect::Dropped(task.grant.clone()), Effect::Speak]);
                return self.done_with(key);
            }
            (State::Stopping(Then::HandBack), RunEnd::Ended(end)) => end,
            (State::Stopping(Then::HandBack), RunEnd::Stopped) => TaskEnd::HandedBack,
        };
        effects.push(Effect::Over(task.grant.clone(), Box::new(end.clone())));
        effects.push(Effect::Speak);
        task.state = State::Over;
        task.phase = Phase::Ended { end };
    }

    fn abort(&mut self, effects: &mut Vec<Effect>) {
        self.new_work = false;
        self.give_up_waiting(effects);
        for (key, task) in &mut self.tasks {
            if task.state == State::Running {
                task.state = State::Stopping(Then::HandBack);
                effects.push(Effect::Stop(*key));
            }
        }
    }

    fn give_up_waiting(&mut self, effects: &mut Vec<Effect>) {
        for task in self.tasks.values_mut() {
            if task.state == State::Waiting {
                task.state = State::Over;
                task.phase = Phase::Ended {
                    end: TaskEnd::HandedBack,
                };
                effects.push(Effect::Speak);
            }
        }
    }

    /// Begins what waits and has a slot now, oldest task first.
    fn fill_slots(&mut self, effects: &mut Vec<Effect>) {
        let waiting: Vec<Key> = self.keys_in(|state| state == State::Waiting);
        for key in waiting {
            // An older grant of the same task that is still being stopped has the
            // same files.
            let is_blocked = self.keys_of(key.task).iter().any(|k| self.has_process(k));
            let busy = self.tasks.keys().filter(|k| self.has_process(k)).count();
            if is_blocked || busy >= self.slots {
                continue;
            }
            if let Some(task) = self.tasks.get_mut(&key) {
                task.state = State::Running;
                effects.push(Effect::Start(task.grant.clone()));
            }
        }
    }

    /// Whether there is a slot for one more, or will be as soon as what is being stopped
    /// is gone.
    fn has_room(&self) -> bool {
        let holds = |state| matches!(state, State::Waiting | State::Running);
        self.keys_in(holds).len() < self.slots
    }

    fn done_with(&mut self, key: Key) {
        self.tasks.remove(&key);
        if self.done_with.len() == REMEMBERED {
            self.done_with.pop_front();
        }
        self.done_with.push_back(key);
    }

    fn running(&mut self, key: Key) -> Option<&mut Task> {
        let task = self.tasks.get_mut(&key);
        task.filter(|task| task.state == State::Running)
    }

    fn has_process(&self, key: &Key) -> bool {
        let task = self.tasks.get(key);
        task.is_some_and(|t| matches!(t.state, State::Running | State::Stopping(_)))
    }

    fn keys_in(&self, wanted: impl Fn(State) -> bool) -> Vec<Key> {
        let tasks = self.tasks.iter().filter(|(_, task)| wanted(task.state));
        tasks.map(|(key, _)| *key).collect()
    }

    fn keys_of(&self, task: TaskId) -> Vec<Key> {
        let keys = self.tasks.keys().filter(|key| key.task == task);
        keys.copied().collect()
    }
}
