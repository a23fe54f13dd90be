use super::*;
use proptest::prelude::*;

/// Frames that are half grey, each of its own level, and half black.
fn film(ticks: &[i64]) -> Pictures {
    let mut pictures = Pictures::new(TimeBase::MILLIS);
    for (i, ticks) in ticks.iter().enumerate() {
        let mut frame = ffmpeg_next::frame::Video::new(ffmpeg_next::format::Pixel::YUV420P, 64, 64);
        for plane in 0..3 {
            let data = frame.data_mut(plane);
            let half = data.len() / 2;
            // A new frame's memory holds anything.
            data[half..].fill(16);
            data[..half].fill((i * 40 % 256) as u8);
        }
        pictures.add(&frame, *ticks);
    }
    pictures
}

fn at_25_fps(frames: i64) -> Vec<i64> {
    (0..frames).map(|n| n * 40).collect()
}

fn messages(source: &Pictures, found: &Pictures) -> Vec<String> {
    let differences = pictures(0, source, found, 0);
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn a_missing_frame_is_named() {
    let source = film(&at_25_fps(9));
    let mut found = film(&at_25_fps(9));
    found.ticks.remove(4);
    found.thumbs.remove(4);
    assert_eq!(
        messages(&source, &found),
        [
            "stream 0: it has 8 frames, and the source shows 9",
            "stream 0 at 0.160 s: frame 4 of the source is missing"
        ]
    );
}

#[test]
fn a_frame_too_many_is_named() {
    let source = film(&at_25_fps(9));
    let mut found = film(&at_25_fps(9));
    found.ticks.insert(4, 150);
    found.thumbs.insert(4, found.thumbs[3]);
    assert_eq!(
        messages(&source, &found)[1],
        "stream 0 at 0.160 s: frame 4 is not in the source"
    );
}

#[test]
fn a_frame_in_anothers_place_is_named() {
    let source = film(&at_25_fps(9));
    let mut found = film(&at_25_fps(9));
    found.thumbs[4] = found.thumbs[3];
    assert_eq!(
        messages(&source, &found),
        ["stream 0 at 0.160 s: frame 4 shows the picture of frame 3"]
    );
    found.thumbs[4] = source.thumbs[0];
    assert_eq!(
        messages(&source, &found),
        [
            "stream 0 at 0.160 s: frame 4 does not show the source's picture (it is 80 of 255 levels off)"
        ]
    );
}

/// A tick of the container is all that a time may be off by rounding.
#[test]
fn times_are_held_to_half_a_tick() {
    let mut source = Pictures::new(TimeBase::new(1, 90_000));
    source.ticks = (0..9).map(|n| n * 3003).collect();
    let mut found = Pictures::new(TimeBase::MILLIS);
    found.ticks = source
        .ticks
        .iter()
        .map(|t| source.base.rescale(*t, found.base))
        .collect();
    assert_eq!(messages(&source, &found), [""; 0]);
    found.ticks[5] += 1;
    assert_eq!(
        messages(&source, &found),
        ["stream 0 at 0.167 s: frame 5 is shown at 0.168000 s instead of 0.166833 s"]
    );
}

fn tone(start: i64, samples: usize, level: f32) -> Sound {
    let mut sound = Sound::new(start, 1);
    sound.add(&vec![level; samples]);
    sound.finish()
}

#[test]
fn sound_may_be_off_by_an_opus_frame_and_no_more() {
    let source = tone(0, 96_000, 0.5);
    let told = |found: &Sound| sound(1, (Some(&source), Some(found)), 0, None).len();
    assert_eq!(told(&tone(960, 96_000 - 960, 0.5)), 0);
    assert_eq!(told(&tone(961, 96_000 - 961, 0.5)), 1);
    assert_eq!(told(&tone(0, 96_000 - 961, 0.5)), 1);
    assert_eq!(told(&tone(0, 96_000, 0.01)), 1);
    assert_eq!(told(&tone(0, 96_000, 0.4)), 0);
    assert_eq!(sound(1, (Some(&source), None), 0, None).len(), 1);
}

#[test]
fn a_low_frequency_channel_may_lose_what_it_does_not_hold() {
    let (source, found) = (tone(0, 48_000, 0.5), tone(0, 48_000, 0.0));
    assert_eq!(levels(1, &source, &found, None).len(), 1);
    assert_eq!(levels(1, &source, &found, Some(0)).len(), 0);
    assert_eq!(low_frequency_channel(Some("5.1")), Some(3));
    assert_eq!(low_frequency_channel(Some("5.0")), None);
}

#[test]
fn packets_that_wait_for_the_one_before_are_in_order() {
    let packets_at = |times: &[i64]| {
        let mut packets = Packets::default();
        for time in times {
            packets.add(*time, b"text");
        }
        packets
    };
    let source = packets_at(&[-7_000, 1_000_000, 900_000, 2_000_000]);
    let told = |times: &[i64]| packets(2, &source, &packets_at(times)).len();
    assert_eq!(told(&[0, 1_000_000, 1_000_000, 2_000_000]), 0);
    assert_eq!(told(&[0, 1_000_000, 1_000_000, 2_002_000]), 1);
    assert_eq!(told(&[0, 1_000_000, 1_000_000]), 1);
}

proptest! {
    /// Whatever the times, a film is its own equal, and not without one of its frames.
    #[test]
    fn no_frame_goes_unmissed(
        steps in prop::collection::vec(1i64..500, 2..60), pick in any::<prop::sample::Index>()
    ) {
        let ticks: Vec<_> = steps.iter().scan(0, |at, step| { *at += step; Some(*at) }).collect();
        let source = film(&ticks);
        prop_assert!(messages(&source, &source).is_empty());
        let mut found = film(&ticks);
        let gone = pick.index(ticks.len());
        found.ticks.remove(gone);
        found.thumbs.remove(gone);
        prop_assert!(!messages(&source, &found).is_empty());
    }
}
