//! The merge of what is found with what is known.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStrExt;

use tokio_util::sync::CancellationToken;

use super::folder::{Film, Folder, FolderId};
use super::report::ScanReport;
use super::rows::Rows;
use super::rules::Judge;
use super::walk::{Pool, Visitor, walk};
use super::{Ledger, ScanOptions, ScanRoot, Stop};
use crate::job::{FileId, JobState};
use crate::roots;
use crate::store::{ScanChange, ScanRow, StoreError};
use crate::units::{JobId, RelPath};

/// Changes that are handed over at once: a transaction of some milliseconds.
pub(super) const BATCH: usize = 1000;

/// A scan on its way.
pub(super) struct Diff<'a, L> {
    pub(super) root: &'a ScanRoot,
    pub(super) options: &'a ScanOptions,
    pub(super) ledger: &'a mut L,
    pub(super) report: ScanReport,
    pub(super) judge: Judge,
    pub(super) rows: Rows,
    /// What the media directory was when the scan began.
    pub(super) root_id: FolderId,
    /// Changes that have not been handed over.
    pub(super) batch: Vec<ScanChange>,
    /// What seems to be gone, up to the end.
    pub(super) gone: Vec<(JobId, FileId)>,
    /// Known films that were met, but for those that were gone before.
    pub(super) known: u64,
    /// A folder, with its slash, of which not all could be seen; what came after it, as
    /// far as the merge has come.
    pub(super) unknown: Option<Vec<u8>>,
    /// A folder, with its slash, that is not looked into.
    pub(super) skipped: Option<Vec<u8>>,
    /// Folders on which something is usually mounted, until it is seen to be.
    pub(super) lost_mounts: BTreeSet<Vec<u8>>,
    pub(super) folders: HashMap<(u64, u64), FolderId>,
    pub(super) is_whole: bool,
}

impl<'a, L: Ledger> Diff<'a, L> {
    /// Why the media directory is not there, where it is not.
    pub(super) fn begin(
        root: &'a ScanRoot,
        options: &'a ScanOptions,
        ledger: &'a mut L,
    ) -> Result<Self, String> {
        let root_id = identity(root)?;
        let mounts = root
            .remembered
            .mounts
            .iter()
            .map(|path| path.as_bytes().to_vec());
        let lost_mounts = if options.force {
            BTreeSet::new()
        } else {
            mounts.collect()
        };
        Ok(Self {
            root,
            options,
            ledger,
            report: ScanReport::default(),
            judge: Judge::default(),
            rows: Rows::below(b""),
            root_id,
            batch: Vec::new(),
            gone: Vec::new(),
            known: 0,
            unknown: None,
            skipped: None,
            lost_mounts,
            folders: HashMap::new(),
            is_whole: true,
        })
    }

    /// All of it.
    pub(super) fn whole(&mut self, pool: &Pool, cancel: &CancellationToken) -> Result<(), Stop> {
        walk(pool, b"", None, cancel, self)?;
        self.pass(None)?;
        Ok(())
    }

    /// Every known film before `path` that has not been met was missed.
    pub(super) fn pass(&mut self, path: Option<&[u8]>) -> Result<Option<ScanRow>, Stop> {
        while let Some(row) = self.rows.up_to(path, self.ledger)? {
            self.known += u64::from(row.state != JobState::Vanished);
            if path == Some(row.path.as_bytes()) {
                return Ok(Some(row));
            }
            self.missed(&row)?;
        }
        Ok(None)
    }

    pub(super) fn change(&mut self, change: ScanChange) -> Result<(), Stop> {
        self.batch.push(change);
        if self.batch.len() >= BATCH {
            Ok(self.hand_over()?)
        } else {
            Ok(())
        }
    }

    pub(super) fn hand_over(&mut self) -> Result<(), StoreError> {
        let mut batch = mem::take(&mut self.batch);
        // A replacement may have taken a film's old name away since it was seen. In a
        // directory of which nothing is known there are none.
        if self.rows.any() || !self.is_whole {
            let is_there =
                |path: &RelPath| fs::symlink_metadata(path.below(&self.root.path)).is_ok();
            batch.retain(|change| match change {
                ScanChange::New { path, .. } => is_there(path),
                _ => true,
            });
        }
        if batch.is_empty() {
            Ok(())
        } else {
            self.ledger.write(batch)
        }
    }

    fn skip(&mut self, path: &[u8]) -> Result<(), Stop> {
        let folder = with_slash(path);
        self.pass(Some(&folder))?;
        self.skipped = Some(folder);
        let path = RelPath::new(OsStr::from_bytes(path).as_ref());
        self.report.remembered.skipped.extend(path);
        Ok(())
    }
}

impl<L: Ledger> Visitor for Diff<'_, L> {
    fn film(&mut self, path: &[u8], film: &Film, excluded: Option<&[u8]>) -> Result<(), Stop> {
        let row = self.pass(Some(path))?;
        self.seen(path, film, excluded, row.as_ref())
    }

    fn folder(
        &mut self,
        path: &[u8],
        folder: &Folder,
        above: Option<&FolderId>,
    ) -> Result<bool, Stop> {
        if above.is_some_and(|above| folder.id.is_mount_below(above)) {
            self.lost_mounts.remove(path);
            let path = RelPath::new(OsStr::from_bytes(path).as_ref());
            self.report.remembered.mounts.extend(path);
        }
        let is_other = folder
            .marker
            .as_ref()
            .is_some_and(|id| self.root.others.contains(id));
        if is_other && !path.is_empty() {
            self.skip(path)?;
            return Ok(false);
        }
        let earlier = self.folders.entry(folder.id.inode).or_insert(folder.id);
        if folder.id.is_again(earlier) {
            self.skip(path)?;
            return Ok(false);
        }
        self.report.seen.folders += 1;
        self.report.linked_folders += folder.linked_folders;
        self.ledger.progress(&self.report.seen);
        Ok(true)
    }

    fn unknown(&mut self, path: &[u8], why: &io::Error) -> Result<(), Stop> {
        let folder = with_slash(path);
        self.pass(Some(&folder))?;
        self.report.trouble(path, why.to_string());
        // One within another says nothing more.
        let is_within = self
            .unknown
            .as_ref()
            .is_some_and(|outer| folder.starts_with(outer));
        if !is_within {
            self.unknown = Some(folder);
        }
        Ok(())
    }
}

/// What the media directory is now; why it is not there, where it is not.
pub(super) fn identity(root: &ScanRoot) -> Result<FolderId, String> {
    let shown = root.path.display();
    match roots::read(&root.path) {
        roots::Reading::Marker(marker) if marker.id == root.id => {}
        roots::Reading::Marker(_) => return Err(format!("{shown} is another media directory now")),
        roots::Reading::Absent => {
            return Err(format!("{shown} is not mounted: its marker is missing"));
        }
        roots::Reading::NoFolder(why) | roots::Reading::Damaged(why) => return Err(why),
    }
    FolderId::of(&root.path, true).map_err(|error| format!("{shown} cannot be opened: {error}"))
}

fn with_slash(path: &[u8]) -> Vec<u8> {
    let mut folder = path.to_vec();
    if !folder.is_empty() {
        folder.push(b'/');
    }
    folder
}
