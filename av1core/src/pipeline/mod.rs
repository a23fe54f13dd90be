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
mod check;
mod decode;
mod demux;
mod encode;
mod filter;
mod mux;
mod progress;
mod queue;
mod setup;
mod turn;

use std::fs::File;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ffmpeg_next as ffmpeg;
use serde::Serialize;

use self::check::Ended;
use self::filter::SpareFrames;
use self::mux::Muxed;
use self::queue::{Stop, Stopped};
use self::setup::Setup;
use self::turn::Turn;
use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::event::Event;
use crate::ffi::{capabilities, used_preset};
use crate::media::MediaInfo;
use crate::output::{Destination, Staged};
use crate::plan::{Action, Plan, VideoSettings};
use crate::segment::{FrameHash, Segment};
use crate::units::TimeBase;

/// What is to be encoded.
pub(crate) struct Job<'a> {
    pub(crate) source: &'a Path,
    pub(crate) info: &'a MediaInfo,
    pub(crate) plan: &'a Plan,
    pub(crate) cancel: &'a CancelToken,
}

/// How an encode went.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The finished file. In serialized form characters that are not UTF-8 are replaced.
    #[serde(serialize_with = "lossy")]
    pub output: PathBuf,
    /// Video frames in it; as many as the source shows.
    pub frames: u64,
    /// Size of the source in bytes.
    pub source_bytes: u64,
    /// Size of the output in bytes.
    pub output_bytes: u64,
    /// Time the encode took, in microseconds.
    pub elapsed_us: u64,
    /// Length of the video from its first to its last frame, in microseconds.
    pub film_us: i64,
    /// Packets and frames of the source that did not decode as they should.
    pub decode_errors: u64,
    /// The video encoder with its version: presets do not compare across versions.
    pub encoder: String,
    /// What became of each stream.
    pub plan: Plan,
    /// What the viewer of the result might notice.
    pub warnings: Vec<String>,
}

fn lossy<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

/// A segment that lies in its file.
pub(crate) struct Encoded {
    pub(crate) times: Vec<i64>,
    pub(crate) sequence_header: Vec<u8>,
    pub(crate) head: Vec<FrameHash>,
    pub(crate) next: Vec<FrameHash>,
    decode_errors: u64,
    warnings: Vec<String>,
    bytes: u64,
    elapsed_us: u64,
    film_us: i64,
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
}

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

    /// The longest step between two frames, or two pieces of sound, that is not a
    /// jump of the source's clock. Broadcast containers are joined and reset (ten
    /// seconds is the `ffmpeg` command's `dts_delta_threshold`); elsewhere a still
    /// picture may stand for hours, and half a day is a broken header.
    fn longest_step_us(&self) -> i64 {
        match self.job.info.container.as_str() {
            "mpegts" | "mpeg" => 10_000_000,
            _ => 12 * 3600 * 1_000_000,
        }
    }

    fn clock_jump(&self, from_s: f64, to_s: f64) -> Error {
        let message = format!(
            "the source's clock jumps from {from_s:.2} s to {to_s:.2} s (recordings joined \
             without a remux?); left alone"
        );
        self.error(ErrorKind::Damaged, Stage::Decode, message)
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

/// Encodes a whole file and puts it in its place.
pub(crate) fn transcode(
    job: &Job<'_>,
    destination: &Destination,
    observer: &mut dyn FnMut(&Event),
) -> Result<Report> {
    let (staged, file) = Staged::create(destination)?;
    let output_error = |e| Error::output_io(Stage::Mux, destination.path(), e);
    let target = (destination.path(), file.try_clone().map_err(output_error)?);
    let encoded = run(job, &Segment::WHOLE, target, observer)?;
    staged.publish(&file, destination)?;
    Ok(Report {
        output: destination.path().to_owned(),
        frames: encoded.times.len() as u64,
        source_bytes: job.info.size_bytes,
        output_bytes: encoded.bytes,
        elapsed_us: encoded.elapsed_us,
        film_us: encoded.film_us,
        decode_errors: encoded.decode_errors,
        encoder: encoder_name(),
        plan: job.plan.clone(),
        warnings: encoded.warnings,
    })
}

/// The video encoder with its version.
fn encoder_name() -> String {
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
) -> Result<Encoded> {
    let stop = Stop::new(job.cancel.clone());
    let Ok(turn) = Turn::take(&stop, observer) else {
        return Err(Error::cancelled(Stage::Encode, job.source));
    };
    let run = Run {
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
    };
    let mut dropped = dropped_streams(&run);
    dropped.extend(replaced_preset(&run));
    for warning in &dropped {
        observer(&Event::Warning(warning.clone()));
    }
    let setup = setup::open(&run, file)?;
    let sequence_header = setup.video_encoder.extradata();
    let ended = run_steps(&run, setup, turn, observer);
    run.verdict()?;
    let Some(ended) = ended else {
        return Err(run.error(ErrorKind::Library, Stage::Encode, "a step ended early"));
    };
    let mut encoded = ended.check(&run)?;
    encoded.sequence_header = sequence_header;
    for warning in &encoded.warnings {
        observer(&Event::Warning(warning.clone()));
    }
    encoded.warnings.splice(0..0, dropped);
    Ok(encoded)
}

fn run_steps(
    run: &Run<'_>,
    setup: Setup<'_>,
    turn: Turn,
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
            turn,
            frames,
            muxer: to_muxer.clone(),
            track: video_track,
        }
        .spawn();
        for voice in audio {
            let to_mux = to_muxer.clone();
            scope.spawn(move || {
                let codecs = (voice.decoder, voice.encoder);
                let done = audio::transcode(run, &voice.track, codecs, &voice.packets, &to_mux);
                let _ = to_mux.send(Muxed::end(voice.track.track), 0);
                run.guard(done)
            });
        }
        drop(to_muxer);
        let meter = run.guard(mux::mux(run, &mut muxer, &tracks, &muxed, observer));
        // Whoever still waits for the muxer hears that it is gone.
        drop(muxed);
        let reach = demux
            .join()
            .unwrap_or_else(|p| std::panic::resume_unwind(p));
        let selector = filter
            .join()
            .unwrap_or_else(|p| std::panic::resume_unwind(p));
        let times = encode.join(run);
        let mut meter = meter?;
        let bytes = muxer.bytes();
        meter.finish(run, bytes, observer);
        Some(Ended {
            reach,
            times: times?,
            selector: selector?,
            meter,
            bytes,
        })
    })
}

/// What the plan leaves out, told before hours are spent.
fn dropped_streams(run: &Run<'_>) -> Vec<String> {
    let streams = run.job.plan.streams.iter();
    streams
        .filter(|stream| run.segment.is_whole() && stream.action == Action::Drop)
        .map(|stream| format!("stream {} is dropped: {}", stream.index, stream.reason))
        .collect()
}

/// The plan is pure and knows no encoder; a preset that this one must not use is told.
fn replaced_preset(run: &Run<'_>) -> Option<String> {
    let (_, settings) = run.video()?;
    let (wanted, used) = (settings.preset.get(), used_preset(settings.preset));
    (used != wanted).then(|| {
        let name = encoder_name();
        format!("{name} damages pictures at preset {wanted}; preset {used} takes its place")
    })
}
