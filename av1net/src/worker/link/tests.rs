//! The connection against a real server: WebSocket and POST, tokens, restarts, and what
//! stands between.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_tungstenite::tungstenite::Message;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;
use crate::client::{MasterAddress, Token};
use crate::proto::{Phase, TaskEnd};
use crate::worker::orders::{ChildEnd, ChildPhase};
use crate::worker::process::tests::{asking, ended, expect, phase, program, say};
use crate::worker::testing::{Bench, LIMIT, Master, file_at, grant, key};
use crate::worker::{WorkerEvent, WorkerSummary};

const TOKEN: &str = "a1b2c3";

/// What the server does with a request for a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sockets {
    Work,
    /// They are refused with this status.
    Refused(u16),
    /// The handshake works, and then the connection is closed.
    Mute,
}

struct Server {
    address: SocketAddr,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(master: &Master, sockets: Sockets) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), master, sockets).await
    }

    async fn start_at(address: SocketAddr, master: &Master, sockets: Sockets) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = listener.local_addr().expect("its address");
        let master = master.clone();
        let serving = tokio::spawn(async move {
            // Dropped with this task: the server's end is that of all its connections.
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                connections.spawn(serve(stream, master.clone(), sockets));
            }
        });
        Self { address, serving }
    }

    fn transport(&self, token: &str) -> Transport {
        let address = MasterAddress::local(self.address.port(), false);
        let token = Token::new(token, "--token");
        Transport::Master(Client::new(address, Some(token), None).expect("a client"))
    }

    async fn stop(self) -> SocketAddr {
        self.serving.abort();
        let _ = self.serving.await;
        self.address
    }
}

async fn serve(stream: TcpStream, master: Master, sockets: Sockets) {
    // A connection of a test's end is nobody's fault.
    let conversations = Arc::new(std::sync::Mutex::new(JoinSet::new()));
    let service = service_fn(|request| {
        let (master, conversations) = (master.clone(), conversations.clone());
        async move {
            let answer = answer(request, &master, sockets, &conversations).await;
            Ok::<_, Infallible>(answer)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    let conversations = std::mem::take(&mut *conversations.lock().expect("not poisoned"));
    conversations.join_all().await;
}

async fn answer(
    mut request: Request<Incoming>,
    master: &Master,
    sockets: Sockets,
    conversations: &std::sync::Mutex<JoinSet<()>>,
) -> Response<Full<Bytes>> {
    let authorization = request.headers().get(AUTHORIZATION);
    if authorization.is_none_or(|value| value != &format!("Bearer {TOKEN}")) {
        let body = ErrorBody {
            kind: "unauthorized".to_owned(),
            message: "no".to_owned(),
            chain: Vec::new(),
        };
        return plain(401, &body);
    }
    match (request.uri().path(), sockets) {
        ("/api/v1/worker/sync", _) => {
            let body = request.body_mut().collect().await.expect("a body");
            let report = serde_json::from_slice(&body.to_bytes()).expect("a report");
            plain(200, &master.answer(report))
        }
        ("/api/v1/worker/ws", Sockets::Refused(status)) => plain(status, &()),
        ("/api/v1/worker/ws", _) => {
            let (response, socket) =
                hyper_tungstenite::upgrade(&mut request, None).expect("an upgrade");
            let master = master.clone();
            conversations
                .lock()
                .expect("not poisoned")
                .spawn(async move {
                    let mut socket = socket.await.expect("a socket");
                    if sockets == Sockets::Mute {
                        return;
                    }
                    while let Some(Ok(Message::Text(text))) = socket.next().await {
                        let report = serde_json::from_str(&text).expect("a report");
                        let reply = serde_json::to_string(&master.answer(report)).expect("text");
                        if socket.send(Message::text(reply)).await.is_err() {
                            return;
                        }
                    }
                });
            response
        }
        (path, _) => panic!("nobody asks for {path}"),
    }
}

fn plain(status: u16, body: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("text");
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

/// A bench whose child begins to encode, and goes on when `go` is there.
fn waiting_bench() -> (Bench, PathBuf, PathBuf) {
    let mut bench = Bench::new("");
    let (number, go) = (bench.file("number"), bench.file("go"));
    let end = ChildEnd::LeftAlone {
        reason: crate::job::Reason {
            kind: "not_worthwhile".to_owned(),
            message: "too large".to_owned(),
        },
        key: None,
    };
    let script = [
        expect("in_place"),
        format!("echo $$ >> '{}'\n", number.display()),
        say(&asking()),
        expect("proceed"),
        say(&phase(ChildPhase::Encoding)),
        format!("while [ ! -e '{}' ]; do sleep 0.01; done\n", go.display()),
        say(&ended(end)),
    ];
    bench.config.program = program(bench.folder.path(), &script.concat());
    (bench, number, go)
}

fn means(bench: &Bench) -> Vec<Means> {
    let events = bench.events.lock().expect("not poisoned");
    let connected = events.iter().filter_map(|event| match event {
        WorkerEvent::Connected { means } => Some(*means),
        _ => None,
    });
    connected.collect()
}

/// One film, from its grant to its end.
async fn one_film(sockets: Sockets) -> (Vec<Means>, WorkerSummary) {
    let (bench, _, go) = waiting_bench();
    let master = Master::new();
    let server = Server::start(&master, sockets).await;
    let worker = bench.start(server.transport(TOKEN));
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    master.phase_of(k, |phase| *phase == Phase::Encoding).await;
    std::fs::write(&go, "").expect("writes");
    assert!(matches!(master.end_of(k).await, TaskEnd::LeftAlone { .. }));
    bench.control.drain();
    let summary = worker.ended().await.expect("ends well");
    (means(&bench), summary)
}

#[tokio::test]
async fn a_film_is_encoded_over_a_websocket() {
    let (means, summary) = one_film(Sockets::Work).await;
    assert_eq!(means, [Means::WebSocket]);
    assert_eq!((summary.left_alone, summary.untold.len()), (1, 0));
}

#[tokio::test]
async fn where_no_websocket_is_to_be_had_reports_are_posted() {
    for status in [400, 404, 426] {
        let (means, summary) = one_film(Sockets::Refused(status)).await;
        assert_eq!(means, [Means::Post], "{status}");
        assert_eq!(summary.left_alone, 1);
    }
}

#[tokio::test]
async fn a_websocket_that_says_nothing_is_given_up_for_posts() {
    let (means, summary) = one_film(Sockets::Mute).await;
    assert_eq!(means.last(), Some(&Means::Post));
    assert_eq!(summary.left_alone, 1);
}

#[tokio::test]
async fn a_master_that_starts_anew_ends_no_encode() {
    let (bench, number, go) = waiting_bench();
    let master = Master::new();
    let server = Server::start(&master, Sockets::Work).await;
    let worker = bench.start(server.transport(TOKEN));
    let k = key(1, 1);
    master.give(grant(k, "film.mkv"));
    master.phase_of(k, |phase| *phase == Phase::Encoding).await;
    let process = file_at(&number).await;
    let address = server.stop().await;
    let is_lost = async {
        loop {
            let events = bench.events.lock().expect("not poisoned").clone();
            if events
                .iter()
                .any(|e| matches!(e, WorkerEvent::Disconnected { .. }))
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, is_lost).await.expect("it is noticed");
    let begun = Instant::now();
    let _server = Server::start_at(address, &master, Sockets::Work).await;
    let before = master.with(|state| state.reports.len());
    let back = |state: &mut crate::worker::testing::State| {
        let report = state.reports.get(before)?;
        Some(report.tasks.clone())
    };
    let tasks = master.until("back", back).await;
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "the design's limit"
    );
    assert_eq!(tasks[0].phase, Phase::Encoding, "the first report has it");
    std::fs::write(&go, "").expect("writes");
    assert!(matches!(master.end_of(k).await, TaskEnd::LeftAlone { .. }));
    assert_eq!(file_at(&number).await, process, "one process did it all");
    bench.control.drain();
    worker.ended().await.expect("ends well");
}

#[tokio::test]
async fn a_wrong_token_is_told_at_once_with_where_it_came_from() {
    let master = Master::new();
    let server = Server::start(&master, Sockets::Work).await;
    let worker = Bench::new("").start(server.transport("wrong"));
    let error = worker.ended().await.expect_err("it may not");
    let text = error.to_string();
    assert!(
        text.contains("does not take the token from --token"),
        "{text}"
    );
}

#[tokio::test]
async fn a_master_of_another_protocol_is_told_at_once() {
    let master = Master::new();
    master.with(|state| state.protocol = Some(PROTOCOL + 1));
    let server = Server::start(&master, Sockets::Work).await;
    let worker = Bench::new("").start(server.transport(TOKEN));
    let error = worker.ended().await.expect_err("it cannot");
    let text = error.to_string();
    assert!(
        text.contains("protocol 2") && text.contains("bring the older"),
        "{text}"
    );
}

#[tokio::test]
async fn a_master_that_is_not_there_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let (bench, master) = (Bench::new(""), Master::new());
    let port = MasterAddress::local(address.port(), false);
    let client = Client::new(port, Some(Token::new(TOKEN, "--token")), None);
    let worker = bench.start(Transport::Master(client.expect("a client")));
    // It has tried in vain by now: its first try is its first step.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let _server = Server::start_at(address, &master, Sockets::Work).await;
    master
        .until("a report", |state| state.reports.back().map(|_| ()))
        .await;
    bench.control.drain();
    worker.ended().await.expect("ends well");
}

#[tokio::test(start_paused = true)]
async fn a_master_that_does_not_answer_is_a_lost_one() {
    let (asked, mut ask) = mpsc::unbounded_channel();
    let local = Local::new(
        move |_| {
            asked.send(Instant::now()).expect("is heard");
            Box::pin(pending())
        },
        |_| None,
    );
    let worker = WorkerId("w".to_owned());
    let mut link = Link::start(Transport::Local(local), &worker);
    for _ in 0..5 {
        assert!(matches!(link.events.recv().await, Some(LinkEvent::Up(_))));
        link.reports.send(report()).await.expect("is taken");
        let asked = ask.recv().await.expect("asked");
        let Some(LinkEvent::Down(error)) = link.events.recv().await else {
            panic!("it is not lost");
        };
        assert!(error.is_passing(), "{error}");
        assert_eq!(asked.elapsed(), REPLY);
    }
}

#[test]
fn waits_grow_to_ten_seconds_at_most_and_no_two_workers_wait_alike() {
    let of_one = || -> Vec<Duration> { waits().take(50).collect() };
    let (one, two) = (of_one(), of_one());
    assert_eq!(one.len(), 50, "for ever");
    assert!(one.iter().all(|wait| *wait <= Duration::from_secs(10)));
    assert!(one[0] < Duration::from_secs(1));
    assert_ne!(one, two);
}

fn report() -> WorkerReport {
    serde_json::from_value(serde_json::json!({
        "protocol": 1, "worker": "w", "session": "s", "sequence": 0, "name": "n",
        "version": "v", "slots": 1, "mode": "running", "load": {}
    }))
    .expect("a report")
}
