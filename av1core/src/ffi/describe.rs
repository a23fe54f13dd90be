//! libavformat's stream descriptions as plain data.

use std::ffi::{CStr, c_char};

use ffmpeg_next::ffi::*;
use ffmpeg_next::format::context::Input;
use ffmpeg_next::packet::side_data::Type as SideType;
use ffmpeg_next::{Stream, decoder};

use super::hdr::{content_light, mastering_display};
use super::{dictionary, muxer};
use crate::media::{
    AttachmentInfo, AudioInfo, Chapter, Chroma, Colour, Disposition, FieldOrder, Hdr, Orientation,
    StreamInfo, StreamKind, SubtitleInfo, VideoInfo,
};
use crate::units::{Ratio, TimeBase};

/// Everything the container says of one stream.
pub(crate) fn stream_info(stream: &Stream<'_>) -> StreamInfo {
    let base = stream.time_base();
    let time_base = TimeBase::new(base.numerator(), base.denominator());
    let parameters = stream.parameters();
    // SAFETY: the stream and its parameters live as long as the input that
    // `stream` borrows from.
    let (raw, par) = unsafe { (&*stream.as_ptr(), &*parameters.as_ptr()) };
    let micros = |t: i64| (t != AV_NOPTS_VALUE).then(|| time_base.micros(t));
    let kind = match par.codec_type {
        AVMediaType::AVMEDIA_TYPE_VIDEO => StreamKind::Video(video_info(stream, par)),
        AVMediaType::AVMEDIA_TYPE_AUDIO => StreamKind::Audio(audio_info(par)),
        AVMediaType::AVMEDIA_TYPE_SUBTITLE => StreamKind::Subtitle(subtitle_info(par)),
        AVMediaType::AVMEDIA_TYPE_ATTACHMENT => StreamKind::Attachment(AttachmentInfo {
            file_name: None,
            mime_type: None,
            size_bytes: u64::try_from(par.extradata_size).unwrap_or(0),
        }),
        _ => StreamKind::Data,
    };
    // SAFETY: the dictionary belongs to the live stream.
    let tags = unsafe { dictionary::read(raw.metadata) };
    let mut info = StreamInfo {
        index: stream.index(),
        // SAFETY: the name is a static string for every id.
        codec: unsafe { text(avcodec_get_name(par.codec_id)) }.unwrap_or_default(),
        // SAFETY: the name is a static string or null.
        profile: unsafe { text(avcodec_profile_name(par.codec_id, par.profile)) },
        decodable: decoder::find(parameters.id()).is_some(),
        matroska_holds: muxer::holds(&parameters),
        encrypted: stream.side_data().any(|data| {
            matches!(
                data.kind(),
                SideType::EncryptionInitInfo | SideType::EncryptionInfo
            )
        }),
        is_empty: false,
        time_base,
        start_us: micros(raw.start_time),
        duration_us: micros(raw.duration).filter(|d| *d > 0),
        declared_frames: u64::try_from(raw.nb_frames).ok().filter(|n| *n > 0),
        bit_rate_bps: u64::try_from(par.bit_rate).ok().filter(|n| *n > 0),
        disposition: disposition(raw.disposition),
        tags,
        kind,
    };
    let tag = |key| info.tags.get(key).cloned();
    match &mut info.kind {
        StreamKind::Attachment(attachment) => {
            attachment.file_name = tag("filename");
            attachment.mime_type = tag("mimetype");
        }
        // WebM keeps the transparency of VP8 and VP9 beside the picture, where
        // libavcodec's own decoders do not look; the demuxer tells by a tag.
        StreamKind::Video(video) => {
            video.alpha |= tag("alpha_mode").is_some_and(|mode| mode == "1");
        }
        _ => {}
    }
    info
}

fn video_info(stream: &Stream<'_>, par: &AVCodecParameters) -> VideoInfo {
    let pixel = pixel_facts(par.format);
    let mut hdr = Hdr::default();
    let mut orientation = Orientation::default();
    for data in stream.side_data() {
        match data.kind() {
            SideType::DisplayMatrix => orientation = orientation_of(data.data()),
            SideType::MasteringDisplayMetadata => {
                hdr.mastering_display = mastering_display(data.data());
            }
            SideType::ContentLightLevel => hdr.content_light = content_light(data.data()),
            // The configuration record, a byte each: version, its minor part, profile, level,
            // presence of RPUs, of an enhancement and of a base layer, compatibility
            // (libavutil/dovi_meta.h, the same from FFmpeg 4.4 to 9).
            SideType::DOVI_CONF => {
                hdr.dolby_vision_profile = data.data().get(2).copied();
                hdr.dolby_vision_compatibility = data.data().get(7).copied();
            }
            _ => {}
        }
    }
    let sar = if stream_sar(stream).is_some() {
        stream_sar(stream)
    } else {
        Ratio::new(par.sample_aspect_ratio.num, par.sample_aspect_ratio.den)
    };
    let ratio = |r: ffmpeg_next::Rational| Ratio::new(r.numerator(), r.denominator());
    VideoInfo {
        width: u32::try_from(par.width).unwrap_or(0),
        height: u32::try_from(par.height).unwrap_or(0),
        pixel_format: pixel.name,
        bit_depth: pixel.bit_depth,
        chroma: pixel.chroma,
        alpha: pixel.alpha,
        sample_aspect_ratio: sar.filter(|r| r.num != r.den),
        average_frame_rate: ratio(stream.avg_frame_rate()),
        nominal_frame_rate: ratio(stream.rate()),
        field_order: match par.field_order {
            AVFieldOrder::AV_FIELD_TT | AVFieldOrder::AV_FIELD_BT => FieldOrder::TopFirst,
            AVFieldOrder::AV_FIELD_BB | AVFieldOrder::AV_FIELD_TB => FieldOrder::BottomFirst,
            _ => FieldOrder::Progressive,
        },
        colour: Colour {
            range: pixel
                .full_range
                .then(|| "pc".to_owned())
                .or_else(|| colour_range(par.color_range)),
            ..colour(par)
        },
        hdr,
        orientation,
        embedded_captions: false,
        first_frame_ticks: None,
    }
}

fn stream_sar(stream: &Stream<'_>) -> Option<Ratio> {
    // SAFETY: the stream lives as long as the input that `stream` borrows from.
    let sar = unsafe { (*stream.as_ptr()).sample_aspect_ratio };
    Ratio::new(sar.num, sar.den)
}

/// Names of H.273 code points; what is unspecified has none.
fn colour(par: &AVCodecParameters) -> Colour {
    let known = |name: Option<String>| name.filter(|n| n != "unknown" && n != "unspecified");
    // SAFETY: each of these returns a static string, or null for a number it does not know.
    unsafe {
        Colour {
            range: colour_range(par.color_range),
            primaries: known(text(av_color_primaries_name(par.color_primaries))),
            transfer: known(text(av_color_transfer_name(par.color_trc))),
            matrix: known(text(av_color_space_name(par.color_space))),
            chroma_location: known(text(av_chroma_location_name(par.chroma_location))),
        }
    }
}

fn colour_range(range: AVColorRange) -> Option<String> {
    // SAFETY: a static string, or null for a number it does not know.
    unsafe { text(av_color_range_name(range)) }.filter(|n| n != "unknown")
}

pub(super) struct PixelFacts {
    pub(super) name: String,
    pub(super) bit_depth: u8,
    pub(super) chroma: Chroma,
    pub(super) alpha: bool,
    /// The format itself says full range (`yuvj420p` and its like).
    pub(super) full_range: bool,
}

/// What a pixel format is, by its number in libavutil (as `AVCodecParameters.format` holds it).
pub(super) fn pixel_facts(format: i32) -> PixelFacts {
    let format = ffmpeg_next::format::Pixel::from(raw_pixel_format(format));
    // SAFETY: returns a static descriptor, or null for a format it does not know.
    let descriptor = unsafe { av_pix_fmt_desc_get(AVPixelFormat::from(format)).as_ref() };
    let Some(descriptor) = descriptor else {
        return PixelFacts {
            name: "none".to_owned(),
            bit_depth: 8,
            chroma: Chroma::Other,
            alpha: false,
            full_range: false,
        };
    };
    let flag = |bit: i64| descriptor.flags & bit as u64 != 0;
    let chroma = match (descriptor.log2_chroma_w, descriptor.log2_chroma_h) {
        _ if flag(AV_PIX_FMT_FLAG_RGB.into()) || flag(AV_PIX_FMT_FLAG_PAL.into()) => Chroma::Rgb,
        _ if descriptor.nb_components < 3 => Chroma::Gray,
        (1, 1) => Chroma::Yuv420,
        (1, 0) => Chroma::Yuv422,
        (0, 0) => Chroma::Yuv444,
        _ => Chroma::Other,
    };
    // SAFETY: the descriptor's name is a static string.
    let name = unsafe { text(descriptor.name) }.unwrap_or_default();
    PixelFacts {
        bit_depth: u8::try_from(descriptor.comp[0].depth).unwrap_or(8),
        chroma,
        alpha: flag(AV_PIX_FMT_FLAG_ALPHA.into()),
        full_range: name.starts_with("yuvj"),
        name,
    }
}

/// The enum value of a format's number, `NONE` where this build of the bindings
/// does not have it: a Rust enum must hold no other.
fn raw_pixel_format(format: i32) -> AVPixelFormat {
    // SAFETY: `av_get_pix_fmt_name` takes any number; here it is only asked
    // whether the number is known to the library the bindings were made from.
    let known = format >= 0 && format < AVPixelFormat::AV_PIX_FMT_NB as i32;
    if known {
        // SAFETY: bindgen's enum has a variant for every number from 0 to NB,
        // since libavutil numbers its formats without gaps.
        unsafe { std::mem::transmute::<i32, AVPixelFormat>(format) }
    } else {
        AVPixelFormat::AV_PIX_FMT_NONE
    }
}

fn audio_info(par: &AVCodecParameters) -> AudioInfo {
    AudioInfo {
        sample_rate_hz: u32::try_from(par.sample_rate).unwrap_or(0),
        channels: u32::try_from(par.ch_layout.nb_channels).unwrap_or(0),
        layout: layout_name(&par.ch_layout),
        begins_as: None,
    }
}

fn subtitle_info(par: &AVCodecParameters) -> SubtitleInfo {
    // SAFETY: a static description, or null for a codec without one.
    let descriptor = unsafe { avcodec_descriptor_get(par.codec_id).as_ref() };
    let text = |d: &AVCodecDescriptor| d.props & AV_CODEC_PROP_TEXT_SUB != 0;
    SubtitleInfo {
        text: descriptor.is_some_and(text),
    }
}

/// A layout's name; an unnamed one gets the usual layout of its channel count, as
/// the `ffmpeg` command guesses it.
pub(super) fn layout_name(layout: &AVChannelLayout) -> String {
    let mut guess = AVChannelLayout {
        order: AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC,
        nb_channels: layout.nb_channels,
        ..*layout
    };
    let mut named = layout;
    if layout.order == AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC {
        // SAFETY: overwrites a plain struct; default layouts own no memory.
        unsafe { av_channel_layout_default(&raw mut guess, layout.nb_channels) };
        named = &guess;
    }
    let mut buffer = [0u8; 128];
    // SAFETY: writes at most `buffer.len()` bytes, NUL included.
    let code = unsafe {
        av_channel_layout_describe(named, buffer.as_mut_ptr().cast::<c_char>(), buffer.len())
    };
    if code < 0 {
        return String::new();
    }
    CStr::from_bytes_until_nul(&buffer)
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn disposition(bits: i32) -> Disposition {
    let has = |bit: u32| bits & bit as i32 != 0;
    Disposition {
        default: has(AV_DISPOSITION_DEFAULT as u32),
        forced: has(AV_DISPOSITION_FORCED as u32),
        original: has(AV_DISPOSITION_ORIGINAL as u32),
        dub: has(AV_DISPOSITION_DUB as u32),
        commentary: has(AV_DISPOSITION_COMMENT as u32),
        hearing_impaired: has(AV_DISPOSITION_HEARING_IMPAIRED as u32),
        visual_impaired: has(AV_DISPOSITION_VISUAL_IMPAIRED as u32),
        descriptions: has(AV_DISPOSITION_DESCRIPTIONS as u32),
        captions: has(AV_DISPOSITION_CAPTIONS as u32),
        lyrics: has(AV_DISPOSITION_LYRICS as u32),
        karaoke: has(AV_DISPOSITION_KARAOKE as u32),
        clean_effects: has(AV_DISPOSITION_CLEAN_EFFECTS as u32),
        dependent: has(AV_DISPOSITION_DEPENDENT as u32),
        attached_picture: has(AV_DISPOSITION_ATTACHED_PIC as u32),
    }
}

/// The turn that a display matrix (nine 32-bit integers) asks for. The matrix maps
/// a point (x, y) to (a x + c y, b x + d y), y pointing down.
fn orientation_of(bytes: &[u8]) -> Orientation {
    let at = |i: usize| {
        let bytes = bytes.get(i * 4..i * 4 + 4)?;
        bytes.try_into().ok().map(i32::from_ne_bytes)
    };
    let (Some(a), Some(b), Some(c), Some(d)) = (at(0), at(1), at(3), at(4)) else {
        return Orientation::default();
    };
    let turn = |quarter_turns, mirrored| Orientation {
        quarter_turns,
        mirrored,
        odd_angle: false,
    };
    match (a.signum(), b.signum(), c.signum(), d.signum()) {
        // An all-zero matrix is a damaged header, not a turn.
        (1, 0, 0, 1) | (0, 0, 0, 0) => turn(0, false),
        (0, 1, -1, 0) => turn(1, false),
        (-1, 0, 0, -1) => turn(2, false),
        (0, -1, 1, 0) => turn(3, false),
        (-1, 0, 0, 1) => turn(0, true),
        (0, -1, -1, 0) => turn(1, true),
        (1, 0, 0, -1) => turn(2, true),
        (0, 1, 1, 0) => turn(3, true),
        _ => Orientation {
            odd_angle: true,
            ..Orientation::default()
        },
    }
}

/// The chapters of a file.
pub(crate) fn chapters(input: &Input) -> Vec<Chapter> {
    // SAFETY: the context is live for as long as `input`, and has `nb_chapters`
    // chapter pointers.
    let raw = unsafe {
        let context = &*input.as_ptr();
        if context.nb_chapters == 0 {
            return Vec::new();
        }
        std::slice::from_raw_parts(context.chapters, context.nb_chapters as usize)
    };
    raw.iter()
        .map(|chapter| {
            // SAFETY: each pointer is a live chapter of the context.
            let chapter = unsafe { &**chapter };
            let base = TimeBase::new(chapter.time_base.num, chapter.time_base.den);
            // SAFETY: the dictionary belongs to the live chapter.
            let tags = unsafe { dictionary::read(chapter.metadata) };
            Chapter {
                start_us: base.micros(chapter.start),
                end_us: base.micros(chapter.end),
                title: tags.get("title").cloned(),
            }
        })
        .collect()
}

/// # Safety
/// `string` is null or a NUL-terminated string.
unsafe fn text(string: *const c_char) -> Option<String> {
    if string.is_null() {
        return None;
    }
    // SAFETY: not null, and NUL-terminated by this function's contract.
    Some(
        unsafe { CStr::from_ptr(string) }
            .to_string_lossy()
            .into_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(values: [i32; 9]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_ne_bytes()).collect()
    }

    /// The matrix `av_display_rotation_set` makes for a clockwise angle, read back.
    fn rotated(degrees: f64) -> Orientation {
        let mut raw = [0i32; 9];
        // SAFETY: writes nine integers.
        unsafe { av_display_rotation_set(raw.as_mut_ptr(), degrees) };
        orientation_of(&matrix(raw))
    }

    #[test]
    fn quarter_turns_of_libavutil_are_read_back() {
        assert_eq!(rotated(0.0), Orientation::default());
        assert_eq!(rotated(90.0).quarter_turns, 1);
        assert_eq!(rotated(180.0).quarter_turns, 2);
        assert_eq!(rotated(-90.0).quarter_turns, 3);
        assert!(rotated(30.0).odd_angle);
    }

    #[test]
    fn a_flip_is_a_mirror() {
        let one = 1 << 16;
        let flipped = orientation_of(&matrix([-one, 0, 0, 0, one, 0, 0, 0, 1 << 30]));
        assert!(flipped.mirrored && flipped.quarter_turns == 0);
    }

    #[test]
    fn a_number_that_is_no_pixel_format_is_none() {
        assert_eq!(pixel_facts(-1).name, "none");
        assert_eq!(pixel_facts(i32::MAX).name, "none");
        assert_eq!(pixel_facts(0).name, "yuv420p");
    }
}
