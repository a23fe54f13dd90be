//! WebSockets: a worker's line to the master, and the live feed.
//!
//! 10,000 of them have to fit in 150 MB, so that each has a read buffer of 2 KiB, writes
//! without a buffer of its own, and keeps on its stack what it waits for and no more.

mod live;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::Response;
use hyper::http::Request;
use hyper_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use hyper_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use hyper_tungstenite::tungstenite::{Error, Message, Utf8Bytes, error::CapacityError};
use hyper_tungstenite::{HyperWebsocket, HyperWebsocketStream};
use tokio::time::{Instant, Interval, MissedTickBehavior, timeout};

use super::app::{App, Asked};
use super::auth::Caller;
use super::body::Input;
use super::bucket::Bucket;
use super::error::HttpError;
use super::guard::AtWork;
use super::metrics::OpenSocket;
use super::respond::{self, Body};
use super::server::Connection;

pub(super) use self::live::live;
pub(super) use self::worker::worker;

/// The largest message that is taken: a worker that ended thousands of jobs fits.
const MESSAGE_BYTES: usize = 1 << 20;
/// What a quiet line holds; it grows for a message that is longer. A worker's beat has half
/// a kilobyte.
const READ_BUFFER_BYTES: usize = 2 << 10;
/// How long the other side has to agree that it is over.
const FAREWELL: Duration = Duration::from_secs(2);
/// Silences of `ping_every` after which a line is dead.
const SILENCES: u32 = 3;

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        // Each message is written at once: nothing is kept for the next one.
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES))
}

/// Agrees to a WebSocket: the answer, and what the line will be made of.
fn upgrade(
    app: &Arc<App>,
    asked: Asked,
    input: Input,
    kind: &'static str,
) -> Result<(Response<Body>, Agreed), HttpError> {
    let (headers, _) = input.into_parts();
    let mut request = Request::from_parts(asked.head, ());
    *request.headers_mut() = headers;
    if !hyper_tungstenite::is_upgrade_request(&request) {
        return Err(HttpError::NotWebSocket);
    }
    let (response, socket) = hyper_tungstenite::upgrade(&mut request, Some(config()))
        .map_err(|_| HttpError::NotWebSocket)?;
    let agreed = Agreed {
        socket,
        app: Arc::clone(app),
        caller: asked.caller,
        held: Held {
            _connection: asked.connection,
            _at_work: asked.at_work,
            _open: app.metrics.socket(kind),
        },
    };
    Ok((response.map(|_| respond::nothing()), agreed))
}

/// A WebSocket that was agreed to.
struct Agreed {
    socket: HyperWebsocket,
    app: Arc<App>,
    caller: Caller,
    held: Held,
}

/// What lives as long as the line: its place among the connections, and its count.
struct Held {
    _connection: Arc<Connection>,
    _at_work: AtWork,
    _open: OpenSocket,
}

impl Agreed {
    /// Opens the line, once the answer is sent.
    async fn open(self) -> Option<Line> {
        let stream = match self.socket.await {
            Ok(stream) => stream,
            Err(error) => {
                tracing::debug!(%error, "no WebSocket");
                return None;
            }
        };
        let now = Instant::now();
        let limits = &self.app.limits;
        let mut ticks = tokio::time::interval_at(now + limits.ping_every, limits.ping_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(Line {
            stream,
            heard: now,
            ticks,
            bucket: Bucket::full(limits.message_rate, now),
            app: self.app,
            caller: self.caller,
            _held: self.held,
        })
    }
}

/// A WebSocket.
struct Line {
    stream: HyperWebsocketStream,
    heard: Instant,
    ticks: Interval,
    bucket: Bucket,
    app: Arc<App>,
    caller: Caller,
    _held: Held,
}

/// How a line ends.
struct End {
    code: CloseCode,
    reason: &'static str,
}

impl End {
    const fn new(code: CloseCode, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// The other side, or the line, is gone: there is nobody to say it to.
    const GONE: Self = Self::new(CloseCode::Abnormal, "");
    /// 1012 (IANA's registry): it is worth coming back in a moment.
    const RESTART: Self = Self::new(
        CloseCode::Restart,
        "the master is ending; come back in a moment",
    );
}

impl Line {
    /// The next text; pings are answered, and sent where nothing comes. It may be given
    /// up at any moment: nothing is lost.
    async fn hear(&mut self) -> Result<Utf8Bytes, End> {
        let shutdown = self.app.shutdown.clone();
        loop {
            let message = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Err(End::RESTART),
                message = self.stream.next() => message,
                _ = self.ticks.tick() => {
                    self.tick().await?;
                    continue;
                }
            };
            self.heard = Instant::now();
            match message {
                Some(Ok(Message::Text(text))) => return Ok(text),
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Binary(_))) => {
                    return Err(End::new(CloseCode::Unsupported, "text is spoken here"));
                }
                Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                    return Err(End::new(CloseCode::Size, "a message has 1 MiB at the most"));
                }
                // 1007: RFC 6455, 8.1.
                Some(Err(Error::Utf8(_))) => {
                    return Err(End::new(CloseCode::Invalid, "text is UTF-8"));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::GONE),
            }
        }
    }

    async fn tick(&mut self) -> Result<(), End> {
        if !self.app.auth.holds(&self.caller) {
            return Err(End::new(CloseCode::Policy, "the session has ended"));
        }
        let silence = self.heard.elapsed();
        let every = self.app.limits.ping_every;
        if silence >= every * SILENCES {
            return Err(End::new(
                CloseCode::Policy,
                "nothing was heard for too long",
            ));
        }
        if silence >= every {
            self.send(Message::Ping(bytes::Bytes::new())).await?;
        }
        Ok(())
    }

    /// Slows down who speaks too often, by reading no further.
    async fn pace(&mut self) -> Result<(), End> {
        let wait = self
            .bucket
            .owe(self.app.limits.message_rate, Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        tokio::select! {
            () = self.app.shutdown.cancelled() => Err(End::RESTART),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        // A peer that does not read is given up by the connection's own patience.
        self.stream.send(message).await.map_err(|error| {
            tracing::debug!(%error, "a WebSocket broke");
            End::GONE
        })
    }

    /// Says goodbye.
    async fn close(mut self, end: End) {
        if end.code == CloseCode::Abnormal {
            return;
        }
        let frame = CloseFrame {
            code: end.code,
            reason: Utf8Bytes::from_static(end.reason),
        };
        let farewell = async {
            self.stream.close(Some(frame)).await?;
            while let Some(message) = self.stream.next().await {
                message?;
            }
            Ok::<_, Error>(())
        };
        // Who does not answer is cut off.
        let _ = timeout(FAREWELL, farewell).await;
    }
}
