//! The source, for a worker that does not reach its media directory.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::TryStreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, IF_RANGE, RANGE,
};
use hyper::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncSeekExt, SeekFrom};
use tokio_util::io::ReaderStream;

use super::range::{Wanted, wanted};
use super::{PATIENCE, beneath};
use crate::api::SourceHash;
use crate::http::api::ended;
use crate::http::app::App;
use crate::http::error::HttpError;
use crate::http::respond::{self, Body};
use crate::http::route::Film;
use crate::units::RelPath;

/// Read at once: large enough for a disk, small enough for a hundred workers.
const READ_BYTES: usize = 256 << 10;

/// What tells one content of a file from another without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
    bytes: u64,
    modified_ns: i64,
    changed_ns: i64,
}

impl Identity {
    fn of(file: &Metadata) -> Self {
        // Seconds of years to come fit with their nanoseconds until 2262.
        let ns = |s: i64, ns: i64| s.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.len(),
            modified_ns: ns(file.mtime(), file.mtime_nsec()),
            changed_ns: ns(file.ctime(), file.ctime_nsec()),
        }
    }

    /// Strong: another content has another one, as far as a file system can tell.
    fn etag(&self) -> HeaderValue {
        let text = format!(
            "\"{:x}-{:x}-{:x}-{:x}\"",
            self.device, self.inode, self.bytes, self.modified_ns
        );
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("\"\""))
    }
}

/// Opens the source of a lease.
async fn open(app: &App, film: Film) -> Result<(File, Identity, (PathBuf, RelPath)), HttpError> {
    let (root, path) = app.core.source_of(film.job, film.epoch).await?;
    let place = (root.clone(), path.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let file = beneath::open(&root, path.as_path())?;
        let identity = Identity::of(&file.metadata()?);
        io::Result::Ok((file, identity))
    });
    let (file, identity) = opened.await.map_err(ended)?.map_err(|source| {
        let what = format!("the source {} cannot be opened", place.1);
        let status = match source.kind() {
            io::ErrorKind::NotFound => StatusCode::NOT_FOUND,
            _ => StatusCode::CONFLICT,
        };
        HttpError::told(status, "source_unreadable", format!("{what}: {source}"))
    })?;
    Ok((file, identity, place))
}

/// The film, or a part of it.
pub(crate) async fn source(
    app: &App,
    film: Film,
    headers: &HeaderMap,
) -> Result<Response<Body>, HttpError> {
    let (file, identity, _) = open(app, film).await?;
    let text = |name| {
        headers
            .get(name)
            .and_then(|v: &HeaderValue| v.to_str().ok())
    };
    let etag = identity.etag();
    // With another content in the meantime a part of it is of no use (RFC 9110, 13.1.5).
    let is_same = headers.get(IF_RANGE).is_none_or(|known| *known == etag);
    let range = text(RANGE).filter(|_| is_same);
    let whole = (0, identity.bytes);
    let (status, (first, length)) = match range.map(|range| wanted(range, identity.bytes)) {
        None | Some(Wanted::Whole) => (StatusCode::OK, whole),
        Some(Wanted::Part(first, last)) => (StatusCode::PARTIAL_CONTENT, (first, last - first + 1)),
        Some(Wanted::Nothing) => {
            return Err(HttpError::Range {
                bytes: identity.bytes,
            });
        }
    };
    let mut file = tokio::fs::File::from_std(file);
    if first > 0 {
        let sought = file.seek(SeekFrom::Start(first)).await;
        sought.map_err(|source| HttpError::Internal {
            what: "the source cannot be read".to_owned(),
            source,
        })?;
    }
    let stream = ReaderStream::with_capacity(file.take(length), READ_BYTES);
    let stream = stream.map_ok(Frame::data).map_err(Into::into);
    let mut response = Response::new(StreamBody::new(stream).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    // Where the file is cut short meanwhile, the answer breaks off, and is seen to.
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ETAG, etag);
    let fixed: [(HeaderName, &'static str); 2] = [
        (ACCEPT_RANGES, "bytes"),
        (CONTENT_TYPE, "application/octet-stream"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{}", first + length - 1, identity.bytes);
        let range = HeaderValue::from_str(&range).unwrap_or(HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_RANGE, range);
    }
    Ok(response)
}

/// What the film has to be equal to once it is fetched. Read once for each content.
pub(crate) async fn source_hash(app: &Arc<App>, film: Film) -> Result<Response<Body>, HttpError> {
    let (file, identity, (_, path)) = open(app, film).await?;
    let turns = Arc::clone(&app.films.turns);
    let hashed = app
        .films
        .hashes
        .join(identity, PATIENCE, Result::is_ok, || async move {
            // Nobody closes the semaphore.
            let _turn = turns.acquire_owned().await.map_err(|e| e.to_string())?;
            let hashed = tokio::task::spawn_blocking(move || {
                let hash = super::hash_of(&file).map_err(|error| error.to_string())?;
                let after = file.metadata().map_err(|error| error.to_string())?;
                if Identity::of(&after) == identity {
                    Ok(hash)
                } else {
                    Err("it changed while it was read".to_owned())
                }
            });
            hashed.await.map_err(|error| error.to_string())?
        })
        .await;
    match hashed {
        Some(Ok(hash)) => Ok(respond::json(
            StatusCode::OK,
            &SourceHash {
                bytes: identity.bytes,
                blake3: hash.to_hex().to_string(),
                modified_ns: identity.modified_ns,
            },
        )),
        Some(Err(what)) => Err(HttpError::told(
            StatusCode::CONFLICT,
            "source_unreadable",
            format!("the source {path} was not read whole: {what}"),
        )),
        None => Err(HttpError::Later {
            kind: "being_read",
            what: "the source is being read".to_owned(),
            retry_after_s: 5,
        }),
    }
}
