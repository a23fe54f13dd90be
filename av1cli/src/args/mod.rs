//! The command line as it was typed. Nothing here looks at the world: values are
//! checked one by one, and [`crate::settings`] makes sense of them together.

mod config;
mod drive;
mod encode;
mod replace;
mod svtav1;
mod system;
mod value;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

pub(crate) use self::config::{Audience, ConfigArgs};
pub(crate) use self::drive::{
    ActArgs, DrainArgs, Drive, FilterArgs, JobsArgs, PauseArgs, PriorityArgs, ReachArgs, ScanArgs,
    StatusArgs, WhichArgs, WorkersArgs,
};
pub(crate) use self::encode::EncodeArgs;
pub(crate) use self::replace::{ReplaceArgs, RuleArgs};
pub(crate) use self::system::{MasterArgs, ShrinkArgs, WorkerArgs};
use crate::exit::Exit;
use crate::log;
use crate::render;

/// Shrinks a video library: AV1 video and Opus audio, and no file is harmed
#[derive(Debug, Parser)]
#[command(
    name = "av1cli",
    version,
    max_term_width = 100,
    after_long_help = format!("{}\n\n{}", log::HELP, Exit::help()),
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Encode one file into another, or with --replace into its own place
    #[command(after_long_help = format!("{}\n\n{}", render::json_help(), Exit::help()))]
    Transcode(TranscodeArgs),
    /// Show what `transcode` would do with each stream of a file, and why
    #[command(after_long_help = Exit::help())]
    Plan(PlanArgs),
    /// Encode samples of a file and tell how large the output will be; nothing is written
    #[command(after_long_help = Exit::help())]
    Predict(PredictArgs),
    /// Decode both files whole and tell in what OUTPUT is not what an encode of SOURCE should be
    #[command(after_long_help = Exit::help())]
    Verify(VerifyArgs),
    /// Bring replacements to their end that a killed run left in a folder or below it
    #[command(after_long_help = Exit::help())]
    Recover(RecoverArgs),
    /// Put a backup of `transcode --replace --testing` back in its place
    #[command(after_long_help = Exit::help())]
    Restore(RestoreArgs),
    /// Show what a file holds
    #[command(after_long_help = Exit::help())]
    Probe(ProbeArgs),
    /// Print one picture of a film, for the page
    #[command(hide = true)]
    Frame(FrameArgs),
    /// Shrink every film in folders, on this machine alone
    #[command(after_long_help = Exit::help())]
    Shrink(ShrinkArgs),
    /// Find films, hand them to workers, and show how they do on a page
    #[command(after_long_help = Exit::help())]
    Master(MasterArgs),
    /// Encode for a master
    #[command(after_long_help = Exit::help())]
    Worker(WorkerArgs),
    #[command(flatten)]
    Drive(Drive),
    /// Tell whether the libraries here can do all of it, and what to do if not
    #[command(after_long_help = Exit::help())]
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// The process of one encode, which a worker starts; it is told what to do on stdin
    #[command(hide = true)]
    EncodeChild,
}

/// Arguments of `frame`.
#[derive(Debug, Args)]
pub(crate) struct FrameArgs {
    /// The film
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Milliseconds after its first picture
    #[arg(long, default_value_t = 0)]
    pub(crate) at_ms: u64,
}

/// Arguments of `transcode`.
#[derive(Debug, Args)]
pub(crate) struct TranscodeArgs {
    /// File to encode; it is only ever read, unless --replace is given
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) input: PathBuf,

    /// File to write, such as film.av1.mkv: Matroska, or MP4 where the name ends in .mp4
    ///
    /// It is written under a dot name beside its final one and renamed at the end:
    /// the final name appears whole or not at all.
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "replace")]
    pub(crate) output: Option<PathBuf>,

    /// Replace OUTPUT if it exists, once the new file is complete
    #[arg(long)]
    pub(crate) overwrite: bool,

    #[command(flatten)]
    pub(crate) replace: ReplaceArgs,

    #[command(flatten)]
    pub(crate) encode: EncodeArgs,

    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

/// How `transcode` tells what it does.
#[derive(Debug, Args)]
#[command(next_help_heading = "Reporting")]
pub(crate) struct ReportArgs {
    /// Print JSON lines on stdout, for machines
    ///
    /// The lines and their fields are listed below. Warnings and errors still come
    /// on stderr too.
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress bar and no final line; warnings and errors still come
    #[arg(long, short)]
    pub(crate) quiet: bool,

    /// Write one line to FILE when the run is over: `done: ...`, `skipped: ...`,
    /// `not worthwhile: ...`, `failed: ...` or `cancelled`
    ///
    /// What FILE held before is lost. A wrong command line (exit code 2) writes nothing.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) summary: Option<PathBuf>,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// File to look into; it is only ever read
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Container that the film is to go into; `transcode` goes by OUTPUT's name
    #[arg(long, value_enum, default_value_t)]
    pub(crate) container: ContainerArg,

    /// Print the verdict as JSON
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) encode: EncodeArgs,
}

/// Arguments of `predict`.
#[derive(Debug, Args)]
pub(crate) struct PredictArgs {
    /// File to look into; it is only ever read
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Container that the film is to go into; `transcode` goes by OUTPUT's name
    #[arg(long, value_enum, default_value_t)]
    pub(crate) container: ContainerArg,

    /// Print the prediction as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress bar; the prediction still comes
    #[arg(long, short)]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) encode: EncodeArgs,
}

/// A container that is written.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum ContainerArg {
    #[default]
    Mkv,
    Mp4,
}

impl From<ContainerArg> for av1core::Container {
    fn from(container: ContainerArg) -> Self {
        match container {
            ContainerArg::Mkv => Self::Matroska,
            ContainerArg::Mp4 => Self::Mp4,
        }
    }
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The film as it was; it is only ever read
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) source: PathBuf,

    /// The film as it became; it is only ever read
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) output: PathBuf,

    /// Print what was found as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// No progress bar; what was found still comes
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Arguments of `recover`.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// Folder to look through, with all folders below it
    ///
    /// What runs at work hold is left alone. A second call finds nothing to do.
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: PathBuf,

    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup (film.mp4.bak), or the film's old or new name
    ///
    /// The encode that took the film's place is removed.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

/// Arguments of `probe`.
#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// File to look into; it is only ever read
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Print everything that is known as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell, such as bash
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn values_out_of_range_are_told_with_what_is_allowed() {
        let message = |flags: &[&str]| {
            let words = ["av1cli", "transcode", "in.mp4", "out.mkv"];
            let error = Cli::try_parse_from(words.iter().chain(flags)).expect_err("refused");
            error.to_string().lines().next().expect("a line").to_owned()
        };
        let cases = [
            (
                ["--crf", "99"],
                "'--crf <N>': crf 99 is out of range: 1 to 63 are allowed",
            ),
            (
                ["--crf", "300"],
                "'--crf <N>': crf 300 is out of range: 1 to 63 are allowed",
            ),
            (["--preset", "fast"], "'--preset <N>': not a whole number"),
            (
                ["--film-grain", "51"],
                "'--film-grain <N>': film grain 51 is out of range: 0 to 50 are allowed",
            ),
            (
                ["--audio-bitrate", "1"],
                "'--audio-bitrate <KBPS>': audio bitrate 1 is out of range: 6 to 510 are allowed",
            ),
            (
                ["--svtav1-params", "tune=0:crf=20"],
                "'--svtav1-params <K=V:K=V>': crf=20: give it as --crf, so that the plan tells the truth",
            ),
        ];
        for (flags, expected) in cases {
            assert!(message(&flags).ends_with(expected), "{}", message(&flags));
        }
    }

    #[test]
    fn long_help_ends_with_the_exit_codes_and_short_help_stays_short() {
        let mut command = Cli::command();
        let transcode = command.find_subcommand_mut("transcode").expect("defined");
        let long = transcode.render_long_help().to_string();
        assert!(long.contains("frames_done"), "{long}");
        assert!(long.trim_end().ends_with(&Exit::help()), "{long}");
        let short = transcode.render_help().to_string();
        assert!(!short.contains("Exit codes"), "{short}");
    }
}
