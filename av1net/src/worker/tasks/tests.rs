use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::job::{Committed, FileId, Reason, StagedFile};
use crate::proto::WorkSettings;
use crate::units::{Epoch, JobId, RelPath, RootId};

fn key(job: i64, epoch: u64) -> Key {
    Key {
        task: JobId(job).into(),
        epoch: Epoch(epoch),
    }
}

fn grant(key: Key) -> Box<Grant> {
    Box::new(Grant {
        task: key.task,
        epoch: key.epoch,
        root: RootId("root".to_owned()),
        path: path(key),
        bytes: 1,
        ship: false,
        work: WorkSettings::default(),
    })
}

fn path(key: Key) -> RelPath {
    RelPath::parse(&format!("{}.mkv", key.task)).expect("a path")
}

fn order(key: Key, kind: OrderKind) -> Event {
    let Key { task, epoch } = key;
    Event::Ordered(Order { task, epoch, kind })
}

fn staged() -> Phase {
    Phase::Staged {
        staged: StagedFile {
            token: "0123456789abcdef".to_owned(),
            bytes: 1,
        },
    }
}

fn replaced(key: Key) -> TaskEnd {
    TaskEnd::Replaced {
        committed: Committed {
            path: path(key),
            file: FileId {
                bytes: 1,
                modified_ns: 0,
                inode: 1,
            },
            source_bytes: 2,
            frames: 3,
            elapsed_ms: 4,
            encoder: String::new(),
            warnings: Vec::new(),
        },
    }
}

fn asking() -> Phase {
    let key = "key".to_owned();
    Phase::Asking { key }
}

fn phase_of(tasks: &Tasks, key: Key) -> Option<Phase> {
    let reports = tasks.reports();
    let of_key = |report: &&TaskReport| report.task == key.task && report.epoch == key.epoch;
    reports.iter().find(of_key).map(|r| r.phase.clone())
}

fn handed_back() -> Phase {
    let end = TaskEnd::HandedBack;
    Phase::Ended { end }
}

#[test]
fn a_task_goes_from_its_grant_to_its_end() {
    let mut tasks = Tasks::new(1);
    let k = key(7, 3);
    assert!(
        tasks
            .apply(Event::Granted(grant(k)))
            .contains(&Effect::Start(grant(k)))
    );
    tasks.apply(Event::Moved(k, asking()));
    assert_eq!(
        tasks.apply(order(k, OrderKind::Proceed)),
        [Effect::Tell(k, Answer::Proceed)]
    );
    assert_eq!(
        tasks.apply(order(k, OrderKind::Proceed)),
        [],
        "an answer is given once"
    );
    tasks.apply(Event::Moved(k, staged()));
    assert_eq!(
        tasks.apply(order(k, OrderKind::Commit)),
        [Effect::Tell(k, Answer::Commit)]
    );
    assert_eq!(phase_of(&tasks, k), Some(Phase::Committing));
    let end = replaced(k);
    let effects = tasks.apply(Event::Ended(k, RunEnd::Ended(end.clone())));
    assert!(effects.contains(&Effect::Over(grant(k), Box::new(end.clone()))));
    assert_eq!(phase_of(&tasks, k), Some(Phase::Ended { end }));
    tasks.apply(order(k, OrderKind::Forget));
    assert!(tasks.is_empty());
}

#[test]
fn an_order_for_an_unknown_or_older_grant_changes_nothing() {
    let mut tasks = Tasks::new(1);
    let k = key(7, 3);
    tasks.apply(Event::Granted(grant(k)));
    for other in [key(7, 2), key(7, 4), key(8, 3)] {
        for kind in [OrderKind::Revoke, OrderKind::Commit, OrderKind::Forget] {
            assert_eq!(tasks.apply(order(other, kind)), []);
        }
    }
    assert_eq!(phase_of(&tasks, k), Some(Phase::Starting));
}

#[test]
fn a_newer_grant_of_a_task_waits_until_the_older_one_is_gone() {
    let mut tasks = Tasks::new(2);
    let (old, new) = (key(7, 3), key(7, 4));
    tasks.apply(Event::Granted(grant(old)));
    let effects = tasks.apply(Event::Granted(grant(new)));
    assert_eq!(effects, [Effect::Stop(old), Effect::Speak]);
    let effects = tasks.apply(Event::Ended(old, RunEnd::Stopped));
    assert!(effects.contains(&Effect::Start(grant(new))), "{effects:?}");
    assert_eq!(phase_of(&tasks, old), None);
}

#[test]
fn a_grant_too_many_is_handed_back() {
    let mut tasks = Tasks::new(1);
    tasks.apply(Event::Granted(grant(key(1, 1))));
    tasks.apply(Event::Granted(grant(key(2, 1))));
    assert_eq!(phase_of(&tasks, key(2, 1)), Some(handed_back()));
}

#[test]
fn a_grant_waits_for_the_slot_of_a_task_that_is_being_stopped() {
    let mut tasks = Tasks::new(1);
    let (old, new) = (key(1, 1), key(2, 1));
    tasks.apply(Event::Granted(grant(old)));
    tasks.apply(order(old, OrderKind::Revoke));
    assert_eq!(tasks.apply(Event::Granted(grant(new))), [Effect::Speak]);
    let effects = tasks.apply(Event::Ended(old, RunEnd::Stopped));
    assert!(effects.contains(&Effect::Start(grant(new))));
}

#[test]
fn who_takes_no_new_work_hands_grants_back() {
    let mut tasks = Tasks::new(1);
    tasks.apply(Event::Takes {
        slots: 1,
        new_work: false,
    });
    assert_eq!(
        tasks.apply(Event::Granted(grant(key(1, 1)))),
        [Effect::Speak]
    );
    assert_eq!(phase_of(&tasks, key(1, 1)), Some(handed_back()));
}

#[test]
fn a_grant_that_comes_again_after_its_end_is_not_run_again() {
    let mut tasks = Tasks::new(1);
    let k = key(1, 5);
    tasks.apply(Event::Granted(grant(k)));
    tasks.apply(Event::Ended(k, RunEnd::Ended(TaskEnd::Delivered)));
    tasks.apply(order(k, OrderKind::Forget));
    for late in [k, key(1, 4)] {
        assert_eq!(tasks.apply(Event::Granted(grant(late))), [Effect::Speak]);
        assert_eq!(phase_of(&tasks, late), Some(handed_back()));
        tasks.apply(order(late, OrderKind::Forget));
    }
    let effects = tasks.apply(Event::Granted(grant(key(1, 6))));
    assert!(effects.contains(&Effect::Start(grant(key(1, 6)))));
}

#[test]
fn abort_stops_what_runs_and_hands_it_back() {
    let mut tasks = Tasks::new(1);
    let k = key(1, 1);
    tasks.apply(Event::Granted(grant(k)));
    tasks.apply(Event::Moved(k, staged()));
    assert_eq!(tasks.apply(Event::Abort), [Effect::Stop(k)]);
    assert_eq!(tasks.apply(Event::Abort), [], "once");
    assert_eq!(
        tasks.apply(order(k, OrderKind::Commit)),
        [],
        "a permit that crosses the abort is not used"
    );
    tasks.apply(Event::Ended(k, RunEnd::Stopped));
    assert_eq!(phase_of(&tasks, k), Some(handed_back()));
}

#[test]
fn a_replacement_that_outran_its_revocation_is_told() {
    let mut tasks = Tasks::new(1);
    let k = key(1, 1);
    tasks.apply(Event::Granted(grant(k)));
    tasks.apply(order(k, OrderKind::Revoke));
    let end = replaced(k);
    tasks.apply(Event::Ended(k, RunEnd::Ended(end.clone())));
    assert_eq!(phase_of(&tasks, k), Some(Phase::Ended { end }));
    tasks.apply(order(k, OrderKind::Revoke));
    assert!(tasks.is_empty(), "the master does not want to hear of it");
}

// --- A whole system: a master, the mail between them, and runs -----------------------

/// A lease as the master holds it.
#[derive(Clone, Debug)]
struct Lease {
    epoch: u64,
    is_held: bool,
    has_permit: bool,
}

/// What a run waits for, or has done, in order.
#[derive(Clone, Debug)]
struct Run {
    phase: usize,
    told: Vec<Answer>,
    is_stopped: bool,
}

#[derive(Default)]
struct Reply {
    orders: Vec<(Key, OrderKind)>,
    grants: Vec<Key>,
}

struct World {
    tasks: Tasks,
    slots: usize,
    most_slots: usize,
    leases: BTreeMap<i64, Lease>,
    mail: Vec<Reply>,
    runs: BTreeMap<Key, Run>,
    started: BTreeSet<Key>,
    ended: BTreeMap<Key, TaskEnd>,
}

impl World {
    fn new() -> Self {
        Self {
            tasks: Tasks::new(2),
            slots: 2,
            most_slots: 2,
            leases: BTreeMap::new(),
            mail: Vec::new(),
            runs: BTreeMap::new(),
            started: BTreeSet::new(),
            ended: BTreeMap::new(),
        }
    }

    fn apply(&mut self, event: Event) {
        for effect in self.tasks.apply(event) {
            match effect {
                Effect::Start(grant) => {
                    let key = Key::from(&*grant);
                    assert!(self.started.insert(key), "{key} was begun twice");
                    let twin = self.runs.keys().find(|k| k.task == key.task);
                    assert_eq!(twin, None, "two runs of one task");
                    let run = Run {
                        phase: 0,
                        told: Vec::new(),
                        is_stopped: false,
                    };
                    self.runs.insert(key, run);
                    assert!(self.runs.len() <= self.most_slots, "more runs than slots");
                }
                Effect::Tell(key, answer) => {
                    let run = self.runs.get_mut(&key).expect("told to a run");
                    assert!(!run.is_stopped, "{key} is told {answer:?} after its stop");
                    assert!(
                        !run.told.contains(&answer),
                        "{key} is told {answer:?} twice"
                    );
                    if answer == Answer::Commit {
                        let lease = &self.leases[&key.task.job.0];
                        assert!(
                            lease.has_permit || lease.epoch > key.epoch.0,
                            "{key} commits without a permit"
                        );
                    }
                    run.told.push(answer);
                }
                Effect::Stop(key) => {
                    let run = self.runs.get_mut(&key).expect("a run is stopped");
                    assert!(!run.is_stopped, "{key} is stopped twice");
                    run.is_stopped = true;
                }
                Effect::Over(..) | Effect::Dropped(_) | Effect::Speak | Effect::Numbers => {}
            }
        }
    }

    /// The master gives job `job` to the worker, whatever it thinks of its slots.
    fn grant(&mut self, job: i64) {
        let lease = self.leases.entry(job).or_insert(Lease {
            epoch: 0,
            is_held: false,
            has_permit: false,
        });
        if !lease.is_held {
            *lease = Lease {
                epoch: lease.epoch + 1,
                is_held: true,
                has_permit: false,
            };
        }
    }

    /// A person cancels, or the lease runs out.
    fn cancel(&mut self, job: i64) {
        if let Some(lease) = self.leases.get_mut(&job) {
            lease.is_held = false;
        }
    }

    /// A report reaches the master, and its reply goes into the mail.
    fn report(&mut self) {
        let reports = self.tasks.reports();
        let mut reply = Reply::default();
        let mut named = BTreeSet::new();
        for report in &reports {
            let job = report.task.job.0;
            let key = key(job, report.epoch.0);
            let lease = self.leases.get_mut(&job).expect("was granted once");
            let holds = lease.is_held && lease.epoch == key.epoch.0;
            if holds {
                named.insert(job);
            }
            let kind = match &report.phase {
                Phase::Ended { .. } => {
                    if holds {
                        lease.is_held = false;
                    }
                    OrderKind::Forget
                }
                _ if !holds => OrderKind::Revoke,
                Phase::Asking { .. } => OrderKind::Proceed,
                Phase::Staged { .. } => {
                    lease.has_permit = true;
                    OrderKind::Commit
                }
                _ => OrderKind::Continue,
            };
            reply.orders.push((key, kind));
        }
        let held = self.leases.iter().filter(|(_, lease)| lease.is_held);
        let missing = held.filter(|(job, _)| !named.contains(job));
        reply.grants = missing.map(|(job, l)| key(*job, l.epoch)).collect();
        self.mail.push(reply);
    }

    fn deliver(&mut self, index: usize) {
        let Some(reply) = self.mail.get(index) else {
            return;
        };
        let (orders, grants) = (reply.orders.clone(), reply.grants.clone());
        for (key, kind) in orders {
            self.apply(order(key, kind));
        }
        for key in grants {
            self.apply(Event::Granted(grant(key)));
        }
    }

    /// A run goes a step on, as a child process would.
    fn step(&mut self, index: usize, fails: bool) {
        let count = self.runs.len().max(1);
        let Some((&key, run)) = self.runs.iter_mut().nth(index % count) else {
            return;
        };
        let has_commit = run.told.contains(&Answer::Commit);
        let end = if run.is_stopped && !has_commit {
            Some(RunEnd::Stopped)
        } else if has_commit {
            Some(RunEnd::Ended(replaced(key)))
        } else if fails {
            let reason = Reason {
                kind: "crashed".to_owned(),
                message: String::new(),
            };
            let failure = crate::job::Failure {
                reason,
                retryable: true,
                crashed: true,
            };
            Some(RunEnd::Ended(TaskEnd::Failed { failure }))
        } else {
            None
        };
        if let Some(end) = end {
            self.runs.remove(&key);
            if let RunEnd::Ended(end) = &end {
                self.ended.insert(key, end.clone());
            }
            return self.apply(Event::Ended(key, end));
        }
        let asked = run.told.contains(&Answer::Proceed);
        let phase = match run.phase {
            0 => asking(),
            1 if !asked => return,
            1 => Phase::Encoding,
            2 => staged(),
            _ => return,
        };
        run.phase += 1;
        self.apply(Event::Moved(key, phase));
    }

    /// An end is in every report until the master knows.
    fn check(&self) {
        let mut seen = BTreeSet::new();
        for report in self.tasks.reports() {
            let key = key(report.task.job.0, report.epoch.0);
            assert!(seen.insert(key));
            if let Phase::Ended { end } = report.phase
                && let Some(known) = self.ended.get(&key)
            {
                // A late grant of what is done with is handed back: harmless, since the
                // master knows the real end by then.
                let lease = &self.leases[&key.task.job.0];
                let is_known = !lease.is_held || lease.epoch > key.epoch.0;
                let is_late = end == TaskEnd::HandedBack && is_known;
                assert!(
                    is_late || end == *known,
                    "{key} ended as {known:?}, not {end:?}"
                );
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Move {
    Grant(i64),
    Cancel(i64),
    Report,
    Deliver { index: usize, keep: bool },
    Lose(usize),
    Step { index: usize, fails: bool },
    Takes { slots: usize, new_work: bool },
    Abort,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        4 => (0_i64..4).prop_map(Move::Grant),
        1 => (0_i64..4).prop_map(Move::Cancel),
        8 => Just(Move::Report),
        8 => (0_usize..6, any::<bool>()).prop_map(|(index, keep)| Move::Deliver { index, keep }),
        2 => (0_usize..6).prop_map(Move::Lose),
        12 => (0_usize..4, prop::bool::weighted(0.05))
            .prop_map(|(index, fails)| Move::Step { index, fails }),
        1 => (0_usize..4, any::<bool>()).prop_map(|(slots, new_work)| Move::Takes { slots, new_work }),
        1 => Just(Move::Abort),
    ];
    prop::collection::vec(one, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_becomes_of_the_messages_each_task_runs_once_and_its_end_arrives(moves in moves()) {
        let mut world = World::new();
        for one in moves {
            match one {
                Move::Grant(job) => world.grant(job),
                Move::Cancel(job) => world.cancel(job),
                Move::Report => world.report(),
                Move::Deliver { index, keep } => {
                    world.deliver(index);
                    if !keep && index < world.mail.len() {
                        world.mail.remove(index);
                    }
                }
                Move::Lose(index) => {
                    if index < world.mail.len() {
                        world.mail.remove(index);
                    }
                }
                Move::Step { index, fails } => world.step(index, fails),
                Move::Takes { slots, new_work } => {
                    world.slots = slots;
                    world.most_slots = world.most_slots.max(slots);
                    world.apply(Event::Takes { slots, new_work });
                }
                Move::Abort => world.apply(Event::Abort),
            }
            world.check();
        }
        // The network is well again, and nobody gives new work: all comes to its end.
        world.mail.clear();
        let (slots, new_work) = (2, true);
        world.most_slots = world.most_slots.max(slots);
        world.apply(Event::Takes { slots, new_work });
        for _ in 0..40 {
            world.report();
            world.deliver(0);
            world.mail.clear();
            for index in 0..world.runs.len() {
                world.step(index, false);
            }
            world.check();
        }
        prop_assert!(world.runs.is_empty(), "runs are left");
        prop_assert!(world.tasks.is_empty(), "ends are left: {:?}", world.tasks.reports());
        prop_assert!(world.leases.values().all(|lease| !lease.is_held), "leases are left");
    }
}
