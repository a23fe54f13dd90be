//! Files as libavformat's I/O contexts. The operating system's error is kept, since
//! libavformat forgets or reshapes it on the way up.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The first I/O error of a file, and how many bytes it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    error: Arc<Mutex<Option<io::Error>>>,
    bytes: Arc<AtomicU64>,
}

impl Ledger {
    /// The first error since the last call.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The furthest byte written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Forgets an error that libavformat got over.
    pub(super) fn clear(&self) {
        self.take_error();
    }

    fn note(&self, error: io::Error) -> io::Error {
        if error.kind() == io::ErrorKind::Interrupted {
            return error;
        }
        let copy = error.raw_os_error().map_or_else(
            || io::Error::from(error.kind()),
            io::Error::from_raw_os_error,
        );
        self.error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        copy
    }
}

/// A file whose errors are written down.
#[derive(Debug)]
pub(super) struct Tracked {
    file: File,
    position: u64,
    ledger: Ledger,
}

impl Tracked {
    pub(super) fn new(file: File) -> (Self, Ledger) {
        let ledger = Ledger::default();
        let tracked = Self {
            file,
            position: 0,
            ledger: ledger.clone(),
        };
        (tracked, ledger)
    }
}

impl Read for Tracked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|e| self.ledger.note(e))
    }
}

impl Write for Tracked {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.file.write(buffer).map_err(|e| self.ledger.note(e))?;
        self.position += written as u64;
        self.ledger
            .bytes
            .fetch_max(self.position, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Tracked {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // Not noted: demuxers try offsets that damaged headers name, and a muxer's
        // failed seek shows in what it writes next.
        self.position = self.file.seek(to)?;
        Ok(self.position)
    }
}
