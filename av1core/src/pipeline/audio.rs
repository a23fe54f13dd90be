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

use super::check::most_decode_errors;
use super::mux::Muxed;
use super::queue::{Receiver, Sender};
use super::{Halt, LONGEST_STEP_US, Run};
use crate::error::{Discovery, Error, ErrorKind, Stage};
use crate::ffi::{
    self, Decoder, Encoded, OPUS_FRAME_SAMPLES, OPUS_RATE_HZ, OpusEncoder, Received, Resampler,
};
use crate::plan::AudioSettings;
use crate::units::TimeBase;
use crate::witness::Sound;

/// Silence is made in pieces, so that an hour of it needs no memory.
const LONGEST_SILENCE_SAMPLES: i64 = OPUS_RATE_HZ as i64;

/// Sound that lies further back than this is a clock that was set back, not an
/// overlap: dropping it would lose what nobody has heard yet.
const LONGEST_OVERLAP_S: i64 = 1;

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
    (mut decoder, encoder): (Decoder, Option<OpusEncoder>),
    packets: &Receiver<Packet>,
    muxer: &Sender<Muxed>,
) -> Result<Sound, Halt> {
    let channels = track.settings.channels as usize;
    let mut voice = Voice {
        run,
        track,
        encoder,
        channels,
        sound: None,
        muxer,
        resampler: None,
        timeline: None,
        pending: Vec::new(),
        next_pts: 0,
        packets: 0,
        frames: 0,
        errors: 0,
    };
    while let Some(packet) = packets.receive()? {
        voice.packets += 1;
        if let Err(error) = decoder.send(&packet) {
            voice.count_damage(error)?;
        }
        voice.take_frames(&mut decoder)?;
        if packet.size() == 0 {
            decoder.begin_again();
        }
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
    /// `None` where the film is only watched.
    encoder: Option<OpusEncoder>,
    channels: usize,
    /// What has been given to the encoder.
    sound: Option<Sound>,
    muxer: &'a Sender<Muxed>,
    resampler: Option<Resampler>,
    timeline: Option<Timeline>,
    /// Packed samples at 48 kHz that do not fill an Opus frame yet.
    pending: Vec<f32>,
    /// Presentation time of the first pending sample, in samples at 48 kHz.
    next_pts: i64,
    packets: u64,
    frames: u64,
    errors: u64,
}

impl Voice<'_> {
    fn error(&self, stage: Stage, message: &str, error: ffmpeg::Error) -> Error {
        self.run
            .library_error(ErrorKind::Library, stage, message, error)
            .with_stream(self.track.source_index)
    }

    fn count_damage(&mut self, error: ffmpeg::Error) -> Result<(), Halt> {
        match error {
            ffmpeg::Error::Other { errno } if errno == ffmpeg::error::ENOMEM => {
                Err(self.error(Stage::Decode, "cannot decode", error).into())
            }
            _ => {
                self.errors += 1;
                let total = &self.run.counters.audio_errors;
                total.fetch_add(1, Ordering::Relaxed);
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
        self.frames += 1;
        let channels = self.channels;
        let rate = TimeBase::new(1, rate_hz);
        let samples = frame.samples() as i64;
        let position = frame
            .timestamp()
            .map(|t| self.track.base.rescale(t, OPUS_SAMPLE));
        let timeline = match &mut self.timeline {
            Some(timeline) => timeline,
            slot @ None => {
                self.next_pts = position.unwrap_or(0);
                slot.insert(Timeline::new(self.next_pts, rate))
            }
        };
        let before = timeline.next();
        let placement = timeline.place(position, samples, rate);
        self.check_jump(before, position.unwrap_or(before))?;
        self.put_silence(placement.silence)?;
        let drop = placement.drop;
        if drop >= rate.rescale(samples, OPUS_SAMPLE) {
            return Ok(());
        }
        if self.resampler.as_ref().is_some_and(|r| !r.fits(frame)) {
            // Rate, format or channels changed within the stream.
            self.flush_resampler()?;
        }
        let channels_now = ffi::channels(frame);
        if channels_now > self.track.settings.channels {
            let message = format!(
                "the sound changes to {channels_now} channels within the stream, and {} are planned; left alone",
                self.track.settings.channels
            );
            let error = self.run.error(ErrorKind::Mismatch, Stage::Decode, message);
            let stream = self.track.source_index;
            let found = Discovery::MoreChannels {
                stream,
                channels: channels_now,
                layout: ffi::layout_name(frame),
            };
            return Err(error.with_stream(stream).with_discovery(found).into());
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

    /// Times from one sample to the next, at 48 kHz, that no film has.
    fn check_jump(&self, from: i64, to: i64) -> Result<(), Halt> {
        let step = to.saturating_sub(from);
        let forward = TimeBase::MICROS.rescale(LONGEST_STEP_US, OPUS_SAMPLE);
        if step > forward || step < -LONGEST_OVERLAP_S * i64::from(OPUS_RATE_HZ) {
            let seconds = |samples: i64| samples as f64 / f64::from(OPUS_RATE_HZ);
            let error = self.run.clock_jump(seconds(from), seconds(to));
            return Err(error.with_stream(self.track.source_index).into());
        }
        Ok(())
    }

    fn put_silence(&mut self, samples: i64) -> Result<(), Halt> {
        let mut left = samples;
        while left > 0 {
            let piece = left.min(LONGEST_SILENCE_SAMPLES);
            left -= piece;
            let values = piece as usize * self.channels;
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
        let frame = OPUS_FRAME_SAMPLES * self.channels;
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
        let samples = (range.len() / self.channels) as i64;
        let packed = &self.pending[range];
        self.sound
            .get_or_insert_with(|| Sound::new(self.next_pts, self.channels))
            .add(packed);
        if let Some(encoder) = &mut self.encoder {
            encoder
                .send(packed, self.next_pts)
                .map_err(|e| self.error(Stage::Encode, "the audio encoder failed", e))?;
        }
        self.next_pts += samples;
        self.take_packets()
    }

    fn take_packets(&mut self) -> Result<(), Halt> {
        while let Some(encoder) = &mut self.encoder {
            let mut packet = Packet::empty();
            match encoder.receive(&mut packet) {
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
        Ok(())
    }

    /// A track that is mostly damage is not replaced by silence.
    fn check_damage(&self) -> Result<(), Halt> {
        let silent = self.packets > 0 && self.frames == 0;
        if !silent && self.errors <= most_decode_errors(self.frames) {
            return Ok(());
        }
        let message = format!(
            "the source's sound is damaged: {} decode errors, {} of its frames decode; left alone",
            self.errors, self.frames
        );
        let error = self.run.error(ErrorKind::Damaged, Stage::Decode, message);
        Err(error.with_stream(self.track.source_index).into())
    }

    fn finish(mut self) -> Result<Sound, Halt> {
        self.check_damage()?;
        self.flush_resampler()?;
        self.encode_whole_frames()?;
        if !self.pending.is_empty() {
            // The encoder pads the last frame and tells the player what to cut off.
            self.encode(0..self.pending.len())?;
        }
        if let Some(encoder) = &mut self.encoder {
            encoder
                .send_end()
                .map_err(|e| self.error(Stage::Encode, "the audio encoder failed", e))?;
        }
        self.take_packets()?;
        let sound = self.sound.take();
        Ok(sound.map_or_else(|| Sound::new(0, self.channels), Sound::finish))
    }
}

/// What goes before a decoded frame, and what of it goes; in samples at 48 kHz.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Placement {
    silence: i64,
    drop: i64,
}

/// Where the next sample belongs.
///
/// Source samples are summed up before they are converted to 48 kHz: 1024 samples
/// at 44.1 kHz are 1114.56, and rounding each frame would drift by 20 ms a minute.
#[derive(Debug)]
struct Timeline {
    /// Time of the first sample since the rate last changed, in samples at 48 kHz,
    /// corrected by every silence and drop since.
    anchor: i64,
    /// Length of a source sample.
    rate: TimeBase,
    /// Source samples since the anchor.
    samples: i64,
}

const OPUS_SAMPLE: TimeBase = TimeBase {
    num: 1,
    den: OPUS_RATE_HZ as i32,
};

impl Timeline {
    fn new(start: i64, rate: TimeBase) -> Self {
        Self {
            anchor: start,
            rate,
            samples: 0,
        }
    }

    /// Time of the next sample, in samples at 48 kHz.
    fn next(&self) -> i64 {
        let since = self.rate.rescale(self.samples, OPUS_SAMPLE);
        self.anchor.saturating_add(since)
    }

    /// Places a frame of `samples` source samples that says it starts at `position`
    /// (48 kHz). Differences up to one Opus frame are the container's rounding and stay.
    fn place(&mut self, position: Option<i64>, samples: i64, rate: TimeBase) -> Placement {
        if rate != self.rate {
            *self = Self::new(self.next(), rate);
        }
        let tolerance = OPUS_FRAME_SAMPLES as i64;
        let off = position.map_or(0, |position| position.saturating_sub(self.next()));
        let mut placement = Placement::default();
        if off > tolerance {
            placement.silence = off;
        } else if off < -tolerance {
            placement.drop = off.saturating_neg().min(rate.rescale(samples, OPUS_SAMPLE));
        }
        self.samples += samples;
        self.anchor += placement.silence - placement.drop;
        placement
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: TimeBase = OPUS_SAMPLE;

    #[test]
    fn rounding_stays_gaps_fill_overlaps_go() {
        let mut timeline = Timeline::new(0, RATE);
        let keep = Placement::default();
        assert_eq!(timeline.place(Some(0), 1024, RATE), keep);
        assert_eq!(timeline.place(Some(1000), 1024, RATE), keep);
        assert_eq!(timeline.place(None, 1024, RATE), keep);
        let gap = Placement {
            silence: 1928,
            drop: 0,
        };
        assert_eq!(timeline.place(Some(5000), 1024, RATE), gap);
        let overlap = Placement {
            silence: 0,
            drop: 1024,
        };
        assert_eq!(timeline.place(Some(4000), 1024, RATE), overlap);
        assert_eq!(timeline.next(), 6024);
    }

    /// Frames of 1024 samples at 44.1 kHz with exact times, for three hours: not one
    /// sample is added or taken.
    #[test]
    fn sound_at_44100_hz_does_not_drift() {
        let rate = TimeBase::new(1, 44_100);
        let mut timeline = Timeline::new(0, rate);
        for frame in 0..3 * 3600 * 44_100 / 1024 {
            let position = rate.rescale(frame * 1024, OPUS_SAMPLE);
            let placement = timeline.place(Some(position), 1024, rate);
            assert_eq!(placement, Placement::default(), "frame {frame}");
            assert!((timeline.next() - rate.rescale((frame + 1) * 1024, OPUS_SAMPLE)).abs() <= 1);
        }
    }

    proptest! {
        /// Whatever the timestamps and rates, after each frame the output is within
        /// one Opus frame of where the source says it should be, or ahead of it by
        /// what earlier frames already filled.
        #[test]
        fn sound_never_lags_by_more_than_a_frame(
            steps in prop::collection::vec(
                (0i64..5000, 1i64..5000, prop::sample::select(vec![8000, 44_100, 48_000, 96_000])),
                1..50,
            )
        ) {
            let mut timeline = Timeline::new(0, RATE);
            let mut position = 0;
            for (jump, samples, hz) in steps {
                let rate = TimeBase::new(1, hz);
                position += jump;
                let placement = timeline.place(Some(position), samples, rate);
                prop_assert!(placement.silence == 0 || placement.drop == 0);
                let length = rate.rescale(samples, OPUS_SAMPLE);
                prop_assert!(placement.drop <= length);
                let end = position + length;
                // Rounding of the sum against rounding of its parts: a sample.
                prop_assert!(timeline.next() + 1 >= end - OPUS_FRAME_SAMPLES as i64);
            }
        }
    }
}
