//! `av1cli plan`

use std::path::Path;

use av1core::{Action, BitDepth, Container, MediaInfo, Plan, StreamPlan, Verdict, VideoSettings};
use av1net::worker::child::{Sandbox, restrict_this_process};
use serde::Serialize;

use crate::args::PlanArgs;
use crate::exit::Exit;
use crate::out;
use crate::render::{Skipped, stream, table::Table};
use crate::settings;

/// The verdict as JSON, with its reason in words.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

pub(super) fn run(args: PlanArgs) -> anyhow::Result<Exit> {
    // A master has this said of whatever lies in its library.
    restrict_this_process();
    let _ = Sandbox::reading(&args.file).enter();
    let info = av1core::probe(&args.file)?;
    let mut options = settings::options(args.encode);
    options.container = args.container.into();
    options.encoder_limits = Some(av1core::capabilities().encoder_limits);
    let verdict = av1core::plan(&info, &options);
    if args.json {
        out::json_pretty(&Told {
            verdict: &verdict,
            message: reason(&verdict),
        })?;
    }
    Ok(match &verdict {
        Verdict::Transcode(plan) => {
            if !args.json {
                for line in describe(&args.file, &info, plan) {
                    out::say(&line)?;
                }
            }
            Exit::DONE
        }
        Verdict::Skip { reason } => {
            out::note(&Skipped::new(&args.file, reason).line());
            Exit::SKIPPED
        }
        Verdict::Reject { reason } => {
            out::note(&format!("error: {}: {reason}", args.file.display()));
            Exit::from(reason)
        }
        _ => Exit::UNEXPECTED,
    })
}

fn reason(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Skip { reason } => Some(reason.to_string()),
        Verdict::Reject { reason } => Some(reason.to_string()),
        _ => None,
    }
}

fn describe(file: &Path, info: &MediaInfo, plan: &Plan) -> Vec<String> {
    let frames = match plan.estimated_frames {
        Some(frames) => format!("about {frames} frames"),
        None => "an unknown number of frames".to_owned(),
    };
    let mut lines = vec![format!("{}: to be encoded, {frames}", file.display())];
    if plan.timestamp_shift_ms != 0 {
        let shift = plan.timestamp_shift_ms;
        lines.push(format!(
            "Every timestamp moves by {shift} ms, so that the film starts near zero."
        ));
    }
    lines.push(String::new());
    let mut table = Table::with_heading(["#", "source stream", "becomes", "why"]);
    for planned in &plan.streams {
        table.row(&[
            planned.index.to_string(),
            info.streams
                .get(planned.index)
                .map_or(String::new(), stream::brief),
            becomes(planned, plan.container),
            planned.reason.clone(),
        ]);
    }
    lines.extend(table.lines());
    lines
}

fn becomes(planned: &StreamPlan, container: Container) -> String {
    match &planned.action {
        Action::EncodeVideo(video) => video_settings(video),
        Action::EncodeAudio(audio) => {
            let layout = audio.layout.as_deref();
            let channels = layout.map_or(format!("{} channels", audio.channels), ToOwned::to_owned);
            format!("Opus {channels}, {} kbit/s", audio.bitrate_kbps)
        }
        Action::Copy => "copied".to_owned(),
        Action::ConvertSubtitle => match container {
            Container::Mp4 => "mov_text".to_owned(),
            _ => "SRT".to_owned(),
        },
        Action::Attach { file_name, .. } => format!("attached as {file_name}"),
        Action::Drop => "dropped".to_owned(),
        other => format!("{other:?}"),
    }
}

fn video_settings(video: &VideoSettings) -> String {
    let bits = match video.bit_depth {
        BitDepth::Eight => 8,
        BitDepth::Ten => 10,
    };
    format!("AV1 {}x{} {bits} bit", video.width, video.height)
}

#[cfg(test)]
mod tests {
    use super::*;
    use av1core::Options;

    #[test]
    fn a_plan_in_a_table() {
        let info: MediaInfo =
            serde_json::from_str(include_str!("../testdata/film.json")).expect("a file's facts");
        let Verdict::Transcode(plan) = av1core::plan(&info, &Options::default()) else {
            panic!("not to be encoded");
        };
        let lines = describe(Path::new("film.mkv"), &info, &plan);
        insta::assert_snapshot!(lines.join("\n"), @r"
film.mkv: to be encoded, about 1252 frames
Every timestamp moves by 7 ms, so that the film starts near zero.

#  SOURCE STREAM            BECOMES               WHY
0  video h264 1280x720      AV1 720x1280 10 bit   h264 becomes AV1 (preset 8, CRF 28), deinterlaced, turned upright
1  audio aac 5.1(side) eng  Opus 5.1, 256 kbit/s  commentary aac becomes Opus at 256 kbit/s, 5.1(side) kept as 5.1, which Opus has an order for
2  subtitle subrip ger      copied                forced subrip subtitles: kept
3  attachment ttf           attached as font.ttf  attached file font.ttf: kept
4  data none                dropped               data stream (unknown): Matroska has no place for it
");
    }
}
