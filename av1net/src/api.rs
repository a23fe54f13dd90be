//! The HTTP API's words, shared by the server, the command line and the page. Unknown
//! fields are to be ignored; `null` and absent mean the same.
//!
//! | method and path | who | what |
//! |---|---|---|
//! | `GET /` and assets | all | the page |
//! | `GET /healthz`, `/readyz` | all | 200 while the process lives / while the store answers |
//! | `GET /metrics` | read | Prometheus text |
//! | `GET /api/v1/openapi.json` | all | this, for machines |
//! | `POST /api/v1/login` `{token}`, `POST /api/v1/logout` | all | session cookie |
//! | `GET /api/v1/session` | all | role of the caller: [`SessionView`] |
//! | `GET /api/v1/status` | read | [`Status`] |
//! | `GET /api/v1/jobs?state=&search=&reason=&root=&sort=&desc=&after=&limit=` | read | [`JobsPage`] |
//! | `GET /api/v1/jobs/{id}` | read | [`JobDetail`] |
//! | `GET /api/v1/jobs/{id}/plan` | read | what would become of each stream, as `av1cli plan --json` |
//! | `GET /api/v1/jobs/{id}/frame?side=source\|result&at_ms=` | read | one picture, PNG, with `x-frame-at-ms` and, where known, `x-film-duration-ms` |
//! | `POST /api/v1/jobs/actions` [`JobsAction`] | admin | [`ActionResult`] |
//! | `GET /api/v1/workers` | read | `[`[`WorkerView`]`]` |
//! | `POST /api/v1/workers/{id}/settings` [`WorkerSettings`] | admin | [`WorkerView`] |
//! | `POST /api/v1/scan` [`ScanRequest`] | admin | 202 |
//! | `POST /api/v1/pause`, `/api/v1/resume` | admin | 204: all workers take no work / do |
//! | `GET /api/v1/config` | admin | [`ConfigView`] |
//! | `GET /api/v1/join` | admin | [`JoinView`] |
//! | `GET /api/v1/saved` | read | [`SavedView`] |
//! | `GET /api/v1/throughput` | read | [`ThroughputView`] |
//! | `GET /api/v1/live` (WebSocket) | read | [`LiveMessage`]s |
//! | `POST /api/v1/worker/sync`, `GET /api/v1/worker/ws` (WebSocket) | worker | [`crate::proto`] |
//! | `GET /api/v1/films/{job}/{epoch}/source` with `Range`, `If-Range` | worker | the film |
//! | `GET /api/v1/films/{job}/{epoch}/source-hash` | worker | [`SourceHash`] |
//! | `PUT /api/v1/films/{job}/{epoch}/result?offset=&total=` | worker | a piece of the output: [`ResultState`] |
//! | `GET /api/v1/films/{job}/{epoch}/result` | worker | [`ResultState`] |
//! | `POST /api/v1/films/{job}/{epoch}/finish` [`ResultWhole`] | worker | 204: the master has it whole |
//!
//! Every error is an [`ErrorBody`](crate::proto::ErrorBody) with its status. 429 and 503
//! say in `Retry-After` after how many seconds the same request may succeed: so do
//! `source-hash` and `finish` while the file is being read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::{ContractStatus, JobState, Reason};
use crate::proto::{Load, TaskProgress, WorkerSettings};
use crate::store::{Attempt, Filter, SavedDay};
use crate::units::{JobId, RelPath, RootId, UnixMs, WorkerId};

/// How everything stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The master's clock.
    pub now: UnixMs,
    /// When the master started.
    pub started: UnixMs,
    /// Whether all workers are paused.
    pub paused: bool,
    /// Jobs by state.
    pub jobs: BTreeMap<JobState, u64>,
    /// Jobs by the contract's four statuses.
    pub contract: BTreeMap<String, u64>,
    /// Files that are known.
    pub files: u64,
    /// Their bytes now.
    pub library_bytes: u64,
    /// Bytes saved by all replacements ever.
    pub saved_bytes: i64,
    /// Bytes of all sources ever replaced.
    pub replaced_source_bytes: u64,
    /// Frames a second of everything that runs now.
    pub fps: f64,
    /// Film time by wall-clock time of everything that runs now.
    pub speed: f64,
    /// Milliseconds until the queue is empty at the speed of the last day, or since the
    /// start; `None` where nothing says.
    pub eta_ms: Option<u64>,
    /// Jobs that need a person: failed and quarantined.
    pub attention: u64,
    /// Workers by state.
    pub workers: BTreeMap<WorkerState, u32>,
    /// Encodes that run, and that could.
    pub busy_slots: u32,
    /// Slots of all workers that are online.
    pub slots: u32,
    /// The media directories.
    pub roots: Vec<RootView>,
    /// What a person should know (a root that is not mounted, `auth: none`, a full disk).
    pub notices: Vec<Notice>,
}

/// Something that a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Its name, such as `root_not_mounted`.
    pub kind: String,
    /// How grave.
    pub level: NoticeLevel,
    /// One line: what, where, what to do.
    pub message: String,
}

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeLevel {
    /// For information.
    Info,
    /// Something does not work as it could.
    Warning,
    /// Something does not work.
    Error,
}

/// A media directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootView {
    /// Its marker's text; `None` where it never had one.
    pub id: Option<RootId>,
    /// Where the master has it.
    pub path: String,
    /// Whether it is there.
    pub mounted: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// A scan of it runs, and has looked at so many files.
    pub scanning_files: Option<u64>,
    /// When the last whole scan ended.
    pub scanned: Option<UnixMs>,
    /// When files that were still changing are looked at again, if there are any.
    #[serde(default)]
    pub look_again: Option<UnixMs>,
}

/// A job in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobView {
    /// Its number.
    pub id: JobId,
    /// The media directory.
    pub root: RootId,
    /// The file below it, in the text form of [`RelPath`].
    pub path: RelPath,
    /// Where it stands.
    pub state: JobState,
    /// The same in the contract's words.
    pub status: ContractStatus,
    /// Set by a person; 0 is usual.
    pub priority: i32,
    /// Size of the file now, in bytes.
    pub bytes: u64,
    /// Size of the source that was replaced, in bytes.
    pub source_bytes: Option<u64>,
    /// Bytes saved.
    pub saved_bytes: Option<i64>,
    /// Failed attempts.
    pub attempts: u32,
    /// Who holds it, or held it last.
    pub worker: Option<WorkerId>,
    /// That worker's name.
    pub worker_name: Option<String>,
    /// Why it stands where it stands.
    pub reason: Option<Reason>,
    /// The next attempt's time.
    pub retry_at: Option<UnixMs>,
    /// Since when it is queued.
    pub queued: UnixMs,
    /// When it last changed its state.
    pub changed: UnixMs,
    /// Video frames, of a replacement.
    pub frames: Option<u64>,
    /// The encoder with its version, of a replacement.
    pub encoder: Option<String>,
    /// What the worker does with it: `starting`, `fetching`, `predicting`, `encoding`,
    /// `verifying`, `replacing`, `delivering`.
    pub phase: Option<String>,
    /// Numbers, while it runs.
    pub progress: Option<TaskProgress>,
}

/// A page of jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobsPage {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// What to pass as `after`; `None` at the end. A page may be short, or empty, and
    /// still have one: a search looks at a bounded number of rows.
    pub next: Option<String>,
    /// How many there are with this filter where that is known without counting.
    pub total: Option<u64>,
}

/// All of one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobDetail {
    /// The job.
    pub job: JobView,
    /// The media directory's path on the master.
    pub root_path: Option<String>,
    /// Its attempts, newest first.
    pub attempts: Vec<Attempt>,
    /// What the viewer of a replacement might notice.
    pub warnings: Vec<String>,
}

/// What a person does with jobs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobsAction {
    /// What.
    pub action: JobAction,
    /// With these.
    #[serde(default)]
    pub ids: Vec<JobId>,
    /// Or with all that this filter takes, 10,000 at the most in one call.
    #[serde(default)]
    pub filter: Option<Filter>,
    /// The new priority, for `prioritise`.
    #[serde(default)]
    pub priority: Option<i32>,
}

/// What a person does with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobAction {
    /// Ends it.
    Cancel,
    /// Tries it (again).
    Retry,
    /// Leaves the file alone.
    Skip,
    /// Changes its priority.
    Prioritise,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionResult {
    /// Jobs that took it.
    pub done: u64,
    /// Jobs that did not, and why; the first 100.
    pub refused: Vec<RefusedJob>,
    /// More jobs fit the filter: call again.
    pub more: bool,
}

/// A job that did not take an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedJob {
    /// The job.
    pub id: JobId,
    /// Why.
    pub message: String,
}

/// What a worker is up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Connected, and waits for jobs.
    Idle,
    /// Transcodes.
    Processing,
    /// Not heard of for the offline limit.
    Offline,
    /// Finishes what it runs and ends.
    Draining,
    /// Takes no work.
    Paused,
    /// Takes no work before its hours begin.
    OutsideHours,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    /// Its identity.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// What it is up to.
    pub state: WorkerState,
    /// The program's version.
    pub version: String,
    /// The video encoder with its version.
    pub encoder: Option<String>,
    /// What a person should know of it.
    pub warnings: Vec<String>,
    /// Encodes at once.
    pub slots: u32,
    /// How busy its machine is.
    pub load: Load,
    /// The last loads, oldest first, one a heartbeat, 60 at the most: processors in
    /// percent and memory in percent.
    pub history: Vec<(f32, f32)>,
    /// When it was last heard of.
    pub last_seen: UnixMs,
    /// Roots that it reaches.
    pub mounted: Vec<RootId>,
    /// What it runs.
    pub jobs: Vec<JobId>,
    /// Frames a second of all that it runs.
    pub fps: f64,
    /// Attempts that failed on it since the master started.
    pub failures: u32,
    /// What was set for it.
    pub settings: WorkerSettings,
}

/// Asks for a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScanRequest {
    /// Of this root alone.
    pub root: Option<RootId>,
    /// Although more files seem to be gone than is likely.
    pub force: bool,
}

/// The configuration with its origins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigView {
    /// Every key.
    pub keys: Vec<ConfigKeyView>,
}

/// A key of the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfigKeyView {
    /// Its name.
    pub key: String,
    /// Its value; secrets as `"(set)"`.
    pub value: serde_json::Value,
    /// Its default.
    pub default: serde_json::Value,
    /// Where the value comes from: `default`, `file NAME`, `environment NAME`, `flag`.
    pub origin: String,
    /// What it means, in one line.
    pub meaning: String,
    /// Its unit.
    pub unit: Option<String>,
}

/// How a worker joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinView {
    /// The whole command, with the token.
    pub command: String,
    /// Other addresses that the master may be reached at.
    pub addresses: Vec<String>,
}

/// What was saved, by day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedView {
    /// Days with savings, oldest first.
    pub days: Vec<SavedDay>,
}

/// Which film a picture is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The source, as it was before it was replaced.
    Source,
    /// What took its place.
    Result,
}

/// How fast everything went over the last day, or since the master started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThroughputView {
    /// Milliseconds that a point stands for.
    pub step_ms: i64,
    /// Oldest first; the last one is not yet over. Where the master slept there is none.
    pub points: Vec<ThroughputPoint>,
}

/// A mean over a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThroughputPoint {
    /// The step's first moment.
    pub at: UnixMs,
    /// Frames a second of everything that ran.
    pub fps: f64,
    /// Film time by wall-clock time of everything that ran.
    pub speed: f64,
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionView {
    /// Its role; `None` has none and has to log in.
    pub role: Option<Role>,
    /// Whether the master asks for tokens at all.
    pub auth: bool,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Look.
    Read,
    /// Do a worker's part, and nothing else.
    Worker,
    /// Everything.
    Admin,
}

/// What the live feed says. The first message of a connection is a snapshot, or, where
/// `?feed=&after=` names a place that is still remembered, the deltas since.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LiveMessage {
    /// How everything stands.
    Snapshot(Box<LiveState>),
    /// What changed since the message before.
    Delta(Box<LiveDelta>),
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LiveState {
    /// Names this life of the master.
    pub feed: String,
    /// Number of the message; the next delta has the next one.
    pub seq: u64,
    /// How everything stands.
    pub status: Status,
    /// Every job that is leased, staged, committing or recovering.
    pub running: Vec<JobView>,
    /// The jobs that ended last, newest first, 50 at the most.
    pub recent: Vec<JobView>,
    /// Every worker.
    pub workers: Vec<WorkerView>,
}

/// What changed, twice a second at the most.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveDelta {
    /// Number of the message.
    pub seq: u64,
    /// How everything stands, where it changed.
    pub status: Option<Status>,
    /// Jobs that changed, as they are now, whatever their state is.
    pub jobs: Vec<JobView>,
    /// Workers that changed, as they are now.
    pub workers: Vec<WorkerView>,
}

/// Logs in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginRequest {
    /// An admin or read token.
    pub token: String,
}

impl std::fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LoginRequest { .. }")
    }
}

/// The most bytes of an output that one `PUT` carries.
pub const MAX_PIECE_BYTES: u64 = 8 << 20;

/// The header with a piece's BLAKE3, 64 hexadecimal digits.
pub const PIECE_HASH_HEADER: &str = "x-piece-blake3";

/// What a source that is fetched over HTTP has to be equal to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceHash {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content, 64 hexadecimal digits.
    pub blake3: String,
    /// Its modification time in nanoseconds since 1970.
    pub modified_ns: i64,
}

/// How much of an output the master has: the next piece begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultState {
    /// Bytes from the beginning, each piece checked.
    pub received_bytes: u64,
}

/// Ends the delivery of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultWhole {
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its content, 64 hexadecimal digits.
    pub blake3: String,
}
