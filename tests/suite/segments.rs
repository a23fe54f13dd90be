//! A film in segments is the film: the same frames, the same times, one sequence
//! header, and no seam that shows, even where decoding cannot begin at a keyframe.

use std::path::{Path, PathBuf};

use av1core::segment::{self, Film, Segment, SegmentReport};
use av1core::{CancelToken, Event, MediaInfo, Options, Plan, Verdict};

use crate::support::command::make;
use crate::support::probe::frame_times;
use crate::support::{Scratch, clip, encode, fast, quality, recipe, scratch, watched};

/// A film encoded in segments.
struct Pieces {
    /// What the plan adds to every time: sound in Matroska may start before zero.
    shift_ms: i64,
    folder: Scratch,
    reports: Vec<SegmentReport>,
    warnings: Vec<String>,
}

fn planned(source: &Path, options: &Options) -> (MediaInfo, Plan) {
    let info = av1core::probe(source).expect("a film");
    let Verdict::Transcode(plan) = av1core::plan(&info, options) else {
        panic!("{} is not taken", source.display());
    };
    (info, plan)
}

fn in_pieces(source: &Path, options: &Options, parts: usize) -> Pieces {
    let (info, plan) = planned(source, options);
    let cancel = CancelToken::new();
    let index = segment::keyframes(source, &info, &cancel).expect("keyframes");
    let segments = segment::cut(&index, parts);
    assert!(
        segments.len() >= parts.min(2),
        "{parts} of {:?}",
        index.keyframes
    );
    let film = Film {
        source,
        info: &info,
        plan: &plan,
    };
    let folder = Scratch::new();
    let mut warnings = Vec::new();
    let reports = segment::encode_all(film, &segments, folder.path(), &cancel, |event| {
        if let Event::Warning(warning) = event {
            warnings.push(warning.clone());
        }
    })
    .expect("encoded");
    Pieces {
        folder,
        shift_ms: plan.timestamp_shift_ms,
        reports,
        warnings,
    }
}

impl Pieces {
    fn files(&self) -> Vec<PathBuf> {
        let name = |i| format!("segment-{i:04}.mkv");
        (0..self.reports.len())
            .map(|i| self.folder.file(name(i)))
            .collect()
    }

    /// One after the other they are the source: times, pictures, sequence headers.
    fn assert_are(&self, source: &Path) {
        let names: Vec<_> = (0..self.reports.len())
            .map(|i| format!("segment-{i:04}.mkv"))
            .collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        scratch::assert_holds(self.folder.path(), &names);

        let expected = frame_times(source);
        let joined = segment::join_times(source, &self.reports).expect("they fit");
        assert_eq!(joined, expected.ticks, "times as reported");
        let files = self.files();
        let in_files: Vec<i64> = files
            .iter()
            .flat_map(|file| frame_times(file).millis())
            .collect();
        let moved = expected.millis().into_iter().map(|ms| ms + self.shift_ms);
        assert_eq!(in_files, moved.collect::<Vec<_>>(), "times in the files");

        let header = &self.reports[0].sequence_header;
        assert!(!header.is_empty());
        for report in &self.reports {
            assert_eq!(&report.sequence_header, header, "sequence headers");
        }
        let psnr = self.psnr(source, "null");
        quality::assert_all_alike(&psnr, expected.ticks.len());
    }

    /// PSNR of every frame against the source, decoded from its start and filtered.
    fn psnr(&self, source: &Path, filter: &str) -> Vec<f64> {
        let mut list = String::new();
        for file in self.files() {
            list.push_str(&format!("file '{}'\n", file.display()));
        }
        let joined = Scratch::new();
        let list = joined.write("list.txt", list);
        let whole = joined.file("joined.mkv");
        make(
            &format!("-f concat -safe 0 -i {} -c copy", list.display()),
            &whole,
        );
        quality::psnr_through(source, filter, &whole)
    }
}

#[test]
fn four_segments_of_an_open_gop_film_are_the_film() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "open.mkv", (25, 6.0), recipe::OPEN_GOP);
        let pieces = in_pieces(&source, &fast(), 4);
        assert_eq!(pieces.reports.len(), 4);
        assert_eq!(pieces.warnings, Vec::<String>::new());
        pieces.assert_are(&source);
        let whole = encode(&source, &fast());
        assert_eq!(
            frame_times(&whole.output).millis(),
            frame_times(&source).millis()
        );
    });
}

#[test]
fn segments_of_a_real_film_are_the_film() {
    watched(|| {
        let source = clip("bbb-bframes-mp3.mp4");
        let pieces = in_pieces(&source, &fast(), 3);
        assert_eq!(pieces.warnings, Vec::<String>::new());
        pieces.assert_are(&source);
    });
}

#[test]
fn segments_of_a_film_with_a_variable_frame_rate_keep_its_times() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("vfr.mkv");
        let picture = recipe::picture("320x180", 25, 4.0);
        let open_gop = recipe::OPEN_GOP;
        make(
            &format!(
                "{picture} -vf 'settb=1/1000,setpts=N*40+mod(N\\,4)*7+gte(N\\,60)*333' \
                 -fps_mode passthrough -enc_time_base 1/1000 {open_gop}"
            ),
            &source,
        );
        let pieces = in_pieces(&source, &fast(), 4);
        assert_eq!(pieces.warnings, Vec::<String>::new());
        pieces.assert_are(&source);
    });
}

/// The deinterlacer looks at the frames before and behind.
#[test]
fn segments_of_an_interlaced_film_hold_at_their_seams() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("interlaced.mkv");
        make(
            "-f lavfi -i testsrc2=s=320x240:r=50:d=4 -vf tinterlace=interleave_top,fieldorder=tff \
             -c:v libx264 -preset veryfast -pix_fmt yuv420p -flags +ilme+ildct \
             -x264-params tff=1:open-gop=1:keyint=20:min-keyint=20:scenecut=0:bframes=3",
            &source,
        );
        let pieces = in_pieces(&source, &fast(), 4);
        assert_eq!(pieces.warnings, Vec::<String>::new());
        let expected = frame_times(&source).ticks;
        let joined = segment::join_times(&source, &pieces.reports).expect("they fit");
        assert_eq!(joined, expected);
        let filter = "bwdif=mode=send_frame:parity=auto:deint=interlaced";
        quality::assert_all_alike(&pieces.psnr(&source, filter), expected.len());
    });
}

#[test]
fn the_trap_of_old_4_4_4_streams_is_noticed_and_answered() {
    watched(|| {
        let source = clip("h264-444-seek-trap.mp4");
        let mut options = fast();
        options.allow.chroma_loss = true;
        let pieces = in_pieces(&source, &options, 4);
        assert!(
            pieces.warnings.iter().any(|w| w.contains("from the start")),
            "{:?}",
            pieces.warnings
        );
        // The second segment is decoded from the first keyframe, which is the start.
        let [.., last] = pieces.reports.as_slice() else {
            panic!("no segment")
        };
        assert_eq!(pieces.reports.len(), 3);
        assert_eq!(last.segment.decode_from, None);
        pieces.assert_are(&source);
    });
}

/// The decoder reports no error here: only the frames tell.
#[test]
fn the_silent_trap_is_noticed_and_answered() {
    watched(|| {
        let folder = Scratch::new();
        let (source, _) = recipe::silent_seek_trap(&folder);
        let pieces = in_pieces(&source, &fast(), 4);
        assert!(
            pieces.warnings.iter().any(|w| w.contains("from the start")),
            "{:?}",
            pieces.warnings
        );
        pieces.assert_are(&source);
    });
}

#[test]
fn the_same_film_without_the_trap_is_encoded_once() {
    watched(|| {
        let folder = Scratch::new();
        let (_, source) = recipe::silent_seek_trap(&folder);
        let pieces = in_pieces(&source, &fast(), 4);
        assert_eq!(pieces.warnings, Vec::<String>::new());
        for report in &pieces.reports[1..] {
            assert!(report.segment.first.is_some());
        }
        pieces.assert_are(&source);
    });
}

/// Segments are only for the picture: sound is encoded once, for the whole.
#[test]
fn a_segment_holds_the_video_alone() {
    watched(|| {
        let folder = Scratch::new();
        let source = folder.file("film.mkv");
        make(
            &format!(
                "{} -f lavfi -i sine=d=3 {} -c:a ac3",
                recipe::picture("320x180", 25, 3.0),
                recipe::OPEN_GOP
            ),
            &source,
        );
        let pieces = in_pieces(&source, &fast(), 2);
        for file in pieces.files() {
            let inventory = crate::support::probe::inventory(&file);
            let streams = inventory["streams"].as_array().expect("streams");
            assert_eq!(streams.len(), 1, "{inventory}");
            assert_eq!(streams[0]["codec_name"], "av1");
        }
        pieces.assert_are(&source);
    });
}

/// A seam is proved, not believed.
#[test]
fn segments_of_another_film_are_refused() {
    watched(|| {
        let folder = Scratch::new();
        let ours = recipe::film(&folder, "ours.mkv", (25, 2.0), recipe::OPEN_GOP);
        let theirs = folder.file("theirs.mkv");
        make(
            &format!(
                "-f lavfi -i mandelbrot=s=320x180:r=25 -t 2 {}",
                recipe::OPEN_GOP
            ),
            &theirs,
        );
        let ours_pieces = in_pieces(&ours, &fast(), 2);
        let theirs_pieces = in_pieces(&theirs, &fast(), 2);
        let mixed = [
            ours_pieces.reports[0].clone(),
            theirs_pieces.reports[1].clone(),
        ];
        let error = segment::join_times(&ours, &mixed).expect_err("refused");
        assert_eq!(error.kind(), av1core::ErrorKind::Mismatch);
    });
}

/// A cancelled segment leaves finished ones and nothing else.
#[test]
fn a_cancelled_run_keeps_its_finished_segments() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 4.0), recipe::OPEN_GOP);
        let (info, plan) = planned(&source, &fast());
        let cancel = CancelToken::new();
        let index = segment::keyframes(&source, &info, &cancel).expect("keyframes");
        let segments = segment::cut(&index, 4);
        let film = Film {
            source: &source,
            info: &info,
            plan: &plan,
        };
        let out = Scratch::new();
        let finished = out.file("segment-0001.mkv");
        let error = segment::encode_all(film, &segments, out.path(), &cancel, |_| {
            if finished.exists() {
                cancel.cancel();
            }
        })
        .expect_err("cancelled");
        assert_eq!(error.kind(), av1core::ErrorKind::Cancelled);
        scratch::assert_holds(out.path(), &["segment-0000.mkv", "segment-0001.mkv"]);
    });
}

#[test]
fn the_whole_is_one_segment() {
    assert!(Segment::WHOLE.is_whole());
    watched(|| {
        let source = clip("bbb-aac-5.1.mp4");
        let pieces = in_pieces(&source, &fast(), 1);
        assert_eq!(pieces.reports[0].segment, Segment::WHOLE);
        // One segment of all is the whole file, sound included.
        assert_eq!(
            pieces.reports[0].times.len(),
            frame_times(&source).ticks.len()
        );
    });
}
