//! tokio, for the commands that need it.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use super::signals::is_ignored;

/// Runs a few calls to a master, one after the other.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    run(Builder::new_current_thread(), work)
}

/// Runs a master or a worker.
pub(super) fn serve<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    run(Builder::new_multi_thread(), work)
}

fn run<T>(
    mut builder: Builder,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    let runtime = builder
        .enable_all()
        .build()
        .context("the async runtime does not start")?;
    let done = runtime.block_on(work);
    // A read from a share that does not answer never ends, and nobody waits for it.
    runtime.shutdown_timeout(LAST_CALLS);
    done
}

/// What blocks gets so long to end with the process.
const LAST_CALLS: Duration = Duration::from_secs(2);

/// A wish to stop that comes so soon after another is the same one: `timeout` and some
/// service managers send it to the process and then to its group. Nobody presses a key
/// twice so fast.
const ECHO: Duration = Duration::from_millis(200);

/// What people and service managers ask of a process that goes on for long.
pub(super) struct Wishes {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Option<Signal>,
    stopped: Option<Instant>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// SIGINT (Ctrl-C), SIGTERM.
    Stop,
    /// SIGHUP: of a service, that it should read its configuration anew; of a terminal,
    /// that it went away.
    HangUp,
}

impl Wishes {
    /// Takes these signals from here on.
    pub(super) fn new() -> anyhow::Result<Self> {
        let take = |kind| signal(kind).context("signals cannot be handled");
        let hang_up = !is_ignored(SignalKind::hangup().as_raw_value());
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
            hang_up: hang_up.then(|| take(SignalKind::hangup())).transpose()?,
            stopped: None,
        })
    }

    /// Waits for the next. Dropped before, none is lost.
    pub(super) async fn next(&mut self) -> Wish {
        loop {
            let wish = self.any().await;
            if wish == Wish::HangUp {
                return wish;
            }
            let now = Instant::now();
            let is_echo = self.stopped.is_some_and(|before| now - before < ECHO);
            self.stopped = Some(now);
            if !is_echo {
                return wish;
            }
        }
    }

    async fn any(&mut self) -> Wish {
        let hang_up = async {
            match &mut self.hang_up {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.terminate.recv() => Wish::Stop,
            _ = hang_up => Wish::HangUp,
        }
    }

    /// Waits for a wish to stop.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Wish::Stop {}
    }
}
