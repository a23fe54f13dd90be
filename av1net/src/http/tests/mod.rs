//! The port on real sockets, whatever callers do to it.

mod films;
mod limits;
mod matrix;
mod openapi;
mod requests;
mod sockets;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{HttpConfig, Listening, Tokens, serve};
use crate::master::Core;
use crate::proto::ErrorBody;
use crate::units::{Epoch, JobId};

/// A hang is a failure.
pub(super) const WATCHDOG: Duration = Duration::from_secs(60);

/// Runs a test on a runtime with several threads, and gives up on it in time.
pub(super) fn watched(test: impl Future<Output = ()>) {
    runtime().block_on(async {
        tokio::time::timeout(WATCHDOG, test)
            .await
            .expect("the test came to its end in time");
    });
}

/// A runtime that the test may block.
pub(super) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// A master's port with a library that lies in a temporary folder.
pub(super) struct Port {
    pub(super) address: SocketAddr,
    pub(super) tokens: Tokens,
    pub(super) core: Core,
    pub(super) state: TempDir,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Port {
    /// With tokens and the usual limits.
    pub(super) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    /// With a configuration of the test's own.
    pub(super) async fn open_with(change: impl FnOnce(&mut HttpConfig)) -> Self {
        let state = tempfile::tempdir().expect("a folder");
        let listening = Listening::bind(([127, 0, 0, 1], 0).into(), None).expect("a port");
        Self::open_at(listening, state, change).await
    }

    pub(super) async fn open_at(
        listening: Listening,
        state: TempDir,
        change: impl FnOnce(&mut HttpConfig),
    ) -> Self {
        let films = state.path().join("films");
        std::fs::create_dir(&films).expect("made");
        std::fs::write(films.join("film.mkv"), "film").expect("written");
        let core = Core::for_tests(state.path(), &films).await;
        Self::serve(listening, state, core, change)
    }

    fn serve(
        listening: Listening,
        state: TempDir,
        core: Core,
        change: impl FnOnce(&mut HttpConfig),
    ) -> Self {
        let tokens = Tokens::open(state.path()).expect("tokens");
        let mut config = HttpConfig {
            tokens: Some(tokens.clone()),
            state_directory: Some(state.path().to_owned()),
            allowed_hosts: vec!["av1.example.org".to_owned()],
            limits: super::Limits::default(),
        };
        change(&mut config);
        let address = listening.address();
        let shutdown = CancellationToken::new();
        let serving = serve(listening, core.clone(), config, shutdown.clone());
        let task = tokio::spawn(async move { serving.await.expect("served") });
        Self {
            address,
            tokens,
            core,
            state,
            shutdown,
            task,
        }
    }

    /// Ends it; how long that took.
    pub(super) async fn close(self) -> Duration {
        let start = tokio::time::Instant::now();
        self.shutdown.cancel();
        self.task.await.expect("no panic");
        start.elapsed()
    }

    /// Ends it, and begins again with the same core and state, and another port.
    pub(super) async fn reopen(self) -> Self {
        self.shutdown.cancel();
        self.task.await.expect("no panic");
        let listening = Listening::bind(([127, 0, 0, 1], 0).into(), None).expect("a port");
        Self::serve(listening, self.state, self.core, |_| {})
    }

    /// A worker that takes films over HTTP takes the one there is: its lease.
    pub(super) async fn lease(&self) -> (JobId, Epoch) {
        let report = serde_json::json!({
            "protocol": 1, "worker": "shipper", "session": "s", "sequence": 1, "name": "shipper",
            "version": "0.1.0", "encoder": "one", "slots": 1, "mode": "running", "load": {},
            "ships": true,
        });
        let report = serde_json::from_value(report).expect("a report");
        let reply = self.core.sync(report).await.expect("a reply");
        let grant = reply.grants.first().expect("a grant");
        assert!(grant.ship);
        (grant.task.job, grant.epoch)
    }

    /// The media directory.
    pub(super) fn films(&self) -> std::path::PathBuf {
        self.state.path().join("films")
    }

    pub(super) fn get(&self, path: &str) -> Call {
        Call::new(self.address, Method::GET, path)
    }

    pub(super) fn post(&self, path: &str, body: &str) -> Call {
        let mut call = Call::new(self.address, Method::POST, path).body(body.to_owned());
        call.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        call
    }

    pub(super) fn call(&self, method: Method, path: &str) -> Call {
        Call::new(self.address, method, path)
    }

    /// Logs in: the cookie.
    pub(super) async fn cookie(&self, token: &str) -> String {
        let body = serde_json::json!({ "token": token }).to_string();
        let answer = self.post("/api/v1/login", &body).send().await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        let cookie = answer.headers["set-cookie"].to_str().expect("text");
        cookie.split(';').next().expect("a pair").to_owned()
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("connected")
    }

    /// Sends bytes as they are, and reads what comes back until the end.
    pub(super) async fn raw(&self, bytes: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// A request.
pub(super) struct Call {
    address: SocketAddr,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    pub(super) fn new(address: SocketAddr, method: Method, path: &str) -> Self {
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(&address.to_string()).expect("a host");
        headers.insert(HOST, host);
        Self {
            address,
            method,
            path: path.to_owned(),
            headers,
            body: Bytes::new(),
        }
    }

    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a value");
        self.headers.insert(name, value);
        self
    }

    pub(super) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(super) fn cookie(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
    }

    /// From the master's own page.
    pub(super) fn own_origin(self) -> Self {
        let origin = format!("http://{}", self.address);
        self.header("origin", &origin)
    }

    pub(super) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) async fn send(self) -> Answer {
        let stream = TcpStream::connect(self.address).await.expect("connected");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("a client");
        let driving = tokio::spawn(connection);
        let mut request = Request::builder().method(self.method).uri(self.path);
        *request.headers_mut().expect("lawful") = self.headers;
        let request = request.body(Full::new(self.body)).expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        driving.abort();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(super) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// A documented error.
    pub(super) fn error(&self) -> ErrorBody {
        assert!(!self.status.is_success(), "{}", self.status);
        let error: ErrorBody = self.json();
        assert!(!error.kind.is_empty() && !error.message.is_empty());
        error
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}
