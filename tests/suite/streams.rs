//! Streams beside the film that cannot be encoded are kept as they are where Matroska
//! holds them, and told where it does not.

use std::fs;
use std::path::{Path, PathBuf};

use av1core::{Action, ErrorKind, SkipReason, Verdict};

use crate::support::command::{ffmpeg, make, run, words};
use crate::support::encode::Encode;
use crate::support::probe::{inventory, packet_spans, streams, tag};
use crate::support::refuse::{UNFIT, refused};
use crate::support::{Scratch, cli, clip, encode, fast, recipe, watched};

/// A stream's packets or frames, as a number to compare.
fn hash(path: &Path, arguments: &str) -> Vec<u8> {
    run(ffmpeg()
        .arg("-i")
        .arg(path)
        .args(words(arguments))
        .args(words("-f hash -")))
}

fn actions(encoded: &Encode) -> Vec<&Action> {
    let streams = encoded.report.plan.streams.iter();
    streams.map(|stream| &stream.action).collect()
}

/// Two angles, the second one the default.
fn two_videos(folder: &Scratch, name: &str) -> PathBuf {
    let source = folder.file(name);
    make(
        &format!(
            "{} -f lavfi -i mandelbrot=s=160x120:r=25 -f lavfi -i sine=d=2 -t 2 -map 0 -map 1 \
             -map 2 {} -c:a ac3 -disposition:v:0 0 -disposition:v:1 default \
             -metadata:s:v:0 title=Angle",
            recipe::picture("320x180", 25, 2.0),
            recipe::H264
        ),
        &source,
    );
    source
}

#[test]
fn the_default_video_is_encoded_and_the_other_copied() {
    watched(|| {
        for name in ["two.mkv", "two.mp4"] {
            let folder = Scratch::new();
            let source = two_videos(&folder, name);
            let encoded = encode(&source, &fast());
            let (other, main) = (0, 1);
            assert!(matches!(actions(&encoded)[main], Action::EncodeVideo(_)));
            assert_eq!(actions(&encoded)[other], &Action::Copy);
            let after = streams(&inventory(&encoded.output), "video");
            assert_eq!(after[main]["codec_name"], "av1");
            assert_eq!(after[other]["codec_name"], "h264");
            let picture = format!("-map 0:v:{other} -fps_mode passthrough");
            assert_eq!(hash(&encoded.output, &picture), hash(&source, &picture));
            let starts = |path: &Path, number: usize| -> Vec<i64> {
                let spans = packet_spans(path, &format!("v:{number}"));
                spans.into_iter().map(|(start, _)| start).collect()
            };
            // A source that starts before zero is moved as a whole.
            let shift_ms = encoded.report.plan.timestamp_shift_ms;
            let before = starts(&source, other).into_iter().map(|ms| ms + shift_ms);
            assert_eq!(starts(&encoded.output, other), before.collect::<Vec<_>>());
            assert_eq!(starts(&encoded.output, main).len(), 50);
            if name == "two.mkv" {
                assert_eq!(tag(&after[0], "title").as_deref(), Some("Angle"));
                assert_eq!(after[0]["disposition"]["default"], 0);
            }
        }
    });
}

/// A broadcast has no default: the first one is the film.
#[test]
fn the_first_of_two_broadcasts_is_encoded() {
    watched(|| {
        let folder = Scratch::new();
        let source = two_videos(&folder, "two.ts");
        let encoded = encode(&source, &fast());
        assert!(matches!(actions(&encoded)[0], Action::EncodeVideo(_)));
        assert_eq!(actions(&encoded)[1], &Action::Copy);
        let picture = "-map 0:v:1 -fps_mode passthrough";
        assert_eq!(hash(&encoded.output, picture), hash(&source, picture));
    });
}

#[test]
fn a_picture_is_skipped_as_a_picture() {
    watched(|| {
        let folder = Scratch::new();
        for name in ["a.png", "a.jpg", "a.bmp", "a.tiff", "a.webp", "poster"] {
            let path = folder.file(name);
            let format = if name == "poster" {
                "-f image2 -c:v png"
            } else {
                ""
            };
            let picture = "-f lavfi -i testsrc2=s=640x480 -frames:v 1 -update 1";
            make(&format!("{picture} {format}"), &path);
            let info = av1core::probe(&path).expect("a picture");
            let verdict = av1core::plan(&info, &fast());
            let is_picture = matches!(
                verdict,
                Verdict::Skip {
                    reason: SkipReason::StillPicture { .. }
                }
            );
            assert!(is_picture, "{name}: {verdict:?}");
        }
        let told = cli::run([Path::new("plan"), &folder.file("a.png")]);
        told.assert_code(3);
        assert!(
            told.stderr.contains("is a picture (png)"),
            "{}",
            told.stderr
        );
    });
}

/// MPEG-H has a code in MP4, no decoder in FFmpeg and no place in Matroska. (What
/// Matroska has a place for, all builds that the tests run with can decode.)
#[test]
fn sound_that_can_neither_be_decoded_nor_kept_is_named() {
    watched(|| {
        let folder = Scratch::new();
        let film = folder.file("film.mp4");
        make(
            &format!(
                "{} -f lavfi -i sine=d=1 {} -c:a aac",
                recipe::picture("320x180", 25, 1.0),
                recipe::H264
            ),
            &film,
        );
        let mut bytes = fs::read(film).expect("read");
        assert!(recipe::patch(&mut bytes, b"mp4a", b"mhm1") > 0);
        assert!(recipe::patch(&mut bytes, b"esds", b"mhaC") > 0);
        let source = folder.write("mpegh.mp4", bytes);
        refused(&source, (ErrorKind::UnknownCodec, UNFIT));
        let told = cli::run([Path::new("plan"), &source]).stderr;
        assert!(told.contains("mpegh_3d_audio"), "{told}");
    });
}

/// The first subtitle track as SRT.
fn srt(path: &Path) -> String {
    let printed = run(ffmpeg()
        .args(words("-copyts -i"))
        .arg(path)
        .args(words("-map 0:s:0 -f srt -")));
    String::from_utf8(printed).expect("UTF-8")
}

/// Captions in a track of their own, as QuickTime has them.
#[test]
fn captions_become_srt_with_their_times() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("captions.mov");
        make(
            &format!(
                "-f lavfi -i movie={}[out+subcc] -map 0:0 -map 0:1 {} -c:s copy",
                clip("sintel-cea608-late-start.ts").display(),
                recipe::H264
            ),
            &source,
        );
        let before = streams(&inventory(&source), "subtitle").remove(0);
        assert_eq!(before["codec_name"], "eia_608");
        let encoded = encode(&source, &fast());
        let after = streams(&inventory(&encoded.output), "subtitle").remove(0);
        assert_eq!(after["codec_name"], "subrip");
        assert!(srt(&source).contains("-->"), "{}", srt(&source));
        assert_eq!(srt(&encoded.output), srt(&source));
    });
}

const LINES: &str = "\
1
00:00:00,200 --> 00:00:00,800
First line

2
00:00:01,300 --> 00:00:01,900
Second line

";

#[test]
fn plain_text_becomes_srt() {
    watched(|| {
        let folder = Scratch::new();
        let lines = folder.write("in.srt", LINES);
        let source = folder.file("text.nut");
        let picture = recipe::picture("320x180", 25, 2.5);
        make(
            &format!(
                "{picture} -i {} {} -c:s text",
                lines.display(),
                recipe::H264
            ),
            &source,
        );
        let before = streams(&inventory(&source), "subtitle").remove(0);
        assert_eq!(before["codec_name"], "text");
        let encoded = encode(&source, &fast());
        let kept = srt(&encoded.output);
        assert_eq!(kept, srt(&source));
        assert!(
            kept.contains("First line") && kept.contains("Second line"),
            "{kept}"
        );
    });
}

/// One line is damaged: it is told, and the other one is there.
#[test]
fn a_subtitle_that_is_lost_is_told() {
    watched(|| {
        let folder = Scratch::new();
        let lines = folder.write("in.srt", LINES);
        let film = folder.file("film.mp4");
        let picture = recipe::picture("320x180", 25, 2.5);
        make(
            &format!(
                "{picture} -i {} {} -c:s mov_text",
                lines.display(),
                recipe::H264
            ),
            &film,
        );
        let mut bytes = fs::read(film).expect("read");
        let text = recipe::find(&bytes, b"First line").expect("the first line");
        // No UTF-8 any more.
        bytes[text..text + 5].fill(0xff);
        let source = folder.write("damaged.mp4", bytes);
        let encoded = encode(&source, &fast());
        let warnings = &encoded.report.warnings;
        assert_eq!(
            warnings,
            &["one subtitle could not be converted, and is lost"]
        );
        let text = srt(&encoded.output);
        assert!(
            text.contains("Second line") && !text.contains("First"),
            "{text}"
        );
    });
}

/// What Matroska has a flag for is read back; for the rest see the plan's own tests.
#[test]
fn every_role_with_a_flag_is_kept() {
    watched(|| {
        let folder = Scratch::new();
        let lines = folder.write("in.srt", LINES);
        let source = folder.file("roles.mkv");
        let roles = [
            "original",
            "dub",
            "comment",
            "visual_impaired",
            "hearing_impaired",
            "forced",
        ];
        let tracks: String = (0..roles.len())
            .map(|n| format!(" -map 1 -disposition:a:{n} {}", roles[n]))
            .collect();
        make(
            &format!(
                "{} -f lavfi -i sine=d=1 -i {} -map 0 {tracks} -map 2 -map 2 \
                 -disposition:s:0 descriptions -disposition:s:1 hearing_impaired+forced \
                 -default_mode passthrough {} -c:a flac",
                recipe::picture("320x180", 25, 1.0),
                lines.display(),
                recipe::H264
            ),
            &source,
        );
        let encoded = encode(&source, &fast());
        let roles_of = |path: &Path| -> Vec<_> {
            let inventory = inventory(path);
            let all = inventory["streams"].as_array().expect("streams").clone();
            all.into_iter().map(|s| s["disposition"].clone()).collect()
        };
        let before = roles_of(&source);
        assert_eq!(roles_of(&encoded.output), before);
        for (number, role) in roles.iter().enumerate() {
            assert_eq!(before[number + 1][role], 1, "{role}");
        }
        assert_eq!(before[7]["descriptions"], 1);
        let told = |word| {
            let streams = encoded.report.plan.streams.iter();
            streams.filter(|s| s.reason.contains(word)).count()
        };
        assert_eq!(told("not carried"), 0);

        // NUT has names for roles that Matroska has no flag for.
        let source = folder.file("karaoke.nut");
        make(
            &format!(
                "{} -f lavfi -i sine=d=1 {} -c:a flac -disposition:a:0 karaoke+lyrics",
                recipe::picture("320x180", 25, 1.0),
                recipe::H264
            ),
            &source,
        );
        let encoded = encode(&source, &fast());
        let reason = &encoded.report.plan.streams[1].reason;
        assert!(
            reason.contains("role (karaoke, lyrics) is not carried"),
            "{reason}"
        );
    });
}

/// A broadcast declares a second language that is switched off.
#[test]
fn sound_that_is_declared_and_never_comes_is_dropped_and_told() {
    watched(|| {
        let folder = Scratch::new();
        let whole = folder.file("whole.ts");
        make(
            &format!(
                "{} -f lavfi -i sine=440:d=1 -f lavfi -i sine=880:d=1 -map 0 -map 1 -map 2 {} \
                 -c:a mp2 -streamid 2:300",
                recipe::picture("320x180", 25, 1.0),
                recipe::H264
            ),
            &whole,
        );
        // Packets of 188 bytes, the stream's number in 13 bits of the header (ISO 13818-1).
        let bytes = fs::read(&whole).expect("read");
        let is_other = |packet: &&[u8]| u16::from_be_bytes([packet[1], packet[2]]) & 0x1fff != 300;
        let silent: Vec<&[u8]> = bytes.chunks(188).filter(is_other).collect();
        assert!(silent.len() < bytes.len() / 188, "it has no such stream");
        let source = folder.write("silent.ts", silent.concat());

        let encoded = encode(&source, &fast());
        assert!(matches!(actions(&encoded)[2], Action::Drop));
        let reason = &encoded.report.plan.streams[2].reason;
        assert!(reason.contains("holds none of it"), "{reason}");
        assert_eq!(streams(&inventory(&encoded.output), "audio").len(), 1);
        encoded.assert_same_times(&source);
    });
}
