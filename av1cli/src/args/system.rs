//! `av1cli master`, `worker` and `shrink`.

use std::path::PathBuf;

use av1net::client::MasterAddress;
use clap::{Args, ValueHint};

use super::config::{ConfigArgs, Masters, Shrinks, Workers};

/// Arguments of `master`.
#[derive(Debug, Args)]
pub(crate) struct MasterArgs {
    /// Folders that are scanned for films, in place of the configuration's
    /// `media_directories`
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directories: Vec<PathBuf>,

    /// Encode on this machine too: a worker in the same process
    #[arg(long)]
    pub(crate) local_worker: bool,

    /// End when every film has been dealt with, and print what became of each
    #[arg(long)]
    pub(crate) until_done: bool,

    #[command(flatten)]
    pub(crate) config: ConfigArgs<Masters>,
}

/// Arguments of `worker`.
#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    /// The master's address, such as http://192.168.1.10:8090; without it, a master of
    /// this machine and user
    #[arg(value_name = "MASTER", value_hint = ValueHint::Url, env = "AV1CLI_MASTER", hide_env_values = true)]
    pub(crate) master: Option<MasterAddress>,

    #[command(flatten)]
    pub(crate) config: ConfigArgs<Workers>,
}

/// Arguments of `shrink`.
#[derive(Debug, Args)]
pub(crate) struct ShrinkArgs {
    /// Folders to shrink, with all folders below them
    ///
    /// Each film is replaced by a smaller one once that is proved to be the same film; all
    /// others stay as they are. Killed and started again, the same command goes on.
    #[arg(value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
    pub(crate) directories: Vec<PathBuf>,

    /// Print JSON lines on stdout, for machines
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress bars and no line for each film; the summary still comes
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) config: ConfigArgs<Shrinks>,
}
