//! The journal of a replacement: one small file beside the source, written before the
//! first step that a reader of the folder could see and removed after the last.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

use super::disk::{is_gone, remove_if_there};
use super::identity::Identity;
use crate::names::{Kind, dot_name};
use crate::output::{self, Lock};

/// The version of [`Entry`]; a journal of another one is left alone.
const VERSION: u32 = 1;

/// All that is needed to bring a replacement to its end, in names of one folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    version: u32,
    pub(super) token: u64,
    pub(super) source: Name,
    pub(super) source_identity: Identity,
    /// The name in the end: the source's, or one with another extension.
    pub(super) target: Name,
    pub(super) staged: Name,
    pub(super) staged_identity: Identity,
    pub(super) staged_hash: String,
    /// Where the source is to be kept.
    pub(super) backup: Option<Name>,
}

impl Entry {
    pub(super) fn new(token: u64, source: (&OsStr, Identity), target: &OsStr) -> Self {
        Self {
            version: VERSION,
            token,
            source: source.0.into(),
            source_identity: source.1,
            target: target.into(),
            staged: Name::default(),
            staged_identity: source.1,
            staged_hash: String::new(),
            backup: None,
        }
    }

    /// Whether the output gets the source's own name.
    pub(super) fn is_same_name(&self) -> bool {
        self.source == self.target
    }

    /// The name of this replacement's file of a kind.
    pub(super) fn dot_name(&self, kind: Kind) -> OsString {
        dot_name(&self.target.0, self.token, kind)
    }
}

/// A file's name. Written as text with `%` before the bytes that are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Name(pub(super) OsString);

impl From<&OsStr> for Name {
    fn from(name: &OsStr) -> Self {
        Self(name.to_owned())
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        for chunk in self.0.as_bytes().utf8_chunks() {
            text.push_str(&chunk.valid().replace('%', "%25"));
            for byte in chunk.invalid() {
                text.push_str(&format!("%{byte:02x}"));
            }
        }
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let mut parts = text.split('%');
        let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
        for part in parts {
            let digits = part.get(..2).and_then(|d| u8::from_str_radix(d, 16).ok());
            let (Some(byte), Some(rest)) = (digits, part.get(2..)) else {
                return Err(serde::de::Error::custom("a lone % in a name"));
            };
            bytes.push(byte);
            bytes.extend_from_slice(rest.as_bytes());
        }
        Ok(Self(OsString::from_vec(bytes)))
    }
}

/// A journal on disk, locked as long as this lives.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    _locked: File,
}

/// What a journal's file holds.
pub(super) enum Found {
    /// A replacement to be brought to its end.
    Entry(Journal, Entry),
    /// A file that was never finished: nothing had been done yet.
    Torn(Journal),
    /// A process at work holds it, or there is no telling.
    InUse,
    /// It is of another version of this program.
    Foreign,
}

/// What a journal's file says, whoever has it locked.
pub(super) struct Peeked {
    /// `None` for a file that was never finished: nothing had been done yet.
    pub(super) entry: Option<Box<Entry>>,
    /// Held as long as this lives, where it is ours.
    pub(super) lock: Lock,
    _file: File,
}

impl Journal {
    /// Writes the entry and makes it durable, name and all.
    pub(super) fn write(folder: &Path, entry: &Entry) -> io::Result<Self> {
        let path = folder.join(entry.dot_name(Kind::Journal));
        let mut file = File::create_new(&path)?;
        output::lock(&file);
        let written = (|| {
            fail::fail_point!("replace::journal_created", |_| Err(injected()));
            file.write_all(&encode(entry)?)?;
            fail::fail_point!("replace::journal_written", |_| Err(injected()));
            file.sync_all()?;
            output::sync_folder(folder)?;
            // Who clears away what is unfinished may have come before the lock.
            if !output::is_linked(&file) {
                return Err(io::Error::other("the journal was removed"));
            }
            Ok(())
        })();
        let journal = Self {
            path,
            _locked: file,
        };
        match written {
            Ok(()) => Ok(journal),
            Err(error) => {
                let _ = fs::remove_file(&journal.path);
                Err(error)
            }
        }
    }

    /// Reads what a file holds that has a journal's name.
    pub(super) fn read(path: &Path) -> io::Result<Found> {
        let mut file = super::identity::open(path)?;
        if output::lock(&file) != Lock::Ours {
            return Ok(Found::InUse);
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes)?;
        let journal = Self {
            path: path.to_owned(),
            _locked: file,
        };
        Ok(match decode(&bytes) {
            Decoded::Entry(entry) => Found::Entry(journal, *entry),
            Decoded::Torn => Found::Torn(journal),
            Decoded::Foreign => Found::Foreign,
        })
    }

    /// Reads what a file holds that has a journal's name, although a process at work may
    /// hold it. `None` where there is nothing.
    ///
    /// # Errors
    ///
    /// `Unsupported` for one of another version of this program.
    pub(super) fn peek(path: &Path) -> io::Result<Option<Peeked>> {
        let mut file = match super::identity::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let lock = output::lock(&file);
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut file, &mut bytes)?;
        let entry = match decode(&bytes) {
            Decoded::Entry(entry) => Some(entry),
            Decoded::Torn => None,
            Decoded::Foreign => {
                let message = "the journal is of another version of this program; use that one";
                return Err(io::Error::new(io::ErrorKind::Unsupported, message));
            }
        };
        Ok(Some(Peeked {
            entry,
            lock,
            _file: file,
        }))
    }

    /// Leaves the journal to who has the staged file in hand, or removes it where they
    /// have left it to us: they look at the lock after the file went, and we at the file
    /// after the lock did.
    pub(super) fn leave_to(self, in_hand: &Path) -> io::Result<()> {
        let path = self.path.clone();
        drop(self);
        if is_gone(in_hand) {
            remove_if_there(&path)?;
        }
        Ok(())
    }

    /// The replacement is over.
    pub(super) fn remove(self, folder: &Path) -> io::Result<()> {
        fs::remove_file(&self.path)?;
        output::sync_folder(folder)?;
        Ok(())
    }
}

/// One line of JSON and, on the next, its hash: a file that was cut short is known.
fn encode(entry: &Entry) -> io::Result<Vec<u8>> {
    let json = serde_json::to_string(entry)?;
    Ok(format!("{json}\n{:016x}\n", xxh3_64(json.as_bytes())).into_bytes())
}

enum Decoded {
    Entry(Box<Entry>),
    Torn,
    Foreign,
}

fn decode(bytes: &[u8]) -> Decoded {
    let Some((json, sum)) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n')?.split_once('\n'))
    else {
        return Decoded::Torn;
    };
    if sum != format!("{:016x}", xxh3_64(json.as_bytes())) {
        return Decoded::Torn;
    }
    match serde_json::from_str::<Entry>(json) {
        Ok(entry) if entry.version == VERSION => Decoded::Entry(Box::new(entry)),
        _ => Decoded::Foreign,
    }
}

/// The error of a fault point.
#[cfg_attr(
    not(feature = "fault-points"),
    expect(dead_code, reason = "fault points are compiled in for tests alone")
)]
pub(super) fn injected() -> io::Error {
    io::Error::from_raw_os_error(rustix::io::Errno::NOSPC.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(source: &[u8], backup: Option<&[u8]>) -> Entry {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("f");
        fs::write(&file, b"film").expect("written");
        let identity = Identity::of(&file).expect("an identity");
        let mut entry = Entry::new(
            7,
            (OsStr::from_bytes(source), identity),
            OsStr::new("f.mkv"),
        );
        entry.staged = Name("staged".into());
        entry.staged_hash = "hash".to_owned();
        entry.backup = backup.map(|name| OsStr::from_bytes(name).into());
        entry
    }

    fn read(bytes: &[u8]) -> Option<Entry> {
        match decode(bytes) {
            Decoded::Entry(entry) => Some(*entry),
            Decoded::Torn => None,
            Decoded::Foreign => panic!("taken for another version's"),
        }
    }

    #[test]
    fn a_journal_that_was_cut_short_or_spoilt_is_none() {
        let whole = encode(&entry(b"film.mp4", Some(b"film.mp4.bak"))).expect("encoded");
        assert!(read(&whole).is_some());
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_none(), "{length} bytes");
        }
        for at in 0..whole.len() {
            let mut spoilt = whole.clone();
            spoilt[at] ^= 1;
            assert!(read(&spoilt).is_none(), "byte {at}");
        }
    }

    #[test]
    fn another_version_s_journal_is_left_alone() {
        let mut entry = entry(b"film.mp4", None);
        entry.version = VERSION + 1;
        let bytes = encode(&entry).expect("encoded");
        assert!(matches!(decode(&bytes), Decoded::Foreign));
    }

    #[test]
    fn names_stay_readable() {
        let entry = entry("Für 100% \u{1f600}.mp4".as_bytes(), Some(b"\xff\n"));
        let json = String::from_utf8(encode(&entry).expect("encoded")).expect("text");
        assert!(json.contains(r#""source":"Für 100%25 😀.mp4""#), "{json}");
        assert!(json.contains(r#""backup":"%ff\n""#), "{json}");
    }

    proptest! {
        #[test]
        fn every_name_survives(source: Vec<u8>, backup: Option<Vec<u8>>) {
            let entry = entry(&source, backup.as_deref());
            let bytes = encode(&entry).expect("encoded");
            prop_assert_eq!(read(&bytes), Some(entry));
        }
    }
}
