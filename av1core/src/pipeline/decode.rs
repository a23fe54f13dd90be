//! The second step: video packets to frames, in presentation order, each with its
//! time.

use std::sync::atomic::Ordering;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::Packet;
use ffmpeg_next::frame::Video;

use super::queue::{Limits, Receiver, Sender, Stop, queue};
use super::{Halt, LONGEST_STEP_US, Run};
use crate::error::{ErrorKind, Stage};
use crate::ffi::{self, Decoder, Received};
use crate::units::TimeBase;

/// Frames wait here for the next step: enough to even out the decoder's bursts
/// (it hands out a frame a thread), few enough to stay small. 4K at 10 bit is 25 MB.
const FRAMES: Limits = Limits {
    items: 4,
    bytes: 192 * 1024 * 1024,
};

pub(super) fn frame_queue(stop: &Stop) -> (Sender<Video>, Receiver<Video>) {
    queue(FRAMES, stop)
}

/// Bytes a frame holds, near enough to bound a queue.
pub(super) fn frame_bytes(frame: &Video) -> usize {
    // 4:2:0 at two bytes a sample; what is smaller is bounded by the item count.
    frame.width() as usize * frame.height() as usize * 3
}

pub(super) fn decode(
    run: &Run<'_>,
    mut decoder: Decoder,
    packets: &Receiver<Packet>,
    frames: &Sender<Video>,
) -> Result<(), Halt> {
    let longest_step = TimeBase::MICROS.rescale(LONGEST_STEP_US, run.video_base());
    let mut clock = FrameClock::new(run.frame_ticks(), longest_step);
    while let Some(packet) = packets.receive()? {
        match decoder.send(&packet) {
            Ok(()) => {}
            Err(error) => count_damage(run, error)?,
        }
        take_frames(run, &mut decoder, &mut clock, frames)?;
        if packet.size() == 0 {
            decoder.begin_again();
        }
    }
    match decoder.send_end() {
        Ok(()) | Err(ffmpeg::Error::Eof) => {}
        Err(error) => count_damage(run, error)?,
    }
    take_frames(run, &mut decoder, &mut clock, frames)?;
    run.counters.decoded_all.store(true, Ordering::Release);
    Ok(())
}

/// A packet or frame that does not decode is counted and passed over; anything
/// else (no memory) ends the run.
fn count_damage(run: &Run<'_>, error: ffmpeg::Error) -> Result<(), Halt> {
    match error {
        ffmpeg::Error::Other { errno } if errno == ffmpeg::error::ENOMEM => Err(run
            .library_error(ErrorKind::Library, Stage::Decode, "cannot decode", error)
            .into()),
        _ => {
            run.counters.decode_errors.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }
}

fn clock_jump(run: &Run<'_>, base: TimeBase, jump: Jump) -> Halt {
    let seconds = |ticks| base.micros(ticks) as f64 / 1e6;
    run.clock_jump(seconds(jump.from), seconds(jump.to)).into()
}

fn take_frames(
    run: &Run<'_>,
    decoder: &mut Decoder,
    clock: &mut FrameClock,
    frames: &Sender<Video>,
) -> Result<(), Halt> {
    loop {
        let mut frame = Video::empty();
        match decoder.receive(&mut frame) {
            Ok(Received::Frame) => {}
            Ok(Received::NeedsPacket | Received::End) => return Ok(()),
            Err(error) => {
                run.stop.check()?;
                count_damage(run, error)?;
                continue;
            }
        }
        if ffi::facts(&frame).corrupt {
            run.counters.decode_errors.fetch_add(1, Ordering::Relaxed);
        }
        let ticks = clock
            .place(frame.timestamp())
            .map_err(|jump| clock_jump(run, run.video_base(), jump))?;
        frame.set_pts(Some(ticks));
        run.counters.frames_decoded.fetch_add(1, Ordering::Relaxed);
        let bytes = frame_bytes(&frame);
        frames.send(frame, bytes)?;
    }
}

/// Frames in a row whose times may run backwards. A damaged stream swaps a few; a
/// recording whose clock was set back never catches up.
const MOST_HELD_BACK: u32 = 8;

/// Gives each frame a presentation time that never runs backwards.
///
/// A time that is there is kept, equal times included. Missing ones (AVI) follow
/// from the frame before; a few times that run backwards (damaged streams) wait.
#[derive(Debug)]
struct FrameClock {
    last: Option<i64>,
    frame_ticks: i64,
    held_back: u32,
    longest_step: i64,
}

/// The source's clock jumps, from one time to another, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    from: i64,
    to: i64,
}

impl FrameClock {
    fn new(frame_ticks: i64, longest_step: i64) -> Self {
        Self {
            last: None,
            frame_ticks,
            held_back: 0,
            longest_step,
        }
    }

    fn place(&mut self, ticks: Option<i64>) -> Result<i64, Jump> {
        let placed = match (ticks, self.last) {
            (Some(ticks), Some(last)) => {
                self.held_back = if ticks < last { self.held_back + 1 } else { 0 };
                let step = ticks.saturating_sub(last);
                if self.held_back > MOST_HELD_BACK || step > self.longest_step {
                    return Err(Jump {
                        from: last,
                        to: ticks,
                    });
                }
                ticks.max(last)
            }
            (Some(ticks), None) => ticks,
            (None, Some(last)) => last.saturating_add(self.frame_ticks),
            (None, None) => 0,
        };
        self.last = Some(placed);
        Ok(placed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times_are_kept_and_missing_ones_follow() {
        let mut clock = FrameClock::new(40, i64::MAX);
        let times = [None, Some(50), None, Some(90), Some(130), Some(120), None];
        let placed: Vec<_> = times.into_iter().map(|t| clock.place(t)).collect();
        assert_eq!(placed, [0, 50, 90, 90, 130, 130, 170].map(Ok));
    }

    #[test]
    fn a_clock_that_was_set_back_is_no_film() {
        let mut clock = FrameClock::new(1, i64::MAX);
        let joined = (0..100).chain(0..100).map(|t| clock.place(Some(t)));
        let jump = joined.into_iter().find_map(Result::err);
        assert_eq!(jump.map(|jump| jump.from), Some(99));
    }

    #[test]
    fn a_step_longer_than_allowed_is_a_jump() {
        let mut clock = FrameClock::new(1, 10);
        assert_eq!(clock.place(Some(5)), Ok(5));
        assert_eq!(clock.place(Some(15)), Ok(15));
        assert_eq!(clock.place(Some(26)), Err(Jump { from: 15, to: 26 }));
    }

    proptest! {
        #[test]
        fn times_never_run_backwards_and_ordered_ones_are_kept(
            times in prop::collection::vec(prop::option::of(0i64..1_000_000), 1..100)
        ) {
            let mut clock = FrameClock::new(1, i64::MAX);
            let placed: Result<Vec<_>, _> = times.iter().map(|t| clock.place(*t)).collect();
            if let Ok(placed) = &placed {
                prop_assert!(placed.is_sorted());
            }
            if times.iter().all(Option::is_some) && times.is_sorted() {
                prop_assert_eq!(placed.map(|p| p.into_iter().map(Some).collect()), Ok(times));
            }
        }
    }
}
