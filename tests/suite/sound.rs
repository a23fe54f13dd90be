//! Sound stays with the picture: it starts and ends where it did, to within one
//! Opus frame, in every layout, with gaps and late starts, and every track keeps
//! its language, title and role.

use std::path::{Path, PathBuf};

use crate::support::command::make;
use crate::support::encode::Encode;
use crate::support::probe::{frame_times, inventory, streams, tag};
use crate::support::sound::{
    OPUS_FRAME_S, RATE_HZ, assert_in_sync, channel, heard, onsets, pitch, span,
};
use crate::support::{Scratch, clip, encode, fast, recipe, watched};

/// Every audio track of a file is in sync.
fn in_sync(source: &Path) -> Encode {
    let encoded = encode(source, &fast());
    let tracks = streams(&inventory(source), "audio").len();
    assert!(tracks > 0);
    assert_eq!(streams(&inventory(&encoded.output), "audio").len(), tracks);
    for track in 0..tracks {
        assert_in_sync(source, &encoded, track);
    }
    encoded
}

#[test]
fn real_films_keep_their_sound_in_place() {
    watched(|| {
        for name in [
            "camera-1080p-late-video.mp4",
            "huge-start-time.ts",
            "bbb-attachment.mkv",
        ] {
            in_sync(&clip(name));
        }
    });
}

#[test]
fn sound_that_starts_first_and_ends_early_stays_so() {
    watched(|| {
        in_sync(&clip("sintel-cea608-late-start.ts"));
    });
}

#[test]
fn mp3_in_mp4_with_edit_lists_stays_in_place() {
    watched(|| {
        in_sync(&clip("bbb-bframes-mp3.mp4"));
    });
}

#[test]
fn aac_in_mp4_with_edit_lists_stays_in_place() {
    watched(|| {
        in_sync(&clip("sintel-bframes-aac.mp4"));
    });
}

/// A short film with sound: one tone a channel, so that channels cannot be mixed up.
fn film_with_tones(
    folder: &Scratch,
    name: &str,
    tones: &[u32],
    layout: &str,
    codec: &str,
) -> PathBuf {
    let path = folder.file(name);
    let expressions: Vec<_> = tones
        .iter()
        .map(|tone| format!("0.3*sin(2*PI*t*{tone})"))
        .collect();
    let expressions = expressions.join("|");
    make(
        &format!(
            "-f lavfi -i testsrc2=s=128x96:r=25:d=1 \
             -f lavfi -i aevalsrc='{expressions}:c={layout}:s=48000:d=1' {} {codec}",
            recipe::H264
        ),
        &path,
    );
    path
}

const TONES: [u32; 8] = [300, 500, 700, 60, 1100, 1300, 1700, 1900];

/// Each channel of the output has the tone that the channel of the source has.
fn keeps_channels(layout: &str, channels: usize, codec: &str, expected_layout: &str) {
    let folder = Scratch::new();
    let source = film_with_tones(&folder, "film.mkv", &TONES[..channels], layout, codec);
    let encoded = in_sync(&source);
    let audio = streams(&inventory(&encoded.output), "audio").remove(0);
    assert_eq!(audio["codec_name"], "opus");
    assert_eq!(audio["channels"], channels);
    assert_eq!(audio["channel_layout"], expected_layout);
    let candidates = TONES.map(f64::from);
    let middle = RATE_HZ / 4..RATE_HZ * 3 / 4;
    for number in 0..channels {
        let before = channel(&source, 0, number);
        let after = channel(&encoded.output, 0, number);
        assert_eq!(
            pitch(&after[middle.clone()], &candidates),
            pitch(&before[middle.clone()], &candidates),
            "channel {number} of {layout}"
        );
        let (before, after) = (
            loudness(&before[middle.clone()]),
            loudness(&after[middle.clone()]),
        );
        assert!(
            (after / before - 1.0).abs() < 0.15,
            "channel {number} of {layout}: {before} became {after}"
        );
    }
}

/// Root mean square.
fn loudness(samples: &[f32]) -> f64 {
    let sum: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    (sum / samples.len() as f64).sqrt()
}

#[test]
fn mono_stays_mono() {
    watched(|| keeps_channels("mono", 1, "-c:a libmp3lame -b:a 128k", "mono"));
}

#[test]
fn stereo_at_44100_hz_stays_stereo_and_in_time() {
    watched(|| keeps_channels("stereo", 2, "-c:a flac -ar 44100", "stereo"));
}

#[test]
fn surround_with_side_speakers_keeps_its_channels() {
    watched(|| {
        // AC-3's surrounds are at the sides, which libopus does not take by itself.
        keeps_channels("5.1(side)", 6, "-c:a ac3 -b:a 640k", "5.1");
    });
}

#[test]
fn surround_with_back_speakers_keeps_its_channels() {
    watched(|| keeps_channels("5.1", 6, "-c:a flac", "5.1"));
}

#[test]
fn seven_point_one_keeps_its_channels() {
    watched(|| keeps_channels("7.1", 8, "-c:a flac", "7.1"));
}

#[test]
fn quadraphonic_sound_keeps_its_channels() {
    watched(|| keeps_channels("quad", 4, "-c:a flac", "quad"));
}

/// A layout that Opus has no order for: channels are kept apart, none is mixed away.
#[test]
fn a_layout_unknown_to_opus_keeps_its_channels_apart() {
    watched(|| {
        let folder = Scratch::new();
        let source = film_with_tones(&folder, "film.mkv", &TONES[..3], "2.1", "-c:a pcm_s16le");
        let encoded = in_sync(&source);
        let audio = streams(&inventory(&encoded.output), "audio").remove(0);
        assert_eq!(audio["channels"], 3);
        let candidates = TONES.map(f64::from);
        for (number, tone) in TONES[..3].iter().enumerate() {
            let after = channel(&encoded.output, 0, number);
            let middle = &after[RATE_HZ / 4..RATE_HZ * 3 / 4];
            assert_eq!(pitch(middle, &candidates), f64::from(*tone));
        }
    });
}

#[test]
fn real_surround_of_a_film_keeps_its_channels() {
    watched(|| {
        let encoded = in_sync(&clip("bbb-aac-5.1.mp4"));
        let audio = streams(&inventory(&encoded.output), "audio").remove(0);
        assert_eq!(audio["channel_layout"], "5.1");
    });
}

/// Three tracks in three codecs, each with its language, title and role.
#[test]
fn every_track_keeps_language_title_and_role() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("tracks.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -f lavfi -i sine=f=440:r=48000:d=1 \
                 -f lavfi -i sine=f=660:r=44100:d=1 -f lavfi -i sine=f=880:r=48000:d=1 \
                 -map 0 -map 1 -map 2 -map 3 {} -c:a:0 ac3 -c:a:1 libmp3lame -c:a:2 flac \
                 -metadata:s:a:0 language=ger -metadata:s:a:0 'title=Deutsch, 5.1' \
                 -metadata:s:a:1 language=eng -metadata:s:a:1 'title=Director’s commentary' \
                 -metadata:s:a:2 language=jpn -disposition:a:0 default \
                 -disposition:a:1 comment -disposition:a:2 original+hearing_impaired",
                recipe::H264
            ),
            &source,
        );
        let encoded = in_sync(&source);
        let (before, after) = (inventory(&source), inventory(&encoded.output));
        let (before, after) = (streams(&before, "audio"), streams(&after, "audio"));
        let languages: Vec<_> = after.iter().map(|s| tag(s, "language")).collect();
        assert_eq!(languages, ["ger", "eng", "jpn"].map(|l| Some(l.to_owned())));
        let pitches: Vec<_> = (0..3)
            .map(|track| pitch(&heard(&encoded.output, track), &[440.0, 660.0, 880.0]))
            .collect();
        assert_eq!(pitches, [440.0, 660.0, 880.0], "tracks in their order");
        for (before, after) in before.iter().zip(&after) {
            assert_eq!(tag(after, "title"), tag(before, "title"));
            assert_eq!(after["disposition"], before["disposition"]);
            assert_eq!(after["codec_name"], "opus");
        }
        assert_eq!(after[0]["disposition"]["default"], 1);
        assert_eq!(after[1]["disposition"]["default"], 0);
        assert_eq!(after[1]["disposition"]["comment"], 1);
    });
}

/// Opus is not encoded again, sample for sample.
#[test]
fn opus_is_copied() {
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
        let encoded = in_sync(&source);
        assert_eq!(channel(&encoded.output, 0, 0), channel(&source, 0, 0));
    });
}

/// Beeps of 50 ms, one a second, each at its half second.
const BEEPS: &str =
    "aevalsrc=if(between(mod(t\\,1)\\,0.5\\,0.55)\\,0.8*sin(2*PI*t*1000)\\,0):s=48000:d=4";

fn assert_beeps(source: &Path, encoded: &Encode, expected: usize) {
    let shift_s = encoded.report.plan.timestamp_shift_ms as f64 / 1000.0;
    let before = onsets(&heard(source, 0), 0.2);
    let after = onsets(&heard(&encoded.output, 0), 0.2);
    assert_eq!(before.len(), expected, "in the source: {before:?}");
    assert_eq!(after.len(), expected, "{before:?} became {after:?}");
    for (before, after) in before.iter().zip(&after) {
        assert!(
            (before + shift_s - after).abs() <= OPUS_FRAME_S,
            "a beep at {before} s came at {after} s"
        );
    }
}

#[test]
fn beeps_stay_where_they_are() {
    watched(|| {
        for codec in [
            "flac -ar 96000",
            "ac3",
            "libmp3lame -ar 44100",
            "aac",
            "pcm_s16le -ar 8000",
        ] {
            let folder = Scratch::new();
            let source = folder.file("beeps.mkv");
            make(
                &format!(
                    "-f lavfi -i testsrc2=s=128x96:r=25:d=4 -f lavfi -i {BEEPS} {} -c:a {codec}",
                    recipe::H264
                ),
                &source,
            );
            let encoded = in_sync(&source);
            assert_beeps(&source, &encoded, 4);
        }
    });
}

#[test]
fn sound_that_starts_late_starts_late() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("late.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=25:d=5 -itsoffset 0.77 -f lavfi -i {BEEPS} {} \
                 -c:a ac3",
                recipe::H264
            ),
            &source,
        );
        assert!((span(&source, 0).start_s - 0.77).abs() < 0.02);
        let encoded = in_sync(&source);
        assert_beeps(&source, &encoded, 4);
    });
}

/// A second of sound is missing in the middle: silence takes its place, and what
/// follows is still with its picture.
#[test]
fn a_gap_in_the_sound_becomes_silence() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("gap.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=25:d=4 -f lavfi -i {BEEPS} \
                 -af aselect=lt(t\\,1.2)+gte(t\\,2.3) {} -c:a flac",
                recipe::H264
            ),
            &source,
        );
        let before = span(&source, 0);
        let missing = before.end_s - before.start_s - before.sounding_s;
        assert!((missing - 1.1).abs() < 0.1, "{before:?}");
        let encoded = in_sync(&source);
        assert_beeps(&source, &encoded, 3);
    });
}

/// Clocks of sound and picture that drift apart: the timestamps say where a sample
/// belongs, and ten seconds of samples are never quite ten seconds.
#[test]
fn sound_whose_clock_drifts_stays_with_its_picture() {
    watched(|| {
        for factor in ["1.02", "0.98"] {
            let folder = Scratch::new();
            let source = folder.file("drift.mkv");
            make(
                &format!(
                    "-f lavfi -i testsrc2=s=128x96:r=10:d=10 -f lavfi -i {} \
                     -af asetpts=PTS*{factor} {} -c:a pcm_s16le",
                    BEEPS.replace("d=4", "d=10"),
                    recipe::H264
                ),
                &source,
            );
            let encoded = in_sync(&source);
            assert_beeps(&source, &encoded, 10);
        }
    });
}

/// Later than the muxer waits for a track.
#[test]
fn sound_that_starts_twelve_seconds_late_starts_there() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("late.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=5:d=16 -itsoffset 12 -f lavfi -i {BEEPS} {} \
                 -c:a ac3",
                recipe::H264
            ),
            &source,
        );
        let encoded = in_sync(&source);
        assert_beeps(&source, &encoded, 4);
        encoded.assert_same_times(&source);
    });
}

/// Sound that is shorter than the film is not stretched.
#[test]
fn short_sound_stays_short() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("short.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -f lavfi -i sine=d=0.9 {} -c:a flac",
                recipe::H264
            ),
            &source,
        );
        let encoded = in_sync(&source);
        assert!((span(&encoded.output, 0).end_s - 0.9).abs() < OPUS_FRAME_S);
        encoded.assert_same_times(&source);
    });
}

/// Sound shorter than one Opus frame.
#[test]
fn a_click_of_sound_is_a_track() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("click.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=25:d=1 -f lavfi -i sine=r=48000:d=0.01 {} \
                 -c:a pcm_s16le",
                recipe::H264
            ),
            &source,
        );
        in_sync(&source);
    });
}

#[test]
fn the_bit_rate_that_was_asked_for_is_used() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("noise.mkv");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=128x96:r=25:d=3 -f lavfi -i anoisesrc=d=3:a=0.3:r=48000 \
                 -ac 2 {} -c:a flac",
                recipe::H264
            ),
            &source,
        );
        let mut options = fast();
        options.audio_bitrate_kbps = Some(48);
        let encoded = encode(&source, &options);
        let folder = Scratch::new();
        let sound = folder.file("sound.opus");
        make(
            &format!("-i {} -map 0:a -c copy", encoded.output.display()),
            &sound,
        );
        let bytes = std::fs::metadata(&sound).expect("sound").len() as f64;
        let kbps = bytes * 8.0 / 3.0 / 1000.0;
        assert!((35.0..62.0).contains(&kbps), "{kbps} kbit/s");
    });
}

/// Tones of a part of a broadcast, which begins at `offset` seconds.
fn broadcast_part(folder: &Scratch, layout: &str, channels: usize, offset: u32) -> Vec<u8> {
    let path = folder.file(format!("{offset}.ts"));
    let tones = TONES[..channels].iter();
    let tones: Vec<_> = tones.map(|t| format!("0.3*sin(2*PI*t*{t})")).collect();
    make(
        &format!(
            "-f lavfi -i testsrc2=s=128x96:r=25:d=2 \
             -f lavfi -i aevalsrc='{}:c={layout}:s=48000:d=2' {} -c:a ac3 -b:a 448k \
             -output_ts_offset {offset}",
            tones.join("|"),
            recipe::H264
        ),
        &path,
    );
    std::fs::read(path).expect("read")
}

/// The loudest tone of each channel in the half second from `from` seconds on.
fn tones_at(path: &Path, channels: usize, from: usize) -> Vec<f64> {
    let candidates = TONES.map(f64::from);
    (0..channels)
        .map(|number| {
            let samples = channel(path, 0, number);
            let part = &samples[from * RATE_HZ..][..RATE_HZ / 2];
            if loudness(part) < 0.01 {
                return 0.0;
            }
            pitch(part, &candidates)
        })
        .collect()
}

/// Adverts in stereo, then a film in 5.1: the film is planned again, with all channels,
/// and the adverts play from the two speakers that they have.
#[test]
fn sound_that_grows_is_planned_again_with_all_its_channels() {
    watched(|| {
        let folder = Scratch::new();
        let parts = [
            broadcast_part(&folder, "stereo", 2, 0),
            broadcast_part(&folder, "5.1", 6, 2),
        ];
        let source = folder.write("grows.ts", parts.concat());
        let encoded = encode(&source, &fast());
        let planned = |event: &&av1core::Event| matches!(event, av1core::Event::Planned(_));
        assert_eq!(encoded.events.iter().filter(planned).count(), 2);
        let reason = &encoded.report.plan.streams[1].reason;
        assert!(reason.contains("begins with stereo"), "{reason}");
        let after = streams(&inventory(&encoded.output), "audio").remove(0);
        assert_eq!(after["channel_layout"], "5.1");
        let stereo = [300.0, 500.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(tones_at(&encoded.output, 6, 0), stereo);
        let surround = TONES[..6].iter().map(|t| f64::from(*t));
        assert_eq!(
            tones_at(&encoded.output, 6, 3),
            surround.collect::<Vec<_>>()
        );
        let frames = frame_times(&source).ticks.len();
        assert_eq!(encoded.report.frames, frames as u64);
    });
}

#[test]
fn sound_that_shrinks_keeps_the_speakers_it_has() {
    watched(|| {
        let folder = Scratch::new();
        let parts = [
            broadcast_part(&folder, "5.1", 6, 0),
            broadcast_part(&folder, "stereo", 2, 2),
            broadcast_part(&folder, "mono", 1, 4),
        ];
        let source = folder.write("shrinks.ts", parts.concat());
        let encoded = encode(&source, &fast());
        let stereo = [300.0, 500.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(tones_at(&encoded.output, 6, 3), stereo);
        // Mono is what comes from the front.
        let mono = [0.0, 0.0, 300.0, 0.0, 0.0, 0.0];
        assert_eq!(tones_at(&encoded.output, 6, 5), mono);
        let frames = frame_times(&source).ticks.len();
        assert_eq!(encoded.report.frames, frames as u64);
    });
}
