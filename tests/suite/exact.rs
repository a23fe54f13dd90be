//! What differs between the versions of FFmpeg underneath and must not show in the
//! output: who adds the delay of Opus to the times in the file, and what kind of
//! keyframes the encoder is asked for.

use crate::support::command::make;
use crate::support::probe::{ask, millis, packet_spans};
use crate::support::sound::{heard_as_stamped, onsets};
use crate::support::{Scratch, encode, fast, quality, recipe, watched};

/// Opus starts 6.5 ms early: added twice, or not at all, that is heard here.
const MOST_OFFSET_S: f64 = 0.003;

#[test]
fn encoded_sound_is_in_place_to_within_three_milliseconds() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("beeps.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -f lavfi -i \
                 aevalsrc=if(between(mod(t\\,1)\\,0.5\\,0.55)\\,0.8*sin(2*PI*t*1000)\\,0):s=48000:d=3 \
                 {} -c:a pcm_s16le",
                recipe::H264
            ),
            &source,
        );
        let encoded = encode(&source, &fast());
        let before = onsets(&heard_as_stamped(&source, 0), 0.2);
        let after = onsets(&heard_as_stamped(&encoded.output, 0), 0.2);
        assert_eq!((before.len(), after.len()), (3, 3), "{before:?}, {after:?}");
        for (before, after) in before.iter().zip(&after) {
            assert!(
                (before - after).abs() <= MOST_OFFSET_S,
                "a beep at {before} s came at {after} s"
            );
        }
    });
}

/// The first packet too, which lies before zero.
#[test]
fn copied_opus_keeps_the_time_of_every_packet() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("opus.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -f lavfi -i sine=f=440:d=1 {} \
                 -c:a libopus",
                recipe::H264
            ),
            &source,
        );
        let encoded = encode(&source, &fast());
        let shift_ms = encoded.report.plan.timestamp_shift_ms;
        let starts = |path, moved| {
            let spans = packet_spans(path, "a:0");
            spans
                .iter()
                .map(|(start, _)| start + moved)
                .collect::<Vec<_>>()
        };
        assert_eq!(starts(&encoded.output, 0), starts(&source, shift_ms));
    });
}

/// A film that is cut at a keyframe plays from there, every picture whole.
#[test]
fn nothing_after_a_keyframe_leans_on_what_was_before() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 6.0), recipe::H264);
        let mut options = fast();
        options.keyframe_interval_s = 2;
        let encoded = encode(&source, &options);
        let asked = ask(
            &encoded.output,
            "-select_streams v:0 -show_entries packet=pts_time,flags",
        );
        let packets = asked["packets"].as_array().expect("packets");
        let keys: Vec<_> = (0..packets.len())
            .filter(|at| {
                packets[*at]["flags"]
                    .as_str()
                    .is_some_and(|f| f.starts_with('K'))
            })
            .collect();
        assert!(keys.len() >= 3, "{keys:?}");
        for first in &keys[1..] {
            let rest = folder.file("rest.mkv");
            let start_ms = millis(&packets[*first]["pts_time"]);
            make(
                &format!("-ss {start_ms}ms -i {} -c copy", encoded.output.display()),
                &rest,
            );
            let filter = format!("select=gte(n\\,{first})");
            let psnr = quality::psnr_through(&source, &filter, &rest);
            quality::assert_all_alike(&psnr, packets.len() - first);
        }
    });
}
