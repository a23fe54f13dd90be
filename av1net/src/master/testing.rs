//! A core for the tests of what calls it.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use crate::clock;
use crate::config::Sources;
use crate::job::FileId;
use crate::roots::{Root, RootState};
use crate::store::{Handle, MemoryStore, Op, RootRecord, ScanChange, StorePolicy};
use crate::units::{RelPath, RootId};

/// The media directory.
pub(crate) const FILMS: &str = "films";

impl Core {
    /// A core with a store in memory and one media directory, `films`, whose files are
    /// pending jobs.
    pub(crate) async fn for_tests(state_directory: &Path, films: &Path) -> Self {
        let store = Handle::new(MemoryStore::new(StorePolicy::default())).expect("a thread");
        let sources = Sources::within(state_directory.to_owned(), None, []);
        let core = Self::on(store, sources, state_directory, films).await;
        core.find_films(films).await;
        core
    }

    /// A core on a store, with one media directory.
    pub(crate) async fn on(
        store: Handle,
        sources: Sources,
        state_directory: &Path,
        films: &Path,
    ) -> Self {
        let loaded = sources.load().expect("lawful");
        let (scans, mut asked) = tokio::sync::mpsc::channel(16);
        tokio::spawn(async move { while asked.recv().await.is_some() {} });
        let core = Self::open(store, loaded, scans, state_directory.to_owned())
            .await
            .expect("a store");
        let root = RootId(FILMS.to_owned());
        let record = RootRecord {
            id: root.clone(),
            path: films.display().to_string(),
            scanned: None,
        };
        let found = Root {
            path: films.to_owned(),
            id: Some(root),
            state: RootState::Mounted,
        };
        core.0.roots.take(vec![found], &[]);
        core.write(Op::PutRoot(record)).await.expect("written");
        let _until_the_runtime_ends = core.start_timers(&CancellationToken::new());
        core
    }

    /// Every file of the media directory is a pending job.
    pub(crate) async fn find_films(&self, films: &Path) {
        let new = |entry: std::io::Result<std::fs::DirEntry>| {
            let entry = entry.expect("listed");
            let file = FileId {
                bytes: entry.metadata().expect("there").len(),
                modified_ns: 1,
                inode: 1,
            };
            ScanChange::New {
                path: RelPath::new(Path::new(&entry.file_name())).expect("below"),
                file,
                leave_alone: None,
            }
        };
        let files = std::fs::read_dir(films).expect("a folder");
        let scan = Op::Scan {
            root: RootId(FILMS.to_owned()),
            changes: files.map(new).collect(),
            now: clock::now(),
        };
        self.write(scan).await.expect("scanned");
    }

    /// The next child process of the master's waits until this is dropped.
    pub(crate) async fn hold_children(&self) -> OwnedSemaphorePermit {
        let children = Arc::clone(&self.0.own_children);
        children.acquire_owned().await.expect("nobody closes it")
    }

    /// Something that all viewers of the live feed are sent.
    pub(crate) fn say_to_viewers(&self, text: &str) {
        self.0.live.say(text.into());
    }
}
