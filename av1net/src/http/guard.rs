//! The bytes of a connection, with a limit to every wait that hyper has none for: the
//! first byte and the whole of a request's head, the time between two requests, and a
//! peer that does not read what it is sent.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a connection may keep the master waiting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For a request's head.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// For the peer to take what it is sent.
    pub(super) stalled_write: Duration,
}

/// What the connection is in, as its service sees it: shared by the service, which
/// knows when requests begin and end, and the bytes, which are what is waited for.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests begun and requests ended, as one number: odd while one is at work.
    steps: AtomicU64,
}

impl Activity {
    /// A request begins; it ends when the last clone of what is returned is dropped. A
    /// WebSocket, which has limits of its own, keeps one for as long as it lives.
    pub(super) fn begin(self: &Arc<Self>) -> AtWork {
        self.steps.fetch_add(1, Ordering::Relaxed);
        AtWork(Arc::new(Ends {
            activity: Arc::clone(self),
        }))
    }
}

/// A request at work.
#[derive(Clone, Debug)]
pub(super) struct AtWork(
    #[expect(dead_code, reason = "what counts is when it is dropped")] Arc<Ends>,
);

#[derive(Debug)]
struct Ends {
    activity: Arc<Activity>,
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.activity.steps.fetch_add(1, Ordering::Relaxed);
    }
}

/// A connection's bytes, watched.
pub(super) struct Guarded<S> {
    inner: S,
    patience: Patience,
    activity: Arc<Activity>,
    /// Waits for the peer to send, within this step.
    reading: Option<(u64, Pin<Box<Sleep>>)>,
    /// Whether something of the next head has come, within this step.
    begun: Option<u64>,
    writing: Option<Pin<Box<Sleep>>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(inner: S, patience: Patience, activity: Arc<Activity>) -> Self {
        Self {
            inner,
            patience,
            activity,
            reading: None,
            begun: None,
            writing: None,
        }
    }

    /// The peer sent nothing: for how long may it?
    fn wait_for_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let step = self.activity.steps.load(Ordering::Relaxed);
        if step % 2 == 1 {
            // A request is at work: how long its body may take is its handler's matter.
            self.reading = None;
            return Poll::Pending;
        }
        let Patience { head, idle, .. } = self.patience;
        let is_first = step == 0;
        let timer = match &mut self.reading {
            Some((of, timer)) if *of == step => timer,
            _ => {
                let wait = if is_first || self.begun == Some(step) {
                    head
                } else {
                    idle
                };
                let timer = Box::pin(sleep_until(Instant::now() + wait));
                &mut self.reading.insert((step, timer)).1
            }
        };
        ready!(timer.as_mut().poll(cx));
        let what = "the peer did not send a request in time";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }

    /// Bytes came.
    fn came(&mut self) {
        let step = self.activity.steps.load(Ordering::Relaxed);
        if step % 2 == 1 || self.begun == Some(step) {
            return;
        }
        self.begun = Some(step);
        // From here on the head has its time; that of the first one runs already.
        if step != 0 {
            self.reading = None;
        }
    }

    fn written<T>(
        &mut self,
        cx: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.writing = None;
            return result;
        }
        let patience = self.patience.stalled_write;
        let timer = self
            .writing
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
        ready!(timer.as_mut().poll(cx));
        let what = "the peer did not read what it was sent";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Pending => self.wait_for_bytes(cx),
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    self.came();
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.written(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, parts);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(60),
        stalled_write: Duration::from_secs(30),
    };

    /// Seconds until a read fails, with the clock paused.
    async fn seconds_until_given_up<S: AsyncRead + Unpin>(guarded: &mut Guarded<S>) -> u64 {
        let start = Instant::now();
        let mut buffer = [0; 64];
        loop {
            match guarded.read(&mut buffer).await {
                Ok(0) => panic!("the other end is open"),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return start.elapsed().as_secs();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_has_its_time_however_it_trickles() {
        let (mut peer, ours) = duplex(64);
        let mut guarded = Guarded::new(ours, PATIENCE, Arc::default());
        let trickle = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                peer.write_all(b"x").await.expect("sent");
            }
        };
        tokio::select! {
            () = trickle => {}
            seconds = seconds_until_given_up(&mut guarded) => assert_eq!(seconds, 10),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_more_time_until_the_next_one_begins() {
        let (mut peer, ours) = duplex(64);
        let activity = Arc::<Activity>::default();
        let mut guarded = Guarded::new(ours, PATIENCE, Arc::clone(&activity));
        drop(activity.begin());
        assert_eq!(seconds_until_given_up(&mut guarded).await, 60);
        drop(activity.begin());
        let late = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            peer.write_all(b"GET").await.expect("sent");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = late => {}
            seconds = seconds_until_given_up(&mut guarded) => assert_eq!(seconds, 40),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_at_work_and_a_websocket_are_not_hurried() {
        let (_peer, ours) = duplex(64);
        let activity = Arc::<Activity>::default();
        let mut guarded = Guarded::new(ours, PATIENCE, Arc::clone(&activity));
        let _at_work = activity.begin();
        let hour = Duration::from_secs(3600);
        let read = tokio::time::timeout(hour, seconds_until_given_up(&mut guarded));
        assert!(read.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (_peer, ours) = duplex(64);
        let mut guarded = Guarded::new(ours, PATIENCE, Arc::default());
        let start = Instant::now();
        let error = guarded.write_all(&[0; 100]).await.expect_err("given up");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed().as_secs(), 30);
    }
}
