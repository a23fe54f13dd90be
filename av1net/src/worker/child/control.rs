//! What the parent says, and whether the work may still be stopped.

use std::fs;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use av1core::CancelToken;
use rustix::process::{Signal, getpid, kill_process};

use crate::worker::orders::ChildCommand;

/// How long the engine may take to stop. It does so within two seconds by itself where
/// the disk answers ([`CancelToken`]); the parent waits longer than this.
const MOST_TIME_TO_STOP: Duration = Duration::from_secs(2);

/// A child's hold on its work; clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    token: CancelToken,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    expects: Expects,
    answer: Option<ChildCommand>,
    stand: Stand,
    /// The file that is being written, to be removed where the process ends by force.
    created: Option<PathBuf>,
}

/// The question that is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expects {
    #[default]
    Nothing,
    Decision,
    Permit,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stand {
    #[default]
    Working,
    Cancelled,
    /// The permit has come: nothing stops the replacement.
    Committing,
    Over,
}

impl Control {
    /// One for a child that begins.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the work, unless the replacement has its permit. Where it does not stop in
    /// time, the process is ended.
    pub fn cancel(&self) {
        {
            let mut state = self.state();
            if state.stand != Stand::Working {
                return;
            }
            state.stand = Stand::Cancelled;
            self.0.token.cancel();
            self.0.changed.notify_all();
        }
        let control = self.clone();
        let watchdog = thread::Builder::new().name("watchdog".to_owned());
        if let Err(error) = watchdog.spawn(move || control.end_by_force_if_late()) {
            tracing::warn!(%error, "no thread to watch the end");
        }
    }

    fn end_by_force_if_late(&self) {
        let state = self.state();
        let waited = self
            .0
            .changed
            .wait_timeout_while(state, MOST_TIME_TO_STOP, |state| state.stand != Stand::Over);
        let (state, late) = waited.unwrap_or_else(PoisonError::into_inner);
        if !late.timed_out() {
            return;
        }
        if let Some(created) = &state.created {
            // Gone already, or its folder cannot be reached: a recovery removes it.
            let _ = fs::remove_file(created);
        }
        tracing::warn!("the engine does not stop; the process ends by force");
        let _ = kill_process(getpid(), Signal::KILL);
    }

    /// Listens to the parent on a thread of its own, until it says no more, which is to
    /// stop.
    pub(super) fn listen(&self, input: impl BufRead + Send + 'static) {
        let control = self.clone();
        let listener = thread::Builder::new().name("commands".to_owned());
        let started = listener.spawn(move || {
            for line in input.lines() {
                let Ok(line) = line else { break };
                match serde_json::from_str(&line) {
                    Ok(command) => control.hear(command),
                    Err(error) => tracing::warn!(line, %error, "no command"),
                }
            }
            control.cancel();
        });
        if let Err(error) = started {
            tracing::error!(%error, "no thread to listen to the parent");
            self.cancel();
        }
    }

    fn hear(&self, command: ChildCommand) {
        if command == ChildCommand::Cancel {
            return self.cancel();
        }
        let mut state = self.state();
        let fits = match command {
            ChildCommand::Commit => state.expects == Expects::Permit,
            _ => state.expects == Expects::Decision,
        };
        if !fits || state.stand != Stand::Working {
            tracing::warn!(?command, expects = ?state.expects, "not what is waited for");
            return;
        }
        if command == ChildCommand::Commit {
            state.stand = Stand::Committing;
        }
        state.expects = Expects::Nothing;
        state.answer = Some(command);
        self.0.changed.notify_all();
    }

    /// To be called before the question is asked: the answer may be quick.
    pub(super) fn expect_decision(&self) {
        self.state().expects = Expects::Decision;
    }

    /// To be called before the question is asked.
    pub(super) fn expect_permit(&self) {
        self.state().expects = Expects::Permit;
    }

    /// Waits for the answer; `None` where the work is to stop.
    pub(super) fn answer(&self) -> Option<ChildCommand> {
        let state = self.state();
        let waited = self.0.changed.wait_while(state, |state| {
            state.answer.is_none() && state.stand == Stand::Working
        });
        waited.unwrap_or_else(PoisonError::into_inner).answer.take()
    }

    /// Waits for so long, or until the work is to stop.
    pub(super) fn is_cancelled_within(&self, time: Duration) -> bool {
        let state = self.state();
        let waited = self
            .0
            .changed
            .wait_timeout_while(state, time, |state| state.stand == Stand::Working);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.stand != Stand::Working
    }

    pub(super) fn has_created(&self, path: &Path) {
        self.state().created = Some(path.to_owned());
    }

    /// The last word is said.
    pub(super) fn is_over(&self) {
        self.state().stand = Stand::Over;
        self.0.changed.notify_all();
    }

    /// What the engine asks whether to stop.
    pub(super) fn token(&self) -> CancelToken {
        self.0.token.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panicked thread held is still true.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Reason;

    fn decided() -> ChildCommand {
        let (kind, message) = ("not_worthwhile".to_owned(), "too large".to_owned());
        let reason = Reason { kind, message };
        ChildCommand::Decided { reason }
    }

    #[test]
    fn only_the_answer_to_the_open_question_is_heard() {
        let control = Control::new();
        control.hear(ChildCommand::Commit);
        control.hear(ChildCommand::Proceed);
        control.expect_decision();
        control.hear(ChildCommand::Commit);
        control.hear(decided());
        assert_eq!(control.answer(), Some(decided()));
        // Said twice.
        control.hear(decided());
        control.expect_permit();
        control.hear(ChildCommand::Proceed);
        control.hear(ChildCommand::Commit);
        assert_eq!(control.answer(), Some(ChildCommand::Commit));
    }

    #[test]
    fn a_replacement_that_has_its_permit_is_not_stopped() {
        let control = Control::new();
        control.expect_permit();
        control.hear(ChildCommand::Commit);
        control.hear(ChildCommand::Cancel);
        assert!(!control.token().is_cancelled());
        assert_eq!(control.answer(), Some(ChildCommand::Commit));
    }

    #[test]
    fn a_permit_that_comes_after_the_word_to_stop_is_none() {
        let control = Control::new();
        control.expect_permit();
        control.hear(ChildCommand::Cancel);
        control.hear(ChildCommand::Commit);
        assert!(control.token().is_cancelled());
        assert_eq!(control.answer(), None);
        control.is_over();
    }

    #[test]
    fn the_end_of_the_input_is_the_word_to_stop() {
        let control = Control::new();
        control.expect_decision();
        control.listen(&b"not a command\n"[..]);
        assert_eq!(control.answer(), None);
        assert!(control.token().is_cancelled());
        control.is_over();
    }
}
