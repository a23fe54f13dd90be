//! Puts a backup of testing mode back in its place.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::disk::remove_if_there;
use super::{failed, unreadable};
use crate::container::Container;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::names::{backup_name, original_of};
use crate::output::{folder_of, rename_new, sync_folder};
use crate::probe::probe;

/// A film that has its place again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Restored {
    /// The film as it was.
    pub path: PathBuf,
    /// The output that had taken its place and was removed.
    pub removed: Option<PathBuf>,
}

/// Puts a backup back: `file` is the backup itself (`film.mp4.bak`), the film's old
/// name or its new one. The output that took its place is removed; it is known by the
/// tag that this crate writes into what it encodes.
///
/// # Errors
///
/// [`ErrorKind::NotFound`] without a backup, [`ErrorKind::OutputExists`] where several
/// fit or where the film in its place is not this crate's work; nothing is changed then.
pub fn restore(file: impl AsRef<Path>) -> Result<Restored> {
    let (backup, original) = find(file.as_ref())?;
    let folder = folder_of(&backup);
    let outputs = [Container::Matroska, Container::Mp4]
        .map(|container| container.name_in_place_of(&original));
    let replaced = outputs
        .iter()
        .find(|output| output.as_path() != original && is_our_work(output));
    if fs::symlink_metadata(&original).is_ok() {
        if !is_our_work(&original) {
            let message = "is there, and not what av1core made of the backup; move it away first";
            return Err(taken(&original, message));
        }
        // Over the output, in one step: at no moment is there none of the two.
        fs::rename(&backup, &original).map_err(|error| failed(&original, error))?;
        sync_folder(folder).map_err(|error| failed(&original, error))?;
        let removed = Some(original.clone());
        return Ok(Restored {
            path: original,
            removed,
        });
    }
    rename_new(&backup, &original).map_err(|error| failed(&original, error))?;
    sync_folder(folder).map_err(|error| failed(&original, error))?;
    if let Some(output) = replaced {
        remove_if_there(output).map_err(|error| failed(output, error))?;
        sync_folder(folder).map_err(|error| failed(output, error))?;
    }
    Ok(Restored {
        path: original,
        removed: replaced.cloned(),
    })
}

/// The backup that `file` means, and its original name.
fn find(file: &Path) -> Result<(PathBuf, PathBuf)> {
    let name = file.file_name().unwrap_or_default();
    if let Some(original) = original_of(name) {
        fs::symlink_metadata(file).map_err(|error| unreadable(file, error))?;
        return Ok((file.to_owned(), file.with_file_name(original)));
    }
    let direct = file.with_file_name(backup_name(name, 0));
    if fs::symlink_metadata(&direct).is_ok() {
        return Ok((direct, file.to_owned()));
    }
    let mut found = of_the_same_stem(file)?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err(taken(file, "has several backups; name the one to restore")),
        (None, _) => Err(Error::new(
            ErrorKind::NotFound,
            Stage::Replace,
            file,
            "has no backup beside it",
        )),
    }
}

/// `film.mkv` may have been `film.mp4`, whose backup is `film.mp4.bak`.
fn of_the_same_stem(file: &Path) -> Result<Vec<(PathBuf, PathBuf)>> {
    let entries = fs::read_dir(folder_of(file)).map_err(|error| unreadable(file, error))?;
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name()));
    let fits = |original: &OsStr| {
        let original = file.with_file_name(original);
        [Container::Matroska, Container::Mp4]
            .iter()
            .any(|container| container.name_in_place_of(&original) == file)
    };
    Ok(names
        .filter_map(|name| {
            let original = original_of(&name).filter(|original| fits(original))?;
            Some((file.with_file_name(&name), file.with_file_name(original)))
        })
        .collect())
}

/// Whether a file is an output of this crate, by the tag of its video.
pub(super) fn is_our_work(path: &Path) -> bool {
    let Ok(info) = probe(path) else { return false };
    info.streams.iter().any(|stream| {
        let encoder = stream
            .tags
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case("encoder"));
        stream.codec == "av1" && encoder.is_some_and(|(_, made)| made.starts_with("av1core "))
    })
}

fn taken(path: &Path, message: &str) -> Error {
    Error::new(ErrorKind::OutputExists, Stage::Replace, path, message)
}
