//! The client against a server that answers what it is told to.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::api::{JobAction, JobsAction, Status};
use crate::units::JobId;

const WATCHDOG: Duration = Duration::from_secs(20);

/// Answers every request with one status and body, and tells what it was asked.
struct Fake {
    address: MasterAddress,
    asked: mpsc::UnboundedReceiver<Asked>,
}

#[derive(Debug)]
struct Asked {
    connection: usize,
    line: String,
    host: Option<String>,
    authorization: Option<String>,
    body: String,
}

async fn fake(status: u16, answer: &'static str) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (tell, asked) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for connection in 0.. {
            let (stream, _) = listener.accept().await.expect("a connection");
            let tell = tell.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let tell = tell.clone();
                async move {
                    let header = |name| {
                        let value = request.headers().get(name)?;
                        Some(value.to_str().expect("text").to_owned())
                    };
                    let mut asked = Asked {
                        connection,
                        line: format!("{} {}", request.method(), request.uri()),
                        host: header(HOST),
                        authorization: header(AUTHORIZATION),
                        body: String::new(),
                    };
                    let body = collect(request.into_body()).await.expect("a body");
                    asked.body = String::from_utf8(body.to_vec()).expect("text");
                    let _ = tell.send(asked);
                    let mut response = Response::new(Full::new(Bytes::from(answer)));
                    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
                    Ok::<_, Infallible>(response)
                }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(serving);
        }
    });
    Fake {
        address: MasterAddress::local(port, false),
        asked,
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    timeout(WATCHDOG, work).await.expect("within the watchdog")
}

#[tokio::test]
async fn a_call_carries_host_token_and_body_and_its_answer_is_read() {
    within(async {
        let mut server = fake(200, r#"{"files": 7, "unknown": 1}"#).await;
        let token = Token::new("s3cret\n", "a test");
        let client = Client::new(server.address.clone(), Some(token), None).expect("a client");
        let status: Status = client.status().await.expect("an answer");
        assert_eq!(status.files, 7);
        let asked = server.asked.recv().await.expect("asked");
        assert_eq!(asked.line, "GET /api/v1/status");
        assert_eq!(asked.host, Some(server.address.authority()));
        assert_eq!(asked.authorization.as_deref(), Some("Bearer s3cret"));

        let action = JobsAction {
            action: JobAction::Cancel,
            ids: vec![JobId(3)],
            filter: None,
            priority: None,
        };
        let _ = client.act(&action).await;
        let asked = server.asked.recv().await.expect("asked");
        assert_eq!(asked.line, "POST /api/v1/jobs/actions");
        let said: JobsAction = serde_json::from_str(&asked.body).expect("an action");
        assert_eq!(said, action);
        assert_eq!(asked.connection, 0, "the connection is used again");
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_the_master_closed_meanwhile_is_replaced_by_another() {
    within(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        tokio::spawn(async move {
            // One answer a connection, and then it is closed without a word.
            loop {
                let (mut stream, _) = listener.accept().await.expect("a connection");
                let mut asked = [0; 1024];
                let _ = stream.read(&mut asked).await;
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                stream.write_all(answer.as_bytes()).await.expect("sent");
            }
        });
        let client = Client::new(MasterAddress::local(port, false), None, None).expect("a client");
        for _ in 0..5 {
            client.status().await.expect("an answer");
        }
    })
    .await;
}

#[tokio::test]
async fn nobody_there_is_told_with_what_to_do() {
    within(async {
        // Bound and dropped: nobody listens there.
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let client = Client::new(MasterAddress::local(port, false), None, None).expect("a client");
        let error = client.status().await.expect_err("nobody");
        assert!(error.is_passing());
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("no master answers at http://127.0.0.1:{port} (")),
            "{text}"
        );
        assert!(text.contains("Start it with `av1cli master`"), "{text}");
    })
    .await;
}

async fn error_at(status: u16, answer: &'static str, token: Option<&str>) -> ClientError {
    let server = fake(status, answer).await;
    let token = token.map(|text| Token::new(text, "AV1CLI_TOKEN"));
    let client = Client::new(server.address, token, None).expect("a client");
    client.status().await.expect_err("an error")
}

#[tokio::test]
async fn an_error_says_what_happened_and_what_to_do() {
    within(async {
        let body = r#"{"kind":"unauthorized","message":"no"}"#;
        let text = error_at(401, body, None).await.to_string();
        assert!(text.contains("wants a token"), "{text}");
        let wrong = error_at(401, body, Some("s3cret")).await;
        assert!(!wrong.is_passing());
        let text = wrong.to_string();
        assert!(text.contains("the token from AV1CLI_TOKEN"), "{text}");
        assert!(!format!("{text} {wrong:?}").contains("s3cret"), "{wrong:?}");

        let body = r#"{"kind":"not_found","message":"there is no job 9"}"#;
        let error = error_at(404, body, None).await;
        assert_eq!(error.status(), Some(404));
        assert!(error.to_string().ends_with("refuses: there is no job 9"));

        let body = r#"{"kind":"store_failed","message":"the disk is full"}"#;
        assert!(error_at(503, body, None).await.is_passing());

        for (status, body) in [(200, "<html>"), (404, "<html>"), (200, "7")] {
            let error = error_at(status, body, None).await;
            assert!(matches!(error, ClientError::NotAMaster { .. }), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_without_end_is_not_kept_in_memory() {
    within(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
                .await;
            while stream.write_all(&[b' '; 65536]).await.is_ok() {}
        });
        let client = Client::new(MasterAddress::local(port, false), None, None).expect("a client");
        let error = client.status().await.expect_err("too large");
        assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn silence_is_given_up_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let client = Client::new(MasterAddress::local(port, false), None, None).expect("a client");
    let error = client.status().await.expect_err("silence");
    assert!(matches!(error, ClientError::TimedOut { .. }), "{error}");
    drop(listener);
}

#[tokio::test]
async fn a_plain_port_is_no_tls_and_says_so() {
    within(async {
        let server = fake(200, "{}").await;
        let address = MasterAddress::local(server.address.port(), true);
        let client = Client::new(address, None, None).expect("a client");
        let error = client.status().await.expect_err("no TLS there");
        assert!(matches!(error, ClientError::Tls { .. }), "{error}");
        assert!(error.to_string().contains("http://"), "{error}");
    })
    .await;
}

#[test]
fn a_token_that_no_header_carries_is_refused_by_its_origin() {
    let token = Token::new("a\nb", "--token");
    let address = MasterAddress::local(1, false);
    let error = Client::new(address, Some(token), None).expect_err("refused");
    assert!(error.to_string().contains("--token"), "{error}");
}

#[test]
fn a_file_without_certificates_is_told_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, "nothing").expect("written");
    for path in [file, folder.path().join("absent.pem")] {
        let address = MasterAddress::local(1, true);
        let error = Client::new(address, None, Some(&path)).expect_err("refused");
        assert!(
            error.to_string().starts_with(&path.display().to_string()),
            "{error}"
        );
    }
}

#[test]
fn clients_cross_threads() {
    fn crosses<T: Send + Sync + 'static>(_: &Arc<T>) {}
    let client = Client::new(MasterAddress::local(1, false), None, None).expect("a client");
    crosses(&Arc::new(client));
}
