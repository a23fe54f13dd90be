//! What came of a scan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Touched;
use crate::store::ScanCounts;
use crate::units::{RelPath, UnixMs};

/// What came of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanReport {
    /// How it ended.
    pub end: ScanEnd,
    /// What the store took of it.
    pub counts: ScanCounts,
    /// What was looked at.
    pub seen: Seen,
    /// Known films that could not be looked at, and stay as they are.
    pub unsure: u64,
    /// What could not be looked at, and why: the first of them.
    pub troubles: Vec<Trouble>,
    /// How many there were in all.
    pub troubles_total: u64,
    /// So much seems to be gone that it was not believed; a scan with
    /// [`ScanOptions::force`](super::ScanOptions::force) believes it.
    pub suspicious: Option<Suspicious>,
    /// What is still changing, and when to look at it again.
    pub look_again: Option<LookAgain>,
    /// What the next scan has to be told ([`ScanRoot::remembered`](super::ScanRoot)).
    pub remembered: Remembered,
    /// Links to folders, which were not followed: what they lead to is scanned only where
    /// it is a media directory of its own.
    pub linked_folders: u64,
}

/// How a scan ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ScanEnd {
    /// It went to its end.
    #[default]
    Complete,
    /// It was cancelled; nothing was declared gone.
    Cancelled,
    /// The media directory was not there, or went away; nothing was declared gone. Why,
    /// in words.
    RootLost(String),
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Folders.
    pub folders: u64,
    /// Films by their names.
    pub films: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Something that could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Where; `None` is the media directory itself.
    pub path: Option<RelPath>,
    /// Why, in words.
    pub message: String,
}

/// More is missing than is likely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicious {
    /// Films that are known and were not found.
    pub missing: u64,
    /// Films that are known.
    pub known: u64,
    /// Films that were found.
    pub found: u64,
}

/// When to look at what again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookAgain {
    /// When the first of it will have settled.
    pub at: UnixMs,
    /// What.
    pub touched: Touched,
}

/// What one scan of a media directory has to tell the next. Kept as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Remembered {
    /// Folders on which another file system is usually mounted. Where it is not, nothing
    /// below is gone.
    pub mounts: BTreeSet<RelPath>,
    /// Folders that are not looked into: another path leads to the same folder, or they
    /// are a media directory of their own.
    pub skipped: BTreeSet<RelPath>,
}

/// The troubles that are told one by one.
const MOST_TROUBLES: usize = 100;

impl ScanReport {
    pub(super) fn trouble(&mut self, path: &[u8], message: String) {
        use std::os::unix::ffi::OsStrExt;
        self.troubles_total += 1;
        if self.troubles.len() < MOST_TROUBLES {
            let path = RelPath::new(std::ffi::OsStr::from_bytes(path).as_ref());
            self.troubles.push(Trouble { path, message });
        }
    }

    pub(super) fn look_again(&mut self, path: RelPath, at: UnixMs) {
        let again = self.look_again.get_or_insert_with(|| LookAgain {
            at,
            touched: Touched::default(),
        });
        again.at = again.at.min(at);
        again.touched.add_file(path);
    }
}
