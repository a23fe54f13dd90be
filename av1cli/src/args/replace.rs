//! How `transcode --replace` picks and replaces files.

use std::path::PathBuf;

use av1core::{HardLinks, Pattern};
use bytesize::ByteSize;
use clap::{Args, ValueEnum, ValueHint};

use super::ContainerArg;
use super::value::number;

/// Arguments of a replacement.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Replacing")]
pub(crate) struct ReplaceArgs {
    /// Put the result in INPUT's place, once it is verified and saves enough
    ///
    /// INPUT stays as it is unless everything went well; at no moment is there no good
    /// file under its name. Where INPUT's extension does not fit the result, that gets
    /// the name with another one (film.mp4 becomes film.mkv).
    #[arg(long, conflicts_with_all = ["output", "overwrite"])]
    pub(crate) replace: bool,

    /// Say what would happen and what it would save, and write nothing
    #[arg(long, requires = "replace")]
    pub(crate) dry_run: bool,

    /// Keep INPUT as NAME.bak (`av1cli restore` puts it back)
    #[arg(long, requires = "replace")]
    pub(crate) testing: bool,

    /// Container of the result
    #[arg(long, value_enum, requires = "replace", value_name = "CONTAINER")]
    pub(crate) container: Option<ContainerArg>,

    /// Predict films from this length on, and leave hopeless ones alone [default: 600]
    ///
    /// A prediction costs 3 % of the encode at 20 minutes, more of a shorter film.
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = number::<u32>("length to predict from", 0..=u32::MAX),
        env = "AV1CLI_PREDICT_FROM",
        hide_env_values = true
    )]
    pub(crate) predict_from: Option<u32>,

    #[command(flatten)]
    pub(crate) rules: RuleArgs,
}

/// Which files are left alone.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Files that --replace leaves alone")]
pub(crate) struct RuleArgs {
    /// Smaller files, such as 500kB or 10MB [default: 1MB]
    #[arg(
        long,
        value_name = "SIZE",
        env = "AV1CLI_MIN_SIZE",
        hide_env_values = true
    )]
    pub(crate) min_size: Option<ByteSize>,

    /// Shorter films [default: 1]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = number::<u32>("shortest film", 0..=u32::MAX),
        env = "AV1CLI_MIN_DURATION",
        hide_env_values = true
    )]
    pub(crate) min_duration: Option<u32>,

    /// Videos with fewer bits for each pixel of each frame [default: 0.01]
    #[arg(
        long,
        value_name = "BITS",
        value_parser = bits,
        env = "AV1CLI_MIN_BITS_PER_PIXEL",
        hide_env_values = true
    )]
    pub(crate) min_bits_per_pixel: Option<f64>,

    /// Files still changing after so long a wait [default: 10]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = number::<u32>("settling time", 0..=u32::MAX),
        env = "AV1CLI_SETTLE",
        hide_env_values = true
    )]
    pub(crate) settle: Option<u32>,

    /// Files with several names (hard links) [default: skip]
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        env = "AV1CLI_HARDLINKS",
        hide_env_values = true
    )]
    pub(crate) hardlinks: Option<HardLinksArg>,

    /// Files whose path below ROOT, or name, fits this pattern (may be given again)
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    pub(crate) exclude: Vec<Pattern>,

    /// The media folder: files out of it and those excluded by a .noav1 in it
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) root: Option<PathBuf>,
}

/// What becomes of files with several names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HardLinksArg {
    /// They are left alone
    Skip,
    /// This name gets the result, the others keep the old content
    Break,
}

impl From<HardLinksArg> for HardLinks {
    fn from(arg: HardLinksArg) -> Self {
        match arg {
            HardLinksArg::Skip => Self::Skip,
            HardLinksArg::Break => Self::Break,
        }
    }
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text)
}

fn bits(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(bits) if (0.0..=100.0).contains(&bits) => Ok(bits),
        Ok(bits) => Err(format!("{bits} is out of range: 0 to 100 are allowed")),
        Err(_) => Err("not a number".to_owned()),
    }
}
