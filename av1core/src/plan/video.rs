//! What becomes of the video stream.

use serde::{Deserialize, Serialize};

use super::options::{BitDepth, EncoderLimits, Options};
use super::{Action, SkipReason, dolby_vision};
use crate::media::{
    Chroma, Colour, ContentLight, DolbyVision, FieldOrder, MasteringDisplay, Orientation,
    StreamInfo, VideoInfo,
};
use crate::units::{Crf, Preset, Ratio};

/// How the video is encoded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VideoSettings {
    /// Picture width of the output.
    pub width: u32,
    /// Picture height of the output.
    pub height: u32,
    /// Shape of a pixel of the output.
    pub sample_aspect_ratio: Option<Ratio>,
    /// Bits per sample of the output, which is always 4:2:0.
    pub bit_depth: BitDepth,
    /// What frames go through before the encoder, in order. Changing the pixel
    /// format is not listed: it follows from source and output.
    pub filters: Vec<VideoFilter>,
    /// Frame rate, for the encoder's rate arithmetic alone: timestamps stay as they are.
    pub frame_rate: Ratio,
    /// Longest distance of two keyframes in frames.
    pub keyframe_interval_frames: u32,
    /// Speed.
    pub preset: Preset,
    /// Quality.
    pub crf: Crf,
    /// Film grain synthesis strength.
    pub film_grain: u8,
    /// How many processors the encoder plans for.
    pub encoder_threads: Option<u32>,
    /// Threads of the decoder.
    pub decoder_threads: Option<u32>,
    /// Further `svtav1-params`.
    pub svtav1_params: Vec<(String, String)>,
    /// Colour description, the source's own.
    pub colour: Colour,
    /// Mastering display, the source's own.
    pub mastering_display: Option<MasteringDisplay>,
    /// Content light level, the source's own.
    pub content_light: Option<ContentLight>,
    /// What each picture's Dolby Vision metadata is carried as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dolby_vision: Option<DolbyVision>,
}

/// A step between decoder and encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "filter", rename_all = "snake_case")]
#[non_exhaustive]
pub enum VideoFilter {
    /// bwdif, one frame out for each frame in; frames that say they are whole stay
    /// as they are.
    Deinterlace,
    /// Turned so that the picture stands upright.
    Turn(Orientation),
}

/// Frames per second assumed where nothing tells: only keyframe distance follows from it.
const FALLBACK_FRAME_RATE: Ratio = Ratio { num: 25, den: 1 };

pub(super) fn settings(
    stream: &StreamInfo,
    video: &VideoInfo,
    options: &Options,
) -> Result<(Action, String), SkipReason> {
    if let Some(reason) = skip_reason(stream, video, options) {
        return Err(reason);
    }
    let mut filters = Vec::new();
    if video.field_order != FieldOrder::Progressive {
        filters.push(VideoFilter::Deinterlace);
    }
    if video.orientation != Orientation::default() {
        filters.push(VideoFilter::Turn(video.orientation));
    }
    let lying = video.orientation.quarter_turns % 2 == 1;
    let (width, height) = if lying {
        (video.height, video.width)
    } else {
        (video.width, video.height)
    };
    let frame_rate = frame_rate(video);
    let settings = VideoSettings {
        width,
        height,
        sample_aspect_ratio: video
            .sample_aspect_ratio
            .map(|r| if lying { inverse(r) } else { r }),
        bit_depth: options.bit_depth,
        filters,
        frame_rate,
        keyframe_interval_frames: keyframe_interval_frames(options.keyframe_interval_s, frame_rate),
        preset: options.preset.unwrap_or_else(|| default_preset(video)),
        crf: options.crf.unwrap_or_else(|| default_crf(video)),
        film_grain: options.film_grain,
        encoder_threads: options.encoder_threads,
        decoder_threads: options.decoder_threads,
        svtav1_params: options.svtav1_params.clone(),
        colour: colour(video),
        mastering_display: video.hdr.mastering_display,
        content_light: video.hdr.content_light,
        dolby_vision: dolby_vision::carried(video, options)
            .filter(|_| dolby_vision::encoder_carries(options)),
    };
    let reason = reason(stream, video, &settings);
    Ok((Action::EncodeVideo(settings), reason))
}

fn skip_reason(stream: &StreamInfo, video: &VideoInfo, options: &Options) -> Option<SkipReason> {
    let allow = options.allow;
    let most_bits = match options.bit_depth {
        BitDepth::Eight => 8,
        BitDepth::Ten => 10,
    };
    if stream.codec == "av1" && !allow.av1 {
        return Some(SkipReason::AlreadyAv1);
    }
    if let Some(reason) = dolby_vision_loss(video, options) {
        return Some(reason);
    }
    if video.hdr.hdr10_plus && !allow.dynamic_hdr_loss {
        return Some(SkipReason::Hdr10Plus);
    }
    if video.alpha && !allow.alpha_loss {
        return Some(SkipReason::AlphaLoss);
    }
    // Gray gains neutral chroma and loses nothing.
    if !matches!(video.chroma, Chroma::Yuv420 | Chroma::Gray) && !allow.chroma_loss {
        return Some(SkipReason::ChromaLoss {
            pixel_format: video.pixel_format.clone(),
        });
    }
    if video.bit_depth > most_bits && !allow.depth_loss {
        return Some(SkipReason::DepthLoss {
            bits: video.bit_depth,
        });
    }
    if video.orientation.odd_angle {
        return Some(SkipReason::OddAngle);
    }
    // HEVC codes every field as a picture (ITU-T H.265, `field_seq_flag`), and
    // libavcodec hands them out as such: twice the frames at half the height.
    if stream.codec == "hevc" && video.field_order != FieldOrder::Progressive {
        return Some(SkipReason::FieldPictures);
    }
    let limits = options.encoder_limits.unwrap_or(EncoderLimits::STRICTEST);
    if limits.even_sizes_only && (video.width % 2 == 1 || video.height % 2 == 1) {
        return Some(SkipReason::OddSize {
            width: video.width,
            height: video.height,
        });
    }
    if video.width.min(video.height) < limits.least_side_pixels {
        return Some(SkipReason::PictureTooSmall {
            width: video.width,
            height: video.height,
        });
    }
    None
}

fn dolby_vision_loss(video: &VideoInfo, options: &Options) -> Option<SkipReason> {
    let profile = video.hdr.dolby_vision_profile?;
    let could_be_carried = dolby_vision::carried(video, options).is_some();
    let is_carried = could_be_carried && dolby_vision::encoder_carries(options);
    (!is_carried && !options.allow.dynamic_hdr_loss).then_some(SkipReason::DolbyVision {
        profile,
        newer_carries: could_be_carried,
    })
}

/// The source's colour description. RGB has no matrix and no range that YUV could
/// keep: it is converted to BT.709, limited (`scale` in the pipeline's filter step).
fn colour(video: &VideoInfo) -> Colour {
    let mut colour = video.colour.clone();
    if video.chroma == Chroma::Rgb {
        colour.matrix = Some("bt709".to_owned());
        colour.range = Some("tv".to_owned());
    }
    colour
}

fn reason(stream: &StreamInfo, video: &VideoInfo, settings: &VideoSettings) -> String {
    let mut reason = format!(
        "{} becomes AV1 (preset {}, CRF {})",
        stream.codec,
        settings.preset.get(),
        settings.crf.get()
    );
    for filter in &settings.filters {
        reason.push_str(match filter {
            VideoFilter::Deinterlace => ", deinterlaced",
            VideoFilter::Turn(_) => ", turned upright",
        });
    }
    if settings.dolby_vision.is_some() {
        reason.push_str(", with its Dolby Vision metadata");
    }
    if video.embedded_captions {
        reason.push_str("; embedded captions (EIA-608/708) are not carried");
    }
    reason
}

fn inverse(ratio: Ratio) -> Ratio {
    Ratio {
        num: ratio.den,
        den: ratio.num,
    }
}

/// The most frames per second SVT-AV1 takes ("maximum allowed frame rate is 240
/// fps", 1.4.1). The number serves rate arithmetic alone, so a broken header or a
/// slow-motion clip loses nothing by it.
const MOST_FRAMES_PER_SECOND: Ratio = Ratio { num: 240, den: 1 };

fn frame_rate(video: &VideoInfo) -> Ratio {
    let declared = video.average_frame_rate.or(video.nominal_frame_rate);
    match declared {
        Some(rate) if rate.as_f64() > 240.0 => MOST_FRAMES_PER_SECOND,
        // Slower than a frame in 100 s is no film but a broken header, which 1.4.1 refuses.
        Some(rate) if rate.as_f64() < 0.01 => FALLBACK_FRAME_RATE,
        Some(rate) => rate,
        None => FALLBACK_FRAME_RATE,
    }
}

fn keyframe_interval_frames(seconds: u32, rate: Ratio) -> u32 {
    let frames = (f64::from(seconds) * rate.as_f64()).round();
    // Below 2 the encoder would be asked for all-intra; above 2^16 its
    // intra_period_length would be meaningless (10 s at 6,500 frames/s).
    frames.clamp(2.0, 65_536.0) as u32
}

/// SVT-AV1's guide (`Docs/CommonQuestions.md`, "What Presets Do") gives 4 to 6 to
/// home libraries that can wait and 7 and up to speed; small pictures can afford
/// one step more.
fn default_preset(video: &VideoInfo) -> Preset {
    Preset(if is_standard_definition(video) { 6 } else { 8 })
}

/// SVT-AV1's own default is 35 (`Docs/Parameters.md`), meant for streaming. The
/// result here takes the place of the source, so we stay below it: lower where
/// the picture is enlarged on the screen (SD), and where HDR shows more of each
/// error; UHD pixels are small.
fn default_crf(video: &VideoInfo) -> Crf {
    let by_size = match () {
        () if is_standard_definition(video) => 28,
        () if video.width.max(video.height) <= 2048 => 30,
        () => 32,
    };
    let hdr = matches!(
        video.colour.transfer.as_deref(),
        Some("smpte2084" | "arib-std-b67")
    );
    Crf(if hdr { by_size - 2 } else { by_size })
}

/// 1024x576, the largest PAL picture with square pixels, is the last SD one.
fn is_standard_definition(video: &VideoInfo) -> bool {
    video.width.max(video.height) <= 1024 && video.width.min(video.height) <= 576
}

pub(super) fn estimated_frames(stream: &StreamInfo, file_duration_us: Option<i64>) -> Option<u64> {
    let by_duration = || {
        let rate = stream.video()?.average_frame_rate?.as_f64();
        let seconds = stream.duration_us.or(file_duration_us)? as f64 / 1e6;
        Some((rate * seconds).round() as u64)
    };
    stream
        .declared_frames
        .or_else(by_duration)
        .filter(|frames| *frames > 0)
}
