//! What a verdict is remembered by, so that no file is looked into again and again
//! (Tdarr#345, #647, #808): the content, wherever it lies and whatever its times say,
//! and the settings.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::pipeline::encoder_name;
use crate::plan::Options;

/// Content and settings, in short. Its text form is what a memory keeps.
///
/// The content is known by the size and by three pieces of it: reading all of a
/// library would take hours, and two films that share size, head, middle and tail are
/// one film. No promise against forgers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecisionKey(String);

/// Of the head, the middle and the tail each.
const PIECE_BYTES: u64 = 1024 * 1024;

impl DecisionKey {
    /// The key of a file under these settings, with the linked encoder. Reads 3 MiB.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unreadable`].
    pub fn of(path: impl AsRef<Path>, options: &Options) -> Result<Self> {
        let path = path.as_ref();
        let content = content(path).map_err(|error| {
            Error::new(ErrorKind::Unreadable, Stage::Probe, path, "cannot be read").with_io(error)
        })?;
        Ok(Self(format!("{content}-{:016x}", settings(options))))
    }
}

impl fmt::Display for DecisionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn content(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut hasher = Xxh3::new();
    let last = bytes.saturating_sub(PIECE_BYTES);
    for from in [0, last / 2, last] {
        let mut piece = vec![0; PIECE_BYTES.min(bytes) as usize];
        file.read_exact_at(&mut piece, from)?;
        hasher.update(&piece);
    }
    Ok(format!("{bytes:x}-{:032x}", hasher.digest128()))
}

/// What else the verdict depends on: every option, and what encodes.
fn settings(options: &Options) -> u64 {
    let version = env!("CARGO_PKG_VERSION");
    let all = format!("{options:?} {} {version}", encoder_name());
    xxh3_64(all.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_key_goes_with_the_content_and_the_settings_and_with_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("film.mkv");
        let mut content = vec![7_u8; 5 * 1024 * 1024];
        let mut options = Options::default();
        let key = |content: &[u8], options: &Options| {
            fs::write(&path, content).expect("written");
            DecisionKey::of(&path, options).expect("a key")
        };
        let first = key(&content, &options);
        assert_eq!(key(&content, &options), first);
        for at in [0, 5 * 512 * 1024, 5 * 1024 * 1024 - 1] {
            content[at] ^= 1;
            assert_ne!(key(&content, &options), first, "byte {at}");
            content[at] ^= 1;
        }
        assert_ne!(key(&content[1..], &options), first);
        options.preset = crate::units::Preset::new(3).ok();
        assert_ne!(key(&content, &options), first);
        options.preset = None;
        assert_eq!(key(&content, &options), first);

        let moved = folder.path().join("moved.mkv");
        fs::copy(&path, &moved).expect("copied");
        assert_eq!(DecisionKey::of(&moved, &options).expect("a key"), first);
        fs::write(&moved, b"").expect("written");
        assert_ne!(DecisionKey::of(&moved, &options).expect("a key"), first);
    }
}
