//! The output, from the temporary folder to the master: in pieces, each hashed, from
//! wherever the last try ended.

use std::io;
use std::path::Path;

use bytes::Bytes;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::call::{Again, Films, Trouble};
use crate::api::{MAX_PIECE_BYTES, PIECE_HASH_HEADER, ResultState, ResultWhole};
use crate::proto::Phase;
use crate::worker::runner::{Run, RunEvent};

/// Refusals in a row, without a byte that got through between them.
const TRIES: u32 = 5;

struct Delivery<'a> {
    run: &'a Run,
    films: &'a Films,
    file: File,
    whole: ResultWhole,
    /// As the master last said.
    received: u64,
}

/// Delivers the output at `path`; the master has it whole, and hashed, when this
/// returns.
///
/// # Errors
///
/// [`Trouble`] but [`Trouble::Passing`], of which there is always another try.
pub(super) async fn deliver(run: &Run, films: &Films, path: &Path) -> Result<(), Trouble> {
    let (bytes, blake3) = hash(path).await.map_err(Trouble::Disk)?;
    let mut delivery = Delivery {
        run,
        films,
        file: File::open(path).await.map_err(Trouble::Disk)?,
        whole: ResultWhole { bytes, blake3 },
        received: 0,
    };
    let mut again = Again::new();
    let mut refusals = 0;
    loop {
        let before = delivery.received;
        let Err(trouble) = delivery.go_on().await else {
            return Ok(());
        };
        if delivery.received > before {
            refusals = 0;
            again.worked();
        }
        let trouble = match trouble {
            // A piece that was damaged on its way, or that the master has already: it is
            // asked anew what it has.
            Trouble::Failed(failure) if refusals < TRIES => {
                refusals += 1;
                Trouble::passing(failure.reason.message)
            }
            other => other,
        };
        again.after(run.key(), trouble).await?;
    }
}

impl Delivery<'_> {
    /// Delivers what the master does not have.
    async fn go_on(&mut self) -> Result<(), Trouble> {
        let asked = self
            .films
            .ask_json(Method::GET, "result", &[], Bytes::new());
        let state: ResultState = asked.await?;
        self.has(state).await;
        while self.received < self.whole.bytes {
            self.piece().await?;
        }
        let body = serde_json::to_vec(&self.whole).map_err(Trouble::passing)?;
        let headers = Films::json_header();
        let finished = self
            .films
            .ask(Method::POST, "finish", &headers, body.into());
        finished.await?;
        Ok(())
    }

    async fn piece(&mut self) -> Result<(), Trouble> {
        let offset = self.received;
        let bytes = MAX_PIECE_BYTES.min(self.whole.bytes - offset);
        let mut piece = vec![0; usize::try_from(bytes).map_err(Trouble::passing)?];
        let read = async {
            self.file.seek(io::SeekFrom::Start(offset)).await?;
            self.file.read_exact(&mut piece).await
        };
        read.await.map_err(Trouble::Disk)?;
        let hash = blake3::hash(&piece).to_hex();
        let hash = HeaderValue::from_str(&hash).map_err(Trouble::passing)?;
        let headers = [(HeaderName::from_static(PIECE_HASH_HEADER), hash)];
        let part = format!("result?offset={offset}&total={}", self.whole.bytes);
        let sent = self
            .films
            .ask_json(Method::PUT, &part, &headers, piece.into());
        let state: ResultState = sent.await?;
        if state.received_bytes <= offset {
            return Err(Trouble::failed(
                "refused",
                "the master does not keep what it gets",
            ));
        }
        self.has(state).await;
        Ok(())
    }

    async fn has(&mut self, state: ResultState) {
        self.received = state.received_bytes.min(self.whole.bytes);
        let phase = Phase::Delivering {
            sent_bytes: self.received,
            total_bytes: self.whole.bytes,
        };
        self.run.tell(RunEvent::Moved(phase)).await;
    }
}

/// Size and BLAKE3 of a file.
async fn hash(path: &Path) -> io::Result<(u64, String)> {
    let path = path.to_owned();
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path)?)?;
        Ok((hasher.count(), hasher.finalize().to_hex().to_string()))
    });
    hashing.await.map_err(io::Error::other)?
}
