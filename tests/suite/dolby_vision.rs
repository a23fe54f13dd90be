//! Dolby Vision: carried where the linked libraries can, left alone where they cannot.

use std::fs;
use std::path::Path;

use av1core::{CancelToken, Destination, Options, Outcome, SkipReason};
use serde_json::Value;

use crate::support::dolby_vision::{FIRST_PEAK_PQ, film, film_with, units};
use crate::support::probe::{ask, frame_times, inventory, streams};
use crate::support::recipe::patch;
use crate::support::{Scratch, cli, encode, fast, watched};

fn is_carried() -> bool {
    !av1core::capabilities().encoder_limits.drops_dolby_vision
}

fn transcode(source: &Path, output: &Path, options: &Options) -> Outcome {
    let output = Destination::new(output);
    av1core::transcode(source, &output, options, &CancelToken::new(), |_| {}).expect("no error")
}

fn side_data<'a>(of: &'a Value, kind: &str) -> Option<&'a Value> {
    let list = of["side_data_list"].as_array()?;
    list.iter().find(|data| data["side_data_type"] == kind)
}

/// Profile and compatibility as the container names them.
fn configuration(path: &Path) -> Option<(u64, u64)> {
    let video = streams(&inventory(path), "video").remove(0);
    let record = side_data(&video, "DOVI configuration record")?;
    let number = |key: &str| record[key].as_u64().expect("a number");
    Some((
        number("dv_profile"),
        number("dv_bl_signal_compatibility_id"),
    ))
}

/// What is different in every frame's metadata, as another reader finds it.
fn peaks(path: &Path) -> Vec<Option<u64>> {
    let asked = ask(path, "-select_streams V:0 -show_frames");
    let frames = asked["frames"].as_array().expect("frames");
    let peak = |frame| side_data(frame, "Dolby Vision Metadata")?["source_max_pq"].as_u64();
    frames.iter().map(peak).collect()
}

#[test]
fn dolby_vision_is_carried_frame_by_frame_or_left_alone() {
    watched(|| {
        for (profile, compatibility) in [(8, 1), (5, 0)] {
            let folder = Scratch::new();
            let source = film(&folder, profile, 60);
            for name in ["out.mkv", "out.mp4"] {
                let output = folder.file(name);
                let outcome = transcode(&source, &output, &fast());
                if !is_carried() {
                    let Outcome::Skipped(reason) = outcome else {
                        panic!("{outcome:?}");
                    };
                    let named = format!("Dolby Vision profile {profile}");
                    assert!(reason.to_string().contains(&named), "{reason}");
                    assert!(reason.to_string().contains("FFmpeg 7.1"), "{reason}");
                    assert!(!output.exists());
                    continue;
                }
                let Outcome::Done(report) = outcome else {
                    panic!("{outcome:?}");
                };
                let reason = &report.plan.streams[0].reason;
                assert!(reason.contains("Dolby Vision"), "{reason}");
                assert_eq!(configuration(&output), Some((10, compatibility)), "{name}");
                let expected = (0..60).map(|frame| Some(u64::from(FIRST_PEAK_PQ) + frame));
                assert_eq!(peaks(&output), expected.collect::<Vec<_>>(), "{name}");
                let times = frame_times(&output).millis();
                assert_eq!(times, (0..60).map(|n| n * 40).collect::<Vec<_>>());
            }
        }
    });
}

/// The gate finds one frame's metadata that is another's, and a container that says
/// something else.
#[test]
fn dolby_vision_that_is_not_the_sources_is_refused() {
    watched(|| {
        if !is_carried() {
            return;
        }
        let folder = Scratch::new();
        let source = film(&folder, 8, 30);
        let encoded = encode(&source, &fast());
        let told = |spoilt: &Path| -> Vec<String> {
            let compared = av1core::compare(&source, spoilt, &CancelToken::new(), |_| {});
            let differences = compared.expect("compared").differences;
            differences.iter().map(ToString::to_string).collect()
        };
        assert_eq!(told(&encoded.output), Vec::<String>::new());

        // The record behind its name: version 1.0, profile 10, level 1, RPU and base layer.
        let mut spoilt = fs::read(&encoded.output).expect("an output");
        let record = [1, 0, 10 << 1, 1 << 3 | 0b101, 1 << 4];
        let other = [1, 0, 10 << 1, 1 << 3 | 0b101, 4 << 4];
        assert_eq!(patch(&mut spoilt, &record, &other), 1);
        let lines = told(&folder.write("record.mkv", spoilt));
        let expected = "its Dolby Vision is profile 10.4 instead of profile 10.1";
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "{lines:?}"
        );

        let elsewhere = Scratch::new();
        let mut others = units(8, FIRST_PEAK_PQ, 30);
        others.swap(11, 12);
        let swapped = film_with(&elsewhere, 8, &others);
        let swapped = encode(&swapped, &fast());
        let lines = told(&swapped.output);
        let expected = "the Dolby Vision metadata of frame 11 is not the source's";
        assert!(
            lines.iter().any(|line| line.contains(expected)),
            "{lines:?}"
        );
    });
}

/// The container says so, and its first frames do not.
#[test]
fn a_film_that_is_not_dolby_vision_all_along_is_left_alone() {
    watched(|| {
        let folder = Scratch::new();
        let mut some = units(8, FIRST_PEAK_PQ, 30);
        some[..4].fill(Vec::new());
        let source = film_with(&folder, 8, &some);
        let output = folder.file("out.mkv");
        let outcome = transcode(&source, &output, &fast());
        let Outcome::Skipped(SkipReason::DolbyVision { newer_carries, .. }) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(!newer_carries);
        assert!(!output.exists());

        let mut options = fast();
        options.allow.dynamic_hdr_loss = true;
        let outcome = transcode(&source, &output, &options);
        assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
        assert_eq!(configuration(&output), None);
        assert!(peaks(&output).iter().all(Option::is_none));
    });
}

/// A picture without metadata is shown by that of the one before, as FFmpeg's decoders
/// have it; in the output each picture has its own.
#[test]
fn a_frame_without_metadata_gets_that_of_the_frame_before() {
    watched(|| {
        if !is_carried() {
            return;
        }
        let folder = Scratch::new();
        let mut some = units(8, FIRST_PEAK_PQ, 30);
        some[20..25].fill(Vec::new());
        let source = film_with(&folder, 8, &some);
        let encoded = encode(&source, &fast());
        let peaks = peaks(&encoded.output);
        let first = u64::from(FIRST_PEAK_PQ);
        assert_eq!(
            peaks[18..27],
            [18, 19, 19, 19, 19, 19, 19, 25, 26].map(|n| Some(first + n))
        );
    });
}

#[test]
fn the_doctor_tells_what_becomes_of_dolby_vision() {
    watched(|| {
        let run = cli::run(["doctor"]);
        run.assert_code(0);
        let expected = if is_carried() {
            "carried (profiles 5 and 8)"
        } else {
            "not carried"
        };
        assert!(run.stdout.contains(expected), "{}", run.stdout);
    });
}
