//! Films over HTTP, against a real server that breaks whatever can break.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, RANGE, RETRY_AFTER,
};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;
use crate::api::{MAX_PIECE_BYTES, PIECE_HASH_HEADER, ResultState, ResultWhole, SourceHash};
use crate::client::MasterAddress;
use crate::config::IoClassKey;
use crate::proto::{ErrorBody, Phase};
use crate::units::WorkerId;
use crate::worker::process::Conduct;
use crate::worker::process::tests::{ended, film, program, say, short_patience};
use crate::worker::runner::RunEvent;
use crate::worker::tasks::Key;
use crate::worker::testing::{LIMIT, grant, key};

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Nothing.
    None,
    /// The answer, or the taking of the body, breaks off after so many thousandths.
    Cut(usize),
    /// What was asked is done, and the connection closed instead of an answer.
    NoAnswer,
    /// 503, try again at once.
    Busy,
    /// A piece of the output arrives damaged.
    Damaged,
    /// The master starts anew, and has the last piece no more.
    Forgets,
}

#[derive(Default)]
struct State {
    source: Vec<u8>,
    version: u32,
    result: Vec<u8>,
    is_whole: bool,
    is_stale: bool,
    is_gone: bool,
    hashes_wrong: bool,
    faults: VecDeque<Fault>,
    asked: Vec<String>,
    /// Another content, once so many requests were made.
    next_source: Option<(usize, Vec<u8>)>,
}

type Answer = Response<BoxBody<Bytes, io::Error>>;

#[derive(Clone)]
struct Server {
    state: Arc<Mutex<State>>,
    client: Client,
    _serving: Arc<JoinSet<()>>,
}

impl Server {
    async fn start(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let state = Arc::new(Mutex::new(state));
        let served = state.clone();
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let state = served.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(state.clone(), request));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        let address = MasterAddress::local(port, false);
        Self {
            state,
            client: Client::new(address, None, None).expect("a client"),
            _serving: Arc::new(serving),
        }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().expect("not poisoned"))
    }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Answer, io::Error> {
    let fault = {
        let mut state = state.lock().expect("not poisoned");
        state
            .asked
            .push(format!("{} {}", request.method(), request.uri()));
        let count = state.asked.len();
        if let Some((_, source)) = state.next_source.take_if(|(at, _)| *at == count) {
            state.source = source;
            state.version += 1;
        }
        if state.is_stale {
            return Ok(refused(409, "stale_epoch"));
        }
        if state.is_gone {
            return Ok(refused(404, "source_unreadable"));
        }
        state.faults.pop_front().unwrap_or(Fault::None)
    };
    if matches!(fault, Fault::Busy) {
        let mut busy = refused(503, "busy");
        busy.headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("0"));
        return Ok(busy);
    }
    let path = request.uri().path().to_owned();
    let part = path.rsplit_once('/').expect("a part").1;
    let method = request.method().clone();
    let done = match (method, part) {
        (Method::GET, "source") => source(&state, &request, fault),
        (Method::GET, "source-hash") => source_hash(&state),
        (Method::GET, "result") => has(&state, fault),
        (Method::PUT, "result") => take(&state, request, fault).await,
        (Method::POST, "finish") => finish(&state, request).await,
        (method, path) => panic!("nobody asks for {method} {path}"),
    }?;
    match fault {
        Fault::NoAnswer => Err(io::Error::other("no answer")),
        _ => Ok(done),
    }
}

fn source(
    state: &Mutex<State>,
    request: &Request<Incoming>,
    fault: Fault,
) -> Result<Answer, io::Error> {
    let state = state.lock().expect("not poisoned");
    let header = |name| {
        Some(
            request
                .headers()
                .get(name)?
                .to_str()
                .expect("text")
                .to_owned(),
        )
    };
    let tag = format!("\"{}\"", state.version);
    let is_same = header(IF_RANGE).is_none_or(|asked| asked == tag);
    let range = header(RANGE).expect("a range");
    let first = range
        .strip_prefix("bytes=")
        .and_then(|r| r.strip_suffix('-'));
    let first: usize = first.expect("from somewhere on").parse().expect("a number");
    let first = if is_same { first } else { 0 };
    let whole = state.source[first..].to_vec();
    let sent = match fault {
        Fault::Cut(thousandths) => whole.len() * thousandths / 1000,
        _ => whole.len(),
    };
    let mut frames: Vec<Result<Frame<Bytes>, io::Error>> = whole[..sent]
        .chunks(100_000)
        .map(|chunk| Ok(Frame::data(Bytes::copy_from_slice(chunk))))
        .collect();
    if sent < whole.len() {
        frames.push(Err(io::Error::other("cut")));
    }
    let mut answer = Response::new(StreamBody::new(stream::iter(frames)).boxed());
    let headers = answer.headers_mut();
    headers.insert(ETAG, tag.parse().expect("a tag"));
    headers.insert(CONTENT_LENGTH, whole.len().into());
    if is_same {
        let total = state.source.len();
        let range = format!("bytes {first}-{}/{total}", total - 1);
        headers.insert(CONTENT_RANGE, range.parse().expect("a range"));
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(answer)
}

fn source_hash(state: &Mutex<State>) -> Result<Answer, io::Error> {
    let state = state.lock().expect("not poisoned");
    let blake3 = if state.hashes_wrong {
        blake3::hash(b"another film")
    } else {
        blake3::hash(&state.source)
    };
    Ok(json(&SourceHash {
        bytes: state.source.len() as u64,
        blake3: blake3.to_hex().to_string(),
        modified_ns: 0,
    }))
}

fn has(state: &Mutex<State>, fault: Fault) -> Result<Answer, io::Error> {
    let mut state = state.lock().expect("not poisoned");
    if matches!(fault, Fault::Forgets) {
        let kept = state.result.len().saturating_sub(MAX_PIECE_BYTES as usize);
        state.result.truncate(kept);
    }
    Ok(json(&ResultState {
        received_bytes: state.result.len() as u64,
    }))
}

async fn take(
    state: &Mutex<State>,
    mut request: Request<Incoming>,
    fault: Fault,
) -> Result<Answer, io::Error> {
    let query = request.uri().query().expect("a query").to_owned();
    let number = |name: &str| -> usize {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let value = pairs.find(|(key, _)| key == name).expect("it is there").1;
        value.parse().expect("a number")
    };
    let (offset, _total) = (number("offset"), number("total"));
    let hash = request.headers()[PIECE_HASH_HEADER].clone();
    if let Fault::Cut(_) = fault {
        // A frame of it is read, and then the connection closed.
        let _ = request.body_mut().frame().await;
        return Err(io::Error::other("cut"));
    }
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?;
    let mut piece = body.to_bytes().to_vec();
    assert!(piece.len() as u64 <= MAX_PIECE_BYTES);
    if matches!(fault, Fault::Damaged) {
        piece[0] ^= 1;
    }
    if blake3::hash(&piece).to_hex().as_str() != hash.to_str().expect("text") {
        return Ok(refused(422, "damaged"));
    }
    let mut state = state.lock().expect("not poisoned");
    if offset != state.result.len() {
        return Ok(refused(409, "wrong_offset"));
    }
    state.result.extend(piece);
    Ok(json(&ResultState {
        received_bytes: state.result.len() as u64,
    }))
}

async fn finish(state: &Mutex<State>, request: Request<Incoming>) -> Result<Answer, io::Error> {
    let body = request
        .into_body()
        .collect()
        .await
        .map_err(io::Error::other)?;
    let whole: ResultWhole = serde_json::from_slice(&body.to_bytes()).expect("a whole");
    let mut state = state.lock().expect("not poisoned");
    assert_eq!(whole.bytes, state.result.len() as u64);
    assert_eq!(whole.blake3, blake3::hash(&state.result).to_hex().as_str());
    state.is_whole = true;
    let mut answer = json(&());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

fn json(body: &impl serde::Serialize) -> Answer {
    let body = serde_json::to_vec(body).expect("text");
    let never = |never: Infallible| match never {};
    Response::new(Full::new(body.into()).map_err(never).boxed())
}

fn refused(status: u16, kind: &str) -> Answer {
    let mut answer = json(&ErrorBody {
        kind: kind.to_owned(),
        message: kind.to_owned(),
        chain: Vec::new(),
    });
    *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
    answer
}

/// Bytes that are nowhere alike.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut noise);
    noise
}

/// A child whose output is its source three times over.
fn thrice() -> String {
    let end = ChildEnd::Encoded {
        film: film(Path::new("/nowhere")),
    };
    "read -r order\n\
     path() { echo \"$order\" | sed \"s/.*\\\"$1\\\":\\\"\\([^\\\"]*\\)\\\".*/\\1/\"; }\n\
     cat \"$(path source)\" \"$(path source)\" \"$(path source)\" > \"$(path output)\"\n"
        .to_owned()
        + &say(&ended(end))
}

struct Trial {
    _folder: tempfile::TempDir,
    temp: TempFolder,
    run: Run,
    events: mpsc::Receiver<(Key, RunEvent)>,
    tell: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
    _niceness: watch::Sender<u8>,
}

impl Trial {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let temp = TempFolder::open(&folder.path().join("temp"), &WorkerId("w".to_owned()));
        let (niceness, nice) = watch::channel(0);
        let (events, heard) = mpsc::channel(10_000);
        let (tell, told) = mpsc::unbounded_channel();
        let mut grant = grant(key(7, 3), "a/film.avi");
        grant.ship = true;
        let run = Run {
            grant: Box::new(grant),
            conduct: Conduct {
                program: program(folder.path(), script),
                niceness: nice,
                io_class: IoClassKey::Normal,
                patience: crate::worker::Patience {
                    stall: LIMIT,
                    ..short_patience()
                },
            },
            threads: None,
            events,
        };
        Self {
            temp: temp.expect("opens"),
            run,
            events: heard,
            tell,
            told,
            _niceness: niceness,
            _folder: folder,
        }
    }

    async fn run(&mut self, server: &Server) -> RunEnd {
        let running = run(&self.run, server.client.clone(), &self.temp, &mut self.told);
        timeout(LIMIT, running).await.expect("no hang")
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.temp.path()).expect("reads");
        entries.map(|entry| entry.expect("reads").path()).collect()
    }
}

#[tokio::test]
async fn a_film_goes_both_ways_whatever_breaks() {
    let source = noise(4_000_000, 1);
    let expected = source.repeat(3);
    assert!(expected.len() as u64 > MAX_PIECE_BYTES, "several pieces");
    use Fault::{Busy, Cut, Damaged, Forgets, NoAnswer, None};
    let trials: [&[Fault]; 5] = [
        &[],
        // Source, hash, result, piece, piece, finish: each breaks once, in turn.
        &[
            Cut(0),
            Cut(300),
            Cut(999),
            None,
            Busy,
            None,
            None,
            Damaged,
            None,
            None,
            Cut(1),
        ],
        &[
            Busy, NoAnswer, None, NoAnswer, None, NoAnswer, None, NoAnswer, None, NoAnswer,
        ],
        &[
            None, None, None, NoAnswer, Forgets, None, NoAnswer, Forgets, None, None,
        ],
        &[
            Cut(500),
            Cut(500),
            Cut(500),
            None,
            None,
            None,
            Cut(5),
            None,
            Busy,
            None,
            None,
            None,
            NoAnswer,
        ],
    ];
    for faults in trials {
        let server = Server::start(State {
            source: source.clone(),
            faults: faults.iter().copied().collect(),
            ..State::default()
        })
        .await;
        let mut trial = Trial::new(&thrice());
        let end = trial.run(&server).await;
        let asked = server.with(|state| state.asked.join("\n"));
        assert_eq!(
            end,
            RunEnd::Ended(TaskEnd::Delivered),
            "{faults:?}\n{asked}"
        );
        server.with(|state| {
            assert!(state.is_whole);
            assert!(state.result == expected, "{faults:?}");
            assert!(state.faults.is_empty(), "{:?} were not tried", state.faults);
        });
        assert_eq!(trial.files(), [] as [PathBuf; 0], "left");
    }
}

#[tokio::test]
async fn fetching_and_delivering_are_seen() {
    let server = Server::start(State {
        source: noise(4_000_000, 1),
        ..State::default()
    })
    .await;
    let mut trial = Trial::new(&thrice());
    trial.run(&server).await;
    trial.events.close();
    let (mut fetched, mut delivered) = (Vec::new(), Vec::new());
    while let Some((_, event)) = trial.events.recv().await {
        match event {
            RunEvent::Progress(progress) => {
                assert_eq!(progress.projected_bytes, Some(4_000_000));
                fetched.push(progress.bytes_written);
            }
            RunEvent::Moved(Phase::Delivering {
                sent_bytes,
                total_bytes,
            }) => {
                assert_eq!(total_bytes, 12_000_000);
                delivered.push(sent_bytes);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        fetched.is_sorted() && fetched.last() == Some(&4_000_000),
        "{fetched:?}"
    );
    assert_eq!(delivered, [0, MAX_PIECE_BYTES, 12_000_000]);
}

#[tokio::test]
async fn a_source_that_changes_on_its_way_is_fetched_anew() {
    let (old, new) = (noise(3_000_000, 1), noise(2_500_000, 2));
    let server = Server::start(State {
        source: old,
        faults: [Fault::Cut(600)].into(),
        next_source: Some((2, new.clone())),
        ..State::default()
    })
    .await;
    let mut trial = Trial::new(&thrice());
    let end = trial.run(&server).await;
    assert_eq!(end, RunEnd::Ended(TaskEnd::Delivered));
    server.with(|state| assert!(state.result == new.repeat(3)));
}

#[tokio::test]
async fn a_source_that_is_never_what_its_hash_says_is_not_encoded() {
    let server = Server::start(State {
        source: noise(100_000, 1),
        hashes_wrong: true,
        ..State::default()
    })
    .await;
    let mut trial = Trial::new("echo no >&2; exit 1");
    let RunEnd::Ended(TaskEnd::Failed { failure }) = trial.run(&server).await else {
        panic!("it did not fail");
    };
    assert_eq!(failure.reason.kind, "source_changed");
    assert!(failure.retryable && !failure.crashed);
    assert_eq!(trial.files(), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_lease_that_is_gone_ends_it_and_leaves_nothing() {
    let server = Server::start(State {
        source: noise(100_000, 1),
        is_stale: true,
        ..State::default()
    })
    .await;
    let mut trial = Trial::new(&thrice());
    assert_eq!(trial.run(&server).await, RunEnd::Stopped);
    assert_eq!(trial.files(), [] as [PathBuf; 0]);
}

#[tokio::test]
async fn a_source_that_is_gone_is_a_failed_attempt() {
    let server = Server::start(State {
        is_gone: true,
        ..State::default()
    })
    .await;
    let mut trial = Trial::new(&thrice());
    let RunEnd::Ended(TaskEnd::Failed { failure }) = trial.run(&server).await else {
        panic!("handed back, it would be granted again at once");
    };
    assert_eq!(failure.reason.kind, "source_unreadable");
    assert!(failure.retryable && !failure.crashed);
}

#[tokio::test]
async fn the_word_to_stop_ends_it_wherever_it_is_and_leaves_nothing() {
    // Fetching: the server is busy for ever, and asks to be asked at once.
    let busy = Server::start(State {
        faults: std::iter::repeat_n(Fault::Busy, 1_000_000).collect(),
        ..State::default()
    })
    .await;
    let mut trial = Trial::new(&thrice());
    let tell = trial.tell.clone();
    let stop = async {
        while busy.with(|state| state.asked.len()) < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tell.send(Told::Stop).expect("is heard");
    };
    let (end, ()) = tokio::join!(trial.run(&busy), stop);
    assert_eq!(end, RunEnd::Stopped);
    assert_eq!(trial.files(), [] as [PathBuf; 0]);

    // Encoding: a child that does not stop is killed.
    let server = Server::start(State {
        source: noise(100_000, 1),
        ..State::default()
    })
    .await;
    let mut trial = Trial::new("read -r order; exec sleep 1000");
    let tell = trial.tell.clone();
    let stop = async {
        while server.with(|state| state.asked.len()) < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tell.send(Told::Stop).expect("is heard");
    };
    let (end, ()) = tokio::join!(trial.run(&server), stop);
    assert_eq!(end, RunEnd::Stopped);
    assert_eq!(trial.files(), [] as [PathBuf; 0]);
}

#[test]
fn a_full_disk_is_a_failure_that_may_pass_and_names_the_folder() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let failure = temp_failed(Path::new("/tmp/av1/w"), &full);
    assert_eq!(failure.reason.kind, "disk_full");
    assert!(failure.retryable && !failure.crashed);
    assert!(
        failure.reason.message.starts_with("/tmp/av1/w"),
        "{failure:?}"
    );
}
