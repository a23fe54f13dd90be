//! Beside the video: one audio track from packets to Opus, on a thread of its own.
//!
//! The output is one unbroken run of samples from the first decoded sample on.
//! Where the source's timestamps leave a gap there is silence, where they overlap
//! samples are dropped, so that sound and picture stay together to within one
//! Opus frame.

use std::sync::atomic::Ordering;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::Packet;
use ffmpeg_next::frame::Audio;

use super::mux::Muxed;
use super::queue::{Receiver, Sender};
use super::{Halt, Run};
use crate::error::{Error, ErrorKind, Stage};
use crate::ffi::{
    Decoder, Encoded, OPUS_FRAME_SAMPLES, OPUS_RATE_HZ, OpusEncoder, Received, Resampler,
};
use crate::plan::AudioSettings;
use crate::units::TimeBase;

/// Silence is made in pieces, so that an hour of it needs no memory.
const LONGEST_SILENCE_SAMPLES: i64 = OPUS_RATE_HZ as i64;

/// A jump further than this is a broken clock, not a gap: no film pauses for 12 hours.
const LONGEST_GAP_S: i64 = 12 * 60 * 60;

/// What an audio track needs besides its queues.
pub(super) struct Track<'a> {
    pub(super) source_index: usize,
    pub(super) track: usize,
    pub(super) settings: &'a AudioSettings,
    pub(super) base: TimeBase,
}

pub(super) fn transcode(
    run: &Run<'_>,
    track: &Track<'_>,
    (mut decoder, encoder): (Decoder, OpusEncoder),
    packets: &Receiver<Packet>,
    muxer: &Sender<Muxed>,
) -> Result<(), Halt> {
    let mut voice = Voice {
        run,
        track,
        encoder,
        muxer,
        resampler: None,
        timeline: None,
        pending: Vec::new(),
        next_pts: 0,
    };
    while let Some(packet) = packets.receive()? {
        if let Err(error) = decoder.send(&packet) {
            voice.count_damage(error)?;
        }
        voice.take_frames(&mut decoder)?;
    }
    if let Err(error) = decoder.send_end()
        && error != ffmpeg::Error::Eof
    {
        voice.count_damage(error)?;
    }
    voice.take_frames(&mut decoder)?;
    voice.finish()
}

struct Voice<'a> {
    run: &'a Run<'a>,
    track: &'a Track<'a>,
    encoder: OpusEncoder,
    muxer: &'a Sender<Muxed>,
    resampler: Option<Resampler>,
    timeline: Option<Timeline>,
    /// Packed samples at 48 kHz that do not fill an Opus frame yet.
    pending: Vec<f32>,
    /// Presentation time of the first pending sample, in samples at 48 kHz.
    next_pts: i64,
}

impl Voice<'_> {
    fn error(&self, stage: Stage, message: &str, error: ffmpeg::Error) -> Error {
        self.run
            .library_error(ErrorKind::Library, stage, message, error)
            .with_stream(self.track.source_index)
    }

    fn count_damage(&self, error: ffmpeg::Error) -> Result<(), Halt> {
        match error {
            ffmpeg::Error::Other { errno } if errno == ffmpeg::error::ENOMEM => {
                Err(self.error(Stage::Decode, "cannot decode", error).into())
            }
            _ => {
                self.run
                    .counters
                    .audio_errors
                    .fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn take_frames(&mut self, decoder: &mut Decoder) -> Result<(), Halt> {
        loop {
            self.run.stop.check()?;
            let mut frame = Audio::empty();
            match decoder.receive(&mut frame) {
                Ok(Received::Frame) => self.put(&frame)?,
                Ok(Received::NeedsPacket | Received::End) => return Ok(()),
                Err(error) => self.count_damage(error)?,
            }
        }
    }

    fn put(&mut self, frame: &Audio) -> Result<(), Halt> {
        let rate_hz = i32::try_from(frame.rate()).unwrap_or(0);
        if frame.samples() == 0 || rate_hz <= 0 {
            return Ok(());
        }
        let channels = self.encoder.channels();
        let rate_base = TimeBase::new(1, rate_hz);
        let opus_base = TimeBase::new(1, OPUS_RATE_HZ as i32);
        let position = frame
            .timestamp()
            .map(|t| self.track.base.rescale(t, opus_base));
        let samples = rate_base.rescale(frame.samples() as i64, opus_base);
        let timeline = match &mut self.timeline {
            Some(timeline) => timeline,
            slot @ None => {
                self.next_pts = position.unwrap_or(0);
                slot.insert(Timeline::new(self.next_pts))
            }
        };
        let Placement { silence, drop } = timeline.place(position, samples);
        self.put_silence(silence)?;
        if drop >= samples {
            return Ok(());
        }
        if self.resampler.as_ref().is_some_and(|r| !r.fits(frame)) {
            // Rate, format or channels changed within the stream.
            self.flush_resampler()?;
        }
        if self.resampler.is_none() {
            let settings = self.track.settings;
            let made = Resampler::new(frame, settings.layout.as_deref(), settings.channels);
            self.resampler =
                Some(made.map_err(|e| self.error(Stage::Filter, "cannot convert sound", e))?);
        }
        if let Some(resampler) = &mut self.resampler {
            let start = self.pending.len();
            let converted = resampler.convert(Some(frame), &mut self.pending);
            let cut = (drop as usize * channels).min(self.pending.len() - start);
            self.pending.drain(start..start + cut);
            converted.map_err(|e| self.error(Stage::Filter, "cannot convert sound", e))?;
        }
        self.encode_whole_frames()
    }

    fn put_silence(&mut self, samples: i64) -> Result<(), Halt> {
        let mut left = samples;
        while left > 0 {
            let piece = left.min(LONGEST_SILENCE_SAMPLES);
            left -= piece;
            let values = piece as usize * self.encoder.channels();
            self.pending.resize(self.pending.len() + values, 0.0);
            self.encode_whole_frames()?;
        }
        Ok(())
    }

    fn flush_resampler(&mut self) -> Result<(), Halt> {
        if let Some(mut resampler) = self.resampler.take() {
            resampler
                .convert(None, &mut self.pending)
                .map_err(|e| self.error(Stage::Filter, "cannot convert sound", e))?;
        }
        Ok(())
    }

    fn encode_whole_frames(&mut self) -> Result<(), Halt> {
        let frame = OPUS_FRAME_SAMPLES * self.encoder.channels();
        let whole = self.pending.len() / frame * frame;
        let mut start = 0;
        while start < whole {
            self.encode(start..start + frame)?;
            start += frame;
        }
        self.pending.drain(..whole);
        Ok(())
    }

    fn encode(&mut self, range: std::ops::Range<usize>) -> Result<(), Halt> {
        let samples = (range.len() / self.encoder.channels()) as i64;
        self.encoder
            .send(&self.pending[range], self.next_pts)
            .map_err(|e| self.error(Stage::Encode, "the audio encoder failed", e))?;
        self.next_pts += samples;
        self.take_packets()
    }

    fn take_packets(&mut self) -> Result<(), Halt> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive(&mut packet) {
                Ok(Encoded::Packet) => {
                    let bytes = packet.size();
                    self.muxer
                        .send(Muxed::packet(self.track.track, packet), bytes)?;
                }
                Ok(Encoded::NeedsFrame | Encoded::End) => return Ok(()),
                Err(e) => {
                    return Err(self
                        .error(Stage::Encode, "the audio encoder failed", e)
                        .into());
                }
            }
        }
    }

    fn finish(mut self) -> Result<(), Halt> {
        self.flush_resampler()?;
        self.encode_whole_frames()?;
        if !self.pending.is_empty() {
            // The encoder pads the last frame and tells the player what to cut off.
            self.encode(0..self.pending.len())?;
        }
        self.encoder
            .send_end()
            .map_err(|e| self.error(Stage::Encode, "the audio encoder failed", e))?;
        self.take_packets()
    }
}

/// What goes before a decoded frame, and what of it goes; in samples at 48 kHz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Placement {
    silence: i64,
    drop: i64,
}

/// Where the next sample belongs.
#[derive(Debug)]
struct Timeline {
    next: i64,
}

impl Timeline {
    fn new(start: i64) -> Self {
        Self { next: start }
    }

    /// Places a frame of `samples` that says it starts at `position`. Differences
    /// up to one Opus frame are the container's rounding and stay.
    fn place(&mut self, position: Option<i64>, samples: i64) -> Placement {
        let tolerance = OPUS_FRAME_SAMPLES as i64;
        let off = position.map_or(0, |position| position.saturating_sub(self.next));
        let placement = if off > tolerance && off <= LONGEST_GAP_S * i64::from(OPUS_RATE_HZ) {
            Placement {
                silence: off,
                drop: 0,
            }
        } else if off < -tolerance && off >= -LONGEST_GAP_S * i64::from(OPUS_RATE_HZ) {
            Placement {
                silence: 0,
                drop: (-off).min(samples),
            }
        } else {
            Placement {
                silence: 0,
                drop: 0,
            }
        };
        self.next += placement.silence + samples - placement.drop;
        placement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rounding_stays_gaps_fill_overlaps_go() {
        let mut timeline = Timeline::new(0);
        let keep = Placement {
            silence: 0,
            drop: 0,
        };
        assert_eq!(timeline.place(Some(0), 1024), keep);
        assert_eq!(timeline.place(Some(1000), 1024), keep);
        assert_eq!(timeline.place(None, 1024), keep);
        let gap = Placement {
            silence: 1928,
            drop: 0,
        };
        assert_eq!(timeline.place(Some(5000), 1024), gap);
        let overlap = Placement {
            silence: 0,
            drop: 1024,
        };
        assert_eq!(timeline.place(Some(4000), 1024), overlap);
    }

    proptest! {
        /// Whatever the timestamps say, after each frame the output is within one
        /// Opus frame of where the source says it should be, or ahead of it by
        /// what earlier frames already filled.
        #[test]
        fn sound_never_lags_by_more_than_a_frame(
            steps in prop::collection::vec((0i64..5000, 1i64..5000), 1..50)
        ) {
            let mut timeline = Timeline::new(0);
            let mut position = 0;
            for (jump, samples) in steps {
                position += jump;
                let placement = timeline.place(Some(position), samples);
                prop_assert!(placement.silence == 0 || placement.drop == 0);
                prop_assert!(placement.drop <= samples);
                let end = position + samples;
                prop_assert!(timeline.next >= end - OPUS_FRAME_SAMPLES as i64);
            }
        }
    }
}
