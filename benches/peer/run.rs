//! The processes that are measured, and those that check what they made.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use av1core::{Action, Crf, MediaInfo, Options, Preset, Verdict, VideoSettings};

use super::Result;

/// The clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads the clock, and nothing but a benchmark calls this"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}

/// What both sides are told.
pub(super) struct Parameters {
    pub(super) preset: u8,
    pub(super) crf: u8,
    pub(super) video: VideoSettings,
    /// Bit rate of each audio track in kbit/s.
    audio_kbps: Vec<u32>,
}

impl Parameters {
    /// What the engine plans for `clip`.
    pub(super) fn of(clip: &Path, preset: u8, crf: u8) -> Result<Self> {
        let info: MediaInfo = av1core::probe(clip)?;
        let mut options = Options::default();
        (options.preset, options.crf) = (Some(Preset::new(preset)?), Some(Crf::new(crf)?));
        let Verdict::Transcode(plan) = av1core::plan(&info, &options) else {
            return Err(format!("{}: the plan is not to encode it", clip.display()).into());
        };
        let (mut video, mut audio_kbps) = (None, Vec::new());
        for stream in plan.streams {
            match stream.action {
                Action::EncodeVideo(settings) => video = Some(settings),
                Action::EncodeAudio(settings) => audio_kbps.push(settings.bitrate_kbps),
                _ => {}
            }
        }
        Ok(Self {
            preset,
            crf,
            video: video.ok_or("the plan has no video")?,
            audio_kbps,
        })
    }

    pub(super) fn picture(&self) -> String {
        format!("{}x{}", self.video.width, self.video.height)
    }
}

/// What a process took.
pub(super) struct Usage {
    pub(super) wall_s: f64,
    /// User and system; `None` without GNU time.
    pub(super) cpu_s: Option<f64>,
    /// Peak of the resident set; `None` without GNU time.
    pub(super) peak_mb: Option<f64>,
    stdout: String,
}

/// The engine's run, with its own word on how long the encode took.
pub(super) struct Timed {
    pub(super) process: Usage,
    /// From the opened encoder to the closed one.
    pub(super) encode_s: f64,
    /// Reading the output back.
    pub(super) verify_s: f64,
}

impl Timed {
    /// What the peers do as well: everything but reading the output back.
    pub(super) fn unverified_s(&self) -> f64 {
        self.process.wall_s - self.verify_s
    }
}

impl Usage {
    /// Reads the engine's last JSON line.
    fn timed(self) -> Result<Timed> {
        let last = self.stdout.lines().last().unwrap_or_default();
        let done: serde_json::Value = serde_json::from_str(last)?;
        let seconds = |key: &str| {
            let micros = done[key].as_f64().ok_or(format!("no {key}"))?;
            Ok::<_, String>(micros / 1e6)
        };
        Ok(Timed {
            encode_s: seconds("elapsed_us")?,
            verify_s: seconds("verify_us")?,
            process: self,
        })
    }
}

/// Starts processes and measures them.
pub(super) struct Runner {
    folder: PathBuf,
    gnu_time: bool,
}

impl Runner {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let time = Command::new("time")
            .args(["-f", "%e %U %S %M", "true"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        Ok(Self {
            folder: folder.canonicalize()?,
            gnu_time: time.is_ok_and(|status| status.success()),
        })
    }

    pub(super) fn output(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension("mkv")
    }

    /// av1core, by way of the release build of `av1cli`.
    pub(super) fn engine(
        &self,
        clip: &Path,
        output: &Path,
        parameters: &Parameters,
    ) -> Result<Timed> {
        let (preset, crf) = (parameters.preset.to_string(), parameters.crf.to_string());
        let mut args = words(&["transcode", "--json", "--overwrite", "--preset", &preset]);
        args.extend(words(&["--crf", &crf]));
        args.extend([clip.as_os_str(), output.as_os_str()]);
        self.run(env!("CARGO_BIN_EXE_av1cli"), &args)?.timed()
    }

    /// The `ffmpeg` command, told what the engine plans.
    pub(super) fn command(
        &self,
        clip: &Path,
        output: &Path,
        parameters: &Parameters,
    ) -> Result<Usage> {
        let (preset, crf) = (parameters.preset.to_string(), parameters.crf.to_string());
        let gop = parameters.video.keyframe_interval_frames.to_string();
        let mut args = words(&["-nostdin", "-v", "error", "-y", "-i"]);
        args.push(clip.as_os_str());
        args.extend(words(&["-map", "0:v:0", "-map", "0:a?"]));
        args.extend(words(&["-c:v", "libsvtav1", "-preset", &preset]));
        args.extend(words(&["-crf", &crf, "-g", &gop]));
        args.extend(words(&["-pix_fmt", "yuv420p10le", "-c:a", "libopus"]));
        let rates = parameters.audio_kbps.iter().enumerate();
        let rates: Vec<_> = rates
            .flat_map(|(track, kbps)| [format!("-b:a:{track}"), format!("{kbps}k")])
            .collect();
        args.extend(rates.iter().map(OsStr::new));
        args.push(output.as_os_str());
        self.run("ffmpeg", &args)
    }

    fn run(&self, program: &str, args: &[&OsStr]) -> Result<Usage> {
        let usage_file = self.folder.join("usage");
        let mut command = if self.gnu_time {
            let mut time = Command::new("time");
            time.args(["-f", "%U %S %M", "-o"]).arg(&usage_file);
            time.arg(program);
            time
        } else {
            Command::new(program)
        };
        command.args(args).env("SVT_LOG", "0");
        // The user's own settings of av1cli are not the engine's defaults.
        for (key, _) in std::env::vars_os() {
            if key.to_string_lossy().starts_with("AV1CLI_") {
                command.env_remove(key);
            }
        }
        let start = now();
        let done = command.stdin(Stdio::null()).output()?;
        let wall_s = start.elapsed().as_secs_f64();
        if !done.status.success() {
            let told = String::from_utf8_lossy(&done.stderr);
            return Err(format!("{program}: {}: {told}", done.status).into());
        }
        let usage = if self.gnu_time {
            Some(parse_usage(&fs::read_to_string(&usage_file)?)?)
        } else {
            None
        };
        Ok(Usage {
            wall_s,
            cpu_s: usage.map(|(cpu_s, _)| cpu_s),
            peak_mb: usage.map(|(_, peak_mb)| peak_mb),
            stdout: String::from_utf8(done.stdout)?,
        })
    }
}

/// `user system KiB` of GNU time, as CPU seconds and megabytes.
fn parse_usage(text: &str) -> Result<(f64, f64)> {
    let numbers: Vec<f64> = text
        .split_whitespace()
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    match numbers.as_slice() {
        [user, system, kib] => Ok((user + system, kib * 1024.0 / 1e6)),
        _ => Err(format!("time says {text}").into()),
    }
}

/// Loops, cuts and scales `source` to a clip that an encoder has work with.
pub(super) fn make_clip(source: &Path, seconds: u32, height: u32, clip: &Path) -> Result<()> {
    let (seconds, scale) = (seconds.to_string(), format!("scale=-2:{height}"));
    let mut args = words(&["-nostdin", "-v", "error", "-y", "-stream_loop", "-1", "-i"]);
    args.push(source.as_os_str());
    args.extend(words(&["-map", "0:v:0", "-map", "0:a:0?", "-t", &seconds]));
    args.extend(words(&["-vf", &scale, "-c:v", "libx264"]));
    args.extend(words(&["-preset", "veryfast", "-crf", "18"]));
    args.extend(words(&["-c:a", "aac", "-b:a", "128k"]));
    args.push(clip.as_os_str());
    output_of("ffmpeg", &args).map(drop)
}

pub(super) fn strip_sound(clip: &Path, silent: &Path) -> Result<()> {
    let mut args = words(&["-nostdin", "-v", "error", "-y", "-i"]);
    args.push(clip.as_os_str());
    args.extend(words(&["-map", "0:v:0", "-c", "copy"]));
    args.push(silent.as_os_str());
    output_of("ffmpeg", &args).map(drop)
}

/// The version of the `ffmpeg` command.
pub(super) fn command_version() -> Result<String> {
    let told = output_of("ffmpeg", &words(&["-version"]))?;
    let version = told.split_whitespace().nth(2);
    Ok(version.unwrap_or("unknown").to_owned())
}

/// Frames that the video of `file` decodes to.
pub(super) fn decoded_frames(file: &Path) -> Result<u64> {
    let mut args = words(&["-v", "error", "-select_streams", "v:0", "-count_frames"]);
    args.extend(words(&["-show_entries", "stream=nb_read_frames"]));
    args.extend(words(&["-of", "default=nw=1:nk=1"]));
    args.push(file.as_os_str());
    Ok(output_of("ffprobe", &args)?.trim().parse()?)
}

pub(super) fn expect_frames(file: &Path, frames: u64) -> Result<()> {
    let found = decoded_frames(file)?;
    if found == frames {
        return Ok(());
    }
    Err(format!("{}: {found} of {frames} frames", file.display()).into())
}

/// Bytes of the packets of the video of `file`.
pub(super) fn video_bytes(file: &Path) -> Result<u64> {
    let mut args = words(&["-v", "error", "-select_streams", "v:0"]);
    args.extend(words(&["-show_entries", "packet=size", "-of", "csv=p=0"]));
    args.push(file.as_os_str());
    let told = output_of("ffprobe", &args)?;
    let sizes = told.lines().map(|line| line.trim_end_matches(','));
    let sizes = sizes.filter(|size| !size.is_empty()).map(str::parse::<u64>);
    Ok(sizes.sum::<Result<u64, _>>()?)
}

fn output_of(program: &str, args: &[&OsStr]) -> Result<String> {
    let done = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !done.status.success() {
        let told = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{program}: {}: {told}", done.status).into());
    }
    Ok(String::from_utf8(done.stdout)?)
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}
