//! Films over HTTP, for workers that do not reach a media directory: the source out, by
//! ranges; the output in, by pieces that are each checked and can be taken up again.

mod beneath;
mod flight;
mod range;
mod result;
mod source;

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub(super) use self::result::{finish, put, state};
pub(super) use self::source::{source, source_hash};

use self::flight::Flights;
use self::result::Uploads;
use self::source::Identity;
use super::route::Film;
use crate::master::ApiError;

/// How long a request waits for a film to be read. What takes longer is to be asked for
/// again: proxies give up after 30 s to 60 s.
const PATIENCE: Duration = Duration::from_secs(20);

/// Films that are read at once for their hashes: more would make a disk seek.
const TURNS: usize = 2;

/// Hashes that are remembered.
const HASHES: usize = 4096;

/// Deliveries that are remembered, for those who did not hear that they had come to
/// their end.
const DELIVERIES: usize = 1024;

/// What is known of films on their way.
pub(super) struct Films {
    hashes: Flights<Identity, Result<blake3::Hash, String>>,
    /// Bytes of outputs that were delivered.
    deliveries: Flights<Film, Result<u64, ApiError>>,
    uploads: Uploads,
    turns: Arc<Semaphore>,
}

impl Default for Films {
    fn default() -> Self {
        Self {
            hashes: Flights::new(HASHES),
            deliveries: Flights::new(DELIVERIES),
            uploads: Uploads::default(),
            turns: Arc::new(Semaphore::new(TURNS)),
        }
    }
}

/// BLAKE3 of a file's content.
fn hash_of(file: &File) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize())
}
