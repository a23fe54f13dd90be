//! What is in a media directory, held against what is known of it.
//!
//! Both come in the byte order of their paths, from the file system and in pages from
//! the store, and are merged: memory stays flat, and a file that is as it was costs one
//! question to the file system and nothing else. What is decided here:
//!
//! - A file is the same while its size and its modification time are. The inode says
//!   nothing: a library copied to a new disk has other ones, and some network and FUSE
//!   file systems make them up anew at each mount.
//! - A known file is gone when its folder does not list it, a question for its very path
//!   says that there is none, every folder and mount above could be looked at, and at the
//!   end the media directory still is the one that the scan began with. Where more is
//!   missing than is likely, a person decides ([`Suspicious`]).
//! - Files that a scan can see to be left alone become known with their reason; they are
//!   queued when it holds no longer.
//! - A file that was changed a moment ago is looked at again, when it has settled.
//!
//! walkdir, which gives entries one by one, is not used: whether a film has a `.noav1`
//! beside it, or in its folder, is known only when the folder has been listed, and
//! folders are looked into ahead by several threads.

mod diff;
mod end;
mod folder;
mod found;
mod names;
mod parts;
mod report;
mod rows;
mod rules;
mod touched;
mod walk;
mod watch;

use std::io;
use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

pub use self::report::{LookAgain, Remembered, ScanEnd, ScanReport, Seen, Suspicious, Trouble};
pub use self::rules::ScanRules;
pub use self::touched::Touched;
pub use self::watch::{Pace, Unwatched, Watch};

use self::diff::Diff;
use self::walk::Pool;
use crate::store::{ScanChange, ScanCounts, ScanRow, StoreError};
use crate::units::{RelPath, RootId, UnixMs};

/// A media directory to scan.
#[derive(Clone, Debug)]
pub struct ScanRoot {
    /// Where it lies.
    pub path: PathBuf,
    /// Its marker's text.
    pub id: RootId,
    /// The other media directories: where one is mounted below this one too, its own
    /// scan finds its films.
    pub others: Vec<RootId>,
    /// What the last scan's report said ([`ScanReport::remembered`]).
    pub remembered: Remembered,
}

/// How to scan.
#[derive(Clone, Debug)]
pub struct ScanOptions {
    /// Which files are taken.
    pub rules: ScanRules,
    /// A person has said that what is missing is gone.
    pub force: bool,
    /// Threads that look into folders, besides the caller's.
    pub threads: usize,
    /// The clock.
    pub now: fn() -> UnixMs,
}

impl ScanOptions {
    /// By these rules, with this machine's clock.
    #[must_use]
    pub fn new(rules: ScanRules) -> Self {
        Self {
            rules,
            force: false,
            // More than the processors of a small machine: over a network they wait.
            threads: 4,
            now: crate::clock::now,
        }
    }
}

/// What a scan asks of the store, and tells it, about one media directory.
pub trait Ledger {
    /// What is known after `after`, in byte order; empty at the end
    /// ([`crate::store::Store::scan_rows`]).
    ///
    /// # Errors
    ///
    /// The store failed.
    fn rows(&mut self, after: Option<&RelPath>, limit: usize) -> Result<Vec<ScanRow>, StoreError>;

    /// What is known of one file.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn row(&mut self, path: &RelPath) -> Result<Option<ScanRow>, StoreError>;

    /// What was found, a piece of it. May return before it is durable.
    ///
    /// # Errors
    ///
    /// The store failed, with this piece or with an earlier one.
    fn write(&mut self, changes: Vec<ScanChange>) -> Result<(), StoreError>;

    /// Waits until all of it is durable; what became of it.
    ///
    /// # Errors
    ///
    /// The store failed.
    fn finish(&mut self) -> Result<ScanCounts, StoreError>;

    /// How far the scan is; called for every folder.
    fn progress(&mut self, seen: &Seen) {
        let _ = seen;
    }
}

/// A scan could not go on. What it had found by then is in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScanError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No thread could be started.
    #[error("the scan could not begin: {0}")]
    Threads(io::Error),
}

/// Why a scan stops before its end.
#[derive(Debug)]
enum Stop {
    Cancelled,
    Store(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Scans all of a media directory. Blocks for as long as that takes; cancelled, it ends
/// within a tenth of a second also where a file system does not answer.
///
/// # Errors
///
/// [`ScanError`]; what the file system refuses is in the report.
pub fn scan(
    root: &ScanRoot,
    options: &ScanOptions,
    ledger: &mut impl Ledger,
    cancel: &CancellationToken,
) -> Result<ScanReport, ScanError> {
    run(root, options, ledger, |diff, pool| diff.whole(pool, cancel))
}

/// Scans some films and folders of a media directory. What seems to be gone there is
/// believed up to a number, beyond which the report asks for a scan of the whole
/// (its `look_again`).
///
/// # Errors
///
/// [`ScanError`]; what the file system refuses is in the report.
pub fn scan_touched(
    root: &ScanRoot,
    touched: &Touched,
    options: &ScanOptions,
    ledger: &mut impl Ledger,
    cancel: &CancellationToken,
) -> Result<ScanReport, ScanError> {
    if touched.everything {
        return scan(root, options, ledger, cancel);
    }
    run(root, options, ledger, |diff, pool| {
        diff.parts(touched, pool, cancel)
    })
}

fn run<L: Ledger>(
    root: &ScanRoot,
    options: &ScanOptions,
    ledger: &mut L,
    body: impl FnOnce(&mut Diff<'_, L>, &Pool) -> Result<(), Stop>,
) -> Result<ScanReport, ScanError> {
    let names = &options.rules.names;
    let pool = Pool::start(&root.path, names, options.threads).map_err(ScanError::Threads)?;
    let mut diff = match Diff::begin(root, options, ledger) {
        Ok(diff) => diff,
        Err(why) => {
            return Ok(ScanReport {
                end: ScanEnd::RootLost(why),
                remembered: root.remembered.clone(),
                ..ScanReport::default()
            });
        }
    };
    let stopped = body(&mut diff, &pool);
    Ok(diff.end(stopped)?)
}

#[cfg(test)]
mod tests;
