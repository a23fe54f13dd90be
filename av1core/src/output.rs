//! Where the output goes: checked first, staged under a dot name, published whole.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use fail::fail_point;
use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

use crate::container::Container;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::names::{Kind, dot_name, random_token};

/// Where the output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    path: PathBuf,
    taken: Taken,
}

/// What happens where the name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    /// Nothing is done.
    Refuse,
    /// The file there is replaced, unless it is the source.
    Overwrite,
    /// The file there has to be the source: the output is for `replace`.
    BySource,
}

impl Destination {
    /// `path`, which must not exist yet.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            taken: Taken::Refuse,
        }
    }

    /// Whether a file of that name may be replaced. It stays as it is until the
    /// new one is complete. The source is never replaced.
    #[must_use]
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.taken = if overwrite {
            Taken::Overwrite
        } else {
            Taken::Refuse
        };
        self
    }

    /// The place of the source itself, or of its name with another extension. What is
    /// encoded for it can be staged, and put there by `replace` alone.
    pub(crate) fn in_place_of(source: &Path, container: Container) -> Self {
        Self {
            path: container.name_in_place_of(source),
            taken: Taken::BySource,
        }
    }

    /// The container that the path's extension asks for; `None` for one that is not
    /// written here.
    #[must_use]
    pub fn container(&self) -> Option<Container> {
        Container::of_name(&self.path)
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that can be known to be wrong before any work is done.
    pub(crate) fn check(&self, source: &Path) -> Result<()> {
        let fail = |kind, message: &str| Err(Error::new(kind, Stage::Publish, &self.path, message));
        if self.container().is_none() {
            let extension = self.path.extension().unwrap_or_default().to_string_lossy();
            return fail(
                ErrorKind::OutputFormat,
                &format!(
                    "only Matroska and MP4 are written; name the output .mkv or .mp4, not .{extension}"
                ),
            );
        }
        match fs::metadata(&self.path) {
            Ok(meta) if meta.is_dir() => {
                return fail(ErrorKind::OutputFolder, "is a folder; name a file in it");
            }
            Ok(meta) => {
                // Through links of both kinds: device and inode tell.
                let same = fs::metadata(source)
                    .is_ok_and(|source| (source.dev(), source.ino()) == (meta.dev(), meta.ino()));
                if same && self.taken == Taken::BySource {
                    return Ok(());
                }
                if same {
                    return fail(
                        ErrorKind::OutputIsSource,
                        "is the source itself; choose another name",
                    );
                }
                if self.taken == Taken::BySource {
                    return fail(ErrorKind::OutputExists, STRANGER);
                }
                if self.taken == Taken::Refuse {
                    return fail(ErrorKind::OutputExists, "exists already (see --overwrite)");
                }
                if !meta.is_file() {
                    return fail(ErrorKind::OutputDenied, "is not a regular file");
                }
            }
            // A dangling link is somebody's too: the rename would replace it.
            Err(_) if self.path.is_symlink() && self.taken != Taken::Overwrite => {
                return fail(ErrorKind::OutputExists, "exists already (see --overwrite)");
            }
            Err(_) => {}
        }
        if self.path.file_name().is_none() {
            return fail(ErrorKind::OutputFolder, "names no file");
        }
        match fs::metadata(self.folder()) {
            Ok(meta) if meta.is_dir() => Ok(()),
            Ok(_) => fail(ErrorKind::OutputFolder, "its folder is not a folder"),
            Err(error) => Err(Error::output_io(Stage::Publish, &self.path, error)),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        folder_of(&self.path)
    }
}

/// Why a film is not replaced by one of another extension.
pub(crate) const STRANGER: &str =
    "exists already, and is another film than the one to be replaced; rename one of them";

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes the names in a folder durable. Whether the file system can: some do not know
/// how (`EINVAL`), and who may write to a folder need not be allowed to read it.
///
/// # Errors
///
/// What is not of that kind, such as a full or broken disk.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<bool> {
    use io::ErrorKind as K;
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Ok(()) => Ok(true),
        Err(error)
            if matches!(
                error.kind(),
                K::InvalidInput | K::Unsupported | K::PermissionDenied
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// A file under a dot name beside its destination; removed unless published. While it
/// is open it is locked, so that who cleans up knows that it is in use.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    token: u64,
    published: bool,
}

impl Staged {
    /// Creates the file, empty.
    pub(crate) fn create(destination: &Destination) -> Result<(Self, File)> {
        let name = destination.path.file_name().unwrap_or(OsStr::new("output"));
        // Media servers index what has a media extension and no leading dot
        // (Tdarr#30, #172). Random, so that two runs for one name never meet.
        for _ in 0..16 {
            let token = random_token();
            let path = destination
                .folder()
                .join(dot_name(name, token, Kind::Staged));
            match File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)
            {
                Ok(file) => {
                    let staged = Self {
                        path,
                        token,
                        published: false,
                    };
                    if lock(&file) != Lock::Theirs && is_linked(&file) {
                        return Ok((staged, file));
                    }
                    // Who cleans up was quicker than the lock.
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(Error::output_io(Stage::Publish, &destination.path, error));
                }
            }
        }
        let error = io::Error::from(io::ErrorKind::AlreadyExists);
        Err(Error::output_io(Stage::Publish, &destination.path, error))
    }

    /// The file under its dot name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The number in its name.
    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    /// From here on the journal answers for the file.
    pub(crate) fn hand_over(mut self) {
        self.published = true;
    }

    /// Makes the content durable and gives the file its name, in one step that
    /// either happens or does not.
    pub(crate) fn publish(mut self, file: &File, destination: &Destination) -> Result<()> {
        let output_error = |error| Error::output_io(Stage::Publish, &destination.path, error);
        if destination.taken == Taken::BySource {
            let message = "is the source's own place, which only a replacement may take";
            let path = &destination.path;
            return Err(Error::new(
                ErrorKind::OutputIsSource,
                Stage::Publish,
                path,
                message,
            ));
        }
        file.sync_all().map_err(output_error)?;
        if destination.taken == Taken::Overwrite {
            fs::rename(&self.path, &destination.path).map_err(output_error)?;
        } else {
            rename_new(&self.path, &destination.path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::new(
                    ErrorKind::OutputExists,
                    Stage::Publish,
                    &destination.path,
                    "appeared while the encode ran, and was left as it is",
                ),
                _ => output_error(error),
            })?;
        }
        self.published = true;
        // The output is in its place. A folder that cannot be synced (unreadable, or
        // on a file system that does not know how) takes nothing of that back.
        if let Err(error) = sync_folder(destination.folder()) {
            tracing::warn!(path = %destination.path.display(), %error, "folder not synced");
        }
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = fs::remove_file(&self.path)
            // Revoked: its new owner removes it.
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "staged file not removed");
        }
    }
}

/// What locking a file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Nobody else has it. The lock goes with the last handle on the file.
    Ours,
    /// A process at work holds it.
    Theirs,
    /// The file system knows no locks.
    Unknown,
}

/// Locks a file, or finds that somebody else has.
pub(crate) fn lock(file: &File) -> Lock {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Lock::Ours,
        Err(rustix::io::Errno::WOULDBLOCK) => Lock::Theirs,
        Err(_) => Lock::Unknown,
    }
}

/// Whether a file still has a name.
pub(crate) fn is_linked(file: &File) -> bool {
    file.metadata().map_or(true, |meta| meta.nlink() > 0)
}

/// Renames and never replaces.
pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rename_noreplace(from, to) {
        Ok(()) => Ok(()),
        // File systems without RENAME_NOREPLACE (NFS, some FUSE): a hard link
        // refuses an existing name just as well.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            rename_new_by_link(from, to)
        }
        Err(error) => Err(error.into()),
    }
}

fn rename_noreplace(from: &Path, to: &Path) -> rustix::io::Result<()> {
    fail_point!("output::noreplace", |_| Err(rustix::io::Errno::INVAL));
    renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)
}

fn rename_new_by_link(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            fail_point!("output::linked");
            if let Err(error) = fs::remove_file(from) {
                tracing::warn!(path = %from.display(), %error, "staged name not removed");
            }
            Ok(())
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound
            ) =>
        {
            Err(error)
        }
        // Neither is known (object stores, some FUSE): a name that did not exist is
        // taken, and then replaced; it is ours from its first moment on.
        Err(_) => {
            File::create_new(to)?;
            fs::rename(from, to).inspect_err(|_| {
                let _ = fs::remove_file(to);
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unpublished_file_is_removed_and_a_stranger_is_not_replaced() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let destination = Destination::new(folder.path().join("out.mkv"));
        let (staged, _) = Staged::create(&destination).expect("created");
        drop(staged);
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);

        let (staged, file) = Staged::create(&destination).expect("created");
        fs::write(destination.path(), b"stranger").expect("written");
        let error = staged.publish(&file, &destination).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::OutputExists);
        assert_eq!(fs::read(destination.path()).expect("read"), b"stranger");
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 1);
    }

    #[test]
    fn overwriting_keeps_the_old_file_until_the_new_one_is_complete() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let destination = Destination::new(folder.path().join("out.mkv")).overwrite(true);
        fs::write(destination.path(), b"old").expect("written");
        let (staged, mut file) = Staged::create(&destination).expect("created");
        io::Write::write_all(&mut file, b"new").expect("written");
        assert_eq!(fs::read(destination.path()).expect("read"), b"old");
        staged.publish(&file, &destination).expect("published");
        assert_eq!(fs::read(destination.path()).expect("read"), b"new");
    }

    #[test]
    fn other_containers_are_refused_by_name() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let error = Destination::new(folder.path().join("out.AVI"))
            .check(Path::new("in.mkv"))
            .expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::OutputFormat);
    }
}
