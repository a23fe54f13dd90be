//! Brings replacements to their end that a killed process left, and clears away what
//! killed runs left.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use walkdir::WalkDir;

use super::commit::Replacement;
use super::disk::remove_if_there;
use super::journal::{Entry, Found, Journal};
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
    let folder = folder.as_ref();
    fs::read_dir(folder).map_err(|error| Error::output_io(Stage::Replace, folder, error))?;
    let mut left: Vec<(PathBuf, Kind)> = WalkDir::new(folder)
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
            let (_, kind) = names::parse(entry.file_name())?;
            Some((entry.into_path(), kind))
        })
        .collect();
    // Journals first: they answer for the files of their replacement.
    left.sort_by_key(|(_, kind)| *kind != Kind::Journal);
    let mut recovered = Vec::new();
    let mut answered_for: Vec<PathBuf> = Vec::new();
    for (path, kind) in left {
        let found = match kind {
            Kind::Journal => journal(&path, &mut answered_for),
            Kind::Staged | Kind::Copy if answered_for.contains(&path) => None,
            Kind::Staged | Kind::Copy => litter(&path),
        };
        recovered.extend(found);
    }
    Ok(recovered)
}

fn journal(path: &Path, answered_for: &mut Vec<PathBuf>) -> Option<Recovered> {
    let folder = folder_of(path);
    let about = |path: &Path, recovery| {
        let path = path.to_owned();
        Some(Recovered { path, recovery })
    };
    match Journal::read(path) {
        Ok(Found::Entry(journal, entry)) => {
            let (recovery, is_open) = carry_out(folder, journal, &entry);
            if is_open {
                answered_for.push(folder.join(&entry.staged.0));
                answered_for.push(folder.join(entry.dot_name(Kind::Copy)));
            }
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

/// Carries one replacement out; says what came of it, and whether it is still open.
fn carry_out(folder: &Path, journal: Journal, entry: &Entry) -> (Recovery, bool) {
    let replacement = Replacement {
        folder,
        entry,
        prove_content: true,
    };
    let ended = replacement.carry_out();
    let is_open = ended.is_err() && replacement.is_open();
    let recovery = match close(journal, &replacement, ended) {
        Ok(()) => Recovery::Finished,
        Err(error) if is_open => Recovery::Failed {
            reason: error.to_string(),
        },
        Err(error) => Recovery::TakenBack {
            reason: error.to_string(),
        },
    };
    (recovery, is_open)
}

/// A staged file or a copy without a journal: its run was killed before the source was
/// touched.
fn litter(path: &Path) -> Option<Recovered> {
    let recovery = match identity::open(path) {
        Ok(file) => match output::lock(&file) {
            // Removed under the lock, so that nobody takes it up in between.
            Lock::Ours => match remove_if_there(path) {
                Ok(()) => Recovery::Removed,
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

fn failed(error: &io::Error) -> Recovery {
    Recovery::Failed {
        reason: error.to_string(),
    }
}
