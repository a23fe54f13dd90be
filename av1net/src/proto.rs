//! What master and worker say to each other: one verb, `sync`. The worker says what it
//! runs, the master answers what it should run and when to speak next. The same
//! messages go over WebSocket and over POST, each may arrive twice or late, and
//! reconnecting is just another report.
//!
//! ```text
//! worker                                            master
//! report {tasks: []}                      ->
//!                                         <-        grants [{7.0, epoch 3, ...}]
//! report {7.0/3 encoding, 812 frames}     ->
//!                                         <-        orders [continue 7.0/3]
//! report {7.0/3 staged}                   ->        (staged, then permit: durable)
//!                                         <-        orders [commit 7.0/3]
//! report {7.0/3 ended: replaced ...}      ->        (completed: durable)
//!                                         <-        orders [forget 7.0/3]
//! ```
//!
//! A grant or an order that is lost is repeated with the next reply, an end with every
//! report until it is to be forgotten. Fields that one side does not know it ignores;
//! a new meaning gets a new protocol number.

use serde::{Deserialize, Serialize};

use crate::job::{Committed, Failure, Reason, StagedFile};
use crate::units::{Epoch, JobId, RelPath, RootId, SessionId, TaskId, WorkerId};

/// The protocol spoken here.
pub const PROTOCOL: u32 = 1;
/// The oldest one that is understood.
pub const OLDEST_PROTOCOL: u32 = 1;

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// The newest protocol that it speaks.
    pub protocol: u32,
    /// Who it is.
    pub worker: WorkerId,
    /// Which life of it.
    pub session: SessionId,
    /// Counts its reports; the master drops those that come after a later one.
    pub sequence: u64,
    /// Its name for people; its host's unless told.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// The video encoder with its version; `None` where it has none and can do nothing.
    #[serde(default)]
    pub encoder: Option<String>,
    /// What a person should know of it (an encoder that is broken, a clock that is off).
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Encodes that it runs at once.
    pub slots: u32,
    /// What it is up to.
    pub mode: WorkerMode,
    /// How busy its machine is.
    pub load: Load,
    /// The master's roots that it reaches under its own paths; asked anew when the
    /// master names others.
    #[serde(default)]
    pub mounted: Vec<RootId>,
    /// Whether it takes films over HTTP where it does not reach a root.
    #[serde(default)]
    pub ships: bool,
    /// Everything that it runs, or has ended and was not yet told to forget.
    #[serde(default)]
    pub tasks: Vec<TaskReport>,
}

/// What a worker is up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerMode {
    /// Takes work.
    #[default]
    Running,
    /// Finishes what it runs, takes no more, and ends.
    Draining,
    /// Takes no work until it is told to go on.
    Paused,
    /// Takes no work before its hours begin.
    OutsideHours,
}

/// How busy a machine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    /// All processors together, 0 to 100.
    pub cpu_percent: f32,
    /// Processors.
    pub cpus: u32,
    /// Memory in use, in bytes.
    pub memory_used_bytes: u64,
    /// Memory in all, in bytes.
    pub memory_total_bytes: u64,
    /// Free space where temporary files go, in bytes.
    pub temp_free_bytes: u64,
}

/// One task as its worker sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The task.
    pub task: TaskId,
    /// The epoch of its grant.
    pub epoch: Epoch,
    /// How far it is.
    pub phase: Phase,
    /// Numbers, while there are some.
    #[serde(default)]
    pub progress: Option<TaskProgress>,
}

/// How far a task is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// Its process starts, or its source is being fetched.
    Starting,
    /// It has looked at the content and asks whether it was decided before. It waits for
    /// [`OrderKind::Proceed`] or [`OrderKind::Decided`].
    Asking {
        /// [`av1core::DecisionKey`] as text.
        key: String,
    },
    /// Samples are encoded.
    Sampling,
    /// The film is encoded.
    Encoding,
    /// The output is read back.
    Verifying,
    /// The output is verified and lies beside the source, or has been handed to the
    /// master whole; it waits for [`OrderKind::Commit`].
    Staged {
        /// The file.
        staged: StagedFile,
    },
    /// It has its permit and replaces.
    Committing,
    /// The verified output is on its way to the master, over HTTP.
    Delivering {
        /// Bytes that the master has.
        sent_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// It is over. Said again until the master says [`OrderKind::Forget`].
    Ended {
        /// How.
        end: TaskEnd,
    },
}

/// How a task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum TaskEnd {
    /// The output is in the source's place.
    Replaced {
        /// What came of it.
        committed: Committed,
    },
    /// The master has the output and does the rest.
    Delivered,
    /// The source is to be left alone.
    LeftAlone {
        /// Why.
        reason: Reason,
        /// What the master remembers it by, where that holds for the content and not
        /// for the moment.
        #[serde(default)]
        key: Option<String>,
    },
    /// It failed; the source is as it was.
    Failed {
        /// How.
        failure: Failure,
    },
    /// It was given back: the worker drains, or was told to let go.
    HandedBack,
}

/// Numbers of a running task, from [`av1core::Progress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskProgress {
    /// Video frames in the output.
    pub frames_done: u64,
    /// Video frames given to the encoder.
    pub frames_in: u64,
    /// Video frames in all; `None` where nothing says.
    pub frames_total: Option<u64>,
    /// Whether `frames_total` is known and no estimate.
    pub frames_exact: bool,
    /// Frames per second over the last few seconds.
    pub fps: f64,
    /// Film time by wall-clock time over the last few seconds.
    pub speed: f64,
    /// Bytes of the output so far.
    pub bytes_written: u64,
    /// What it will weigh, if the rest is like the part done.
    pub projected_bytes: Option<u64>,
    /// Milliseconds left.
    pub eta_ms: Option<u64>,
    /// Milliseconds since the task began.
    pub elapsed_ms: u64,
}

/// What the master answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterReply {
    /// The protocol that both speak.
    pub protocol: u32,
    /// Speak again after so many milliseconds, or as soon as something happens.
    pub next_sync_ms: u64,
    /// For each task of the report, what to do with it.
    #[serde(default)]
    pub orders: Vec<Order>,
    /// New work, and work granted before that the report does not name.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// The media directories, for the worker to look for.
    #[serde(default)]
    pub roots: Vec<RootInfo>,
    /// What was set for this worker from the master.
    #[serde(default)]
    pub settings: WorkerSettings,
}

/// What to do with a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The task.
    pub task: TaskId,
    /// The epoch of its grant.
    pub epoch: Epoch,
    /// What.
    #[serde(flatten)]
    pub kind: OrderKind,
}

/// What to do with a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum OrderKind {
    /// Go on.
    Continue,
    /// Nothing was decided for that content: encode it.
    Proceed,
    /// This was decided for that content before: leave it alone.
    Decided {
        /// Why.
        reason: Reason,
    },
    /// Put the output in the source's place.
    Commit,
    /// The lease is gone, or a person cancelled: stop within ten seconds, remove what is
    /// yours, touch the source no more, and forget the task.
    Revoke,
    /// Its end is known: speak of it no more.
    Forget,
}

/// A task given to a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grant {
    /// The task.
    pub task: TaskId,
    /// What to speak of it with.
    pub epoch: Epoch,
    /// The media directory.
    pub root: RootId,
    /// The file below it.
    pub path: RelPath,
    /// Its size in bytes, as the scan found it.
    pub bytes: u64,
    /// Fetch the source over HTTP and return the output, rather than work in place.
    pub ship: bool,
    /// What is wanted of the encode.
    pub work: WorkSettings,
}

/// What is wanted of every encode, by the master's configuration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkSettings {
    /// The engine's options.
    pub options: av1core::Options,
    /// Testing mode: the source is kept as `NAME.bak`.
    pub testing_mode: bool,
    /// Files with several names lose this one's link rather than being left alone.
    pub break_hard_links: bool,
    /// Smaller files are left alone, in bytes; `None`: the engine's default.
    pub min_bytes: Option<u64>,
    /// Shorter films are left alone, in seconds; `None`: the engine's default.
    pub min_duration_s: Option<u32>,
    /// Thinner videos are left alone, in thousandths of a bit for each pixel; `None`:
    /// the engine's default.
    pub min_millibits_per_pixel: Option<u64>,
    /// Patterns of paths that are left alone.
    pub exclude: Vec<String>,
    /// Films from this length on are predicted first, in seconds; `None`: the engine's
    /// default.
    pub predict_from_s: Option<u32>,
    /// A file has to be unchanged for so long, in seconds; `None`: the engine's default.
    pub settle_s: Option<u32>,
}

/// A media directory of the master's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootInfo {
    /// The text in its marker file.
    pub id: RootId,
    /// Where the master has it: what a worker's `path_map` starts from.
    pub path: String,
}

/// What can be set for one worker from the master, live. `None` leaves the worker's own
/// configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerSettings {
    /// Takes no work.
    pub paused: bool,
    /// Finishes what it runs and ends.
    pub draining: bool,
    /// Encodes at once.
    pub slots: Option<u32>,
    /// Threads of each encode, from the next one on.
    pub threads: Option<u32>,
    /// Niceness of the encodes, 0 to 19; also of those that run.
    pub niceness: Option<u8>,
    /// Hours in which encodes may begin, by the worker's own clock on the wall, as in its
    /// configuration; none: always.
    pub schedule: Option<Vec<String>>,
}

/// An error as JSON, of every endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// Its name, such as `stale_epoch`, `unauthorized`, `too_large`.
    pub kind: String,
    /// One line for people.
    pub message: String,
    /// What lies behind it, outermost first.
    #[serde(default)]
    pub chain: Vec<String>,
}

/// Where a worker fetches a source and leaves an output, below the master's address.
#[must_use]
pub fn film_path(job: JobId, epoch: Epoch, part: &str) -> String {
    format!("/api/v1/films/{job}/{epoch}/{part}")
}

#[cfg(test)]
mod tests;
