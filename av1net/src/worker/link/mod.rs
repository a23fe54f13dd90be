//! The connection to the master: reports out, replies in. It runs apart from everything
//! else, comes back by itself, and ends with its owner.

mod http;
#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::WorkerError;
use crate::client::Client;
use crate::proto::{ErrorBody, MasterReply, OLDEST_PROTOCOL, PROTOCOL, WorkerReport};
use crate::units::WorkerId;

/// A report that is not answered within this is lost, and the connection with it. Two
/// of them fit into the 30 s after which a worker is shown offline.
const REPLY: Duration = Duration::from_secs(15);

/// How a worker speaks with its master.
#[derive(Clone, Debug)]
pub enum Transport {
    /// Over the network: by WebSocket, by POST where none can be had.
    Master(Client),
    /// Within the process.
    Local(Local),
}

/// Asks the master of this process.
type Ask = dyn Fn(WorkerReport) -> BoxFuture<'static, Result<MasterReply, ErrorBody>> + Send + Sync;

/// What changes when the master has something to say to a worker before it speaks.
type Poke = dyn Fn(&WorkerId) -> Option<watch::Receiver<u64>> + Send + Sync;

/// A master within the process.
#[derive(Clone)]
pub struct Local {
    ask: Arc<Ask>,
    poke: Arc<Poke>,
}

impl Local {
    /// A master that is asked by `ask`. What `poke` gives for a worker, once it is known
    /// there, changes when the worker should speak at once.
    pub fn new(
        ask: impl Fn(WorkerReport) -> BoxFuture<'static, Result<MasterReply, ErrorBody>>
        + Send
        + Sync
        + 'static,
        poke: impl Fn(&WorkerId) -> Option<watch::Receiver<u64>> + Send + Sync + 'static,
    ) -> Self {
        Self {
            ask: Arc::new(ask),
            poke: Arc::new(poke),
        }
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Local")
    }
}

/// How reports reach the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    /// By WebSocket.
    WebSocket,
    /// By POST, each on its own.
    Post,
    /// Within the process.
    Local,
}

/// What the connection tells its owner.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// A report may be sent.
    Up(Means),
    /// The master says something.
    Reply(Box<MasterReply>),
    /// The master wants to hear a report.
    Poked,
    /// There is no connection; it is tried again.
    Down(WorkerError),
}

/// The owner's end. Dropped, the connection ends.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) reports: mpsc::Sender<WorkerReport>,
    pub(crate) events: mpsc::Receiver<LinkEvent>,
}

impl Link {
    pub(crate) fn start(transport: Transport, worker: &WorkerId) -> Self {
        let (reports, ours) = mpsc::channel(1);
        let (tell, events) = mpsc::channel(16);
        let line = Line {
            reports: ours,
            events: tell,
        };
        match transport {
            Transport::Master(client) => tokio::spawn(http::run(client, line)),
            Transport::Local(local) => tokio::spawn(run_local(local, worker.clone(), line)),
        };
        Self { reports, events }
    }
}

/// The other end.
#[derive(Debug)]
struct Line {
    reports: mpsc::Receiver<WorkerReport>,
    events: mpsc::Sender<LinkEvent>,
}

/// The owner is gone.
#[derive(Debug)]
struct Closed;

/// Why a conversation ended.
#[derive(Debug)]
enum Ended {
    Closed,
    Broken(WorkerError),
}

impl From<Closed> for Ended {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl From<WorkerError> for Ended {
    fn from(error: WorkerError) -> Self {
        Self::Broken(error)
    }
}

impl Line {
    async fn tell(&self, event: LinkEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    async fn report(&mut self) -> Result<WorkerReport, Closed> {
        self.reports.recv().await.ok_or(Closed)
    }

    /// Hands a reply on, if it is one that is understood.
    async fn reply(&self, reply: MasterReply) -> Result<(), Ended> {
        if !(OLDEST_PROTOCOL..=PROTOCOL).contains(&reply.protocol) {
            let what = format!("the master speaks protocol {}", reply.protocol);
            return Err(WorkerError::Protocol { what }.into());
        }
        Ok(self.tell(LinkEvent::Reply(Box::new(reply))).await?)
    }

    /// Waits until there is to be another try. Reports that were on their way are
    /// dropped: who comes back says everything anew.
    async fn wait(&mut self, wait: Duration) -> Result<(), Closed> {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(until) => {
                    while self.reports.try_recv().is_ok() {}
                    return Ok(());
                }
                report = self.report() => drop(report?),
            }
        }
    }
}

async fn run_local(local: Local, worker: WorkerId, mut line: Line) {
    let mut waits = waits();
    loop {
        let Err(ended) = speak_local(&local, &worker, &mut line, &mut waits).await;
        let Ended::Broken(error) = ended else { return };
        let down = line.tell(LinkEvent::Down(error)).await;
        let wait = waits.next().unwrap_or(REPLY);
        if down.is_err() || line.wait(wait).await.is_err() {
            return;
        }
    }
}

async fn speak_local(
    local: &Local,
    worker: &WorkerId,
    line: &mut Line,
    again: &mut ExponentialBackoff,
) -> Result<Infallible, Ended> {
    let lost = |why: String| WorkerError::Lost {
        address: "this process".to_owned(),
        why,
    };
    let mut poke: Option<watch::Receiver<u64>> = None;
    line.tell(LinkEvent::Up(Means::Local)).await?;
    loop {
        let poked = async {
            match &mut poke {
                Some(poke) => poke.changed().await,
                None => pending().await,
            }
        };
        let report = tokio::select! {
            report = line.report() => report?,
            Ok(()) = poked => {
                line.tell(LinkEvent::Poked).await?;
                continue;
            }
        };
        let reply = timeout(REPLY, (local.ask)(report)).await;
        let reply = reply.map_err(|_| lost(format!("no answer within {} s", REPLY.as_secs())))?;
        line.reply(reply.map_err(|error| lost(error.message))?)
            .await?;
        if poke.is_none() {
            poke = (local.poke)(worker);
            // What changed while the answer was made is not told any more.
            if poke.is_some() {
                line.tell(LinkEvent::Poked).await?;
            }
        }
        *again = waits();
    }
}

/// Waits between tries, for ever. With jitter each is up to twice as long: 10 s at the
/// most, so that a master that started anew sees its workers within the 15 s that the
/// design gives it.
pub(crate) fn waits() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(250))
        .with_max_delay(Duration::from_secs(5))
        .without_max_times()
        .with_jitter()
        .build()
}
