//! Work that takes longer than a request may: begun once, however many ask for it, gone
//! on with when they leave, and its outcome kept for a while.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

type Outcome<V> = watch::Receiver<Option<V>>;

/// Work by key.
pub(super) struct Flights<K, V> {
    /// How many outcomes are kept.
    keep: usize,
    state: Arc<Mutex<State<K, V>>>,
}

struct State<K, V> {
    all: HashMap<K, Outcome<V>>,
    /// Those that have ended well, oldest first.
    ended: VecDeque<K>,
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(super) fn new(keep: usize) -> Self {
        let state = State {
            all: HashMap::new(),
            ended: VecDeque::new(),
        };
        Self {
            keep,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What the work of `key` came to, begun now unless it was before; `None` where it
    /// takes longer than `patience`. What `is_kept` says no to is begun anew when asked
    /// for again.
    pub(super) async fn join<W>(
        &self,
        key: K,
        patience: Duration,
        is_kept: fn(&V) -> bool,
        work: impl FnOnce() -> W,
    ) -> Option<V>
    where
        W: Future<Output = V> + Send + 'static,
    {
        let mut outcome = self.begun(key, is_kept, work);
        let ended = outcome.wait_for(Option::is_some);
        match tokio::time::timeout(patience, ended).await {
            Ok(Ok(value)) => value.clone(),
            // Too long; or it panicked, and is begun anew the next time.
            Ok(Err(_)) | Err(_) => None,
        }
    }

    /// What the work of `key` came to, if it was done and is remembered.
    pub(super) fn known(&self, key: &K) -> Option<V> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state
            .all
            .get(key)
            .and_then(|outcome| outcome.borrow().clone())
    }

    fn begun<W>(&self, key: K, is_kept: fn(&V) -> bool, work: impl FnOnce() -> W) -> Outcome<V>
    where
        W: Future<Output = V> + Send + 'static,
    {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = state.all.get(&key)
            && (known.borrow().is_some() || known.has_changed().is_ok())
        {
            return known.clone();
        }
        let (sender, receiver) = watch::channel(None);
        state.all.insert(key.clone(), receiver.clone());
        drop(state);
        let (work, shared, keep) = (work(), Arc::clone(&self.state), self.keep);
        tokio::spawn(async move {
            let value = work.await;
            let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
            if is_kept(&value) {
                state.ended.push_back(key);
                while state.ended.len() > keep {
                    let oldest = state.ended.pop_front();
                    oldest.and_then(|oldest| state.all.remove(&oldest));
                }
            } else {
                state.all.remove(&key);
            }
            drop(state);
            // Whoever waited may have left.
            let _ = sender.send(Some(value));
        });
        receiver
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_when_who_asked_leaves_and_is_done_once() {
        let flights = Flights::<u32, u32>::new(8);
        let runs = Arc::new(AtomicU32::new(0));
        let ask = |patience| {
            let runs = Arc::clone(&runs);
            flights.join(
                7,
                patience,
                |_| true,
                || async move {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    runs.fetch_add(1, Ordering::SeqCst) + 1
                },
            )
        };
        assert_eq!(ask(SOON).await, None);
        let (first, second) =
            tokio::join!(ask(Duration::from_secs(20)), ask(Duration::from_secs(20)));
        assert_eq!((first, second), (Some(1), Some(1)));
        assert_eq!(ask(SOON).await, Some(1), "remembered");
        assert_eq!(flights.known(&7), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_failed_or_was_long_ago_is_done_anew() {
        let flights = Flights::<u32, Result<u32, u32>>::new(2);
        let failed = flights.join(1, SOON, Result::is_ok, || async { Err(1) });
        assert_eq!(failed.await, Some(Err(1)));
        let again = flights.join(1, SOON, Result::is_ok, || async { Ok(2) });
        assert_eq!(again.await, Some(Ok(2)));
        for key in 2..4 {
            let other = flights.join(key, SOON, Result::is_ok, || async { Ok(0) });
            assert_eq!(other.await, Some(Ok(0)));
        }
        assert_eq!(flights.known(&1), None, "forgotten for two others");
        let panicked = flights.join(9, SOON, Result::is_ok, || async {
            std::future::pending::<()>().await;
            Ok(0)
        });
        assert_eq!(panicked.await, None);
    }

    #[tokio::test]
    async fn a_panic_is_begun_anew() {
        let flights = Flights::<u32, u32>::new(2);
        let panics: fn() -> u32 = || panic!("on purpose");
        let first = flights.join(1, SOON, |_| true, || async move { panics() });
        assert_eq!(first.await, None);
        let second = flights.join(1, SOON, |_| true, || async { 2 });
        assert_eq!(second.await, Some(2));
    }
}
