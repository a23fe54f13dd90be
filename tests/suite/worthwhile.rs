//! An output that does not save what is asked for: the encode ends early, nothing is
//! written, and what saves enough is never refused.

use std::fs;
use std::path::{Path, PathBuf};

use av1core::{
    CancelToken, Crf, Destination, Error, Event, NotWorthwhile, Options, Outcome, Saving,
};

use crate::support::command::make;
use crate::support::scratch::{assert_holds, fingerprint};
use crate::support::{Scratch, cli, encode, fast, fast_preset, recipe, watched};

fn saving(percent: u8) -> Options {
    let mut options = fast();
    options.min_saving_percent = Some(Saving::new(percent).expect("a saving"));
    options
}

/// 12 s that x264 made so small that AV1 of high quality is larger.
fn efficient_film(folder: &Scratch) -> PathBuf {
    let codec = "-c:v libx264 -preset veryfast -crf 48 -pix_fmt yuv420p";
    recipe::film(folder, "film.mkv", (25, 12.0), codec)
}

fn transcode(source: &Path, output: &Path, options: &Options) -> Result<Outcome, Error> {
    let output = Destination::new(output);
    av1core::transcode(source, &output, options, &CancelToken::new(), |_| {})
}

fn refused(source: &Path, output: &Path, options: &Options) -> NotWorthwhile {
    match transcode(source, output, options) {
        Ok(Outcome::NotWorthwhile(found)) => found,
        other => panic!("{}: {other:?}", source.display()),
    }
}

#[test]
fn a_film_that_is_small_already_is_left_alone_long_before_its_end() {
    watched(|| {
        let folder = Scratch::new();
        let source = efficient_film(&folder);
        let before = fingerprint(&source);
        let mut options = saving(5);
        options.crf = Crf::new(5).ok();
        let found = refused(&source, &folder.file("out.mkv"), &options);
        assert!(!found.finished, "{found:?}");
        assert!(found.frames_done < 200, "{found:?}");
        assert!(found.least_bytes > found.most_bytes, "{found:?}");
        assert_eq!(
            found.source_bytes,
            fs::metadata(&source).expect("there").len()
        );
        assert_eq!(found.most_bytes, found.source_bytes * 95 / 100);
        assert_holds(folder.path(), &["film.mkv"]);
        assert_eq!(fingerprint(&source), before);
    });
}

/// The bound is exact: the very size passes, and a byte less does not.
#[test]
fn the_finished_files_exact_size_decides() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 2.0), recipe::H264);
        // One thread, so that a second encode gives the same bytes.
        let mut options = fast();
        options.encoder_threads = Some(1);
        let done = encode(&source, &options);
        let bytes = done.report.output_bytes;

        let info = av1core::probe(&source).expect("a film");
        let av1core::Verdict::Transcode(mut plan) = av1core::plan(&info, &options) else {
            panic!("not taken");
        };
        let destination = Destination::new(folder.file("out.mkv"));
        let mut run = |most_bytes| {
            plan.most_bytes = Some(most_bytes);
            let cancel = CancelToken::new();
            av1core::encode(&source, &info, &plan, &destination, &cancel, |_| {})
        };
        drop(run(bytes).expect("exactly as large as allowed"));
        let error = run(bytes - 1).expect_err("one byte too many");
        assert_eq!(error.kind(), av1core::ErrorKind::NotWorthwhile);
        let found = error.not_worthwhile().expect("the sizes");
        assert_eq!(found.most_bytes, bytes - 1);
        assert!(found.least_bytes <= bytes, "{found:?}");
        assert_holds(folder.path(), &["film.mkv"]);
    });
}

#[test]
fn what_saves_enough_passes() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("film.mkv");
        let picture = recipe::picture("320x180", 25, 2.0);
        make(
            &format!("{picture} -c:v libx264 -preset ultrafast -qp 0 -pix_fmt yuv420p"),
            &source,
        );
        let outcome = transcode(&source, &folder.file("out.mkv"), &saving(50));
        let Ok(Outcome::Done(report)) = outcome else {
            panic!("{outcome:?}");
        };
        assert!(report.output_bytes * 2 <= report.source_bytes);
        assert_eq!(report.plan.most_bytes, Some(report.source_bytes / 2));
        assert_holds(folder.path(), &["film.mkv", "out.mkv"]);
    });
}

/// A copied track of an MP4 film whose index tells its size: too much before the
/// first frame is encoded.
#[test]
fn what_the_index_foretells_counts_from_the_start() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("film.mp4");
        let picture = recipe::picture("320x180", 25, 8.0);
        make(
            &format!(
                "{picture} -f lavfi -i anoisesrc=d=8:r=48000 -c:v libx264 -crf 40 -pix_fmt yuv420p \
                 -c:a libopus -b:a 256k"
            ),
            &source,
        );
        let mut frames_in = 0;
        let options = saving(60);
        let output = Destination::new(folder.file("out.mkv"));
        let outcome = av1core::transcode(&source, &output, &options, &CancelToken::new(), |e| {
            if let Event::Progress(progress) = e {
                frames_in = progress.frames_in;
            }
        });
        let Ok(Outcome::NotWorthwhile(found)) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!((found.finished, found.frames_done), (false, 0), "{found:?}");
        assert!(frames_in < 200, "{frames_in} frames");
        assert_holds(folder.path(), &["film.mp4"]);
    });
}

#[test]
fn the_programme_says_so() {
    watched(|| {
        let folder = Scratch::new();
        let source = efficient_film(&folder);
        let (output, summary) = (folder.file("out.mkv"), folder.file("summary"));
        let preset = fast_preset().to_string();
        let mut arguments: Vec<std::ffi::OsString> =
            vec!["transcode".into(), source.into(), output.into()];
        arguments.extend(["--preset", &preset, "--crf", "5"].map(Into::into));
        arguments.extend(["--min-saving", "5", "--json", "--summary"].map(Into::into));
        arguments.push(summary.clone().into());
        let run = cli::run(&arguments);
        run.assert_code(14);
        let last = run.lines().pop().expect("a line");
        assert_eq!(last["event"], "not_worthwhile");
        assert_eq!(last["finished"], false);
        assert!(last["least_bytes"].as_u64() > last["most_bytes"].as_u64());
        assert!(run.stderr.contains("not worthwhile"), "{}", run.stderr);
        let line = fs::read_to_string(&summary).expect("a summary");
        assert!(line.starts_with("not worthwhile: "), "{line}");
        assert_holds(folder.path(), &["film.mkv", "summary"]);
    });
}
