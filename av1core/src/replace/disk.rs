//! Single steps on a folder's names, with the answers of odd file systems made plain.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::identity::Identity;

/// What is no regular file (`InvalidInput`, see [`Identity::of`]) is nobody's output.
pub(super) fn not_a_file(error: io::Error) -> io::Result<Option<Identity>> {
    match error.kind() {
        io::ErrorKind::InvalidInput => Ok(None),
        _ => Err(error),
    }
}

/// Certainly not there, as opposed to not found out.
pub(super) fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// Gives each of two files the other's name, in one step.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Whether the file system says that it does not know how.
pub(super) fn cannot(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
}

/// Removes a file. Nothing there is as good, also where an error was reported first.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => match fs::symlink_metadata(path) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        },
    }
}
