//! Brings replacements to their end that a killed process left, and clears away what
//! killed runs left.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use walkdir::WalkDir;

use super::commit::Replacement;
use super::disk::remove_if_there;
use super::journal::{Entry, Found, Journal};
use super::revoke::{Revocation, Settled, settle};
use super::{close, identity};
use crate::error::{Error, Result, Stage};
use crate::names::{self, Kind};
use crate::output::{self, Lock, folder_of};

/// What recovery did with one file.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Recovered {
    /// The file that it is about: the film, or what was left beside it. In serialized
    /// form characters that are not UTF-8 are replaced.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// What was done.
    pub recovery: Recovery,
}

/// What recovery did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Recovery {
    /// The replacement was carried out: the film is in its place.
    Finished,
    /// The output was taken back: the source is as it was.
    TakenBack {
        /// Why.
        reason: String,
    },
    /// An unfinished file of a killed run was removed.
    Removed,
    /// A process at work holds the file; it was left alone.
    InUse,
    /// The journal is of another version of this program; it was left alone.
    Foreign,
    /// It could not be decided now; nothing is lost, and a later try may succeed.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

fn lossy<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// Recovers a folder and all folders below it, without following links. A second call
/// right after finds nothing to do.
///
/// Files of runs that are at work, on this machine or, where the file system shares
/// its locks, on another, are left alone.
///
/// # Errors
///
/// Only where `folder` itself cannot be read; what goes wrong with one file is in the
/// list.
pub fn recover(folder: impl AsRef<Path>) -> Result<Vec<Recovered>> {
    recover_to_depth(folder.as_ref(), usize::MAX)
}

/// Recovers a folder as [`recover`] does, without those below it: after a run whose
/// place is known, in a library that would take long to walk through.
///
/// # Errors
///
/// As of [`recover`].
pub fn recover_folder(folder: impl AsRef<Path>) -> Result<Vec<Recovered>> {
    recover_to_depth(folder.as_ref(), 1)
}

fn recover_to_depth(folder: &Path, depth: usize) -> Result<Vec<Recovered>> {
    fs::read_dir(folder).map_err(|error| Error::output_io(Stage::Replace, folder, error))?;
    let mut left: Vec<(PathBuf, u64, Kind)> = WalkDir::new(folder)
        .max_depth(depth)
        .sort_by_file_name()
        .into_iter()
        .filter_map(|entry| match entry {
            Ok(entry) => Some(entry),
            Err(error) => {
                tracing::warn!(%error, "not looked into");
                None
            }
        })
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| {
            let (token, kind) = names::parse(entry.file_name())?;
            Some((entry.into_path(), token, kind))
        })
        .collect();
    // Revocations first, for which a journal is no matter of locks; then journals: what
    // is left once they are gone is litter.
    left.sort_by_key(|(.., kind)| match kind {
        Kind::Revoked => 0,
        Kind::Journal => 1,
        Kind::Staged | Kind::Copy => 2,
    });
    let mut recovered = Vec::new();
    let mut revoked = HashSet::new();
    for (path, token, kind) in left {
        let folder = folder_of(&path).to_owned();
        if kind != Kind::Revoked && revoked.contains(&(folder.clone(), token)) {
            continue;
        }
        recovered.extend(match kind {
            Kind::Revoked => {
                revoked.insert((folder, token));
                revocation(&path, token)
            }
            Kind::Journal => journal(&path),
            Kind::Staged | Kind::Copy => litter(&path, token),
        });
    }
    Ok(recovered)
}

/// Goes on with a revocation that was cut off.
fn revocation(path: &Path, token: u64) -> Option<Recovered> {
    let (film, recovery) = match settle(folder_of(path), token) {
        Ok(Settled::Ended(Revocation::Committed { path })) => (path, Recovery::Finished),
        Ok(Settled::Ended(Revocation::Revoked)) => {
            let reason = "the right to replace the source was taken away".to_owned();
            (path.to_owned(), Recovery::TakenBack { reason })
        }
        Ok(Settled::Ended(Revocation::Nothing) | Settled::Nothing) => return None,
        Ok(Settled::InUse) => (path.to_owned(), Recovery::InUse),
        Err(error) => {
            let reason = error.to_string();
            (path.to_owned(), Recovery::Failed { reason })
        }
    };
    Some(Recovered {
        path: film,
        recovery,
    })
}

fn journal(path: &Path) -> Option<Recovered> {
    let folder = folder_of(path);
    let about = |path: &Path, recovery| {
        let path = path.to_owned();
        Some(Recovered { path, recovery })
    };
    match Journal::read(path) {
        Ok(Found::Entry(journal, entry)) => {
            let recovery = carry_out(folder, journal, &entry);
            let film = match recovery {
                Recovery::Finished => &entry.target,
                _ => &entry.source,
            };
            about(&folder.join(&film.0), recovery)
        }
        Ok(Found::Torn(journal)) => match journal.remove(folder) {
            Ok(()) => about(path, Recovery::Removed),
            Err(error) => about(path, failed(&error)),
        },
        Ok(Found::InUse) => about(path, Recovery::InUse),
        Ok(Found::Foreign) => about(path, Recovery::Foreign),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => about(path, failed(&error)),
    }
}

/// Carries one replacement out, and says what came of it.
fn carry_out(folder: &Path, journal: Journal, entry: &Entry) -> Recovery {
    let replacement = Replacement {
        folder,
        entry,
        prove_content: true,
    };
    let ended = replacement.carry_out();
    let is_open = ended.is_err() && replacement.is_open();
    match close(journal, &replacement, ended) {
        Ok(()) => Recovery::Finished,
        Err(error) if is_open => Recovery::Failed {
            reason: error.to_string(),
        },
        Err(error) => Recovery::TakenBack {
            reason: error.to_string(),
        },
    }
}

/// A staged file or a copy: without a journal its run was killed before the source was
/// touched. With one it may be the source itself, taken aside, which nobody has locked;
/// the journal answers for it then.
fn litter(path: &Path, token: u64) -> Option<Recovered> {
    let recovery = match identity::open(path) {
        Ok(file) => match output::lock(&file) {
            // Looked for under the lock: a run at work that would write one holds it.
            Lock::Ours => match has_journal(folder_of(path), token) {
                Ok(true) => return None,
                Ok(false) => match remove_if_there(path) {
                    Ok(()) => Recovery::Removed,
                    Err(error) => failed(&error),
                },
                Err(error) => failed(&error),
            },
            Lock::Theirs | Lock::Unknown => Recovery::InUse,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => failed(&error),
    };
    Some(Recovered {
        path: path.to_owned(),
        recovery,
    })
}

fn has_journal(folder: &Path, token: u64) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if names::parse(&entry?.file_name()) == Some((token, Kind::Journal)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn failed(error: &io::Error) -> Recovery {
    Recovery::Failed {
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_recovered_without_those_below_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let below = folder.path().join("below");
        fs::create_dir(&below).expect("makes");
        let litter = |folder: &Path| {
            let name = names::dot_name("film.mkv".as_ref(), 7, Kind::Staged);
            let path = folder.join(name);
            fs::write(&path, "half a film").expect("writes");
            path
        };
        let (here, there) = (litter(folder.path()), litter(&below));
        let recovered = recover_folder(folder.path()).expect("reads");
        assert_eq!(recovered.len(), 1, "{recovered:?}");
        assert_eq!(recovered[0].recovery, Recovery::Removed);
        assert!(!here.exists() && there.exists());
        assert_eq!(recover(folder.path()).expect("reads").len(), 1);
        assert!(!there.exists());
    }
}
