//! Arguments made sense of: what was typed, what the environment said (clap has
//! merged both, flags before environment) and where the output goes, as the types
//! that the engine takes.

pub(crate) mod state;

use std::path::{Path, PathBuf};

use av1core::{Allow, Destination, Options, Shrink};

use crate::args::{EncodeArgs, ReplaceArgs, ReportArgs, RuleArgs, TranscodeArgs};

/// What `transcode` is to do.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The file to encode.
    pub(crate) source: PathBuf,
    /// Where the result goes.
    pub(crate) task: Task,
    /// What is wanted of the encode.
    pub(crate) options: Options,
    /// How the run is shown.
    pub(crate) show: Show,
    /// Where the outcome's line goes.
    pub(crate) summary: Option<PathBuf>,
}

/// Where a result goes.
#[derive(Debug)]
pub(crate) enum Task {
    /// Into a file of its own.
    Transcode(Destination),
    /// Into the source's place.
    Replace { how: Shrink, dry_run: bool },
}

impl Task {
    /// The file that is written beside the source.
    pub(crate) fn output(&self) -> Option<&Path> {
        match self {
            Self::Transcode(destination) => Some(destination.path()),
            Self::Replace { .. } => None,
        }
    }
}

/// How a run is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// A progress bar on stderr and a final line on stdout.
    Bar,
    /// A final line on stdout.
    FinalLine,
    /// Warnings and errors alone.
    Quiet,
    /// JSON lines on stdout.
    Json,
}

impl Settings {
    /// Makes sense of the arguments of `transcode`. A bar is shown only where
    /// `can_draw`: on a terminal that nothing else writes to.
    pub(crate) fn resolve(args: TranscodeArgs, can_draw: bool) -> Self {
        let mut options = options(args.encode);
        let task = match args.output {
            Some(output) => Task::Transcode(Destination::new(output).overwrite(args.overwrite)),
            None => {
                options.container = args.replace.container.unwrap_or_default().into();
                Task::Replace {
                    dry_run: args.replace.dry_run,
                    how: shrink(args.replace),
                }
            }
        };
        Self {
            source: args.input,
            task,
            options,
            show: show(&args.report, can_draw),
            summary: args.report.summary,
        }
    }
}

fn shrink(args: ReplaceArgs) -> Shrink {
    let mut how = Shrink::default();
    how.keep_backup = args.testing;
    let RuleArgs {
        min_size,
        min_duration,
        min_bits_per_pixel,
        settle,
        hardlinks,
        exclude,
        root,
    } = args.rules;
    let micros = |seconds: u32| i64::from(seconds) * 1_000_000;
    if let Some(seconds) = args.predict_from {
        how.predict_from_us = Some(micros(seconds));
    }
    let rules = &mut how.rules;
    if let Some(size) = min_size {
        rules.least_bytes = size.as_u64();
    }
    if let Some(seconds) = min_duration {
        rules.least_film_us = micros(seconds);
    }
    if let Some(bits) = min_bits_per_pixel {
        rules.least_millibits_per_pixel = (bits * 1000.0).round() as u64;
    }
    if let Some(seconds) = settle {
        rules.settling_us = micros(seconds);
    }
    rules.hard_links = hardlinks.map_or(rules.hard_links, Into::into);
    rules.exclude = exclude;
    how.root = root;
    how
}

fn show(report: &ReportArgs, can_draw: bool) -> Show {
    match report {
        ReportArgs { json: true, .. } => Show::Json,
        ReportArgs { quiet: true, .. } => Show::Quiet,
        _ if can_draw => Show::Bar,
        _ => Show::FinalLine,
    }
}

/// What the engine is asked for; what was not said is the engine's default.
pub(crate) fn options(args: EncodeArgs) -> Options {
    let EncodeArgs {
        video,
        audio,
        worth,
        losses,
    } = args;
    let mut options = Options::default();
    options.preset = video.preset;
    options.crf = video.crf;
    if let Some(depth) = video.bit_depth {
        options.bit_depth = depth.into();
    }
    if let Some(seconds) = video.keyframe_interval {
        options.keyframe_interval_s = seconds;
    }
    if let Some(strength) = video.film_grain {
        options.film_grain = strength;
    }
    options.encoder_threads = video.encoder_threads;
    options.decoder_threads = video.decoder_threads;
    options.svtav1_params = video.svtav1_params.unwrap_or_default().0;
    options.audio_bitrate_kbps = audio.audio_bitrate;
    options.min_saving_percent = worth.min_saving;
    let mut allow = Allow::default();
    allow.av1 = losses.allow_av1;
    allow.chroma_loss = losses.allow_chroma_loss;
    allow.depth_loss = losses.allow_depth_loss;
    allow.alpha_loss = losses.allow_alpha_loss;
    allow.dynamic_hdr_loss = losses.allow_dynamic_hdr_loss;
    options.allow = allow;
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use av1core::{BitDepth, Crf, Preset, Saving};
    use clap::Parser;

    fn resolved(flags: &[&str], can_draw: bool) -> Settings {
        let words = ["av1cli", "transcode", "in.mp4", "out.mkv"];
        match Cli::parse_from(words.iter().chain(flags)).command {
            Command::Transcode(args) => Settings::resolve(args, can_draw),
            other => panic!("not transcode: {other:?}"),
        }
    }

    #[test]
    fn nothing_said_is_the_engines_default() {
        assert_eq!(resolved(&[], true).options, Options::default());
    }

    #[test]
    fn every_flag_reaches_the_engine() {
        let flags = "--preset 4 --crf 25 --bit-depth 8 --keyframe-interval 5 --film-grain 12 \
                     --encoder-threads 3 --decoder-threads 2 --svtav1-params tune=0:aq-mode=1 \
                     --audio-bitrate 96 --min-saving 5 --allow-av1 --allow-chroma-loss --allow-depth-loss \
                     --allow-alpha-loss --allow-dynamic-hdr-loss";
        let flags: Vec<_> = flags.split_whitespace().collect();
        let options = resolved(&flags, true).options;
        let mut expected = Options::default();
        expected.preset = Preset::new(4).ok();
        expected.crf = Crf::new(25).ok();
        expected.bit_depth = BitDepth::Eight;
        expected.keyframe_interval_s = 5;
        expected.film_grain = 12;
        expected.encoder_threads = Some(3);
        expected.decoder_threads = Some(2);
        expected.svtav1_params = vec![
            ("tune".to_owned(), "0".to_owned()),
            ("aq-mode".to_owned(), "1".to_owned()),
        ];
        expected.audio_bitrate_kbps = Some(96);
        expected.min_saving_percent = Saving::new(5).ok();
        expected.allow.av1 = true;
        expected.allow.chroma_loss = true;
        expected.allow.depth_loss = true;
        expected.allow.alpha_loss = true;
        expected.allow.dynamic_hdr_loss = true;
        assert_eq!(options, expected);
    }

    #[test]
    fn a_bar_needs_a_terminal_and_nobody_who_wants_quiet() {
        let show = |flags: &[&str], can_draw| resolved(flags, can_draw).show;
        assert_eq!(show(&[], true), Show::Bar);
        assert_eq!(show(&[], false), Show::FinalLine);
        assert_eq!(show(&["--quiet"], true), Show::Quiet);
        assert_eq!(show(&["--json"], true), Show::Json);
        assert_eq!(show(&["--json", "--quiet"], false), Show::Json);
    }
}
