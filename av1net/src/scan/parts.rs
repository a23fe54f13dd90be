//! Scans of single films and folders, which do not come through the folders above them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::diff::Diff;
use super::folder::{FolderId, is_absence, look_at_film};
use super::names::SIDECAR;
use super::rows::Rows;
use super::walk::{Pool, walk};
use super::{Ledger, Stop, Touched};
use crate::job::JobState;
use crate::units::RelPath;

impl<L: Ledger> Diff<'_, L> {
    /// Some folders and films of it.
    pub(super) fn parts(
        &mut self,
        touched: &Touched,
        pool: &Pool,
        cancel: &CancellationToken,
    ) -> Result<(), Stop> {
        self.is_whole = false;
        self.report.remembered = self.root.remembered.clone();
        let (folders, files) = touched.outermost();
        for folder in folders {
            let bytes = folder.as_bytes();
            if self.is_out_of_reach(bytes) || !self.options.rules.names.is_folder_path(bytes) {
                continue;
            }
            self.see_mounts_above(folder.as_path());
            self.rows = Rows::below(bytes);
            (self.unknown, self.skipped) = (None, None);
            let path = folder.below(&self.root.path);
            // One that is not there is an empty one: every film of it is asked for.
            match FolderId::of(&path, false) {
                Err(error) if is_absence(&error) => {}
                _ => walk(
                    pool,
                    bytes,
                    self.excluded_above(folder.as_path()),
                    cancel,
                    self,
                )?,
            }
            self.pass(None)?;
        }
        for file in files {
            if cancel.is_cancelled() {
                return Err(Stop::Cancelled);
            }
            if !self.is_out_of_reach(file.as_bytes()) {
                self.single(file)?;
            }
        }
        Ok(())
    }

    fn single(&mut self, path: &RelPath) -> Result<(), Stop> {
        self.see_mounts_above(path.as_path());
        (self.unknown, self.skipped) = (None, None);
        let row = self.ledger.row(path)?;
        let is_taken = self.options.rules.names.is_film_path(path.as_bytes());
        let film = look_at_film(&path.below(&self.root.path), &self.root.path);
        match (film.filter(|_| is_taken), row) {
            (Some(film), Some(row)) => {
                let excluded = self.excluded_above(path.as_path());
                self.known += u64::from(row.state != JobState::Vanished);
                self.seen(path.as_bytes(), &film, excluded.as_deref(), Some(&row))?;
            }
            (Some(film), None) => {
                let excluded = self.excluded_above(path.as_path());
                self.seen(path.as_bytes(), &film, excluded.as_deref(), None)?;
            }
            (None, Some(row)) => self.missed(&row)?,
            (None, None) => {}
        }
        Ok(())
    }

    /// Below a folder that scans leave out.
    fn is_out_of_reach(&self, path: &[u8]) -> bool {
        let skipped = &self.root.remembered.skipped;
        skipped
            .iter()
            .any(|folder| lies_in(path, folder.as_bytes()))
    }

    /// A scan of a part does not come through the folders above, and asks for the mounts
    /// among them.
    fn see_mounts_above(&mut self, path: &Path) {
        for folder in path.ancestors() {
            let bytes = folder.as_os_str().as_bytes();
            if !self.lost_mounts.contains(bytes) {
                continue;
            }
            let path = self.root.path.join(folder);
            let above = path.parent().map(|above| FolderId::of(above, true));
            let own = FolderId::of(&path, false);
            if let (Ok(own), Some(Ok(above))) = (own, above)
                && own.is_mount_below(&above)
            {
                self.lost_mounts.remove(bytes);
            }
        }
    }

    /// The `.noav1` of a folder above.
    fn excluded_above(&self, path: &Path) -> Option<Vec<u8>> {
        let name = OsStr::from_bytes(SIDECAR);
        let mut above = path.ancestors().skip(1).map(|folder| folder.join(name));
        let found =
            above.find(|sidecar| fs::symlink_metadata(self.root.path.join(sidecar)).is_ok())?;
        Some(found.into_os_string().as_bytes().to_vec())
    }
}

fn lies_in(path: &[u8], folder: &[u8]) -> bool {
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}
