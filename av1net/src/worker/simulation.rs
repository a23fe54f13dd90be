//! Three workers and a master in a network that delays, holds back, cuts and repeats, and
//! in which each of them dies now and then: hours of it within seconds, from a seed, in
//! orders that real processes never come to.
//!
//! The network and the clock are simulated (turmoil). The master's core, the workers'
//! link, pace and task states are the real ones, and so is the folder: an output is
//! staged under its dot name and takes the film's place by a rename, and the master takes
//! that right away as it does anywhere ([`av1core::revoke`]). The encode is a wait.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use av1core::{CancelToken, Destination};
use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use turmoil::net::{TcpListener, TcpStream};

use super::link::{Link, LinkEvent, Local, Transport};
use super::pace::{Due, Pace};
use super::process::Told;
use super::session::at;
use super::tasks::{Answer, Effect, Event, Key, RunEnd, Tasks};
use crate::config::Sources;
use crate::job::{Committed, Failure, FileId, JobState, Reason, RetryPolicy, StagedFile};
use crate::master::Core;
use crate::proto::{
    ErrorBody, Grant, Load, MasterReply, PROTOCOL, Phase, TaskEnd, WorkerMode, WorkerReport,
};
use crate::store::{Counters, Handle, MemoryStore, StorePolicy};
use crate::units::{Epoch, RelPath, RootId, SessionId, WorkerId};

const MASTER: &str = "master";
const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];
const PORT: u16 = 8090;
const FILMS: usize = 8;

/// Trouble lasts so long, and then all of it is over.
const TROUBLE: Duration = Duration::from_secs(40 * 60);
/// From then on everything comes to its end within this.
const CALM: Duration = Duration::from_secs(60 * 60);

/// What happens in one of these takes no time.
const TICK: Duration = Duration::from_millis(100);

/// splitmix64 (Steele, Lea, Flood 2014), from many threads.
#[derive(Debug)]
struct Random(AtomicU64);

impl Random {
    fn below(&self, limit: u64) -> u64 {
        let step = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(step, Ordering::Relaxed).wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % limit
    }

    fn seconds(&self, from: u64, to: u64) -> Duration {
        Duration::from_millis(1000 * from + self.below(1000 * (to - from)))
    }
}

/// What everybody shares, and nobody loses who dies.
struct World {
    folder: TempDir,
    store: Handle,
    random: Random,
    /// Whose output took a film's place, in order.
    replaced: Mutex<BTreeMap<RelPath, Vec<Epoch>>>,
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        let policy = StorePolicy {
            retry: RetryPolicy {
                // Trouble is no reason to give a film up here.
                max_attempts: 10_000,
                first_wait_ms: 1000,
                longest_wait_ms: 30_000,
            },
            ..StorePolicy::default()
        };
        let world = Self {
            folder: tempfile::tempdir().expect("a folder"),
            store: Handle::new(MemoryStore::new(policy)).expect("a thread"),
            random: Random(AtomicU64::new(seed)),
            replaced: Mutex::default(),
        };
        fs::create_dir(world.films()).expect("a folder");
        for n in 0..FILMS {
            let film = vec![n as u8; 1_000_000 + n];
            fs::write(world.films().join(format!("{n}.mkv")), film).expect("a film");
        }
        Arc::new(world)
    }

    fn films(&self) -> PathBuf {
        self.folder.path().join("films")
    }

    async fn counters(&self) -> Counters {
        let counters = self.store.read(|store| store.counters()).await;
        counters.expect("reads")
    }
}

/// An output of ours, by whose size and tags the master knows a replacement again.
fn output() -> &'static [u8] {
    static OUTPUT: OnceLock<Vec<u8>> = OnceLock::new();
    OUTPUT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("output.mkv");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/media");
        let source = source.join("huge-start-time.ts");
        let destination = Destination::new(&path);
        let mut options = av1core::Options::default();
        options.preset = av1core::Preset::new(12).ok();
        let cancel = CancelToken::new();
        av1core::transcode(source, &destination, &options, &cancel, |_| {}).expect("encoded");
        fs::read(path).expect("an output")
    })
}

// --- The master ------------------------------------------------------------------------

async fn master(world: Arc<World>) -> turmoil::Result {
    let state = world.folder.path().join("state");
    let sources = Sources::within(state.clone(), None, []);
    let core = Core::on(world.store.clone(), sources, &state, &world.films()).await;
    if world.counters().await.files() == 0 {
        core.find_films(&world.films()).await;
    }
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(core.clone(), stream));
    }
}

/// One report, one reply. Who does not listen any more is not answered.
async fn answer(core: Core, stream: TcpStream) -> Option<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read).read_line(&mut line).await.ok()?;
    let report = serde_json::from_str(&line).ok()?;
    let reply = core.sync(report).await.map_err(|error| error.body);
    let reply = serde_json::to_vec(&reply).expect("JSON");
    write.write_all(&reply).await.ok()?;
    write.shutdown().await.ok()
}

// --- A worker --------------------------------------------------------------------------

/// Asks once, and now and then a second time, later, when the answer is nobody's.
async fn ask(world: Arc<World>, report: WorkerReport) -> Result<MasterReply, ErrorBody> {
    if world.random.below(5) == 0 {
        let (again, wait) = (report.clone(), world.random.seconds(0, 60));
        tokio::spawn(async move {
            sleep(wait).await;
            post(&again).await
        });
    }
    post(&report).await.unwrap_or_else(|error| {
        Err(ErrorBody {
            kind: "lost".to_owned(),
            message: error.to_string(),
            chain: Vec::new(),
        })
    })
}

async fn post(report: &WorkerReport) -> std::io::Result<Result<MasterReply, ErrorBody>> {
    let mut stream = TcpStream::connect((MASTER, PORT)).await?;
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    Ok(serde_json::from_slice(&reply)?)
}

/// A worker's loop, as the session's is, with waits in place of encodes.
struct Worker {
    world: Arc<World>,
    id: WorkerId,
    session: SessionId,
    sequence: u64,
    tasks: Tasks,
    pace: Pace,
    runs: HashMap<Key, mpsc::UnboundedSender<Told>>,
    tell: mpsc::UnboundedSender<Event>,
    mounted: Vec<RootId>,
}

async fn worker(world: Arc<World>, name: &'static str) -> turmoil::Result {
    let id = WorkerId(name.to_owned());
    let asked = world.clone();
    let local = Local::new(
        move |report| ask(asked.clone(), report).boxed(),
        // A master at the other end of a network pokes nobody who posts.
        |_| None,
    );
    let mut link = Link::start(Transport::Local(local), &id);
    let (tell, mut events) = mpsc::unbounded_channel();
    let mut worker = Worker {
        session: SessionId(format!("{:x}", world.random.below(u64::MAX))),
        world,
        id,
        sequence: 0,
        tasks: Tasks::new(2),
        pace: Pace::new(Instant::now()),
        runs: HashMap::new(),
        tell,
        mounted: Vec::new(),
    };
    loop {
        let due = worker.pace.due(Instant::now());
        if due == Due::Now && link.reports.try_send(worker.report()).is_ok() {
            worker.sequence += 1;
            worker.pace.spoke(Instant::now());
        }
        let due = match worker.pace.due(Instant::now()) {
            Due::At(moment) => Some(moment),
            Due::Now | Due::Later => None,
        };
        tokio::select! {
            event = link.events.recv() => worker.heard(event.expect("a link")),
            event = events.recv() => worker.apply(event.expect("its own end")),
            () = at(due) => {}
        }
    }
}

impl Worker {
    fn heard(&mut self, event: LinkEvent) {
        match event {
            LinkEvent::Up(_) => self.pace.up(true),
            LinkEvent::Poked => self.pace.urgent(),
            LinkEvent::Down(_) => self.pace.down(),
            LinkEvent::Reply(reply) => {
                self.pace.heard(Instant::now(), reply.next_sync_ms);
                let roots = reply.roots.into_iter().map(|root| root.id).collect();
                if std::mem::replace(&mut self.mounted, roots) != self.mounted {
                    self.pace.urgent();
                }
                for order in reply.orders {
                    self.apply(Event::Ordered(order));
                }
                for grant in reply.grants {
                    self.apply(Event::Granted(Box::new(grant)));
                }
            }
        }
    }

    fn apply(&mut self, event: Event) {
        for effect in self.tasks.apply(event) {
            match effect {
                Effect::Start(grant) => {
                    let (told, orders) = mpsc::unbounded_channel();
                    let key = Key::from(&*grant);
                    self.runs.insert(key, told);
                    let (world, tell) = (self.world.clone(), self.tell.clone());
                    tokio::spawn(async move {
                        let end = run(&world, &grant, &tell, orders).await;
                        let _ = tell.send(Event::Ended(key, end));
                    });
                }
                Effect::Tell(key, answer) => self.say(key, Told::Answer(answer)),
                Effect::Stop(key) => self.say(key, Told::Stop),
                Effect::Over(grant, _) | Effect::Dropped(grant) => {
                    self.runs.remove(&Key::from(&*grant));
                }
                Effect::Speak => self.pace.urgent(),
                Effect::Numbers => self.pace.numbers(),
            }
        }
    }

    fn say(&self, key: Key, told: Told) {
        // It may have ended at this moment.
        let _ = self.runs.get(&key).map(|run| run.send(told));
    }

    fn report(&self) -> WorkerReport {
        WorkerReport {
            protocol: PROTOCOL,
            worker: self.id.clone(),
            session: self.session.clone(),
            sequence: self.sequence,
            name: self.id.0.clone(),
            version: "0".to_owned(),
            encoder: Some("a wait".to_owned()),
            warnings: Vec::new(),
            slots: 2,
            mode: WorkerMode::Running,
            load: Load::default(),
            mounted: self.mounted.clone(),
            ships: false,
            tasks: self.tasks.reports(),
        }
    }
}

/// One task, from its grant to its end.
async fn run(
    world: &World,
    grant: &Grant,
    tell: &mpsc::UnboundedSender<Event>,
    mut orders: mpsc::UnboundedReceiver<Told>,
) -> RunEnd {
    let key = Key::from(grant);
    let _ = tell.send(Event::Moved(key, Phase::Encoding));
    let encoded = sleep(world.random.seconds(5, 400));
    tokio::select! {
        () = encoded => {}
        _ = orders.recv() => return RunEnd::Stopped,
    }
    let token = format!("{:016x}", world.random.below(u64::MAX));
    let film = grant.path.below(&world.films());
    let name = film.file_name().and_then(|name| name.to_str());
    let staged = film.with_file_name(format!(".{}.{token}.av1part", name.expect("a name")));
    fs::write(&staged, output()).expect("staged");
    let bytes = output().len() as u64;
    let phase = Phase::Staged {
        staged: StagedFile { token, bytes },
    };
    let _ = tell.send(Event::Moved(key, phase));
    let Some(Told::Answer(Answer::Commit)) = orders.recv().await else {
        // The master may have taken it away already.
        let _ = fs::remove_file(&staged);
        return RunEnd::Stopped;
    };
    // The commit is not always at once, and its right may be gone by then.
    sleep(world.random.seconds(0, 3)).await;
    if let Err(error) = fs::rename(&staged, &film) {
        let reason = Reason {
            kind: "revoked".to_owned(),
            message: error.to_string(),
        };
        return RunEnd::Ended(TaskEnd::Failed {
            failure: Failure {
                reason,
                retryable: true,
                crashed: false,
            },
        });
    }
    let mut replaced = world.replaced.lock().expect("not poisoned");
    let epochs = replaced.entry(grant.path.clone()).or_default();
    epochs.push(grant.epoch);
    RunEnd::Ended(TaskEnd::Replaced {
        committed: Committed {
            path: grant.path.clone(),
            file: FileId {
                bytes,
                modified_ns: 1,
                inode: 1,
            },
            source_bytes: grant.bytes,
            frames: 1,
            elapsed_ms: 1,
            encoder: "a wait".to_owned(),
            warnings: Vec::new(),
        },
    })
}

// --- The trouble -----------------------------------------------------------------------

/// What goes wrong, and what ends it.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// What is on its way is lost, and so is all that follows.
    Cut(&'static str),
    /// What is on its way comes later.
    Held(&'static str),
    /// A process dies, and is started again.
    Dead(&'static str),
}

impl Trouble {
    fn any(random: &Random) -> Self {
        let worker = WORKERS[random.below(3) as usize];
        match random.below(8) {
            0..3 => Self::Cut(worker),
            3..5 => Self::Held(worker),
            5..7 => Self::Dead(worker),
            _ => Self::Dead(MASTER),
        }
    }

    fn begin(self, sim: &mut turmoil::Sim<'_>) {
        match self {
            Self::Cut(worker) => sim.partition(worker, MASTER),
            Self::Held(worker) => sim.hold(worker, MASTER),
            Self::Dead(process) => sim.crash(process),
        }
    }

    fn end(self, sim: &mut turmoil::Sim<'_>) {
        match self {
            Self::Cut(worker) => sim.repair(worker, MASTER),
            Self::Held(worker) => sim.release(worker, MASTER),
            Self::Dead(process) => sim.bounce(process),
        }
    }
}

fn simulate(seed: u64) {
    let world = World::new(seed);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(TROUBLE + CALM)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_secs(4))
        .build();
    let shared = world.clone();
    sim.host(MASTER, move || master(shared.clone()));
    for name in WORKERS {
        let shared = world.clone();
        sim.host(name, move || worker(shared.clone(), name));
    }
    let outside = tokio::runtime::Runtime::new().expect("a runtime");
    let mut under_way: Vec<(Duration, Trouble)> = Vec::new();
    let mut next = Duration::ZERO;
    let mut troubles = 0;
    loop {
        sim.step().expect("nobody ends by an error");
        // The store's writer is a real thread: time stands still until it is through.
        let written = outside.block_on(world.store.write_many(Vec::new()));
        written.expect("a store");
        let now = sim.elapsed();
        under_way.retain(|(until, trouble)| {
            let lasts = *until > now;
            if !lasts {
                trouble.end(&mut sim);
            }
            lasts
        });
        if now >= next && now < TROUBLE {
            next = now + world.random.seconds(5, 60);
            let trouble = Trouble::any(&world.random);
            let of = |one: Trouble| match one {
                Trouble::Cut(who) | Trouble::Held(who) | Trouble::Dead(who) => who,
            };
            // One trouble each at a time: a second one would be ended by the first's end.
            if under_way.iter().all(|(_, one)| of(*one) != of(trouble)) {
                trouble.begin(&mut sim);
                // A lease is lost after 120 s.
                let lasts = world.random.seconds(1, 240);
                under_way.push(((now + lasts).min(TROUBLE), trouble));
                troubles += 1;
            }
        }
        let looks = now.as_millis() % 10_000 < TICK.as_millis();
        if now > TROUBLE && looks {
            let counters = outside.block_on(world.counters());
            if counters.of(JobState::Completed) == FILMS as u64 {
                break;
            }
            assert!(now < TROUBLE + CALM - 2 * TICK, "seed {seed}: {counters:?}");
        }
    }
    assert!(troubles > 20, "seed {seed}: only {troubles} troubles");
    let replaced = world.replaced.lock().expect("not poisoned").clone();
    assert_eq!(replaced.len(), FILMS, "seed {seed}: {replaced:?}");
    for (film, epochs) in &replaced {
        assert_eq!(
            epochs.len(),
            1,
            "seed {seed}: {film} was replaced by each of {epochs:?}"
        );
        let held = fs::read(film.below(&world.films())).expect("a film");
        assert!(held == output(), "seed {seed}: {film} is something else");
    }
}

/// Seeds; `AV1_TEST_FULL` takes the last ones too.
const SEEDS: u64 = 6;
const FULL_SEEDS: u64 = 300;

#[test]
fn hours_of_trouble_replace_each_film_once_and_lose_none() {
    let full = std::env::var_os("AV1_TEST_FULL").is_some();
    for seed in 1..=if full { FULL_SEEDS } else { SEEDS } {
        simulate(seed);
    }
}
