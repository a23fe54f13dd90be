//! A run for machines: one JSON object a line on stdout, told apart by `event`.
//!
//! `EVENTS` below documents each field with its unit; `transcode --help` prints it,
//! and a test keeps it complete. Readers should ignore fields and events that they
//! do not know. Warnings and errors come on stderr as well, in words. A command line
//! that is refused (exit code 2) ends before the first line.

use super::{Message, Renderer};
use crate::out;

/// Shows a run as JSON lines.
pub(super) struct Json;

impl Renderer for Json {
    fn show(&mut self, message: &Message<'_>) -> anyhow::Result<()> {
        out::json_line(message)
    }
}

/// What one event's line holds.
struct EventDoc {
    event: &'static str,
    when: &'static str,
    /// Name, unit or type (`?` means: or null), meaning.
    fields: &'static [(&'static str, &'static str, &'static str)],
}

const PREDICTION: &[(&str, &str, &str)] = &[
    ("source_bytes", "bytes", "size of the source"),
    ("bytes", "bytes", "the output, most likely"),
    ("low_bytes", "bytes", "the output at the least, and"),
    ("high_bytes", "bytes", "at the most, 9 times in 10"),
    ("video_bytes", "bytes", "the video's share"),
    ("other_bytes", "bytes", "everything else's share"),
    ("samples", "number", "parts of the film that were encoded"),
    ("sampled_frames", "frames", "video frames of them"),
    (
        "frames",
        "frames",
        "video frames of the film, by the samples",
    ),
    ("whole", "bool", "whether the whole film was encoded"),
    (
        "elapsed_us",
        "microseconds",
        "time that the prediction took",
    ),
    ("encoder", "text", "name and version of the video encoder"),
];

const EVENTS: [EventDoc; 12] = [
    EventDoc {
        event: "planned",
        when: "the plan stands; encoding follows",
        fields: &[
            ("plan.container", "text", "matroska or mp4"),
            (
                "plan.streams[].index",
                "number",
                "the stream's place in the source",
            ),
            (
                "plan.streams[].action",
                "text",
                "encode_video or encode_audio (their settings beside it),\ncopy, convert_subtitle, attach or drop",
            ),
            ("plan.streams[].reason", "text", "why"),
            (
                "plan.timestamp_shift_ms",
                "milliseconds",
                "added to every timestamp",
            ),
            (
                "plan.estimated_frames",
                "frames?",
                "video frames that the container promises",
            ),
        ],
    },
    EventDoc {
        event: "waiting_for_encoder",
        when: "another encode in this process holds the encoder",
        fields: &[],
    },
    EventDoc {
        event: "progress",
        when: "several times a second, and once at the end with exact numbers",
        fields: &[
            ("frames_done", "frames", "video frames encoded and written"),
            ("frames_in", "frames", "video frames given to the encoder"),
            (
                "frames_total.kind",
                "text",
                "exact (counted), estimate (by the container), unknown",
            ),
            (
                "frames_total.frames",
                "frames",
                "video frames in all; absent where unknown",
            ),
            (
                "position_us",
                "microseconds",
                "time of the last frame done, from the first frame",
            ),
            ("elapsed_us", "microseconds", "time since the run began"),
            ("fps", "frames/second", "over the last few seconds"),
            (
                "speed",
                "ratio",
                "film time by time passed, over the last few seconds",
            ),
            ("bytes_written", "bytes", "the output so far"),
            (
                "projected_bytes",
                "bytes?",
                "the output in the end, if the rest is like the part done",
            ),
            ("eta_us", "microseconds?", "time left at the present speed"),
        ],
    },
    EventDoc {
        event: "verifying",
        when: "the encode is complete and is read back, several times a second",
        fields: &[
            ("frames_done", "frames", "video frames read back"),
            (
                "frames_total",
                "frames",
                "video frames that there should be",
            ),
        ],
    },
    EventDoc {
        event: "sampling",
        when: "samples are encoded for a prediction (--replace), several times a second",
        fields: &[
            ("frames_done", "frames", "video frames of samples encoded"),
            ("frames_total", "frames", "video frames of all samples"),
        ],
    },
    EventDoc {
        event: "predicted",
        when: "what the output is likely to weigh (--replace)",
        fields: PREDICTION,
    },
    EventDoc {
        event: "warning",
        when: "something the viewer might notice; the run goes on",
        fields: &[("message", "text", "what it is")],
    },
    EventDoc {
        event: "done",
        when: "the output is in its place; last line",
        fields: &[
            ("output", "text", "path of the output, as given"),
            ("encoder", "text", "name and version of the video encoder"),
            ("frames", "frames", "video frames in the output"),
            ("source_bytes", "bytes", "size of the source"),
            ("output_bytes", "bytes", "size of the output"),
            ("film_us", "microseconds", "length of the film"),
            (
                "elapsed_us",
                "microseconds",
                "time the encode took, without the verification",
            ),
            ("verify_us", "microseconds", "time the verification took"),
            (
                "decode_errors",
                "number",
                "errors met while decoding the source",
            ),
            (
                "backup",
                "text?",
                "where the source was kept (--replace --testing)",
            ),
            ("warnings[]", "text", "every warning of the run"),
        ],
    },
    EventDoc {
        event: "would_replace",
        when: "--dry-run: the source would be encoded and replaced; last line",
        fields: &[
            ("source", "text", "path of the source, as given"),
            ("output", "text", "the name that it would get"),
            ("source_bytes", "bytes", "size of the source"),
            ("plan", "object", "as in planned"),
            ("prediction", "object?", "as in predicted"),
        ],
    },
    EventDoc {
        event: "skipped",
        when: "the source is left alone, nothing was written; last line",
        fields: &[
            ("source", "text", "path of the source, as given"),
            (
                "reason.kind",
                "text",
                "name of the reason; its facts stand beside it",
            ),
            ("message", "text", "the reason in words"),
            (
                "allowed_by",
                "text?",
                "the flag that takes the file all the same",
            ),
        ],
    },
    EventDoc {
        event: "not_worthwhile",
        when: "the output saves less than --min-saving asks for, nothing was written; last line",
        fields: &[
            ("source", "text", "path of the source, as given"),
            ("source_bytes", "bytes", "size of the source"),
            (
                "most_bytes",
                "bytes",
                "the largest output that saves enough",
            ),
            (
                "least_bytes",
                "bytes",
                "the output at the least; where finished, its size",
            ),
            (
                "frames_done",
                "frames",
                "video frames written until it was certain",
            ),
            ("finished", "bool", "whether the output was complete"),
            (
                "predicted",
                "bool",
                "whether it was not encoded at all, by a prediction",
            ),
            ("message", "text", "the same in words"),
        ],
    },
    EventDoc {
        event: "error",
        when: "the run failed or was cancelled, nothing was written; last line",
        fields: &[
            (
                "kind",
                "text",
                "what went wrong, such as disk_full or cancelled",
            ),
            (
                "message",
                "text",
                "one line: the file, the cause, the remedy",
            ),
            (
                "differences[].stream",
                "number?",
                "of an output that is not right: the source's stream",
            ),
            ("differences[].at_us", "microseconds?", "where in the film"),
            ("differences[].what", "text", "what is not right"),
            ("exit_code", "number", "the exit code that follows"),
        ],
    },
];

/// The table of fields, for `transcode --help`.
pub(crate) fn help() -> String {
    let mut lines = vec![
        "JSON lines (--json): one object a line, told apart by \"event\". Ignore what you do not \
         know; ? means: or null."
            .to_owned(),
    ];
    for EventDoc {
        event,
        when,
        fields,
    } in &EVENTS
    {
        lines.push(format!("  {event}: {when}"));
        for (name, unit, meaning) in *fields {
            let meaning = meaning.replace('\n', &format!("\n{:44}", ""));
            lines.push(format!("    {name:<23}  {unit:<13}  {meaning}"));
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use av1core::{NotWorthwhile, Plan, Prediction, Progress, Sampling, SkipReason, Verifying};
    use serde_json::Value;

    use super::*;
    use crate::render::message::{Failed, Finished, Skipped, TooLarge, WouldReplace};

    /// The paths of all fields, as the table writes them: `plan.streams[].index`.
    fn paths(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map {
                    let dot = if prefix.is_empty() { "" } else { "." };
                    paths(value, &format!("{prefix}{dot}{key}"), into);
                }
            }
            Value::Array(items) => {
                for item in items {
                    paths(item, &format!("{prefix}[]"), into);
                }
            }
            _ => {
                into.insert(prefix.to_owned());
            }
        }
    }

    fn assert_documented(message: &Message<'_>) {
        let value = serde_json::to_value(message).expect("serialized");
        let event = value["event"].as_str().expect("an event").to_owned();
        let doc = EVENTS
            .iter()
            .find(|doc| doc.event == event)
            .expect("documented");
        let mut written = BTreeSet::new();
        paths(&value, "", &mut written);
        written.remove("event");
        // Documented with events of their own.
        let written: BTreeSet<_> = written
            .into_iter()
            .map(|path| match (event.as_str(), path.split_once('.')) {
                ("would_replace", Some((object, _))) => object.to_owned(),
                _ => path,
            })
            .collect();
        let documented: BTreeSet<_> = doc
            .fields
            .iter()
            .map(|(name, ..)| (*name).to_owned())
            .collect();
        assert_eq!(written, documented, "{event}");
    }

    #[test]
    fn every_field_is_documented_and_every_documented_field_is_there() {
        let plan: Plan = serde_json::from_str(
            r#"{"streams":[{"index":0,"action":"copy","reason":"kept"}],
                "timestamp_shift_ms":0,"estimated_frames":9}"#,
        )
        .expect("a plan");
        let progress: Progress = serde_json::from_str(
            r#"{"frames_done":1,"frames_in":9,"frames_total":{"kind":"exact","frames":9},
                "position_us":0,"elapsed_us":0,"fps":1.0,"speed":1.0,"bytes_written":0,
                "projected_bytes":1,"eta_us":1}"#,
        )
        .expect("a progress");
        let failure = av1core::probe("/nowhere/at/all").expect_err("not there");
        let finished = Finished {
            output: "o.mkv".into(),
            encoder: "SVT-AV1 1.4.1",
            frames: 1,
            source_bytes: 1,
            output_bytes: 1,
            film_us: 1,
            elapsed_us: 1,
            verify_us: 1,
            decode_errors: 0,
            backup: Some("o.bak".into()),
            warnings: &["a warning".to_owned()],
        };
        let verifying: Verifying =
            serde_json::from_str(r#"{"frames_done":1,"frames_total":9}"#).expect("a progress");
        let sampling: Sampling =
            serde_json::from_str(r#"{"frames_done":1,"frames_total":9}"#).expect("a progress");
        let prediction: Prediction = serde_json::from_str(
            r#"{"source_bytes":1,"bytes":1,"low_bytes":1,"high_bytes":1,"video_bytes":1,
                "other_bytes":1,"samples":1,"sampled_frames":1,"frames":1,"whole":false,
                "elapsed_us":1,"encoder":"e"}"#,
        )
        .expect("a prediction");
        let would = WouldReplace {
            source: "s.mp4".into(),
            output: "s.mkv".into(),
            source_bytes: 1,
            plan: &plan,
            prediction: Some(&prediction),
        };
        let mut failed = Failed::from(&failure);
        failed.differences =
            serde_json::from_str(r#"[{"stream":0,"at_us":1,"what":"w"}]"#).expect("differences");
        let too_large: NotWorthwhile = serde_json::from_str(
            r#"{"source_bytes":100,"most_bytes":95,"least_bytes":96,"frames_done":9,
                "finished":false,"predicted":false}"#,
        )
        .expect("sizes");
        for message in [
            Message::Planned { plan: &plan },
            Message::WaitingForEncoder,
            Message::Progress(&progress),
            Message::Verifying(&verifying),
            Message::Sampling(&sampling),
            Message::Predicted(&prediction),
            Message::WouldReplace(would),
            Message::Warning { message: "m" },
            Message::Done(finished),
            Message::Skipped(Skipped::new(Path::new("s.mp4"), &SkipReason::AlreadyAv1)),
            Message::NotWorthwhile(TooLarge::new(Path::new("s.mp4"), too_large)),
            Message::Error(failed),
        ] {
            assert_documented(&message);
        }
    }

    #[test]
    fn a_failure_names_its_kind_and_exit_code() {
        let failure = av1core::probe("/nowhere/at/all").expect_err("not there");
        let value =
            serde_json::to_value(Message::Error(Failed::from(&failure))).expect("serialized");
        assert_eq!(value["event"], "error");
        assert_eq!(value["kind"], "not_found");
        assert_eq!(value["exit_code"], 6);
    }
}
