//! Opens everything a run needs, and writes the output's header.

use std::fs::File;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::Packet;

use super::audio;
use super::demux::{Route, packet_queue};
use super::mux::{Muxed, Track, muxer_queue, write_error};
use super::queue::{Receiver, Sender};
use super::{Run, encoder_name};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::ffi::{
    self, Decoder, Demuxer, Muxer, NewStream, OPUS_FRAME_SAMPLES, OPUS_RATE_HZ, OpusEncoder,
    SrtConverter, VideoEncoder,
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
    pub(super) video_encoder: VideoEncoder,
    pub(super) video_track: usize,
    pub(super) settings: &'a VideoSettings,
    pub(super) audio: Vec<Voice<'a>>,
    pub(super) muxer: Muxer,
    pub(super) tracks: Vec<Track>,
    pub(super) to_muxer: Sender<Muxed>,
    pub(super) muxed: Receiver<Muxed>,
}

/// An audio track, ready to go.
pub(super) struct Voice<'a> {
    pub(super) track: audio::Track<'a>,
    pub(super) decoder: Decoder,
    pub(super) encoder: OpusEncoder,
    pub(super) packets: Receiver<Packet>,
}

pub(super) fn open<'a>(run: &Run<'a>, file: File) -> Result<Setup<'a>> {
    let demuxer = probe::open(run.job.source, Stage::Demux, run.job.cancel)?;
    if demuxer.stream_count() != run.job.plan.streams.len() {
        let message = "changed since it was looked at; try again";
        return Err(run.error(ErrorKind::Unreadable, Stage::Demux, message));
    }
    let Some((index, settings)) = run.video() else {
        return Err(run.error(ErrorKind::NoVideo, Stage::Plan, "the plan has no video"));
    };
    let video_decoder = open_decoder(run, &demuxer, index, settings.decoder_threads)?;
    // Opening the encoder cannot be cut short, and takes seconds on a busy machine.
    if run.stop.check().is_err() {
        return Err(Error::cancelled(Stage::Encode, run.job.source));
    }
    let video_encoder =
        VideoEncoder::open(settings, run.video_base()).map_err(|e| video_encoder_error(run, e))?;
    let muxer = Muxer::new(file)
        .map_err(|e| run.library_error(ErrorKind::Library, Stage::Mux, "no Matroska muxer", e))?;
    let (packets_in, packets) = packet_queue(&run.stop);
    let (to_muxer, muxed) = muxer_queue(&run.stop);
    let mut opener = Opener {
        run,
        demuxer: &demuxer,
        muxer,
        tracks: Vec::new(),
        audio: Vec::new(),
        to_muxer: &to_muxer,
    };
    let mut video_track = 0;
    let mut packets_in = Some(packets_in);
    let mut routes = Vec::new();
    for stream in &run.job.info.streams {
        let route = if stream.index == index {
            video_track = opener.add_video(stream, &video_encoder, settings)?;
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
        ..
    } = opener;
    muxer
        .write_header()
        .map_err(|e| write_error(run, &muxer, e))?;
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
        to_muxer,
        muxed,
    })
}

/// Adds the streams one after the other.
struct Opener<'r, 'a> {
    run: &'r Run<'a>,
    demuxer: &'r Demuxer,
    muxer: Muxer,
    tracks: Vec<Track>,
    audio: Vec<Voice<'a>>,
    to_muxer: &'r Sender<Muxed>,
}

impl<'a> Opener<'_, 'a> {
    fn add_video(
        &mut self,
        stream: &StreamInfo,
        encoder: &VideoEncoder,
        settings: &VideoSettings,
    ) -> Result<usize> {
        let mut tags = stream_tags(stream);
        tags.insert("ENCODER".to_owned(), encoder_tag(settings));
        let new = NewStream::Encoded {
            context: encoder.context(),
            frame_rate: constant_frame_rate(stream),
        };
        let index = self.add_stream(stream, &new, &tags)?;
        Ok(self.add_track(Track {
            index,
            base: self.run.video_base(),
            dense: true,
            default_duration: self.run.frame_ticks(),
            lead_ticks: 0,
            earliest_ms: 0,
            is_video: true,
        }))
    }

    fn add(&mut self, stream: &StreamInfo) -> Result<Route> {
        let run = self.run;
        let action = &run.job.plan.streams[stream.index].action;
        let base = self.demuxer.time_base(stream.index);
        match action {
            Action::EncodeAudio(settings) => {
                let encoder = OpusEncoder::open(settings)
                    .map_err(|e| audio_encoder_error(run, e).with_stream(stream.index))?;
                let decoder = open_decoder(run, self.demuxer, stream.index, Some(1))?;
                let new = NewStream::Encoded {
                    context: encoder.context(),
                    frame_rate: None,
                };
                let index = self.add_stream(stream, &new, &stream_tags(stream))?;
                let ticks = TimeBase::new(1, OPUS_RATE_HZ as i32);
                let track = self.add_timed(index, ticks, Some(OPUS_FRAME_SAMPLES as i64));
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
            Action::Copy => {
                let parameters = self.parameters(stream)?;
                let new = NewStream::Copied {
                    parameters: &parameters,
                };
                let index = self.add_stream(stream, &new, &stream_tags(stream))?;
                let track = self.add_timed(index, base, None);
                Ok(Route::Copy(self.to_muxer.clone(), track))
            }
            Action::ConvertSubtitle => {
                let converter = SrtConverter::new(self.parameters(stream)?, base)
                    .map_err(|e| self.failed(stream, "cannot convert subtitles", e))?;
                let index = self.add_stream(stream, &NewStream::Srt, &stream_tags(stream))?;
                let track = self.add_timed(index, base, None);
                Ok(Route::Srt(
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
                let mut tags = stream_tags(stream);
                tags.insert("filename".to_owned(), file_name.clone());
                tags.insert("mimetype".to_owned(), mime_type.clone());
                let content = content.unwrap_or_default();
                self.add_stream(stream, &NewStream::Attachment { content: &content }, &tags)?;
                Ok(Route::Discard)
            }
            // A plan has one video, which is added apart.
            Action::EncodeVideo(_) | Action::Drop => Ok(Route::Discard),
        }
    }

    /// Adds sound that is encoded, which has a `frame_ticks`, or what is copied.
    /// Copied Opus and subtitles come when they come; the others do not wait.
    fn add_timed(&mut self, index: usize, base: TimeBase, frame_ticks: Option<i64>) -> usize {
        let delay = self.muxer.codec_delay(index);
        let samples = TimeBase::new(1, OPUS_RATE_HZ as i32);
        self.add_track(Track {
            index,
            base,
            dense: frame_ticks.is_some(),
            default_duration: frame_ticks.unwrap_or(0),
            lead_ticks: samples.rescale(delay.left_to_us, base),
            earliest_ms: samples.rescale(-delay.added_by_muxer, TimeBase::MILLIS),
            is_video: false,
        })
    }

    fn add_track(&mut self, track: Track) -> usize {
        self.tracks.push(track);
        self.tracks.len() - 1
    }

    fn add_stream(
        &mut self,
        stream: &StreamInfo,
        new: &NewStream<'_>,
        tags: &Tags,
    ) -> Result<usize> {
        let added = self.muxer.add(new, tags, stream.disposition);
        added.map_err(|e| self.failed(stream, "cannot be added to a Matroska file", e))
    }

    fn add_file_facts(&mut self) -> Result<()> {
        let run = self.run;
        self.muxer.set_tags(&file_tags(&run.job.info.tags));
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

fn open_decoder(
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

fn video_encoder_error(run: &Run<'_>, error: ffmpeg::Error) -> Error {
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

fn audio_encoder_error(run: &Run<'_>, error: ffmpeg::Error) -> Error {
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

/// The settings that made the stream, for whoever finds the file later.
fn encoder_tag(settings: &VideoSettings) -> String {
    format!(
        "av1core {} libsvtav1 ({}) preset={} crf={}",
        env!("CARGO_PKG_VERSION"),
        encoder_name(),
        ffi::used_preset(settings.preset),
        settings.crf.get()
    )
}

/// The frame rate, if every frame lasts equally long as far as the header knows.
fn constant_frame_rate(stream: &StreamInfo) -> Option<Ratio> {
    let video = stream.video()?;
    let (average, nominal) = (video.average_frame_rate?, video.nominal_frame_rate?);
    // Average rates come from rounded durations: one in a thousand is rounding.
    let equal = (average.as_f64() / nominal.as_f64() - 1.0).abs() < 1e-3;
    equal.then_some(nominal)
}

/// Tags that say how the source was made or muxed, which is no longer true.
const STALE_TAGS: [&str; 9] = [
    "bps",
    "compatible_brands",
    "duration",
    "encoder",
    "major_brand",
    "minor_version",
    "number_of_bytes",
    "number_of_frames",
    "vendor_id",
];

fn is_stale(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    // mkvmerge's statistics come with a language behind the key (`BPS-eng`).
    let name = key.split('-').next().unwrap_or(&key);
    name.starts_with("_statistics") || STALE_TAGS.contains(&name)
}

fn stream_tags(stream: &StreamInfo) -> Tags {
    file_tags(&stream.tags)
}

fn file_tags(tags: &Tags) -> Tags {
    let kept = tags.iter().filter(|(key, _)| !is_stale(key));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_the_old_stream_are_not_kept() {
        for stale in [
            "BPS",
            "BPS-eng",
            "DURATION",
            "_STATISTICS_TAGS-eng",
            "encoder",
        ] {
            assert!(is_stale(stale), "{stale}");
        }
        for kept in ["title", "language", "creation_time", "bps_note"] {
            assert!(!is_stale(kept), "{kept}");
        }
    }
}
