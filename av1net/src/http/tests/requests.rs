//! Requests one at a time: those that are well, and those that are not.

use std::net::SocketAddr;

use hyper::{Method, StatusCode};

use super::{Call, Port, watched};
use crate::api::{JoinView, Role, SessionView, Status};
use crate::http::{local_admin_token, local_token};

#[test]
fn what_is_wrong_with_a_request_is_told_as_json_and_the_rest_is_unharmed() {
    watched(async {
        let port = Port::open().await;
        let admin = &port.tokens.admin;
        let huge = "x".repeat(200_000);
        let large = format!("\"{}\"", "x".repeat(70_000));
        let cases: [(Call, u16, &str); 16] = [
            (port.get("/api/v1/nothing"), 404, "not_found"),
            (port.get("/nothing.js"), 404, "not_found"),
            (port.get("/api/v1/jobs/x"), 404, "not_found"),
            (
                port.call(Method::DELETE, "/api/v1/status"),
                405,
                "method_not_allowed",
            ),
            (
                port.call(Method::OPTIONS, "/api/v1/pause"),
                405,
                "method_not_allowed",
            ),
            (port.post("/api/v1/jobs/actions", "{"), 400, "bad_json"),
            (port.post("/api/v1/jobs/actions", ""), 400, "bad_json"),
            (
                port.post("/api/v1/jobs/actions", r#"{"action":"eat"}"#),
                400,
                "bad_json",
            ),
            (
                port.post("/api/v1/jobs/actions", r#"{"action":"cancel","ids":["7"]}"#),
                400,
                "bad_json",
            ),
            (port.post("/api/v1/scan", &huge), 413, "too_large"),
            (port.post("/api/v1/pause", &large), 413, "too_large"),
            (port.get("/api/v1/jobs?state=nope"), 400, "bad_parameter"),
            (port.get("/api/v1/jobs?limit=501"), 400, "bad_parameter"),
            (
                port.get("/api/v1/jobs?stat=failed"),
                400,
                "unknown_parameter",
            ),
            (port.get("/api/v1/live"), 426, "not_websocket"),
            (port.get("/api/v1/worker/ws"), 426, "not_websocket"),
        ];
        for (call, status, kind) in cases {
            let answer = call.token(admin).send().await;
            assert_eq!(answer.status.as_u16(), status, "{kind}: {}", answer.text());
            assert_eq!(answer.error().kind, kind);
            if status == 405 {
                assert!(!answer.header("allow").is_empty());
            }
        }
        let answer = port.get("/api/v1/status").token(admin).send().await;
        assert_eq!(answer.status, StatusCode::OK);
        let _: Status = answer.json();
        port.close().await;
    });
}

#[test]
fn every_answer_has_the_headers_that_keep_a_browser_safe() {
    watched(async {
        let port = Port::open().await;
        for path in ["/", "/main.js", "/nothing", "/api/v1/status", "/healthz"] {
            let answer = port.get(path).send().await;
            let policy = answer.header("content-security-policy");
            assert!(
                policy.starts_with("default-src 'none'; script-src 'self'"),
                "{path}"
            );
            assert!(!policy.contains("unsafe"), "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
            assert_eq!(answer.header("referrer-policy"), "no-referrer");
            assert_eq!(answer.header("cross-origin-opener-policy"), "same-origin");
            assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
            assert_eq!(answer.header("access-control-allow-origin"), "");
            let cached = if matches!(path, "/" | "/main.js") {
                "no-cache"
            } else {
                "no-store"
            };
            assert_eq!(answer.header("cache-control"), cached, "{path}");
        }
        port.close().await;
    });
}

#[test]
fn the_page_is_served_compressed_and_revalidated() {
    watched(async {
        let port = Port::open().await;
        let ask = || port.get("/").header("accept-encoding", "gzip");
        let first = ask().send().await;
        assert_eq!(first.status, StatusCode::OK);
        assert_eq!(first.header("content-encoding"), "gzip");
        assert_eq!(first.header("content-type"), "text/html; charset=utf-8");
        let again = ask()
            .header("if-none-match", first.header("etag"))
            .send()
            .await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED);
        assert!(again.body.is_empty());
        let head = port.call(Method::HEAD, "/").send().await;
        assert_eq!(head.status, StatusCode::OK);
        assert!(head.body.is_empty());
        let plain = port.get("/").send().await;
        assert_eq!(head.header("content-length"), plain.body.len().to_string());
        port.close().await;
    });
}

#[test]
fn names_that_this_master_does_not_go_by_are_refused() {
    watched(async {
        let port = Port::open().await;
        let no_host = "GET /api/v1/session HTTP/1.1\r\nconnection: close\r\n\r\n";
        assert!(port.raw(no_host).await.starts_with("HTTP/1.1 400"));
        let cookie = port.cookie(&port.tokens.admin).await;
        for (host, known) in [
            ("127.0.0.1:1", true),
            ("localhost", true),
            ("[::1]", true),
            ("av1.example.org", true),
            ("evil.example", false),
        ] {
            let call = |path| port.get(path).header("host", host);
            let answer = call("/api/v1/session").cookie(&cookie).send().await;
            if known {
                assert_eq!(answer.status, StatusCode::OK, "{host}");
                continue;
            }
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
            assert!(answer.error().message.contains("allowed_hosts"));
            assert_eq!(
                call("/").send().await.status,
                StatusCode::MISDIRECTED_REQUEST
            );
            // Who shows a token is no page of a stranger; and whoever looks whether the
            // master lives learns nothing else.
            let by_token = call("/api/v1/status").token(&port.tokens.read).send().await;
            assert_eq!(by_token.status, StatusCode::OK);
            assert_eq!(call("/healthz").send().await.status, StatusCode::OK);
        }
        port.close().await;
    });
}

#[test]
fn a_session_begins_with_a_token_and_outlives_a_restart() {
    watched(async {
        let port = Port::open().await;
        let token = &port.tokens.admin;
        let body = serde_json::json!({ "token": token }).to_string();
        let answer = port.post("/api/v1/login", &body).own_origin().send().await;
        let view: SessionView = answer.json();
        assert_eq!((view.role, view.auth), (Some(Role::Admin), true));
        let set = answer.header("set-cookie").to_owned();
        for word in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age="] {
            assert!(set.contains(word), "{set}");
        }
        assert!(!set.contains("Secure"), "{set}");
        let cookie = set.split(';').next().expect("a pair").to_owned();

        let port = port.reopen().await;
        let session = || async { port.get("/api/v1/session").cookie(&cookie).send().await };
        assert_eq!(
            session().await.json::<SessionView>().role,
            Some(Role::Admin)
        );
        let out = port.post("/api/v1/logout", "").cookie(&cookie).own_origin();
        let out = out.send().await;
        assert_eq!(out.status, StatusCode::NO_CONTENT);
        assert!(out.header("set-cookie").contains("Max-Age=0"));
        assert_eq!(session().await.json::<SessionView>().role, None);
        let status = port.get("/api/v1/status").cookie(&cookie).send().await;
        assert_eq!(status.status, StatusCode::UNAUTHORIZED);
        port.close().await;
    });
}

#[test]
fn a_worker_s_token_and_a_wrong_one_do_not_log_in_and_guessing_is_slow() {
    watched(async {
        let port = Port::open().await;
        let log_in = |token: &str| {
            let body = serde_json::json!({ "token": token }).to_string();
            port.post("/api/v1/login", &body).send()
        };
        assert_eq!(
            log_in(&port.tokens.worker).await.status,
            StatusCode::FORBIDDEN
        );
        let mut last = StatusCode::OK;
        for _ in 0..12 {
            let answer = log_in("av1a_guess").await;
            answer.error();
            assert_eq!(answer.header("set-cookie"), "");
            last = answer.status;
            if last == StatusCode::TOO_MANY_REQUESTS {
                assert!(
                    answer
                        .header("retry-after")
                        .parse::<u64>()
                        .expect("seconds")
                        > 0
                );
                break;
            }
            assert_eq!(last, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
        port.close().await;
    });
}

#[test]
fn without_a_token_a_body_has_to_say_that_it_is_json() {
    watched(async {
        let port = Port::open_with(|config| config.tokens = None).await;
        let form = |body: &'static str| {
            let call = port.call(Method::POST, "/api/v1/scan").body(body);
            call.header("content-type", "text/plain").send()
        };
        let answer = form("{}").await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(answer.error().kind, "not_json");
        let json = port.post("/api/v1/scan", "{}").send().await;
        assert_eq!(json.status, StatusCode::ACCEPTED);
        let none = port.call(Method::POST, "/api/v1/scan").send().await;
        assert_eq!(none.status, StatusCode::ACCEPTED);
        port.close().await;
    });
}

#[test]
fn a_worker_is_told_how_to_join_and_finds_its_token_on_this_machine() {
    watched(async {
        let port = Port::open().await;
        let answer = port
            .get("/api/v1/join")
            .token(&port.tokens.admin)
            .send()
            .await;
        let view: JoinView = answer.json();
        let SocketAddr::V4(address) = port.address else {
            panic!("IPv4");
        };
        let token = local_token(port.state.path()).expect("a token");
        assert_eq!(
            view.command,
            format!("AV1CLI_TOKEN={token} av1cli worker http://{address}")
        );
        assert_eq!(
            local_admin_token(port.state.path()),
            Some(port.tokens.admin.clone())
        );
        port.close().await;
    });
}

#[test]
fn the_command_line_s_client_is_understood() {
    use crate::client::{Client, Token};
    use crate::store::PageQuery;
    watched(async {
        let port = Port::open().await;
        let address = format!("http://{}", port.address)
            .parse()
            .expect("an address");
        let token = Token::new(port.tokens.admin.clone(), "the test");
        let client = Client::new(address, Some(token), None).expect("a client");
        client.status().await.expect("a status");
        client.jobs(&PageQuery::default()).await.expect("jobs");
        client.set_paused(true).await.expect("paused");
        client
            .scan(&crate::api::ScanRequest::default())
            .await
            .expect("asked");
        assert_eq!(
            client.session().await.expect("a session").role,
            Some(Role::Admin)
        );
        port.close().await;
    });
}
