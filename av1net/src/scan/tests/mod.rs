//! Scans of real trees in temporary folders, against a store of their own.

mod gone;
mod large;
mod mounts;
mod parts;
mod take;
mod watch;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;
use crate::config::Config;
use crate::job::{FileId, JobState};
use crate::roots::{self, RootState};
use crate::units::JobId;

/// What a store does with a scan's changes, in memory.
#[derive(Default)]
pub(super) struct Known {
    pub(super) rows: BTreeMap<RelPath, ScanRow>,
    paths: BTreeMap<JobId, RelPath>,
    /// What was written, in short, in order.
    pub(super) written: Vec<String>,
    pub(super) counts: ScanCounts,
    pub(super) pages: usize,
    /// Called for every folder.
    pub(super) on_folder: Option<Box<dyn FnMut()>>,
}

impl Known {
    fn at(&mut self, job: JobId, was: FileId) -> Option<&mut ScanRow> {
        let row = self.rows.get_mut(self.paths.get(&job)?)?;
        (row.file == was && !row.state.is_active()).then_some(row)
    }

    /// `path: state` or `path: state reason` of every row, in order.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |row: &ScanRow| {
            let state = row.state.name();
            match &row.reason {
                Some(reason) => format!("{}: {state} {reason}", row.path),
                None => format!("{}: {state}", row.path),
            }
        };
        self.rows.values().map(line).collect()
    }

    pub(super) fn row_mut(&mut self, path: &str) -> &mut ScanRow {
        self.rows.get_mut(&rel(path)).expect("known")
    }

    /// What was written since this was last asked.
    pub(super) fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.written)
    }
}

impl Ledger for Known {
    fn rows(&mut self, after: Option<&RelPath>, limit: usize) -> Result<Vec<ScanRow>, StoreError> {
        use std::ops::Bound;
        self.pages += 1;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = self.rows.range::<RelPath, _>((from, Bound::Unbounded));
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn row(&mut self, path: &RelPath) -> Result<Option<ScanRow>, StoreError> {
        Ok(self.rows.get(path).cloned())
    }

    fn write(&mut self, changes: Vec<ScanChange>) -> Result<(), StoreError> {
        let state_of = |reason: &Option<_>| match reason {
            Some(_) => JobState::Skipped,
            None => JobState::Pending,
        };
        for change in changes {
            match change {
                ScanChange::New {
                    path,
                    file,
                    leave_alone,
                } => {
                    self.written.push(format!("new {path}"));
                    self.counts.added += 1;
                    let row = ScanRow {
                        job: JobId(self.rows.len() as i64 + 1),
                        path: path.clone(),
                        file,
                        state: state_of(&leave_alone),
                        reason: leave_alone.map(|reason| reason.kind),
                    };
                    self.paths.insert(row.job, path.clone());
                    assert!(self.rows.insert(path, row).is_none(), "known already");
                }
                ScanChange::Changed {
                    job,
                    was,
                    file,
                    leave_alone,
                } => {
                    let state = state_of(&leave_alone);
                    let Some(row) = self.at(job, was) else {
                        continue;
                    };
                    row.file = file;
                    row.state = state;
                    row.reason = leave_alone.map(|reason| reason.kind);
                    let line = format!("changed {}", row.path);
                    self.written.push(line);
                    self.counts.changed += 1;
                }
                ScanChange::Gone { job, was } => {
                    let Some(row) = self.at(job, was) else {
                        continue;
                    };
                    row.state = JobState::Vanished;
                    row.reason = Some("vanished".to_owned());
                    let line = format!("gone {}", row.path);
                    self.written.push(line);
                    self.counts.gone += 1;
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<ScanCounts, StoreError> {
        Ok(std::mem::take(&mut self.counts))
    }

    fn progress(&mut self, _: &Seen) {
        if let Some(on_folder) = &mut self.on_folder {
            on_folder();
        }
    }
}

pub(super) fn rel(text: &str) -> RelPath {
    RelPath::parse(text).expect("a path")
}

/// A test that hangs ends here.
struct Watchdog {
    _alive: std::sync::mpsc::Sender<()>,
}

impl Watchdog {
    fn start() -> Self {
        use std::sync::mpsc::{RecvTimeoutError, channel};
        let (alive, ended) = channel();
        std::thread::spawn(move || {
            // The slowest test takes some seconds on two busy cores.
            if ended.recv_timeout(Duration::from_secs(120)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("still running after two minutes: a hang");
                std::process::abort();
            }
        });
        Self { _alive: alive }
    }
}

/// A media directory and what is known of it.
pub(super) struct Library {
    _watchdog: Option<Watchdog>,
    folder: tempfile::TempDir,
    pub(super) root: ScanRoot,
    pub(super) config: Config,
    pub(super) force: bool,
    pub(super) now: fn() -> UnixMs,
    pub(super) known: Known,
}

impl Library {
    /// With these films in it; a name that ends in a slash is a folder.
    pub(super) fn with(films: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut library = Self::at(folder, "library");
        library._watchdog = Some(Watchdog::start());
        films.iter().for_each(|film| library.add(film));
        library
    }

    fn at(folder: tempfile::TempDir, name: &str) -> Self {
        let path = folder.path().join(name);
        fs::create_dir(&path).expect("made");
        let id = mark(&path);
        let config = Config {
            min_bytes: 0,
            settle_s: 0,
            ..Config::default()
        };
        Self {
            _watchdog: None,
            folder,
            root: ScanRoot {
                path,
                id,
                others: Vec::new(),
                remembered: Remembered::default(),
            },
            config,
            force: false,
            now: crate::clock::now,
            known: Known::default(),
        }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path.join(name)
    }

    pub(super) fn add(&self, name: &str) {
        add_file(&self.path(name));
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).expect("removed");
    }

    pub(super) fn outside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn options(&self) -> ScanOptions {
        ScanOptions {
            force: self.force,
            now: self.now,
            ..ScanOptions::new(ScanRules::of(&self.config).expect("rules"))
        }
    }

    /// Scans all of it, and keeps what the next scan has to be told.
    pub(super) fn scan(&mut self) -> ScanReport {
        self.scan_until(&CancellationToken::new())
    }

    pub(super) fn scan_until(&mut self, cancel: &CancellationToken) -> ScanReport {
        let options = self.options();
        let report = scan(&self.root, &options, &mut self.known, cancel).expect("scanned");
        self.root.remembered = report.remembered.clone();
        report
    }

    pub(super) fn look(&mut self, touched: &Touched) -> ScanReport {
        let (options, cancel) = (self.options(), CancellationToken::new());
        let report = scan_touched(&self.root, touched, &options, &mut self.known, &cancel);
        let report = report.expect("scanned");
        self.root.remembered = report.remembered.clone();
        report
    }
}

/// Gives a folder its marker.
pub(super) fn mark(path: &Path) -> RootId {
    let filler = path.join("filler");
    File::create(&filler).expect("created");
    let roots = roots::open(&[path.to_owned()], &[], UnixMs(0)).expect("opened");
    fs::remove_file(filler).expect("removed");
    assert_eq!(roots[0].state, RootState::Mounted);
    roots[0].id.clone().expect("an identity")
}

/// A small file, with the folders above it; a name that ends in a slash is a folder.
pub(super) fn add_file(path: &Path) {
    if path.as_os_str().as_bytes().ends_with(b"/") {
        return fs::create_dir_all(path).expect("made");
    }
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, path.as_os_str().as_bytes()).expect("written");
}

/// Sets when a file was modified, in seconds since 1970.
pub(super) fn set_modified(path: &Path, seconds: u64) {
    let file = File::options().write(true).open(path).expect("opened");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(time).expect("set");
}
