//! Where a worker puts what it fetches and has not yet delivered: a folder of its own
//! in the temporary directory, which it alone empties.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::tasks::Key;
use crate::units::WorkerId;

/// A worker's own folder for temporary files. Nobody else uses it: the worker's
/// identity is locked while it runs.
#[derive(Clone, Debug)]
pub(crate) struct TempFolder(PathBuf);

impl TempFolder {
    /// The folder of this worker, emptied of what an earlier life of it left. What
    /// others have in the temporary directory is theirs.
    ///
    /// # Errors
    ///
    /// It cannot be made, emptied or written to.
    pub(crate) fn open(temp_directory: &Path, worker: &WorkerId) -> io::Result<Self> {
        fs::create_dir_all(temp_directory)?;
        let own = temp_directory.join(&worker.0);
        remove(&own)?;
        make(&own)?;
        Ok(Self(own))
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// An empty folder for a task's files.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(crate) fn make_for(&self, key: Key) -> io::Result<PathBuf> {
        let folder = self.of(key);
        remove(&folder)?;
        // Somebody may have cleared the temporary directory under a running worker.
        fs::create_dir_all(&self.0)?;
        make(&folder)?;
        Ok(folder)
    }

    /// Removes a task's folder with all that is in it.
    ///
    /// # Errors
    ///
    /// It cannot be removed; where there is none, it need not be.
    pub(crate) fn remove(&self, key: Key) -> io::Result<()> {
        remove(&self.of(key))
    }

    fn of(&self, key: Key) -> PathBuf {
        self.0.join(format!(
            "{}.{}.{}",
            key.task.job, key.task.number, key.epoch
        ))
    }
}

/// Bytes that are free for who runs this, where `folder` is.
///
/// # Errors
///
/// What the system says, as where there is no such folder.
pub(crate) fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// For this user alone: films are nobody else's business.
fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(folder)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Epoch, JobId};

    #[test]
    fn a_worker_empties_its_own_folder_and_no_other() {
        let temp = tempfile::tempdir().expect("a folder");
        let (own, other) = (WorkerId("a".to_owned()), WorkerId("b".to_owned()));
        let key = Key {
            task: JobId(7).into(),
            epoch: Epoch(3),
        };
        let mut films = Vec::new();
        for worker in [&own, &other] {
            let folder = TempFolder::open(temp.path(), worker).expect("opens");
            let film = folder.make_for(key).expect("makes").join("source.mkv");
            fs::write(&film, "film").expect("writes");
            films.push(film);
        }
        let stranger = temp.path().join("stranger");
        fs::write(&stranger, "x").expect("writes");
        let folder = TempFolder::open(temp.path(), &own).expect("opens again");
        assert!(!films[0].exists() && films[1].exists() && stranger.exists());
        folder.remove(key).expect("nothing to remove is no error");
        assert!(free_bytes(folder.path()).expect("a disk") > 0);
    }
}
