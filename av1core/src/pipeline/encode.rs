//! The fourth step: frames to AV1 packets.
//!
//! The encoder blocks while its pool is full, and cannot be stopped: what it holds
//! (about 40 frames) it encodes to the end, which at slow presets takes minutes. So
//! it has a thread that outlives a run that is cancelled or fails, until the encoder
//! is through; it holds neither the source nor the output.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use ffmpeg_next::Packet;
use ffmpeg_next::frame::Video;
use ffmpeg_next::picture;

use super::mux::Muxed;
use super::queue::{Receiver, Sender};
use super::turn::Turn;
use super::{Halt, Run, Shared};
use crate::error::{Discovery, Error, ErrorKind, Stage};
use crate::ffi::{self, Encoded, VideoEncoder};
use crate::units::TimeBase;
use crate::witness::Pictures;

/// How long a run that is over waits for the encoder to notice, before it leaves it
/// to itself: cancelling takes two seconds at the most, on a busy machine too.
const PATIENCE: Duration = Duration::from_millis(300);

/// Everything the encoder's thread needs, all of it its own.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    /// `None` where the film is only watched.
    pub(super) encoder: Option<VideoEncoder>,
    /// Unit of the frames' times.
    pub(super) base: TimeBase,
    /// `None` where there is no encoder that needs one.
    pub(super) turn: Option<Turn>,
    pub(super) frames: Receiver<Video>,
    pub(super) muxer: Sender<Muxed>,
    pub(super) track: usize,
}

/// The encoder's thread, seen from the run.
pub(super) struct Running(mpsc::Receiver<Option<Pictures>>);

impl Task {
    pub(super) fn spawn(self) -> Running {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let Self {
                shared,
                mut encoder,
                base,
                turn,
                frames,
                muxer,
                track,
            } = self;
            let pictures = Pictures::new(base);
            let done = match &mut encoder {
                Some(encoder) => encode(&shared, encoder, pictures, &frames, (&muxer, track)),
                None => watch(&shared, pictures, &frames, (&muxer, track)),
            };
            // The other tracks need not wait for the video any longer.
            let _ = muxer.send(Muxed::end(track), 0);
            drop((frames, muxer));
            // Nobody listens any more where the run was given up.
            let _ = sender.send(shared.guard(done));
            // In this order: the next encoder may be opened when this one is gone.
            drop(encoder);
            drop(turn);
        });
        Running(receiver)
    }
}

impl Running {
    /// Waits for the encoder's last packet; once the run is over otherwise, only
    /// for a moment. Returns all frames given to the encoder, in ticks of the
    /// source's video stream.
    pub(super) fn join(self, run: &Run<'_>) -> Option<Pictures> {
        while run.stop.check().is_ok() {
            match self.0.recv_timeout(PATIENCE / 6) {
                Ok(pictures) => return pictures,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let message = "the encoder's thread panicked";
                    let error = run.error(ErrorKind::Library, Stage::Encode, message);
                    return run.guard(Err(error.into()));
                }
            }
        }
        self.0.recv_timeout(PATIENCE).ok().flatten()
    }
}

/// Encodes until the frames end.
fn encode(
    run: &Shared,
    encoder: &mut VideoEncoder,
    mut pictures: Pictures,
    frames: &Receiver<Video>,
    to: (&Sender<Muxed>, usize),
) -> Result<Pictures, Halt> {
    let failed = |e| {
        run.library_error(
            ErrorKind::Library,
            Stage::Encode,
            "the video encoder failed",
            e,
        )
    };
    let mut taken = 0;
    while let Some(mut frame) = frames.receive()? {
        // The decoder's picture type is no wish of ours: libsvtav1's wrapper would
        // take an intra frame for a request.
        frame.set_kind(picture::Type::None);
        pictures.add(&frame, frame.pts().unwrap_or_default());
        if encoder.wants_dolby_vision() && ffi::dolby_vision(&frame).is_none() {
            return Err(dolby_vision_gap(run, pictures.ticks.len() - 1).into());
        }
        encoder.send(&frame).map_err(failed)?;
        run.counters.frames_in.fetch_add(1, Ordering::Relaxed);
        take_packets(run, encoder, (&pictures.ticks, &mut taken), to)?;
        run.spare_frames.put(frame);
    }
    run.stop.check()?;
    if pictures.ticks.is_empty() {
        return Ok(pictures);
    }
    encoder.send_end().map_err(failed)?;
    take_packets(run, encoder, (&pictures.ticks, &mut taken), to)?;
    let given = pictures.ticks.len();
    if taken != given {
        let message = format!("the encoder took {given} frames and gave {taken}");
        return Err(run
            .error(ErrorKind::Mismatch, Stage::Encode, message)
            .into());
    }
    Ok(pictures)
}

/// The wrapper takes no frame without metadata once it codes metadata (libsvtav1.c,
/// `eb_send_frame`), and a player would go on with that of the frame before.
fn dolby_vision_gap(run: &Shared, frame: usize) -> Error {
    let message =
        format!("frame {frame} has no Dolby Vision metadata that is understood; left alone");
    run.error(ErrorKind::Mismatch, Stage::Encode, message)
        .with_discovery(Discovery::DolbyVisionGap)
}

/// Takes the frames as the encoder would, and passes their times on.
fn watch(
    run: &Shared,
    mut pictures: Pictures,
    frames: &Receiver<Video>,
    (muxer, track): (&Sender<Muxed>, usize),
) -> Result<Pictures, Halt> {
    while let Some(frame) = frames.receive()? {
        let ticks = frame.pts().unwrap_or_default();
        pictures.add(&frame, ticks);
        run.counters.frames_in.fetch_add(1, Ordering::Relaxed);
        let mut packet = Packet::empty();
        packet.set_pts(Some(ticks));
        packet.set_dts(Some(ticks));
        muxer.send(Muxed::packet(track, packet), 0)?;
        run.spare_frames.put(frame);
    }
    Ok(pictures)
}

/// Passes on what the encoder has, and holds each packet against the frame it
/// must belong to: AV1 gives one packet a frame, in presentation order.
fn take_packets(
    run: &Shared,
    encoder: &mut VideoEncoder,
    (times, taken): (&[i64], &mut usize),
    (muxer, track): (&Sender<Muxed>, usize),
) -> Result<(), Halt> {
    loop {
        run.stop.check()?;
        let mut packet = Packet::empty();
        match encoder.receive(&mut packet) {
            Ok(Encoded::Packet) => {}
            Ok(Encoded::NeedsFrame | Encoded::End) => return Ok(()),
            Err(e) => {
                let message = "the video encoder failed";
                return Err(run
                    .library_error(ErrorKind::Library, Stage::Encode, message, e)
                    .into());
            }
        }
        let expected = times.get(*taken).copied();
        if packet.pts() != expected {
            let message = format!(
                "packet {taken} of the encoder is for time {:?}, not {expected:?}",
                packet.pts()
            );
            return Err(run
                .error(ErrorKind::Mismatch, Stage::Encode, message)
                .into());
        }
        *taken += 1;
        packet.set_dts(packet.pts());
        let bytes = packet.size();
        muxer.send(Muxed::packet(track, packet), bytes)?;
    }
}
