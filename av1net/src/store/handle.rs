//! The store for callers on an async runtime: writes share transactions, reads go to
//! blocking threads, a few at once.
//!
//! A thread of its own writes. While it commits a batch (what a disk needs for an fsync
//! is by far the longest part of a write), the next writes queue up, and become one
//! transaction together. Nobody is made to wait so that a batch may grow.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::{Op, OpResult, Store, StoreError};

/// Calls that may wait for the writer; more wait to be let in, in order.
const QUEUE: usize = 1024;

/// About so many rows may change in one transaction, so that a caller who comes while a
/// scan writes a million waits for a part of them only: a quarter of a second. With fewer
/// the scan would take longer in all, since its rows come in the order of their paths and
/// go all over the indexes by size and rank: each transaction writes a page of each for
/// nearly every row, until there are about as many rows as pages.
const MOST_IN_A_BATCH: usize = 16_000;

/// Reads at once. The longest is a page of the list at about 20 ms of processor time;
/// more at once than processors would only make each of them longer.
const READERS: u32 = 4;

type Reply = oneshot::Sender<Result<Vec<OpResult>, StoreError>>;

enum Message {
    Write { ops: Vec<Op>, reply: Reply },
    Close { closed: oneshot::Sender<()> },
}

/// A store that many callers share. Clones are the same one.
///
/// What a caller drops while it waits may happen or not: a write that was let in is
/// carried out though nobody waits for its answer any more.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    writes: mpsc::Sender<Message>,
    /// `None` once it is closed.
    store: Mutex<Option<Arc<dyn Store>>>,
    readers: Arc<Semaphore>,
}

impl Handle {
    /// Starts the writer's thread. It ends, after everything that was let in, with
    /// [`Handle::close`] or with the last clone.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] where the system gives no thread.
    pub fn new(store: impl Store) -> Result<Self, StoreError> {
        let store: Arc<dyn Store> = Arc::new(store);
        let (writes, queue) = mpsc::channel(QUEUE);
        let to_write = Arc::clone(&store);
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_until_closed(to_write, queue))?;
        Ok(Self(Arc::new(Shared {
            writes,
            store: Mutex::new(Some(store)),
            readers: Arc::new(Semaphore::new(READERS as usize)),
        })))
    }

    /// Carries out an op; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the transaction failed, in which case nothing of it
    /// happened; [`StoreError::Closed`] after [`Handle::close`]. A refusal is no error.
    pub async fn write(&self, op: Op) -> Result<OpResult, StoreError> {
        let results = self.write_many(vec![op]).await?;
        let one = results.into_iter().next();
        one.ok_or_else(|| StoreError::Database("an op was given no answer".to_owned()))
    }

    /// Carries out several ops in one transaction, in order: a result for each.
    ///
    /// # Errors
    ///
    /// As [`Handle::write`].
    pub async fn write_many(&self, ops: Vec<Op>) -> Result<Vec<OpResult>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Write { ops, reply };
        let sent = self.0.writes.send(message).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Reads on a blocking thread. What several calls of one closure see may differ by
    /// what was written between them.
    ///
    /// # Errors
    ///
    /// What the closure returns; [`StoreError::Closed`] after [`Handle::close`].
    pub async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.0.readers).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let store = self.0.store().clone().ok_or(StoreError::Closed)?;
        let task = spawn_blocking(move || {
            let result = read(store.as_ref());
            // The store first: whoever has all permits knows that nobody has it.
            drop(store);
            drop(permit);
            result
        });
        task.await
            .unwrap_or_else(|lost| match lost.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(StoreError::Closed),
            })
    }

    /// Carries out what was let in, ends the reads, and closes the store: when this
    /// returns, another process may open it. Every clone is closed by it; again, it does
    /// nothing.
    pub async fn close(&self) {
        let (closed, when_closed) = oneshot::channel();
        let asked = self.0.writes.send(Message::Close { closed }).await.is_ok();
        if asked {
            // An error says that the thread has ended, too.
            let _ = when_closed.await;
        }
        let mine = self.0.store().take();
        // Closed already, if this fails.
        let _ = self.0.readers.acquire_many(READERS).await;
        self.0.readers.close();
        // The last of the store checkpoints, which blocks.
        let _ = spawn_blocking(move || drop(mine)).await;
    }
}

impl Shared {
    /// Nothing can panic while it is held.
    fn store(&self) -> std::sync::MutexGuard<'_, Option<Arc<dyn Store>>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write_until_closed(store: Arc<dyn Store>, mut queue: mpsc::Receiver<Message>) {
    let mut closing = None;
    while closing.is_none()
        && let Some(first) = queue.blocking_recv()
    {
        let mut ops = Vec::new();
        let mut callers = Vec::new();
        let mut rows = 0;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Write { ops: more, reply } => {
                    rows += more.iter().map(rows_changed).sum::<usize>();
                    callers.push((more.len(), reply));
                    ops.extend(more);
                }
                Message::Close { closed } => {
                    closing = Some(closed);
                    break;
                }
            }
            next = (rows < MOST_IN_A_BATCH)
                .then(|| queue.try_recv().ok())
                .flatten();
        }
        if !callers.is_empty() {
            answer(callers, write(store.as_ref(), &ops));
        }
    }
    drop(store);
    if let Some(closed) = closing {
        // Whoever closed may have stopped waiting.
        let _ = closed.send(());
    }
}

/// A panic below would leave every later caller without a writer; it fails its batch
/// alone, which the store takes back as with any other failure.
fn write(store: &dyn Store, ops: &[Op]) -> Result<Vec<OpResult>, StoreError> {
    catch_unwind(AssertUnwindSafe(|| store.write(ops))).unwrap_or_else(|_| {
        let what = "a bug ended the transaction; the log has more";
        Err(StoreError::Database(what.to_owned()))
    })
}

fn answer(callers: Vec<(usize, Reply)>, results: Result<Vec<OpResult>, StoreError>) {
    if let Err(error) = &results {
        tracing::error!(%error, callers = callers.len(), "the job store takes no writes");
    }
    let mut results = results.map(Vec::into_iter);
    for (count, reply) in callers {
        let mine = match &mut results {
            Ok(results) => Ok(results.by_ref().take(count).collect()),
            Err(error) => Err(error.clone()),
        };
        // Whoever asked may have stopped waiting.
        let _ = reply.send(mine);
    }
}

/// About how many rows an op changes.
fn rows_changed(op: &Op) -> usize {
    match op {
        Op::Scan { changes, .. } => changes.len(),
        Op::Claim { limit, .. } => *limit,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
