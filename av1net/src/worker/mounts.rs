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
    /// Each was looked for once since the master named them, or did not answer in time.
    are_known: bool,
}

struct Root {
    info: RootInfo,
    mounted: Option<PathBuf>,
    /// Since when the file system has not answered.
    asked: Option<Instant>,
    /// It has not for so long that it is not waited for.
    is_silent: bool,
}

impl Mounts {
    pub(crate) fn new(probe: Arc<MountProbe>, path_map: BTreeMap<PathBuf, PathBuf>) -> Self {
        Self {
            probe,
            path_map: Arc::new(path_map),
            roots: BTreeMap::new(),
            looks: JoinSet::new(),
            next: Instant::now() + EVERY,
            are_known: false,
        }
    }

    /// Whether what is not mounted is known not to be: before, nobody should bring a film
    /// over the network that may lie here.
    pub(crate) fn are_known(&self) -> bool {
        self.are_known
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
            self.are_known |= infos.is_empty();
            return;
        }
        self.are_known = infos.is_empty();
        let mut roots = BTreeMap::new();
        for info in infos {
            let known = self.roots.remove(&info.id).filter(|r| r.info == *info);
            let root = known.unwrap_or_else(|| Root {
                info: info.clone(),
                mounted: None,
                asked: None,
                is_silent: false,
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

    /// Returns when another set of them is mounted, or it is known at last which are not.
    ///
    /// Dropped before it is done, nothing is lost.
    pub(crate) async fn changed(&mut self) {
        loop {
            let waited_for = self.roots.values().filter(|root| !root.is_silent);
            let asked = waited_for.filter_map(|root| root.asked).min();
            let wake = asked.map_or(self.next, |asked| self.next.min(asked + LOOKING));
            let has_changed = tokio::select! {
                Some(found) = self.looks.join_next() => {
                    found.is_ok_and(|(info, found)| self.found(&info, found))
                }
                () = sleep_until(wake) => {
                    if Instant::now() >= self.next {
                        self.look();
                    }
                    self.give_up_silent()
                }
            };
            let are_known = self
                .roots
                .values()
                .all(|r| r.asked.is_none() || r.is_silent);
            let is_news = are_known && !self.are_known;
            self.are_known |= are_known;
            if has_changed || is_news {
                return;
            }
        }
    }

    fn found(&mut self, info: &RootInfo, found: Option<PathBuf>) -> bool {
        let Some(root) = self.roots.get_mut(&info.id).filter(|r| r.info == *info) else {
            return false;
        };
        root.asked = None;
        root.is_silent = false;
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
            root.is_silent = root.asked.is_some_and(|asked| asked + LOOKING <= now);
            if root.is_silent && root.mounted.take().is_some() {
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
        assert!(!mounts.are_known(), "the other may be there, too");
        assert!(mounts.place(&info("dead").id).is_none());
        let (path, is_mounted) = mounts.place(&info("well").id).expect("it is there");
        assert_eq!(path, PathBuf::from("/well"));
        assert!(is_mounted());
        drop(free);
        timeout(within, mounts.changed())
            .await
            .expect("it answers at last");
        assert_eq!(mounts.mounted().len(), 2);
        assert!(mounts.are_known());
        mounts.lost(&info("well").id);
        assert_eq!(mounts.mounted(), [info("dead").id]);
        mounts.set(&[info("well")]);
        assert_eq!(mounts.mounted(), [], "it is looked for first");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_answer_in_time_is_known_not_to_be_there() {
        let (_held, waits) = mpsc::channel::<()>();
        let waits = Mutex::new(waits);
        let probe = move |_: &[RootInfo], _: &BTreeMap<PathBuf, PathBuf>| {
            let waits = waits.lock().expect("one at a time");
            let _ = waits.recv_timeout(Duration::from_secs(1));
            BTreeMap::new()
        };
        let mut mounts = Mounts::new(Arc::new(probe), BTreeMap::new());
        mounts.set(&[]);
        assert!(mounts.are_known(), "there are none");
        mounts.set(&[info("dead")]);
        assert!(!mounts.are_known());
        let begun = Instant::now();
        mounts.changed().await;
        assert!(mounts.are_known());
        assert_eq!(mounts.mounted(), []);
        assert!(begun.elapsed() <= LOOKING);
    }
}
