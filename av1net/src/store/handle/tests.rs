use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use super::*;
use crate::job::Job;
use crate::store::{
    Attempt, Counters, Done, KnownWorker, MemoryStore, Page, PageQuery, RootRecord, SavedDay,
    ScanRow, StorePolicy, Verdict,
};
use crate::units::{JobId, RelPath, RootId, UnixMs};

/// What the next transaction does, besides what it should.
enum Fate {
    Succeeds,
    Fails,
    Panics,
}

/// A store whose transactions begin when they are told how to end.
struct Told {
    inner: MemoryStore,
    fates: Mutex<std_mpsc::Receiver<Fate>>,
    begun: std_mpsc::Sender<usize>,
}

/// The test's side of it: what to tell, and the sizes of the batches that began.
struct Teller {
    fates: std_mpsc::Sender<Fate>,
    begun: std_mpsc::Receiver<usize>,
}

fn told() -> (Handle, Teller) {
    let (fates, to_come) = std_mpsc::channel();
    let (begins, begun) = std_mpsc::channel();
    let store = Told {
        inner: MemoryStore::new(StorePolicy::default()),
        fates: Mutex::new(to_come),
        begun: begins,
    };
    let handle = Handle::new(store).expect("a thread");
    (handle, Teller { fates, begun })
}

impl Store for Told {
    fn write(&self, ops: &[Op]) -> Result<Vec<OpResult>, StoreError> {
        self.begun.send(ops.len()).expect("the test looks");
        let fates = self.fates.lock().unwrap_or_else(PoisonError::into_inner);
        match fates.recv().expect("the test tells") {
            Fate::Succeeds => self.inner.write(ops),
            Fate::Fails => Err(StoreError::Database("disk full".to_owned())),
            Fate::Panics => panic!("a bug"),
        }
    }
    fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        self.inner.job(id)
    }
    fn job_at(&self, root: &RootId, path: &RelPath) -> Result<Option<Job>, StoreError> {
        self.inner.job_at(root, path)
    }
    fn active(&self) -> Result<Vec<Job>, StoreError> {
        self.inner.active()
    }
    fn page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        self.inner.page(query)
    }
    fn counters(&self) -> Result<Counters, StoreError> {
        self.inner.counters()
    }
    fn attempts(&self, job: JobId, limit: usize) -> Result<Vec<Attempt>, StoreError> {
        self.inner.attempts(job, limit)
    }
    fn scan_rows(
        &self,
        root: &RootId,
        after: Option<&RelPath>,
        limit: usize,
    ) -> Result<Vec<ScanRow>, StoreError> {
        self.inner.scan_rows(root, after, limit)
    }
    fn verdict(&self, key: &str) -> Result<Option<Verdict>, StoreError> {
        self.inner.verdict(key)
    }
    fn roots(&self) -> Result<Vec<RootRecord>, StoreError> {
        self.inner.roots()
    }
    fn workers(&self) -> Result<Vec<KnownWorker>, StoreError> {
        self.inner.workers()
    }
    fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.inner.setting(name)
    }
    fn next_due(&self) -> Result<Option<UnixMs>, StoreError> {
        self.inner.next_due()
    }
    fn saved_by_day(&self, since: UnixMs) -> Result<Vec<SavedDay>, StoreError> {
        self.inner.saved_by_day(since)
    }
}

fn put(name: &str) -> Op {
    Op::PutSetting {
        name: name.to_owned(),
        value: Some("set".to_owned()),
    }
}

/// A write that is in the queue when this returns.
async fn let_in(handle: &Handle, name: &str) -> BoxFuture<'static, Result<OpResult, StoreError>> {
    let mut write = Box::pin({
        let (handle, op) = (handle.clone(), put(name));
        async move { handle.write(op).await }
    });
    // Polled once, it has sent, since the queue has room.
    let first = futures_util::FutureExt::now_or_never(&mut write);
    assert!(first.is_none(), "no answer before the transaction");
    write
}

async fn watched<T>(test: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    timeout(limit, test)
        .await
        .expect("within the watchdog's time")
}

fn begun(teller: &Teller) -> usize {
    let limit = Duration::from_secs(30);
    teller.begun.recv_timeout(limit).expect("a transaction")
}

#[tokio::test]
async fn writes_that_come_during_a_commit_share_the_next_one() {
    watched(async {
        let (handle, teller) = told();
        let first = let_in(&handle, "first").await;
        assert_eq!(begun(&teller), 1);
        let mut others = Vec::new();
        for n in 0..20 {
            others.push(let_in(&handle, &format!("other {n}")).await);
        }
        teller.fates.send(Fate::Succeeds).expect("told");
        assert!(matches!(first.await, Ok(Ok(Done::Nothing))));
        teller.fates.send(Fate::Succeeds).expect("told");
        assert_eq!(begun(&teller), 20);
        for other in others {
            assert!(matches!(other.await, Ok(Ok(Done::Nothing))));
        }
        let last = handle.read(|store| store.setting("other 19")).await;
        assert_eq!(last.expect("reads").as_deref(), Some("set"));
    })
    .await;
}

#[tokio::test]
async fn every_caller_learns_of_a_failure_and_the_next_ones_are_served() {
    watched(async {
        for fate in [Fate::Fails, Fate::Panics] {
            let (handle, teller) = told();
            let first = let_in(&handle, "first").await;
            assert_eq!(begun(&teller), 1);
            let shared = [let_in(&handle, "a").await, let_in(&handle, "b").await];
            teller.fates.send(Fate::Succeeds).expect("told");
            teller.fates.send(fate).expect("told");
            first.await.expect("durable").expect("taken");
            for caller in shared {
                assert!(matches!(caller.await, Err(StoreError::Database(_))));
            }
            assert_eq!(begun(&teller), 2);
            teller.fates.send(Fate::Succeeds).expect("told");
            let after = handle.write(put("c")).await;
            after.expect("durable").expect("taken");
            let read = handle.read(|store| {
                Ok((
                    store.setting("a")?,
                    store.setting("b")?,
                    store.setting("c")?,
                ))
            });
            let (a, b, c) = read.await.expect("reads");
            assert_eq!((a, b, c), (None, None, Some("set".to_owned())));
        }
    })
    .await;
}

#[tokio::test]
async fn close_carries_out_what_was_let_in_and_refuses_the_rest() {
    watched(async {
        let (handle, teller) = told();
        let first = let_in(&handle, "first").await;
        assert_eq!(begun(&teller), 1);
        let second = let_in(&handle, "second").await;
        let closing = tokio::spawn({
            let handle = handle.clone();
            async move { handle.close().await }
        });
        teller.fates.send(Fate::Succeeds).expect("told");
        teller.fates.send(Fate::Succeeds).expect("told");
        first.await.expect("durable").expect("taken");
        second.await.expect("durable").expect("taken");
        closing.await.expect("closes");
        assert!(matches!(
            handle.write(put("late")).await,
            Err(StoreError::Closed)
        ));
        let read = handle.read(|store| store.setting("first")).await;
        assert!(matches!(read, Err(StoreError::Closed)));
        handle.close().await;
        // The store is gone, and its end of the channel with it.
        assert_eq!(begun(&teller), 1);
        assert!(teller.begun.recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn the_last_clone_ends_the_writer() {
    watched(async {
        let (handle, teller) = told();
        drop(handle.clone());
        let write = let_in(&handle, "first").await;
        assert_eq!(begun(&teller), 1);
        drop(handle);
        teller.fates.send(Fate::Succeeds).expect("told");
        // The write holds a clone of its own.
        write.await.expect("durable").expect("taken");
        assert!(teller.begun.recv().is_err());
    })
    .await;
}

#[tokio::test]
async fn reads_run_a_few_at_once_and_the_rest_wait_their_turn() {
    watched(async {
        let handle = Handle::new(MemoryStore::default()).expect("a thread");
        let (begins, begun) = std_mpsc::channel();
        let mut running = Vec::new();
        for _ in 0..READERS {
            let (handle, begins) = (handle.clone(), begins.clone());
            let (go_on, wait) = std_mpsc::channel::<()>();
            let read = tokio::spawn(async move {
                let read = move |store: &dyn Store| {
                    begins.send(()).expect("the test looks");
                    wait.recv().expect("the test goes on");
                    store.counters()
                };
                handle.read(read).await
            });
            running.push((go_on, read));
            tokio::task::yield_now().await;
        }
        let limit = Duration::from_secs(30);
        for _ in 0..READERS {
            begun.recv_timeout(limit).expect("all of them at once");
        }
        let mut one_more = Box::pin(handle.read(|store| store.counters()));
        let first = futures_util::FutureExt::now_or_never(&mut one_more);
        assert!(first.is_none());
        assert_eq!(handle.0.readers.available_permits(), 0);
        for (go_on, read) in running {
            go_on.send(()).expect("waits");
            read.await.expect("ends").expect("reads");
        }
        one_more.await.expect("reads");
    })
    .await;
}
