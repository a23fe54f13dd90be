//! Every frame of the source is in the output, at its time, and no other: B-frames,
//! open GOPs, variable frame rates, odd starts, old containers. Each encode is also
//! compared picture by picture, so that no frame is another one's, and played to its
//! end by another decoder.

use std::fs;
use std::path::Path;

use crate::support::command::{make, words};
use crate::support::probe::frame_times;
use crate::support::{Scratch, clip, encode, fast, recipe, watched};

/// Encodes the file, holds the result against it, and returns the plan's shift.
fn faithful(source: &Path) -> i64 {
    let encoded = encode(source, &fast());
    encoded.assert_faithful(source);
    encoded.report.plan.timestamp_shift_ms
}

/// Makes a film of 320x180 and encodes it.
fn faithful_film(name: &str, rate: u32, seconds: f64, codec: &str) {
    let codec = codec.to_owned();
    let name = name.to_owned();
    watched(move || {
        let folder = Scratch::new();
        let source = recipe::film(&folder, &name, (rate, seconds), &codec);
        assert_eq!(faithful(&source), 0);
    });
}

/// Its edit lists cut the delay of the B-frames off the start.
#[test]
fn a_real_film_with_b_frames_keeps_every_frame_and_its_time() {
    watched(|| {
        let source = clip("bbb-bframes-mp3.mp4");
        assert_eq!(frame_times(&source).ticks.len(), 270);
        faithful(&source);
    });
}

#[test]
fn open_gops_lose_no_leading_picture() {
    faithful_film("open.mkv", 25, 4.0, recipe::OPEN_GOP);
}

/// Frames that last 35, 35 and 55 ms by turns, and a hole of half a second.
#[test]
fn a_variable_frame_rate_stays_variable() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("vfr.mkv");
        let times = "'settb=1/1000,setpts=N/3*125-mod(N\\,3)*6.67+gte(N\\,40)*500'";
        let picture = recipe::picture("320x180", 25, 3.0);
        let codec = recipe::H264;
        make(
            &format!("{picture} -vf {times} -fps_mode passthrough -enc_time_base 1/1000 {codec}"),
            &source,
        );
        let ticks = frame_times(&source).ticks;
        let steps: Vec<_> = ticks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(steps.iter().max() > Some(&500) && steps.iter().min() < Some(&40));
        assert_eq!(faithful(&source), 0);
    });
}

/// Two films of different frame rates, one behind the other.
#[test]
fn a_frame_rate_that_changes_within_the_film_is_kept() {
    watched(|| {
        let folder = Scratch::new();
        let codec = format!("{} -video_track_timescale 90000", recipe::H264);
        recipe::film(&folder, "1.mp4", (24, 1.0), &codec);
        recipe::film(&folder, "2.mp4", (30, 1.0), &codec);
        let list = folder.write("list.txt", "file '1.mp4'\nfile '2.mp4'\n");
        let source = folder.file("both.mp4");
        make(&format!("-f concat -i {} -c copy", list.display()), &source);
        assert_eq!(frame_times(&source).ticks.len(), 54);
        faithful(&source);
    });
}

#[test]
fn a_start_after_zero_stays_where_it_is() {
    faithful_film(
        "late.mkv",
        25,
        1.0,
        &format!("{} -output_ts_offset 2", recipe::H264),
    );
}

#[test]
fn a_camera_whose_picture_starts_after_its_sound_keeps_the_distance() {
    watched(|| {
        let source = clip("camera-1080p-late-video.mp4");
        assert_eq!(faithful(&source), 0);
    });
}

/// Broadcast clocks start anywhere; the whole film is moved to its start, every
/// stream by the same shift.
#[test]
fn a_broadcast_clock_is_moved_to_zero() {
    watched(|| {
        let source = clip("huge-start-time.ts");
        // Sound starts first, 120 ms before the picture.
        let shift = faithful(&source);
        let first = frame_times(&source).millis()[0];
        assert!((119..=121).contains(&(first + shift)), "{}", first + shift);
    });
}

#[test]
fn a_transport_stream_that_starts_at_ten_seconds_keeps_its_frames() {
    watched(|| {
        let source = clip("sintel-cea608-late-start.ts");
        let shift = faithful(&source);
        let first = frame_times(&source).millis()[0];
        assert!((118..=121).contains(&(first + shift)), "{}", first + shift);
    });
}

/// A stream copy from the middle of a GOP: an edit list hides what comes before.
#[test]
fn frames_hidden_by_an_edit_list_stay_hidden() {
    watched(|| {
        let folder = Scratch::new();
        let whole = recipe::film(
            &folder,
            "whole.mp4",
            (25, 3.0),
            &format!("{} -g 25", recipe::H264),
        );
        let source = folder.file("cut.mp4");
        make(&format!("-ss 1.3 -i {} -c copy", whole.display()), &source);
        let packets = crate::support::probe::packet_spans(&source, "v:0").len();
        let frames = frame_times(&source).ticks.len();
        assert!(frames < packets, "{frames} of {packets} packets are shown");
        faithful(&source);
    });
}

/// Matroska holds no time before zero: all streams move by the same shift.
#[test]
fn a_start_before_zero_moves_all_streams_alike() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("early.mp4");
        let picture = recipe::picture("320x180", 25, 1.0);
        let whole = folder.file("whole.mkv");
        make(
            &format!("{picture} -f lavfi -i sine=d=1 {} -c:a ac3", recipe::H264),
            &whole,
        );
        make(
            &format!(
                "-itsoffset -0.3 -i {} -c copy -movflags +frag_keyframe+delay_moov \
                 -avoid_negative_ts disabled",
                whole.display()
            ),
            &source,
        );
        let first = frame_times(&source).millis()[0];
        assert!((-300..-280).contains(&first), "{first}");
        let shift = faithful(&source);
        assert!((-first..=310).contains(&shift), "{shift}");
    });
}

/// AVI has no presentation times: they follow from the decoder's order.
#[test]
fn mpeg_4_in_avi_with_b_frames_has_every_frame() {
    faithful_film("film.avi", 25, 2.0, "-c:v mpeg4 -q:v 2 -bf 2");
}

#[test]
fn vp9_with_hidden_frames_has_every_shown_one() {
    faithful_film(
        "film.webm",
        30,
        1.0,
        "-c:v libvpx-vp9 -b:v 0 -crf 15 -deadline realtime -cpu-used 6 -auto-alt-ref 1 -lag-in-frames 12",
    );
}

#[test]
fn hevc_keeps_every_frame_and_its_time() {
    faithful_film(
        "film.mp4",
        24,
        1.5,
        "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=none:bframes=3",
    );
}

#[test]
fn mpeg_2_in_a_transport_stream_keeps_every_frame_and_its_time() {
    faithful_film("film.ts", 25, 2.0, "-c:v mpeg2video -q:v 2 -bf 2");
}

/// 23.976 frames/s do not fall on milliseconds: each time is rounded by itself.
#[test]
fn rounding_to_milliseconds_does_not_add_up() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("ntsc.mp4");
        let codec = recipe::H264;
        make(
            &format!(
                "-f lavfi -i testsrc2=s=320x180:r=24000/1001:d=4 {codec} \
                 -video_track_timescale 24000"
            ),
            &source,
        );
        faithful(&source);
    });
}

#[test]
fn one_frame_is_a_film() {
    faithful_film("one.mkv", 25, 0.04, recipe::H264);
}

/// The comparison itself notices a frame that stands in another's place.
#[test]
fn a_picture_that_is_one_frame_off_is_noticed() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 1.0), recipe::H264);
        let shifted = folder.file("shifted.mkv");
        make(
            &format!(
                "-i {} -vf trim=start_frame=1,setpts=PTS-STARTPTS,tpad=stop=1 {}",
                source.display(),
                recipe::H264
            ),
            &shifted,
        );
        let worst = crate::support::quality::psnr(&source, &shifted)
            .into_iter()
            .fold(f64::INFINITY, f64::min);
        assert!(worst < crate::support::quality::SAME_PICTURE_DB, "{worst}");
        fs::remove_file(shifted).expect("removed");
        assert_eq!(words("a 'b c'  d"), ["a", "b c", "d"]);
    });
}
