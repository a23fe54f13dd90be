//! Everything besides picture and sound that Matroska holds is kept: subtitles,
//! fonts, chapters, cover art, tags.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::command::{ffmpeg, make, outcome, words};
use crate::support::probe::{inventory, millis, packet_spans, streams, tag};
use crate::support::{Scratch, clip, encode, fast, recipe, watched};

/// The text of the n-th subtitle track as SRT.
fn srt(path: &Path, track: usize) -> String {
    let folder = Scratch::new();
    let text = folder.file("out.srt");
    // -copyts: without it times count from the file's start, which Opus moves.
    let arguments = format!("-copyts -i {} -map 0:s:{track}", path.display());
    make(&arguments, &text);
    fs::read_to_string(text).expect("subtitles")
}

/// The n-th attached file.
fn attachment(path: &Path, number: usize) -> Vec<u8> {
    let folder = Scratch::new();
    let file = folder.file("attached");
    // `ffmpeg` complains that no output is asked for, and has dumped the file.
    let dumped = outcome(
        ffmpeg()
            .arg(format!("-dump_attachment:t:{number}"))
            .arg(&file)
            .arg("-i")
            .arg(path),
    );
    fs::read(file).unwrap_or_else(|e| panic!("{e}: {dumped:?}"))
}

/// What stands in a stream's tags and dispositions.
fn labels(stream: &Value) -> (Option<String>, Option<String>, Value) {
    (
        tag(stream, "language"),
        tag(stream, "title"),
        stream["disposition"].clone(),
    )
}

#[test]
fn six_subtitle_tracks_keep_text_times_and_titles() {
    watched(|| {
        let source = clip("bbb-six-srt-444p10.mkv");
        let mut options = fast();
        options.allow.chroma_loss = true;
        let encoded = encode(&source, &options);
        let (before, after) = (inventory(&source), inventory(&encoded.output));
        let (before, after) = (streams(&before, "subtitle"), streams(&after, "subtitle"));
        assert_eq!((before.len(), after.len()), (6, 6));
        for (track, (before, after)) in before.iter().zip(&after).enumerate() {
            assert_eq!(after["codec_name"], "subrip");
            assert_eq!(labels(after), labels(before), "track {track}");
            assert_eq!(srt(&encoded.output, track), srt(&source, track));
            let stream = format!("s:{track}");
            assert_eq!(
                packet_spans(&encoded.output, &stream),
                packet_spans(&source, &stream)
            );
        }
    });
}

#[test]
fn pictures_as_subtitles_are_kept() {
    watched(|| {
        let source = clip("av1-pgs.mkv");
        let mut options = fast();
        options.allow.av1 = true;
        let encoded = encode(&source, &options);
        let (before, after) = (inventory(&source), inventory(&encoded.output));
        let (before, after) = (streams(&before, "subtitle"), streams(&after, "subtitle"));
        assert_eq!(before.len(), 2);
        for (track, (before, after)) in before.iter().zip(&after).enumerate() {
            assert_eq!(after["codec_name"], "hdmv_pgs_subtitle");
            assert_eq!(labels(after), labels(before));
            let stream = format!("s:{track}");
            let starts = |path| {
                let spans = packet_spans(path, &stream);
                spans
                    .into_iter()
                    .map(|(start, _)| start)
                    .collect::<Vec<_>>()
            };
            assert_eq!(starts(&encoded.output), starts(&source));
        }
        encoded.assert_faithful(&source);
    });
}

const ASS: &str = "\
[Script Info]
ScriptType: v4.00+
PlayResX: 320
PlayResY: 180

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Fancy,Made Up,20,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,2,2,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.10,0:00:00.90,Fancy,,0,0,0,,{\\pos(10,20)}Ünïcode\\Ntwo lines
Dialogue: 1,0:00:00.50,0:00:01.20,Fancy,,0,0,0,,overlapping
";

/// Styled subtitles are nothing without their font.
#[test]
fn styled_subtitles_keep_their_style_and_their_font() {
    watched(|| {
        let folder = Scratch::new();
        let font: Vec<u8> = (0..20_000u32).map(|i| (i * 7 % 251) as u8).collect();
        let font_file = folder.write("Made Up.ttf", &font);
        let subtitles = folder.write("in.ass", ASS);
        let source = folder.file("styled.mkv");
        make(
            &format!(
                "{} -i {} -attach '{}' -metadata:s:t:0 mimetype=application/x-truetype-font {} \
                 -c:s copy -metadata:s:s:0 language=jpn -disposition:s:0 default+forced",
                recipe::picture("320x180", 25, 1.5),
                subtitles.display(),
                font_file.display(),
                recipe::H264
            ),
            &source,
        );
        let encoded = encode(&source, &fast());
        let after = inventory(&encoded.output);
        let subtitle = streams(&after, "subtitle").remove(0);
        assert_eq!(subtitle["codec_name"], "ass");
        assert_eq!(subtitle["disposition"]["forced"], 1);
        let as_text = |path: &Path| {
            let text = folder.file("out.ass");
            make(&format!("-i {} -map 0:s -c copy", path.display()), &text);
            fs::read_to_string(text).expect("subtitles")
        };
        let text = as_text(&encoded.output);
        assert_eq!(text, as_text(&source));
        assert!(text.contains("Made Up") && text.contains("{\\pos(10,20)}Ünïcode"));
        let attached = streams(&after, "attachment").remove(0);
        assert_eq!(tag(&attached, "filename").as_deref(), Some("Made Up.ttf"));
        let mime = tag(&attached, "mimetype");
        assert_eq!(mime.as_deref(), Some("application/x-truetype-font"));
        assert_eq!(attachment(&encoded.output, 0), font);
    });
}

const SRT: &str = "\
1
00:00:00,200 --> 00:00:00,800
First <i>line</i>
and a second one

2
00:00:01,300 --> 00:00:02,100
Zweite – „Zeile“ 漢字

";

#[test]
fn mov_text_becomes_srt_with_the_same_text_and_times() {
    watched(|| {
        let folder = Scratch::new();
        let subtitles = folder.write("in.srt", SRT);
        let source = folder.file("film.mp4");
        make(
            &format!(
                "{} -i {} {} -c:s mov_text -metadata:s:s:0 language=ger",
                recipe::picture("320x180", 25, 2.5),
                subtitles.display(),
                recipe::H264
            ),
            &source,
        );
        let before = streams(&inventory(&source), "subtitle").remove(0);
        assert_eq!(before["codec_name"], "mov_text");
        let encoded = encode(&source, &fast());
        let after = streams(&inventory(&encoded.output), "subtitle").remove(0);
        assert_eq!(after["codec_name"], "subrip");
        assert_eq!(tag(&after, "language").as_deref(), Some("ger"));
        assert_eq!(srt(&encoded.output, 0), srt(&source, 0));
        let spans = packet_spans(&encoded.output, "s:0");
        assert_eq!(spans, [(200, 600), (1300, 800)]);
        let text = srt(&encoded.output, 0);
        assert!(text.contains("and a second one"), "{text}");
        assert!(text.contains("Zweite – „Zeile“ 漢字"), "{text}");
    });
}

#[test]
fn webvtt_stays_webvtt() {
    watched(|| {
        let folder = Scratch::new();
        let subtitles = folder.write("in.srt", SRT);
        let source = folder.file("film.mkv");
        make(
            &format!(
                "{} -i {} {} -c:s webvtt",
                recipe::picture("320x180", 25, 2.5),
                subtitles.display(),
                recipe::H264
            ),
            &source,
        );
        let encoded = encode(&source, &fast());
        let after = streams(&inventory(&encoded.output), "subtitle").remove(0);
        assert_eq!(after["codec_name"], "webvtt");
        assert_eq!(srt(&encoded.output, 0), srt(&source, 0));
    });
}

/// Subtitles move with the picture where the whole film is moved.
#[test]
fn subtitles_and_chapters_follow_a_shift() {
    watched(|| {
        let folder = Scratch::new();
        let subtitles = folder.write("in.srt", SRT);
        let source = folder.file("late.mkv");
        // Further from zero than an offset that is kept.
        make(
            &format!(
                "{} -i {} {} -c:s copy -output_ts_offset 100",
                recipe::picture("320x180", 25, 2.5),
                subtitles.display(),
                recipe::H264
            ),
            &source,
        );
        let encoded = encode(&source, &fast());
        let shift = encoded.report.plan.timestamp_shift_ms;
        assert_eq!(shift, -100_000);
        let moved: Vec<_> = packet_spans(&source, "s:0")
            .into_iter()
            .map(|(start, length)| (start + shift, length))
            .collect();
        assert_eq!(packet_spans(&encoded.output, "s:0"), moved);
    });
}

const CHAPTERS: &str = "\
;FFMETADATA1
title=A film
artist=Somebody
comment=with = signs\\; and such

[CHAPTER]
TIMEBASE=1/1000
START=0
END=700
title=Opening

[CHAPTER]
TIMEBASE=1/1000
START=700
END=1500
title=Zweites Kapitel – 漢字

[CHAPTER]
TIMEBASE=1/1000
START=1500
END=2000
";

/// Start, end and title of a file's chapters.
fn chapters(path: &Path) -> Vec<(i64, i64, Option<String>)> {
    let inventory = inventory(path);
    let list = inventory["chapters"].as_array().expect("chapters");
    list.iter()
        .map(|chapter| {
            let title = tag(chapter, "title").filter(|title| !title.is_empty());
            (
                millis(&chapter["start_time"]),
                millis(&chapter["end_time"]),
                title,
            )
        })
        .collect()
}

fn film_with_chapters(folder: &Scratch, name: &str) -> PathBuf {
    let metadata = folder.write("chapters.txt", CHAPTERS);
    let source = folder.file(name);
    make(
        &format!(
            "{} -i {} -map_metadata 1 {}",
            recipe::picture("320x180", 25, 2.0),
            metadata.display(),
            recipe::H264
        ),
        &source,
    );
    source
}

#[test]
fn chapters_and_tags_are_kept() {
    watched(|| {
        for name in ["film.mkv", "film.mp4"] {
            let folder = Scratch::new();
            let source = film_with_chapters(&folder, name);
            let encoded = encode(&source, &fast());
            let found = chapters(&encoded.output);
            assert_eq!(found, chapters(&source));
            assert_eq!(found.len(), 3);
            assert_eq!(found[0], (0, 700, Some("Opening".to_owned())));
            let format = &inventory(&encoded.output)["format"];
            assert_eq!(tag(format, "title").as_deref(), Some("A film"));
            assert_eq!(tag(format, "artist").as_deref(), Some("Somebody"));
            let comment = tag(format, "comment");
            assert_eq!(comment.as_deref(), Some("with = signs; and such"));
        }
    });
}

/// Chapters past the end are the source's own affair.
#[test]
fn chapters_and_attachments_of_real_files_are_kept() {
    watched(|| {
        let mut options = fast();
        options.allow.chroma_loss = true;
        let source = clip("bbb-cover-chapters-444p10.mkv");
        let encoded = encode(&source, &options);
        let starts = |path| {
            let found = chapters(path);
            found
                .into_iter()
                .map(|(start, _, title)| (start, title))
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(&encoded.output), starts(&source));
        assert_eq!(chapters(&encoded.output).len(), 4);

        let source = clip("bbb-attachment.mkv");
        let encoded = encode(&source, &fast());
        let attached = streams(&inventory(&encoded.output), "attachment");
        assert_eq!(tag(&attached[0], "filename").as_deref(), Some("cover.jpg"));
        let mime = tag(&attached[0], "mimetype");
        assert_eq!(mime.as_deref(), Some("image/jpg"), "as the source calls it");
        assert_eq!(attachment(&encoded.output, 0), attachment(&source, 0));
    });
}

/// Statistics of the longer film that the clip was cut from are no tags to keep.
#[test]
fn statistics_of_the_old_streams_are_not_kept() {
    watched(|| {
        let source = clip("hdr-tags-8bit.mkv");
        let encoded = encode(&source, &fast());
        let after = inventory(&encoded.output);
        for stream in after["streams"].as_array().expect("streams") {
            let tags = stream["tags"].to_string();
            assert!(
                !tags.contains("NUMBER_OF_FRAMES") && !tags.contains("_STATISTICS"),
                "{tags}"
            );
        }
    });
}

/// The picture of the first stream that is attached to the file, as it lies there.
fn cover(path: &Path) -> Vec<u8> {
    let folder = Scratch::new();
    let picture = folder.file("cover");
    make(
        &format!(
            "-i {} -map 0:v:1 -c copy -f image2 -update 1",
            path.display()
        ),
        &picture,
    );
    fs::read(picture).expect("a picture")
}

fn cover_becomes_an_attachment(name: &str, picture: &str, extra: &str, mime: &str) {
    let folder = Scratch::new();
    let art = folder.file(picture);
    make(
        "-f lavfi -i mandelbrot=s=600x800 -frames:v 1 -update 1",
        &art,
    );
    let source = folder.file(name);
    make(
        &format!(
            "{} -i {} -map 0 -map 1 {} -c:v:1 copy {extra}",
            recipe::picture("320x180", 25, 1.0),
            art.display(),
            recipe::H264.replace("-c:v", "-c:v:0")
        ),
        &source,
    );
    let encoded = encode(&source, &fast());
    encoded.assert_faithful(&source);
    let after = inventory(&encoded.output);
    let videos = streams(&after, "video");
    let shown = |video: &&Value| video["disposition"]["attached_pic"] == 0;
    assert_eq!(videos.iter().filter(shown).count(), 1, "{after}");
    // libavformat shows an attached picture as a video, other attachments as files.
    let attached = after["streams"].as_array().expect("streams");
    let attached: Vec<_> = attached
        .iter()
        .filter(|stream| tag(stream, "mimetype").is_some())
        .collect();
    assert_eq!(attached.len(), 1, "{after}");
    assert_eq!(tag(attached[0], "mimetype").as_deref(), Some(mime));
    let file_name = tag(attached[0], "filename").expect("a name");
    assert!(file_name.starts_with("cover."), "{file_name}");
    assert_eq!(cover(&encoded.output), fs::read(&art).expect("art"));
}

#[test]
fn cover_art_of_an_mp4_becomes_an_attached_file() {
    watched(|| {
        cover_becomes_an_attachment(
            "film.mp4",
            "cover.jpg",
            "-disposition:v:1 attached_pic",
            "image/jpeg",
        );
    });
}

#[test]
fn cover_art_in_png_stays_png() {
    watched(|| {
        cover_becomes_an_attachment(
            "film.mp4",
            "cover.png",
            "-disposition:v:1 attached_pic",
            "image/png",
        );
    });
}

/// A Matroska file has its cover as an attached file already.
#[test]
fn cover_art_of_a_matroska_file_is_kept() {
    watched(|| {
        let folder = Scratch::new();
        let art = folder.file("cover.png");
        make(
            "-f lavfi -i mandelbrot=s=300x400 -frames:v 1 -update 1",
            &art,
        );
        let source = folder.file("film.mkv");
        make(
            &format!(
                "{} -attach {} -metadata:s:t mimetype=image/png {}",
                recipe::picture("320x180", 25, 1.0),
                art.display(),
                recipe::H264
            ),
            &source,
        );
        let encoded = encode(&source, &fast());
        assert_eq!(cover(&encoded.output), fs::read(&art).expect("art"));
        let videos = streams(&inventory(&encoded.output), "video");
        assert_eq!(tag(&videos[1], "mimetype").as_deref(), Some("image/png"));
    });
}

/// Every stream has an entry that says what becomes of it and why; what Matroska
/// cannot hold is dropped and said so.
#[test]
fn what_cannot_be_kept_is_said() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("timecode.mov");
        make(
            &format!(
                "{} -f lavfi -i sine=d=1 -timecode 01:00:00:00 {} -c:a aac",
                recipe::picture("320x180", 25, 1.0),
                recipe::H264
            ),
            &source,
        );
        let before = inventory(&source);
        let data = before["streams"].as_array().expect("streams").len();
        let encoded = encode(&source, &fast());
        let plan = &encoded.report.plan;
        assert_eq!(plan.streams.len(), data);
        for stream in &plan.streams {
            assert!(!stream.reason.is_empty());
        }
        assert_eq!(plan.streams[2].action, av1core::Action::Drop);
        let told = encoded.report.warnings.join("\n");
        assert!(
            told.contains("stream 2") && told.contains("dropped"),
            "{told}"
        );
        assert_eq!(words("a").len(), 1);
    });
}
