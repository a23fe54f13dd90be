//! Films over HTTP.

use hyper::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Answer, Call, Port, watched};
use crate::api::{MAX_PIECE_BYTES, ResultState, SourceHash};

/// Bytes that differ wherever one looks.
fn bytes_of(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new()
        .update(&length.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// A film that a worker of the test's holds.
struct Lease {
    port: Port,
    path: String,
}

impl Lease {
    async fn take() -> Self {
        let port = Port::open().await;
        let (job, epoch) = port.lease().await;
        Self {
            port,
            path: format!("/api/v1/films/{job}/{epoch}"),
        }
    }

    /// The master's port is opened anew.
    async fn reopen(self) -> Self {
        Self {
            port: self.port.reopen().await,
            ..self
        }
    }

    fn call(&self, method: Method, path: &str) -> Call {
        let path = format!("{}/{path}", self.path);
        self.port
            .call(method, &path)
            .token(&self.port.tokens.worker)
    }

    fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Outputs that the core has.
    fn whole(&self) -> Vec<std::path::PathBuf> {
        let incoming = std::fs::read_dir(self.port.state.path().join("incoming"));
        let folders = incoming
            .into_iter()
            .flatten()
            .map(|folder| folder.expect("listed").path());
        let files = folders.map(|folder| folder.join("whole.mkv"));
        files.filter(|file| file.exists()).collect()
    }
}

fn put(lease: &Lease, offset: usize, piece: &[u8]) -> Call {
    let path = format!("result?offset={offset}");
    lease
        .call(Method::PUT, &path)
        .header("x-piece-blake3", &hex(piece))
        .body(piece.to_vec())
}

async fn finish(lease: &Lease, whole: &[u8]) -> Answer {
    let body = serde_json::json!({ "bytes": whole.len(), "blake3": hex(whole) });
    let call = lease.call(Method::POST, "finish").body(body.to_string());
    call.send().await
}

async fn received(lease: &Lease) -> u64 {
    let answer = lease.get("result").send().await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    answer.json::<ResultState>().received_bytes
}

#[test]
fn a_source_is_fetched_whole_in_parts_and_held_against_its_hash() {
    watched(async {
        let lease = Lease::take().await;
        let film = bytes_of(1_000_003);
        let path = lease.port.films().join("film.mkv");
        std::fs::write(&path, &film).expect("written");
        let ask = |path: &str| lease.get(path);
        let whole = ask("source").send().await;
        assert_eq!(whole.status, StatusCode::OK);
        assert_eq!(whole.body, film);
        assert_eq!(whole.header("accept-ranges"), "bytes");
        let etag = whole.header("etag").to_owned();

        let part = ask("source").header("range", "bytes=999990-").send().await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.header("content-range"), "bytes 999990-1000002/1000003");
        assert_eq!(part.body, film[999_990..]);
        let ranged = || ask("source").header("range", "bytes=10-19");
        let same = ranged().header("if-range", &etag).send().await;
        assert_eq!(same.body, film[10..20]);
        let none = ask("source").header("range", "bytes=1000003-").send().await;
        assert_eq!(none.status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(none.header("content-range"), "bytes */1000003");

        let hash: SourceHash = ask("source-hash").send().await.json();
        assert_eq!((hash.bytes, hash.blake3), (1_000_003, hex(&film)));
        assert!(hash.modified_ns > 0);

        // Another content under the name: what was fetched of the old one is of no use.
        std::fs::write(&path, b"another film").expect("written");
        let other = ranged().header("if-range", &etag).send().await;
        assert_eq!(other.status, StatusCode::OK);
        assert_eq!(other.body, "another film");
        let hash: SourceHash = ask("source-hash").send().await.json();
        assert_eq!(hash.blake3, hex(b"another film"));
        let head = lease.call(Method::HEAD, "source").send().await;
        assert_eq!(head.header("content-length"), "12");

        // Never a link to elsewhere.
        std::fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("../tokens.json", &path).expect("linked");
        let link = ask("source").send().await;
        assert_eq!(link.error().kind, "source_unreadable");
        lease.port.close().await;
    });
}

#[test]
fn an_output_comes_in_pieces_of_which_only_good_ones_count() {
    watched(async {
        let lease = Lease::take().await;
        // What the master does with the output is not this test's matter.
        let _children = lease.port.core.hold_children().await;
        let film = bytes_of(100_000);
        assert_eq!(received(&lease).await, 0);
        let first = put(&lease, 0, &film[..40_000]).send().await;
        assert_eq!(first.json::<ResultState>().received_bytes, 40_000);
        // Once more: it did not hear that it had come.
        let again = put(&lease, 0, &film[..40_000]).send().await;
        assert_eq!(again.json::<ResultState>().received_bytes, 40_000);
        // Damaged on the way.
        let damaged = put(&lease, 40_000, &film[40_000..70_000])
            .body(bytes_of(30_000))
            .send()
            .await;
        assert_eq!(damaged.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(damaged.error().kind, "damaged");
        assert_eq!(received(&lease).await, 40_000);
        // A hole.
        let hole = put(&lease, 70_000, &film[70_000..]).send().await;
        assert_eq!(
            (hole.status, hole.error().kind.as_str()),
            (StatusCode::CONFLICT, "wrong_offset")
        );
        // Too early.
        let early = finish(&lease, &film).await;
        assert_eq!(
            (early.status, early.error().kind.as_str()),
            (StatusCode::CONFLICT, "wrong_offset")
        );
        // Broken off in the middle.
        break_off(&lease, 40_000, &film[40_000..70_000]).await;
        assert_eq!(received(&lease).await, 40_000);

        // A master that was restarted goes on from there.
        let lease = lease.reopen().await;
        assert_eq!(received(&lease).await, 40_000);
        let rest = put(&lease, 40_000, &film[40_000..]).send().await;
        assert_eq!(rest.json::<ResultState>().received_bytes, 100_000);

        let wrong = finish(
            &lease,
            &bytes_of(100_000).iter().rev().copied().collect::<Vec<_>>(),
        )
        .await;
        assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(received(&lease).await, 0, "none of it can be relied upon");
        put(&lease, 0, &film).send().await;
        assert_eq!(finish(&lease, &film).await.status, StatusCode::NO_CONTENT);
        let whole = lease.whole();
        assert_eq!(whole.len(), 1);
        assert_eq!(std::fs::read(&whole[0]).expect("read"), film);
        // Once more: it did not hear that it had come to its end.
        assert_eq!(finish(&lease, &film).await.status, StatusCode::NO_CONTENT);
        assert_eq!(received(&lease).await, 100_000);
        assert_eq!(lease.whole(), whole);
        lease.port.close().await;
    });
}

/// Announces a piece, sends half of it, and is gone.
async fn break_off(lease: &Lease, offset: usize, piece: &[u8]) {
    let mut stream = lease.port.connect().await;
    let head = format!(
        "PUT {}/result?offset={offset} HTTP/1.1\r\nhost: localhost\r\n\
         authorization: Bearer {}\r\nx-piece-blake3: {}\r\ncontent-length: {}\r\n\r\n",
        lease.path,
        lease.port.tokens.worker,
        hex(piece),
        piece.len(),
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
        .write_all(&piece[..piece.len() / 2])
        .await
        .expect("sent");
    stream.shutdown().await.expect("shut");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

#[test]
fn a_lease_that_is_gone_delivers_nothing() {
    watched(async {
        let port = Port::open().await;
        let (job, epoch) = port.lease().await;
        let path = |part: &str| format!("/api/v1/films/{job}/{}/{part}", epoch.next());
        let stale = [
            port.get(&path("source")),
            port.get(&path("source-hash")),
            port.get(&path("result")),
            port.call(Method::PUT, &path("result?offset=0"))
                .header("x-piece-blake3", &hex(b"x"))
                .body("x"),
            port.post(
                &path("finish"),
                &serde_json::json!({ "bytes": 1, "blake3": hex(b"x") }).to_string(),
            ),
        ];
        for call in stale {
            let answer = call.token(&port.tokens.worker).send().await;
            assert_eq!(answer.status, StatusCode::CONFLICT);
            assert_eq!(answer.error().kind, "stale_epoch");
        }
        assert!(!port.state.path().join("incoming").exists());
        port.close().await;
    });
}

#[test]
fn a_piece_has_an_offset_a_hash_and_a_bounded_size() {
    watched(async {
        let lease = Lease::take().await;
        let call = |path: &str| lease.call(Method::PUT, path).body("x");
        let hash = hex(b"x");
        for (call, status, kind) in [
            (
                call("result").header("x-piece-blake3", &hash),
                400,
                "missing_parameter",
            ),
            (call("result?offset=0"), 400, "missing_parameter"),
            (
                call("result?offset=-1").header("x-piece-blake3", &hash),
                400,
                "bad_parameter",
            ),
            (
                call("result?offset=0").header("x-piece-blake3", "zz"),
                400,
                "bad_parameter",
            ),
            (
                call("result?at=0").header("x-piece-blake3", &hash),
                400,
                "unknown_parameter",
            ),
            // More is to come than any disk holds.
            (
                call("result?offset=0&total=9000000000000000000").header("x-piece-blake3", &hash),
                507,
                "disk_full",
            ),
        ] {
            let answer = call.send().await;
            assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
            assert_eq!(answer.error().kind, kind);
        }
        let largest = bytes_of(usize::try_from(MAX_PIECE_BYTES).expect("fits"));
        let fits = put(&lease, 0, &largest).send().await;
        assert_eq!(fits.json::<ResultState>().received_bytes, MAX_PIECE_BYTES);
        lease.port.close().await;
    });
}
