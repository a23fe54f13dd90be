//! What a golden file holds: the verdict on a source, and the inventory of its output.

use std::path::Path;

use av1core::{MediaInfo, Verdict};
use serde_json::{Map, Value, json};

use crate::support::probe::frame_times;
use crate::support::sound::span;

/// Facts that the versions of FFmpeg and of the encoders tell differently, and that
/// no plan of a user depends on: rates that libavformat guesses, durations and counts
/// that it estimates, sizes, names of profiles and of the programmes that wrote a file.
const VARYING: [&str; 22] = [
    "DURATION",
    "ENCODER",
    "average_frame_rate",
    "bit_rate_bps",
    "compatible_brands",
    "decodable",
    "declared_frames",
    "decoder_threads",
    "duration_is_guess",
    "duration_us",
    "encoder",
    "estimated_frames",
    "first_frame_ticks",
    "frame_rate",
    "keyframe_interval_frames",
    "matroska_holds",
    "minor_version",
    "nominal_frame_rate",
    "size_bytes",
    "start_us",
    "time_base",
    "vendor_id",
];

/// Facts of a source that another FFmpeg makes differently by the same recipe: colour
/// tags that encoders add or lose, a start some milliseconds before zero; and what
/// follows from them, or from an encoder whose presets differ.
const MADE_DIFFERENTLY: [&str; 11] = [
    "colour",
    "content_light",
    "crf",
    "first_ms",
    "hdr",
    "last_ms",
    "mastering_display",
    "sound_length_ms",
    "sound_start_ms",
    "timestamp_shift_ms",
    "warnings",
];

/// Golden files hold what sources of FFmpeg 5.1's command become. With another only
/// what does not depend on the maker is compared; that the output shows what its
/// source shows is held by the gate and by the independent readers, with any.
pub(crate) fn comparable(facts: &Value) -> Value {
    if av1core::capabilities().ffmpeg.starts_with("5.1") {
        return facts.clone();
    }
    without_maker(facts)
}

fn without_maker(facts: &Value) -> Value {
    match facts {
        Value::Object(fields) => {
            let kept = fields
                .iter()
                .filter(|(name, _)| !MADE_DIFFERENTLY.contains(&name.as_str()))
                // A stream's reason is a sentence with its settings, a skip's is a fact.
                .filter(|(name, value)| !(*name == "reason" && value.is_string()))
                .map(|(name, value)| (name.clone(), without_maker(value)));
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_maker).collect()),
        other => other.clone(),
    }
}

/// The verdict on a source, with the plan.
pub(crate) fn of_verdict(verdict: &Verdict) -> Value {
    tidy(serde_json::to_value(verdict).expect("JSON"))
}

/// What an output holds, by our own probe, and when its frames and sounds are, by
/// `ffprobe`.
pub(crate) fn of_output(path: &Path) -> Value {
    let info = av1core::probe(path).unwrap_or_else(|error| panic!("{error:?}"));
    let mut facts = tidy(serde_json::to_value(&info).expect("JSON"));
    let millis = frame_times(path).millis();
    facts["frames"] = json!({
        "count": millis.len(),
        "first_ms": millis.first(),
        "last_ms": millis.last(),
    });
    let streams = facts["streams"].as_array_mut().expect("streams");
    for (track, index) in audio_indices(&info).into_iter().enumerate() {
        let span = span(path, track);
        let round = |seconds: f64| (seconds * 1000.0).round() as i64;
        streams[index]["sound_start_ms"] = round(span.start_s).into();
        streams[index]["sound_length_ms"] = round(span.end_s - span.start_s).into();
    }
    facts
}

/// Indices of the audio streams.
fn audio_indices(info: &MediaInfo) -> Vec<usize> {
    let audio = info
        .streams
        .iter()
        .filter(|stream| stream.audio().is_some());
    audio.map(|stream| stream.index).collect()
}

/// Without what varies and without what says nothing: nulls, dispositions that are
/// not set, empty lists.
fn tidy(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let is_stream = fields.contains_key("codec");
            let kept = fields
                .into_iter()
                // Dolby Vision has profiles as well, and those do not vary.
                .filter(|(name, _)| !(is_stream && name == "profile"))
                .filter(|(name, _)| !VARYING.contains(&name.as_str()))
                .map(|(name, value)| (name, tidy(value)))
                .filter(|(_, value)| says_something(value));
            Value::Object(kept.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(tidy).collect()),
        other => other,
    }
}

fn says_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    }
}
