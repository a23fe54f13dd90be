//! MP4, where everything of the source fits into it.

use std::fs;
use std::path::{Path, PathBuf};

use av1core::{
    Action, CancelToken, Container, Destination, ErrorKind, Outcome, SkipReason, TimeBase, Verdict,
};

use crate::support::command::make;
use crate::support::probe::{ask, frame_times, inventory, streams, tag};
use crate::support::scratch::assert_holds;
use crate::support::{Scratch, clip, fast, quality, recipe, watched};

/// Encodes `source` to `out.mp4` in `folder`.
fn to_mp4(folder: &Scratch, source: &Path) -> PathBuf {
    let output = folder.file("out.mp4");
    let destination = Destination::new(&output);
    let outcome = av1core::transcode(source, &destination, &fast(), &CancelToken::new(), |_| {});
    assert!(matches!(outcome, Ok(Outcome::Done(_))), "{outcome:?}");
    output
}

fn plan_for_mp4(source: &Path) -> Verdict {
    let mut options = fast();
    options.container = Container::Mp4;
    av1core::plan(&av1core::probe(source).expect("probed"), &options)
}

/// A film with all that fits: two tracks of sound, text, cover art, chapters, tags.
fn film(folder: &Scratch) -> PathBuf {
    let chapters = folder.write(
        "chapters.txt",
        ";FFMETADATA1\ntitle=The Film\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=One\n\
         [CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1000\ntitle=Two\n",
    );
    let words = folder.write(
        "words.srt",
        "1\n00:00:00,100 --> 00:00:00,400\nfirst\n\n2\n00:00:00,600 --> 00:00:00,900\nsecond\n",
    );
    let cover = folder.file("cover.png");
    make("-f lavfi -i testsrc2=s=64x64:r=1:d=1 -frames:v 1", &cover);
    let path = folder.file("film.mp4");
    make(
        &format!(
            "{} -f lavfi -i sine=440:r=48000:d=1 -i {} -i {} -i {} -map 0:v -map 1:a -map 1:a \
             -map 2:s -map 4:v -map_metadata 3 -map_chapters 3 {} -c:v:1 copy -c:a aac \
             -c:s mov_text -disposition:v:1 attached_pic -metadata:s:a:0 language=eng \
             -metadata:s:a:1 language=fre -metadata:s:s:0 language=ger -disposition:s:0 forced",
            recipe::picture("320x180", 25, 1.0),
            words.display(),
            chapters.display(),
            cover.display(),
            recipe::H264,
        ),
        &path,
    );
    path
}

#[test]
fn all_that_fits_is_kept() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder);
        let output = to_mp4(&folder, &source);
        let (before, after) = (inventory(&source), inventory(&output));
        let codecs = |kind: &str| -> Vec<_> {
            let found = streams(&after, kind);
            found.iter().map(|s| s["codec_name"].clone()).collect()
        };
        assert_eq!(codecs("video"), ["av1", "png"]);
        assert_eq!(codecs("audio"), ["opus", "opus"]);
        assert_eq!(codecs("subtitle"), ["mov_text"]);
        for kind in ["audio", "subtitle"] {
            let pairs = streams(&before, kind)
                .into_iter()
                .zip(streams(&after, kind));
            for (before, after) in pairs {
                assert_eq!(tag(&after, "language"), tag(&before, "language"));
                assert_eq!(after["disposition"], before["disposition"]);
            }
        }
        assert_eq!(after["format"]["tags"]["title"], "The Film");
        let chapters = ask(&output, "-show_chapters");
        assert_eq!(chapters["chapters"][1]["tags"]["title"], "Two");
        assert_eq!(frame_times(&output).millis(), frame_times(&source).millis());
        quality::assert_plays(&output);
    });
}

/// The output counts as the source does: nothing is rounded to milliseconds.
#[test]
fn times_are_exact() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("film.mp4");
        make(
            &format!(
                "-f lavfi -i testsrc2=s=320x180:r=30000/1001:d=1 {}",
                recipe::H264
            ),
            &source,
        );
        let output = to_mp4(&folder, &source);
        let nanos = |path: &Path| {
            let times = frame_times(path);
            let fine = TimeBase::new(1, 1_000_000_000);
            let ticks = times.ticks.iter();
            ticks
                .map(|t| times.base.rescale(*t, fine))
                .collect::<Vec<_>>()
        };
        assert_eq!(nanos(&output), nanos(&source));
    });
}

/// A film that starts late starts as late.
#[test]
fn a_late_start_is_kept() {
    watched(|| {
        let folder = Scratch::new();
        let source = clip("camera-1080p-late-video.mp4");
        let output = to_mp4(&folder, &source);
        assert_eq!(frame_times(&output).millis(), frame_times(&source).millis());
    });
}

#[test]
fn text_becomes_mov_text_and_its_words_stay() {
    watched(|| {
        let folder = Scratch::new();
        let words = folder.write("words.srt", "1\n00:00:00,100 --> 00:00:00,400\nfirst\n");
        let source = folder.file("film.mkv");
        make(
            &format!(
                "{} -i {} -map 0 -map 1 {} -c:s srt -metadata:s:s:0 title=Signs",
                recipe::picture("320x180", 25, 1.0),
                words.display(),
                recipe::H264
            ),
            &source,
        );
        let output = to_mp4(&folder, &source);
        let text = folder.file("out.srt");
        make(&format!("-i {} -map 0:s:0", output.display()), &text);
        let text = fs::read_to_string(text).expect("subtitles");
        assert!(
            text.contains("00:00:00,100 --> 00:00:00,400\nfirst"),
            "{text}"
        );
        let subtitles = streams(&inventory(&output), "subtitle");
        assert_eq!(tag(&subtitles[0], "handler_name").as_deref(), Some("Signs"));
    });
}

#[test]
fn what_does_not_fit_is_told_before_a_frame_is_decoded() {
    watched(|| {
        let attached = clip("bbb-attachment.mkv");
        let Verdict::Skip { reason } = plan_for_mp4(&attached) else {
            panic!("it has an attached file");
        };
        assert!(matches!(reason, SkipReason::DoesNotFit { .. }), "{reason}");
        assert_eq!(
            reason.to_string(),
            "MP4 cannot hold attached files (stream 2); name the output .mkv"
        );
        let folder = Scratch::new();
        let destination = Destination::new(folder.file("out.mp4"));
        let cancel = CancelToken::new();
        let outcome = av1core::transcode(&attached, &destination, &fast(), &cancel, |_| {});
        assert!(matches!(outcome, Ok(Outcome::Skipped(_))), "{outcome:?}");
        assert_holds(folder.path(), &[]);
    });
}

/// A plan for one container is not written into the other.
#[test]
fn name_and_plan_agree() {
    watched(|| {
        let folder = Scratch::new();
        let source = film(&folder);
        let Verdict::Transcode(plan) = plan_for_mp4(&source) else {
            panic!("it fits");
        };
        assert!(
            plan.streams
                .iter()
                .all(|s| !matches!(s.action, Action::Attach { .. }))
        );
        let info = av1core::probe(&source).expect("probed");
        let place = folder.folder("place");
        let destination = Destination::new(place.join("out.mkv"));
        let cancel = CancelToken::new();
        let encoded = av1core::encode(&source, &info, &plan, &destination, &cancel, |_| {});
        let error = encoded.map(drop).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::OutputFormat);
        assert_holds(&place, &[]);
    });
}
