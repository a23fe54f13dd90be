//! The store, as a scan sees it.

use std::path::{Path, PathBuf};

use tokio::task::JoinHandle;

use super::core::{Core, unexpected};
use crate::clock;
use crate::scan::{Ledger, Seen};
use crate::store::{Done, Op, ScanChange, ScanCounts, ScanRow, Store, StoreError};
use crate::units::{RelPath, RootId};

/// The store, as a scan on a blocking thread sees it. One piece is written while the
/// next is found.
pub(super) struct StoreLedger {
    core: Core,
    path: PathBuf,
    id: RootId,
    runtime: tokio::runtime::Handle,
    writing: Option<JoinHandle<Result<ScanCounts, StoreError>>>,
    counts: ScanCounts,
}

impl StoreLedger {
    pub(super) fn new(core: Core, path: PathBuf, id: RootId) -> Self {
        Self {
            core,
            path,
            id,
            runtime: tokio::runtime::Handle::current(),
            writing: None,
            counts: ScanCounts::default(),
        }
    }

    fn settle(&mut self) -> Result<(), StoreError> {
        if let Some(writing) = self.writing.take() {
            let counts = self.runtime.block_on(writing);
            self.counts += counts.map_err(|error| StoreError::Database(error.to_string()))??;
        }
        Ok(())
    }
}

impl Ledger for StoreLedger {
    fn rows(&mut self, after: Option<&RelPath>, limit: usize) -> Result<Vec<ScanRow>, StoreError> {
        let (id, after) = (self.id.clone(), after.cloned());
        let read = move |store: &dyn Store| store.scan_rows(&id, after.as_ref(), limit);
        self.runtime.block_on(self.core.0.store.read(read))
    }

    fn row(&mut self, path: &RelPath) -> Result<Option<ScanRow>, StoreError> {
        let (id, path) = (self.id.clone(), path.clone());
        let read = move |store: &dyn Store| store.job_at(&id, &path);
        let job = self.runtime.block_on(self.core.0.store.read(read))?;
        Ok(job.map(|job| ScanRow {
            job: job.id,
            path: job.path,
            file: job.file,
            state: job.state,
            reason: job.reason.map(|reason| reason.kind),
        }))
    }

    fn write(&mut self, changes: Vec<ScanChange>) -> Result<(), StoreError> {
        self.settle()?;
        let core = self.core.clone();
        let op = Op::Scan {
            root: self.id.clone(),
            changes,
            now: clock::now(),
        };
        self.writing = Some(self.runtime.spawn(async move {
            match core.0.store.write(op).await? {
                Ok(Done::Scanned(counts)) => Ok(counts),
                Ok(other) => Err(StoreError::Database(unexpected(&other).to_string())),
                Err(refused) => Err(StoreError::Database(refused.to_string())),
            }
        }));
        Ok(())
    }

    fn finish(&mut self) -> Result<ScanCounts, StoreError> {
        self.settle()?;
        Ok(self.counts)
    }

    fn progress(&mut self, seen: &Seen) {
        let films = seen.films;
        progress(&self.core, &self.path, films);
    }
}

fn progress(core: &Core, path: &Path, films: u64) {
    core.0
        .roots
        .update(path, |root| root.scanning_files = Some(films));
    core.0.live.touch_status();
}
