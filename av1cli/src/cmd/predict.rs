//! `av1cli predict`

use std::io::{self, IsTerminal};
use std::path::Path;

use anyhow::bail;
use av1core::{CancelToken, Plan, Prediction, Verdict, Worth};
use serde::Serialize;

use super::signals::cancel_on_signals;
use crate::args::PredictArgs;
use crate::exit::Exit;
use crate::out;
use crate::render::{Skipped, Watcher};
use crate::settings;
use crate::text;

/// The prediction as JSON, with what is asked for.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    prediction: &'a Prediction,
    most_bytes: Option<u64>,
    verdict: Option<Worth>,
}

pub(super) fn run(args: PredictArgs, logs: bool) -> anyhow::Result<Exit> {
    let file = args.file;
    let info = av1core::probe(&file)?;
    let mut options = settings::options(args.encode);
    options.container = args.container.into();
    let plan = match av1core::plan(&info, &options) {
        Verdict::Transcode(plan) => plan,
        Verdict::Skip { reason } => {
            out::note(&Skipped::new(&file, &reason).line());
            return Ok(Exit::SKIPPED);
        }
        Verdict::Reject { reason } => {
            out::note(&format!("error: {}: {reason}", file.display()));
            return Ok(Exit::from(&reason));
        }
        other => bail!("a verdict that this program does not know: {other:?}"),
    };
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel)?;
    let mut watcher = Watcher::new(!args.quiet && !logs && io::stderr().is_terminal());
    let predicted = av1core::predict(&file, &info, &plan, &cancel, |event| watcher.event(event));
    watcher.end();
    let prediction = predicted?;
    let told = Told {
        prediction: &prediction,
        most_bytes: plan.most_bytes,
        verdict: plan.most_bytes.map(|most| prediction.verdict(most)),
    };
    if args.json {
        out::json_pretty(&told)?;
    } else {
        for line in lines(&file, &plan, &prediction) {
            out::say(&line)?;
        }
    }
    Ok(match told.verdict {
        Some(Worth::NotWorthwhile) => Exit::NOT_WORTHWHILE,
        _ => Exit::DONE,
    })
}

fn lines(file: &Path, plan: &Plan, found: &Prediction) -> Vec<String> {
    let before = found.source_bytes;
    let seen = if found.whole {
        format!("all {}", text::count(found.frames, "frame"))
    } else {
        format!(
            "{}: {} of about {}",
            text::count(u64::from(found.samples), "sample"),
            found.sampled_frames,
            text::count(found.frames, "frame")
        )
    };
    let mut lines = vec![
        format!(
            "{}: {} -> about {} ({} to {} 9 times in 10), {} ({} to {})",
            file.display(),
            text::bytes(before),
            text::bytes(found.bytes),
            text::bytes(found.low_bytes),
            text::bytes(found.high_bytes),
            text::saving(before, found.bytes),
            text::saving(before, found.high_bytes),
            text::saving(before, found.low_bytes),
        ),
        format!(
            "  video {}, everything else {}; {seen}, in {} ({})",
            text::bytes(found.video_bytes),
            text::bytes(found.other_bytes),
            text::elapsed(found.elapsed_us),
            found.encoder
        ),
    ];
    if let Some(most) = plan.most_bytes {
        let verdict = match found.verdict(most) {
            Worth::Worthwhile => "worthwhile",
            Worth::NotWorthwhile => "not worthwhile",
            _ => "perhaps worthwhile",
        };
        let most = text::bytes(most);
        lines.push(format!("  {verdict}: at most {most} saves enough"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_in_words() {
        let found: Prediction = serde_json::from_str(
            r#"{"source_bytes":1000000,"bytes":700000,"low_bytes":640000,"high_bytes":760000,
                "video_bytes":600000,"other_bytes":100000,"samples":6,"sampled_frames":582,
                "frames":28800,"whole":false,"elapsed_us":12300000,"encoder":"SVT-AV1 1.4.1"}"#,
        )
        .expect("a prediction");
        let plan: Plan = serde_json::from_str(
            r#"{"streams":[],"timestamp_shift_ms":0,"estimated_frames":9,"most_bytes":600000}"#,
        )
        .expect("a plan");
        insta::assert_snapshot!(lines(Path::new("film.mkv"), &plan, &found).join("\n"), @r"
        film.mkv: 1.0 MB -> about 700.0 kB (640.0 kB to 760.0 kB 9 times in 10), 30 % smaller (24 % smaller to 36 % smaller)
          video 600.0 kB, everything else 100.0 kB; 6 samples: 582 of about 28800 frames, in 12 s (SVT-AV1 1.4.1)
          not worthwhile: at most 600.0 kB saves enough
        ");
    }
}
