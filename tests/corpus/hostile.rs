//! Damaged and hostile files: each ends in an output that plays, a skip, or a clear
//! error, in time and within a bound of memory; never in a crash, never in litter.
//!
//! Each file goes through the programme in a process of its own, so that a crash is
//! seen as one. `AV1_KEEP_HOSTILE=FOLDER` keeps the files, to look at one by hand.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::mutate::{DAMAGES, Dice};
use crate::support::Scratch;
use crate::support::command::{ffmpeg, run, words};
use crate::support::probe::ask;
use crate::support::scratch::{fingerprint, names};

/// What is damaged: a name, and how the whole file is made.
const SOURCES: [(&str, &str); 10] = [
    (
        "film.mp4",
        "-c:v libx264 -preset veryfast -bf 2 -pix_fmt yuv420p -c:a aac",
    ),
    (
        "film.mkv",
        "-c:v libx264 -preset veryfast -bf 2 -pix_fmt yuv420p -c:a libmp3lame",
    ),
    ("film.ts", "-c:v mpeg2video -q:v 6 -bf 2 -c:a mp2"),
    ("film.avi", "-c:v mpeg4 -q:v 6 -c:a libmp3lame"),
    (
        "film.webm",
        "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p -c:a libopus",
    ),
    (
        "fragmented.mp4",
        "-c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p -tag:v hvc1 \
         -c:a aac -g 5 -movflags +frag_keyframe+empty_moov",
    ),
    (
        "film.flv",
        "-c:v libx264 -preset veryfast -pix_fmt yuv420p -c:a aac",
    ),
    ("film.mpg", "-c:v mpeg2video -q:v 6 -bf 2 -c:a ac3"),
    ("film.ogv", "-c:v libtheora -q:v 5 -c:a flac"),
    ("film.wmv", "-c:v wmv2 -q:v 6 -c:a wmav2"),
];

/// How often each source is damaged in each way.
const ROUNDS: u64 = 4;

/// The sources of the quick slice: its first round.
const QUICK_SOURCES: usize = 5;

/// A file may take so long; most take half a second.
const LIMIT: Duration = Duration::from_secs(30);

/// Address space of the programme in KiB, threads' stacks and libraries included. A
/// clip of this size takes half of that.
const MEMORY_KIB: u64 = 4 << 20;

/// How a damaged file may end: an output, skipped, refused as it is, damaged; the
/// encoder refuses what a damaged header asks for; the output was looked at and refused.
const ENDS: [i32; 6] = [0, 3, 7, 8, 12, 13];

/// One test: a source, and each kind of damage once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch {
    source: usize,
    round: u64,
}

/// All batches.
pub(crate) fn batches() -> impl Iterator<Item = Batch> {
    (0..SOURCES.len()).flat_map(|source| (0..ROUNDS).map(move |round| Batch { source, round }))
}

impl Batch {
    pub(crate) fn name(self) -> String {
        let (name, _) = SOURCES[self.source];
        format!("{}::{}", name.replace('.', "-"), self.round)
    }

    pub(crate) fn is_quick(self) -> bool {
        self.source < QUICK_SOURCES && self.round == 0
    }

    /// Damages the source in every way and runs each result.
    pub(crate) fn run(self) {
        let folder = Scratch::new();
        let (name, codecs) = SOURCES[self.source];
        let whole = folder.file(name);
        let picture = "-f lavfi -i testsrc2=s=128x96:r=25:d=0.4 -f lavfi -i sine=r=48000:d=0.4";
        run(ffmpeg()
            .args(words(&format!("{picture} {codecs} -fflags +bitexact")))
            .arg(&whole));
        let bytes = fs::read(&whole).expect("read");
        let mut ends = BTreeMap::new();
        let mut faults = Vec::new();
        for (number, (kind, damage)) in DAMAGES.iter().enumerate() {
            let seed = [self.source as u64, self.round, number as u64];
            let mut dice = Dice(seed.iter().fold(7, |a, b| a * 1000 + b));
            let mut damaged = bytes.clone();
            damage(&mut damaged, &mut dice);
            let label = format!("{kind}-{}-{name}", self.round);
            let path = folder.write(&label, damaged);
            if let Some(keep) = env::var_os("AV1_KEEP_HOSTILE") {
                fs::copy(&path, Path::new(&keep).join(&label)).expect("kept");
            }
            match outcome(&path) {
                Ok(code) => *ends.entry(code).or_insert(0) += 1,
                Err(fault) => faults.push(format!("{label}: {fault}")),
            }
        }
        eprintln!("{}: exit codes and how often: {ends:?}", self.name());
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

/// Runs the programme on a file: its exit code, or what is wrong with how it ended.
fn outcome(source: &Path) -> Result<i32, String> {
    let before = fingerprint(source);
    let folder = Scratch::new();
    let output = folder.file("out.mkv");
    let (status, stderr) = limited(source, &output)?;
    if let Some(signal) = status.signal() {
        return Err(format!("killed by signal {signal}: {stderr}"));
    }
    let code = status.code().expect("an exit code");
    let told = stderr
        .lines()
        .filter(|line| !line.starts_with("warning: "))
        .count();
    let left = names(folder.path());
    match code {
        _ if stderr.contains("panicked") => Err(stderr),
        code if !ENDS.contains(&code) => Err(format!("exit code {code}: {stderr}")),
        0 if left != ["out.mkv"] => Err(format!("left {left:?}")),
        0 if told > 0 => Err(format!("done, and says {stderr}")),
        1.. if !left.is_empty() => Err(format!("exit code {code}, left {left:?}")),
        1.. if told != 1 => Err(format!("exit code {code}, and not one line: {stderr}")),
        _ if fingerprint(source) != before => Err("the source is another".to_owned()),
        0 => {
            // Any complaint fails, whatever the times of a damaged source are.
            let all = ask(
                &output,
                "-err_detect explode -show_entries frame=media_type",
            );
            let frames = all["frames"].as_array().expect("frames");
            assert!(frames.iter().any(|frame| frame["media_type"] == "video"));
            Ok(0)
        }
        code => Ok(code),
    }
}

/// The programme within its bounds; an error where it hangs.
fn limited(source: &Path, output: &Path) -> Result<(ExitStatus, String), String> {
    let bounded = format!("ulimit -v {MEMORY_KIB} 2>/dev/null; exec \"$0\" \"$@\"");
    let mut child = Command::new("sh")
        .args(["-c", &bounded, env!("CARGO_BIN_EXE_av1cli")])
        .args(["transcode", "--preset", "13", "--quiet"])
        .args([source, output])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh starts");
    let mut pipe = child.stderr.take().expect("piped");
    let (done, ended) = mpsc::channel();
    // Its end closes the pipe, which is what is waited for.
    let reader = thread::spawn(move || {
        let mut told = Vec::new();
        let read = pipe.read_to_end(&mut told);
        // Nobody listens any more where the limit has passed.
        let _ = done.send(());
        read.map(|_| String::from_utf8_lossy(&told).into_owned())
    });
    if ended.recv_timeout(LIMIT).is_err() {
        child.kill().expect("killed");
        child.wait().expect("ended");
        return Err(format!("still running after {} s", LIMIT.as_secs()));
    }
    let status = child.wait().expect("ended");
    let stderr = reader.join().expect("a reader").expect("stderr");
    Ok((status, stderr))
}
