//! Plan -> encoded file: a thread a step, bounded queues between them.
//!
//! ```text
//! demux -> decode -> filter -> encode -> mux (the caller's thread)
//!      \-> one thread an audio track -----^
//!      \-> copied packets ----------------^
//! ```
//!
//! The unit is a [`Segment`]: frames [first, end) of the video by presentation
//! time. A whole file is one segment, with all its streams; a part of one is its
//! video alone, since sound is encoded once for the whole file.

mod audio;
mod bound;
mod check;
mod clock_jumps;
mod decode;
pub(crate) mod demux;
mod encode;
mod filter;
mod mux;
mod notices;
mod progress;
mod queue;
mod sample;
mod setup;
mod sink;
mod tags;
mod turn;

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use ffmpeg_next as ffmpeg;

use self::check::Ended;
use self::filter::SpareFrames;
pub(crate) use self::filter::convert;
use self::mux::Muxed;
use self::queue::{Stop, Stopped};
pub(crate) use self::sample::{Sampled, Samples, sample};
use self::setup::Setup;
pub(crate) use self::tags::{encoder_of, kept_tags};
use self::turn::Turn;
use crate::cancel::CancelToken;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::event::Event;
use crate::ffi::{VideoEncoder, capabilities};
use crate::media::MediaInfo;
use crate::plan::{Action, Plan, VideoSettings};
use crate::segment::{FrameHash, Segment};
use crate::units::TimeBase;
use crate::witness::Witness;

/// What is to be encoded.
pub(crate) struct Job<'a> {
    pub(crate) source: &'a Path,
    pub(crate) info: &'a MediaInfo,
    pub(crate) plan: &'a Plan,
    pub(crate) cancel: &'a CancelToken,
}

/// A run that came to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    /// What the source showed, and what was handed to the muxer.
    pub(crate) witness: Witness,
    pub(crate) sequence_header: Vec<u8>,
    pub(crate) head: Vec<FrameHash>,
    pub(crate) next: Vec<FrameHash>,
    pub(crate) decode_errors: u64,
    pub(crate) warnings: Vec<String>,
    pub(crate) bytes: u64,
    pub(crate) elapsed_us: u64,
    pub(crate) film_us: i64,
}

/// Why a step ended early.
#[derive(Debug)]
enum Halt {
    /// Another step ended the run, or has all that it needs.
    Stopped,
    /// This step failed.
    Failed(Error),
}

impl From<Stopped> for Halt {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// One run, as its steps see it.
struct Run<'a> {
    job: &'a Job<'a>,
    segment: &'a Segment,
    output: &'a Path,
    shared: Arc<Shared>,
}

/// What the steps of one run share, the encoder's thread among them, which may
/// outlive the run.
struct Shared {
    source: PathBuf,
    stop: Stop,
    counters: Counters,
    failure: Mutex<Option<Error>>,
    /// Frames that the encoder has copied, to be filled again.
    spare_frames: SpareFrames,
}

impl Deref for Run<'_> {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

#[derive(Debug, Default)]
struct Counters {
    frames_decoded: AtomicU64,
    /// The decoder has given everything: `frames_decoded` is final.
    decoded_all: AtomicBool,
    frames_in: AtomicU64,
    decode_errors: AtomicU64,
    audio_errors: AtomicU64,
    /// Interlaced frames came where the probe saw none.
    late_interlacing: AtomicBool,
    /// The picture's size or shape is not the same throughout.
    shape_changes: AtomicBool,
    /// Subtitles that could not be converted.
    lost_subtitles: AtomicU64,
    /// Jumps of the source's clock so far.
    clock_jumps: AtomicU64,
}

/// The longest step between two frames, or two pieces of sound, that is not a jump of
/// the source's clock: a still picture may stand for hours, half a day is a broken
/// header. (Jumps of broadcast clocks are carried through before.)
const LONGEST_STEP_US: i64 = 12 * 3600 * 1_000_000;

impl Shared {
    fn error(&self, kind: ErrorKind, stage: Stage, message: impl Into<String>) -> Error {
        Error::new(kind, stage, &self.source, message)
    }

    fn library_error(
        &self,
        kind: ErrorKind,
        stage: Stage,
        message: &str,
        error: ffmpeg::Error,
    ) -> Error {
        self.error(kind, stage, message).with_library(error)
    }

    /// Runs a step and, where it fails, ends the run; the first failure is kept.
    fn guard<T>(&self, result: Result<T, Halt>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(Halt::Stopped) => None,
            Err(Halt::Failed(error)) => {
                self.failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert(error);
                self.stop.stop();
                None
            }
        }
    }
}

impl<'a> Run<'a> {
    /// The video stream's index and settings. `plan` gives every plan exactly one.
    fn video(&self) -> Option<(usize, &'a VideoSettings)> {
        self.job.plan.streams.iter().find_map(|s| match &s.action {
            Action::EncodeVideo(settings) => Some((s.index, settings)),
            _ => None,
        })
    }

    /// The container of the output; segments are joined later.
    fn container(&self) -> Container {
        if self.segment.is_whole() {
            self.job.plan.container
        } else {
            Container::Matroska
        }
    }

    fn video_index(&self) -> usize {
        self.video().map_or(0, |(index, _)| index)
    }

    fn video_base(&self) -> TimeBase {
        let stream = self.job.info.streams.get(self.video_index());
        stream.map_or(TimeBase::MICROS, |stream| stream.time_base)
    }

    /// Ticks of the video's time base that a frame lasts on average.
    fn frame_ticks(&self) -> i64 {
        self.video().map_or(1, |(_, settings)| {
            let rate = settings.frame_rate;
            TimeBase::new(rate.den, rate.num)
                .rescale(1, self.video_base())
                .max(1)
        })
    }

    fn clock_jump(&self, from_s: f64, to_s: f64) -> Error {
        let message = format!(
            "the source's clock jumps from {from_s:.2} s to {to_s:.2} s (recordings joined \
             without a remux?); left alone"
        );
        self.error(ErrorKind::Damaged, Stage::Decode, message)
    }

    /// The largest output that the plan allows; a part of a film has no bound of its own.
    fn most_bytes(&self) -> Option<u64> {
        self.job.plan.most_bytes.filter(|_| self.segment.is_whole())
    }

    fn estimated_frames(&self) -> Option<u64> {
        self.job
            .plan
            .estimated_frames
            .filter(|_| self.segment.is_whole())
    }

    /// How the run ended: a failure, a cancellation, or well.
    fn verdict(&self) -> Result<()> {
        if let Some(error) = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
            // A decoder that was cancelled in the middle of a file complains.
            .filter(|_| !self.job.cancel.is_cancelled())
        {
            return Err(error);
        }
        if self.job.cancel.is_cancelled() {
            return Err(Error::cancelled(Stage::Encode, self.job.source));
        }
        Ok(())
    }
}

/// The video encoder with its version.
pub(crate) fn encoder_name() -> String {
    match capabilities().svt_av1 {
        Some(version) => format!("SVT-AV1 {version}"),
        None => "SVT-AV1 (unknown version)".to_owned(),
    }
}

/// Encodes a segment into `file`. The file is complete when this returns `Ok`;
/// otherwise its content is worth nothing.
pub(crate) fn run(
    job: &Job<'_>,
    segment: &Segment,
    (output, file): (&Path, File),
    observer: &mut dyn FnMut(&Event),
) -> Result<Finished> {
    let stop = Stop::new(job.cancel.clone());
    let Ok(turn) = Turn::take(&stop, observer) else {
        return Err(Error::cancelled(Stage::Encode, job.source));
    };
    let run = new_run(job, segment, output, stop);
    let notices = notices::before(&run);
    for notice in &notices {
        observer(&Event::Warning(notice.clone()));
    }
    let setup = setup::open(&run, Some(file))?;
    let mut finished = go(&run, setup, Some(turn), observer)?;
    for warning in &finished.warnings {
        observer(&Event::Warning(warning.clone()));
    }
    finished.warnings.splice(0..0, notices);
    Ok(finished)
}

/// Goes through a whole film as an encode would, and writes nothing.
pub(crate) fn watch(job: &Job<'_>, observer: &mut dyn FnMut(&Event)) -> Result<Finished> {
    let stop = Stop::new(job.cancel.clone());
    let run = new_run(job, &Segment::WHOLE, job.source, stop);
    let setup = setup::open(&run, None)?;
    go(&run, setup, None, observer)
}

fn new_run<'a>(job: &'a Job<'a>, segment: &'a Segment, output: &'a Path, stop: Stop) -> Run<'a> {
    Run {
        job,
        segment,
        output,
        shared: Arc::new(Shared {
            source: job.source.to_owned(),
            stop,
            counters: Counters::default(),
            failure: Mutex::new(None),
            spare_frames: SpareFrames::default(),
        }),
    }
}

fn go(
    run: &Run<'_>,
    setup: Setup<'_>,
    turn: Option<Turn>,
    observer: &mut dyn FnMut(&Event),
) -> Result<Finished> {
    let encoder = setup.video_encoder.as_ref();
    let sequence_header = encoder.map(VideoEncoder::extradata).unwrap_or_default();
    let ended = run_steps(run, setup, turn, observer);
    run.verdict()?;
    let Some(ended) = ended else {
        return Err(run.error(ErrorKind::Library, Stage::Encode, "a step ended early"));
    };
    let mut finished = ended.check(run)?;
    finished.sequence_header = sequence_header;
    Ok(finished)
}

fn run_steps(
    run: &Run<'_>,
    setup: Setup<'_>,
    turn: Option<Turn>,
    observer: &mut dyn FnMut(&Event),
) -> Option<Ended> {
    let Setup {
        demuxer,
        routes,
        packets,
        video_decoder,
        video_encoder,
        video_track,
        settings,
        audio,
        mut muxer,
        tracks,
        attachments,
        attached_bytes,
        to_muxer,
        muxed,
    } = setup;
    let (decoded_in, decoded) = decode::frame_queue(&run.stop);
    let (frames_in, frames) = decode::frame_queue(&run.stop);
    thread::scope(|scope| {
        let demux = scope.spawn(move || run.guard(demux::demux(run, demuxer, routes)));
        scope.spawn(move || run.guard(decode::decode(run, video_decoder, &packets, &decoded_in)));
        let filter =
            scope.spawn(move || run.guard(filter::filter(run, settings, &decoded, &frames_in)));
        let encode = encode::Task {
            shared: run.shared.clone(),
            encoder: video_encoder,
            base: run.video_base(),
            turn,
            frames,
            muxer: to_muxer.clone(),
            track: video_track,
        }
        .spawn();
        let mut voices = Vec::new();
        for voice in audio {
            let to_mux = to_muxer.clone();
            let sung = scope.spawn(move || {
                let codecs = (voice.decoder, voice.encoder);
                let done = audio::transcode(run, &voice.track, codecs, &voice.packets, &to_mux);
                let _ = to_mux.send(Muxed::end(voice.track.track), 0);
                Some((voice.track.source_index, run.guard(done)?))
            });
            voices.push(sung);
        }
        drop(to_muxer);
        let written = run.guard(mux::mux(
            run,
            (&mut muxer, attached_bytes),
            &tracks,
            &muxed,
            observer,
        ));
        // Whoever still waits for the muxer hears that it is gone.
        drop(muxed);
        let (reach, selector) = (join(demux), join(filter));
        let sound = voices.into_iter().map(join).collect::<Option<_>>();
        let pictures = encode.join(run);
        let (mut meter, packets) = written?;
        let bytes = muxer.bytes();
        meter.finish(run, bytes, observer);
        let packets = tracks.iter().map(|t| t.source_index).zip(packets);
        Some(Ended {
            reach,
            witness: Witness {
                pictures: pictures?,
                sound: sound?,
                packets: packets.collect(),
                attachments,
            },
            selector: selector?,
            meter,
            bytes,
        })
    })
}

/// What a thread returned. A panic of its goes on in this one.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
