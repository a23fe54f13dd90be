use super::*;
use proptest::prelude::*;

fn index(keyframes: Vec<i64>) -> KeyframeIndex {
    KeyframeIndex {
        stream: 0,
        time_base: TimeBase::new(1, 1000),
        keyframes,
        packets: 0,
    }
}

#[test]
fn cuts_fall_on_keyframes_and_decoding_starts_one_earlier() {
    let segments = cut(&index(vec![0, 900, 2100, 3000, 4000]), 2);
    assert_eq!(
        segments,
        [
            Segment {
                first: None,
                end: Some(2100),
                decode_from: None
            },
            Segment {
                first: Some(2100),
                end: None,
                decode_from: Some(900)
            },
        ]
    );
}

#[test]
fn a_film_with_one_keyframe_is_one_segment() {
    assert_eq!(cut(&index(vec![0]), 4), [Segment::WHOLE]);
    assert_eq!(cut(&index(vec![]), 4), [Segment::WHOLE]);
}

fn report(first: Option<i64>, end: Option<i64>, head: u64, next: u64) -> SegmentReport {
    let hash = |ticks: Option<i64>, hash| {
        ticks
            .map(|ticks| FrameHash { ticks, hash })
            .into_iter()
            .collect::<Vec<_>>()
    };
    SegmentReport {
        segment: Segment {
            first,
            end,
            decode_from: None,
        },
        times: vec![first.unwrap_or(0), first.unwrap_or(0) + 1],
        sequence_header: vec![1],
        head: hash(first, head),
        next: hash(end, next),
    }
}

#[test]
fn a_seam_with_other_frames_is_refused() {
    let source = Path::new("film.mkv");
    let good = [report(None, Some(10), 0, 7), report(Some(10), None, 7, 0)];
    assert_eq!(join_times(source, &good).expect("fits"), [0, 1, 10, 11]);
    let green = [report(None, Some(10), 0, 7), report(Some(10), None, 8, 0)];
    let error = join_times(source, &green).expect_err("other frames");
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    let mut other = good;
    other[1].sequence_header = vec![2];
    assert!(join_times(source, &other).is_err());
}

proptest! {
    /// Every time belongs to exactly one segment, whatever the keyframes.
    #[test]
    fn segments_cover_every_time_once(
        keys in prop::collection::btree_set(-1_000_000i64..1_000_000, 0..40),
        parts in 0usize..12,
        times in prop::collection::vec(-2_000_000i64..2_000_000, 1..50),
    ) {
        let segments = cut(&index(keys.iter().copied().collect()), parts);
        prop_assert!(!segments.is_empty() && segments.len() <= parts.max(1));
        for time in times {
            let holders = segments.iter().filter(|s| {
                s.first.is_none_or(|first| time >= first) && s.end.is_none_or(|end| time < end)
            });
            prop_assert_eq!(holders.count(), 1);
        }
        for segment in &segments {
            prop_assert!(segment.decode_from.is_none() || segment.decode_from < segment.first);
        }
    }
}
