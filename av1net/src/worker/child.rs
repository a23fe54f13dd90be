//! The process of one encode: it reads an order and commands on its standard input, and
//! tells on its standard output what happens ([`super::orders`]).
//!
//! The end of its input means that its parent is gone: it stops, and leaves nothing. An
//! encoder that is in the middle of something cannot be stopped (SVT-AV1), so a process
//! that was told to stop ends itself after two seconds, and its parent, or the next
//! recovery of the folder, removes what it had begun to write. Once it may replace, it
//! brings that to its end first; a kill in the middle of it is what the journal is for.

mod engine;
mod told;

use std::io::{self, BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use av1core::CancelToken;

use super::orders::{ChildCommand, ChildEnd, ChildEvent, ChildOrder, ChildPhase};

/// A cancelled run ends within two seconds, unless the encoder is slow to let go.
const GRACE: Duration = Duration::from_secs(2);

/// The exit code of a process that was told to stop and could not in time. The parent
/// has stopped listening by then.
const STOPPED: i32 = 130;

/// The first line was no order.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// Nothing came.
    #[error("this command is for the worker's own use: an order has to come on standard input")]
    NoOrder,
    /// What came is no order.
    #[error("the order is not understood: {0}")]
    BadOrder(#[from] serde_json::Error),
    /// The input could not be read.
    #[error("the order could not be read: {0}")]
    Io(#[from] io::Error),
}

/// Carries out one order: the whole life of the process. Blocks until it is over; the
/// last line that was written is [`ChildEvent::Ended`].
///
/// # Errors
///
/// [`ChildError`] before anything was done.
pub fn run(
    mut input: impl BufRead + Send + 'static,
    output: impl Write + Send + 'static,
) -> Result<(), ChildError> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Err(ChildError::NoOrder);
    }
    let order: ChildOrder = serde_json::from_str(&line)?;
    let parent = Parent::listen(input, output);
    let end = engine::carry_out(&order, &parent);
    parent.say(&ChildEvent::Ended { end });
    Ok(())
}

/// The other end of the pipes.
struct Parent {
    commands: Mutex<mpsc::Receiver<ChildCommand>>,
    output: Mutex<Box<dyn Write + Send>>,
    cancel: CancelToken,
    /// The last phase that was told.
    phase: Mutex<Option<ChildPhase>>,
    /// The replacement has begun: it is not to be stopped any more.
    committing: Arc<AtomicBool>,
}

impl Parent {
    fn listen(input: impl BufRead + Send + 'static, output: impl Write + Send + 'static) -> Self {
        let (sender, commands) = mpsc::channel();
        let parent = Self {
            commands: Mutex::new(commands),
            output: Mutex::new(Box::new(output)),
            cancel: CancelToken::new(),
            phase: Mutex::default(),
            committing: Arc::default(),
        };
        let (cancel, committing) = (parent.cancel.clone(), Arc::clone(&parent.committing));
        thread::spawn(move || {
            for line in input.lines() {
                let command = line.ok().and_then(|line| serde_json::from_str(&line).ok());
                match command {
                    Some(ChildCommand::Cancel) | None => break,
                    // Nobody may be waiting for it any more.
                    Some(command) => drop(sender.send(command)),
                }
            }
            // Whoever waits for an answer is told by the channel's end.
            drop(sender);
            stop(&cancel, &committing);
        });
        parent
    }

    /// Tells the parent something. One that does not listen any more is gone, which the
    /// end of the input tells.
    fn say(&self, event: &ChildEvent) {
        let Ok(mut line) = serde_json::to_string(event) else {
            return;
        };
        line.push('\n');
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let told = output
            .write_all(line.as_bytes())
            .and_then(|()| output.flush());
        if let Err(error) = told {
            tracing::debug!(%error, "nobody listens");
        }
    }

    /// Tells that a phase begins, once.
    fn enter(&self, phase: ChildPhase) {
        let mut last = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != Some(phase) {
            *last = Some(phase);
            self.say(&ChildEvent::Phase { phase });
        }
    }

    /// The next command; `None` where it is to stop.
    fn hear(&self) -> Option<ChildCommand> {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.recv().ok()
    }

    /// From here on nothing stops it, and a parent that goes away is not missed. Whether
    /// it may: a stop that came first wins.
    fn begin_commit(&self) -> bool {
        self.committing.store(true, Ordering::SeqCst);
        !self.cancel.is_cancelled()
    }
}

/// Ends the run, and the process where the run does not end.
fn stop(cancel: &CancelToken, committing: &AtomicBool) {
    if committing.load(Ordering::SeqCst) {
        return;
    }
    cancel.cancel();
    thread::sleep(GRACE);
    // `begin_commit` looks at the token after it has set this.
    if !committing.load(Ordering::SeqCst) {
        std::process::exit(STOPPED);
    }
}

/// What is told where a run was stopped.
const CANCELLED: ChildEnd = ChildEnd::Cancelled;
