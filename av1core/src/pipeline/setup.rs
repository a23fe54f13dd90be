//! Opens everything a run needs, and writes the output's header.

use std::collections::BTreeMap;
use std::fs::File;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::Packet;
use xxhash_rust::xxh3::xxh3_64;

use super::Run;
use super::audio;
use super::bound::Kept;
use super::demux::{Route, packet_queue};
use super::mux::{Muxed, Track, muxer_queue, write_error};
use super::queue::{Receiver, Sender};
use super::sink::Sink;
use super::tags::{encoder_tag, kept_tags};
use crate::container::Container;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::ffi::{
    self, Decoder, Demuxer, Muxer, NewStream, OPUS_FRAME_SAMPLES, OPUS_RATE_HZ, OpusEncoder,
    TextConverter, VideoEncoder,
};
use crate::media::{StreamInfo, Tags};
use crate::plan::{Action, VideoSettings};
use crate::probe;
use crate::units::{Ratio, TimeBase};

/// Everything a run needs, opened.
pub(super) struct Setup<'a> {
    pub(super) demuxer: Demuxer,
    pub(super) routes: Vec<Route>,
    pub(super) packets: Receiver<Packet>,
    pub(super) video_decoder: Decoder,
    /// `None` where the film is only watched; so too for sound.
    pub(super) video_encoder: Option<VideoEncoder>,
    pub(super) video_track: usize,
    pub(super) settings: &'a VideoSettings,
    pub(super) audio: Vec<Voice<'a>>,
    pub(super) muxer: Sink,
    pub(super) tracks: Vec<Track>,
    /// XXH3 of what is attached, by the stream's index in the source.
    pub(super) attachments: BTreeMap<usize, u64>,
    /// Bytes of all that is attached.
    pub(super) attached_bytes: u64,
    pub(super) to_muxer: Sender<Muxed>,
    pub(super) muxed: Receiver<Muxed>,
}

/// An audio track, ready to go.
pub(super) struct Voice<'a> {
    pub(super) track: audio::Track<'a>,
    pub(super) decoder: Decoder,
    pub(super) encoder: Option<OpusEncoder>,
    pub(super) packets: Receiver<Packet>,
}

/// Opens it all; without a `file` the film is only watched.
pub(super) fn open<'a>(run: &Run<'a>, file: Option<File>) -> Result<Setup<'a>> {
    let demuxer = probe::open(run.job.source, Stage::Demux, run.job.cancel)?;
    if demuxer.stream_count() != run.job.plan.streams.len() {
        let message = "changed since it was looked at; try again";
        return Err(run.error(ErrorKind::Unreadable, Stage::Demux, message));
    }
    let Some((index, settings)) = run.video() else {
        return Err(run.error(ErrorKind::NoVideo, Stage::Plan, "the plan has no video"));
    };
    let video_decoder = open_decoder(run, &demuxer, index, settings.decoder_threads)?;
    let (video_encoder, muxer) = open_output(run, settings, file)?;
    let (packets_in, packets) = packet_queue(&run.stop);
    let (to_muxer, muxed) = muxer_queue(&run.stop);
    let mut opener = Opener {
        run,
        demuxer: &demuxer,
        muxer,
        tracks: Vec::new(),
        audio: Vec::new(),
        attachments: BTreeMap::new(),
        attached_bytes: 0,
        covers: Vec::new(),
        to_muxer: &to_muxer,
    };
    let mut video_track = 0;
    let mut packets_in = Some(packets_in);
    let mut routes = Vec::new();
    for stream in &run.job.info.streams {
        let route = if stream.index == index {
            video_track = opener.add_video(stream, video_encoder.as_ref(), settings)?;
            packets_in.take().map_or(Route::Discard, Route::Decode)
        } else if run.segment.is_whole() {
            opener.add(stream)?
        } else {
            Route::Discard
        };
        routes.push(route);
    }
    opener.add_file_facts()?;
    let Opener {
        mut muxer,
        tracks,
        audio,
        attachments,
        attached_bytes,
        covers,
        ..
    } = opener;
    muxer
        .write_header()
        .map_err(|e| write_error(run, &muxer, e))?;
    for (index, mut picture) in covers {
        muxer
            .write(&mut picture, index)
            .map_err(|e| write_error(run, &muxer, e))?;
    }
    Ok(Setup {
        demuxer,
        routes,
        packets,
        video_decoder,
        video_encoder,
        video_track,
        settings,
        audio,
        muxer,
        tracks,
        attachments,
        attached_bytes,
        to_muxer,
        muxed,
    })
}

/// The two that hold the output; where nothing is written there is no encoder.
fn open_output(
    run: &Run<'_>,
    settings: &VideoSettings,
    file: Option<File>,
) -> Result<(Option<VideoEncoder>, Sink)> {
    let Some(file) = file else {
        return Ok((None, Sink::Nowhere));
    };
    // Opening the encoder cannot be cut short, and takes seconds on a busy machine.
    if run.stop.check().is_err() {
        return Err(Error::cancelled(Stage::Encode, run.job.source));
    }
    let encoder =
        VideoEncoder::open(settings, run.video_base()).map_err(|e| video_encoder_error(run, e))?;
    let muxer = Muxer::new(file, run.container())
        .map_err(|e| run.library_error(ErrorKind::Library, Stage::Mux, "no muxer", e))?;
    Ok((Some(encoder), Sink::File(muxer)))
}

/// Adds the streams one after the other.
struct Opener<'r, 'a> {
    run: &'r Run<'a>,
    demuxer: &'r Demuxer,
    muxer: Sink,
    tracks: Vec<Track>,
    audio: Vec<Voice<'a>>,
    attachments: BTreeMap<usize, u64>,
    attached_bytes: u64,
    /// Attached pictures, by the output's stream.
    covers: Vec<(usize, Packet)>,
    to_muxer: &'r Sender<Muxed>,
}

impl<'a> Opener<'_, 'a> {
    fn add_video(
        &mut self,
        stream: &StreamInfo,
        encoder: Option<&VideoEncoder>,
        settings: &VideoSettings,
    ) -> Result<usize> {
        let mut tags = kept_tags(&stream.tags);
        tags.insert("ENCODER".to_owned(), encoder_tag(settings));
        let index = match encoder {
            Some(encoder) => {
                let new = NewStream::Video {
                    context: encoder.context(),
                    frame_rate: constant_frame_rate(stream),
                    mastering_display: settings.mastering_display.as_ref(),
                    content_light: settings.content_light,
                    dolby_vision: settings.dolby_vision.is_some(),
                };
                self.add_stream(stream, &new, &tags)?
            }
            None => 0,
        };
        Ok(self.add_track(Track {
            source_index: stream.index,
            index,
            base: self.run.video_base(),
            dense: true,
            default_duration: self.run.frame_ticks(),
            lead_ticks: 0,
            earliest_ms: 0,
            is_video: true,
            kept: Kept::Av1,
            foretold_bytes: 0,
        }))
    }

    fn add(&mut self, stream: &StreamInfo) -> Result<Route> {
        let run = self.run;
        let action = &run.job.plan.streams[stream.index].action;
        let base = self.demuxer.time_base(stream.index);
        match action {
            Action::EncodeAudio(settings) => {
                let encoder = match self.muxer {
                    Sink::File(_) => Some(
                        OpusEncoder::open(settings)
                            .map_err(|e| audio_encoder_error(run, e).with_stream(stream.index))?,
                    ),
                    Sink::Nowhere => None,
                };
                let decoder = open_decoder(run, self.demuxer, stream.index, Some(1))?;
                let context = encoder.as_ref().map(OpusEncoder::context);
                let index = self.add_encoded(stream, context)?;
                let ticks = TimeBase::new(1, OPUS_RATE_HZ as i32);
                let frame_ticks = Some(OPUS_FRAME_SAMPLES as i64);
                let track = self.add_timed(stream.index, index, ticks, frame_ticks);
                self.tracks[track].kept = Kept::Whole;
                let (packets_in, packets) = packet_queue(&run.stop);
                self.audio.push(Voice {
                    track: audio::Track {
                        source_index: stream.index,
                        track,
                        settings,
                        base,
                    },
                    decoder,
                    encoder,
                    packets,
                });
                Ok(Route::Decode(packets_in))
            }
            Action::Copy if stream.disposition.attached_picture => {
                self.add_cover(stream)?;
                Ok(Route::Discard)
            }
            Action::Copy => {
                let parameters = self.parameters(stream)?;
                let new = NewStream::Copied {
                    parameters: &parameters,
                    sample_aspect_ratio: stream.video().and_then(|v| v.sample_aspect_ratio),
                };
                let index = self.add_stream(stream, &new, &kept_tags(&stream.tags))?;
                let track = self.add_timed(stream.index, index, base, None);
                self.foretell(stream, track, Kept::of_copied(parameters.id()));
                Ok(Route::Copy(self.to_muxer.clone(), track))
            }
            Action::ConvertSubtitle => {
                let codec = run.container().text_subtitles();
                let converter = TextConverter::new(self.parameters(stream)?, base, codec)
                    .map_err(|e| self.failed(stream, "cannot convert subtitles", e))?;
                let context = Some(converter.context());
                let index = self.add_encoded(stream, context)?;
                let track = self.add_timed(stream.index, index, base, None);
                Ok(Route::Text(
                    self.to_muxer.clone(),
                    track,
                    Box::new(converter),
                ))
            }
            Action::Attach {
                file_name,
                mime_type,
            } => {
                let content = if stream.disposition.attached_picture {
                    self.demuxer.attached_picture(stream.index)
                } else {
                    self.demuxer.attached_file(stream.index)
                };
                let mut tags = kept_tags(&stream.tags);
                tags.insert("filename".to_owned(), file_name.clone());
                tags.insert("mimetype".to_owned(), mime_type.clone());
                let content = content.unwrap_or_default();
                self.attach(stream, &content);
                self.add_stream(stream, &NewStream::Attachment { content: &content }, &tags)?;
                Ok(Route::Discard)
            }
            // A plan has one video, which is added apart.
            Action::EncodeVideo(_) | Action::Drop => Ok(Route::Discard),
        }
    }

    /// Adds sound that is encoded, which has a `frame_ticks`, or what is copied.
    /// Copied Opus and subtitles come when they come; the others do not wait.
    fn add_timed(
        &mut self,
        source_index: usize,
        index: usize,
        base: TimeBase,
        frame_ticks: Option<i64>,
    ) -> usize {
        let delay = self.muxer.codec_delay(index);
        let samples = TimeBase::new(1, OPUS_RATE_HZ as i32);
        self.add_track(Track {
            source_index,
            index,
            base,
            dense: frame_ticks.is_some(),
            default_duration: frame_ticks.unwrap_or(0),
            lead_ticks: samples.rescale(delay.left_to_us, base),
            earliest_ms: samples.rescale(-delay.added_by_muxer, TimeBase::MILLIS),
            is_video: false,
            kept: Kept::Unknown,
            foretold_bytes: 0,
        })
    }

    /// What a copied stream is certain to bring.
    fn foretell(&mut self, stream: &StreamInfo, track: usize, kept: Kept) {
        let track = &mut self.tracks[track];
        track.kept = kept;
        // Of the containers whose index tells sizes, MP4 and MOV alone read exactly
        // what their index names; in others it is a hint for seeking.
        if kept == Kept::Whole && self.run.job.info.container.contains("mp4") {
            let file_bytes = self.run.job.info.size_bytes;
            let indexed = self.demuxer.indexed(stream.index, file_bytes);
            track.foretold_bytes = indexed.iter().map(|entry| u64::from(entry.bytes)).sum();
        }
    }

    /// A picture that is attached to an MP4 file: a stream with one packet.
    fn add_cover(&mut self, stream: &StreamInfo) -> Result<()> {
        let content = self.demuxer.attached_picture(stream.index);
        let content = content.unwrap_or_default();
        let parameters = self.parameters(stream)?;
        let new = NewStream::Cover {
            parameters: &parameters,
        };
        let index = self.add_stream(stream, &new, &kept_tags(&stream.tags))?;
        self.attach(stream, &content);
        self.covers.push((index, Packet::copy(&content)));
        Ok(())
    }

    fn attach(&mut self, stream: &StreamInfo, content: &[u8]) {
        self.attachments.insert(stream.index, xxh3_64(content));
        self.attached_bytes += content.len() as u64;
    }

    fn add_track(&mut self, track: Track) -> usize {
        self.tracks.push(track);
        self.tracks.len() - 1
    }

    /// A stream for an encoder's packets. Without an encoder nothing is written.
    fn add_encoded(
        &mut self,
        stream: &StreamInfo,
        context: Option<&ffmpeg::codec::Context>,
    ) -> Result<usize> {
        match context {
            Some(context) => {
                let new = NewStream::Encoded { context };
                self.add_stream(stream, &new, &kept_tags(&stream.tags))
            }
            None => Ok(0),
        }
    }

    fn add_stream(
        &mut self,
        stream: &StreamInfo,
        new: &NewStream<'_>,
        tags: &Tags,
    ) -> Result<usize> {
        let container = self.run.container();
        let mut tags = tags.clone();
        if container == Container::Mp4
            && let Some(title) = stream.title()
        {
            // libavformat 5.1 writes no title of a track; players show this instead.
            tags.insert("handler_name".to_owned(), title.to_owned());
        }
        let added = self.muxer.add(new, &tags, stream.disposition);
        let message = format!("cannot be added to the {} file", container.name());
        added.map_err(|e| self.failed(stream, &message, e))
    }

    fn add_file_facts(&mut self) -> Result<()> {
        let run = self.run;
        self.muxer.set_tags(&kept_tags(&run.job.info.tags));
        if !run.segment.is_whole() {
            return Ok(());
        }
        let shift_us = run.job.plan.timestamp_shift_ms.saturating_mul(1000);
        for (id, chapter) in run.job.info.chapters.iter().enumerate() {
            self.muxer
                .add_chapter(id, chapter, shift_us)
                .map_err(|e| run.library_error(ErrorKind::Library, Stage::Mux, "chapters", e))?;
        }
        Ok(())
    }

    fn parameters(&self, stream: &StreamInfo) -> Result<ffmpeg::codec::Parameters> {
        let parameters = self.demuxer.parameters(stream.index);
        parameters
            .ok_or_else(|| self.failed(stream, "has no such stream", ffmpeg::Error::StreamNotFound))
    }

    fn failed(&self, stream: &StreamInfo, message: &str, error: ffmpeg::Error) -> Error {
        self.run
            .library_error(ErrorKind::Library, Stage::Mux, message, error)
            .with_stream(stream.index)
    }
}

pub(super) fn open_decoder(
    run: &Run<'_>,
    demuxer: &Demuxer,
    index: usize,
    threads: Option<u32>,
) -> Result<Decoder> {
    demuxer
        .parameters(index)
        .ok_or(ffmpeg::Error::StreamNotFound)
        .and_then(|parameters| ffi::open_decoder(parameters, demuxer.time_base(index), threads))
        .map_err(|e| {
            run.library_error(
                ErrorKind::UnknownCodec,
                Stage::Decode,
                "cannot be decoded",
                e,
            )
            .with_stream(index)
        })
}

pub(super) fn video_encoder_error(run: &Run<'_>, error: ffmpeg::Error) -> Error {
    let (kind, message) = match error {
        ffmpeg::Error::EncoderNotFound => (
            ErrorKind::EncoderMissing,
            "FFmpeg's libraries lack libsvtav1; `av1cli doctor` tells how to get it",
        ),
        _ => (
            ErrorKind::EncoderRefused,
            "SVT-AV1 refused its settings (preset, CRF, svtav1-params or picture size)",
        ),
    };
    run.library_error(kind, Stage::Encode, message, error)
}

pub(super) fn audio_encoder_error(run: &Run<'_>, error: ffmpeg::Error) -> Error {
    let (kind, message) = match error {
        ffmpeg::Error::EncoderNotFound => (
            ErrorKind::EncoderMissing,
            "FFmpeg's libraries lack libopus; `av1cli doctor` tells how to get it",
        ),
        _ => (
            ErrorKind::EncoderRefused,
            "Opus refused its settings (bit rate or channels)",
        ),
    };
    run.library_error(kind, Stage::Encode, message, error)
}

/// The frame rate, if every frame lasts equally long as far as the header knows.
fn constant_frame_rate(stream: &StreamInfo) -> Option<Ratio> {
    let video = stream.video()?;
    let (average, nominal) = (video.average_frame_rate?, video.nominal_frame_rate?);
    // Average rates come from rounded durations: one in a thousand is rounding.
    let equal = (average.as_f64() / nominal.as_f64() - 1.0).abs() < 1e-3;
    equal.then_some(nominal)
}
