//! What the tests stand on: inputs made with the `ffmpeg` command, readers that
//! do not go through our own code, folders that are checked for litter, and a
//! watchdog, since a hang is a failure.

pub(crate) mod bits;
pub(crate) mod cli;
pub(crate) mod command;
pub(crate) mod dolby_vision;
pub(crate) mod encode;
pub(crate) mod fake_master;
pub(crate) mod golden;
pub(crate) mod mount;
pub(crate) mod paff;
pub(crate) mod probe;
pub(crate) mod quality;
pub(crate) mod recipe;
pub(crate) mod refuse;
pub(crate) mod scratch;
pub(crate) mod sound;
pub(crate) mod watchdog;

use std::path::{Path, PathBuf};

pub(crate) use self::encode::{encode, fast, fast_preset};
pub(crate) use self::scratch::Scratch;
pub(crate) use self::watchdog::watched;

/// The folder of these tests.
pub(crate) fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests")
}

/// A clip of `tests/media`.
pub(crate) fn clip(name: &str) -> PathBuf {
    let path = tests_folder().join("media").join(name);
    assert!(path.is_file(), "{} is missing", path.display());
    path
}
