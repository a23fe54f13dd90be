//! Sound, decoded by the `ffmpeg` command.

use std::path::Path;

use serde_json::Value;

use super::command::{ffmpeg, run, words};
use super::encode::Encode;
use super::probe::ask;

/// One Opus frame and the rounding of Matroska's milliseconds, in seconds.
pub(crate) const OPUS_FRAME_S: f64 = 0.0215;

/// Samples per second of [`heard`].
pub(crate) const RATE_HZ: usize = 48_000;

/// When a track's decoded sound starts and ends, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start_s: f64,
    pub(crate) end_s: f64,
    /// Length of all samples together; less than the span where there are gaps.
    pub(crate) sounding_s: f64,
}

/// The span of the n-th audio track.
pub(crate) fn span(path: &Path, track: usize) -> Span {
    let asked = ask(
        path,
        &format!(
            "-select_streams a:{track} \
             -show_entries frame=best_effort_timestamp_time,nb_samples:stream=sample_rate"
        ),
    );
    let rate: f64 = number(&asked["streams"][0]["sample_rate"]);
    let frames = asked["frames"].as_array().expect("frames");
    let seconds = |frame: &Value| frame["nb_samples"].as_f64().expect("samples") / rate;
    let mut end_s = None;
    for frame in frames {
        // The last frame of an ASF file has no time of its own: it follows.
        let time = &frame["best_effort_timestamp_time"];
        let start_s = end_s.filter(|_| time.is_null());
        end_s = Some(start_s.unwrap_or_else(|| number(time)) + seconds(frame));
    }
    Span {
        start_s: number(&frames.first().expect("sound")["best_effort_timestamp_time"]),
        end_s: end_s.expect("sound"),
        sounding_s: frames.iter().map(seconds).sum(),
    }
}

/// Track `track` of the output sounds when the source's does, moved by the shift.
pub(crate) fn assert_in_sync(source: &Path, encoded: &Encode, track: usize) {
    let shift_s = encoded.report.plan.timestamp_shift_ms as f64 / 1000.0;
    let (before, after) = (span(source, track), span(&encoded.output, track));
    assert!(
        (before.start_s + shift_s - after.start_s).abs() <= OPUS_FRAME_S,
        "track {track} starts at {before:?} in the source and at {after:?}, moved by {shift_s}"
    );
    assert!(
        (before.end_s + shift_s - after.end_s).abs() <= OPUS_FRAME_S,
        "track {track} ends at {before:?} in the source and at {after:?}, moved by {shift_s}"
    );
    // The output has no holes: what is missing in between is silence.
    assert!(
        (after.end_s - after.start_s - after.sounding_s).abs() <= OPUS_FRAME_S,
        "{after:?}"
    );
}

fn number(value: &Value) -> f64 {
    let text = value.as_str().expect("a number as text");
    text.parse().expect("a number")
}

/// A track's sound at 48 kHz, all channels mixed, from time zero on: what starts
/// late starts with silence, and gaps are silent.
pub(crate) fn heard(path: &Path, track: usize) -> Vec<f32> {
    decode(
        path,
        &format!(
            "-map 0:a:{track} -af aresample={RATE_HZ}:async=1:min_hard_comp=0.005:first_pts=0 -ac 1"
        ),
    )
}

/// As [`heard`], from the container's own zero: the command counts from a file's
/// first timestamp otherwise, and that of Opus lies before zero.
pub(crate) fn heard_as_stamped(path: &Path, track: usize) -> Vec<f32> {
    decode(
        path,
        &format!(
            "-copyts -map 0:a:{track} \
             -af aresample={RATE_HZ}:async=1:min_hard_comp=0.005:first_pts=0 -ac 1"
        ),
    )
}

/// One channel of a track as it comes out of the decoder.
pub(crate) fn channel(path: &Path, track: usize, channel: usize) -> Vec<f32> {
    let arguments = format!("-map 0:a:{track} -af pan=mono|c0=c{channel} -ar {RATE_HZ}");
    decode(path, &arguments)
}

fn decode(path: &Path, arguments: &str) -> Vec<f32> {
    let bytes = run(ffmpeg()
        .arg("-i")
        .arg(path)
        .args(words(arguments))
        .args(words("-f f32le -c:a pcm_f32le -")));
    bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// When sound begins after at least 50 ms of silence, in seconds.
pub(crate) fn onsets(samples: &[f32], threshold: f32) -> Vec<f64> {
    let silence = RATE_HZ / 20;
    let mut onsets = Vec::new();
    let mut quiet_since = 0;
    for (at, sample) in samples.iter().enumerate() {
        if sample.abs() >= threshold {
            if at - quiet_since >= silence || onsets.is_empty() {
                onsets.push(at as f64 / RATE_HZ as f64);
            }
            quiet_since = at + 1;
        }
    }
    onsets
}

/// The loudest frequency of `samples` among `candidates`, in Hz (Goertzel).
pub(crate) fn pitch(samples: &[f32], candidates: &[f64]) -> f64 {
    let power = |frequency: f64| {
        let step = std::f64::consts::TAU * frequency / RATE_HZ as f64;
        let factor = 2.0 * step.cos();
        let (mut before, mut last) = (0.0, 0.0);
        for sample in samples {
            let next = f64::from(*sample) + factor * last - before;
            (before, last) = (last, next);
        }
        before * before + last * last - factor * before * last
    };
    let loudest = candidates
        .iter()
        .copied()
        .max_by(|a, b| power(*a).total_cmp(&power(*b)));
    loudest.expect("a candidate")
}
