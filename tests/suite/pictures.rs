//! The picture is the same picture: bit depths, ranges, interlacing, turned and
//! mirrored cameras, shapes of pixels. Every frame is compared.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::command::{ffmpeg, make, run, words};
use crate::support::encode::Encode;
use crate::support::probe::{inventory, streams};
use crate::support::{Scratch, clip, encode, fast, paff, quality, recipe, watched};

fn video(path: &Path) -> serde_json::Value {
    streams(&inventory(path), "video").remove(0)
}

/// Makes a film from a pattern of 320x180, encodes it, and holds it against it.
fn same_picture(name: &str, recipe: &str) -> (Scratch, PathBuf, Encode) {
    let folder = Scratch::new();
    let source = folder.file(name);
    make(
        &format!("{} {recipe}", recipe::picture("320x180", 25, 1.0)),
        &source,
    );
    let encoded = encode(&source, &fast());
    encoded.assert_faithful(&source);
    (folder, source, encoded)
}

#[test]
fn ten_bits_stay_ten_bits() {
    watched(|| {
        let (_folder, _, encoded) = same_picture(
            "ten.mkv",
            "-pix_fmt yuv420p10le -c:v libx264 -preset veryfast",
        );
        assert_eq!(video(&encoded.output)["pix_fmt"], "yuv420p10le");
    });
}

/// Ten bits are the default for any source; eight are there for those who ask.
#[test]
fn eight_bits_become_ten_unless_told_otherwise() {
    watched(|| {
        let (_folder, source, encoded) = same_picture("eight.mkv", recipe::H264);
        assert_eq!(video(&encoded.output)["pix_fmt"], "yuv420p10le");
        let mut options = fast();
        options.bit_depth = av1core::BitDepth::Eight;
        let eight = encode(&source, &options);
        assert_eq!(video(&eight.output)["pix_fmt"], "yuv420p");
        eight.assert_faithful(&source);
    });
}

#[test]
fn full_range_stays_full_range() {
    watched(|| {
        let (_folder, _, encoded) = same_picture(
            "full.mkv",
            "-vf scale=out_range=pc -pix_fmt yuvj420p -c:v libx264 -preset veryfast",
        );
        assert_eq!(video(&encoded.output)["color_range"], "pc");
    });
}

#[test]
fn gray_gets_neutral_colours() {
    watched(|| {
        same_picture("gray.mkv", "-pix_fmt gray -c:v libx264 -preset veryfast");
    });
}

#[test]
fn allowed_chroma_loss_keeps_the_picture() {
    watched(|| {
        let source = clip("h264-444.mp4");
        let mut options = fast();
        options.allow.chroma_loss = true;
        let encoded = encode(&source, &options);
        encoded.assert_faithful(&source);
        assert_eq!(video(&encoded.output)["pix_fmt"], "yuv420p10le");
    });
}

/// Comb lines go, frames stay: as many as before, at the same times.
#[test]
fn interlaced_films_come_out_progressive_with_as_many_frames() {
    for order in ["tff", "bff"] {
        watched(move || {
            let folder = Scratch::new();
            let source = folder.file("interlaced.mkv");
            let first = if order == "tff" { "top" } else { "bottom" };
            make(
                &format!(
                    "-f lavfi -i testsrc2=s=320x240:r=50:d=2 \
                     -vf tinterlace=interleave_{first},fieldorder={order},setfield={order} \
                     -pix_fmt yuv420p -c:v mpeg2video -q:v 2 -flags +ilme+ildct"
                ),
                &source,
            );
            let encoded = encode(&source, &fast());
            let times = encoded.assert_same_times(&source);
            assert_eq!(times.ticks.len(), 50);
            quality::assert_plays(&encoded.output);
            let reason = &encoded.report.plan.streams[0].reason;
            assert!(reason.contains("deinterlaced"), "{reason}");
            let order = &video(&encoded.output)["field_order"];
            assert!(order.is_null() || order == "progressive", "{order}");
            // Against what ffmpeg's own deinterlacer makes of it.
            let psnr = quality::psnr_through(
                &source,
                "bwdif=mode=send_frame:parity=auto:deint=interlaced",
                &encoded.output,
            );
            quality::assert_all_alike(&psnr, 50);
        });
    }
}

/// Turns a film by its display matrix alone: in the box that holds it, as a phone does.
fn turned(folder: &Scratch, matrix: [i32; 4]) -> PathBuf {
    let flat = recipe::film(folder, "flat.mp4", (25, 1.0), recipe::H264);
    let mut bytes = fs::read(flat).expect("a film read");
    // tkhd: version and flags, times, id, duration, layer, volume; then the matrix
    // a b u c d v x y w, of which a, b, c and d turn.
    let tkhd = recipe::find(&bytes, b"tkhd").expect("a track header");
    let at = tkhd + 4 + 4 + 4 + 4 + 4 + 4 + 4 + 8 + 2 + 2 + 2 + 2;
    assert_eq!(bytes[at..at + 4], 0x1_0000_i32.to_be_bytes(), "the matrix");
    for (place, value) in [0, 4, 12, 16].into_iter().zip(matrix) {
        let number = value * 0x1_0000;
        bytes[at + place..at + place + 4].copy_from_slice(&number.to_be_bytes());
    }
    folder.write("turned.mp4", bytes)
}

fn turned_upright(matrix: [i32; 4], (width, height): (u64, u64)) {
    let folder = Scratch::new();
    let source = turned(&folder, matrix);
    let encoded = encode(&source, &fast());
    let shown = video(&encoded.output);
    assert_eq!(shown["width"], width);
    assert_eq!(shown["height"], height);
    assert!(
        !shown["side_data_list"].to_string().contains("Matrix"),
        "turned twice: {shown}"
    );
    // `ffmpeg` turns the source by itself while decoding it.
    encoded.assert_faithful(&source);
}

#[test]
fn a_picture_on_its_side_is_turned_upright() {
    watched(|| turned_upright([0, 1, -1, 0], (180, 320)));
}

#[test]
fn a_picture_on_its_other_side_is_turned_upright() {
    watched(|| turned_upright([0, -1, 1, 0], (180, 320)));
}

#[test]
fn a_picture_on_its_head_is_turned_upright() {
    watched(|| turned_upright([-1, 0, 0, -1], (320, 180)));
}

/// FFmpeg 5.1 does not know mirrors while decoding, so they are put before it.
#[test]
fn a_mirrored_picture_is_mirrored_back() {
    watched(|| {
        let folder = Scratch::new();
        let source = turned(&folder, [-1, 0, 0, 1]);
        let encoded = encode(&source, &fast());
        let times = encoded.assert_same_times(&source);
        let flat = folder.file("flat.mp4");
        let psnr = quality::psnr_through(&flat, "hflip", &encoded.output);
        quality::assert_all_alike(&psnr, times.ticks.len());
    });
}

#[test]
fn transparency_is_not_dropped_unasked() {
    watched(|| {
        for (name, codec) in [
            ("alpha.mkv", "-c:v ffv1 -pix_fmt yuva420p"),
            ("alpha.mov", "-c:v png -pix_fmt rgba"),
            (
                "alpha.webm",
                "-c:v libvpx-vp9 -pix_fmt yuva420p -deadline realtime -cpu-used 8",
            ),
        ] {
            let folder = Scratch::new();
            let source = recipe::film(&folder, name, (25, 0.2), codec);
            let info = av1core::probe(&source).expect("a film");
            let mut options = fast();
            options.allow.chroma_loss = true;
            let verdict = av1core::plan(&info, &options);
            assert!(
                matches!(
                    verdict,
                    av1core::Verdict::Skip {
                        reason: av1core::SkipReason::AlphaLoss
                    }
                ),
                "{name}: {verdict:?}"
            );
        }
    });
}

#[test]
fn an_angle_that_is_no_quarter_turn_is_left_alone() {
    watched(|| {
        let folder = Scratch::new();
        let flat = recipe::film(&folder, "flat.mkv", (25, 0.2), recipe::H264);
        let source = folder.file("askew.mp4");
        let copied = ffmpeg()
            .args(words("-display_rotation 30 -i"))
            .arg(&flat)
            .args(words("-c copy"))
            .arg(&source)
            .output()
            .expect("ffmpeg");
        if !copied.status.success() {
            // -display_rotation came with FFmpeg 6.
            let quoted = format!("-i {} -c copy -metadata:s:v rotate=30", flat.display());
            make(&quoted, &source);
        }
        let info = av1core::probe(&source).expect("a film");
        let verdict = av1core::plan(&info, &fast());
        assert!(
            matches!(
                verdict,
                av1core::Verdict::Skip {
                    reason: av1core::SkipReason::OddAngle
                }
            ),
            "{verdict:?}"
        );
    });
}

#[test]
fn pixels_that_are_not_square_keep_their_shape() {
    watched(|| {
        let (_folder, _, encoded) =
            same_picture("sar.mkv", &format!("-vf setsar=4/3 {}", recipe::H264));
        let shown = video(&encoded.output);
        assert_eq!(shown["sample_aspect_ratio"], "4:3");
        assert_eq!(shown["width"], 320);
    });
}

/// A quarter turn swaps width and height of a pixel too.
#[test]
fn a_turned_picture_turns_its_pixels() {
    watched(|| {
        let folder = Scratch::new();
        let wide = folder.file("wide.mp4");
        let picture = recipe::picture("320x180", 25, 0.4);
        make(&format!("{picture} -vf setsar=4/3 {}", recipe::H264), &wide);
        let mut bytes = fs::read(&wide).expect("a film read");
        let tkhd = recipe::find(&bytes, b"tkhd").expect("a track header");
        for (place, value) in [0, 4, 12, 16].into_iter().zip([0, 1, -1, 0]) {
            let at = tkhd + 44 + place;
            bytes[at..at + 4].copy_from_slice(&(value * 0x1_0000_i32).to_be_bytes());
        }
        let source = folder.write("turned.mp4", bytes);
        let encoded = encode(&source, &fast());
        assert_eq!(video(&encoded.output)["sample_aspect_ratio"], "3:4");
    });
}

/// The smallest that the encoder takes, and sizes that no block fits into.
#[test]
fn sizes_of_all_kinds_keep_every_pixel() {
    watched(|| {
        for size in ["64x64", "66x130", "322x182", "1000x66"] {
            let folder = Scratch::new();
            let source = folder.file("film.mkv");
            let picture = recipe::picture(size, 25, 0.4);
            make(&format!("{picture} {}", recipe::H264), &source);
            let encoded = encode(&source, &fast());
            encoded.assert_faithful(&source);
            let shown = video(&encoded.output);
            assert_eq!(format!("{}x{}", shown["width"], shown["height"]), size);
        }
    });
}

/// From a slide show to a slow-motion camera.
#[test]
fn frame_rates_of_all_kinds_are_kept() {
    watched(|| {
        for (rate, seconds) in [("1/2", 8), ("12", 1), ("120", 1), ("300", 1)] {
            let folder = Scratch::new();
            let source = folder.file("film.mp4");
            make(
                &format!(
                    "-f lavfi -i testsrc2=s=128x96:r={rate}:d={seconds} {}",
                    recipe::H264
                ),
                &source,
            );
            encode(&source, &fast()).assert_faithful(&source);
        }
    });
}

/// Keyframes at most so far apart, so that a player can seek, and the index to do it.
#[test]
fn keyframes_come_as_often_as_asked_for_and_can_be_sought() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 6.0), recipe::H264);
        let mut options = fast();
        options.keyframe_interval_s = 2;
        let encoded = encode(&source, &options);
        let asked = crate::support::probe::ask(
            &encoded.output,
            "-select_streams v:0 -show_entries packet=pts_time,flags",
        );
        let packets = asked["packets"].as_array().expect("packets");
        let keys: Vec<_> = packets
            .iter()
            .filter(|packet| packet["flags"].as_str().is_some_and(|f| f.starts_with('K')))
            .map(|packet| crate::support::probe::millis(&packet["pts_time"]))
            .collect();
        assert_eq!(keys[0], 0);
        assert!(
            keys.windows(2).all(|pair| pair[1] - pair[0] <= 2000),
            "{keys:?}"
        );
        assert!(keys.last() >= Some(&4000), "{keys:?}");
        // A frame that was sought is the frame of that time.
        let still = folder.file("still.mkv");
        make(
            &format!(
                "-ss 4.52 -i {} -frames:v 1 -c:v ffv1",
                encoded.output.display()
            ),
            &still,
        );
        let filter = "select=eq(n\\,113)";
        let psnr = quality::psnr_through(&source, filter, &still);
        quality::assert_all_alike(&psnr, 1);
    });
}

/// The picture grows in the middle of the stream; the film keeps its first size.
#[test]
fn a_size_that_changes_within_the_film_keeps_every_frame() {
    watched(|| {
        let folder = Scratch::new();
        let codec = "-c:v mpeg2video -q:v 2 -f mpegts";
        recipe::film(&folder, "small.ts", (25, 1.0), codec);
        let large = folder.file("large.ts");
        let picture = recipe::picture("640x360", 25, 1.0);
        make(&format!("{picture} {codec} -output_ts_offset 1"), &large);
        let mut bytes = fs::read(folder.file("small.ts")).expect("read");
        bytes.extend(fs::read(&large).expect("read"));
        let source = folder.write("both.ts", bytes);
        let encoded = encode(&source, &fast());
        let shown = video(&encoded.output);
        assert_eq!(
            (&shown["width"], &shown["height"]),
            (&320.into(), &180.into())
        );
        encoded.assert_same_times(&source);
        told(&encoded, "size or shape changes");
        run(ffmpeg()
            .arg("-i")
            .arg(&encoded.output)
            .args(words("-f null -")));
    });
}

/// Two parts of a broadcast, the second one a second later.
fn broadcast(folder: &Scratch, first: &str, second: &str) -> PathBuf {
    let mut bytes = Vec::new();
    for (number, part) in [first, second].into_iter().enumerate() {
        let path = folder.file(format!("{number}.ts"));
        // A frame apart: with FFmpeg 9 the first one ends a frame later.
        let offset_s = number as f64 * 1.04;
        make(&format!("{part} -output_ts_offset {offset_s}"), &path);
        bytes.extend(fs::read(path).expect("read"));
    }
    folder.write("broadcast.ts", bytes)
}

fn told(encoded: &Encode, words: &str) {
    let warnings = &encoded.report.warnings;
    let named = warnings.iter().filter(|warning| warning.contains(words));
    assert_eq!(named.count(), 1, "{warnings:?}");
}

/// The probe sees whole frames and plans no deinterlacing.
#[test]
fn interlaced_frames_that_come_late_are_deinterlaced() {
    watched(|| {
        let folder = Scratch::new();
        let source = broadcast(
            &folder,
            "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v mpeg2video -q:v 2",
            "-f lavfi -i testsrc2=s=320x240:r=50:d=1 -vf tinterlace=interleave_top,fieldorder=tff,setfield=tff \
             -pix_fmt yuv420p -c:v mpeg2video -q:v 2 -flags +ilme+ildct",
        );
        let encoded = encode(&source, &fast());
        let reason = &encoded.report.plan.streams[0].reason;
        assert!(!reason.contains("deinterlaced"), "{reason}");
        told(&encoded, "interlaced frames came late");
        let times = encoded.assert_same_times(&source);
        let psnr = quality::psnr_through(
            &source,
            "bwdif=mode=send_frame:parity=auto:deint=interlaced",
            &encoded.output,
        );
        quality::assert_all_alike(&psnr, times.ticks.len());
    });
}

/// A broadcast goes from 4:3 to 16:9; the pixels stay, their shape is the first one's.
#[test]
fn a_shape_that_changes_within_the_film_is_told() {
    watched(|| {
        let folder = Scratch::new();
        let part = |aspect| {
            format!(
                "-f lavfi -i testsrc2=s=320x240:r=25:d=1 -c:v mpeg2video -q:v 2 -aspect {aspect}"
            )
        };
        let source = broadcast(&folder, &part("4:3"), &part("16:9"));
        let encoded = encode(&source, &fast());
        told(&encoded, "size or shape changes");
        encoded.assert_faithful(&source);
    });
}

/// Frames and fields in turn: two fields are one frame, and only they are deinterlaced.
/// Where each field has a packet, several threads make libavcodec tell of damage that
/// there is none of.
#[test]
fn two_fields_that_are_pictures_of_their_own_become_one_frame() {
    watched(|| {
        let folder = Scratch::new();
        let together = folder.write("frames.mkv", paff::matroska("FTTFtTFBfBTFtT"));
        let apart = folder.file("fields.mkv");
        let bare = folder.write("fields.h264", paff::annex_b("FTTFTTFBFBTFTT"));
        make(
            &format!(
                "-f h264 -framerate 25 -i {} -c copy \
                 -bsf:v 'setts=ts=if(N\\,PREV_OUTPTS+PREV_INDURATION\\,0)'",
                bare.display()
            ),
            &apart,
        );
        let mut options = fast();
        options.decoder_threads = Some(2);
        for source in [together, apart] {
            let encoded = encode(&source, &options);
            assert!(encoded.report.warnings.is_empty(), "{:?}", encoded.report);
            let times = encoded.assert_same_times(&source);
            assert_eq!(times.millis(), (0..14).map(|n| n * 40).collect::<Vec<_>>());
            let psnr = quality::psnr_through(
                &source,
                "bwdif=mode=send_frame:parity=auto:deint=interlaced",
                &encoded.output,
            );
            quality::assert_all_alike(&psnr, 14);
        }
    });
}
