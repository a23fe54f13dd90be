//! When which media directory is scanned: at the start, again and again, when asked,
//! when a file that was changing has settled, and when a watched folder changes. One
//! scan at a time; a directory that is not there is asked for again, and nothing of it
//! is forgotten.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::error::ApiError;
use super::ledger::StoreLedger;
use super::roots::Root;
use crate::api::ScanRequest;
use crate::clock;
use crate::roots;
use crate::scan::{
    LookAgain, Pace, Remembered, ScanEnd, ScanOptions, ScanReport, ScanRoot, ScanRules, Touched,
    Watch, scan_touched,
};
use crate::store::{Op, RootRecord, ScanCounts};
use crate::units::{DiskPath, RootId, SteadyMs};

/// How often it is asked whether the media directories are there. A stat of each.
const LOOK: Duration = Duration::from_secs(5);

/// A scan that was asked for.
struct Wanted {
    force: bool,
    touched: Touched,
}

/// The task that scans.
struct Scanner {
    core: Core,
    wanted: BTreeMap<PathBuf, Wanted>,
    later: Vec<(PathBuf, LookAgain)>,
    watches: BTreeMap<PathBuf, JoinHandle<()>>,
    changes: mpsc::Sender<(PathBuf, Touched)>,
    cancel: CancellationToken,
}

/// Changes of watched folders that wait for the scan at work.
const CHANGES: usize = 64;

impl Core {
    /// Looks at the media directories and then goes on scanning until `cancel`.
    pub(super) fn start_scans(
        &self,
        mut requests: mpsc::Receiver<ScanRequest>,
        cancel: CancellationToken,
    ) -> JoinHandle<()> {
        let (changes, mut changed) = mpsc::channel(CHANGES);
        let mut scanner = Scanner {
            core: self.clone(),
            wanted: BTreeMap::new(),
            later: Vec::new(),
            watches: BTreeMap::new(),
            changes,
            cancel: cancel.clone(),
        };
        tokio::spawn(async move {
            let mut rescan = clock::steady();
            while !cancel.is_cancelled() {
                let every_ms = scanner.every_ms();
                if let Err(error) = scanner.core.look_at_roots().await {
                    tracing::error!(%error, "the media directories are not looked at");
                }
                // Before the scan, so that nothing happens between the two unseen.
                scanner.watch();
                if clock::steady() >= rescan {
                    scanner.want_all(false);
                    rescan = every_ms.map_or(SteadyMs(i64::MAX), |ms| clock::steady().plus_ms(ms));
                }
                scanner.settle();
                scanner.scan_wanted().await;
                let wait = scanner.wait(rescan);
                tokio::select! {
                    () = cancel.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                    Some((path, touched)) = changed.recv() => scanner.touch(path, touched),
                    request = requests.recv() => match request {
                        Some(request) => scanner.want(&request),
                        None => return,
                    },
                }
            }
        })
    }

    /// Asks each media directory whether it is there, and marks what is new.
    pub(super) async fn look_at_roots(&self) -> Result<(), ApiError> {
        let known = self.0.store.read(|store| store.roots()).await?;
        let directories = self.settings().loaded.config.media_directories.clone();
        let records = known.clone();
        let found = spawn_blocking(move || roots::open(&directories, &records, clock::now()))
            .await
            .map_err(|error| ApiError::new(500, "unexpected", error.to_string()))?
            .map_err(|overlap| ApiError::new(409, "roots_overlap", overlap.to_string()))?;
        for root in &found {
            let Some(id) = root.id.clone() else { continue };
            let path = DiskPath::from(root.path.clone()).to_string();
            let old = known.iter().find(|record| record.id == id);
            if old.is_none_or(|old| old.path != path) && root.state.is_readable() {
                let scanned = old.and_then(|old| old.scanned);
                let record = RootRecord { id, path, scanned };
                self.write(Op::PutRoot(record)).await?;
            }
        }
        if self.0.roots.take(found, &known) {
            for root in self.0.roots.views() {
                tracing::info!(path = root.path, problem = root.problem, "media directory");
            }
            self.0.live.touch_status();
            self.more_pending(usize::MAX);
        }
        Ok(())
    }

    /// What a scan of this directory is to be told.
    async fn remembered(&self, id: &RootId) -> Remembered {
        let name = setting(id);
        let text = self.0.store.read(move |store| store.setting(&name)).await;
        let text = text.ok().flatten().unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

fn setting(id: &RootId) -> String {
    format!("scan:{id}")
}

impl Scanner {
    fn every_ms(&self) -> Option<i64> {
        let seconds = self.core.settings().loaded.config.rescan_s;
        (seconds > 0).then(|| i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX))
    }

    fn want_all(&mut self, force: bool) {
        for root in self.core.0.roots.list() {
            let touched = Touched::everything();
            self.wanted.insert(root.path, Wanted { force, touched });
        }
    }

    fn want(&mut self, request: &ScanRequest) {
        match &request.root {
            None => self.want_all(request.force),
            Some(id) => {
                let path = self.core.0.roots.path_of(id);
                let (force, touched) = (request.force, Touched::everything());
                self.wanted
                    .extend(path.map(|path| (path, Wanted { force, touched })));
            }
        }
    }

    /// What had been changing, and has settled.
    fn settle(&mut self) {
        let now = clock::now();
        let (due, later) = std::mem::take(&mut self.later)
            .into_iter()
            .partition(|(_, again)| again.at <= now);
        self.later = later;
        for (path, again) in due {
            self.touch(path, again.touched);
        }
    }

    /// Something below this media directory is to be looked at.
    fn touch(&mut self, path: PathBuf, touched: Touched) {
        let wanted = self.wanted.entry(path).or_insert(Wanted {
            force: false,
            touched: Touched::default(),
        });
        wanted.touched.absorb(touched);
    }

    /// Watches the media directories that are there and not watched yet.
    fn watch(&mut self) {
        let settings = self.core.settings();
        let roots = self.core.0.roots.list();
        let is_there = |path: &PathBuf| {
            let mut there = roots.iter().filter(|root| root.state.is_readable());
            settings.loaded.config.watch && there.any(|root| root.path == *path)
        };
        self.watches.retain(|path, watch| {
            let keep = is_there(path);
            if !keep {
                watch.abort();
            }
            keep
        });
        let Ok(rules) = ScanRules::of(&settings.loaded.config) else {
            return;
        };
        for root in &roots {
            if is_there(&root.path) && !self.watches.contains_key(&root.path) {
                let watch = follow(root.path.clone(), rules.clone(), self.changes.clone());
                self.watches.insert(root.path.clone(), tokio::spawn(watch));
            }
        }
    }

    fn wait(&self, rescan: SteadyMs) -> Duration {
        let now = clock::now();
        let rescan_ms = rescan.ms_since(clock::steady());
        let settling = self.later.iter().map(|(_, again)| again.at.ms_since(now));
        let next_ms = settling.fold(rescan_ms, i64::min);
        let ms = u64::try_from(next_ms).unwrap_or(0);
        Duration::from_millis(ms.max(20)).min(LOOK)
    }

    async fn scan_wanted(&mut self) {
        for (path, wanted) in std::mem::take(&mut self.wanted) {
            let roots = self.core.0.roots.list();
            let root = roots.iter().find(|root| root.path == path);
            let Some(root) = root.filter(|root| root.state.is_readable()) else {
                continue;
            };
            match self.scan(root, &roots, wanted).await {
                Ok(()) => {}
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "the scan failed");
                    self.core.0.roots.update(&path, |root| {
                        root.scanning_files = None;
                        root.note = Some(format!("the last scan failed: {error}"));
                    });
                    self.core.0.live.touch_status();
                }
            }
        }
    }

    async fn scan(&mut self, root: &Root, all: &[Root], wanted: Wanted) -> Result<(), ApiError> {
        let Some(id) = root.id.clone() else {
            return Ok(());
        };
        let config = self.core.settings();
        let rules = ScanRules::of(&config.loaded.config)
            .map_err(|why| ApiError::new(500, "configuration", why))?;
        let mut options = ScanOptions::new(rules);
        options.force = wanted.force;
        let others = all.iter().filter_map(|other| other.id.clone());
        let scan_root = ScanRoot {
            path: root.path.clone(),
            others: others.filter(|other| *other != id).collect(),
            remembered: self.core.remembered(&id).await,
            id: id.clone(),
        };
        let everything = wanted.touched.everything;
        let mut ledger = StoreLedger::new(self.core.clone(), root.path.clone(), id.clone());
        let cancel = self.cancel.clone();
        let begun = clock::now();
        let report = spawn_blocking(move || {
            scan_touched(&scan_root, &wanted.touched, &options, &mut ledger, &cancel)
        })
        .await
        .map_err(|error| ApiError::new(500, "unexpected", error.to_string()))?
        .map_err(|error| ApiError::new(503, "scan_failed", error.to_string()))?;
        tracing::info!(
            path = %root.path.display(), films = report.seen.films, counts = ?report.counts,
            ms = clock::now().ms_since(begun), "scanned",
        );
        self.ended(root, id, everything, report).await
    }

    async fn ended(
        &mut self,
        root: &Root,
        id: RootId,
        everything: bool,
        report: ScanReport,
    ) -> Result<(), ApiError> {
        // A scan of a part does not see what waits elsewhere.
        if let Some(again) = report.look_again.clone() {
            self.later.push((root.path.clone(), again));
        }
        let of_root = self.later.iter().filter(|(path, _)| *path == root.path);
        let look_again = of_root.map(|(_, again)| again.at).min();
        let core = &self.core;
        let complete = everything && report.end == ScanEnd::Complete;
        let scanned = complete.then(clock::now);
        core.0.roots.update(&root.path, |root| {
            root.scanning_files = None;
            // A scan of a part knows nothing of what the whole had to say.
            if everything || report.end != ScanEnd::Complete {
                root.note = note(&report);
            }
            root.look_again = look_again;
            root.scanned = scanned.or(root.scanned);
        });
        if complete {
            let path = DiskPath::from(root.path.clone()).to_string();
            let name = setting(&id);
            core.write(Op::PutRoot(RootRecord { id, path, scanned }))
                .await?;
            let value = serde_json::to_string(&report.remembered).ok();
            core.write(Op::PutSetting { name, value }).await?;
        }
        let ScanCounts {
            added,
            changed,
            gone,
        } = report.counts;
        if added + changed + gone > 0 || everything {
            core.refresh_counters().await?;
            core.0.live.touch_status();
        }
        if added + changed > 0 {
            core.more_pending(usize::try_from(added + changed).unwrap_or(usize::MAX));
        }
        Ok(())
    }
}

/// Tells what changes below a media directory, for as long as it can be watched: scans
/// are the truth, and find what a watch misses.
async fn follow(path: PathBuf, rules: ScanRules, changes: mpsc::Sender<(PathBuf, Touched)>) {
    let root = path.clone();
    let watch = spawn_blocking(move || Watch::start(&root, &rules, Pace::default())).await;
    let mut watch = match watch {
        Ok(Ok(watch)) => watch,
        Ok(Err(why)) => {
            tracing::info!(path = %path.display(), "{why}");
            return;
        }
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "not watched");
            return;
        }
    };
    loop {
        let touched = watch.changed().await;
        if changes.send((path.clone(), touched)).await.is_err() {
            return;
        }
    }
}

/// What a person should know of a scan.
fn note(report: &ScanReport) -> Option<String> {
    if let ScanEnd::RootLost(why) = &report.end {
        return Some(why.clone());
    }
    if let Some(found) = &report.suspicious {
        return Some(format!(
            "{} of {} known films were not found, which is not believed; if they are gone, scan \
             with force",
            found.missing, found.known
        ));
    }
    let first = report.troubles.first()?;
    let place = first.path.as_ref().map(ToString::to_string);
    Some(format!(
        "{} could not be looked at ({}){}",
        place.unwrap_or_else(|| "it".to_owned()),
        first.message,
        match report.troubles_total {
            0 | 1 => String::new(),
            total => format!(", and {} more", total - 1),
        }
    ))
}
