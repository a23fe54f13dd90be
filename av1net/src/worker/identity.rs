//! Who a worker is: random text in its state directory, locked while it runs.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::WorkerError;
use crate::units::{SessionId, WorkerId};

/// Workers of one state directory. More of them on one host are better told `slots`.
const MOST: u32 = 64;

/// A worker's identity. Nobody else has it until this is dropped.
#[derive(Debug)]
pub(crate) struct Identity {
    worker: WorkerId,
    _locked: File,
}

impl Identity {
    /// The first identity of the state directory that no other worker has; a new one
    /// where there is none yet.
    ///
    /// # Errors
    ///
    /// The state directory cannot be used.
    pub(crate) fn take(state_directory: &Path) -> Result<Self, WorkerError> {
        let failed = |path: &Path, source| WorkerError::State {
            path: path.to_owned(),
            source,
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state_directory)
            .map_err(|error| failed(state_directory, error))?;
        for number in 1..=MOST {
            let path = file_of(state_directory, number);
            if let Some(identity) = Self::of_file(&path).map_err(|error| failed(&path, error))? {
                return Ok(identity);
            }
        }
        Err(WorkerError::TooMany {
            path: state_directory.to_owned(),
            most: MOST,
        })
    }

    /// Who the worker is.
    #[must_use]
    pub(crate) fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// `None` where another worker has it.
    fn of_file(path: &Path) -> io::Result<Option<Self>> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let mut text = String::new();
        // Text of another making is replaced like none at all.
        let _ = file.read_to_string(&mut text);
        let mut id = text.trim().to_owned();
        if id.len() != 32 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            id = random_hex()?;
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(format!("{id}\n").as_bytes())?;
            file.sync_all()?;
        }
        Ok(Some(Self {
            worker: WorkerId(id),
            _locked: file,
        }))
    }
}

/// A life of a worker's process, which no other has.
pub(crate) fn new_session() -> Result<SessionId, WorkerError> {
    let random = random_hex();
    random.map(SessionId).map_err(|source| WorkerError::State {
        path: "/dev/urandom".into(),
        source,
    })
}

fn file_of(state_directory: &Path, number: u32) -> PathBuf {
    state_directory.join(if number == 1 {
        "worker-id".to_owned()
    } else {
        format!("worker-id.{number}")
    })
}

/// 128 random bits as hexadecimal digits.
fn random_hex() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_workers_of_one_state_directory_are_two_and_stay_who_they_are() {
        let state = tempfile::tempdir().expect("a folder");
        let state = state.path().join("made/anew");
        let one = Identity::take(&state).expect("one");
        let two = Identity::take(&state).expect("two");
        let (first, second) = (one.worker().clone(), two.worker().clone());
        assert_ne!(first, second);
        drop((one, two));
        assert_eq!(*Identity::take(&state).expect("again").worker(), first);
        let held = Identity::take(&state).expect("the same");
        assert_eq!(*held.worker(), first);
        assert_eq!(*Identity::take(&state).expect("other").worker(), second);
    }

    #[test]
    fn a_file_without_sense_gets_a_new_identity() {
        let state = tempfile::tempdir().expect("a folder");
        fs::write(state.path().join("worker-id"), b"\xff\xfe../../etc").expect("writes");
        let one = Identity::take(state.path()).expect("one");
        assert_eq!(one.worker().0.len(), 32);
        let text = fs::read_to_string(state.path().join("worker-id")).expect("reads");
        assert_eq!(text.trim(), one.worker().0);
    }

    #[test]
    fn a_state_directory_that_cannot_be_is_an_error_that_names_it() {
        let state = tempfile::tempdir().expect("a folder");
        let file = state.path().join("file");
        fs::write(&file, "").expect("writes");
        let error = Identity::take(&file).expect_err("no folder");
        assert!(
            error.to_string().contains(&*file.to_string_lossy()),
            "{error}"
        );
    }
}
