//! Progress never runs backwards, never promises too much, and is exact at the end.

use av1core::{Event, FramesTotal, Progress};

use crate::support::{Scratch, clip, encode, fast, recipe, watched};

#[test]
fn progress_is_monotonic_and_exact_at_the_end() {
    watched(|| {
        let source = clip("sintel-bframes-aac.mp4");
        let encoded = encode(&source, &fast());
        let progress = encoded.progress();
        assert!(progress.len() >= 2, "{} events", progress.len());
        for pair in progress.windows(2) {
            assert_monotonic(&pair[0], &pair[1]);
        }
        for step in &progress {
            assert_bounded(step);
        }
        let last = progress.last().expect("a last event");
        let size = std::fs::metadata(&encoded.output).expect("an output").len();
        assert_eq!(last.frames_total, FramesTotal::Exact(208));
        assert_eq!(last.frames_done, 208);
        assert_eq!(last.frames_in, 208);
        assert_eq!(encoded.report.frames, 208);
        assert_eq!(last.bytes_written, size);
        assert_eq!(encoded.report.output_bytes, size);
        assert_eq!(last.projected_bytes, Some(size));
        assert_eq!(last.eta_us.unwrap_or(0), 0);
        assert_eq!(last.position_us, encoded.report.film_us);
        // 207 frames at 24 frames/s after the first.
        assert!((last.position_us - 8_625_000).abs() <= 1000, "{last:?}");
        assert!(last.elapsed_us <= encoded.report.elapsed_us);
        let source_bytes = std::fs::metadata(&source).expect("a source").len();
        assert_eq!(encoded.report.source_bytes, source_bytes);
    });
}

fn assert_monotonic(before: &Progress, after: &Progress) {
    assert!(before.frames_done <= after.frames_done);
    assert!(before.frames_in <= after.frames_in);
    assert!(before.position_us <= after.position_us);
    assert!(before.elapsed_us <= after.elapsed_us);
    assert!(before.bytes_written <= after.bytes_written);
    let was_exact = matches!(before.frames_total, FramesTotal::Exact(_));
    if was_exact {
        assert_eq!(before.frames_total, after.frames_total);
    }
}

fn assert_bounded(step: &Progress) {
    assert!(step.frames_done <= step.frames_in, "{step:?}");
    if let Some(total) = step.frames_total.frames() {
        assert!(step.frames_done <= total, "{step:?}");
        assert!(total > 0, "a false zero: {step:?}");
    }
    if let Some(projected) = step.projected_bytes {
        assert!(projected >= step.bytes_written, "{step:?}");
    }
    assert!(step.fps.is_finite() && step.fps >= 0.0, "{step:?}");
    assert!(step.speed.is_finite() && step.speed >= 0.0, "{step:?}");
}

/// The container says nothing of the number of frames, and nothing is made up.
#[test]
fn an_unknown_total_is_no_zero_and_becomes_exact() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(
            &folder,
            "film.h264",
            (25, 3.0),
            &format!("{} -f h264", recipe::H264),
        );
        let encoded = encode(&source, &fast());
        for step in encoded.progress() {
            assert_ne!(step.frames_total.frames(), Some(0));
        }
        let last = *encoded.progress().last().expect("a last event");
        assert_eq!(last.frames_total, FramesTotal::Exact(75));
    });
}

/// A container's estimate is marked as one until every frame has been counted.
#[test]
fn the_plan_comes_first_and_estimates_are_marked() {
    watched(|| {
        let encoded = encode(&clip("bbb-aac-5.1.mp4"), &fast());
        let Some(Event::Planned(plan)) = encoded.events.first() else {
            panic!("the first event is {:?}", encoded.events.first());
        };
        assert_eq!(**plan, encoded.report.plan);
        assert_eq!(plan.estimated_frames, Some(132));
        let exact = |step: &Progress| matches!(step.frames_total, FramesTotal::Exact(_));
        let estimate = |step: &Progress| matches!(step.frames_total, FramesTotal::Estimate(_));
        assert!(
            encoded
                .progress()
                .iter()
                .all(|step| exact(step) || estimate(step))
        );
        assert!(encoded.progress().last().is_some_and(exact));
        // The output is read back to its last frame before it is published.
        let last = encoded.events.last().expect("a last event");
        assert!(
            matches!(last, Event::Verifying(v) if (v.frames_done, v.frames_total) == (132, 132)),
            "{last:?}"
        );
    });
}
