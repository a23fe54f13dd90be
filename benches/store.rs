//! The job store at its promised size.
//!
//! ```text
//! cargo bench -p av1net --bench store -- [--jobs 1000000] [--directory DIR]
//!     [--pages 40] [--completions 100000]
//! ```
//!
//! Fills a SQLite store with as many jobs as told (a million), as a scan does, opens it
//! again, reads pages of the list in every order under every kind of filter, and claims
//! and completes jobs for 64 callers at once, as their workers would. It prints what the
//! design promises beside what it found, and asserts nothing. The directory, by default
//! one of its own below the working directory, has to be on a real disk: what a commit
//! waits for is the disk. It measures only when asked to with `--bench`, as `cargo bench`
//! does.

#![expect(clippy::print_stdout, reason = "the figures are what it is for")]
#![expect(
    clippy::disallowed_methods,
    reason = "it measures time that passes, which is no moment that anything depends on"
)]

use std::collections::VecDeque;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use av1net::job::{Committed, FileId, JobEvent, JobState, Reason, StagedFile};
use av1net::store::{
    Done, Filter, Handle, Op, PageQuery, RootRecord, ScanChange, SortBy, SqliteStore, Store,
    StorePolicy,
};
use av1net::units::{JobId, RelPath, RootId, WorkerId};

type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Callers that claim and complete at once.
const CALLERS: usize = 64;

/// Changes in one op of a scan.
const PIECE: usize = 1000;

/// Such ops that wait for the store at once.
const PIECES: usize = 32;

const ROOTS: [&str; 2] = ["films", "series"];

struct Args {
    jobs: usize,
    directory: Option<PathBuf>,
    pages: usize,
    completions: usize,
}

fn main() -> ExitCode {
    if !std::env::args().any(|arg| arg == "--bench") {
        return ExitCode::SUCCESS;
    }
    match args().and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn args() -> Result<Args> {
    let mut args = Args {
        jobs: 1_000_000,
        directory: None,
        pages: 40,
        completions: 100_000,
    };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        match word.as_str() {
            "--jobs" => args.jobs = value()?.parse()?,
            "--directory" => args.directory = Some(value()?.into()),
            "--pages" => args.pages = value()?.parse()?,
            "--completions" => args.completions = value()?.parse()?,
            _ => {
                return Err(format!(
                    "{word} is none of --jobs, --directory, --pages, --completions"
                )
                .into());
            }
        }
    }
    Ok(args)
}

fn run(args: &Args) -> Result<()> {
    let temporary = match &args.directory {
        Some(_) => None,
        None => Some(tempfile::tempdir_in(".")?),
    };
    let directory = match (&args.directory, &temporary) {
        (Some(directory), _) => directory.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => return Err("no directory".into()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    println!("{} jobs\n", args.jobs);
    println!("| what | found | promised |");
    println!("|---|---|---|");
    runtime.block_on(fill(&directory, args.jobs))?;
    open(&directory)?;
    runtime.block_on(work(&directory, args.completions))?;
    mix(&directory, args.jobs)?;
    open(&directory)?;
    pages(&directory, args.pages)?;
    memory()
}

fn row(what: &str, found: &str, promised: &str) {
    println!("| {what} | {found} | {promised} |");
}

/// Time by the clock, and time on a processor by all threads: on a busy machine the
/// second one tells more.
struct Watch {
    began: Instant,
    processor: Duration,
}

impl Watch {
    fn start() -> Result<Self> {
        Ok(Self {
            began: Instant::now(),
            processor: processor_time()?,
        })
    }

    fn read(&self) -> Result<String> {
        let processor = processor_time()? - self.processor;
        Ok(format!(
            "{}, {} of a processor",
            seconds(self.began.elapsed()),
            seconds(processor)
        ))
    }
}

/// Of this process, in hundredths of a second, which is what Linux counts it in (proc(5),
/// utime and stime; `getconf CLK_TCK` is 100 wherever Linux runs).
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("a name in brackets")?;
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// Of this thread (proc(5), schedstat: nanoseconds on a processor come first).
fn thread_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = stat.split_ascii_whitespace().next().ok_or("a number")?;
    Ok(Duration::from_nanos(first.parse()?))
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn handle(directory: &Path) -> Result<Handle> {
    Ok(Handle::new(SqliteStore::open(
        directory,
        StorePolicy::default(),
    )?)?)
}

/// A million files as a scan finds them: in the order of their paths, a piece at a time,
/// more of them made while others are written.
async fn fill(directory: &Path, jobs: usize) -> Result<()> {
    let store = handle(directory)?;
    for name in ROOTS {
        let root = RootRecord {
            id: RootId(name.to_owned()),
            path: format!("/media/{name}"),
            scanned: None,
        };
        store.write(Op::PutRoot(root)).await??;
    }
    let watch = Watch::start()?;
    let mut under_way: VecDeque<tokio::task::JoinHandle<Result<()>>> = VecDeque::new();
    for of in ROOTS {
        for piece in (0..jobs / ROOTS.len()).step_by(PIECE) {
            let numbers = piece..(piece + PIECE).min(jobs / ROOTS.len());
            let op = Op::Scan {
                root: RootId(of.to_owned()),
                changes: numbers.map(new_file).collect::<Result<_>>()?,
                now: av1net::clock::now(),
            };
            if under_way.len() == PIECES
                && let Some(first) = under_way.pop_front()
            {
                first.await??;
            }
            let store = store.clone();
            under_way.push_back(tokio::spawn(async move {
                store.write(op).await??;
                Ok(())
            }));
        }
    }
    for piece in under_way {
        piece.await??;
    }
    row(
        "a first scan's writes",
        &watch.read()?,
        "12 s of the scan's 30 s",
    );
    store.close().await;
    let bytes = std::fs::metadata(directory.join("jobs.sqlite3"))?.len();
    row("size of the file", &format!("{} MB", bytes / 1_000_000), "");
    Ok(())
}

fn new_file(n: usize) -> Result<ScanChange> {
    let (show, season, episode) = (n / 200, n / 20 % 10, n % 20);
    let name = format!(
        "Show {show:05}/Season {season:02}/Show {show:05} - S{season:02}E{episode:02} - Title.mkv"
    );
    Ok(ScanChange::New {
        path: RelPath::new(Path::new(&name)).ok_or("a path")?,
        file: FileId {
            // As good as random: what is large is found anywhere.
            bytes: (n as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 31,
            modified_ns: n as i64,
            inode: n as u64,
        },
        leave_alone: None,
    })
}

fn open(directory: &Path) -> Result<()> {
    let watch = Watch::start()?;
    let store = SqliteStore::open(directory, StorePolicy::default())?;
    let counters = store.counters()?;
    let active = store.active()?.len();
    let due = store.next_due()?;
    row(
        &format!(
            "ready ({} files, {active} active, due {due:?})",
            counters.files()
        ),
        &watch.read()?,
        "2 s",
    );
    store.wait_for_upkeep();
    row("check and backup behind it", &watch.read()?, "");
    Ok(())
}

/// Claims and completes, each durable before its caller goes on.
async fn work(directory: &Path, completions: usize) -> Result<()> {
    let store = handle(directory)?;
    let left = Arc::new(AtomicUsize::new(completions));
    let watch = Watch::start()?;
    let callers = (0..CALLERS).map(|n| {
        let (store, left) = (store.clone(), Arc::clone(&left));
        let worker = WorkerId(format!("worker-{n}"));
        tokio::spawn(async move {
            let mut slowest = Duration::ZERO;
            let one = |left| usize::checked_sub(left, 1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one)
                .is_ok()
            {
                let began = Instant::now();
                claim_and_complete(&store, &worker).await?;
                slowest = slowest.max(began.elapsed());
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(slowest)
        })
    });
    let mut slowest = Duration::ZERO;
    for caller in callers.collect::<Vec<_>>() {
        slowest = slowest.max(caller.await??);
    }
    let rate = completions as f64 / watch.began.elapsed().as_secs_f64();
    row(
        &format!("claimed and completed, {CALLERS} callers"),
        &format!("{rate:.0}/s: {}", watch.read()?),
        "5000/s",
    );
    row("the slowest of them", &seconds(slowest), "");
    store.close().await;
    Ok(())
}

async fn claim_and_complete(store: &Handle, worker: &WorkerId) -> Result<()> {
    let claim = Op::Claim {
        worker: worker.clone(),
        roots: ROOTS
            .iter()
            .map(|root| RootId((*root).to_owned()))
            .collect(),
        limit: 1,
        now: av1net::clock::now(),
    };
    let Done::Jobs(jobs) = store.write(claim).await?? else {
        return Err("a claim gives jobs".into());
    };
    for job in jobs {
        let bytes = job.file.bytes / 2;
        let committed = Committed {
            path: job.path.clone(),
            file: FileId { bytes, ..job.file },
            source_bytes: job.file.bytes,
            frames: 1000,
            elapsed_ms: 1000,
            encoder: "SVT-AV1 3.0.0".to_owned(),
            warnings: Vec::new(),
        };
        let staged = StagedFile {
            token: "0123456789abcdef".to_owned(),
            bytes,
        };
        let complete = Op::Apply {
            job: job.id,
            epoch: Some(job.epoch),
            events: vec![
                JobEvent::Staged { staged },
                JobEvent::Permit,
                JobEvent::Committed { committed },
            ],
            now: av1net::clock::now(),
        };
        store.write(complete).await??;
    }
    Ok(())
}

/// Other states, so that lists have something to merge: a tenth is left alone, a
/// hundredth is cancelled, and a few are at work.
fn mix(directory: &Path, jobs: usize) -> Result<()> {
    let store = SqliteStore::open(directory, StorePolicy::default())?;
    let now = av1net::clock::now();
    let apply = |job, event| Op::Apply {
        job,
        epoch: None,
        events: vec![event],
        now,
    };
    let ids: Vec<JobId> = (1..jobs as i64).map(JobId).collect();
    for piece in ids.chunks(20_000) {
        let mut ops = Vec::new();
        for id in piece {
            match id.0 % 100 {
                0..10 => ops.push(apply(*id, JobEvent::Skip)),
                10 => ops.push(apply(*id, JobEvent::Cancel)),
                _ => {}
            }
        }
        store.write(&ops)?;
    }
    let claim = Op::Claim {
        worker: WorkerId("worker-1".to_owned()),
        roots: ROOTS
            .iter()
            .map(|root| RootId((*root).to_owned()))
            .collect(),
        limit: 500,
        now,
    };
    for result in store.write(&[claim])? {
        let Ok(Done::Jobs(jobs)) = result else {
            continue;
        };
        let leave = |job: &av1net::job::Job| {
            let reason = Reason {
                kind: "not_worthwhile".to_owned(),
                message: "it would save 2 %".to_owned(),
            };
            apply(job.id, JobEvent::LeaveAlone { reason })
        };
        let ops: Vec<Op> = jobs.iter().take(200).map(leave).collect();
        store.write(&ops)?;
    }
    Ok(())
}

/// The first pages, and pages from somewhere in the midst, of each list.
fn pages(directory: &Path, pages: usize) -> Result<()> {
    let store = SqliteStore::open(directory, StorePolicy::default())?;
    store.wait_for_upkeep();
    let any = Filter::default();
    let state = |states: &[JobState]| Filter {
        states: states.to_vec(),
        ..Filter::default()
    };
    let search = |text: &str| Filter {
        search: Some(text.to_owned()),
        ..Filter::default()
    };
    let filters = [
        ("all", any),
        ("pending", state(&[JobState::Pending])),
        ("completed", state(&[JobState::Completed])),
        (
            "skipped and cancelled",
            state(&[JobState::Skipped, JobState::Cancelled]),
        ),
        ("search: in each row", search("title")),
        ("search: in every 200th row", search("show 00777")),
        ("search: in none", search("no such film")),
        (
            "reason: in few rows",
            Filter {
                reason: Some("not_worthwhile".to_owned()),
                ..Filter::default()
            },
        ),
    ];
    let sorts = [
        SortBy::Changed,
        SortBy::Path,
        SortBy::Bytes,
        SortBy::Saved,
        SortBy::Queue,
    ];
    let mut all = Vec::new();
    for (name, filter) in filters {
        let mut times = Vec::new();
        for sort in sorts {
            for descending in [false, true] {
                let mut query = PageQuery {
                    filter: filter.clone(),
                    sort,
                    descending,
                    after: None,
                    limit: 100,
                };
                for _ in 0..pages {
                    let (began, processor) = (Instant::now(), thread_time()?);
                    let page = store.page(&query)?;
                    let (elapsed, processor) = (began.elapsed(), thread_time()? - processor);
                    times.push((elapsed, processor, sort));
                    query.after = page.next;
                }
            }
        }
        percentiles(name, &times);
        all.extend(times);
    }
    percentiles("all of these", &all);
    Ok(())
}

fn percentiles(name: &str, times: &[(Duration, Duration, SortBy)]) {
    let say = |mut times: Vec<(Duration, SortBy)>| {
        times.sort_by_key(|(time, _)| *time);
        let at = |share: f64| {
            let place = ((times.len() - 1) as f64 * share) as usize;
            times
                .get(place)
                .map_or(0.0, |(time, _)| time.as_secs_f64() * 1000.0)
        };
        let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
        let slowest = times.last().map_or(SortBy::Changed, |(_, sort)| *sort);
        format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms by {slowest:?}")
    };
    let elapsed = say(times.iter().map(|(time, _, sort)| (*time, *sort)).collect());
    let processor = say(times.iter().map(|(_, time, sort)| (*time, *sort)).collect());
    let found = format!("{elapsed}; of a processor: {processor}");
    row(&format!("pages of 100, {name}"), &found, "p99 20 ms");
}

fn memory() -> Result<()> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    row(
        "memory at its peak",
        peak.unwrap_or("?").trim_start_matches("VmHWM:").trim(),
        "",
    );
    Ok(())
}
