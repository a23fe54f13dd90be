//! The engine against its peers in the same run: the `ffmpeg` command with the same
//! libraries and parameters, and the bare encoder fed from memory.
//!
//! ```text
//! cargo bench -p av1cli --bench peer -- [--preset 8,12] [--height 360,720] [--pairs 5]
//!     [--seconds 20] [--clip FILE] [--crf 35] [--bare-only | --command-only] [--quick]
//! ```
//!
//! For each picture size and preset: a warm-up run of each side, which is discarded,
//! then pairs in the order ABBA, so that a machine that slows down slows both. It
//! prints Markdown tables and asserts no times; it fails where a run fails or where
//! an output has other than the source's frames.
//!
//! It measures only when asked to with `--bench`, as `cargo bench` does: `cargo test
//! --benches` and test runners that list it find nothing to do.

#![expect(clippy::print_stdout, reason = "the tables are what it is for")]
#![expect(
    clippy::print_stderr,
    reason = "a measurement of many minutes tells how far it is"
)]

#[path = "peer/args.rs"]
mod args;
#[path = "peer/bare.rs"]
mod bare;
#[path = "peer/run.rs"]
mod run;
#[path = "peer/table.rs"]
mod table;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use self::args::{Args, Asked};
use self::run::{Parameters, Runner};
use self::table::{BareRow, CommandRow};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

fn main() -> ExitCode {
    // While there is one thread: it sets an environment variable.
    av1core::quiet_encoder_log();
    let done = match Args::parse(std::env::args().skip(1)) {
        Ok(Asked::Nothing) => Ok(()),
        Ok(Asked::RunBare { file, preset, crf }) => bare::child(&file, preset, crf),
        Ok(Asked::Measure(args)) => measure(&args),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let runner = Runner::new(folder.path())?;
    let (mut command_rows, mut bare_rows, mut failures) = (Vec::new(), Vec::new(), Vec::new());
    for &height in &args.heights {
        let clips = Clips::make(folder.path(), args, height)?;
        for &preset in &args.presets {
            let name = format!("{height}p, preset {preset}");
            if args.against_command {
                match against_command(&runner, &clips.with_sound, preset, args) {
                    Ok(row) => command_rows.push(row),
                    Err(error) => failures.push(format!("{name}, ffmpeg command: {error}")),
                }
            }
            if args.against_bare {
                match against_bare(&runner, &clips.silent, preset, args) {
                    Ok(row) => bare_rows.push(row),
                    Err(error) => failures.push(format!("{name}, bare encoder: {error}")),
                }
            }
        }
    }
    println!("{}", table::heading(args, &run::command_version()?));
    if args.against_command {
        println!("\n{}", table::command(&command_rows));
    }
    if args.against_bare {
        println!("\n{}", table::bare(&bare_rows));
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(failures.join("\nerror: ").into())
}

/// What is encoded, at one picture size.
struct Clips {
    with_sound: PathBuf,
    silent: PathBuf,
}

impl Clips {
    fn make(folder: &Path, args: &Args, height: u32) -> Result<Self> {
        eprintln!("making the clip: {} s, {height} lines", args.seconds);
        let clips = Self {
            with_sound: folder.join(format!("clip-{height}.mp4")),
            silent: folder.join(format!("clip-{height}-silent.mp4")),
        };
        run::make_clip(&args.clip, args.seconds, height, &clips.with_sound)?;
        run::strip_sound(&clips.with_sound, &clips.silent)?;
        Ok(clips)
    }
}

fn against_command(runner: &Runner, clip: &Path, preset: u8, args: &Args) -> Result<CommandRow> {
    let parameters = Parameters::of(clip, preset, args.crf)?;
    let frames = run::decoded_frames(clip)?;
    let (our_output, their_output) = (runner.output("ours"), runner.output("theirs"));
    let name = format!("{} preset {preset} against ffmpeg", parameters.picture());
    let pairs = abba(
        &name,
        args.pairs,
        || runner.engine(clip, &our_output, &parameters),
        || runner.command(clip, &their_output, &parameters),
    )?;
    for output in [&our_output, &their_output] {
        run::expect_frames(output, frames)?;
    }
    Ok(CommandRow {
        picture: parameters.picture(),
        preset,
        frames,
        pairs,
        video_bytes: (
            run::video_bytes(&our_output)?,
            run::video_bytes(&their_output)?,
        ),
    })
}

fn against_bare(runner: &Runner, clip: &Path, preset: u8, args: &Args) -> Result<BareRow> {
    let parameters = Parameters::of(clip, preset, args.crf)?;
    let frames = run::decoded_frames(clip)?;
    let output = runner.output("ours");
    let name = format!("{} preset {preset} against bare", parameters.picture());
    let pairs = abba(
        &name,
        args.pairs,
        || runner.engine(clip, &output, &parameters),
        || bare::spawn(clip, preset, args.crf),
    )?;
    run::expect_frames(&output, frames)?;
    if let Some((_, odd)) = pairs.iter().find(|(_, bare)| bare.frames != frames) {
        return Err(format!("{} of {frames} frames from the bare encoder", odd.frames).into());
    }
    let bare_bytes = pairs.last().map_or(0, |(_, bare)| bare.bytes);
    Ok(BareRow {
        picture: parameters.picture(),
        preset,
        frames,
        pairs,
        video_bytes: (run::video_bytes(&output)?, bare_bytes),
    })
}

/// Runs both sides once for nothing, then `pairs` times in the order ABBA.
fn abba<A, B>(
    name: &str,
    pairs: u32,
    ours: impl Fn() -> Result<A>,
    theirs: impl Fn() -> Result<B>,
) -> Result<Vec<(A, B)>> {
    let mut done = Vec::new();
    for pair in 0..=pairs {
        eprintln!(
            "{name}: {}",
            match pair {
                0 => "warm-up".to_owned(),
                _ => format!("pair {pair} of {pairs}"),
            }
        );
        let results = if pair % 2 == 1 {
            let ours = ours()?;
            (ours, theirs()?)
        } else {
            let theirs = theirs()?;
            (ours()?, theirs)
        };
        if pair > 0 {
            done.push(results);
        }
    }
    Ok(done)
}
