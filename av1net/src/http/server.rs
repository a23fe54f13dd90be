//! Connections: accepted, bounded, watched, and ended when the master ends.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::app::App;
use super::bucket::{Bucket, Rate};
use super::guard::{Activity, Guarded, Patience};
use super::listen::{Listening, connections_that_fit};

/// A request's head: more than any browser sends, cookies included.
const HEAD_BYTES: usize = 16 << 10;
/// What is buffered of a connection: a head, or a piece of a film.
const BUFFER_BYTES: usize = 64 << 10;
/// What open connections have to end once the master ends.
const GRACE: Duration = Duration::from_secs(5);
/// Refusals that are spoken out at the same time; beyond them connections are dropped.
const REFUSALS: usize = 64;
/// How long a peer has to take a refusal.
const FAREWELL: Duration = Duration::from_secs(1);

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once; fewer where the process may not open as many files.
    pub connections: usize,
    /// Requests of one connection.
    pub connection_rate: Rate,
    /// Requests of all connections with one token, or without any, from one address.
    pub caller_rate: Rate,
    /// Messages of one WebSocket; what comes faster is read more slowly.
    pub message_rate: Rate,
    /// Viewers of the live feed at once.
    pub live_viewers: usize,
    /// Time for a request's head, and for agreeing on TLS.
    pub head_timeout: Duration,
    /// Time between two requests of a connection.
    pub idle_timeout: Duration,
    /// Time that a peer may leave what it is sent unread.
    pub stalled_write_timeout: Duration,
    /// A WebSocket that was silent for so long is asked whether it lives; after three
    /// times as long it is closed.
    pub ping_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // 10,000 workers with one connection each, and people, and films.
            connections: 12_000,
            connection_rate: Rate {
                burst: 500.0,
                per_second: 200.0,
            },
            // All workers have one token, and may all be behind one address: when the
            // master comes back, 10,000 of them do.
            caller_rate: Rate {
                burst: 12_000.0,
                per_second: 2_000.0,
            },
            // A worker speaks every 10 s, and whenever one of its slots has news.
            message_rate: Rate {
                burst: 100.0,
                per_second: 20.0,
            },
            live_viewers: 256,
            head_timeout: Duration::from_secs(10),
            // Longer than the pause between a browser's polls, and than a worker's beat.
            idle_timeout: Duration::from_secs(75),
            stalled_write_timeout: Duration::from_secs(30),
            ping_every: Duration::from_secs(20),
        }
    }
}

/// A connection, for as long as something of it is left: its WebSocket keeps it too.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    pub(super) activity: Arc<Activity>,
    bucket: Mutex<Bucket>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    /// The peer's address; one that is IPv4 within IPv6 is IPv4.
    pub(super) fn address(&self) -> IpAddr {
        self.peer.ip().to_canonical()
    }

    /// Takes a request from the connection's rate.
    pub(super) fn take(&self, rate: Rate) -> Result<(), Duration> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.take(rate, Instant::now())
    }
}

/// Serves until `shutdown`, and then until the last connection has ended, or for five
/// seconds.
pub(super) async fn run(listening: Listening, app: Arc<App>, shutdown: CancellationToken) {
    let fit = connections_that_fit();
    let most = app.limits.connections.min(fit);
    if most < app.limits.connections {
        tracing::warn!(
            connections = most,
            "this process may not open more files; raise its limit (`ulimit -n`, `LimitNOFILE=`) for more workers",
        );
    }
    let server = Server {
        tls: listening.tls,
        places: Arc::new(Semaphore::new(most)),
        refusals: Arc::new(Semaphore::new(REFUSALS)),
        tasks: app.tasks.clone(),
        end_now: CancellationToken::new(),
        shutdown,
        app,
    };
    loop {
        let accepted = tokio::select! {
            biased;
            () = server.shutdown.cancelled() => break,
            accepted = listening.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => server.take(stream, peer),
            Err(error) => server.not_accepted(&error).await,
        }
    }
    drop(listening.listener);
    server.tasks.close();
    if timeout(GRACE, server.tasks.wait()).await.is_err() {
        tracing::warn!("connections are cut off that did not end in time");
        server.end_now.cancel();
        server.tasks.wait().await;
    }
}

struct Server {
    app: Arc<App>,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    /// Cancelled when the grace is over.
    end_now: CancellationToken,
}

impl Server {
    async fn not_accepted(&self, error: &io::Error) {
        // A peer that went away between its SYN and now.
        if matches!(
            error.kind(),
            io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
        ) {
            return;
        }
        // No files, or no memory: trying at once would spin.
        tracing::warn!(%error, "a connection is not accepted");
        sleep(Duration::from_millis(100)).await;
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            self.app.metrics.connection_refused();
            self.refuse(stream);
            return;
        };
        // Answers are small and waited for.
        if stream.set_nodelay(true).is_err() {
            return; // It is gone already.
        }
        let connection = Arc::new(Connection {
            peer,
            activity: Arc::default(),
            bucket: Mutex::new(Bucket::full(
                self.app.limits.connection_rate,
                Instant::now(),
            )),
            _place: place,
        });
        let end_now = self.end_now.clone();
        // A box: what waits for it with a time limit would hold three of it, 14 KB for each
        // connection that comes, which leaves holes behind that a WebSocket does not fill.
        let serving = Box::pin(self.serving(stream, connection));
        self.tasks.spawn(async move {
            end_now.run_until_cancelled(serving).await;
        });
    }

    /// The connection's life, TLS first where there is TLS.
    fn serving(
        &self,
        stream: TcpStream,
        connection: Arc<Connection>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (app, shutdown) = (Arc::clone(&self.app), self.shutdown.clone());
        let acceptor = self.tls.clone();
        async move {
            let Some(acceptor) = acceptor else {
                return serve(app, stream, connection, shutdown).await;
            };
            let head_timeout = app.limits.head_timeout;
            // A box: what agreeing on TLS needs is not kept for the connection's life.
            let agreed = timeout(head_timeout, Box::pin(agree(acceptor, stream)));
            if let Ok(Some(stream)) = agreed.await {
                Box::pin(serve(app, stream, connection, shutdown)).await;
            }
        }
    }

    /// There is no room: says so, to as many at once as that takes no room either.
    fn refuse(&self, mut stream: TcpStream) {
        let Ok(turn) = Arc::clone(&self.refusals).try_acquire_owned() else {
            return;
        };
        if self.tls.is_some() {
            return; // Nothing can be said before TLS is agreed on, which takes room.
        }
        self.tasks.spawn(async move {
            let _turn = turn;
            // An answer before its question is none to most clients.
            if !matches!(timeout(FAREWELL, stream.peek(&mut [0])).await, Ok(Ok(1))) {
                return;
            }
            let text = answer_at_once(
                "503 Service Unavailable",
                "too_many_connections",
                "too many connections; try again in a moment",
            );
            say_goodbye(&mut stream, text.as_bytes()).await;
        });
    }
}

/// An answer that is given without hyper, where there is no request to speak of.
fn answer_at_once(status: &str, kind: &str, message: &str) -> String {
    let body = serde_json::json!({ "kind": kind, "message": message }).to_string();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 5\r\nconnection: close\r\n\r\n{body}",
        body.len(),
    )
}

/// Says something, and waits a moment until it was read: closed with bytes unread, the
/// connection would be reset and what was said lost.
async fn say_goodbye(stream: &mut TcpStream, text: &[u8]) {
    let farewell = async {
        stream.write_all(text).await?;
        stream.shutdown().await?;
        let mut heap = [0; 1024];
        while stream.read(&mut heap).await? > 0 {}
        io::Result::Ok(())
    };
    // It may be gone, or not listen: then it learns nothing.
    let _ = timeout(FAREWELL, farewell).await;
}

/// Agrees on TLS; `None` where that fails.
async fn agree(
    acceptor: TlsAcceptor,
    mut stream: TcpStream,
) -> Option<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await.ok()?;
    // TLS begins with a record of type 22 (RFC 8446, 5.1), HTTP with a method.
    if first[0].is_ascii_uppercase() {
        let text = answer_at_once(
            "400 Bad Request",
            "tls_wanted",
            "this port speaks TLS: use https:// or wss://",
        );
        say_goodbye(&mut stream, text.as_bytes()).await;
        return None;
    }
    match acceptor.accept(stream).await {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%error, "no TLS");
            None
        }
    }
}

/// Requests, one after the other, until the peer or the master ends.
async fn serve<S>(
    app: Arc<App>,
    stream: S,
    connection: Arc<Connection>,
    shutdown: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = &app.limits;
    let patience = Patience {
        head: limits.head_timeout,
        idle: limits.idle_timeout,
        stalled_write: limits.stalled_write_timeout,
    };
    // A head that was read together with the request before it is not waited for by
    // `Guarded`, but by hyper.
    let backstop = limits.head_timeout + limits.idle_timeout;
    let stream = Guarded::new(stream, patience, Arc::clone(&connection.activity));
    let service = service_fn(move |request| {
        let (app, connection) = (Arc::clone(&app), Arc::clone(&connection));
        async move { Ok::<_, Infallible>(app.serve(connection, request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(backstop)
        .max_header_size(HEAD_BYTES)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        // Peers that go away, or are given up: nothing that anybody has to act on.
        tracing::debug!(%error, "a connection broke");
    }
}
