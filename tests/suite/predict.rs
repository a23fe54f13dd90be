//! Predicted sizes are near the real ones, cost a share of the encode, and leave
//! nothing behind.

use std::path::{Path, PathBuf};

use av1core::{
    CancelToken, ErrorKind, Event, MediaInfo, Options, Plan, Prediction, Verdict, Worth,
};

use crate::support::command::make;
use crate::support::scratch::{assert_holds, fingerprint};
use crate::support::{Scratch, cli, clip, encode, fast, fast_preset, recipe, watched};

fn planned(source: &Path, options: &Options) -> (MediaInfo, Plan) {
    let info = av1core::probe(source).expect("a film");
    let Verdict::Transcode(plan) = av1core::plan(&info, options) else {
        panic!("{} is not taken", source.display());
    };
    (info, plan)
}

fn predict(source: &Path, options: &Options) -> Prediction {
    let (info, plan) = planned(source, options);
    av1core::predict(source, &info, &plan, &CancelToken::new(), |_| {}).expect("a prediction")
}

/// 56 s of a picture that moves less and less, with sound.
fn long_film(folder: &Scratch, name: &str, codec: &str) -> PathBuf {
    let path = folder.file(name);
    make(
        &format!(
            "-f lavfi -i testsrc2=s=192x108:r=25:d=56,tmix=frames=2 \
             -f lavfi -i aevalsrc='sin(440*2*PI*t)*sin(t)':d=56 {codec} -c:a aac -shortest"
        ),
        &path,
    );
    path
}

fn assert_near(source: &Path, prediction: &Prediction, share: f64) {
    let real = encode(source, &fast()).report;
    let off = prediction.bytes as f64 / real.output_bytes as f64 - 1.0;
    assert!(
        off.abs() < share,
        "{prediction:?}, and it is {} bytes",
        real.output_bytes
    );
    let frames_off = prediction.frames.abs_diff(real.frames);
    assert!(frames_off * 100 <= real.frames, "{prediction:?}");
}

#[test]
fn a_film_is_predicted_from_samples() {
    watched(|| {
        let folder = Scratch::new();
        // By reading (Matroska), with open GOPs, and by the index (MP4).
        for (name, codec) in [("film.mkv", recipe::OPEN_GOP), ("film.mp4", recipe::H264)] {
            let source = long_film(&folder, name, codec);
            let before = fingerprint(&source);
            let prediction = predict(&source, &fast());
            assert!(!prediction.whole);
            assert_eq!((prediction.samples, prediction.sampled_frames), (7, 7 * 97));
            let sum = prediction.video_bytes + prediction.other_bytes;
            assert!(prediction.bytes.abs_diff(sum) <= 1, "{prediction:?}");
            assert!(prediction.low_bytes <= prediction.bytes);
            assert!(prediction.bytes <= prediction.high_bytes);
            assert_near(&source, &prediction, 0.2);
            assert_eq!(fingerprint(&source), before);
        }
        assert_holds(folder.path(), &["film.mkv", "film.mp4"]);
    });
}

/// Everything that is not video counts too: covers, chapters, subtitles, six channels.
#[test]
fn a_short_film_is_encoded_whole() {
    watched(|| {
        for name in [
            "bbb-aac-5.1.mp4",
            "bbb-attachment.mkv",
            "city-mpeg2-odd-height.mpg",
        ] {
            let source = clip(name);
            let info = av1core::probe(&source).expect("a film");
            if !matches!(av1core::plan(&info, &fast()), Verdict::Transcode(_)) {
                continue;
            }
            let prediction = predict(&source, &fast());
            assert!(prediction.whole, "{prediction:?}");
            assert_near(&source, &prediction, 0.03);
        }
    });
}

#[test]
fn a_prediction_tells_how_far_it_is_and_can_be_cancelled() {
    watched(|| {
        let folder = Scratch::new();
        let source = long_film(&folder, "film.mkv", recipe::H264);
        let (info, plan) = planned(&source, &fast());
        let cancel = CancelToken::new();
        let mut last = 0;
        let error = av1core::predict(&source, &info, &plan, &cancel, |event| {
            if let Event::Sampling(progress) = event {
                assert!(progress.frames_done >= last);
                assert_eq!(progress.frames_total, 7 * 97);
                last = progress.frames_done;
                if last > 0 {
                    cancel.cancel();
                }
            }
        })
        .expect_err("cancelled");
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert_holds(folder.path(), &["film.mkv"]);
        // The encoder's turn was given back.
        let short = recipe::film(&folder, "short.mkv", (25, 1.0), recipe::H264);
        assert!(predict(&short, &fast()).bytes > 0);
    });
}

#[test]
fn the_programme_predicts_and_judges() {
    watched(|| {
        let folder = Scratch::new();
        let codec = "-c:v libx264 -preset veryfast -crf 48 -pix_fmt yuv420p";
        let source = recipe::film(&folder, "film.mkv", (25, 4.0), codec);
        let preset = fast_preset().to_string();
        let file = source.to_str().expect("a name");
        let flags = ["predict", file, "--preset", &preset, "--crf", "5"];
        let run = cli::run(flags.iter().chain(&["--json", "--min-saving", "5"]));
        run.assert_code(14);
        let told: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
        assert_eq!(told["verdict"], "not_worthwhile");
        assert!(told["low_bytes"].as_u64() > told["most_bytes"].as_u64());
        let run = cli::run(flags);
        run.assert_code(0);
        assert!(run.stdout.contains("all 100 frames"), "{}", run.stdout);
        assert_holds(folder.path(), &["film.mkv"]);

        let prediction: Prediction = serde_json::from_value(told).expect("its fields");
        assert_eq!(prediction.verdict(u64::MAX), Worth::Worthwhile);
    });
}
