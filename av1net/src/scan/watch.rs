//! Folders watched between scans, where the system tells what happens in them. A hint:
//! what it does not tell, the next scan finds.
//!
//! Network and FUSE file systems are not watched: they tell of what this machine does,
//! and not of what others do. Where the system's limits end the watching, or it lost
//! count, everything is said to have changed, and [`Watch::trouble`] says why.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RemoveKind};
use notify::{Config, ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::names::{Names, SIDECAR, SIDECAR_SUFFIX};
use super::{ScanRules, Touched};
use crate::units::RelPath;

/// When changes are told.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// When nothing more has happened for so long.
    pub quiet: Duration,
    /// At the latest so long after the first.
    pub longest: Duration,
    /// That everything has changed is told no more often than this. Scanning opens every
    /// folder, which is told too: a machine that is too slow to follow would scan for
    /// ever because of its scans.
    pub between_everything: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            // A folder that is moved in, or a season that is unpacked, is one change.
            quiet: Duration::from_secs(2),
            longest: Duration::from_secs(30),
            between_everything: Duration::from_secs(600),
        }
    }
}

/// Why a media directory is not watched. Its films are found by scans.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwatched {
    /// It lies where changes of others are not told.
    #[error(
        "is on {0}, which does not tell what others change; new films are found by the next scan"
    )]
    Network(&'static str),
    /// The system watches no more.
    #[error(
        "has more folders than this system watches; raise it (sysctl fs.inotify.max_user_watches) \
         to have new films found before the next scan"
    )]
    TooMany,
    /// Something else.
    #[error("cannot be watched ({0}); new films are found by the next scan")]
    Failed(String),
}

impl From<notify::Error> for Unwatched {
    fn from(error: notify::Error) -> Self {
        match error.kind {
            ErrorKind::MaxFilesWatch => Self::TooMany,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// A media directory that is watched; no longer when this is dropped. It watches what is
/// mounted now: after the directory was away, it is to be started again.
pub struct Watch {
    /// Its thread ends with it.
    _watcher: RecommendedWatcher,
    shared: Arc<Shared>,
    pace: Pace,
    everything_told: Option<Instant>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

struct Shared {
    root: std::path::PathBuf,
    names: Names,
    pending: Mutex<Pending>,
    wake: Notify,
}

#[derive(Default)]
struct Pending {
    touched: Touched,
    /// Goes up with every change, so that quiet can be told.
    events: u64,
    trouble: Option<Unwatched>,
}

/// A folder that goes away while all of them are being gone through ends that; as often
/// it is tried.
const TRIES: u32 = 5;

impl Watch {
    /// Starts watching. Goes through all folders, and blocks for as long. What happens
    /// before it returns may not be told: scan afterwards.
    ///
    /// # Errors
    ///
    /// [`Unwatched`]
    pub fn start(root: &Path, rules: &ScanRules, pace: Pace) -> Result<Self, Unwatched> {
        if let Some(kind) = network(root) {
            return Err(Unwatched::Network(kind));
        }
        let shared = Arc::new(Shared {
            root: root.to_owned(),
            names: rules.names.clone(),
            pending: Mutex::default(),
            wake: Notify::new(),
        });
        let told = Arc::clone(&shared);
        let config = Config::default().with_follow_symlinks(false);
        let mut watcher = RecommendedWatcher::new(move |event| told.take(event), config)?;
        let mut tries = 0;
        while let Err(error) = watcher.watch(root, RecursiveMode::Recursive) {
            tries += 1;
            if tries == TRIES || !matches!(error.kind, ErrorKind::PathNotFound) {
                return Err(error.into());
            }
        }
        Ok(Self {
            _watcher: watcher,
            shared,
            pace,
            everything_told: None,
        })
    }

    /// Waits until something has changed, and has come to rest; what it was. Dropping the
    /// future loses nothing.
    pub async fn changed(&mut self) -> Touched {
        loop {
            self.happened().await;
            self.rest().await;
            let is_everything = self.shared.lock().touched.everything;
            if let Some(told) = self.everything_told.filter(|_| is_everything) {
                sleep_until(told + self.pace.between_everything).await;
            }
            let touched = std::mem::take(&mut self.shared.lock().touched);
            if touched.everything {
                self.everything_told = Some(Instant::now());
            }
            if !touched.is_empty() {
                return touched;
            }
        }
    }

    /// Why what is told is no longer all; the first reason.
    #[must_use]
    pub fn trouble(&self) -> Option<Unwatched> {
        self.shared.lock().trouble.clone()
    }

    async fn happened(&self) {
        while self.shared.lock().touched.is_empty() {
            self.shared.wake.notified().await;
        }
    }

    async fn rest(&self) {
        let latest = Instant::now() + self.pace.longest;
        let mut events = self.shared.lock().events;
        while Instant::now() < latest {
            sleep(self.pace.quiet).await;
            let since = self.shared.lock().events;
            if since == events {
                break;
            }
            events = since;
        }
    }

    #[cfg(test)]
    pub(super) fn tell(&self, event: notify::Result<Event>) {
        self.shared.take(event);
    }

    #[cfg(test)]
    pub(super) fn pace_everything(&mut self, between: Duration) {
        self.pace.between_everything = between;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing is done under the lock that could leave it half done.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the watcher's thread.
    fn take(&self, event: notify::Result<Event>) {
        let mut changes = Touched::default();
        let mut trouble = None;
        match event {
            Ok(event) if event.need_rescan() => changes = Touched::everything(),
            Ok(event) => {
                for path in &event.paths {
                    self.note(event.kind, path, &mut changes);
                }
            }
            Err(error) => {
                changes = Touched::everything();
                trouble = Some(error.into());
            }
        }
        if changes.is_empty() {
            return;
        }
        let mut pending = self.lock();
        pending.touched.absorb(changes);
        pending.events += 1;
        pending.trouble = pending.trouble.take().or(trouble);
        drop(pending);
        self.wake.notify_one();
    }

    fn note(&self, kind: EventKind, path: &Path, changes: &mut Touched) {
        let what = match kind {
            // Whoever reads changes nothing.
            EventKind::Access(AccessKind::Close(AccessMode::Write)) => What::File,
            EventKind::Access(_) => return,
            EventKind::Create(CreateKind::File) | EventKind::Remove(RemoveKind::File) => What::File,
            EventKind::Create(CreateKind::Folder) | EventKind::Remove(RemoveKind::Folder) => {
                What::Folder
            }
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Metadata(_)) => What::File,
            _ => What::Either,
        };
        let Some(below) = path.strip_prefix(&self.root).ok().and_then(RelPath::new) else {
            // The directory itself: renamed, removed, or its times.
            if what == What::Folder || what == What::Either {
                *changes = Touched::everything();
            }
            return;
        };
        if what != What::Folder {
            self.note_file(&below, changes);
        }
        // What is gone by now was perhaps a folder.
        let is_folder = || match path.symlink_metadata() {
            Ok(meta) => meta.is_dir(),
            Err(_) => true,
        };
        let is_meant = what == What::Folder || (what == What::Either && is_folder());
        if is_meant && self.names.is_folder_path(below.as_bytes()) {
            changes.add_folder(below);
        }
    }

    fn note_file(&self, below: &RelPath, changes: &mut Touched) {
        let bytes = below.as_bytes();
        let folder = below.as_path().parent().and_then(RelPath::new);
        let name = bytes.rsplit(|b| *b == b'/').next().unwrap_or_default();
        if name == SIDECAR {
            return match folder {
                Some(folder) if self.names.is_folder_path(folder.as_bytes()) => {
                    changes.add_folder(folder);
                }
                Some(_) => {}
                None => *changes = Touched::everything(),
            };
        }
        let film = bytes.strip_suffix(SIDECAR_SUFFIX).unwrap_or(bytes);
        if self.names.is_film_path(film) {
            use std::os::unix::ffi::OsStrExt;
            if let Some(film) = RelPath::new(std::ffi::OsStr::from_bytes(film).as_ref()) {
                changes.add_file(film);
            }
        }
    }
}

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    File,
    Folder,
    Either,
}

/// The file system's name, where it does not tell what others change.
#[cfg(target_os = "linux")]
fn network(path: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(path).ok()?.f_type;
    // The constants of statfs(2) and linux/magic.h; they fill 32 bits.
    match kind as u32 {
        0x6969 => Some("NFS"),
        0x517B | 0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x0102_1997 => Some("9P"),
        // sshfs, rclone, mergerfs and the like, whose branches others write to.
        0x6573_5546 => Some("FUSE"),
        0x00C3_6400 => Some("Ceph"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x786F_4256 => Some("a VirtualBox share"),
        0x0BD0_0BD0 => Some("Lustre"),
        0x0116_1970 => Some("GFS2"),
        0x7461_636F => Some("OCFS2"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn network(_: &Path) -> Option<&'static str> {
    None
}
