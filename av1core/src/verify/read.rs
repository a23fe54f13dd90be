//! Reads an output back as a player would: opened afresh, every packet read, every
//! frame of picture and sound decoded.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ffmpeg_next::Packet;
use ffmpeg_next::frame::{Audio, Video};
use xxhash_rust::xxh3::xxh3_64;

use super::Difference;
use super::pairs::Pairs;
use crate::cancel::CancelToken;
use crate::clock::Pace;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::event::{Event, Verifying};
use crate::ffi::{self, Decoder, Demuxer, OPUS_RATE_HZ, Received, Resampler};
use crate::media::MediaInfo;
use crate::plan::{Action, AudioSettings, Plan};
use crate::probe;
use crate::units::TimeBase;
use crate::witness::{Packets, Pictures, Sound, Witness};

/// Decode errors that are told one by one; a file with more has the same fault again.
const MOST_ERRORS_TOLD: usize = 10;

/// Time between two events.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// An output as it was read back.
pub(super) struct Reading {
    pub(super) info: MediaInfo,
    pub(super) pairs: Pairs,
    pub(super) witness: Witness,
    /// What did not decode, with its place.
    pub(super) errors: Vec<Difference>,
}

/// Reads the file at `path`, which is planned to hold `plan`'s streams of `source`.
pub(super) fn read(
    path: &Path,
    (source, plan): (&MediaInfo, &Plan),
    cancel: &CancelToken,
    frames_total: u64,
    observer: &mut dyn FnMut(&Event),
) -> Result<Reading> {
    let info = probe::probe_cancellable(path, cancel)?;
    let mut demuxer = probe::open(path, Stage::Verify, cancel)?;
    let pairs = Pairs::new(plan, source, &info);
    let mut reader = Reader {
        decoders: BTreeMap::new(),
        packets: BTreeMap::new(),
        errors: Vec::new(),
    };
    reader.open(path, plan, &pairs, &demuxer)?;
    let mut pace = Pace::new(REPORT_EVERY);
    let mut damaged = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::cancelled(Stage::Verify, path));
        }
        let failed = |e| {
            let error = Error::new(
                ErrorKind::Mismatch,
                Stage::Verify,
                path,
                "cannot be read further",
            );
            error.with_library(e)
        };
        let Some(packet) = demuxer.read(&mut damaged).map_err(failed)? else {
            break;
        };
        reader.take(&packet, &pairs, &demuxer);
        if pace.is_due() {
            observer(&Event::Verifying(Verifying {
                frames_done: reader.frames(),
                frames_total,
            }));
        }
    }
    if let Some(io) = demuxer.take_io_error() {
        return Err(probe::unreadable(path, io));
    }
    if damaged > 0 {
        let what = format!("{damaged} packets of the file are damaged");
        reader.errors.push(Difference::of_file(what));
    }
    let attachments = attachments(&demuxer, &info, &pairs);
    let (witness, errors) = reader.finish(attachments);
    observer(&Event::Verifying(Verifying {
        frames_done: witness.pictures.ticks.len() as u64,
        frames_total,
    }));
    Ok(Reading {
        info,
        pairs,
        witness,
        errors,
    })
}

fn attachments(demuxer: &Demuxer, info: &MediaInfo, pairs: &Pairs) -> BTreeMap<usize, u64> {
    let content = |index: usize| {
        let attached = info.streams.get(index)?.disposition.attached_picture;
        if attached {
            demuxer.attached_picture(index)
        } else {
            demuxer.attached_file(index)
        }
    };
    let pairs = pairs.attachments.iter();
    pairs
        .map(|(source, index)| (*source, xxh3_64(&content(*index).unwrap_or_default())))
        .collect()
}

/// All tracks on their way.
struct Reader<'a> {
    /// By source index.
    decoders: BTreeMap<usize, Track<'a>>,
    packets: BTreeMap<usize, Packets>,
    errors: Vec<Difference>,
}

/// A track that is decoded.
struct Track<'a> {
    decoder: Decoder,
    content: Content<'a>,
}

enum Content<'a> {
    Video(Pictures),
    Audio(Listener<'a>),
}

impl<'a> Reader<'a> {
    fn open(
        &mut self,
        path: &Path,
        plan: &'a Plan,
        pairs: &Pairs,
        demuxer: &Demuxer,
    ) -> Result<()> {
        for (source, index) in &pairs.tracks {
            self.packets.insert(*source, Packets::default());
            let base = demuxer.time_base(*index);
            let planned = plan.streams.iter().find(|s| s.index == *source);
            let (content, threads) = match planned.map(|s| &s.action) {
                Some(Action::EncodeVideo(_)) => (Content::Video(Pictures::new(base)), None),
                Some(Action::EncodeAudio(settings)) => {
                    (Content::Audio(Listener::new(settings, base)), Some(1))
                }
                _ => continue,
            };
            let decoder = demuxer
                .parameters(*index)
                .ok_or(ffmpeg_next::Error::StreamNotFound)
                .and_then(|parameters| ffi::open_decoder(parameters, base, threads))
                .map_err(|e| {
                    let message = "has a stream that cannot be decoded";
                    Error::new(ErrorKind::Mismatch, Stage::Verify, path, message)
                        .with_stream(*index)
                        .with_library(e)
                })?;
            let track = Track { decoder, content };
            self.decoders.insert(*source, track);
        }
        Ok(())
    }

    fn take(&mut self, packet: &Packet, pairs: &Pairs, demuxer: &Demuxer) {
        let Some(source) = pairs.source_of(packet.stream()) else {
            return;
        };
        let time_us = demuxer
            .time_base(packet.stream())
            .micros(packet.pts().or(packet.dts()).unwrap_or(0));
        if let Some(packets) = self.packets.get_mut(&source) {
            packets.add(time_us, packet.data().unwrap_or_default());
        }
        if let Some(track) = self.decoders.get_mut(&source)
            && let Err(error) = track.send(packet)
        {
            self.fail(source, time_us, error);
        }
    }

    fn fail(&mut self, source: usize, time_us: i64, error: ffmpeg_next::Error) {
        if self.errors.len() < MOST_ERRORS_TOLD {
            let what = format!("it does not decode: {error}");
            self.errors
                .push(Difference::of_stream(source, what).at(time_us));
        }
    }

    fn frames(&self) -> u64 {
        let frames = |track: &Track<'_>| match &track.content {
            Content::Video(pictures) => pictures.ticks.len() as u64,
            Content::Audio(_) => 0,
        };
        self.decoders.values().map(frames).sum()
    }

    fn finish(mut self, attachments: BTreeMap<usize, u64>) -> (Witness, Vec<Difference>) {
        let mut witness = Witness {
            packets: std::mem::take(&mut self.packets),
            attachments,
            ..Witness::default()
        };
        for (source, mut track) in std::mem::take(&mut self.decoders) {
            if let Err((time_us, error)) = track.end() {
                self.fail(source, time_us, error);
            }
            match track.content {
                Content::Video(pictures) => witness.pictures = pictures,
                Content::Audio(listener) => {
                    if let Some(sound) = listener.sound {
                        witness.sound.insert(source, sound.finish());
                    }
                }
            }
        }
        (witness, self.errors)
    }
}

impl Track<'_> {
    fn send(&mut self, packet: &Packet) -> Result<(), ffmpeg_next::Error> {
        self.decoder.send(packet)?;
        self.take_frames()
    }

    /// Takes what the decoder still holds.
    fn end(&mut self) -> Result<(), (i64, ffmpeg_next::Error)> {
        let ended = self
            .decoder
            .send_end()
            .and_then(|()| self.take_frames())
            .and_then(|()| match &mut self.content {
                Content::Audio(listener) => listener.flush(),
                Content::Video(_) => Ok(()),
            });
        ended.map_err(|error| (self.position_us(), error))
    }

    fn position_us(&self) -> i64 {
        match &self.content {
            Content::Video(pictures) => pictures.time_us(pictures.ticks.len().saturating_sub(1)),
            Content::Audio(listener) => {
                let end = listener.sound.as_ref().map_or(0, Sound::end);
                OPUS_SAMPLE.micros(end)
            }
        }
    }

    fn take_frames(&mut self) -> Result<(), ffmpeg_next::Error> {
        loop {
            match &mut self.content {
                Content::Video(pictures) => {
                    let mut frame = Video::empty();
                    match self.decoder.receive(&mut frame)? {
                        Received::Frame => {}
                        Received::NeedsPacket | Received::End => return Ok(()),
                    }
                    if ffi::facts(&frame).corrupt {
                        return Err(ffmpeg_next::Error::InvalidData);
                    }
                    pictures.add(&frame, frame.timestamp().unwrap_or(i64::MIN));
                }
                Content::Audio(listener) => {
                    let mut frame = Audio::empty();
                    match self.decoder.receive(&mut frame)? {
                        Received::Frame => listener.hear(&frame)?,
                        Received::NeedsPacket | Received::End => return Ok(()),
                    }
                }
            }
        }
    }
}

const OPUS_SAMPLE: TimeBase = TimeBase {
    num: 1,
    den: OPUS_RATE_HZ as i32,
};

/// Decoded sound, measured.
struct Listener<'a> {
    settings: &'a AudioSettings,
    base: TimeBase,
    resampler: Option<Resampler>,
    sound: Option<Sound>,
    packed: Vec<f32>,
}

impl<'a> Listener<'a> {
    fn new(settings: &'a AudioSettings, base: TimeBase) -> Self {
        Self {
            settings,
            base,
            resampler: None,
            sound: None,
            packed: Vec::new(),
        }
    }

    fn hear(&mut self, frame: &Audio) -> Result<(), ffmpeg_next::Error> {
        let start = frame.timestamp().unwrap_or(0);
        let sound = self.sound.get_or_insert_with(|| {
            let start = self.base.rescale(start, OPUS_SAMPLE);
            Sound::new(start, self.settings.channels as usize)
        });
        if self.resampler.is_none() {
            let made = Resampler::new(
                frame,
                self.settings.layout.as_deref(),
                self.settings.channels,
            )?;
            self.resampler = Some(made);
        }
        if let Some(resampler) = &mut self.resampler {
            // Opus never changes within a stream: its head says what it is.
            if !resampler.fits(frame) {
                return Err(ffmpeg_next::Error::InvalidData);
            }
            self.packed.clear();
            resampler.convert(Some(frame), &mut self.packed)?;
            sound.add(&self.packed);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ffmpeg_next::Error> {
        if let (Some(resampler), Some(sound)) = (&mut self.resampler, &mut self.sound) {
            self.packed.clear();
            resampler.convert(None, &mut self.packed)?;
            sound.add(&self.packed);
        }
        Ok(())
    }
}
