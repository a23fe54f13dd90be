//! Which of the master's media directories are mounted here. A file system that does not
//! answer is one that is not there, and holds up nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::runner::LOOKING;
use crate::proto::RootInfo;
use crate::units::RootId;

/// Mounts come and go without a word. A look is a file of a few bytes read.
const EVERY: Duration = Duration::from_secs(30);

/// Looks for media directories: those that are mounted here, and where. Blocks for as
/// long as a file system takes to answer. The second argument is `path_map`.
pub type MountProbe =
    dyn Fn(&[RootInfo], &BTreeMap<PathBuf, PathBuf>) -> BTreeMap<RootId, PathBuf> + Send + Sync;

/// The media directories, and where they are.
pub(crate) struct Mounts {
    probe: Arc<MountProbe>,
    path_map: Arc<BTreeMap<PathBuf, PathBuf>>,
    roots: BTreeMap<RootId, Root>,
    looks: JoinSet<(RootInfo, Option<PathBuf>)>,
    next: Instant,
}

struct Root {
    info: RootInfo,
    mounted: Option<PathBuf>,
    /// Since when the file system has not answered.
    asked: Option<Instant>,
}

impl Mounts {
    pub(crate) fn new(probe: Arc<MountProbe>, path_map: BTreeMap<PathBuf, PathBuf>) -> Self {
        Self {
            probe,
            path_map: Arc::new(path_map),
            roots: BTreeMap::new(),
            looks: JoinSet::new(),
            next: Instant::now() + EVERY,
        }
    }

    /// Those that are mounted.
    pub(crate) fn mounted(&self) -> Vec<RootId> {
        let mounted = self.roots.iter().filter(|(_, root)| root.mounted.is_some());
        mounted.map(|(id, _)| id.clone()).collect()
    }

    /// Where one is mounted, and how to see whether it still is.
    pub(crate) fn place(
        &self,
        id: &RootId,
    ) -> Option<(PathBuf, Arc<dyn Fn() -> bool + Send + Sync>)> {
        let root = self.roots.get(id)?;
        let path = root.mounted.clone()?;
        let (look, expected) = (self.look_for(&root.info), path.clone());
        Some((path, Arc::new(move || look() == Some(expected.clone()))))
    }

    /// The master's media directories, which are looked for where they are new.
    pub(crate) fn set(&mut self, infos: &[RootInfo]) {
        let is_known = |info: &RootInfo| self.roots.get(&info.id).is_some_and(|r| r.info == *info);
        if infos.len() == self.roots.len() && infos.iter().all(is_known) {
            return;
        }
        let mut roots = BTreeMap::new();
        for info in infos {
            let known = self.roots.remove(&info.id).filter(|r| r.info == *info);
            let root = known.unwrap_or_else(|| Root {
                info: info.clone(),
                mounted: None,
                asked: None,
            });
            roots.insert(info.id.clone(), root);
        }
        self.roots = roots;
        self.look();
    }

    /// One that was found to be gone.
    pub(crate) fn lost(&mut self, id: &RootId) {
        if let Some(root) = self.roots.get_mut(id) {
            root.mounted = None;
        }
    }

    /// Returns when another set of them is mounted.
    ///
    /// Dropped before it is done, nothing is lost.
    pub(crate) async fn changed(&mut self) {
        loop {
            let silent = self.roots.values().filter(|root| root.mounted.is_some());
            let silent = silent.filter_map(|root| root.asked).min();
            let wake = silent.map_or(self.next, |asked| self.next.min(asked + LOOKING));
            tokio::select! {
                Some(found) = self.looks.join_next() => {
                    if let Ok((info, found)) = found && self.found(&info, found) {
                        return;
                    }
                }
                () = sleep_until(wake) => {
                    if self.give_up_silent() {
                        return;
                    }
                    if Instant::now() >= self.next {
                        self.look();
                    }
                }
            }
        }
    }

    fn found(&mut self, info: &RootInfo, found: Option<PathBuf>) -> bool {
        let Some(root) = self.roots.get_mut(&info.id).filter(|r| r.info == *info) else {
            return false;
        };
        root.asked = None;
        let has_changed = root.mounted.is_some() != found.is_some();
        if has_changed {
            let path = &info.path;
            match &found {
                Some(here) => {
                    tracing::info!(path, here = %here.display(), "a media directory is mounted");
                }
                None => tracing::warn!(path, "a media directory is not mounted here any more"),
            }
        }
        root.mounted = found;
        has_changed
    }

    fn give_up_silent(&mut self) -> bool {
        let now = Instant::now();
        let mut has_changed = false;
        for root in self.roots.values_mut() {
            let is_silent = root.asked.is_some_and(|asked| asked + LOOKING <= now);
            if is_silent && root.mounted.take().is_some() {
                tracing::warn!(path = root.info.path, "a media directory does not answer");
                has_changed = true;
            }
        }
        has_changed
    }

    /// Looks for all of them, but those that have not answered yet.
    fn look(&mut self) {
        self.next = Instant::now() + EVERY;
        let silent: Vec<RootInfo> = self
            .roots
            .values_mut()
            .filter(|root| root.asked.is_none())
            .map(|root| {
                root.asked = Some(Instant::now());
                root.info.clone()
            })
            .collect();
        for info in silent {
            let look = self.look_for(&info);
            self.looks.spawn_blocking(move || {
                let found = look();
                (info, found)
            });
        }
    }

    fn look_for(&self, info: &RootInfo) -> impl Fn() -> Option<PathBuf> + Send + Sync + 'static {
        let (probe, path_map, info) = (self.probe.clone(), self.path_map.clone(), info.clone());
        move || probe(std::slice::from_ref(&info), &path_map).remove(&info.id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc;

    use tokio::time::timeout;

    use super::*;

    fn info(name: &str) -> RootInfo {
        RootInfo {
            id: RootId(name.to_owned()),
            path: format!("/{name}"),
        }
    }

    #[tokio::test]
    async fn a_mount_that_does_not_answer_holds_up_no_other() {
        let (free, held) = mpsc::channel::<()>();
        let held = Mutex::new(held);
        let probe = move |roots: &[RootInfo], _: &BTreeMap<PathBuf, PathBuf>| {
            if roots[0].id.0 == "dead" {
                let _ = held.lock().expect("one at a time").recv();
            }
            roots
                .iter()
                .map(|r| (r.id.clone(), r.path.clone().into()))
                .collect()
        };
        let mut mounts = Mounts::new(Arc::new(probe), BTreeMap::new());
        mounts.set(&[info("dead"), info("well")]);
        let within = Duration::from_secs(30);
        timeout(within, mounts.changed()).await.expect("no hang");
        assert_eq!(mounts.mounted(), [info("well").id]);
        assert!(mounts.place(&info("dead").id).is_none());
        let (path, is_mounted) = mounts.place(&info("well").id).expect("it is there");
        assert_eq!(path, PathBuf::from("/well"));
        assert!(is_mounted());
        drop(free);
        timeout(within, mounts.changed())
            .await
            .expect("it answers at last");
        assert_eq!(mounts.mounted().len(), 2);
        mounts.lost(&info("well").id);
        assert_eq!(mounts.mounted(), [info("dead").id]);
        mounts.set(&[info("well")]);
        assert_eq!(mounts.mounted(), [], "it is looked for first");
    }
}
