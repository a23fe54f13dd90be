//! Pictures of a film before and after it was replaced, on demand. The last ones are
//! kept: a person goes back and forth.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::core::Core;
use super::error::ApiError;
use crate::api::Side;
use crate::job::JobState;
use crate::units::{JobId, UnixMs};

/// Bytes of pictures that are kept: a dozen pairs of 1920x1080.
const KEPT_BYTES: usize = 64 * 1024 * 1024;

/// What the look prints before the picture, on a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureHead {
    /// When the picture is shown, in milliseconds after the film's first one.
    pub at_ms: i64,
    /// The film's length in milliseconds, where its container tells.
    pub duration_ms: Option<i64>,
}

/// A picture of a film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When it is shown, and of how long a film it is.
    pub head: PictureHead,
    /// The picture.
    pub png: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    job: JobId,
    /// Another replacement has other pictures.
    changed: UnixMs,
    side: Side,
    at_ms: u64,
}

/// The last pictures, the youngest last.
#[derive(Default)]
pub(super) struct Pictures(Mutex<VecDeque<(Key, Arc<Frame>)>>);

impl Pictures {
    fn kept(&self) -> MutexGuard<'_, VecDeque<(Key, Arc<Frame>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, key: &Key) -> Option<Arc<Frame>> {
        let mut kept = self.kept();
        let place = kept.iter().position(|(other, _)| other == key)?;
        let found = kept.remove(place)?;
        let frame = Arc::clone(&found.1);
        kept.push_back(found);
        Some(frame)
    }

    fn put(&self, key: Key, frame: Arc<Frame>) {
        let mut kept = self.kept();
        kept.retain(|(other, _)| *other != key);
        kept.push_back((key, frame));
        let mut bytes: usize = kept.iter().map(|(_, frame)| frame.png.len()).sum();
        while bytes > KEPT_BYTES {
            let Some((_, oldest)) = kept.pop_front() else {
                return;
            };
            bytes -= oldest.png.len();
        }
    }
}

impl Core {
    /// The picture that is on the screen so many milliseconds after the first one.
    ///
    /// # Errors
    ///
    /// 404 for no such job, and where the source was not kept; 409 for a result that is
    /// not there yet, and where the media directory is not mounted; 422, 504 as for
    /// [`plan`](Self::plan).
    pub async fn frame(&self, id: JobId, side: Side, at_ms: u64) -> Result<Arc<Frame>, ApiError> {
        let job = self.0.store.read(move |store| store.job(id)).await?;
        let job = job.ok_or_else(|| ApiError::not_found(format_args!("job {id}")))?;
        let is_replaced = job.state == JobState::Completed;
        if side == Side::Result && !is_replaced {
            let message = "there is no result yet: the film was not replaced";
            return Err(ApiError::new(409, "no_result", message));
        }
        let key = Key {
            job: id,
            changed: job.changed,
            side,
            at_ms,
        };
        if let Some(frame) = self.0.pictures.get(&key) {
            return Ok(frame);
        }
        let mut path = self.file_of(id).await?;
        if side == Side::Source && is_replaced {
            path = kept_source(path).await?;
        }
        let at = at_ms.to_string();
        let printed = self.look(&["frame", "--at-ms", &at], &path).await?;
        let frame = Arc::new(parse(printed)?);
        self.0.pictures.put(key, Arc::clone(&frame));
        Ok(frame)
    }
}

/// The source that a film has replaced.
async fn kept_source(film: std::path::PathBuf) -> Result<std::path::PathBuf, ApiError> {
    let looked = tokio::task::spawn_blocking(move || av1core::kept_source(&film)).await;
    let unexpected = |what: String| ApiError::new(500, "unexpected", what);
    let found = looked
        .map_err(|error| unexpected(error.to_string()))?
        .map_err(|error| unexpected(format!("its folder cannot be read: {error}")))?;
    found.ok_or_else(|| {
        let message = "the source is no longer there: it is kept as NAME.bak with `testing_mode`";
        ApiError::new(404, "source_gone", message)
    })
}

/// The head's line, and the picture.
fn parse(mut printed: Vec<u8>) -> Result<Frame, ApiError> {
    let unexpected = |what: &str| ApiError::new(500, "unexpected", format!("the look {what}"));
    let end = printed.iter().position(|byte| *byte == b'\n');
    let end = end.ok_or_else(|| unexpected("printed no head"))?;
    let png = printed.split_off(end + 1);
    let head = serde_json::from_slice(&printed)
        .map_err(|error| unexpected(&format!("printed another head: {error}")))?;
    Ok(Frame { head, png })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(at_ms: u64) -> Key {
        Key {
            job: JobId(1),
            changed: UnixMs(0),
            side: Side::Source,
            at_ms,
        }
    }

    fn frame(bytes: usize) -> Arc<Frame> {
        let head = PictureHead {
            at_ms: 0,
            duration_ms: None,
        };
        Arc::new(Frame {
            head,
            png: vec![0; bytes],
        })
    }

    #[test]
    fn the_pictures_kept_are_the_last_ones_and_bounded() {
        let pictures = Pictures::default();
        for at in 0..3 {
            pictures.put(key(at), frame(KEPT_BYTES / 3));
        }
        // The oldest, looked at again, is the youngest.
        assert!(pictures.get(&key(0)).is_some());
        pictures.put(key(3), frame(KEPT_BYTES / 3));
        assert!(pictures.get(&key(1)).is_none());
        for at in [0, 2, 3] {
            assert!(pictures.get(&key(at)).is_some(), "{at}");
        }
        pictures.put(key(4), frame(KEPT_BYTES + 1));
        assert!(pictures.kept().is_empty());
    }

    #[test]
    fn a_picture_is_told_apart_from_its_head() {
        let mut printed = br#"{"at_ms":40,"duration_ms":2000}"#.to_vec();
        printed.extend(b"\n\x89PNG\n\n");
        let frame = parse(printed).expect("a picture");
        assert_eq!(frame.head.at_ms, 40);
        assert_eq!(frame.png, b"\x89PNG\n\n");
        assert!(parse(b"no head".to_vec()).is_err());
        assert!(parse(b"{}\npicture".to_vec()).is_err());
    }
}
