//! The race of two workers for one film, checked in every order of events: messages that
//! come late, twice or never, workers that stop and wake up, leases that run out at any
//! moment. What decides is the code itself ([`judge`] and [`apply`]); the file system is
//! modelled as what it promises: of two renames of one file, one happens.

use std::collections::BTreeSet;
use std::path::Path;

use stateright::{Checker, Model, Property};

use super::{Judgement, judge, lost};
use crate::job::{Committed, FileId, Job, JobEvent, JobState, RetryPolicy, StagedFile, apply};
use crate::proto::{OrderKind, Phase, TaskEnd, TaskReport};
use crate::units::{Epoch, JobId, RelPath, RootId, UnixMs, WorkerId};

/// Grants that are looked into: a worker that was thought dead, and the one after it.
const GRANTS: u64 = 2;
const POLICY: RetryPolicy = RetryPolicy {
    max_attempts: 10,
    first_wait_ms: 0,
    longest_wait_ms: 0,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Worker {
    Idle,
    Encoding(u64),
    Staged(u64),
    /// It has a permit: its rename may come at any moment, or never.
    Committing(u64),
    Ended(u64, bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Said {
    Staged,
    Ended(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Told {
    Commit,
    Revoke,
    Forget,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    job: Job,
    workers: [Worker; 2],
    /// Staged files, by the epoch in their names.
    staged: BTreeSet<u64>,
    /// Whose output the film is; `None` is the source.
    film: Option<u64>,
    replacements: u8,
    /// Everything that was ever said: it may be heard now, later, again, or never. That a
    /// task goes on changes nothing, and is left out.
    said: BTreeSet<(usize, u64, Said)>,
    told: BTreeSet<(usize, u64, Told)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Grant(usize),
    Stage(usize),
    Speak(usize),
    Hear(usize, u64, Said),
    Obey(usize, u64, Told),
    Rename(usize),
    Crash(usize),
    Expire,
    Revoke,
    RetryDue,
}

struct Race;

fn name(worker: usize) -> WorkerId {
    WorkerId(worker.to_string())
}

fn file() -> FileId {
    FileId {
        bytes: 1,
        modified_ns: 0,
        inode: 1,
    }
}

fn path() -> RelPath {
    RelPath::new(Path::new("film.mkv")).expect("a path")
}

fn committed() -> JobEvent {
    let committed = Committed {
        path: path(),
        file: file(),
        source_bytes: 1,
        frames: 0,
        elapsed_ms: 0,
        encoder: String::new(),
        warnings: Vec::new(),
    };
    JobEvent::Committed { committed }
}

impl World {
    fn happen(&mut self, event: &JobEvent) -> bool {
        let next = apply(&self.job, event, UnixMs(0), &POLICY);
        next.map(|next| self.job = next).is_ok()
    }

    /// The master hears a report, by the code that is shipped.
    fn hear(&mut self, worker: usize, epoch: u64, said: Said) {
        let phase = match said {
            Said::Staged => Phase::Staged {
                staged: StagedFile {
                    token: epoch.to_string(),
                    bytes: 1,
                },
            },
            Said::Ended(done) => Phase::Ended {
                end: match committed() {
                    JobEvent::Committed { committed } if done => TaskEnd::Replaced { committed },
                    _ => TaskEnd::HandedBack,
                },
            },
        };
        let report = TaskReport {
            task: self.job.task(),
            epoch: Epoch(epoch),
            phase,
            progress: None,
        };
        let order = match judge(Some(&self.job), &name(worker), &report) {
            Judgement::Answer(order) => order,
            Judgement::Then(events, order) => {
                let before = self.job.clone();
                if events.iter().all(|event| self.happen(event)) {
                    order
                } else {
                    self.job = before;
                    OrderKind::Revoke
                }
            }
            other => panic!("not in this model: {other:?}"),
        };
        let told = match order {
            OrderKind::Commit => Told::Commit,
            OrderKind::Revoke => Told::Revoke,
            OrderKind::Forget => Told::Forget,
            _ => return,
        };
        self.told.insert((worker, epoch, told));
    }

    fn obey(&mut self, worker: usize, epoch: u64, told: Told) {
        let state = &mut self.workers[worker];
        match (told, *state) {
            (Told::Commit, Worker::Staged(mine)) if mine == epoch => {
                *state = Worker::Committing(mine);
            }
            (Told::Revoke, Worker::Encoding(mine) | Worker::Staged(mine)) if mine == epoch => {
                *state = Worker::Idle;
                self.staged.remove(&mine);
            }
            (Told::Forget | Told::Revoke, Worker::Ended(mine, _)) if mine == epoch => {
                *state = Worker::Idle;
            }
            _ => {}
        }
    }

    fn rename(&mut self, worker: usize) {
        if let Worker::Committing(epoch) = self.workers[worker] {
            let mine = self.staged.remove(&epoch);
            if mine {
                self.film = Some(epoch);
                self.replacements += 1;
            }
            self.workers[worker] = Worker::Ended(epoch, mine);
        }
    }

    /// What became of a replacement whose lease is gone ([`av1core::revoke`]).
    fn revoke(&mut self) {
        let epoch = self.job.epoch.0;
        let event = if self.staged.remove(&epoch) || self.film != Some(epoch) {
            JobEvent::NotCommitted
        } else {
            committed()
        };
        assert!(self.happen(&event), "recovering takes both");
    }
}

impl Model for Race {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let job = Job {
            id: JobId(1),
            root: RootId("root".to_owned()),
            path: path(),
            file: file(),
            state: JobState::Pending,
            priority: 0,
            queued: UnixMs(0),
            attempts: 0,
            epoch: Epoch(0),
            worker: None,
            retry_at: None,
            staged: None,
            reason: None,
            committed: None,
            changed: UnixMs(0),
        };
        vec![World {
            job,
            workers: [Worker::Idle; 2],
            staged: BTreeSet::new(),
            film: None,
            replacements: 0,
            said: BTreeSet::new(),
            told: BTreeSet::new(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        for (worker, state) in world.workers.iter().enumerate() {
            match state {
                Worker::Idle
                    if world.job.state == JobState::Pending && world.job.epoch.0 < GRANTS =>
                {
                    actions.push(Action::Grant(worker));
                }
                Worker::Idle => {}
                Worker::Encoding(_) => actions.push(Action::Stage(worker)),
                Worker::Committing(_) => actions.push(Action::Rename(worker)),
                Worker::Staged(_) | Worker::Ended(..) => {}
            }
            if matches!(state, Worker::Staged(_) | Worker::Ended(..)) {
                actions.push(Action::Speak(worker));
            }
            if *state != Worker::Idle {
                actions.push(Action::Crash(worker));
            }
        }
        let hear =
            |(worker, epoch, said): &(usize, u64, Said)| Action::Hear(*worker, *epoch, *said);
        actions.extend(world.said.iter().map(hear));
        let obey =
            |(worker, epoch, told): &(usize, u64, Told)| Action::Obey(*worker, *epoch, *told);
        actions.extend(world.told.iter().map(obey));
        match world.job.state {
            JobState::Leased | JobState::Staged | JobState::Committing => {
                actions.push(Action::Expire);
            }
            JobState::Recovering => actions.push(Action::Revoke),
            JobState::RetryWait => actions.push(Action::RetryDue),
            _ => {}
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Grant(worker) => {
                let grant = JobEvent::Grant {
                    worker: name(worker),
                };
                assert!(world.happen(&grant), "pending takes a grant");
                world.workers[worker] = Worker::Encoding(world.job.epoch.0);
            }
            Action::Stage(worker) => {
                if let Worker::Encoding(epoch) = world.workers[worker] {
                    world.staged.insert(epoch);
                    world.workers[worker] = Worker::Staged(epoch);
                }
            }
            Action::Speak(worker) => {
                let (epoch, said) = match world.workers[worker] {
                    Worker::Staged(epoch) => (epoch, Said::Staged),
                    Worker::Ended(epoch, done) => (epoch, Said::Ended(done)),
                    _ => return None,
                };
                world.said.insert((worker, epoch, said));
            }
            Action::Hear(worker, epoch, said) => world.hear(worker, epoch, said),
            Action::Obey(worker, epoch, told) => world.obey(worker, epoch, told),
            Action::Rename(worker) => world.rename(worker),
            Action::Crash(worker) => world.workers[worker] = Worker::Idle,
            Action::Expire => {
                assert!(world.happen(&lost("lease_lost", "")), "a lease can be lost");
            }
            Action::Revoke => world.revoke(),
            Action::RetryDue => {
                assert!(world.happen(&JobEvent::RetryDue), "a wait ends");
            }
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one replacement", |_, world: &World| {
                world.replacements <= 1
            }),
            Property::always(
                "what is replaced is never given away",
                |_, world: &World| {
                    world.replacements == 0
                        || matches!(
                            world.job.state,
                            JobState::Committing | JobState::Recovering | JobState::Completed
                        )
                },
            ),
            Property::always("completed means replaced", |_, world: &World| {
                world.job.state != JobState::Completed || world.film == Some(world.job.epoch.0)
            }),
            Property::sometimes(
                "a film is shrunk by its second holder",
                |_, world: &World| {
                    world.job.state == JobState::Completed && world.film == Some(GRANTS)
                },
            ),
        ]
    }
}

#[test]
fn two_workers_never_replace_one_film_twice() {
    let checker = Race.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    // Far fewer would mean that the model has come to a halt.
    assert!(
        checker.unique_state_count() > 1_000,
        "{}",
        checker.unique_state_count()
    );
}
