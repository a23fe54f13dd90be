//! Bounded queues between the steps. A queue is bounded by bytes, so that memory
//! does not grow with the size of a picture, and by items.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::cancel::CancelToken;

/// How long a waiting step goes without looking at the cancel token, which (plain
/// and shared with any thread) wakes nobody.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// The run is over for this step: cancelled, failed elsewhere, or nobody is left
/// at the queue's other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped;

/// Tells all steps of a run to stop.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    cancel: CancelToken,
    failed: Arc<AtomicBool>,
}

impl Stop {
    pub(super) fn new(cancel: CancelToken) -> Self {
        Self {
            cancel,
            failed: Arc::default(),
        }
    }

    pub(super) fn stop(&self) {
        self.failed.store(true, Ordering::Release);
    }

    pub(super) fn check(&self) -> Result<(), Stopped> {
        if self.failed.load(Ordering::Acquire) || self.cancel.is_cancelled() {
            Err(Stopped)
        } else {
            Ok(())
        }
    }
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    senders: usize,
    receiver: bool,
}

struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    limits: Limits,
    stop: Stop,
}

/// How much a queue holds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, guard: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed
            .wait_timeout(guard, CANCEL_POLL)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

/// The end that items go in at.
pub(super) struct Sender<T>(Arc<Queue<T>>);

/// The end that items come out of.
pub(super) struct Receiver<T>(Arc<Queue<T>>);

/// A queue with one sender (clone it for more) and one receiver.
pub(super) fn queue<T>(limits: Limits, stop: &Stop) -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(Queue {
        state: Mutex::new(State {
            items: VecDeque::new(),
            bytes: 0,
            senders: 1,
            receiver: true,
        }),
        changed: Condvar::new(),
        limits,
        stop: stop.clone(),
    });
    (Sender(queue.clone()), Receiver(queue))
}

impl<T> Sender<T> {
    /// Waits for room and puts an item of `bytes` in. An item larger than the
    /// queue's bound goes in when the queue is empty.
    pub(super) fn send(&self, item: T, bytes: usize) -> Result<(), Stopped> {
        let queue = &*self.0;
        let mut state = queue.lock();
        loop {
            queue.stop.check()?;
            if !state.receiver {
                return Err(Stopped);
            }
            let fits = state.items.len() < queue.limits.items
                && state.bytes.saturating_add(bytes) <= queue.limits.bytes;
            if fits || state.items.is_empty() {
                state.items.push_back((item, bytes));
                state.bytes += bytes;
                queue.changed.notify_all();
                return Ok(());
            }
            state = queue.wait(state);
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.lock().senders -= 1;
        self.0.changed.notify_all();
    }
}

impl<T> Receiver<T> {
    /// Waits for an item; `None` when every sender is gone and the queue is empty.
    pub(super) fn receive(&self) -> Result<Option<T>, Stopped> {
        let queue = &*self.0;
        let mut state = queue.lock();
        loop {
            queue.stop.check()?;
            if let Some((item, bytes)) = state.items.pop_front() {
                state.bytes -= bytes;
                queue.changed.notify_all();
                return Ok(Some(item));
            }
            if state.senders == 0 {
                return Ok(None);
            }
            state = queue.wait(state);
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.receiver = false;
        // Frames that nobody will take hold memory (and encoder pools) no longer.
        state.items.clear();
        state.bytes = 0;
        drop(state);
        self.0.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const SMALL: Limits = Limits {
        items: 4,
        bytes: 10,
    };

    fn stop() -> Stop {
        Stop::new(CancelToken::new())
    }

    #[test]
    fn items_come_out_in_order_and_the_end_after_the_last_sender() {
        let (sender, receiver) = queue(SMALL, &stop());
        let second = sender.clone();
        let feeder = thread::spawn(move || {
            (0..100).try_for_each(|n| sender.send(n, 3))?;
            second.send(100, 3)
        });
        let mut seen = Vec::new();
        while let Ok(Some(n)) = receiver.receive() {
            seen.push(n);
        }
        assert_eq!(seen, (0..=100).collect::<Vec<_>>());
        assert_eq!(feeder.join().expect("feeder"), Ok(()));
    }

    #[test]
    fn bytes_bound_the_queue_and_a_giant_still_passes() {
        let (sender, receiver) = queue(SMALL, &stop());
        sender.send(1, 1000).expect("an empty queue takes anything");
        let feeder = thread::spawn(move || sender.send(2, 1));
        assert_eq!(receiver.0.lock().items.len(), 1);
        assert_eq!(receiver.receive(), Ok(Some(1)));
        assert_eq!(receiver.receive(), Ok(Some(2)));
        assert_eq!(feeder.join().expect("feeder"), Ok(()));
    }

    #[test]
    fn a_stop_wakes_both_ends() {
        let stop = stop();
        let (full, _kept) = queue(Limits { items: 1, bytes: 1 }, &stop);
        full.send(1, 1).expect("room for one");
        let (_held, empty) = queue::<u8>(SMALL, &stop);
        let sender = thread::spawn(move || full.send(2, 1));
        let receiver = thread::spawn(move || empty.receive());
        stop.stop();
        assert_eq!(sender.join().expect("sender"), Err(Stopped));
        assert_eq!(receiver.join().expect("receiver"), Err(Stopped));
    }

    #[test]
    fn a_sender_notices_that_nobody_listens() {
        let (sender, receiver) = queue(SMALL, &stop());
        drop(receiver);
        assert_eq!(sender.send(1, 1), Err(Stopped));
    }
}
