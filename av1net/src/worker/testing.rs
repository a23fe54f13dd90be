//! A master for tests: it grants, answers as the real one does, and remembers what it
//! was told.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::process::tests::{program, short_patience};
use super::tasks::Key;
use super::{
    Local, Observer, Transport, Tuning, WorkerConfig, WorkerControl, WorkerError, WorkerEvent,
    WorkerSummary,
};
use crate::config::IoClassKey;
use crate::proto::{
    Grant, MasterReply, Order, OrderKind, PROTOCOL, Phase, RootInfo, TaskEnd, WorkSettings,
    WorkerReport, WorkerSettings,
};
use crate::units::{Epoch, JobId, RelPath, RootId};

/// A test that takes longer hangs.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

pub(super) const ROOT: &str = "the root";

pub(super) fn key(job: i64, epoch: u64) -> Key {
    Key {
        task: JobId(job).into(),
        epoch: Epoch(epoch),
    }
}

pub(super) fn grant(key: Key, path: &str) -> Grant {
    Grant {
        task: key.task,
        epoch: key.epoch,
        root: RootId(ROOT.to_owned()),
        path: RelPath::parse(path).expect("a path"),
        bytes: 10,
        ship: false,
        work: WorkSettings::default(),
    }
}

#[derive(Default)]
pub(super) struct State {
    /// Granted until their end is heard of.
    pub(super) leases: BTreeMap<Key, Grant>,
    pub(super) revoked: Vec<Key>,
    pub(super) settings: WorkerSettings,
    pub(super) reports: VecDeque<WorkerReport>,
    pub(super) ends: Vec<(Key, TaskEnd)>,
    /// Permits are not given.
    pub(super) withholds: bool,
    /// Another protocol than this program's.
    pub(super) protocol: Option<u32>,
    pub(super) next_sync_ms: u64,
}

/// The master.
#[derive(Clone)]
pub(super) struct Master {
    pub(super) state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
    pub(super) poke: Arc<watch::Sender<u64>>,
}

impl Master {
    pub(super) fn new() -> Self {
        let state = State {
            next_sync_ms: 100,
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            changed: Arc::new(watch::Sender::new(0)),
            poke: Arc::new(watch::Sender::new(0)),
        }
    }

    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().expect("not poisoned"));
        self.poke.send_modify(|count| *count += 1);
        result
    }

    pub(super) fn give(&self, grant: Grant) {
        self.with(|state| state.leases.insert(Key::from(&grant), grant));
    }

    /// What the real one would answer.
    pub(super) fn answer(&self, report: WorkerReport) -> MasterReply {
        let mut state = self.state.lock().expect("not poisoned");
        let mut orders = Vec::new();
        for task in &report.tasks {
            let key = Key {
                task: task.task,
                epoch: task.epoch,
            };
            let is_held = state.leases.contains_key(&key);
            let kind = match &task.phase {
                Phase::Ended { end } => {
                    if state.leases.remove(&key).is_some() {
                        state.ends.push((key, end.clone()));
                    }
                    OrderKind::Forget
                }
                _ if !is_held || state.revoked.contains(&key) => OrderKind::Revoke,
                Phase::Asking { .. } => OrderKind::Proceed,
                Phase::Staged { .. } if !state.withholds => OrderKind::Commit,
                _ => OrderKind::Continue,
            };
            orders.push(Order {
                task: key.task,
                epoch: key.epoch,
                kind,
            });
        }
        let named = |key: &Key| {
            let mut tasks = report.tasks.iter();
            tasks.any(|task| task.task == key.task && task.epoch == key.epoch)
        };
        let missing = state.leases.iter().filter(|(key, _)| !named(key));
        let grants = missing
            .filter(|(key, _)| !state.revoked.contains(key))
            .map(|(_, grant)| grant.clone())
            // As the real one, it grants what the worker can reach.
            .filter(|grant| grant.ship || report.mounted.contains(&grant.root))
            .collect();
        let reply = MasterReply {
            protocol: state.protocol.unwrap_or(PROTOCOL),
            next_sync_ms: state.next_sync_ms,
            orders,
            grants,
            roots: vec![RootInfo {
                id: RootId(ROOT.to_owned()),
                path: "/master/films".to_owned(),
            }],
            settings: state.settings.clone(),
        };
        state.reports.push_back(report);
        drop(state);
        self.changed.send_modify(|count| *count += 1);
        reply
    }

    /// Waits until what the master knows is so.
    pub(super) async fn until<T>(
        &self,
        what: &str,
        mut is_so: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        let mut changed = self.changed.subscribe();
        let seen = async {
            loop {
                let found = is_so(&mut self.state.lock().expect("not poisoned"));
                if let Some(found) = found {
                    return found;
                }
                changed.changed().await.expect("it lives");
            }
        };
        match timeout(LIMIT, seen).await {
            Ok(found) => found,
            Err(_) => panic!(
                "never {what}; the last report is {:?}",
                self.state.lock().expect("not poisoned").reports.back()
            ),
        }
    }

    /// Waits for the end of a task.
    pub(super) async fn end_of(&self, key: Key) -> TaskEnd {
        let of_key = |state: &mut State| {
            let mut ends = state.ends.iter();
            ends.find(|(k, _)| *k == key).map(|(_, end)| end.clone())
        };
        self.until(&format!("the end of {key}"), of_key).await
    }

    /// Waits for a report in which a task is in such a phase.
    pub(super) async fn phase_of(&self, key: Key, is_it: impl Fn(&Phase) -> bool) {
        let of_key = |state: &mut State| {
            let tasks = &state.reports.back()?.tasks;
            let task = tasks
                .iter()
                .find(|t| t.task == key.task && t.epoch == key.epoch)?;
            is_it(&task.phase).then_some(())
        };
        self.until(&format!("such a phase of {key}"), of_key).await;
    }

    pub(super) fn local(&self) -> Transport {
        let (asked, poked) = (self.clone(), self.poke.clone());
        Transport::Local(Local::new(
            move |report| {
                let reply = asked.answer(report);
                async move { Ok(reply) }.boxed()
            },
            move |_| Some(poked.subscribe()),
        ))
    }
}

/// A worker for tests, with folders of its own and a script for its child processes.
pub(super) struct Bench {
    pub(super) folder: tempfile::TempDir,
    pub(super) config: WorkerConfig,
    pub(super) control: WorkerControl,
    pub(super) events: Arc<Mutex<Vec<WorkerEvent>>>,
}

impl Bench {
    pub(super) fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let films = folder.path().join("films");
        std::fs::create_dir(&films).expect("makes");
        let events = Arc::<Mutex<Vec<WorkerEvent>>>::default();
        let heard = events.clone();
        let observer: Observer = Arc::new(move |event: &WorkerEvent| {
            heard.lock().expect("not poisoned").push(event.clone());
        });
        let probed = films;
        let probe = move |roots: &[RootInfo], _: &BTreeMap<PathBuf, PathBuf>| {
            let there = roots.iter().filter(|_| probed.exists());
            there
                .map(|root| (root.id.clone(), probed.clone()))
                .collect()
        };
        let config = WorkerConfig {
            name: "bench".to_owned(),
            encoder: Some("SVT-AV1 1.4.1".to_owned()),
            warnings: Vec::new(),
            state_directory: folder.path().join("state"),
            temp_directory: folder.path().join("temp"),
            ships: true,
            path_map: BTreeMap::new(),
            probe_mounts: Arc::new(probe),
            program: program(folder.path(), script),
            io_class: IoClassKey::Normal,
            patience: super::Patience {
                stall: LIMIT,
                ..short_patience()
            },
            tuning: Tuning {
                slots: 1,
                threads: None,
                niceness: 0,
                is_open: Arc::new(|_| true),
            },
            observer,
        };
        Self {
            folder,
            config,
            control: WorkerControl::new(),
            events,
        }
    }

    pub(super) fn films(&self) -> PathBuf {
        self.folder.path().join("films")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the worker.
    pub(super) fn start(&self, transport: Transport) -> Worker {
        let (config, control) = (self.config.clone(), self.control.clone());
        Worker(tokio::spawn(super::run(config, transport, control)))
    }
}

/// A worker at work.
pub(super) struct Worker(tokio::task::JoinHandle<Result<WorkerSummary, WorkerError>>);

impl Worker {
    pub(super) async fn ended(self) -> Result<WorkerSummary, WorkerError> {
        let ended = timeout(LIMIT, self.0).await.expect("it ends");
        ended.expect("no panic")
    }
}

/// Waits until a file is there, and reads it.
pub(super) async fn file_at(path: &Path) -> String {
    let there = async {
        loop {
            match tokio::fs::read_to_string(path).await {
                Ok(text) if text.ends_with('\n') => return text,
                _ => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let there = timeout(LIMIT, there).await;
    there.unwrap_or_else(|_| panic!("{} is never there", path.display()))
}
