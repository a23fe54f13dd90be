//! Commands that drive a master over its API.

use std::path::PathBuf;

use av1net::client::MasterAddress;
use av1net::job::JobState;
use av1net::store::SortBy;
use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::exit::Exit;

/// Commands that drive a master.
#[derive(Debug, Subcommand)]
pub(crate) enum Drive {
    /// Show how a master and its library stand
    #[command(after_long_help = Exit::help())]
    Status(StatusArgs),
    /// List a master's jobs, or show one with all its attempts
    #[command(after_long_help = Exit::help())]
    Jobs(JobsArgs),
    /// List a master's workers
    #[command(after_long_help = Exit::help())]
    Workers(WorkersArgs),
    /// Have a master look for new and changed files now
    #[command(after_long_help = Exit::help())]
    Scan(ScanArgs),
    /// End jobs, also those that run; their files stay as they are
    #[command(after_long_help = Exit::help())]
    Cancel(ActArgs),
    /// Try jobs again that failed or were ended, or that are left alone
    #[command(after_long_help = Exit::help())]
    Retry(ActArgs),
    /// Leave files alone from now on; `retry` takes it back
    #[command(after_long_help = Exit::help())]
    Skip(ActArgs),
    /// Have jobs done sooner or later than others
    #[command(after_long_help = Exit::help())]
    Priority(PriorityArgs),
    /// Have workers finish what they run, take no more, and end
    #[command(after_long_help = Exit::help())]
    Drain(DrainArgs),
    /// Have workers take no more work; what runs goes on
    #[command(after_long_help = Exit::help())]
    Pause(PauseArgs),
    /// Have workers take work again after `pause` or `drain`
    #[command(after_long_help = Exit::help())]
    Resume(PauseArgs),
}

/// Which master, and with what right.
#[derive(Debug, Args)]
#[command(next_help_heading = "The master")]
pub(crate) struct ReachArgs {
    /// The master's address [default: the one that runs here, or http://127.0.0.1:8090]
    #[arg(
        long,
        value_name = "ADDRESS",
        value_hint = ValueHint::Url,
        env = "AV1CLI_MASTER",
        hide_env_values = true
    )]
    pub(crate) master: Option<MasterAddress>,

    /// The token to speak with; on the master's own machine it is found in its state
    /// directory
    ///
    /// Everybody on this machine can read a command line: the environment is the better
    /// place.
    #[arg(long, env = "AV1CLI_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,

    /// For an https address: the certificate authority to believe, a PEM file, in place of
    /// those that the system trusts
    #[arg(
        long,
        value_name = "FILE",
        value_hint = ValueHint::FilePath,
        env = "AV1CLI_TLS_CA",
        hide_env_values = true
    )]
    pub(crate) tls_ca: Option<PathBuf>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// Which jobs.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filters")]
pub(crate) struct FilterArgs {
    /// In these states: pending, retry_wait, leased, staged, committing, recovering,
    /// completed, skipped, failed, cancelled, quarantined, vanished; or processing, for the
    /// four between leased and recovering
    #[arg(long, value_name = "STATE", value_parser = states, value_delimiter = ',')]
    pub(crate) state: Vec<States>,

    /// Whose path holds this text, whatever its case
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,

    /// Whose reason has this name, such as not_worthwhile
    #[arg(long, value_name = "NAME")]
    pub(crate) reason: Option<String>,

    /// Of this media directory, as the master names it
    #[arg(long, value_name = "FOLDER")]
    pub(crate) root: Option<String>,
}

impl FilterArgs {
    /// The states that were named.
    pub(crate) fn states(&self) -> Vec<JobState> {
        let mut states: Vec<_> = self.state.iter().flat_map(|states| &states.0).collect();
        states.sort_unstable();
        states.dedup();
        states.into_iter().copied().collect()
    }

    /// Whether nothing was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            state,
            search,
            reason,
            root,
        } = self;
        state.is_empty() && search.is_none() && reason.is_none() && root.is_none()
    }
}

/// One word for some states.
#[derive(Clone, Debug)]
pub(crate) struct States(Vec<JobState>);

fn states(text: &str) -> Result<States, String> {
    let word = text.trim().to_ascii_lowercase().replace('-', "_");
    if word == "processing" {
        let active = JobState::ALL.into_iter().filter(|state| state.is_active());
        return Ok(States(active.collect()));
    }
    JobState::of_name(&word)
        .map(|state| States(vec![state]))
        .ok_or_else(|| {
            let names = JobState::ALL.map(JobState::name);
            format!("there are {} and processing", names.join(", "))
        })
}

/// Arguments of `jobs`.
#[derive(Debug, Args)]
pub(crate) struct JobsArgs {
    /// Jobs to show whole, by number or file; without any, a list
    ///
    /// A file is named by its path on the master, or by the path below its media directory.
    #[arg(value_name = "JOB", conflicts_with_all = ["state", "search", "reason", "root"])]
    pub(crate) jobs: Vec<String>,

    /// Order of the list
    #[arg(long, value_enum, default_value_t, value_name = "BY")]
    pub(crate) sort: JobsSort,

    /// The other way round
    #[arg(long, short)]
    pub(crate) reverse: bool,

    /// The most that are listed; 0: all
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    pub(crate) limit: usize,

    /// Print them as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// What a list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum JobsSort {
    /// The last change first
    #[default]
    Changed,
    /// By path
    Path,
    /// The largest file first
    Size,
    /// The largest saving first
    Saved,
    /// Pending jobs as they will be granted
    Queue,
}

impl JobsSort {
    /// The API's word, and whether its natural order is the descending one.
    pub(crate) fn by(self) -> (SortBy, bool) {
        match self {
            Self::Changed => (SortBy::Changed, true),
            Self::Path => (SortBy::Path, false),
            Self::Size => (SortBy::Bytes, true),
            Self::Saved => (SortBy::Saved, true),
            Self::Queue => (SortBy::Queue, false),
        }
    }
}

/// Arguments of `workers`.
#[derive(Debug, Args)]
pub(crate) struct WorkersArgs {
    /// Print them as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// Arguments of `scan`.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// The media directories to look through, as the master names them; without any, all
    #[arg(value_name = "FOLDER")]
    pub(crate) roots: Vec<String>,

    /// Believe what is found although more files are gone than is likely
    #[arg(long)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// Which jobs something is done with.
#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// Jobs, by number or file
    ///
    /// A file is named by its path on the master, or by the path below its media directory.
    #[arg(
        value_name = "JOB",
        required_unless_present_any = ["all", "state", "search", "reason", "root"],
        conflicts_with_all = ["all", "state", "search", "reason", "root"]
    )]
    pub(crate) jobs: Vec<String>,

    /// Every job that can be meant
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// Arguments of `cancel`, `retry` and `skip`.
#[derive(Debug, Args)]
pub(crate) struct ActArgs {
    /// Print what came of it as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) which: WhichArgs,

    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// Arguments of `priority`.
#[derive(Debug, Args)]
pub(crate) struct PriorityArgs {
    /// From -100 to 100; higher is sooner, 0 is usual
    ///
    /// A step is worth an hour of waiting, so that nothing waits for ever.
    #[arg(
        value_name = "N",
        allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-100..=100)
    )]
    pub(crate) priority: i32,

    #[command(flatten)]
    pub(crate) act: ActArgs,
}

/// Arguments of `drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// Workers, by name or number
    #[arg(
        value_name = "WORKER",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) workers: Vec<String>,

    /// Every worker
    #[arg(long)]
    pub(crate) all: bool,

    /// Print the workers as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}

/// Arguments of `pause` and `resume`.
#[derive(Debug, Args)]
pub(crate) struct PauseArgs {
    /// Workers, by name or number; without any, all of them, also those still to come
    #[arg(value_name = "WORKER")]
    pub(crate) workers: Vec<String>,

    /// Print the workers as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) reach: ReachArgs,
}
