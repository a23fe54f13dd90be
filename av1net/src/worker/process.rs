//! One child process of an encode: started, listened to, watched, and ended.
//!
//! The child has a process group of its own, so that a `Ctrl-C` at the worker's
//! terminal is the worker's to deal with. It ends by itself when its standard input
//! does, which is what happens when the worker is killed.

mod patience;
mod program;
#[cfg(test)]
pub(super) mod tests;

use std::future::pending;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

pub use self::patience::Patience;
use self::patience::{DRAIN, Kill, Watch};
pub use self::program::ChildProgram;
use super::death;
use super::lines::{LastWords, Lines};
use super::orders::{ChildCommand, ChildEnd, ChildEvent, ChildOrder};
use super::priority;
use super::tasks::Answer;
use crate::config::IoClassKey;
use crate::job::Failure;

/// An event with the warnings of a whole film in it stays far below.
const LONGEST_EVENT_BYTES: usize = 1 << 20;

/// What a library logs about one broken packet stays below.
const LONGEST_WORDS_BYTES: usize = 4096;

/// How child processes are run.
#[derive(Clone, Debug)]
pub(crate) struct Conduct {
    pub(crate) program: ChildProgram,
    pub(crate) niceness: watch::Receiver<u8>,
    pub(crate) io_class: IoClassKey,
    pub(crate) patience: Patience,
}

/// What a child process is told while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// What it waits for.
    Answer(Answer),
    /// To stop.
    Stop,
}

/// What comes next of a child process.
#[derive(Debug)]
pub(crate) enum Step {
    /// It says something; never [`ChildEvent::Ended`].
    Event(ChildEvent),
    /// It is gone.
    Over(Ending),
}

/// How a child process ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ending {
    /// As it should, in its own words.
    Said(ChildEnd),
    /// It died or hung: what it was at may lie around.
    Died(Failure),
    /// It was told to stop and did not, and so was killed: what it was at may lie
    /// around.
    Killed,
}

/// A child process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    /// Its number; it has one until it is waited for.
    number: u32,
    events: Lines<ChildStdout>,
    /// To the task that writes its input; without it the input ends.
    input: Option<mpsc::UnboundedSender<Vec<u8>>>,
    words: Arc<Mutex<LastWords>>,
    listener: JoinHandle<()>,
    niceness: watch::Receiver<u8>,
    watch: Watch,
    killed: Option<Kill>,
    end: Option<ChildEnd>,
    status: Option<ExitStatus>,
    is_silent: bool,
}

impl Process {
    /// Starts a process and gives it its order.
    ///
    /// # Errors
    ///
    /// What the system says where it cannot be started.
    pub(crate) async fn start(conduct: &Conduct, order: &ChildOrder) -> io::Result<Self> {
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        let mut child = Command::new(conduct.program.path()?)
            .args(&conduct.program.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let no_pipe = || io::Error::other("a pipe to the new process is missing");
        let number = child.id().ok_or_else(no_pipe)?;
        let stdin = child.stdin.take().ok_or_else(no_pipe)?;
        let stdout = child.stdout.take().ok_or_else(no_pipe)?;
        let stderr = child.stderr.take().ok_or_else(no_pipe)?;
        let mut niceness = conduct.niceness.clone();
        // Before the order: threads inherit what their maker has.
        set_niceness(number, *niceness.borrow_and_update());
        if let Err(why) = priority::set_io_class(number, conduct.io_class).await {
            tracing::warn!(why, class = ?conduct.io_class, "the encode's I/O class is not set");
        }
        prefer_for_oom(number);
        let (input, lines) = mpsc::unbounded_channel();
        tokio::spawn(write_input(stdin, lines));
        // Open: the task above ends with this sender.
        let _ = input.send(line);
        let words = Arc::<Mutex<LastWords>>::default();
        let listener = tokio::spawn(listen(stderr, number, words.clone()));
        Ok(Self {
            child,
            number,
            events: Lines::new(stdout, LONGEST_EVENT_BYTES),
            input: Some(input),
            words,
            listener,
            niceness,
            watch: Watch::new(conduct.patience, Instant::now()),
            killed: None,
            end: None,
            status: None,
            is_silent: false,
        })
    }

    /// What comes next; after [`Step::Over`] nothing does. `told` is heeded meanwhile; its
    /// end means to stop.
    ///
    /// Dropped before it is done, nothing is lost.
    pub(crate) async fn next(&mut self, told: &mut mpsc::UnboundedReceiver<Told>) -> Step {
        loop {
            if self.status.is_some() && self.is_silent {
                return Step::Over(self.ending().await);
            }
            let deadline = self.watch.deadline();
            let patience = async {
                match deadline {
                    Some((at, _)) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                line = self.events.next(), if !self.is_silent => {
                    if let Some(event) = self.heard(line) {
                        return Step::Event(event);
                    }
                }
                status = self.child.wait(), if self.status.is_none() => {
                    self.watch.died(Instant::now());
                    match status {
                        Ok(status) => self.status = Some(status),
                        Err(error) => {
                            tracing::error!(%error, "an encode's process cannot be waited for");
                            self.status = Some(ExitStatus::default());
                        }
                    }
                }
                word = told.recv(), if !self.watch.is_stopped() => self.tell(word),
                Ok(()) = self.niceness.changed(), if self.status.is_none() => {
                    set_niceness(self.number, *self.niceness.borrow_and_update());
                }
                () = patience => {
                    if let Some((_, why)) = deadline {
                        self.kill(why);
                    }
                }
            }
        }
    }

    /// Takes a line in; what the caller should hear of comes back.
    fn heard(&mut self, line: io::Result<Option<super::lines::Line>>) -> Option<ChildEvent> {
        let line = match line {
            Ok(Some(line)) => line,
            Ok(None) => {
                self.is_silent = true;
                return None;
            }
            Err(error) => {
                self.is_silent = true;
                self.kill(Kill::Gibberish(error.to_string()));
                return None;
            }
        };
        // Whoever has ended, or is as good as dead, has nothing more to say.
        if self.end.is_some() || self.killed.is_some() {
            return None;
        }
        match serde_json::from_slice(&line.bytes) {
            Ok(event) => {
                self.watch.saw(&event, Instant::now());
                let ChildEvent::Ended { end } = event else {
                    return Some(event);
                };
                self.end = Some(end);
                self.input = None;
                None
            }
            Err(error) => {
                let start = String::from_utf8_lossy(&line.bytes[..line.bytes.len().min(80)]);
                self.kill(Kill::Gibberish(format!("{error} in {start:?}")));
                None
            }
        }
    }

    fn tell(&mut self, word: Option<Told>) {
        let command = match word {
            Some(Told::Answer(answer)) => {
                self.watch.answered(&answer, Instant::now());
                match answer {
                    Answer::Proceed => ChildCommand::Proceed,
                    Answer::Decided(reason) => ChildCommand::Decided { reason },
                    Answer::Commit => ChildCommand::Commit,
                }
            }
            Some(Told::Stop) | None => {
                self.watch.stopped(Instant::now());
                ChildCommand::Cancel
            }
        };
        let Ok(mut line) = serde_json::to_vec(&command) else {
            // Plain data becomes text always; and without it the watch ends the process.
            return tracing::error!(?command, "a command cannot be written");
        };
        line.push(b'\n');
        if let Some(input) = &self.input {
            // A process that reads no more has ended, or will be found to hang.
            let _ = input.send(line);
        }
    }

    fn kill(&mut self, why: Kill) {
        tracing::debug!(process = self.number, ?why, "an encode's process is killed");
        if why == Kill::Orphans {
            // The group has no leader any more whose number would be sure to be its own.
            self.is_silent = true;
            return;
        }
        self.killed.get_or_insert(why);
        self.watch.killed();
        // Not waited for yet, so the number is still its own.
        if self.status.is_none()
            && let Some(group) = priority::pid(self.number)
            && let Err(error) = kill_process_group(group, Signal::KILL)
        {
            tracing::warn!(process = self.number, %error, "an encode's process cannot be killed");
        }
    }

    async fn ending(&mut self) -> Ending {
        self.input = None;
        // Its last words are in the pipe by now.
        let _ = timeout(DRAIN, &mut self.listener).await;
        self.listener.abort();
        if let Some(end) = self.end.take() {
            return Ending::Said(end);
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let status = self.status.unwrap_or_default();
        let failure = match &self.killed {
            Some(Kill::ToldToStop) => return Ending::Killed,
            Some(Kill::Stalled) => death::stalled(self.watch.patience().stall, &words),
            Some(Kill::Gibberish(what)) => death::gibberish(what, &words),
            // Told to stop, it did so without a word: what it left is looked for.
            _ if self.watch.is_stopped() => return Ending::Killed,
            _ => death::died(status, &words),
        };
        for line in words.all() {
            tracing::warn!(process = self.number, "{line}");
        }
        Ending::Died(failure)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

fn set_niceness(process: u32, niceness: u8) {
    if let Err(error) = priority::set_niceness(process, niceness) {
        // Raised, it can only be lowered again with a right that few have.
        tracing::warn!(%error, niceness, "an encode goes on with the niceness that it had");
    }
}

/// Where memory runs out, the encode is to go, not the worker: it costs one attempt.
fn prefer_for_oom(process: u32) {
    // Of 1000; a large program that is less in the way is still worth more than this one.
    let adjusted = std::fs::write(format!("/proc/{process}/oom_score_adj"), "500");
    if let Err(error) = adjusted {
        tracing::debug!(%error, "the system does not know which process to spare");
    }
}

async fn write_input(mut stdin: ChildStdin, mut lines: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(line) = lines.recv().await {
        if let Err(error) = stdin.write_all(&line).await {
            // It has ended, which is told elsewhere.
            return tracing::debug!(%error, "an encode's process reads no more");
        }
    }
}

async fn listen(stderr: ChildStderr, process: u32, words: Arc<Mutex<LastWords>>) {
    let mut lines = Lines::new(stderr, LONGEST_WORDS_BYTES);
    while let Ok(Some(line)) = lines.next().await {
        let text = String::from_utf8_lossy(&line.bytes).into_owned();
        tracing::debug!(process, "{text}");
        words
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }
}
