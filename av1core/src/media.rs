//! What a media file holds: plain data, made by [`probe`](crate::probe), read by
//! [`plan`](crate::plan). Durations and start times are in microseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::units::{Ratio, TimeBase};

/// Tags by their key, as the container spells it.
pub type Tags = BTreeMap<String, String>;

/// Everything the plan needs to know about a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MediaInfo {
    /// Short name of the container by libavformat, such as `matroska,webm`.
    pub container: String,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// Duration as the container declares it; a long subtitle can stretch it.
    pub duration_us: Option<i64>,
    /// The container declares no duration: `duration_us` is guessed from bit rates.
    pub duration_is_guess: bool,
    /// Earliest start among the streams.
    pub start_us: Option<i64>,
    /// The streams in the container's order; `streams[i].index == i`.
    pub streams: Vec<StreamInfo>,
    /// Chapters in the container's order.
    pub chapters: Vec<Chapter>,
    /// Tags of the file as a whole.
    pub tags: Tags,
}

impl MediaInfo {
    /// The video that is the film: the default one, else the first; never cover art.
    #[must_use]
    pub fn main_video(&self) -> Option<&StreamInfo> {
        let videos = || self.streams.iter().filter(|s| s.video().is_some());
        let default = videos().find(|s| s.disposition.default);
        default.or_else(|| videos().next())
    }
}

/// One stream of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Position in the container.
    pub index: usize,
    /// Name of the codec by libavcodec, such as `h264`; `none` where it is unknown.
    pub codec: String,
    /// Profile by libavcodec, such as `High`.
    pub profile: Option<String>,
    /// Whether the linked libavcodec has a decoder for it.
    pub decodable: bool,
    /// Whether libavformat's Matroska muxer takes its packets as they are.
    pub matroska_holds: bool,
    /// Whether the samples are encrypted.
    pub encrypted: bool,
    /// The header declares it, and no packet of it is in the whole file. Looked for
    /// where it is sound of which nothing is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_empty: bool,
    /// Length of one timestamp tick.
    pub time_base: TimeBase,
    /// Start as the container declares it.
    pub start_us: Option<i64>,
    /// Duration as the container declares it for this stream.
    pub duration_us: Option<i64>,
    /// Number of packets (often frames) as the container declares it.
    pub declared_frames: Option<u64>,
    /// Bit rate in bits per second, where the container or codec declares it.
    pub bit_rate_bps: Option<u64>,
    /// Dispositions.
    pub disposition: Disposition,
    /// Tags of the stream; `language` and `title` among them.
    pub tags: Tags,
    /// What kind of stream it is, and what only that kind has.
    pub kind: StreamKind,
}

impl StreamInfo {
    /// The language tag, where there is one that says something.
    #[must_use]
    pub fn language(&self) -> Option<&str> {
        self.tag("language").filter(|l| *l != "und")
    }

    /// The title tag.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        self.tag("title")
    }

    /// Whether it is sound that could be decoded, if only some of it had been found.
    pub(crate) fn is_unknown_sound(&self) -> bool {
        let unknown = |audio: &AudioInfo| audio.channels == 0 || audio.sample_rate_hz == 0;
        self.decodable && self.audio().is_some_and(unknown)
    }

    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        self.tags
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, v)| v.as_str())
    }

    /// The video facts, where this is a stream of moving pictures (not cover art).
    #[must_use]
    pub fn video(&self) -> Option<&VideoInfo> {
        match &self.kind {
            StreamKind::Video(video) if !self.disposition.attached_picture => Some(video),
            _ => None,
        }
    }

    /// The audio facts, where this is an audio stream.
    #[must_use]
    pub fn audio(&self) -> Option<&AudioInfo> {
        match &self.kind {
            StreamKind::Audio(audio) => Some(audio),
            _ => None,
        }
    }
}

/// The kind of a stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "a file has a handful of streams, and most are video or audio"
)]
#[non_exhaustive]
pub enum StreamKind {
    /// Pictures, cover art included.
    Video(VideoInfo),
    /// Sound.
    Audio(AudioInfo),
    /// Subtitles.
    Subtitle(SubtitleInfo),
    /// An attached file, such as a font.
    Attachment(AttachmentInfo),
    /// Anything else: timecodes, hints, telemetry.
    Data,
}

/// What only a video stream has.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VideoInfo {
    /// Picture width in pixels, before the sample aspect ratio and rotation.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Pixel format by libavutil, such as `yuv420p10le`.
    pub pixel_format: String,
    /// Bits per sample of the luma plane.
    pub bit_depth: u8,
    /// Chroma layout.
    pub chroma: Chroma,
    /// Whether there is an alpha plane.
    pub alpha: bool,
    /// Shape of a pixel; `None` means square or unknown.
    pub sample_aspect_ratio: Option<Ratio>,
    /// Average frame rate in frames per second.
    pub average_frame_rate: Option<Ratio>,
    /// Frame rate of which every timestamp is a multiple, by libavformat's guess.
    pub nominal_frame_rate: Option<Ratio>,
    /// Field order, from the header and from the first decoded frames.
    pub field_order: FieldOrder,
    /// Colour description.
    pub colour: Colour,
    /// HDR metadata, from the container and from the first decoded frames.
    pub hdr: Hdr,
    /// How the picture must be turned to stand upright.
    pub orientation: Orientation,
    /// Whether the first frames carry embedded captions (EIA-608/708).
    pub embedded_captions: bool,
    /// Presentation time of the first decoded frame, in ticks of the stream's time base.
    pub first_frame_ticks: Option<i64>,
}

/// Chroma layout of a pixel format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Chroma {
    /// Half the chroma samples in both directions: what the encoder takes.
    Yuv420,
    /// Half the chroma samples in one direction.
    Yuv422,
    /// As many chroma as luma samples.
    Yuv444,
    /// No chroma.
    Gray,
    /// Red, green, blue or a palette.
    Rgb,
    /// Anything else, 4:1:1 and 4:1:0 among it.
    Other,
}

/// Field order of a video stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FieldOrder {
    /// Whole frames.
    Progressive,
    /// Interlaced, top field shown first.
    TopFirst,
    /// Interlaced, bottom field shown first.
    BottomFirst,
}

/// Colour description by libavutil's names (ITU-T H.273); `None` means unspecified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Colour {
    /// `tv` (limited) or `pc` (full).
    pub range: Option<String>,
    /// Primaries, such as `bt709`.
    pub primaries: Option<String>,
    /// Transfer characteristic, such as `smpte2084`.
    pub transfer: Option<String>,
    /// Matrix coefficients, such as `bt2020nc`.
    pub matrix: Option<String>,
    /// Position of the chroma samples, such as `left`.
    pub chroma_location: Option<String>,
}

/// HDR metadata.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hdr {
    /// SMPTE ST 2086 mastering display.
    pub mastering_display: Option<MasteringDisplay>,
    /// CTA-861.3 content light level.
    pub content_light: Option<ContentLight>,
    /// Dolby Vision profile.
    pub dolby_vision_profile: Option<u8>,
    /// What Dolby Vision's base layer is to a display without it: 0 nothing, 1 HDR10, 2
    /// SDR, 4 HLG.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dolby_vision_compatibility: Option<u8>,
    /// Whether each of the first frames has Dolby Vision's metadata, and the decoder
    /// understands it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dolby_vision_rpus: bool,
    /// SMPTE ST 2094-40 dynamic metadata in the first frames.
    pub hdr10_plus: bool,
}

/// Dolby Vision, as a container names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DolbyVision {
    /// Profile; 10 is AV1's.
    pub profile: u8,
    /// What its base layer is to a display without it: 0 nothing, 1 HDR10, 2 SDR, 4 HLG.
    pub compatibility: u8,
}

/// SMPTE ST 2086 mastering display. Chromaticities are CIE 1931 xy pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MasteringDisplay {
    /// Red primary.
    pub red: (f64, f64),
    /// Green primary.
    pub green: (f64, f64),
    /// Blue primary.
    pub blue: (f64, f64),
    /// White point.
    pub white: (f64, f64),
    /// Smallest luminance in cd/m².
    pub min_luminance: f64,
    /// Largest luminance in cd/m².
    pub max_luminance: f64,
}

impl MasteringDisplay {
    /// Whether two descriptions differ by no more than the rounding of their carriers
    /// (H.265 counts in 0.00002 and 0.0001 cd/m², AV1 in 2^-16 and 2^-14).
    pub(crate) fn is_near(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-4;
        let point = |a: (f64, f64), b: (f64, f64)| near(a.0, b.0) && near(a.1, b.1);
        point(self.red, other.red)
            && point(self.green, other.green)
            && point(self.blue, other.blue)
            && point(self.white, other.white)
            && near(self.min_luminance, other.min_luminance)
            && (self.max_luminance - other.max_luminance).abs() <= 0.01
    }
}

/// CTA-861.3 content light level, in cd/m².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ContentLight {
    /// Brightest pixel of the whole film (MaxCLL).
    pub max_content: u32,
    /// Brightest frame average (MaxFALL).
    pub max_frame_average: u32,
}

/// How a picture must be turned to stand upright.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Orientation {
    /// Quarter turns clockwise, 0 to 3, applied after the mirroring.
    pub quarter_turns: u8,
    /// Whether left and right are swapped first.
    pub mirrored: bool,
    /// The display matrix turns by something other than quarter turns.
    pub odd_angle: bool,
}

/// What only an audio stream has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AudioInfo {
    /// Samples per second and channel.
    pub sample_rate_hz: u32,
    /// Number of channels.
    pub channels: u32,
    /// Channel layout by libavutil, such as `5.1(side)`.
    pub layout: String,
    /// Layout of its beginning, where a run found that it grows.
    pub begins_as: Option<String>,
}

/// What only a subtitle stream has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SubtitleInfo {
    /// Text; pictures otherwise.
    pub text: bool,
}

/// What only an attachment has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AttachmentInfo {
    /// Its file name.
    pub file_name: Option<String>,
    /// Its media type, such as `font/ttf`.
    pub mime_type: Option<String>,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Disposition {
    /// Played unless the viewer chooses another.
    pub default: bool,
    /// Shown even when the viewer wants no subtitles.
    pub forced: bool,
    /// The original language.
    pub original: bool,
    /// A dub.
    pub dub: bool,
    /// A commentary.
    pub commentary: bool,
    /// For the hearing impaired.
    pub hearing_impaired: bool,
    /// For the visually impaired.
    pub visual_impaired: bool,
    /// Text that describes the picture.
    pub descriptions: bool,
    /// Captions.
    pub captions: bool,
    /// Lyrics.
    pub lyrics: bool,
    /// Sound for karaoke.
    pub karaoke: bool,
    /// Sound with effects and no voices.
    pub clean_effects: bool,
    /// To be mixed with another stream.
    pub dependent: bool,
    /// A picture attached to the file, such as cover art.
    pub attached_picture: bool,
}

/// A chapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Chapter {
    /// Start in microseconds.
    pub start_us: i64,
    /// End in microseconds.
    pub end_us: i64,
    /// Title.
    pub title: Option<String>,
}
