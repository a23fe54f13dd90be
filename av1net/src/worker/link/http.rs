//! The connection over the network.

use std::time::Duration;

use backon::ExponentialBackoff;
use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use hyper::header::AUTHORIZATION;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{Closed, Ended, Line, LinkEvent, Means, REPLY, waits};
use crate::client::{Client, ClientError, Stream};
use crate::proto::{ErrorBody, MasterReply, WorkerReport};
use crate::worker::WorkerError;

/// Where the WebSocket is.
const SOCKET_PATH: &str = "/api/v1/worker/ws";

/// Where a report goes without one.
const SYNC_PATH: &str = "/api/v1/worker/sync";

/// The WebSocket is asked for again after so long without it: a proxy was put right, or
/// the master's own limit has room again.
const WITHOUT_SOCKET: Duration = Duration::from_secs(60);

/// A reply has a handful of grants, each below ten kilobytes.
const LARGEST_REPLY_BYTES: usize = 4 << 20;

/// A WebSocket that breaks so often without a single reply is no good: something between
/// the two lets the handshake through and nothing else.
const SOCKET_TRIES: u32 = 2;

/// Speaks with the master until the owner is gone.
pub(super) async fn run(client: Client, line: Line) {
    let mut speaker = Speaker {
        client,
        line,
        waits: waits(),
        mute_sockets: 0,
    };
    loop {
        let Err(ended) = speaker.speak().await;
        let Ended::Broken(error) = ended else { return };
        let down = speaker.line.tell(LinkEvent::Down(error)).await;
        let wait = speaker.waits.next().unwrap_or(REPLY);
        if down.is_err() || speaker.line.wait(wait).await.is_err() {
            return;
        }
    }
}

struct Speaker {
    client: Client,
    line: Line,
    waits: ExponentialBackoff,
    /// WebSockets in a row that broke before the first reply.
    mute_sockets: u32,
}

type Socket = WebSocketStream<Box<dyn Stream>>;

/// How the request for a WebSocket ended.
enum Opened {
    Socket(Box<Socket>),
    /// Something answers there that does not make one.
    None(String),
}

impl Speaker {
    async fn speak(&mut self) -> Result<std::convert::Infallible, Ended> {
        loop {
            if self.mute_sockets < SOCKET_TRIES {
                match self.open().await? {
                    Opened::Socket(socket) => return self.speak_by_socket(*socket).await,
                    Opened::None(why) => tracing::info!(why, "no WebSocket is to be had"),
                }
            }
            self.speak_by_post().await?;
            self.mute_sockets = 0;
        }
    }

    async fn open(&self) -> Result<Opened, WorkerError> {
        let address = self.client.address();
        let broken = |error: &SocketError| self.lost(error.to_string());
        let mut request = address
            .websocket(SOCKET_PATH)
            .into_client_request()
            .map_err(|error| broken(&error))?;
        if let Some(authorization) = self.client.authorization() {
            let headers = request.headers_mut();
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let stream = self.client.connect().await?;
        let config = WebSocketConfig::default().max_message_size(Some(LARGEST_REPLY_BYTES));
        let shaking = client_async_with_config(request, stream, Some(config));
        match timeout(REPLY, shaking).await {
            Ok(Ok((socket, _))) => Ok(Opened::Socket(Box::new(socket))),
            Ok(Err(SocketError::Http(answer))) => {
                self.refused(answer.status(), answer.body().as_deref())
            }
            Ok(Err(error @ SocketError::Io(_))) => Err(broken(&error)),
            Ok(Err(error)) => Ok(Opened::None(error.to_string())),
            Err(_) => Ok(Opened::None("the handshake has no answer".to_owned())),
        }
    }

    /// An answer that is no WebSocket.
    fn refused(&self, status: StatusCode, body: Option<&[u8]>) -> Result<Opened, WorkerError> {
        let told: Option<ErrorBody> = body.and_then(|body| serde_json::from_slice(body).ok());
        let words = told.map_or_else(String::new, |told| format!(": {}", told.message));
        let why = format!("it answers {status}{words}");
        // Busy, or on its way up or down: a POST would have no better luck. What the
        // token is good for, a POST tells in the client's own words.
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            Err(self.lost(why))
        } else {
            Ok(Opened::None(why))
        }
    }

    async fn speak_by_socket(
        &mut self,
        mut socket: Socket,
    ) -> Result<std::convert::Infallible, Ended> {
        self.mute_sockets += 1;
        let mut answer_by = None;
        self.line.tell(LinkEvent::Up(Means::WebSocket)).await?;
        loop {
            let late = async {
                match answer_by {
                    Some(moment) => sleep_until(moment).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                report = self.line.report() => {
                    let report = match report {
                        Ok(report) => report,
                        Err(Closed) => {
                            // So that the master need not wait for the connection to die.
                            let _ = timeout(REPLY, socket.close(None)).await;
                            return Err(Ended::Closed);
                        }
                    };
                    self.send(&mut socket, &report).await?;
                    answer_by = Some(Instant::now() + REPLY);
                }
                message = socket.next() => {
                    if let Some(reply) = self.heard(message)? {
                        answer_by = None;
                        self.line.reply(reply).await?;
                        self.worked();
                    }
                }
                () = late => {
                    let why = format!("no answer within {} s", REPLY.as_secs());
                    return Err(self.lost(why).into());
                }
            }
        }
    }

    async fn send(&self, socket: &mut Socket, report: &WorkerReport) -> Result<(), WorkerError> {
        let text = serde_json::to_string(report).map_err(|error| self.lost(error.to_string()))?;
        match timeout(REPLY, socket.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.lost(error.to_string())),
            Err(_) => Err(self.lost("it takes no more".to_owned())),
        }
    }

    fn heard(
        &self,
        message: Option<Result<Message, SocketError>>,
    ) -> Result<Option<MasterReply>, WorkerError> {
        match message {
            Some(Ok(Message::Text(text))) => self.read(text.as_bytes()).map(Some),
            Some(Ok(Message::Binary(bytes))) => self.read(&bytes).map(Some),
            Some(Ok(Message::Close(Some(frame)))) if !frame.reason.is_empty() => {
                Err(self.lost(format!("the master closes it: {}", frame.reason)))
            }
            Some(Ok(Message::Close(_))) | None => Err(self.lost("the master closes it".to_owned())),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
            Some(Err(error)) => Err(self.lost(error.to_string())),
        }
    }

    /// A reply, or the master's words for why there is none.
    fn read(&self, text: &[u8]) -> Result<MasterReply, WorkerError> {
        let error = match serde_json::from_slice(text) {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        match serde_json::from_slice::<ErrorBody>(text) {
            Ok(body) if WorkerError::is_about_protocol(&body.kind) => {
                Err(WorkerError::Protocol { what: body.message })
            }
            Ok(body) => Err(self.lost(format!("the master refuses: {}", body.message))),
            Err(_) => Err(WorkerError::Protocol {
                what: format!("the master's reply cannot be read ({error})"),
            }),
        }
    }

    /// Speaks by single requests, until it is time to ask for a WebSocket again.
    async fn speak_by_post(&mut self) -> Result<(), Ended> {
        let until = Instant::now() + WITHOUT_SOCKET;
        self.line.tell(LinkEvent::Up(Means::Post)).await?;
        loop {
            let report = tokio::select! {
                report = self.line.report() => report?,
                () = sleep_until(until) => return Ok(()),
            };
            let posted = timeout(REPLY, self.client.post(SYNC_PATH, &report)).await;
            let posted = posted.map_err(|_| {
                let why = format!("no answer to POST {SYNC_PATH} within {} s", REPLY.as_secs());
                self.lost(why)
            })?;
            let reply = posted.map_err(of_protocol)?;
            self.line.reply(reply).await?;
            self.waits = waits();
        }
    }

    fn worked(&mut self) {
        self.waits = waits();
        self.mute_sockets = 0;
    }

    fn lost(&self, why: String) -> WorkerError {
        WorkerError::Lost {
            address: self.client.address().to_string(),
            why,
        }
    }
}

/// A master that refuses a report for its protocol.
fn of_protocol(error: ClientError) -> WorkerError {
    match error {
        ClientError::Refused { body, .. } if WorkerError::is_about_protocol(&body.kind) => {
            WorkerError::Protocol { what: body.message }
        }
        other => WorkerError::Master(other),
    }
}
