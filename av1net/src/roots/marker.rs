//! The marker file of a media directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::units::{RootId, UnixMs};

/// The marker's name.
pub const MARKER: &str = ".av1root";

/// Far more than a marker needs.
const LONGEST_BYTES: u64 = 4096;

/// What a marker file holds, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Random: 128 bits, in hexadecimal digits.
    pub id: RootId,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_unix_ms: Option<UnixMs>,
    /// What made it, with its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
}

impl Marker {
    /// A new identity.
    pub(super) fn new(now: UnixMs) -> Self {
        Self {
            id: RootId(format!("{:032x}", random(now))),
            created_unix_ms: Some(now),
            program: Some(concat!("av1net ", env!("CARGO_PKG_VERSION")).to_owned()),
        }
    }

    /// Of a known identity.
    pub(super) fn bare(id: RootId) -> Self {
        Self {
            id,
            created_unix_ms: None,
            program: None,
        }
    }

    fn text(&self) -> String {
        // Three texts and a number become JSON.
        let text = serde_json::to_string(self).unwrap_or_default();
        text + "\n"
    }

    /// The command that puts it there.
    pub(super) fn by_hand(&self, folder: &Path) -> String {
        let bare = Self::bare(self.id.clone()).text();
        let path = folder.join(MARKER);
        format!("echo '{}' > '{}'", bare.trim_end(), path.display())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let marker: Self = serde_json::from_slice(text).ok()?;
        let lawful = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let id = marker.id.0.as_bytes();
        ((1..=64).contains(&id.len()) && id.iter().all(|b| lawful(*b))).then_some(marker)
    }
}

fn random(now: UnixMs) -> u128 {
    let mut bits = [0; 16];
    // Where the system has no randomness to give, the time has to do: two roots made in
    // one millisecond would be refused as copies of each other.
    if getrandom::fill(&mut bits).is_err() {
        bits[8..].copy_from_slice(&now.0.to_be_bytes());
    }
    u128::from_be_bytes(bits)
}

/// What is found where a marker would lie.
#[derive(Debug)]
pub(crate) enum Reading {
    /// The marker.
    Marker(Marker),
    /// A folder without one.
    Absent,
    /// No folder, or none that can be looked into; why, in words.
    NoFolder(String),
    /// Something that is no marker; what to do, in words.
    Damaged(String),
}

/// Reads the marker of a folder.
pub(crate) fn read(folder: &Path) -> Reading {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let shown = folder.display();
    match rustix::fs::open(folder, flags, Mode::empty()) {
        Ok(opened) => match read_at(&opened) {
            Ok(Some(marker)) => Reading::Marker(marker),
            Ok(None) => Reading::Absent,
            Err(MarkerError::Io(errno)) => {
                let error = io::Error::from(errno);
                Reading::NoFolder(format!("{shown}/{MARKER} cannot be read: {error}"))
            }
            Err(MarkerError::NoMarker) => Reading::Damaged(format!(
                "{shown}/{MARKER} is no marker; if {shown} is a library that is new here, delete \
                 that file, else put it back as it was: one line, {{\"id\":\"...\"}}"
            )),
        },
        Err(Errno::NOENT) => Reading::NoFolder(format!("{shown} is not there; mount it")),
        Err(Errno::NOTDIR) => Reading::NoFolder(format!("{shown} is not a folder")),
        Err(errno) => {
            let error = io::Error::from(errno);
            Reading::NoFolder(format!("{shown} cannot be opened: {error}"))
        }
    }
}

/// Why there is no marker to be had, although there is a file.
#[derive(Debug)]
enum MarkerError {
    /// It cannot be read.
    Io(Errno),
    /// It is something else.
    NoMarker,
}

/// Reads the marker of an open folder; `None` where there is no such file.
fn read_at(folder: impl AsFd) -> Result<Option<Marker>, MarkerError> {
    // A pipe of that name would else be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(folder, MARKER, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(MarkerError::NoMarker),
        Err(errno) => return Err(MarkerError::Io(errno)),
    };
    let mut text = Vec::new();
    let read = file.take(LONGEST_BYTES).read_to_end(&mut text);
    read.map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::ISDIR) => MarkerError::NoMarker,
        errno => MarkerError::Io(errno.unwrap_or(Errno::IO)),
    })?;
    Marker::parse(&text).map(Some).ok_or(MarkerError::NoMarker)
}

/// Gives a folder a new marker. One that somebody else has made in the meantime is left
/// as it is, and returned.
pub(super) fn create(folder: &Path, now: UnixMs) -> io::Result<Marker> {
    let marker = Marker::new(now);
    match place(folder, &marker) {
        Ok(()) => Ok(marker),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => match read(folder) {
            Reading::Marker(theirs) => Ok(theirs),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Puts the marker of a known media directory back, for a person who says that the
/// folder is the right one.
///
/// # Errors
///
/// The folder cannot be written to, or has a marker already.
pub fn put_back(folder: &Path, id: &RootId) -> io::Result<()> {
    place(folder, &Marker::bare(id.clone()))
}

/// Whole or not at all, and never over another file.
fn place(folder: &Path, marker: &Marker) -> io::Result<()> {
    // The engine's recovery removes what is left under such a name.
    let token = random(crate::clock::now()) as u64;
    let staged = folder.join(format!(".{MARKER}.{token:016x}.av1part"));
    let path = folder.join(MARKER);
    write_new(&staged, marker)?;
    // A link never replaces a file, on any file system that has links.
    let placed = fs::hard_link(&staged, &path).or_else(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Err(error),
        // FAT and some network file systems have none.
        _ => write_new(&path, marker),
    });
    let removed = fs::remove_file(&staged);
    placed.and(removed)?;
    match File::open(folder)?.sync_all() {
        // Some network file systems sync no folders.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn write_new(path: &Path, marker: &Marker) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file
        .write_all(marker.text().as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // A marker that is cut short is worse than none; a second failure leaves the
        // first one to be told.
        let _ = fs::remove_file(path);
    }
    written
}
