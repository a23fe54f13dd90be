use super::*;
use crate::media::{Disposition, StreamInfo, StreamKind, Tags};
use crate::units::TimeBase;

fn info(container: &str, stream_duration_us: Option<i64>, duration_us: i64) -> MediaInfo {
    MediaInfo {
        container: container.to_owned(),
        size_bytes: 1,
        duration_us: Some(duration_us),
        duration_is_guess: false,
        start_us: Some(0),
        streams: vec![StreamInfo {
            index: 0,
            codec: "h264".to_owned(),
            profile: None,
            decodable: true,
            matroska_holds: true,
            encrypted: false,
            is_empty: false,
            time_base: TimeBase::MILLIS,
            start_us: Some(0),
            duration_us: stream_duration_us,
            declared_frames: None,
            bit_rate_bps: None,
            disposition: Disposition::default(),
            tags: Tags::new(),
            kind: StreamKind::Data,
        }],
        chapters: Vec::new(),
        tags: Tags::new(),
    }
}

fn ends_at(seconds: i64) -> Reach {
    Reach {
        end_us: vec![Some(seconds * 1_000_000)],
        ..Reach::default()
    }
}

#[test]
fn a_film_that_lacks_its_last_seconds_is_cut_short() {
    let mkv = info("matroska,webm", None, 1_200_000_000);
    assert_eq!(shortfall(&mkv, 0, &ends_at(1200)), None);
    assert!(shortfall(&mkv, 0, &ends_at(1198)).is_some());
    let mp4 = info("mov,mp4,m4a,3gp,3g2,mj2", Some(60_000_000), 720_000_000);
    assert_eq!(shortfall(&mp4, 0, &ends_at(60)), None);
    assert!(shortfall(&mp4, 0, &ends_at(58)).is_some());
}

#[test]
fn a_guessed_duration_is_not_held_against_the_film() {
    let mut guess = info("mpegts", None, 100_000_000);
    guess.duration_is_guess = true;
    assert_eq!(shortfall(&guess, 0, &ends_at(97)), None);
    assert!(shortfall(&guess, 0, &ends_at(90)).is_some());
}
