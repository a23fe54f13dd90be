//! Predicted sizes held against those of full encodes.
//!
//! ```text
//! cargo bench -p av1cli --bench predict -- [FILE...] [--preset 10] [--height 240]
//!     [--seconds 75] [--crf N] [--reels 10] [--as-is]
//! ```
//!
//! The set is made from the clips of `tests/media`: reels in different orders, lengths
//! and encodings, since each clip is a few seconds long (`--reels` makes fewer). A FILE is added, looped to
//! `--seconds` and scaled to `--height` in the same way, unless `--as-is`. For each film
//! it predicts, encodes it whole, and prints a line of a Markdown table; it asserts
//! nothing. It measures only when asked to with `--bench`, as `cargo bench` does.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(
    clippy::print_stderr,
    reason = "a measurement of many minutes tells how far it is"
)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use av1core::{
    CancelToken, Crf, Destination, Options, Outcome, Prediction, Preset, Report, Verdict,
};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const MEDIA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/media");

/// Clips of real film, a few seconds each.
const CLIPS: [&str; 6] = [
    "sintel-bframes-aac.mp4",
    "bbb-bframes-mp3.mp4",
    "city-mpeg2-odd-height.mpg",
    "bbb-aac-5.1.mp4",
    "sintel-cea608-late-start.ts",
    "camera-1080p-late-video.mp4",
];

/// Films of the set: clips in their order, and how the source is encoded.
const REELS: [(&str, &[usize], &str); 10] = [
    (
        "all, x264 crf 20",
        &[0, 1, 2, 3, 4, 5],
        "-c:v libx264 -preset veryfast -crf 20",
    ),
    (
        "all, other order, x264 crf 26",
        &[4, 3, 0, 5, 1, 2],
        "-c:v libx264 -preset veryfast -crf 26",
    ),
    (
        "all, 1 Mbit/s throughout",
        &[1, 0, 3, 4, 2],
        "-c:v libx264 -preset veryfast -b:v 1M -maxrate 1M -bufsize 1M",
    ),
    (
        "sintel twice, x264 crf 18",
        &[0, 4],
        "-c:v libx264 -preset veryfast -crf 18 -g 48",
    ),
    (
        "bunny, x264 crf 23",
        &[1, 3],
        "-c:v libx264 -preset veryfast -crf 23",
    ),
    (
        "all, MPEG-4 ASP q 4",
        &[0, 1, 3, 4],
        "-c:v mpeg4 -q:v 4 -bf 2",
    ),
    ("all, MPEG-2 q 5", &[3, 2, 1, 0], "-c:v mpeg2video -q:v 5"),
    (
        "camera and city, x264 crf 22",
        &[2, 5, 4],
        "-c:v libx264 -preset veryfast -crf 22",
    ),
    (
        "all, intra only",
        &[1, 4, 0, 2],
        "-c:v libx264 -preset veryfast -crf 24 -g 1",
    ),
    (
        "all, x264 crf 30, long GOPs",
        &[5, 0, 2, 1, 4, 3],
        "-c:v libx264 -preset veryfast -crf 30 -g 500",
    ),
];

struct Args {
    files: Vec<PathBuf>,
    preset: u8,
    crf: Option<u8>,
    height: u32,
    seconds: u32,
    reels: usize,
    as_is: bool,
}

fn main() -> ExitCode {
    // While there is one thread: it sets an environment variable.
    av1core::quiet_encoder_log();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if !words.iter().any(|word| word == "--bench") {
        return ExitCode::SUCCESS;
    }
    match parse(words).and_then(|args| measure(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn parse(words: Vec<String>) -> Result<Args> {
    let mut args = Args {
        files: Vec::new(),
        preset: 10,
        crf: None,
        height: 240,
        seconds: 75,
        reels: REELS.len(),
        as_is: false,
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        let mut number = || -> Result<u32> {
            let value = words.next().ok_or(format!("{word} wants a value"))?;
            Ok(value.parse()?)
        };
        match word.as_str() {
            "--bench" => {}
            "--preset" => args.preset = u8::try_from(number()?)?,
            "--crf" => args.crf = Some(u8::try_from(number()?)?),
            "--height" => args.height = number()?,
            "--seconds" => args.seconds = number()?,
            "--reels" => args.reels = number()? as usize,
            "--as-is" => args.as_is = true,
            file if !file.starts_with("--") => {
                // Cargo starts benches in the package's folder; a path is typed elsewhere.
                let typed_in = std::env::var_os("PWD").map(PathBuf::from);
                args.files.push(typed_in.unwrap_or_default().join(file));
            }
            _ => return Err(format!("{word} is not known; benches/predict.rs tells").into()),
        }
    }
    Ok(args)
}

/// A film that was predicted and encoded.
struct Row {
    prediction: Prediction,
    report: Report,
}

impl Row {
    /// How far the prediction is off, as a share of the real size.
    fn error(&self) -> f64 {
        self.prediction.bytes as f64 / self.report.output_bytes as f64 - 1.0
    }

    fn is_inside(&self) -> bool {
        let interval = self.prediction.low_bytes..=self.prediction.high_bytes;
        interval.contains(&self.report.output_bytes)
    }

    fn line(&self, name: &str) -> String {
        let (found, real) = (&self.prediction, &self.report);
        let kilobytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e3);
        format!(
            "| {name} | {:.0} | {} | {} | {}..{} | {} | {:+.1} | {} | {:.1} |",
            real.film_us as f64 / 1e6,
            found.samples,
            kilobytes(found.bytes),
            kilobytes(found.low_bytes),
            kilobytes(found.high_bytes),
            kilobytes(real.output_bytes),
            self.error() * 100.0,
            if self.is_inside() { "yes" } else { "NO" },
            found.elapsed_us as f64 / real.elapsed_us as f64 * 100.0,
        )
    }
}

fn measure(args: &Args) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let found = av1core::capabilities();
    println!(
        "FFmpeg {}, SVT-AV1 {}; preset {}. Sizes in kB; the cost is the prediction's time by the \
         encode's.\n",
        found.ffmpeg,
        found.svt_av1.as_deref().unwrap_or("unknown"),
        args.preset,
    );
    println!(
        "| film | s | samples | predicted | 90 % interval | real | error % | inside | cost % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    let film = folder.path().join("film.mkv");
    for (name, clips, codec) in REELS.into_iter().take(args.reels) {
        make_reel(args, clips, codec, &film)?;
        rows.push(run(name, &film, args)?);
    }
    for file in &args.files {
        let name = file.file_name().unwrap_or(file.as_os_str());
        let name = name.to_string_lossy();
        if args.as_is {
            rows.push(run(&name, file, args)?);
        } else {
            make_loop(args, file, &film)?;
            rows.push(run(&name, &film, args)?);
        }
    }
    let mut errors: Vec<f64> = rows.iter().map(|row| row.error().abs() * 100.0).collect();
    errors.sort_by(f64::total_cmp);
    let inside = rows.iter().filter(|row| row.is_inside()).count();
    println!(
        "\n{inside} of {} inside; errors: median {:.1} %, largest {:.1} %",
        rows.len(),
        f64::midpoint(errors[(errors.len() - 1) / 2], errors[errors.len() / 2]),
        errors.last().copied().unwrap_or_default(),
    );
    Ok(())
}

fn run(name: &str, film: &Path, args: &Args) -> Result<Row> {
    eprintln!("{name} ...");
    let mut options = Options::default();
    options.preset = Some(Preset::new(args.preset)?);
    options.crf = args.crf.map(Crf::new).transpose()?;
    let info = av1core::probe(film)?;
    let Verdict::Transcode(plan) = av1core::plan(&info, &options) else {
        return Err(format!("{name}: the plan is not to encode it").into());
    };
    let cancel = CancelToken::new();
    let prediction = av1core::predict(film, &info, &plan, &cancel, |_| {})?;
    let folder = tempfile::tempdir()?;
    let output = Destination::new(folder.path().join("out.mkv"));
    let outcome = av1core::transcode(film, &output, &options, &cancel, |_| {})?;
    let Outcome::Done(report) = outcome else {
        return Err(format!("{name}: {outcome:?}").into());
    };
    let row = Row { prediction, report };
    println!("{}", row.line(name));
    Ok(row)
}

/// Joins clips to a reel, and loops it.
fn make_reel(args: &Args, clips: &[usize], codec: &str, film: &Path) -> Result<()> {
    let mut command = ffmpeg();
    let mut graph = String::new();
    for (i, &clip) in clips.iter().enumerate() {
        command.arg("-i").arg(Path::new(MEDIA).join(CLIPS[clip]));
        let (height, width) = (args.height, args.height * 16 / 9 / 2 * 2);
        graph += &format!("[{i}:v:0]scale={width}:{height},fps=24,setsar=1,format=yuv420p[v{i}];");
    }
    let inputs: String = (0..clips.len()).map(|i| format!("[v{i}]")).collect();
    let frames = args.seconds * 24;
    graph += &format!(
        "{inputs}concat=n={}:v=1:a=0,loop=-1:2000,trim=end_frame={frames}[v]",
        clips.len()
    );
    command.args(["-stream_loop", "-1", "-i"]);
    command.arg(Path::new(MEDIA).join(CLIPS[clips.len() % 2]));
    command.args(["-filter_complex", &graph, "-map", "[v]", "-map"]);
    command.arg(format!("{}:a", clips.len()));
    command.args(codec.split_whitespace());
    command.args(["-c:a", "aac", "-b:a", "96k", "-t"]);
    command.arg(args.seconds.to_string()).arg(film);
    finish(command)
}

fn make_loop(args: &Args, file: &Path, film: &Path) -> Result<()> {
    let mut command = ffmpeg();
    command.args(["-stream_loop", "-1", "-i"]).arg(file);
    command.args(["-map", "0:v:0", "-map", "0:a:0?", "-t"]);
    command.arg(args.seconds.to_string());
    let scale = format!("scale=-2:{},format=yuv420p", args.height);
    command.args(["-vf", &scale, "-c:v", "libx264", "-preset", "veryfast"]);
    command.args(["-crf", "20", "-c:a", "aac", "-b:a", "128k"]);
    command.arg(film);
    finish(command)
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-v", "fatal", "-y"]);
    command.stdin(Stdio::null());
    command
}

fn finish(mut command: Command) -> Result<()> {
    if command.status()?.success() {
        return Ok(());
    }
    Err(format!("{command:?} failed").into())
}
