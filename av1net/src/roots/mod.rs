//! Media directories: which one lies where, and whether it is there at all.
//!
//! Each has a marker file ([`MARKER`]) with a random identity, made when the directory
//! is first seen with something in it. By it a master and its workers know the directory
//! under whatever path, and an empty mount point is told from a library that was emptied
//! (Tdarr#994, #981, #915: a share that was not mounted at boot, and thousands of films
//! forgotten).

mod marker;
mod mounts;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::marker::{MARKER, Marker, put_back};
pub(crate) use self::marker::{Reading, read};
pub use self::mounts::{here, probe_mounts};

use self::marker::create;
use crate::store::RootRecord;
use crate::units::{DiskPath, RootId, UnixMs};

/// A media directory as it is found now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Where the master has it, as it is configured.
    pub path: PathBuf,
    /// Its identity; `None` where it never had one that is known.
    pub id: Option<RootId>,
    /// Whether it is there.
    pub state: RootState,
}

/// Whether a media directory is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RootState {
    /// It is there.
    Mounted,
    /// It is there, and this machine cannot write to it: it is scanned, and replacing is
    /// for workers that can.
    ReadOnly {
        /// What to do, in words.
        why: String,
    },
    /// It is not there now. Nothing below it is ever declared gone.
    NotMounted {
        /// By what that is known, and what to do, in words.
        why: String,
    },
    /// It cannot be used until a person has seen to it.
    Refused {
        /// What is wrong, and what to do, in words.
        why: String,
    },
}

impl RootState {
    /// Whether what lies below can be looked at.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        matches!(self, Self::Mounted | Self::ReadOnly { .. })
    }

    /// What is wrong, and what to do, in words.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        match self {
            Self::Mounted => None,
            Self::ReadOnly { why } | Self::NotMounted { why } | Self::Refused { why } => Some(why),
        }
    }
}

/// Two media directories share files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the media directories {} and {} {how}; name only one of them", .one.display(), .other.display())]
pub struct Overlap {
    /// One of them.
    pub one: PathBuf,
    /// The other, the inner one where one lies in the other.
    pub other: PathBuf,
    how: &'static str,
}

/// Looks at every media directory, and gives a marker to those that are seen for the
/// first time. `known` is what the store holds. May be called again at any time; blocks
/// for as long as a file system takes to answer.
///
/// # Errors
///
/// [`Overlap`], also where it is through links.
pub fn open(
    directories: &[PathBuf],
    known: &[RootRecord],
    now: UnixMs,
) -> Result<Vec<Root>, Overlap> {
    refuse_overlaps(directories)?;
    let mut roots: Vec<_> = directories
        .iter()
        .map(|path| open_one(path, known, now))
        .collect();
    refuse_copies(&mut roots, known);
    Ok(roots)
}

fn refuse_overlaps(directories: &[PathBuf]) -> Result<(), Overlap> {
    // What cannot be asked for is not there, and overlaps nothing yet.
    let real: Vec<_> = directories
        .iter()
        .filter_map(|path| {
            let meta = fs::metadata(path).ok()?;
            Some((path, fs::canonicalize(path).ok()?, (meta.dev(), meta.ino())))
        })
        .collect();
    for (index, (one, one_real, one_inode)) in real.iter().enumerate() {
        for (other, other_real, other_inode) in &real[index + 1..] {
            let overlap = |one: &Path, other: &Path, how| Overlap {
                one: one.to_owned(),
                other: other.to_owned(),
                how,
            };
            if one_real == other_real || one_inode == other_inode {
                return Err(overlap(one, other, "are the same folder"));
            }
            let nested = "lie in each other";
            if other_real.starts_with(one_real) {
                return Err(overlap(one, other, nested));
            }
            if one_real.starts_with(other_real) {
                return Err(overlap(other, one, nested));
            }
        }
    }
    Ok(())
}

fn open_one(path: &Path, known: &[RootRecord], now: UnixMs) -> Root {
    let text = DiskPath::from(path).to_string();
    let record = known.iter().find(|record| record.path == text);
    let known_id = record.map(|record| record.id.clone());
    let (id, state) = match read(path) {
        Reading::Marker(marker) => (Some(marker.id), writable(path)),
        Reading::NoFolder(why) => (known_id, RootState::NotMounted { why }),
        Reading::Damaged(why) => (known_id, RootState::Refused { why }),
        Reading::Absent => match known_id {
            Some(id) => {
                let why = lost_marker(path, &id);
                (Some(id), RootState::NotMounted { why })
            }
            None => first_seen(path, now),
        },
    };
    let path = path.to_owned();
    Root { path, id, state }
}

/// A folder without a marker, which is not known by its path either.
fn first_seen(path: &Path, now: UnixMs) -> (Option<RootId>, RootState) {
    let shown = path.display();
    match is_empty(path) {
        Ok(false) => {}
        // Perhaps a mount point: a marker here would be hidden by what is mounted over it,
        // and then missed.
        Ok(true) => {
            let why = format!("{shown} is empty; it is looked at again when there is something");
            return (None, RootState::NotMounted { why });
        }
        Err(error) => {
            let why = format!("{shown} cannot be read: {error}");
            return (None, RootState::NotMounted { why });
        }
    }
    match create(path, now) {
        Ok(marker) => (Some(marker.id), writable(path)),
        Err(error) => {
            let why = format!(
                "{shown} has no {MARKER} yet, and none can be made there: {error}; make the folder \
                 writable for this user, or put one there by hand: {}",
                Marker::new(now).by_hand(path)
            );
            (None, RootState::Refused { why })
        }
    }
}

fn is_empty(path: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(path)?.next().transpose()?.is_none())
}

fn lost_marker(path: &Path, id: &RootId) -> String {
    format!(
        "{} is there without its {MARKER}, so it is taken for the empty place where it is usually \
         mounted; mount it, or, if its files are there, put the marker back: {}",
        path.display(),
        Marker::bare(id.clone()).by_hand(path)
    )
}

fn writable(path: &Path) -> RootState {
    use rustix::fs::Access;
    match rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => RootState::Mounted,
        Err(errno) => RootState::ReadOnly {
            why: format!(
                "{} cannot be written to from here ({}); workers that can write to it replace its \
                 films, this machine does not",
                path.display(),
                io::Error::from(errno)
            ),
        },
    }
}

/// One marker under two paths: a folder was copied whole. The one that is known by its
/// path is the original.
fn refuse_copies(roots: &mut [Root], known: &[RootRecord]) {
    let mut paths: BTreeMap<RootId, Vec<PathBuf>> = BTreeMap::new();
    for root in roots.iter().filter(|root| root.state.is_readable()) {
        if let Some(id) = &root.id {
            paths.entry(id.clone()).or_default().push(root.path.clone());
        }
    }
    let is_original = |id: &RootId, path: &Path| {
        let text = DiskPath::from(path).to_string();
        known
            .iter()
            .any(|record| record.id == *id && record.path == text)
    };
    for root in roots.iter_mut().filter(|root| root.state.is_readable()) {
        let Some((id, paths)) = root.id.as_ref().and_then(|id| paths.get_key_value(id)) else {
            continue;
        };
        let Some(other) = paths.iter().find(|path| **path != root.path) else {
            continue;
        };
        if is_original(id, &root.path) {
            continue;
        }
        let (this, other) = (root.path.display(), other.display());
        let why = format!(
            "{this} has the same {MARKER} as {other}: one is a copy of the other; delete {this}/{MARKER} \
             if {this} is the copy, and it gets a marker of its own"
        );
        root.state = RootState::Refused { why };
        root.id = None;
    }
}

#[cfg(test)]
mod tests;
