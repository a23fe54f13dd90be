//! The source, from the master into the temporary folder: whole, and equal to what the
//! master has.

use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderValue, IF_RANGE, RANGE};
use hyper::{Method, Response, StatusCode};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio::time::timeout;

use super::call::{Again, Films, Trouble};
use crate::api::SourceHash;
use crate::proto::TaskProgress;
use crate::worker::runner::{Run, RunEvent};
use crate::worker::temp::free_bytes;

/// A connection that brings nothing for so long is given up. TCP itself would wait for a
/// quarter of an hour (tcp(7), `tcp_retries2`).
const SILENCE: Duration = Duration::from_secs(30);

/// Written at once: a thread is asked for each write, which costs some 20 µs.
const WRITE_BYTES: usize = 1 << 20;

/// A source that is never what its hash says is changing, or a disk is broken.
const TRIES: u32 = 3;

/// What is there of a source.
struct Fetched {
    file: File,
    hasher: blake3::Hasher,
    have: u64,
    total: Option<u64>,
    /// What the master knows this content by.
    tag: Option<HeaderValue>,
}

/// Fetches the source of a film to `path`.
///
/// # Errors
///
/// [`Trouble`] but [`Trouble::Passing`], of which there is always another try.
pub(super) async fn fetch(run: &Run, films: &Films, path: &Path) -> Result<(), Trouble> {
    let folder = path.parent().unwrap_or(path);
    leave_room(folder, run.grant.bytes)?;
    let file = File::create_new(path).await.map_err(Trouble::Disk)?;
    let mut fetched = Fetched {
        file,
        hasher: blake3::Hasher::new(),
        have: 0,
        total: None,
        tag: None,
    };
    let mut again = Again::new();
    for _ in 0..TRIES {
        while !fetched.is_whole() {
            let before = fetched.have;
            if let Err(trouble) = fetched.go_on(run, films).await {
                if fetched.have > before {
                    again.worked();
                }
                again.after(run.key(), trouble).await?;
            }
        }
        let expected = expected(run, films).await?;
        if fetched.is(&expected) {
            return fetched.file.sync_data().await.map_err(Trouble::Disk);
        }
        tracing::warn!(task = %run.key(), "the source that was fetched is not the master's; once more");
        fetched.start_over().await?;
    }
    Err(Trouble::failed(
        "source_changed",
        "the source changes while it is being fetched",
    ))
}

/// What the source has to be. The master has to read it, and says 503 meanwhile.
async fn expected(run: &Run, films: &Films) -> Result<SourceHash, Trouble> {
    let mut again = Again::new();
    loop {
        let asked = films.ask_json(Method::GET, "source-hash", &[], Bytes::new());
        match asked.await {
            Ok(expected) => return Ok(expected),
            Err(trouble) => again.after(run.key(), trouble).await?,
        }
    }
}

impl Fetched {
    fn is_whole(&self) -> bool {
        self.total == Some(self.have)
    }

    fn is(&self, expected: &SourceHash) -> bool {
        self.have == expected.bytes
            && self.hasher.finalize().to_hex().as_str() == expected.blake3.to_ascii_lowercase()
    }

    /// Goes on where the last try ended, until the connection does.
    async fn go_on(&mut self, run: &Run, films: &Films) -> Result<(), Trouble> {
        let range = format!("bytes={}-", self.have);
        let range = HeaderValue::from_str(&range).map_err(Trouble::passing)?;
        let mut headers = vec![(RANGE, range)];
        if let Some(tag) = &self.tag {
            headers.push((IF_RANGE, tag.clone()));
        }
        let asked = films.ask(Method::GET, "source", &headers, Bytes::new());
        let answer = asked.await?;
        let (first, total) = extent(&answer)?;
        if first != self.have {
            // Another content than before, from its beginning.
            self.start_over().await?;
        }
        if first != self.have {
            return Err(Trouble::passing("the answer is of another part"));
        }
        self.total = Some(total);
        self.tag = answer.headers().get(ETAG).cloned();
        self.take(run, answer.into_body()).await
    }

    async fn take(&mut self, run: &Run, mut body: Incoming) -> Result<(), Trouble> {
        let mut collected = BytesMut::with_capacity(WRITE_BYTES);
        let ended = loop {
            let frame = match timeout(SILENCE, body.frame()).await {
                Ok(None) => break Ok(()),
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => break Err(Trouble::passing(error)),
                Err(_) => break Err(Trouble::passing("the master sends nothing more")),
            };
            if let Ok(data) = frame.into_data() {
                collected.extend_from_slice(&data);
            }
            if collected.len() >= WRITE_BYTES {
                self.keep(&mut collected).await?;
                self.tell(run).await;
            }
        };
        // What came before the connection broke counts.
        self.keep(&mut collected).await?;
        self.tell(run).await;
        ended
    }

    async fn keep(&mut self, bytes: &mut BytesMut) -> Result<(), Trouble> {
        let left = self.total.unwrap_or(u64::MAX) - self.have;
        if bytes.len() as u64 > left {
            return Err(Trouble::passing("more bytes than were promised"));
        }
        self.hasher.update(bytes);
        self.file.write_all(bytes).await.map_err(Trouble::Disk)?;
        // Written when this returns, and not only on its way.
        self.file.flush().await.map_err(Trouble::Disk)?;
        self.have += bytes.len() as u64;
        bytes.clear();
        Ok(())
    }

    async fn start_over(&mut self) -> Result<(), Trouble> {
        self.file.set_len(0).await.map_err(Trouble::Disk)?;
        self.file.rewind().await.map_err(Trouble::Disk)?;
        self.hasher.reset();
        (self.have, self.total, self.tag) = (0, None, None);
        Ok(())
    }

    async fn tell(&self, run: &Run) {
        let progress = TaskProgress {
            bytes_written: self.have,
            projected_bytes: self.total,
            ..TaskProgress::default()
        };
        run.tell(RunEvent::Progress(progress)).await;
    }
}

/// Where the answer's bytes begin, and how many the whole film has.
fn extent(answer: &Response<Incoming>) -> Result<(u64, u64), Trouble> {
    let header = |name| answer.headers().get(name)?.to_str().ok();
    let found = if answer.status() == StatusCode::PARTIAL_CONTENT {
        header(CONTENT_RANGE).and_then(parse_range)
    } else {
        header(CONTENT_LENGTH).and_then(|length| Some((0, length.parse().ok()?)))
    };
    found.ok_or_else(|| Trouble::passing("the answer does not say which bytes it has"))
}

/// `bytes 7-99/100` (RFC 9110, 14.4).
fn parse_range(text: &str) -> Option<(u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.parse().ok()?, total.parse().ok()?))
}

/// The source, and an eighth of it for the output: AV1 makes a fifth or less of most
/// films (README, figures); one that needs more fails for want of space later on.
fn leave_room(folder: &Path, source_bytes: u64) -> Result<(), Trouble> {
    let free = free_bytes(folder).map_err(Trouble::Disk)?;
    let needed = source_bytes.saturating_add(source_bytes / 8);
    if free >= needed {
        return Ok(());
    }
    Err(Trouble::failed(
        "disk_full",
        format!(
            "{}: {needed} bytes are needed for the film and its output, {free} are free; make room \
             there, or name another `temp_directory`",
            folder.display()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extent_of_a_range_is_read() {
        assert_eq!(parse_range("bytes 7-99/100"), Some((7, 100)));
        for wrong in ["bytes */100", "7-99/100", "bytes 7-99/*", "bytes 7/100", ""] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_film_without_room_is_refused_by_the_folder_s_name() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(leave_room(folder.path(), 1).is_ok());
        let Err(Trouble::Failed(failure)) = leave_room(folder.path(), u64::MAX / 2) else {
            panic!("there is no such disk");
        };
        assert_eq!(failure.reason.kind, "disk_full");
        assert!(failure.retryable && !failure.crashed);
        let name = folder.path().display().to_string();
        assert!(failure.reason.message.contains(&name), "{failure:?}");
    }
}
