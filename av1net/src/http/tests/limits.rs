//! More, slower and larger than there is room for.

use std::time::Duration;

use hyper::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Port, watched};
use crate::http::HttpConfig;
use crate::http::bucket::Rate;

/// Limits that a test has the time to reach.
fn impatient(config: &mut HttpConfig) {
    config.limits.head_timeout = Duration::from_millis(300);
    config.limits.idle_timeout = Duration::from_millis(800);
    config.limits.stalled_write_timeout = Duration::from_millis(500);
}

/// Reads until the other end closes; how long that took.
async fn until_closed(stream: &mut TcpStream) -> (Duration, Vec<u8>) {
    let start = Instant::now();
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = stream.read_to_end(&mut answer).await;
    (start.elapsed(), answer)
}

#[test]
fn a_head_that_trickles_is_cut_off() {
    watched(async {
        let port = Port::open_with(impatient).await;
        let mut silent = port.connect().await;
        let mut slow = port.connect().await;
        let (mut reading, mut writing) = slow.split();
        let trickle = async {
            for byte in b"GET / HTTP/1.1\r\nx: ".iter().cycle() {
                if writing.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let start = Instant::now();
        let mut answer = Vec::new();
        let closed = async {
            let _ = reading.read_to_end(&mut answer).await;
        };
        tokio::join!(
            async {
                tokio::select! { () = closed => {} () = trickle => {} }
            },
            async {
                let (took, answer) = until_closed(&mut silent).await;
                assert!(answer.is_empty());
                assert!(took >= Duration::from_millis(250), "{took:?}");
            }
        );
        assert!(start.elapsed() < Duration::from_secs(5));
        assert!(answer.is_empty());
        assert_eq!(port.get("/healthz").send().await.status, StatusCode::OK);
        port.close().await;
    });
}

#[test]
fn a_connection_that_asks_for_nothing_more_is_closed() {
    watched(async {
        let port = Port::open_with(impatient).await;
        let mut stream = port.connect().await;
        let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        let (took, answer) = until_closed(&mut stream).await;
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        assert!(took >= Duration::from_millis(700), "{took:?}");
        port.close().await;
    });
}

#[test]
fn a_body_that_does_not_come_is_answered_and_cut_off() {
    // The real limit, on a clock that runs ahead while nothing else happens.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let port = Port::open().await;
        let mut stream = port.connect().await;
        let head = format!(
            "POST /api/v1/scan HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-length: 100\r\n\r\n{{",
            port.tokens.admin
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let (_, answer) = until_closed(&mut stream).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("too_slow"), "{answer}");
        port.close().await;
    });
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    watched(async {
        let port = Port::open().await;
        let mut stream = port.connect().await;
        let head = format!(
            "GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n",
            "x".repeat(40_000)
        );
        let _ = stream.write_all(head.as_bytes()).await;
        let (_, answer) = until_closed(&mut stream).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 431"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
        port.close().await;
    });
}

#[test]
fn what_is_no_http_is_closed() {
    watched(async {
        let port = Port::open().await;
        let answer = port.raw("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n").await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
        assert_eq!(port.get("/healthz").send().await.status, StatusCode::OK);
        port.close().await;
    });
}

#[test]
fn more_connections_than_there_is_room_for_are_told_to_come_back() {
    watched(async {
        let port = Port::open_with(|config| config.limits.connections = 2).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = port.connect().await;
            let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
            stream.write_all(request.as_bytes()).await.expect("sent");
            let mut first = [0; 12];
            stream.read_exact(&mut first).await.expect("an answer");
            assert_eq!(&first, b"HTTP/1.1 200");
            held.push(stream);
        }
        let answer = port.get("/healthz").send().await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.error().kind, "too_many_connections");
        assert_eq!(answer.header("retry-after"), "5");
        held.pop();
        // Its place is free as soon as the server has seen it go.
        timeout(Duration::from_secs(10), async {
            while port.get("/healthz").send().await.status != StatusCode::OK {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("there is room again");
        port.close().await;
    });
}

#[test]
fn who_asks_too_often_is_told_to_wait_and_nobody_else_is() {
    watched(async {
        let port = Port::open_with(|config| {
            config.limits.caller_rate = Rate {
                burst: 40.0,
                per_second: 0.01,
            };
        })
        .await;
        let clients = (0..10).map(|_| async {
            let mut answered = (0, 0);
            for _ in 0..10 {
                let call = port.get("/api/v1/status").token(&port.tokens.read);
                let answer = call.send().await;
                match answer.status {
                    StatusCode::OK => answered.0 += 1,
                    StatusCode::TOO_MANY_REQUESTS => {
                        assert_eq!(answer.error().kind, "too_many_requests");
                        assert!(
                            answer
                                .header("retry-after")
                                .parse::<u64>()
                                .expect("seconds")
                                > 0
                        );
                        answered.1 += 1;
                    }
                    other => panic!("{other}"),
                }
            }
            answered
        });
        let answered = futures_util::future::join_all(clients).await;
        let (ok, too_many) = answered
            .iter()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        // A second may have passed meanwhile, and a hundredth with it.
        assert_eq!((ok, too_many), (40, 60));
        let other = port.get("/api/v1/status").token(&port.tokens.admin);
        assert_eq!(other.send().await.status, StatusCode::OK);
        assert_eq!(port.get("/healthz").send().await.status, StatusCode::OK);
        port.close().await;
    });
}

#[test]
fn one_connection_is_held_to_its_own_rate() {
    watched(async {
        let port = Port::open_with(|config| {
            config.limits.connection_rate = Rate {
                burst: 3.0,
                per_second: 0.01,
            };
        })
        .await;
        let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
        let last = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        let answer = port.raw(&format!("{}{last}", request.repeat(4))).await;
        let count = |status: &str| answer.matches(&format!("HTTP/1.1 {status}")).count();
        assert_eq!((count("200"), count("429")), (3, 2), "{answer}");
        port.close().await;
    });
}

#[test]
fn a_master_that_ends_waits_for_nobody_for_long() {
    watched(async {
        let port = Port::open().await;
        let _silent = port.connect().await;
        let mut idle = port.connect().await;
        let request = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
        idle.write_all(request.as_bytes()).await.expect("sent");
        let mut first = [0; 12];
        idle.read_exact(&mut first).await.expect("an answer");
        let address = port.address;
        let took = port.close().await;
        assert!(took < Duration::from_secs(6), "{took:?}");
        assert!(
            TcpStream::connect(address).await.is_err(),
            "the port is free again"
        );
    });
}
