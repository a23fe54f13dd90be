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
    room_checked_at: u64,
    ledger: Ledger,
}

impl Tracked {
    pub(super) fn new(file: File) -> (Self, Ledger) {
        let ledger = Ledger::default();
        let tracked = Self {
            file,
            position: 0,
            room_checked_at: 0,
            ledger: ledger.clone(),
        };
        (tracked, ledger)
    }

    /// Refuses to fill a disk to its last byte, which what else writes there (a media
    /// server's database) survives less well than an encode that ends.
    fn check_room(&mut self) -> io::Result<()> {
        if self.position.saturating_sub(self.room_checked_at) < ROOM_CHECKED_EVERY_BYTES {
            return Ok(());
        }
        self.room_checked_at = self.position;
        // A file system that does not tell says so when it is full.
        let Ok(found) = rustix::fs::fstatvfs(&self.file) else {
            return Ok(());
        };
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        if bytes(found.f_bavail) < reserve_bytes(bytes(found.f_blocks)) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// How often the room is asked for: two system calls for each 256 KiB are nothing.
const ROOM_CHECKED_EVERY_BYTES: u64 = 256 * 1024;

/// What is left free on a file system of this size: 64 MiB, or a sixteenth of a small
/// one. Of one that tells no size, nothing.
fn reserve_bytes(file_system_bytes: u64) -> u64 {
    (file_system_bytes / 16).min(64 * 1024 * 1024)
}

impl Read for Tracked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer).map_err(|e| self.ledger.note(e))
    }
}

impl Write for Tracked {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.check_room().map_err(|e| self.ledger.note(e))?;
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
