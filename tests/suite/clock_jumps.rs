//! Broadcast recordings that were joined as bytes, or whose clock was set anew: the
//! film comes out whole, and sound and picture stay together behind each join.

use std::fs;
use std::path::{Path, PathBuf};

use av1core::{CancelToken, ErrorKind, segment};

use crate::support::command::make;
use crate::support::encode::Encode;
use crate::support::probe::{frame_times, packet_spans};
use crate::support::sound::{OPUS_FRAME_S, heard, onsets, span};
use crate::support::{Scratch, encode, fast, quality, recipe, watched};

const H264: &str = "-c:v libx264 -preset veryfast -g 25 -bf 2 -pix_fmt yuv420p -c:a mp2";
const MPEG2: &str = "-c:v mpeg2video -q:v 2 -bf 2 -c:a ac3";

/// A recording with a beep of 50 ms at each half second, and a pattern that starts
/// at `offset` seconds of the film, so that no two recordings look alike.
fn recording(folder: &Scratch, name: &str, (offset, seconds): (u32, f64), codec: &str) -> PathBuf {
    let path = folder.file(name);
    let beeps = "aevalsrc=if(between(mod(t\\,1)\\,0.5\\,0.55)\\,0.8*sin(2*PI*t*1000)\\,0):s=48000";
    make(
        &format!(
            "-f lavfi -i testsrc2=s=320x180:r=25:d={} -f lavfi -i {beeps}:d={seconds} \
             -vf trim=start={offset},setpts=PTS-STARTPTS {codec}",
            seconds + f64::from(offset)
        ),
        &path,
    );
    path
}

fn joined(folder: &Scratch, name: &str, parts: &[PathBuf]) -> PathBuf {
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|part| fs::read(part).expect("read"))
        .collect();
    folder.write(name, bytes)
}

/// Every part is in the output with all its frames, evenly spaced, and the sound of
/// each part lies to its picture as it does in the part.
fn assert_whole(source: &Path, parts: &[PathBuf], encoded: &Encode) {
    let times = frame_times(&encoded.output).millis();
    let expected = frame_times(source).ticks.len();
    assert_eq!(times.len(), expected, "frames");
    assert_eq!(encoded.report.frames, expected as u64);
    let steps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let odd: Vec<_> = steps.filter(|step| !(39..=41).contains(step)).collect();
    // A picture may stand a little longer at a join, until the sound is through.
    assert!(odd.len() < parts.len(), "{odd:?}");
    assert!(odd.iter().all(|step| (41..=200).contains(step)), "{odd:?}");

    let folder = Scratch::new();
    let (times, beeps) = from_zero(&folder, &encoded.output);
    let (mut frame, mut beep) = (0, 0);
    for part in parts {
        let (own, own_beeps) = from_zero(&folder, part);
        for heard in &own_beeps {
            let in_part = heard - own[0] as f64 / 1000.0;
            let in_film = beeps[beep] - times[frame] as f64 / 1000.0;
            assert!(
                (in_part - in_film).abs() <= OPUS_FRAME_S,
                "beep {beep} of {beeps:?}: {in_part} s behind its part's first frame, now {in_film}"
            );
            beep += 1;
        }
        frame += own.len();
    }
    assert_eq!((frame, beep), (times.len(), beeps.len()));
    quality::assert_same_pictures(source, &encoded.output, expected);
    quality::assert_plays(&encoded.output);
    let sound = span(&encoded.output, 0);
    assert!((sound.end_s - sound.start_s - sound.sounding_s).abs() <= OPUS_FRAME_S);
}

/// Times of frames in ms and of beeps in s, from the file's start on, wherever its
/// clock starts: `ffmpeg` moves all streams alike.
fn from_zero(folder: &Scratch, path: &Path) -> (Vec<i64>, Vec<f64>) {
    let moved = folder.file("moved.mkv");
    let arguments = format!("-i {} -c:v copy -c:a flac", path.display());
    make(&arguments, &moved);
    (frame_times(&moved).millis(), onsets(&heard(&moved, 0), 0.2))
}

fn told(encoded: &Encode, expected: &str) {
    let warnings = &encoded.report.warnings;
    let jumps: Vec<_> = warnings.iter().filter(|w| w.contains("clock")).collect();
    assert_eq!(jumps, [expected], "{warnings:?}");
}

fn two_parts_come_out_whole(name: &str, codec: &str) {
    let folder = Scratch::new();
    let parts = [(0, 3.0), (10, 2.0)].map(|(offset, seconds)| {
        recording(
            &folder,
            &format!("{offset}-{name}"),
            (offset, seconds),
            codec,
        )
    });
    let source = joined(&folder, name, &parts);
    let encoded = encode(&source, &fast());
    assert_whole(&source, &parts, &encoded);
    told(&encoded, "the source's clock jumps once; carried through");
}

#[test]
fn two_recordings_in_h264_come_out_whole() {
    watched(|| two_parts_come_out_whole("both.ts", H264));
}

/// Broadcasts enter at pictures that later ones may refer across; the decoder must not
/// mix the end of one recording with the beginning of the next.
#[test]
fn two_recordings_with_open_gops_come_out_whole() {
    let open_gop = format!("{} -c:a mp2", recipe::OPEN_GOP);
    watched(move || two_parts_come_out_whole("both.ts", &open_gop));
}

#[test]
fn two_recordings_in_mpeg2_come_out_whole() {
    watched(|| two_parts_come_out_whole("both.ts", MPEG2));
}

/// The second part starts an hour later: libavformat takes the whole to last an hour.
#[test]
fn a_clock_that_leaps_forward_leaves_no_hole() {
    watched(|| {
        let folder = Scratch::new();
        let late = format!("{H264} -output_ts_offset 3600");
        let parts = [
            recording(&folder, "a.ts", (0, 2.0), H264),
            recording(&folder, "b.ts", (10, 2.0), &late),
            recording(&folder, "c.ts", (20, 2.0), H264),
        ];
        let source = joined(&folder, "all.ts", &parts);
        let encoded = encode(&source, &fast());
        assert_whole(&source, &parts, &encoded);
        told(
            &encoded,
            "the source's clock jumps 2 times; carried through",
        );
    });
}

/// DVDs are made of such parts.
#[test]
fn joined_program_streams_come_out_whole() {
    watched(|| two_parts_come_out_whole("both.mpg", &format!("-f vob {MPEG2}")));
}

/// MPEG's clock starts anew after 26.5 hours; libavformat undoes that once, in most files.
#[test]
fn a_clock_that_starts_anew_is_no_jump() {
    watched(|| {
        let folder = Scratch::new();
        let around = format!("{H264} -output_ts_offset 95440");
        let source = recording(&folder, "wrap.ts", (0, 5.0), &around);
        let encoded = encode(&source, &fast());
        assert_whole(&source, std::slice::from_ref(&source), &encoded);
        assert!(encoded.report.warnings.is_empty());
    });
}

/// Cutting goes by the source's times, of which there are two of each.
#[test]
fn a_source_whose_clock_jumps_is_not_cut() {
    watched(|| {
        let folder = Scratch::new();
        let part = recording(&folder, "part.ts", (0, 2.0), H264);
        let source = joined(&folder, "both.ts", &[part.clone(), part]);
        let info = av1core::probe(&source).expect("a film");
        let refused = segment::keyframes(&source, &info, &CancelToken::new());
        let error = refused.expect_err("cut");
        assert_eq!(error.kind(), ErrorKind::Damaged);
        assert!(error.to_string().contains("clock jumps"), "{error}");
        assert!(!packet_spans(&source, "v:0").is_empty());
    });
}
