//! Libraries of small films.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::support::Scratch;
use crate::support::command::{ffprobe, make, run};
use crate::support::scratch::{fingerprint, names};

/// A folder of films, and what they were.
pub(crate) struct Library {
    pub(crate) path: PathBuf,
    originals: BTreeMap<String, u64>,
}

/// A film of two seconds that any encode makes smaller.
fn short() -> &'static [u8] {
    static FILM: OnceLock<Vec<u8>> = OnceLock::new();
    FILM.get_or_init(|| made("320x180", 25, 2.0))
}

/// A film that takes many seconds at any preset: to be killed, cancelled, outlived.
fn long() -> &'static [u8] {
    static FILM: OnceLock<Vec<u8>> = OnceLock::new();
    FILM.get_or_init(|| made("640x360", 25, 40.0))
}

fn made(size: &str, rate: u32, seconds: f64) -> Vec<u8> {
    let folder = Scratch::new();
    let path = folder.file("film.mkv");
    make(
        &format!(
            "-f lavfi -i testsrc2=s={size}:r={rate}:d={seconds} -f lavfi -i \
             sine=frequency=440:duration={seconds} -c:v libx264 -preset ultrafast -qp 12 \
             -pix_fmt yuv420p -c:a flac"
        ),
        &path,
    );
    fs::read(path).expect("a film")
}

impl Library {
    pub(crate) fn new(scratch: &Scratch, name: &str) -> Self {
        Self::at(&scratch.folder(name))
    }

    /// In a folder that is there.
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            originals: BTreeMap::new(),
        }
    }

    /// A film of two seconds; each differs from the others in its last bytes.
    pub(crate) fn add(&mut self, name: &str) -> PathBuf {
        self.write(name, short())
    }

    /// A film that takes many seconds.
    pub(crate) fn add_long(&mut self, name: &str) -> PathBuf {
        self.write(name, long())
    }

    /// Anything.
    pub(crate) fn write(&mut self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("folders");
        }
        let mut content = content.to_vec();
        // A Void element (EBML): lawful padding that makes each film another content.
        let mark = name.bytes().take(100).collect::<Vec<_>>();
        content.extend([0xEC, 0x80 | u8::try_from(mark.len()).expect("short")]);
        content.extend(mark);
        fs::write(&path, content).expect("written");
        self.originals.insert(name.to_owned(), fingerprint(&path));
        path
    }

    /// The film of this name is what it was.
    #[track_caller]
    pub(crate) fn assert_untouched(&self, name: &str) {
        let now = fingerprint(&self.path.join(name));
        assert_eq!(Some(&now), self.originals.get(name), "{name} was touched");
    }

    pub(crate) fn is_untouched(&self, name: &str) -> bool {
        let path = self.path.join(name);
        path.is_file() && self.originals.get(name) == Some(&fingerprint(&path))
    }

    /// Under the name lies an AV1 film, whole.
    #[track_caller]
    pub(crate) fn assert_shrunk(&self, name: &str, frames: u64) {
        let path = self.path.join(name);
        assert_ne!(
            Some(&fingerprint(&path)),
            self.originals.get(name),
            "{name} is as it was"
        );
        let counted = run(ffprobe()
            .args(["-count_frames", "-select_streams", "v:0", "-show_streams"])
            .arg(&path));
        let counted: serde_json::Value = serde_json::from_slice(&counted).expect("JSON");
        let stream = &counted["streams"][0];
        assert_eq!(stream["codec_name"], "av1", "{name}");
        assert_eq!(stream["nb_read_frames"], frames.to_string(), "{name}");
    }

    /// Nothing lies in the folder but these, the marker aside.
    #[track_caller]
    pub(crate) fn assert_holds(&self, expected: &[&str]) {
        let mut found = names(&self.path);
        found.retain(|name| name != MARKER);
        let mut expected: Vec<_> = expected.iter().map(|name| (*name).to_owned()).collect();
        expected.sort();
        assert_eq!(found, expected, "in {}", self.path.display());
    }
}

/// What a worker is started with that is to be met in the middle of a long film: one thread
/// is about as quick on any machine.
pub(crate) fn steady_pace() -> serde_json::Value {
    serde_json::json!({"threads": 1})
}

/// Frames of a short film.
pub(crate) const SHORT_FRAMES: u64 = 50;
/// Frames of a long one.
pub(crate) const LONG_FRAMES: u64 = 1000;
/// What marks a media directory.
pub(crate) const MARKER: &str = ".av1root";

/// No process of an encode is left that works below this folder.
#[track_caller]
pub(crate) fn assert_no_encode_below(folder: &Path) {
    let folder = folder.to_str().expect("UTF-8");
    let left: Vec<_> = fs::read_dir("/proc")
        .expect("/proc")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let command = fs::read(path.join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let is_encode = command.contains("encode-child") && is_below(&path, folder);
            is_encode.then_some(command)
        })
        .collect();
    assert!(left.is_empty(), "left running: {left:?}");
}

/// Whether a process has a file open below a folder.
fn is_below(process: &Path, folder: &str) -> bool {
    let Ok(entries) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    entries
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .any(|target| target.to_string_lossy().starts_with(folder))
}
