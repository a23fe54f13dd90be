//! Names of things and times, as types: what is a number on the wire cannot be taken
//! for another number here.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment, in milliseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// So many milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; negative where it is later.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A moment of a clock that nobody sets, in milliseconds: for how long something has been
/// quiet. It means nothing to another process, and stands still while a machine sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SteadyMs(pub i64);

impl SteadyMs {
    /// So many milliseconds later.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; negative where it is later.
    #[must_use]
    pub fn ms_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A job: one source on its way through the system. Given by the store, never again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A piece of a job that one worker does; today the whole of it, number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The job.
    pub job: JobId,
    /// Its number within the job.
    pub number: u32,
}

impl From<JobId> for TaskId {
    fn from(job: JobId) -> Self {
        Self { job, number: 0 }
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.job, self.number)
    }
}

/// The number of a grant of a job. It never goes back, so that whoever speaks with an
/// older one is known to be late.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The next grant's.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// A media directory, by the random text in its marker file: wherever it is mounted,
    /// it is the same one.
    RootId
);
text_id!(
    /// A worker, by the random text in its state directory. A host's name is no identity:
    /// two containers may share one.
    WorkerId
);
text_id!(
    /// One life of a worker's process: a worker that comes back with another one has
    /// forgotten what it ran.
    SessionId
);

/// A path below a root, as bytes: names need not be UTF-8. Never absolute, never with
/// `..`, never empty.
///
/// As text, and in JSON, what is not UTF-8 stands as `\xHH` and a backslash as `\\`, so
/// that it can be read back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelPath(Vec<u8>);

impl RelPath {
    /// A path below a root; `None` where it is absolute, empty, or climbs.
    #[must_use]
    pub fn new(path: &Path) -> Option<Self> {
        let lawful = path.components().all(|c| matches!(c, Component::Normal(_)));
        let bytes = path.as_os_str().as_bytes();
        (lawful && !bytes.is_empty() && !bytes.contains(&0)).then(|| Self(bytes.to_vec()))
    }

    /// The bytes of the path.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path, still below a root.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The whole path of the file where the root is mounted at `root`.
    #[must_use]
    pub fn below(&self, root: &Path) -> PathBuf {
        root.join(self.as_path())
    }

    /// Reads the text form back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::new(&unescape(text)?)
    }
}

/// What is not UTF-8 as `\xHH`, a backslash as `\\`, all else as it is.
fn escape(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        f.write_str(&chunk.valid().replace('\\', "\\\\"))?;
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Reads back what [`escape`] wrote; `None` for a backslash that it does not write.
fn unescape(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (escape, after) = rest.split_first()?;
        rest = after;
        match escape {
            b'\\' => bytes.push(b'\\'),
            b'x' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            _ => return None,
        }
    }
    Some(OsString::from_vec(bytes).into())
}

/// A path on this machine's own disk, absolute or not. As text, and in JSON, it is
/// escaped as a [`RelPath`] is. For messages that never leave the machine.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskPath(pub PathBuf);

impl DiskPath {
    /// Reads the text form back; `None` for text that is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unescape(text).map(Self)
    }
}

impl From<PathBuf> for DiskPath {
    fn from(path: PathBuf) -> Self {
        Self(path)
    }
}

impl From<&Path> for DiskPath {
    fn from(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl AsRef<Path> for DiskPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0.as_os_str().as_bytes(), f)
    }
}

impl fmt::Debug for DiskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for DiskPath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DiskPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not a path"))
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(&self.0, f)
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

impl Serialize for RelPath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let refused = || serde::de::Error::custom("not a path below a root");
        Self::parse(&text).ok_or_else(refused)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_that_could_leave_its_root_is_none() {
        for path in ["", "/etc/passwd", "..", "a/../../b", "./a", "a\0b"] {
            assert_eq!(RelPath::new(Path::new(path)), None, "{path:?}");
        }
        assert_eq!(RelPath::parse("\\x2e\\x2e/secret"), None);
        assert_eq!(RelPath::parse("a\\q"), None);
        assert_eq!(RelPath::parse("a\\x4"), None);
    }

    proptest! {
        #[test]
        fn every_path_reads_back_from_its_text(bytes in proptest::collection::vec(any::<u8>(), 1..40)) {
            let path = PathBuf::from(OsString::from_vec(bytes));
            let json = serde_json::to_string(&DiskPath::from(path.as_path())).expect("text");
            let back: DiskPath = serde_json::from_str(&json).expect("reads back");
            prop_assert_eq!(back.as_ref(), path.as_path());
            if let Some(path) = RelPath::new(&path) {
                let json = serde_json::to_string(&path).expect("text");
                let back: RelPath = serde_json::from_str(&json).expect("reads back");
                prop_assert_eq!(back, path);
            }
        }
    }
}
