//! What the file system says of a file.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::ffi;

/// What the file system says of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileFacts {
    /// The path below the root, or the whole path without one.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// How many names it has.
    pub links: u64,
    /// When its content, mode or name last changed, in microseconds since 1970. A copy
    /// that keeps the old time of its content is new all the same.
    pub changed_us: i64,
    /// It is a symbolic link.
    pub is_link: bool,
    /// It, or what it points to, does not lie below the root.
    pub leaves_root: bool,
    /// Whether a program on this machine has it open for writing; `None` where the
    /// system does not tell (another user's file, a network).
    pub open_for_writing: Option<bool>,
    /// The file that excludes it: `NAME.noav1` beside it, or `.noav1` in its folder or
    /// in one above, up to the root.
    pub sidecar: Option<PathBuf>,
    /// What was decided for the same content with the same settings, by the caller's
    /// memory.
    pub decided: Option<String>,
}

/// The name that excludes a folder, and the extension that excludes a file.
const SIDECAR: &str = "noav1";

impl FileFacts {
    /// Asks the file system. Opens the file for a moment; reads nothing of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`], [`ErrorKind::NotAFile`], [`ErrorKind::Unreadable`].
    pub fn of(path: impl AsRef<Path>, root: Option<&Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::read(path, root).map_err(|error| {
            let (kind, message) = match error.kind() {
                io::ErrorKind::NotFound => {
                    return Error::new(ErrorKind::NotFound, Stage::Probe, path, "no such file");
                }
                io::ErrorKind::InvalidInput => (ErrorKind::NotAFile, "is not a file"),
                _ => (ErrorKind::Unreadable, "cannot be read"),
            };
            Error::new(kind, Stage::Probe, path, message).with_io(error)
        })
    }

    fn read(path: &Path, root: Option<&Path>) -> io::Result<Self> {
        let own = fs::symlink_metadata(path)?;
        let meta = fs::metadata(path)?;
        if !meta.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let real = fs::canonicalize(path)?;
        let root = root.map(fs::canonicalize).transpose()?;
        let leaves_root = root.as_ref().is_some_and(|root| !real.starts_with(root));
        let below = root.as_ref().and_then(|root| real.strip_prefix(root).ok());
        let micros = |seconds: i64, nanos: i64| {
            seconds
                .saturating_mul(1_000_000)
                .saturating_add(nanos / 1000)
        };
        let modified_us = micros(meta.mtime(), meta.mtime_nsec());
        Ok(Self {
            path: below.unwrap_or(path).to_owned(),
            bytes: meta.len(),
            links: meta.nlink(),
            changed_us: modified_us.max(micros(meta.ctime(), meta.ctime_nsec())),
            is_link: own.is_symlink(),
            leaves_root,
            open_for_writing: ffi::is_open_for_writing(path),
            sidecar: sidecar(&real, root.as_deref()),
            decided: None,
        })
    }
}

fn sidecar(path: &Path, root: Option<&Path>) -> Option<PathBuf> {
    let mut beside = path.file_name()?.to_owned();
    beside.push(".");
    beside.push(SIDECAR);
    let beside = path.with_file_name(&beside);
    if beside.exists() {
        return beside.file_name().map(PathBuf::from);
    }
    let within = |folder: &&Path| root.is_none_or(|root| folder.starts_with(root));
    let folders = path.ancestors().skip(1).take_while(within);
    // Without a root the file's own folder is all that is asked.
    let depth = if root.is_some() { usize::MAX } else { 1 };
    folders
        .take(depth)
        .map(|folder| folder.join(format!(".{SIDECAR}")))
        .find(|sidecar| sidecar.exists())
}

#[cfg(test)]
mod tests {
    use std::fs::{File, OpenOptions};

    use super::*;

    #[test]
    fn the_file_system_is_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("show/season")).expect("folders");
        let film = root.join("show/season/film.mkv");
        fs::write(&film, b"12345").expect("written");
        let of = |path: &Path| FileFacts::of(path, Some(&root)).expect("facts");

        let facts = of(&film);
        assert_eq!(facts.path, Path::new("show/season/film.mkv"));
        assert_eq!((facts.bytes, facts.links), (5, 1));
        assert!(!facts.is_link && !facts.leaves_root);
        assert_eq!(facts.sidecar, None);

        fs::hard_link(&film, root.join("other.mkv")).expect("linked");
        assert_eq!(of(&film).links, 2);

        let link = root.join("link.mkv");
        std::os::unix::fs::symlink(&film, &link).expect("linked");
        let facts = of(&link);
        assert!(facts.is_link && !facts.leaves_root);
        let outside = folder.path().join("outside.mkv");
        fs::write(&outside, b"1").expect("written");
        std::os::unix::fs::symlink(&outside, root.join("out.mkv")).expect("linked");
        assert!(of(&root.join("out.mkv")).leaves_root);

        File::create(root.join("show/.noav1")).expect("created");
        let sidecar = of(&film).sidecar.expect("found");
        assert!(sidecar.ends_with("show/.noav1"), "{sidecar:?}");
        File::create(root.join("show/season/film.mkv.noav1")).expect("created");
        assert_eq!(of(&film).sidecar, Some("film.mkv.noav1".into()));

        let error = FileFacts::of(root.join("gone.mkv"), None).expect_err("not there");
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_is_being_written_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let film = folder.path().join("film.mkv");
        let writer = File::create(&film).expect("created");
        let of = || FileFacts::of(&film, None).expect("facts").open_for_writing;
        // `None` on a file system without leases.
        let known = of();
        assert_ne!(known, Some(false));
        drop(writer);
        let reader = OpenOptions::new().read(true).open(&film).expect("opened");
        assert_eq!(of(), known.map(|_| false));
        drop(reader);
    }
}
