//! `av1cli probe`

use std::path::Path;

use av1core::{MediaInfo, StreamInfo};

use crate::args::ProbeArgs;
use crate::exit::Exit;
use crate::out;
use crate::render::{stream, table::Table};
use crate::text;

pub(super) fn run(args: &ProbeArgs) -> anyhow::Result<Exit> {
    let info = av1core::probe(&args.file)?;
    if args.json {
        out::json_pretty(&info)?;
    } else {
        for line in describe(&args.file, &info) {
            out::say(&line)?;
        }
    }
    Ok(Exit::DONE)
}

fn describe(file: &Path, info: &MediaInfo) -> Vec<String> {
    let mut lines: Vec<_> = facts(file, info).lines().collect();
    lines.push(String::new());
    lines.extend(streams(info).lines());
    if !info.tags.is_empty() {
        lines.push(String::new());
        lines.extend(tags(info).lines());
    }
    lines
}

fn facts(file: &Path, info: &MediaInfo) -> Table {
    let mut table = Table::new();
    let mut fact = |name: &str, value: String| table.row(&[name.to_owned(), value]);
    fact("File", file.display().to_string());
    fact("Container", info.container.clone());
    let duration = info
        .duration_us
        .map_or("unknown".to_owned(), text::timestamp);
    fact("Duration", duration);
    if let Some(start_us) = info.start_us.filter(|start| *start != 0) {
        fact("Start", text::timestamp(start_us));
    }
    let size = text::bytes(info.size_bytes);
    fact("Size", format!("{size} ({} bytes)", info.size_bytes));
    fact("Chapters", info.chapters.len().to_string());
    table
}

fn streams(info: &MediaInfo) -> Table {
    let mut table = Table::with_heading(["#", "kind", "codec", "language", "flags", "details"]);
    for stream in &info.streams {
        table.row(&stream_row(stream));
    }
    table
}

fn stream_row(stream: &StreamInfo) -> [String; 6] {
    let title = stream.title().map(|title| format!("\"{title}\""));
    let details: Vec<_> = stream::details(stream).into_iter().chain(title).collect();
    [
        stream.index.to_string(),
        stream::kind(stream).to_owned(),
        stream::codec(stream),
        stream.language().unwrap_or_default().to_owned(),
        stream::flags(stream),
        details.join(" "),
    ]
}

fn tags(info: &MediaInfo) -> Table {
    let mut table = Table::with_heading(["tag", "value"]);
    for (key, value) in &info.tags {
        table.row(&[key.clone(), value.clone()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_a_table() {
        let info: MediaInfo =
            serde_json::from_str(include_str!("../testdata/film.json")).expect("a file's facts");
        let lines = describe(Path::new("film\u{1b}[2J.mkv"), &info);
        insta::assert_snapshot!(lines.join("\n"), @r#"
File       film\u{1b}[2J.mkv
Container  matroska,webm
Duration   0:00:52.209
Start      -0:00:00.007
Size       7.8 MB (7807391 bytes)
Chapters   1

#  KIND        CODEC        LANGUAGE  FLAGS                DETAILS
0  video       h264 (High)            default              1280x720 SAR 4:3 23.976 fps yuv420p10le bt2020/smpte2084/bt2020nc PQ interlaced turned by 90 degrees
1  audio       aac (LC)     eng       default, commentary  5.1(side) 44.1 kHz 192 kbit/s "Director\n\u{1b}[2Jspeaks"
2  subtitle    subrip       ger       forced
3  attachment  ttf                                         font.ttf font/ttf 31.3 kB
4  data        none

TAG      VALUE
encoder  x
title    A film
"#);
    }
}
