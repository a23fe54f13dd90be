//! What is known, in pages, in the byte order of the paths.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::Ledger;
use crate::store::{ScanRow, StoreError};
use crate::units::RelPath;

/// Rows of one page: some hundred kilobytes, and few enough pages that asking for them is
/// no cost.
const PAGE: usize = 2000;

/// The rows below a folder.
#[derive(Debug)]
pub(super) struct Rows {
    page: VecDeque<ScanRow>,
    /// The folder with its slash; all of the media directory where empty.
    below: Vec<u8>,
    after: Option<RelPath>,
    ended: bool,
    any: bool,
}

impl Rows {
    /// Those of the folder of this path, the empty path being all.
    pub(super) fn below(folder: &[u8]) -> Self {
        let mut below = folder.to_vec();
        if !below.is_empty() {
            below.push(b'/');
        }
        Self {
            page: VecDeque::new(),
            // No path is the folder's with its slash, and all below it come after.
            after: RelPath::new(OsStr::from_bytes(&below).as_ref()),
            below,
            ended: false,
            any: false,
        }
    }

    /// Whether there was one at all, as far as they have been read.
    pub(super) fn any(&self) -> bool {
        self.any
    }

    /// The next one, if its path comes before `path` (`None` is the end of all), or is
    /// the same.
    pub(super) fn up_to(
        &mut self,
        path: Option<&[u8]>,
        ledger: &mut impl Ledger,
    ) -> Result<Option<ScanRow>, StoreError> {
        // Only now: what this very scan has made known lies before what it looks at.
        if self.page.is_empty() && !self.ended {
            self.read(ledger)?;
        }
        let comes = |row: &mut ScanRow| path.is_none_or(|path| row.path.as_bytes() <= path);
        Ok(self.page.pop_front_if(comes))
    }

    fn read(&mut self, ledger: &mut impl Ledger) -> Result<(), StoreError> {
        let rows = ledger.rows(self.after.as_ref(), PAGE)?;
        self.ended = rows.is_empty();
        if let Some(last) = rows.last() {
            self.after = Some(last.path.clone());
        }
        for row in rows {
            if row.path.as_bytes().starts_with(&self.below) {
                self.any = true;
                self.page.push_back(row);
            } else {
                self.ended = true;
                break;
            }
        }
        Ok(())
    }
}
