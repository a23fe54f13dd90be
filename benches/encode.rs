//! Throughput of the engine in frames a second, and the time of a probe and a plan.
//!
//! `cargo bench -p av1core --bench encode`, with criterion's arguments behind `--`
//! (`preset8/720p` for one case, `--save-baseline NAME`). The numbers hold for one
//! machine and one version of SVT-AV1: `av1cli doctor` names it.

#![expect(
    clippy::expect_used,
    reason = "what a benchmark cannot do, it tells by a panic"
)]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use av1core::{CancelToken, Crf, Destination, Options, Outcome, Preset};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use tempfile::TempDir;

/// Film: Big Buck Bunny, 1280x720 at 24 fps.
const FILM: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/media/bbb-bframes-mp3.mp4"
);

/// Frames of a clip: two seconds of the film, one and a half of SVT-AV1's mini-GOPs.
const FRAMES: u64 = 48;

fn main() {
    av1core::quiet_encoder_log();
    let mut criterion = Criterion::default().configure_from_args();
    encode(&mut criterion);
    look(&mut criterion);
    criterion.final_summary();
}

fn encode(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for preset in [8, 10, 12] {
        let mut group = criterion.benchmark_group(format!("encode/preset{preset}"));
        // Seconds each: ten single runs say more than a mean over a few long ones.
        group
            .sample_size(10)
            .sampling_mode(SamplingMode::Flat)
            .warm_up_time(Duration::from_millis(1))
            .throughput(Throughput::Elements(FRAMES));
        for height in [360, 720] {
            // Made when a run wants it: listing the benchmarks makes nothing.
            let clip = LazyLock::new(|| clip(&folder, height));
            let name = format!("{height}p");
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                let (source, output) = (clip.as_path(), folder.path().join("output.mkv"));
                bencher.iter(|| transcode(source, &output, preset));
            });
        }
        group.finish();
    }
}

/// The film's first frames at `height` lines, with sound.
fn clip(folder: &TempDir, height: u32) -> PathBuf {
    let clip = folder.path().join(format!("clip-{height}.mp4"));
    if clip.exists() {
        return clip;
    }
    let made = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "error", "-y", "-i", FILM])
        .args(["-t", "2", "-frames:v", &FRAMES.to_string()])
        .args(["-vf", &format!("scale=-2:{height}")])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-crf", "18"])
        .args(["-c:a", "aac", "-b:a", "128k"])
        .arg(&clip)
        .status()
        .expect("the ffmpeg command");
    assert!(made.success(), "ffmpeg makes no clip: {made}");
    clip
}

fn transcode(source: &Path, output: &Path, preset: u8) {
    let mut options = Options::default();
    options.preset = Some(Preset::new(preset).expect("a preset"));
    options.crf = Some(Crf::new(35).expect("a CRF"));
    let output = Destination::new(output).overwrite(true);
    let outcome = av1core::transcode(source, &output, &options, &CancelToken::new(), |_| {});
    let Outcome::Done(report) = outcome.expect("an encode") else {
        unreachable!("the clip is neither AV1 nor anything else that is left alone");
    };
    assert_eq!(report.frames, FRAMES);
}

/// What happens before a frame is decoded.
fn look(criterion: &mut Criterion) {
    criterion.bench_function("probe", |bencher| {
        bencher.iter(|| av1core::probe(black_box(FILM)).expect("a probe"));
    });
    criterion.bench_function("plan", |bencher| {
        let info = av1core::probe(FILM).expect("a probe");
        let options = Options::default();
        bencher.iter(|| av1core::plan(black_box(&info), black_box(&options)));
    });
}
