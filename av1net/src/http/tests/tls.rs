//! The port with a certificate.

use std::sync::Arc;

use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Call, Port, watched};
use crate::http::{Listening, TlsFiles};

/// A port with a certificate for `localhost`, and that certificate.
async fn open() -> (Port, CertificateDer<'static>) {
    let state = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let files = TlsFiles {
        certificate: state.path().join("certificate.pem"),
        key: state.path().join("key.pem"),
    };
    std::fs::write(&files.certificate, made.cert.pem()).expect("written");
    std::fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
    let listening = Listening::bind(([127, 0, 0, 1], 0).into(), Some(&files)).expect("a port");
    let port = Port::open_at(listening, state, |_| {}).await;
    (port, made.cert.der().clone())
}

async fn connect(port: &Port, certificate: CertificateDer<'static>) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let connector = TlsConnector::from(Arc::new(config));
    let stream = port.connect().await;
    connector.connect(name, stream).await.expect("TLS")
}

#[test]
fn a_browser_logs_in_over_tls_with_a_cookie_that_stays_there() {
    watched(async {
        let (port, certificate) = open().await;
        let stream = connect(&port, certificate).await;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("a client");
        tokio::spawn(connection);
        let body = serde_json::json!({ "token": port.tokens.admin }).to_string();
        let request = |origin: String| {
            Request::post("/api/v1/login")
                .header("host", format!("localhost:{}", port.address.port()))
                .header("content-type", "application/json")
                .header("origin", origin)
                .body(body.clone())
                .expect("a request")
        };
        let own = |scheme| format!("{scheme}://localhost:{}", port.address.port());
        let answer = sender
            .send_request(request(own("https")))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        let cookie = answer.headers()["set-cookie"].to_str().expect("text");
        assert!(cookie.starts_with("__Host-av1_session="), "{cookie}");
        assert!(cookie.contains("; Secure"), "{cookie}");
        sender.ready().await.expect("ready");
        // The same name without TLS may be anybody's.
        let answer = sender
            .send_request(request(own("http")))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        drop(sender);
        port.close().await;
    });
}

#[test]
fn who_speaks_plain_http_there_is_told_so() {
    watched(async {
        let (port, certificate) = open().await;
        let answer = Call::new(port.address, Method::GET, "/").send().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert_eq!(answer.error().kind, "tls_wanted");
        // Anything else gets TLS's own refusal: an alert, record type 21.
        assert!(port.raw("\0\0\0 noise").await.starts_with('\x15'));
        // Others are served all the same.
        connect(&port, certificate).await;
        port.close().await;
    });
}
