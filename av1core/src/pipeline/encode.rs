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
use crate::error::{ErrorKind, Stage};
use crate::ffi::{Encoded, VideoEncoder};

/// How long a run that is over waits for the encoder to notice, before it leaves it
/// to itself: cancelling takes two seconds at the most, on a busy machine too.
const PATIENCE: Duration = Duration::from_millis(300);

/// Everything the encoder's thread needs, all of it its own.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) encoder: VideoEncoder,
    pub(super) turn: Turn,
    pub(super) frames: Receiver<Video>,
    pub(super) muxer: Sender<Muxed>,
    pub(super) track: usize,
}

/// The encoder's thread, seen from the run.
pub(super) struct Running(mpsc::Receiver<Option<Vec<i64>>>);

impl Task {
    pub(super) fn spawn(self) -> Running {
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let Self {
                shared,
                mut encoder,
                turn,
                frames,
                muxer,
                track,
            } = self;
            let done = encode(&shared, &mut encoder, &frames, &muxer, track);
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
    /// for a moment. Returns the presentation times of all frames given to the
    /// encoder, in ticks of the source's video stream.
    pub(super) fn join(self, run: &Run<'_>) -> Option<Vec<i64>> {
        while run.stop.check().is_ok() {
            match self.0.recv_timeout(PATIENCE / 6) {
                Ok(times) => return times,
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
    frames: &Receiver<Video>,
    muxer: &Sender<Muxed>,
    track: usize,
) -> Result<Vec<i64>, Halt> {
    let failed = |e| {
        run.library_error(
            ErrorKind::Library,
            Stage::Encode,
            "the video encoder failed",
            e,
        )
    };
    let mut times = Vec::new();
    let mut taken = 0;
    while let Some(mut frame) = frames.receive()? {
        // The decoder's picture type is no wish of ours: libsvtav1's wrapper would
        // take an intra frame for a request.
        frame.set_kind(picture::Type::None);
        times.push(frame.pts().unwrap_or_default());
        encoder.send(&frame).map_err(failed)?;
        run.counters.frames_in.fetch_add(1, Ordering::Relaxed);
        take_packets(run, encoder, (&times, &mut taken), muxer, track)?;
        run.spare_frames.put(frame);
    }
    run.stop.check()?;
    if times.is_empty() {
        return Ok(times);
    }
    encoder.send_end().map_err(failed)?;
    take_packets(run, encoder, (&times, &mut taken), muxer, track)?;
    if taken != times.len() {
        let message = format!("the encoder took {} frames and gave {taken}", times.len());
        return Err(run
            .error(ErrorKind::Mismatch, Stage::Encode, message)
            .into());
    }
    Ok(times)
}

/// Passes on what the encoder has, and holds each packet against the frame it
/// must belong to: AV1 gives one packet a frame, in presentation order.
fn take_packets(
    run: &Shared,
    encoder: &mut VideoEncoder,
    (times, taken): (&[i64], &mut usize),
    muxer: &Sender<Muxed>,
    track: usize,
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
