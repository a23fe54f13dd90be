//! What a file is known by.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// What a file is known by as long as nobody writes to it or puts another one in its
/// place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    device: u64,
    pub(super) inode: u64,
    pub(super) bytes: u64,
    modified_ns: i64,
}

impl Identity {
    /// Opens the file, which makes a network file system ask its server (close-to-open
    /// consistency, nfs(5)), and does not follow a link in its place.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "is not a regular file",
            ));
        }
        Ok(Self::from(&meta))
    }

    /// Like [`Self::of`], with `None` where there is nothing.
    pub(super) fn find(path: &Path) -> io::Result<Option<Self>> {
        match Self::of(path) {
            Ok(identity) => Ok(Some(identity)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether both are one file, unchanged. The device is left out: it has another
    /// number after the next mount (NFS, btrfs, USB).
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.inode, self.bytes, self.modified_ns) == (other.inode, other.bytes, other.modified_ns)
    }

    /// Whether one is a copy of the other with its times.
    pub(super) fn is_copy(&self, other: &Self) -> bool {
        (self.bytes, self.modified_ns) == (other.bytes, other.modified_ns)
    }
}

impl From<&Metadata> for Identity {
    fn from(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            // Nanoseconds in 64 bits reach to the year 2262.
            modified_ns: meta
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(meta.mtime_nsec()),
        }
    }
}

/// Opens a file to be read, and no link in its place.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // NONBLOCK: somebody's pipe of that name must not stop the run.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(File::from(file)),
        Err(rustix::io::Errno::LOOP) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "is a link; name the file that it points to",
        )),
        Err(error) => Err(error.into()),
    }
}

/// XXH3 of a file's content, 128 bits in hexadecimal digits. It tells a whole file
/// from a torn one; it does not stop a forger.
pub(super) fn hash(path: &Path) -> io::Result<String> {
    let mut file = open(path)?;
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 1024 * 1024];
    loop {
        match io::Read::read(&mut file, &mut buffer) {
            Ok(0) => return Ok(format!("{:032x}", hasher.digest128())),
            Ok(read) => hasher.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
