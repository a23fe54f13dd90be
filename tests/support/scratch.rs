//! Temporary folders that are checked for litter.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A temporary folder of a test.
pub(crate) struct Scratch(TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("av1-tests-").tempdir();
        Self(folder.expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name);
        fs::write(&path, content).expect("a file written");
        path
    }

    /// A folder in it.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        fs::create_dir(&path).expect("a folder made");
        path
    }
}

/// The names in a folder, dot files included, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .expect("a folder listed")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The folder holds these files and no other.
pub(crate) fn assert_holds(folder: &Path, expected: &[&str]) {
    let mut expected: Vec<_> = expected.iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(names(folder), expected, "in {}", folder.display());
}

/// A file's content, as a number to compare.
pub(crate) fn fingerprint(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    fs::read(path).expect("a file read").hash(&mut hasher);
    hasher.finish()
}
