//! What the caller may choose.

use serde::{Deserialize, Serialize};

use crate::container::Container;
use crate::ffi::capabilities;
use crate::units::{Crf, Preset, Saving};

/// What the caller wants of an encode; the default suits a film library.
///
/// ```
/// let mut options = av1core::Options::default();
/// options.preset = Some(av1core::Preset::new(10)?);
/// options.allow.chroma_loss = true;
/// # Ok::<(), av1core::OutOfRange>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Options {
    /// Container of the output. [`transcode`](crate::transcode()) goes by the output's name.
    pub container: Container,
    /// Speed of the video encoder; `None` chooses by picture size.
    pub preset: Option<Preset>,
    /// Quality of the video; `None` chooses by picture size and HDR.
    pub crf: Option<Crf>,
    /// Bits per sample of the output.
    pub bit_depth: BitDepth,
    /// Longest distance of two keyframes in seconds.
    pub keyframe_interval_s: u32,
    /// Film grain synthesis strength, 0 (off) to 50.
    pub film_grain: u8,
    /// How many processors the encoder plans for; `None` leaves it to the encoder.
    pub encoder_threads: Option<u32>,
    /// Threads of the video decoder; `None` leaves it to libavcodec.
    pub decoder_threads: Option<u32>,
    /// Further `svtav1-params`, applied last.
    pub svtav1_params: Vec<(String, String)>,
    /// Opus bit rate in kbit/s for every track; `None` chooses by channel layout.
    pub audio_bitrate_kbps: Option<u32>,
    /// The least that the output must save of the source's size, else nothing is
    /// written; `None` takes any output.
    pub min_saving_percent: Option<Saving>,
    /// Losses that the caller accepts.
    pub allow: Allow,
    /// What the video encoder takes; `None` plans for the strictest.
    /// [`transcode`](crate::transcode()) and [`shrink`](crate::shrink()) ask the linked
    /// one, whose limits [`capabilities`](crate::capabilities()) tells.
    pub encoder_limits: Option<EncoderLimits>,
}

/// What the video encoder takes, and what it keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EncoderLimits {
    /// The least width and height in pixels.
    pub least_side_pixels: u32,
    /// Width and height have to be even.
    pub even_sizes_only: bool,
    /// Dolby Vision's metadata is lost.
    pub drops_dolby_vision: bool,
}

impl EncoderLimits {
    /// Those of SVT-AV1 1.4 and 2.3, with a libavcodec before 7.1: "Source Width must be at least 64", "Source Height
    /// must be even for YUV_420 colorspace" (both refuse).
    pub const STRICTEST: Self = Self {
        least_side_pixels: 64,
        even_sizes_only: true,
        drops_dolby_vision: true,
    };

    /// Those of SVT-AV1 4.2 with a libavcodec from 7.1 on, which encodes 1x1 and 3x5 (tried).
    pub const NONE: Self = Self {
        least_side_pixels: 1,
        even_sizes_only: false,
        drops_dolby_vision: false,
    };
}

impl Options {
    /// With the limits of the linked encoder, unless others are given.
    pub(crate) fn for_linked_encoder(&self) -> Self {
        let limits = || capabilities().encoder_limits;
        Self {
            encoder_limits: Some(self.encoder_limits.unwrap_or_else(limits)),
            ..self.clone()
        }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            container: Container::Matroska,
            preset: None,
            crf: None,
            bit_depth: BitDepth::Ten,
            // Seeking stays quick, and SVT-AV1 gains little from longer GOPs.
            keyframe_interval_s: 10,
            film_grain: 0,
            encoder_threads: None,
            decoder_threads: None,
            svtav1_params: Vec::new(),
            audio_bitrate_kbps: None,
            min_saving_percent: None,
            allow: Allow::default(),
            encoder_limits: None,
        }
    }
}

/// Bits per sample of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BitDepth {
    /// 8 bits: a little faster to decode on old devices.
    Eight,
    /// 10 bits: smaller at the same quality, no banding; every AV1 decoder takes it.
    #[default]
    Ten,
}

/// Losses that the caller accepts; each lifts one reason to skip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Allow {
    /// Encode AV1 again.
    pub av1: bool,
    /// 4:2:2, 4:4:4 and RGB become 4:2:0.
    pub chroma_loss: bool,
    /// More than 10 bits become 10 (or 10 become 8, where 8 are asked for).
    pub depth_loss: bool,
    /// Transparency is dropped.
    pub alpha_loss: bool,
    /// Dolby Vision and HDR10+ metadata are dropped where they cannot be carried.
    pub dynamic_hdr_loss: bool,
}
