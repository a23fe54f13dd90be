//! The media directories as the master has them: where each lies, whether it is there,
//! what a scan of it does.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::api::RootView;
use crate::roots::{self, RootState};
use crate::store::RootRecord;
use crate::units::{DiskPath, RootId, UnixMs};

/// One media directory.
#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    /// Its marker's text, once it is known.
    pub(super) id: Option<RootId>,
    /// Whether it is there.
    pub(super) state: RootState,
    /// Files that the scan at work has looked at.
    pub(super) scanning_files: Option<u64>,
    pub(super) scanned: Option<UnixMs>,
    /// When files that were still changing are looked at again.
    pub(super) look_again: Option<UnixMs>,
    /// What the last scan has to say, such as that too much is gone.
    pub(super) note: Option<String>,
}

impl Root {
    fn of(found: roots::Root, scanned: Option<UnixMs>) -> Self {
        Self {
            path: found.path,
            id: found.id,
            state: found.state,
            scanning_files: None,
            scanned,
            look_again: None,
            note: None,
        }
    }
}

/// All of them.
#[derive(Default)]
pub(super) struct Roots(Mutex<Vec<Root>>);

impl Roots {
    /// What was found now; what scans know stays. Whether anything is otherwise.
    pub(super) fn take(&self, found: Vec<roots::Root>, known: &[RootRecord]) -> bool {
        let mut all = self.all();
        let mut changed = all.len() != found.len();
        let mut now = Vec::with_capacity(found.len());
        for root in found {
            let old = all.iter().find(|old| old.path == root.path);
            changed |= old.is_none_or(|old| old.state != root.state || old.id != root.id);
            let record = known
                .iter()
                .find(|record| Some(&record.id) == root.id.as_ref());
            let scanned = old.and_then(|old| old.scanned);
            let mut root = Root::of(root, scanned.or(record.and_then(|r| r.scanned)));
            if let Some(old) = old {
                root.scanning_files = old.scanning_files;
                root.look_again = old.look_again;
                root.note.clone_from(&old.note);
            }
            now.push(root);
        }
        *all = now;
        changed
    }

    fn all(&self) -> MutexGuard<'_, Vec<Root>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of them.
    pub(super) fn list(&self) -> Vec<Root> {
        self.all().clone()
    }

    /// Changes the one at this path.
    pub(super) fn update(&self, path: &std::path::Path, change: impl FnOnce(&mut Root)) {
        if let Some(root) = self.all().iter_mut().find(|root| root.path == path) {
            change(root);
        }
    }

    /// Those that can be used.
    pub(super) fn mounted(&self) -> Vec<RootId> {
        let all = self.all();
        let mounted = all.iter().filter(|root| root.state.is_readable());
        mounted.filter_map(|root| root.id.clone()).collect()
    }

    /// Each with its path as text.
    pub(super) fn infos(&self) -> Vec<(RootId, String)> {
        let all = self.all();
        let known = all.iter().filter_map(|root| {
            let path = DiskPath::from(root.path.clone()).to_string();
            Some((root.id.clone()?, path))
        });
        known.collect()
    }

    /// Where a root lies, if it is mounted.
    pub(super) fn path_of(&self, id: &RootId) -> Option<PathBuf> {
        let all = self.all();
        let root = all.iter().find(|root| root.id.as_ref() == Some(id))?;
        root.state.is_readable().then(|| root.path.clone())
    }

    /// Where a root lies, mounted or not, for people.
    pub(super) fn path_text(&self, id: &RootId) -> Option<String> {
        let infos = self.infos();
        infos
            .into_iter()
            .find(|(known, _)| known == id)
            .map(|(_, path)| path)
    }

    pub(super) fn views(&self) -> Vec<RootView> {
        let view = |root: &Root| RootView {
            id: root.id.clone(),
            path: DiskPath::from(root.path.clone()).to_string(),
            mounted: root.state.is_readable(),
            problem: root
                .state
                .problem()
                .map(str::to_owned)
                .or_else(|| root.note.clone()),
            scanning_files: root.scanning_files,
            scanned: root.scanned,
            look_again: root.look_again,
        };
        self.all().iter().map(view).collect()
    }
}
