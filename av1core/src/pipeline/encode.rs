//! The fourth step: frames to AV1 packets. The encoder blocks while its pool is
//! full, so it has this thread to itself.

use std::sync::atomic::Ordering;

use ffmpeg_next::Packet;
use ffmpeg_next::frame::Video;
use ffmpeg_next::picture;

use super::mux::Muxed;
use super::queue::{Receiver, Sender};
use super::{Halt, Run};
use crate::error::{ErrorKind, Stage};
use crate::ffi::{Encoded, VideoEncoder};

/// Encodes until the frames end. Returns the presentation times of all frames
/// given to the encoder, in ticks of the source's video stream.
pub(super) fn encode(
    run: &Run<'_>,
    mut encoder: VideoEncoder,
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
        drop(frame);
        run.counters.frames_in.fetch_add(1, Ordering::Relaxed);
        take_packets(run, &mut encoder, (&times, &mut taken), muxer, track)?;
    }
    run.stop.check()?;
    encoder.send_end().map_err(failed)?;
    take_packets(run, &mut encoder, (&times, &mut taken), muxer, track)?;
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
    run: &Run<'_>,
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
