//! A worker's line and the live feed.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Port, watched};
use crate::http::bucket::Rate;
use crate::proto::{ErrorBody, MasterReply};

type Headers<'a> = [(&'static str, &'a str)];
type Socket = WebSocketStream<TcpStream>;

async fn dial(port: &Port, path: &str, headers: &Headers<'_>) -> Result<Socket, Error> {
    let mut request = format!("ws://{}{path}", port.address)
        .into_client_request()
        .expect("a request");
    for (name, value) in headers {
        let value = value.parse().expect("a value");
        request.headers_mut().insert(*name, value);
    }
    let stream = port.connect().await;
    let (socket, _) = tokio_tungstenite::client_async(request, stream).await?;
    Ok(socket)
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn worker_line(port: &Port) -> Socket {
    let token = bearer(&port.tokens.worker);
    let headers = [("authorization", token.as_str())];
    let dialled = dial(port, "/api/v1/worker/ws", &headers);
    dialled.await.expect("a line")
}

fn report(worker: &str, sequence: u64) -> Value {
    json!({
        "protocol": 1, "worker": worker, "session": "s1", "sequence": sequence,
        "name": "one", "version": "0.1.0", "slots": 1, "mode": "running", "load": {},
        "not_known_yet": true,
    })
}

async fn say(socket: &mut Socket, what: &Value) {
    let message = Message::text(what.to_string());
    socket.send(message).await.expect("sent");
}

async fn text(socket: &mut Socket) -> String {
    loop {
        match socket.next().await.expect("open").expect("a message") {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The code with which the other end closes.
async fn closed(socket: &mut Socket) -> Option<CloseCode> {
    while let Some(message) = socket.next().await {
        match message {
            Ok(Message::Close(frame)) => return frame.map(|frame| frame.code),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
    None
}

#[test]
fn a_worker_reports_is_answered_and_is_told_what_comes_up() {
    watched(async {
        let port = Port::open().await;
        let mut line = worker_line(&port).await;
        say(&mut line, &report("w1", 1)).await;
        let reply: MasterReply = serde_json::from_str(&text(&mut line).await).expect("a reply");
        assert_eq!(reply.next_sync_ms, 10_000);
        assert!(!reply.settings.paused);
        port.core.set_paused(true).await.expect("paused");
        // Before its next report. What else changed meanwhile may be told before it.
        loop {
            let pushed: MasterReply = serde_json::from_str(&text(&mut line).await).expect("one");
            if pushed.settings.paused {
                break;
            }
        }
        say(&mut line, &report("w1", 2)).await;
        text(&mut line).await;
        line.close(None).await.expect("closed");
        port.close().await;
    });
}

#[test]
fn the_same_report_goes_over_post() {
    watched(async {
        let port = Port::open().await;
        let call = port.post("/api/v1/worker/sync", &report("w1", 1).to_string());
        let answer = call.token(&port.tokens.worker).send().await;
        assert_eq!(answer.status, StatusCode::OK);
        let _: MasterReply = answer.json();
        let old = json!({"protocol": 0, "worker": "w", "session": "s", "sequence": 1, "name": "",
            "version": "", "slots": 1, "mode": "running", "load": {}});
        let call = port.post("/api/v1/worker/sync", &old.to_string());
        let answer = call.token(&port.tokens.worker).send().await;
        assert_eq!(answer.status.as_u16(), 426);
        answer.error();
        port.close().await;
    });
}

#[test]
fn what_is_wrong_on_a_line_is_told_and_ends_that_line_alone() {
    watched(async {
        let port = Port::open().await;
        let mut bystander = worker_line(&port).await;
        say(&mut bystander, &report("w0", 1)).await;
        text(&mut bystander).await;

        // A refusal of the master's is an answer, and the line goes on.
        let mut line = worker_line(&port).await;
        let mut old = report("w1", 1);
        old["protocol"] = json!(0);
        say(&mut line, &old).await;
        let error: ErrorBody = serde_json::from_str(&text(&mut line).await).expect("an error");
        assert_eq!(error.kind, "protocol_too_old");
        say(&mut line, &report("w1", 2)).await;
        text(&mut line).await;
        // Another worker's report on it is not.
        say(&mut line, &report("w2", 3)).await;
        assert_eq!(closed(&mut line).await, Some(CloseCode::Policy));

        let mut line = worker_line(&port).await;
        line.send(Message::text("{")).await.expect("sent");
        let error: ErrorBody = serde_json::from_str(&text(&mut line).await).expect("an error");
        assert_eq!(error.kind, "bad_json");
        assert_eq!(closed(&mut line).await, Some(CloseCode::Invalid));

        let mut line = worker_line(&port).await;
        line.send(Message::binary(vec![1])).await.expect("sent");
        assert_eq!(closed(&mut line).await, Some(CloseCode::Unsupported));

        let mut line = worker_line(&port).await;
        // The other end may have closed before all of it was written.
        let _ = line.send(Message::text("x".repeat(2 << 20))).await;
        assert!(matches!(
            closed(&mut line).await,
            Some(CloseCode::Size) | None
        ));

        say(&mut bystander, &report("w0", 2)).await;
        text(&mut bystander).await;
        port.close().await;
    });
}

#[test]
fn strangers_pages_get_no_websocket() {
    watched(async {
        let port = Port::open().await;
        let cookie = port.cookie(&port.tokens.read).await;
        let own = format!("http://{}", port.address);
        let cases: [(&Headers<'_>, Option<u16>); 6] = [
            (&[("cookie", &cookie), ("origin", &own)], None),
            (&[("cookie", &cookie)], Some(403)),
            (
                &[("cookie", &cookie), ("origin", "http://evil.example")],
                Some(403),
            ),
            (
                &[
                    ("cookie", &cookie),
                    ("origin", &own),
                    ("sec-fetch-site", "cross-site"),
                ],
                Some(403),
            ),
            (
                &[
                    ("cookie", &cookie),
                    ("origin", &own),
                    ("host", "evil.example"),
                ],
                Some(421),
            ),
            (&[("origin", &own)], Some(401)),
        ];
        for (headers, expected) in cases {
            match (dial(&port, "/api/v1/live", headers).await, expected) {
                (Ok(_), None) => {}
                (Err(Error::Http(answer)), Some(status)) => {
                    assert_eq!(answer.status().as_u16(), status, "{headers:?}");
                }
                (got, _) => panic!("{headers:?}: {got:?}"),
            }
        }
        port.close().await;
    });
}

#[test]
fn the_feed_begins_with_a_snapshot_and_a_viewer_that_lags_begins_anew() {
    watched(async {
        let port = Port::open().await;
        let token = bearer(&port.tokens.read);
        let headers = [("authorization", token.as_str())];
        let mut viewer = dial(&port, "/api/v1/live", &headers).await.expect("a line");
        assert!(text(&mut viewer).await.contains("snapshot"));
        port.core.say_to_viewers("one");
        while text(&mut viewer).await != "one" {}
        // More than the feed remembers, and too much for the socket's buffers: the viewer
        // reads nothing meanwhile.
        let large = "x".repeat(1 << 20);
        for _ in 0..150 {
            port.core.say_to_viewers(&large);
            tokio::task::yield_now().await;
        }
        port.core.say_to_viewers("last");
        let mut snapshots = 0;
        let mut all = 0;
        loop {
            let text = text(&mut viewer).await;
            all += 1;
            snapshots += u32::from(text.contains("snapshot"));
            if text == "last" || snapshots > 0 {
                break;
            }
        }
        assert_eq!(snapshots, 1, "it did not lag: {all} messages");
        port.close().await;
    });
}

#[test]
fn a_session_that_ends_takes_its_feed_with_it_and_silence_is_noticed() {
    watched(async {
        let port = Port::open_with(|config| {
            // A machine that is busy elsewhere answers late: a second is long for that.
            config.limits.ping_every = Duration::from_secs(1);
            config.limits.live_viewers = 1;
        })
        .await;
        let cookie = port.cookie(&port.tokens.read).await;
        let own = format!("http://{}", port.address);
        let headers = [("cookie", cookie.as_str()), ("origin", own.as_str())];
        let mut viewer = dial(&port, "/api/v1/live", &headers).await.expect("a line");
        let second = dial(&port, "/api/v1/live", &headers).await;
        assert!(matches!(second, Err(Error::Http(answer)) if answer.status() == 503));
        port.post("/api/v1/logout", "")
            .cookie(&cookie)
            .own_origin()
            .send()
            .await;
        assert_eq!(closed(&mut viewer).await, Some(CloseCode::Policy));

        // Whoever reads answers pings, and may be quiet for as long as it likes.
        let mut quiet = worker_line(&port).await;
        let listening = tokio::time::timeout(Duration::from_secs(4), closed(&mut quiet));
        assert!(listening.await.is_err(), "it was cut off");
        // Whoever does not read is gone.
        let dead = worker_line(&port).await;
        say_nothing_until_closed(dead).await;
        port.close().await;
    });
}

/// Reads no message, and so answers no ping; only looks whether the line still stands.
async fn say_nothing_until_closed(socket: Socket) {
    let stream = socket.into_inner();
    let mut buffer = [0; 1024];
    loop {
        stream.readable().await.expect("readable");
        match stream.try_read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

#[test]
fn a_worker_that_speaks_too_often_is_heard_more_slowly() {
    watched(async {
        let port = Port::open_with(|config| {
            config.limits.message_rate = Rate {
                burst: 5.0,
                per_second: 20.0,
            };
        })
        .await;
        let mut line = worker_line(&port).await;
        let start = tokio::time::Instant::now();
        for n in 0..15 {
            say(&mut line, &report("w1", n)).await;
        }
        for _ in 0..15 {
            text(&mut line).await;
        }
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(450), "{took:?}");
        port.close().await;
    });
}

#[test]
fn a_master_that_ends_says_so_on_every_line() {
    watched(async {
        let port = Port::open().await;
        let mut line = worker_line(&port).await;
        say(&mut line, &report("w1", 1)).await;
        text(&mut line).await;
        let (took, code) = tokio::join!(port.close(), closed(&mut line));
        assert_eq!(code, Some(CloseCode::Restart));
        assert!(took < Duration::from_secs(4), "{took:?}");
    });
}
