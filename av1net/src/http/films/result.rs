//! The output of a worker that does not reach the media directory, in pieces.
//!
//! They are collected in one file. How much of it has been checked stands beside it, so
//! that neither a piece that broke off nor a master that was restarted makes more of it
//! count than was good.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::HeaderMap;
use hyper::{Response, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt, SeekFrom};
use tokio::time::{Instant, timeout, timeout_at};

use super::PATIENCE;
use crate::api::{MAX_PIECE_BYTES, PIECE_HASH_HEADER, ResultState, ResultWhole};
use crate::http::api::ended;
use crate::http::app::{App, Asked};
use crate::http::body::{Input, drain};
use crate::http::error::HttpError;
use crate::http::respond::{self, Body};
use crate::http::route::Film;
use crate::master::ApiError;

/// The pieces, and how much of them is good.
const PIECES: &str = "pieces";
const RECEIVED: &str = "received";

/// A piece may take so long: 8 MiB over a line of 1 Mbit/s take 67 s.
const LONGEST_PIECE: Duration = Duration::from_secs(120);
/// Silence within a piece: its sender is gone.
const SILENCE: Duration = Duration::from_secs(20);
/// Left free where outputs are collected: the job store is likely to be on that disk.
const RESERVE_BYTES: u64 = 256 << 20;

/// One piece at a time for each output.
#[derive(Default)]
pub(super) struct Uploads(Mutex<HashMap<Film, Weak<tokio::sync::Mutex<()>>>>);

impl Uploads {
    fn turn(&self, film: Film) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| turn.strong_count() > 0);
        if let Some(turn) = turns.get(&film).and_then(Weak::upgrade) {
            return turn;
        }
        let turn = Arc::<tokio::sync::Mutex<()>>::default();
        turns.insert(film, Arc::downgrade(&turn));
        turn
    }

    /// Waits until nobody else writes to the output: a sender whose line was cut comes
    /// back before the master has noticed.
    async fn take(&self, film: Film) -> Result<tokio::sync::OwnedMutexGuard<()>, HttpError> {
        let turn = self.turn(film).lock_owned();
        let busy = || HttpError::Later {
            kind: "busy",
            what: "another piece of this output is still coming in".to_owned(),
            retry_after_s: 5,
        };
        timeout(PATIENCE, turn).await.map_err(|_| busy())
    }
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> HttpError {
    move |source| HttpError::Internal {
        what: what.to_owned(),
        source,
    }
}

/// How much of the output is here.
pub(crate) async fn state(app: &App, film: Film) -> Result<Response<Body>, HttpError> {
    if let Some(Ok(received_bytes)) = app.films.deliveries.known(&film) {
        return Ok(respond::json(
            StatusCode::OK,
            &ResultState { received_bytes },
        ));
    }
    // Refuses a lease that is gone.
    app.core.source_of(film.job, film.epoch).await?;
    let folder = app.core.incoming_folder(film.job, film.epoch);
    let received_bytes = received(&folder).map_err(failed("what was delivered cannot be read"))?;
    Ok(respond::json(
        StatusCode::OK,
        &ResultState { received_bytes },
    ))
}

/// Bytes that were checked, and are there.
fn received(folder: &Path) -> io::Result<u64> {
    let missing = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(0),
        _ => Err(error),
    };
    let said = match fs::read_to_string(folder.join(RECEIVED)) {
        Ok(text) => text.trim().parse().unwrap_or(0),
        Err(error) => return missing(error),
    };
    match fs::metadata(folder.join(PIECES)) {
        Ok(pieces) => Ok(pieces.len().min(said)),
        Err(error) => missing(error),
    }
}

/// Makes so many bytes count.
fn set_received(folder: &Path, bytes: u64) -> io::Result<()> {
    let staged = folder.join("received.new");
    fs::write(&staged, bytes.to_string())?;
    fs::rename(staged, folder.join(RECEIVED))
}

/// What a piece says of itself.
struct Piece {
    offset: u64,
    /// Bytes of the whole output, where it is told.
    total: Option<u64>,
    hash: blake3::Hash,
}

impl Piece {
    fn of(query: &str, headers: &HeaderMap) -> Result<Self, HttpError> {
        let (mut offset, mut total) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = |name: &'static str| {
                value.parse().map_err(|_| HttpError::Parameter {
                    name,
                    value: value.clone().into_owned(),
                    allowed: "a number of bytes".to_owned(),
                })
            };
            match &*name {
                "offset" => offset = Some(number("offset")?),
                "total" => total = Some(number("total")?),
                _ => {
                    return Err(HttpError::UnknownParameter {
                        name: name.into_owned(),
                        known: "offset, total".to_owned(),
                    });
                }
            }
        }
        let offset = offset.ok_or(HttpError::Missing {
            name: "offset",
            what: "where in the output the piece begins, in bytes",
        })?;
        let hash = headers.get(PIECE_HASH_HEADER).ok_or(HttpError::Missing {
            name: PIECE_HASH_HEADER,
            what: "the BLAKE3 of the piece, 64 hexadecimal digits",
        })?;
        let hash = blake3::Hash::from_hex(hash.as_bytes()).map_err(|_| HttpError::Parameter {
            name: PIECE_HASH_HEADER,
            value: String::from_utf8_lossy(hash.as_bytes()).into_owned(),
            allowed: "64 hexadecimal digits".to_owned(),
        })?;
        Ok(Self {
            offset,
            total,
            hash,
        })
    }
}

/// Takes a piece in.
pub(crate) async fn put(
    app: &App,
    film: Film,
    asked: &Asked,
    input: Input,
) -> Result<Response<Body>, HttpError> {
    let (headers, mut body) = input.into_parts();
    let taken = take(app, film, asked, &headers, &mut body).await;
    if taken.is_err() && !headers.contains_key(hyper::header::EXPECT) {
        // So that the answer is read before the connection is closed.
        drain(&mut body).await;
    }
    let received_bytes = taken?;
    Ok(respond::json(
        StatusCode::OK,
        &ResultState { received_bytes },
    ))
}

async fn take(
    app: &App,
    film: Film,
    asked: &Asked,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<u64, HttpError> {
    let piece = Piece::of(asked.query(), headers)?;
    let too_large = HttpError::TooLarge {
        limit_bytes: MAX_PIECE_BYTES,
    };
    if body.size_hint().lower() > MAX_PIECE_BYTES {
        return Err(too_large);
    }
    // Refuses a lease that is gone, before and after waiting.
    app.core.source_of(film.job, film.epoch).await?;
    let _turn = app.films.uploads.take(film).await?;
    app.core.source_of(film.job, film.epoch).await?;
    let folder = app.core.incoming_folder(film.job, film.epoch);
    let here = received(&folder).map_err(failed("what was delivered cannot be read"))?;
    let length = body.size_hint().exact();
    if length.is_some_and(|length| piece.offset.saturating_add(length) <= here) {
        // It came before, and its sender did not hear so.
        drain(body).await;
        return Ok(here);
    }
    let (place, offset, total) = (folder.clone(), piece.offset, piece.total);
    let prepared = tokio::task::spawn_blocking(move || prepare(&place, offset, total));
    let mut file = File::from_std(prepared.await.map_err(ended)??);
    let came = receive(body, &mut file, piece.offset, piece.hash).await;
    let place = folder.clone();
    let good = match &came {
        Ok(bytes) => piece.offset + bytes,
        Err(_) => piece.offset,
    };
    let file = file.into_std().await;
    let kept = tokio::task::spawn_blocking(move || {
        // What broke off does not count; nor does what lay behind it before.
        file.set_len(good)?;
        set_received(&place, good)
    });
    kept.await
        .map_err(ended)?
        .map_err(failed("the piece could not be kept"))?;
    came?;
    Ok(good)
}

/// Opens the output for a piece at `offset`, where there is room for it.
fn prepare(folder: &Path, offset: u64, total: Option<u64>) -> Result<fs::File, HttpError> {
    let cannot = failed("the folder for outputs cannot be written to");
    fs::DirBuilder::new()
        .recursive(true)
        .create(folder)
        .map_err(&cannot)?;
    let received = received(folder).map_err(&cannot)?;
    if offset > received {
        return Err(HttpError::told(
            StatusCode::CONFLICT,
            "wrong_offset",
            format!(
                "the piece begins at {offset}, and only {received} bytes are here; go on from there"
            ),
        ));
    }
    let coming = total.map_or(MAX_PIECE_BYTES, |total| total.saturating_sub(offset));
    let statistics = rustix::fs::statvfs(folder).map_err(|e| cannot(e.into()))?;
    let free = statistics.f_bavail.saturating_mul(statistics.f_frsize);
    if free < coming.saturating_add(RESERVE_BYTES) {
        return Err(HttpError::told(
            StatusCode::INSUFFICIENT_STORAGE,
            "disk_full",
            format!(
                "{coming} bytes are to come, and {free} are free in {}, of which {RESERVE_BYTES} are kept free; make room there",
                folder.display()
            ),
        ));
    }
    fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(folder.join(PIECES))
        .map_err(cannot)
}

/// Writes a piece as it comes; how long it is, if it is what its hash says.
async fn receive(
    body: &mut Incoming,
    file: &mut File,
    offset: u64,
    hash: blake3::Hash,
) -> Result<u64, HttpError> {
    let cannot = failed("the piece could not be written");
    file.seek(SeekFrom::Start(offset)).await.map_err(&cannot)?;
    let until = Instant::now() + LONGEST_PIECE;
    let mut hasher = blake3::Hasher::new();
    let mut bytes = 0;
    loop {
        let within = until.min(Instant::now() + SILENCE);
        let frame = timeout_at(within, body.frame()).await;
        let Some(frame) = frame.map_err(|_| HttpError::TooSlow {
            limit_s: LONGEST_PIECE.as_secs(),
        })?
        else {
            break;
        };
        let Ok(data) = frame.map_err(HttpError::Body)?.into_data() else {
            continue;
        };
        bytes += data.len() as u64;
        if bytes > MAX_PIECE_BYTES {
            return Err(HttpError::TooLarge {
                limit_bytes: MAX_PIECE_BYTES,
            });
        }
        hasher.update(&data);
        file.write_all(&data).await.map_err(&cannot)?;
    }
    file.flush().await.map_err(&cannot)?;
    if hasher.finalize() != hash {
        return Err(HttpError::told(
            StatusCode::UNPROCESSABLE_ENTITY,
            "damaged",
            "the piece is not what its hash says; send it again",
        ));
    }
    Ok(bytes)
}

/// The worker has sent all: if it is what it should be, the core has it from here on.
pub(crate) async fn finish(
    app: &Arc<App>,
    film: Film,
    whole: ResultWhole,
) -> Result<Response<Body>, HttpError> {
    let hash = blake3::Hash::from_hex(&whole.blake3).map_err(|_| HttpError::Parameter {
        name: "blake3",
        value: whole.blake3.clone(),
        allowed: "64 hexadecimal digits".to_owned(),
    })?;
    let work = {
        let app = Arc::clone(app);
        move || async move { deliver(&app, film, whole.bytes, hash).await }
    };
    let delivered = app
        .films
        .deliveries
        .join(film, PATIENCE, Result::is_ok, work);
    match delivered.await {
        Some(Ok(_)) => Ok(respond::empty(StatusCode::NO_CONTENT)),
        Some(Err(error)) => Err(error.into()),
        None => Err(HttpError::Later {
            kind: "being_read",
            what: "the output is being read".to_owned(),
            retry_after_s: 2,
        }),
    }
}

async fn deliver(app: &App, film: Film, bytes: u64, hash: blake3::Hash) -> Result<u64, ApiError> {
    app.core.source_of(film.job, film.epoch).await?;
    let folder = app.core.incoming_folder(film.job, film.epoch);
    let busy = |error: HttpError| ApiError {
        status: error.status().as_u16(),
        body: error.body(),
    };
    let _turn = app.films.uploads.take(film).await.map_err(busy)?;
    let _read = app.films.turns.acquire().await;
    let checked = tokio::task::spawn_blocking(move || check(&folder, bytes, hash));
    let file = checked
        .await
        .map_err(|error| ApiError::new(500, "internal", error.to_string()))??;
    app.core
        .delivered(film.job, film.epoch, file, bytes)
        .await?;
    Ok(bytes)
}

/// Reads the whole output back from the disk.
fn check(folder: &Path, bytes: u64, hash: blake3::Hash) -> Result<PathBuf, ApiError> {
    let internal = |error: io::Error| ApiError::new(500, "internal", error.to_string());
    let received = received(folder).map_err(internal)?;
    if received != bytes {
        let message = format!("the output has {bytes} bytes, and {received} are here");
        return Err(ApiError::new(409, "wrong_offset", message));
    }
    let path = folder.join(PIECES);
    let file = fs::File::open(&path).map_err(internal)?;
    file.sync_all().map_err(internal)?;
    if super::hash_of(&file).map_err(internal)? != hash {
        // None of it can be relied upon: each piece was what its own hash said.
        set_received(folder, 0).map_err(internal)?;
        let message = "the output is not what its hash says; send it again from the beginning";
        return Err(ApiError::new(422, "damaged", message));
    }
    Ok(path)
}
