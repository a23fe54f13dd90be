//! libsvtav1 and libopus through libavcodec.

use std::ffi::{CString, c_char};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi::*;
use ffmpeg_next::frame::{Audio, Video};
use ffmpeg_next::{Frame, Packet, codec, encoder};

use super::audio::{Layout, OPUS_RATE_HZ};
use super::capabilities::{svt_av1_release, used_preset};
use super::parallel::lp;
use super::{dictionary, dolby_vision, priority};
use crate::media::{Colour, ContentLight, MasteringDisplay};
use crate::plan::{AudioSettings, BitDepth, VideoSettings};
use crate::units::TimeBase;

/// Samples of an Opus frame at 48 kHz: 20 ms, libopus's default and the longest
/// frame its transform layer codes in one piece (RFC 6716, section 2.1.4).
pub(crate) const OPUS_FRAME_SAMPLES: usize = 960;

/// What an encoder answers when asked for a packet.
pub(crate) enum Encoded {
    /// The packet was filled.
    Packet,
    /// It wants another frame first.
    NeedsFrame,
    /// It has given everything.
    End,
}

fn receive(encoder: &mut encoder::Encoder, packet: &mut Packet) -> Result<Encoded, ffmpeg::Error> {
    match encoder.receive_packet(packet) {
        Ok(()) => Ok(Encoded::Packet),
        Err(ffmpeg::Error::Eof) => Ok(Encoded::End),
        Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => {
            Ok(Encoded::NeedsFrame)
        }
        Err(error) => Err(error),
    }
}

/// An opened libsvtav1. Timestamps are in the time base it was opened with.
///
/// Dropping one that has not come to its end takes as long as the frames inside
/// it take to encode: SVT-AV1 cannot be stopped. (1.4.1's `svt_av1_enc_deinit`
/// waits for an end-of-stream packet, for ever where nobody takes the packets
/// before it or where no frame was given.)
pub(crate) struct VideoEncoder {
    encoder: encoder::Encoder,
    progress: Progress,
    wants_dolby_vision: bool,
}

/// How far an encoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    NoFrame,
    Frames,
    EndSent,
    Ended,
}

impl VideoEncoder {
    /// Opens the encoder with `settings`.
    pub(crate) fn open(settings: &VideoSettings, base: TimeBase) -> Result<Self, ffmpeg::Error> {
        super::init();
        let found = encoder::find_by_name("libsvtav1").ok_or(ffmpeg::Error::EncoderNotFound)?;
        let context = codec::Context::new_with_codec(found);
        let mut video = context.encoder().video()?;
        // SAFETY: the context is owned and not opened yet; these are its plain fields.
        unsafe {
            let raw = &mut *video.as_mut_ptr();
            raw.width = i32::try_from(settings.width).unwrap_or(0);
            raw.height = i32::try_from(settings.height).unwrap_or(0);
            raw.pix_fmt = match settings.bit_depth {
                BitDepth::Eight => AVPixelFormat::AV_PIX_FMT_YUV420P,
                BitDepth::Ten => AVPixelFormat::AV_PIX_FMT_YUV420P10LE,
            };
            raw.time_base = rational(base.num, base.den);
            raw.framerate = rational(settings.frame_rate.num, settings.frame_rate.den);
            if let Some(sar) = settings.sample_aspect_ratio {
                raw.sample_aspect_ratio = rational(sar.num, sar.den);
            }
            raw.gop_size = i32::try_from(settings.keyframe_interval_frames).unwrap_or(i32::MAX);
            raw.flags |= AV_CODEC_FLAG_GLOBAL_HEADER as i32;
            // Without it the wrapper asks SVT-AV1 for open GOPs (libsvtav1.c,
            // `intra_refresh_type`, FFmpeg 7.1 and 9.0).
            raw.flags |= AV_CODEC_FLAG_CLOSED_GOP as i32;
            // A parameter that SVT-AV1 does not know is then an error, not a log
            // line (libsvtav1.c, `config_enc_params`, FFmpeg 5.1 and later).
            raw.err_recognition |= AV_EF_EXPLODE;
        }
        let mut options = colour_options(&settings.colour);
        options.push(("preset", used_preset(settings.preset).to_string()));
        options.push(("crf", settings.crf.get().to_string()));
        options.push(("svtav1-params", svtav1_params(settings)));
        if let Some(carried) = settings.dolby_vision {
            options.push(("dolbyvision", "1".to_owned()));
            // SAFETY: the context is owned and not opened yet.
            unsafe { dolby_vision::announce(video.as_mut_ptr(), carried)? };
        }
        let options = dictionary::from_pairs(options);
        let opened = priority::without_real_time(|| video.open_with(options))?;
        Ok(Self {
            encoder: opened.0.0,
            progress: Progress::NoFrame,
            wants_dolby_vision: settings.dolby_vision.is_some(),
        })
    }

    /// The encoder's context, to describe the output stream by.
    pub(crate) fn context(&self) -> &codec::Context {
        &self.encoder
    }

    /// The sequence header and what else goes in front of the stream.
    pub(crate) fn extradata(&self) -> Vec<u8> {
        extradata(&self.encoder)
    }

    /// Whether every frame has to have Dolby Vision's metadata.
    pub(crate) fn wants_dolby_vision(&self) -> bool {
        self.wants_dolby_vision
    }

    /// Gives the encoder a frame. Blocks while the encoder's pool is full.
    pub(crate) fn send(&mut self, frame: &Video) -> Result<(), ffmpeg::Error> {
        self.progress = Progress::Frames;
        self.encoder.send_frame(frame)
    }

    /// Tells the encoder that there is nothing more.
    pub(crate) fn send_end(&mut self) -> Result<(), ffmpeg::Error> {
        if self.progress == Progress::NoFrame {
            // The encoder would never answer; a frame that nobody sees makes it.
            self.send(&self.blank_frame())?;
        }
        self.progress = Progress::EndSent;
        self.encoder.send_eof()
    }

    /// Takes a packet. Blocks after the end was sent.
    pub(crate) fn receive(&mut self, packet: &mut Packet) -> Result<Encoded, ffmpeg::Error> {
        let received = receive(&mut self.encoder, packet)?;
        if matches!(received, Encoded::End) {
            self.progress = Progress::Ended;
        }
        Ok(received)
    }

    fn blank_frame(&self) -> Video {
        // SAFETY: the context is live; these are its plain fields.
        let (format, width, height) = unsafe {
            let raw = &*self.encoder.as_ptr();
            (raw.pix_fmt, raw.width, raw.height)
        };
        let side = |pixels: i32| u32::try_from(pixels).unwrap_or(0);
        let mut frame = Video::new(format.into(), side(width), side(height));
        for plane in 0..frame.planes() {
            frame.data_mut(plane).fill(0);
        }
        frame.set_pts(Some(0));
        frame
    }

    /// Brings the encoder to its end, and throws away what it still gives.
    fn drain(&mut self) -> Result<(), ffmpeg::Error> {
        if self.progress == Progress::NoFrame && self.wants_dolby_vision {
            // It would refuse the frame that nobody sees; those that code the metadata can
            // do without (SVT-AV1 2.3 and 4.2).
            return Ok(());
        }
        if matches!(self.progress, Progress::NoFrame | Progress::Frames) {
            self.send_end()?;
        }
        let mut packet = Packet::empty();
        while self.progress != Progress::Ended {
            if matches!(self.receive(&mut packet)?, Encoded::NeedsFrame) {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Drop for VideoEncoder {
    fn drop(&mut self) {
        if let Err(error) = self.drain() {
            tracing::warn!(%error, "the video encoder did not come to its end");
        }
    }
}

/// The `svtav1-params` of `settings`; the caller's own come last and so win.
///
/// Static HDR metadata goes this way with every FFmpeg. From 7.1 on the wrapper also
/// reads it from the context's `decoded_side_data`, once, before it parses these
/// (libsvtav1.c, `handle_side_data`); that of single frames no version looks at.
fn svtav1_params(settings: &VideoSettings) -> String {
    let mut params = Vec::new();
    if settings.film_grain > 0 {
        params.push(format!("film-grain={}", settings.film_grain));
    }
    if let Some(processors) = settings.encoder_threads {
        params.push(format!("lp={}", lp(processors, svt_av1_release())));
    }
    if let Some(display) = &settings.mastering_display {
        params.push(mastering_param(display));
    }
    if let Some(ContentLight {
        max_content,
        max_frame_average,
    }) = settings.content_light
    {
        params.push(format!("content-light={max_content},{max_frame_average}"));
    }
    params.extend(
        settings
            .svtav1_params
            .iter()
            .map(|(key, value)| format!("{key}={value}")),
    );
    params.join(":")
}

fn mastering_param(display: &MasteringDisplay) -> String {
    let point = |(x, y): (f64, f64)| format!("({x:.5},{y:.5})");
    format!(
        "mastering-display=G{}B{}R{}WP{}L({:.4},{:.4})",
        point(display.green),
        point(display.blue),
        point(display.red),
        point(display.white),
        display.max_luminance,
        display.min_luminance
    )
}

/// The colour description as options of the codec context: libavutil's numbers
/// for H.273's names, which the options take in place of names of their own.
fn colour_options(colour: &Colour) -> Vec<(&'static str, String)> {
    type FromName = unsafe extern "C" fn(*const c_char) -> i32;
    let parts: [(&str, &Option<String>, FromName); 5] = [
        ("color_range", &colour.range, av_color_range_from_name),
        (
            "color_primaries",
            &colour.primaries,
            av_color_primaries_from_name,
        ),
        ("color_trc", &colour.transfer, av_color_transfer_from_name),
        ("colorspace", &colour.matrix, av_color_space_from_name),
        (
            "chroma_sample_location",
            &colour.chroma_location,
            av_chroma_location_from_name,
        ),
    ];
    parts
        .into_iter()
        .filter_map(|(option, name, from_name)| {
            let name = CString::new(name.as_deref()?).ok()?;
            // SAFETY: each function takes a NUL-terminated name and returns its
            // number, or an error code.
            let code = unsafe { from_name(name.as_ptr()) };
            (code >= 0).then(|| (option, code.to_string()))
        })
        .collect()
}

/// An opened libopus. Timestamps are in samples at 48 kHz.
pub(crate) struct OpusEncoder {
    encoder: encoder::Encoder,
    layout: Layout,
}

impl OpusEncoder {
    /// Opens the encoder with `settings`.
    pub(crate) fn open(settings: &AudioSettings) -> Result<Self, ffmpeg::Error> {
        super::init();
        let found = encoder::find_by_name("libopus").ok_or(ffmpeg::Error::EncoderNotFound)?;
        let mut layout = Layout::new(settings.layout.as_deref(), settings.channels)?;
        let context = codec::Context::new_with_codec(found);
        let mut audio = context.encoder().audio()?;
        // SAFETY: the context is owned and not opened yet; these are its plain
        // fields, and the layout is copied.
        unsafe {
            let raw = &mut *audio.as_mut_ptr();
            super::check(av_channel_layout_copy(
                &raw mut raw.ch_layout,
                layout.as_mut_ptr(),
            ))?;
            raw.sample_rate = OPUS_RATE_HZ as i32;
            raw.sample_fmt = AVSampleFormat::AV_SAMPLE_FMT_FLT;
            raw.bit_rate = i64::from(settings.bitrate_kbps) * 1000;
            raw.time_base = rational(1, OPUS_RATE_HZ as i32);
            raw.flags |= AV_CODEC_FLAG_GLOBAL_HEADER as i32;
        }
        // Family 1 is "Vorbis order" (RFC 7845, section 5.1.1.2), 255 "no meaning".
        // Left to itself the wrapper of FFmpeg 5.1 refuses 5.1 (family -1).
        let family = match (&settings.layout, settings.channels) {
            (Some(_), 1 | 2) => "0",
            (Some(_), _) => "1",
            (None, _) => "255",
        };
        let opened = audio.open_with(dictionary::from_pairs([("mapping_family", family)]))?;
        Ok(Self {
            encoder: opened.0.0,
            layout,
        })
    }

    /// The encoder's context, to describe the output stream by.
    pub(crate) fn context(&self) -> &codec::Context {
        &self.encoder
    }

    /// Number of channels.
    pub(crate) fn channels(&self) -> usize {
        self.layout.channels() as usize
    }

    /// Encodes `samples` (packed, at most one Opus frame; fewer only at the end)
    /// that start at `pts`.
    pub(crate) fn send(&mut self, samples: &[f32], pts: i64) -> Result<(), ffmpeg::Error> {
        let mut frame = Audio::empty();
        // SAFETY: an empty owned frame gets its format and a buffer of its own;
        // packed samples live in the first plane, which holds at least
        // `nb_samples` times the channels; `samples` is exactly that long.
        unsafe {
            let raw = &mut *frame.as_mut_ptr();
            raw.format = AVSampleFormat::AV_SAMPLE_FMT_FLT as i32;
            raw.sample_rate = OPUS_RATE_HZ as i32;
            raw.nb_samples = i32::try_from(samples.len() / self.channels()).unwrap_or(0);
            raw.pts = pts;
            super::check(av_channel_layout_copy(
                &raw mut raw.ch_layout,
                self.layout.as_mut_ptr(),
            ))?;
            super::check(av_frame_get_buffer(frame.as_mut_ptr(), 0))?;
            let floats = (*frame.as_mut_ptr()).data[0].cast::<f32>();
            let whole = samples.len() / self.channels() * self.channels();
            std::ptr::copy_nonoverlapping(samples.as_ptr(), floats, whole);
        }
        let frame: &Frame = &frame;
        self.encoder.send_frame(frame)
    }

    /// Tells the encoder that there is nothing more.
    pub(crate) fn send_end(&mut self) -> Result<(), ffmpeg::Error> {
        self.encoder.send_eof()
    }

    /// Takes a packet.
    pub(crate) fn receive(&mut self, packet: &mut Packet) -> Result<Encoded, ffmpeg::Error> {
        receive(&mut self.encoder, packet)
    }
}

/// What goes in front of a stream, as its coder has it.
pub(super) fn extradata(context: &codec::Context) -> Vec<u8> {
    // SAFETY: the context is live, and its extradata holds `extradata_size` bytes.
    unsafe {
        let raw = &*context.as_ptr();
        if raw.extradata.is_null() {
            return Vec::new();
        }
        let size = usize::try_from(raw.extradata_size).unwrap_or(0);
        std::slice::from_raw_parts(raw.extradata, size).to_vec()
    }
}

fn rational(num: i32, den: i32) -> AVRational {
    AVRational { num, den }
}

#[cfg(test)]
mod tests;
