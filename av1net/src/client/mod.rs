//! A client of the master's HTTP API: for the command line, and for a worker that has no
//! WebSocket.
//!
//! ```no_run
//! # async fn example() -> Result<(), av1net::client::ClientError> {
//! use av1net::client::{Client, Token, Trust};
//!
//! let address = "http://192.168.1.10:8090".parse().expect("an address");
//! let token = Token::new("a1b2c3", "the environment");
//! let client = Client::new(address, Some(token), None)?;
//! println!("{} films", client.status().await?.files);
//! # Ok(())
//! # }
//! ```

mod address;
mod calls;
mod connect;
mod error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

pub use self::address::{BadAddress, DEFAULT_PORT, MasterAddress};
#[cfg(test)]
pub(crate) use self::calls::query_of;
pub use self::connect::{Stream, Trust};
pub use self::error::ClientError;
use crate::proto::ErrorBody;

/// A whole call, its answer read, takes no longer. The slowest call is an action on
/// thousands of jobs, which is one transaction.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The largest answer that is read: a page of 500 jobs is below a megabyte, and the
/// plan of a film with hundreds of streams below ten.
const LARGEST_ANSWER_BYTES: usize = 32 << 20;

/// Connections that wait for the next call.
const IDLE_CONNECTIONS: usize = 4;

/// A request's body.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A token, and where it came from, for the message when it is refused. Its text is in
/// no debug output.
#[derive(Clone)]
pub struct Token {
    text: String,
    origin: String,
}

impl Token {
    /// A token from somewhere, such as `--token`.
    #[must_use]
    pub fn new(text: impl Into<String>, origin: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: origin.into(),
        }
    }

    /// The token itself.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(from {})", self.origin)
    }
}

/// Speaks to one master. Clones share its connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    address: MasterAddress,
    token: Option<Token>,
    authorization: Option<HeaderValue>,
    trust: Option<Trust>,
    /// Connections whose last answer was read whole.
    idle: Mutex<Vec<SendRequest<Body>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.0.address)
    }
}

impl Client {
    /// A client of the master at `address`; nothing is sent yet. For an `https` address
    /// `tls_ca` is the authority (PEM) to believe; without one the system's are.
    ///
    /// # Errors
    ///
    /// [`ClientError::Certificates`], [`ClientError::BadToken`].
    pub fn new(
        address: MasterAddress,
        token: Option<Token>,
        tls_ca: Option<&Path>,
    ) -> Result<Self, ClientError> {
        let trust = address.tls().then(|| Trust::new(tls_ca)).transpose()?;
        let authorization = token.as_ref().map(authorization).transpose()?;
        Ok(Self(Arc::new(Inner {
            address,
            token,
            authorization,
            trust,
            idle: Mutex::default(),
        })))
    }

    /// Where the master is.
    #[must_use]
    pub fn address(&self) -> &MasterAddress {
        &self.0.address
    }

    /// What the `Authorization` header says, for a WebSocket's handshake.
    #[must_use]
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.0.authorization.as_ref()
    }

    /// A connection of the caller's own, with TLS where the address says so: for a
    /// WebSocket.
    ///
    /// # Errors
    ///
    /// [`ClientError::Unreachable`], [`ClientError::Tls`].
    pub async fn connect(&self) -> Result<Box<dyn Stream>, ClientError> {
        connect::connect(&self.0.address, self.0.trust.as_ref()).await
    }

    /// Asks for `path` (with its query), and reads the answer as `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.call(Method::GET, path, None).await?;
        self.read(&answer)
    }

    /// Posts `body` as JSON, and reads the answer as `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let answer = self
            .call(Method::POST, path, Some(self.json(body)?))
            .await?;
        self.read(&answer)
    }

    /// Posts `body` as JSON where the answer says nothing.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn tell(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<(), ClientError> {
        let body = self.json(body)?;
        self.call(Method::POST, path, Some(body)).await?;
        Ok(())
    }

    /// Sends a request of the caller's own making, whose URI is a path below the
    /// master's address; host and token are added. The answer has whatever status it
    /// has, and its body is not read yet: [`Self::refused`] makes an error of one.
    ///
    /// # Errors
    ///
    /// [`ClientError`] where there is no answer.
    pub async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, ClientError> {
        self.complete(&mut request)?;
        let call = describe(&request);
        let mut sender = self.open().await?;
        let sent = sender.send_request(request).await;
        sent.map_err(|error| self.broken(&call, &error))
    }

    /// What a master that answered with an error means by it.
    pub async fn refused(&self, response: Response<Incoming>) -> ClientError {
        let status = response.status();
        match timeout(CALL_TIMEOUT, collect(response.into_body())).await {
            Ok(Ok(body)) => self.error_of(status, &body),
            _ => self.error_of(status, &[]),
        }
    }

    /// One call with its answer; a status of no success is an error.
    async fn call(
        &self,
        method: Method,
        path: &str,
        json: Option<Bytes>,
    ) -> Result<Bytes, ClientError> {
        let call = format!("{method} {path}");
        match timeout(CALL_TIMEOUT, self.exchange(&method, path, json, &call)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::TimedOut {
                address: self.0.address.clone(),
                call,
                seconds: CALL_TIMEOUT.as_secs(),
            }),
        }
    }

    async fn exchange(
        &self,
        method: &Method,
        path: &str,
        json: Option<Bytes>,
        call: &str,
    ) -> Result<Bytes, ClientError> {
        let mut request = Request::new(full(json.clone().unwrap_or_default()));
        *request.method_mut() = method.clone();
        *request.uri_mut() = path
            .parse()
            .map_err(|error| self.not_a_master(format!("{path} is no path: {error}")))?;
        if json.is_some() {
            let kind = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, kind);
        }
        self.complete(&mut request)?;
        let (mut sender, response) = self.dispatch(request, call).await?;
        let status = response.status();
        let body = collect(response.into_body())
            .await
            .map_err(|error| self.broken(call, &*error))?;
        // Only a connection whose answer was read to its end can carry another.
        if sender.ready().await.is_ok() {
            self.keep(sender);
        }
        if status.is_success() {
            Ok(body)
        } else {
            Err(self.error_of(status, &body))
        }
    }

    /// Sends over a connection that waits, else over a new one. One that the master has
    /// closed meanwhile gives the request back unsent.
    async fn dispatch(
        &self,
        mut request: Request<Body>,
        call: &str,
    ) -> Result<(SendRequest<Body>, Response<Incoming>), ClientError> {
        while let Some(mut sender) = self.waiting() {
            if sender.is_closed() {
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((sender, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(self.broken(call, error.error())),
                },
            }
        }
        let mut sender = self.open().await?;
        match sender.send_request(request).await {
            Ok(response) => Ok((sender, response)),
            Err(error) => Err(self.broken(call, &error)),
        }
    }

    async fn open(&self) -> Result<SendRequest<Body>, ClientError> {
        let stream = self.connect().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken("connecting", &error))?;
        // Ends with the sender, or with the connection; the sender tells of errors.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn waiting(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop()
    }

    fn keep(&self, sender: SendRequest<Body>) {
        let mut idle = self.0.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push(sender);
        }
    }

    /// Adds what every request has.
    fn complete(&self, request: &mut Request<Body>) -> Result<(), ClientError> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", hyper::http::uri::PathAndQuery::as_str);
        let whole = self.0.address.request_path(path);
        *request.uri_mut() = whole
            .parse()
            .map_err(|error| self.not_a_master(format!("{whole} is no path: {error}")))?;
        let host = HeaderValue::from_str(&self.0.address.authority())
            .map_err(|error| self.not_a_master(error.to_string()))?;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        let agent = HeaderValue::from_static(concat!("av1/", env!("CARGO_PKG_VERSION")));
        headers.insert(USER_AGENT, agent);
        if let Some(authorization) = &self.0.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(())
    }

    fn json(&self, body: &impl Serialize) -> Result<Bytes, ClientError> {
        let json = serde_json::to_vec(body);
        json.map(Bytes::from)
            .map_err(|error| self.not_a_master(error.to_string()))
    }

    fn read<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(answer)
            .map_err(|error| self.not_a_master(format!("its answer cannot be read: {error}")))
    }

    fn not_a_master(&self, why: String) -> ClientError {
        ClientError::NotAMaster {
            address: self.0.address.clone(),
            why,
        }
    }

    fn broken(&self, call: &str, error: &dyn std::error::Error) -> ClientError {
        ClientError::Broken {
            address: self.0.address.clone(),
            call: call.to_owned(),
            why: whole_chain(error),
        }
    }

    fn error_of(&self, status: StatusCode, body: &[u8]) -> ClientError {
        let address = self.0.address.clone();
        if status == StatusCode::UNAUTHORIZED {
            return match &self.0.token {
                Some(token) => ClientError::WrongToken {
                    address,
                    origin: token.origin.clone(),
                },
                None => ClientError::NoToken { address },
            };
        }
        match serde_json::from_slice::<ErrorBody>(body) {
            Ok(body) => ClientError::Refused {
                address,
                status: status.as_u16(),
                body: Box::new(body),
            },
            Err(_) => self.not_a_master(format!("it answers {status} and no reason")),
        }
    }
}

/// The bytes as a request's body.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

fn authorization(token: &Token) -> Result<HeaderValue, ClientError> {
    let value = HeaderValue::from_str(&format!("Bearer {}", token.text.trim()));
    let mut value = value.map_err(|_| ClientError::BadToken {
        origin: token.origin.clone(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn collect(body: Incoming) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let whole = Limited::new(body, LARGEST_ANSWER_BYTES).collect().await?;
    Ok(whole.to_bytes())
}

fn describe(request: &Request<Body>) -> String {
    format!("{} {}", request.method(), request.uri())
}

/// hyper's errors say the half of it and leave the rest to their source.
fn whole_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut inner = error.source();
    while let Some(error) = inner {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        inner = error.source();
    }
    text
}
