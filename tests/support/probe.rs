//! What `ffprobe` says of a file.

use std::path::Path;

use av1core::TimeBase;
use serde_json::Value;

use super::command::{ffprobe, run};

/// Asks `ffprobe`, with arguments that are separated by spaces.
pub(crate) fn ask(path: &Path, arguments: &str) -> Value {
    let printed = run(ffprobe().args(arguments.split_whitespace()).arg(path));
    serde_json::from_slice(&printed).expect("JSON of ffprobe")
}

/// The streams and the format of a file, with chapters.
pub(crate) fn inventory(path: &Path) -> Value {
    ask(path, "-show_streams -show_format -show_chapters")
}

/// All streams of a kind: `video`, `audio`, `subtitle`, `attachment`.
pub(crate) fn streams(inventory: &Value, kind: &str) -> Vec<Value> {
    let all = inventory["streams"].as_array().expect("streams");
    let of_kind = all.iter().filter(|stream| stream["codec_type"] == kind);
    of_kind.cloned().collect()
}

/// A tag, whichever way its key is spelled.
pub(crate) fn tag(of: &Value, key: &str) -> Option<String> {
    let tags = of["tags"].as_object()?;
    let (_, value) = tags.iter().find(|(k, _)| k.eq_ignore_ascii_case(key))?;
    value.as_str().map(ToOwned::to_owned)
}

/// Presentation times of a stream's decoded frames.
#[derive(Debug)]
pub(crate) struct Times {
    pub(crate) base: TimeBase,
    pub(crate) ticks: Vec<i64>,
}

impl Times {
    /// In milliseconds, which is what Matroska holds.
    pub(crate) fn millis(&self) -> Vec<i64> {
        let millis = |ticks: &i64| self.base.rescale(*ticks, TimeBase::MILLIS);
        self.ticks.iter().map(millis).collect()
    }
}

/// Presentation times of the frames of the first video.
pub(crate) fn frame_times(path: &Path) -> Times {
    frame_times_with(path, "")
}

/// As [`frame_times`]; `-v quiet` where the decoder may complain about the file.
pub(crate) fn frame_times_with(path: &Path, options: &str) -> Times {
    let frames = "-select_streams V:0 -show_entries frame=best_effort_timestamp:stream=time_base";
    let asked = ask(path, &format!("{options} {frames}"));
    let base = asked["streams"][0]["time_base"]
        .as_str()
        .expect("a time base");
    let frames = asked["frames"].as_array().expect("frames");
    let mut ticks: Vec<i64> = Vec::with_capacity(frames.len());
    for frame in frames {
        // The last frame of an AVI with B-frames has no time of its own.
        let follows = || {
            let (last, before) = (ticks.last()?, ticks.iter().rev().nth(1)?);
            Some(2 * last - before)
        };
        let tick = frame["best_effort_timestamp"].as_i64().or_else(follows);
        ticks.push(tick.expect("a frame's time"));
    }
    Times {
        base: time_base(base),
        ticks,
    }
}

fn time_base(text: &str) -> TimeBase {
    let (num, den) = text.split_once('/').expect("a fraction");
    TimeBase::new(
        num.parse().expect("a number"),
        den.parse().expect("a number"),
    )
}

/// Start and length of the packets of the n-th stream of a kind (`s:0`), in ms.
/// Where no length is known it is 0.
pub(crate) fn packet_spans(path: &Path, stream: &str) -> Vec<(i64, i64)> {
    let asked = ask(
        path,
        &format!("-select_streams {stream} -show_entries packet=pts_time,duration_time"),
    );
    let packets = asked["packets"].as_array().expect("packets");
    packets
        .iter()
        .map(|packet| {
            let length = &packet["duration_time"];
            let length = if length.is_null() { 0 } else { millis(length) };
            (millis(&packet["pts_time"]), length)
        })
        .collect()
}

/// Seconds as text, in milliseconds.
pub(crate) fn millis(seconds: &Value) -> i64 {
    let seconds: f64 = seconds
        .as_str()
        .expect("seconds")
        .parse()
        .expect("a number");
    (seconds * 1000.0).round() as i64
}
