//! What the caller wants of an encode; shared by every command that plans one.

use av1core::{BitDepth, Crf, Preset, Saving};
use clap::{Args, ValueEnum};

use super::svtav1::Svtav1Params;
use super::value::{crf, number, preset, saving};

/// Options of the encode itself.
#[derive(Debug, Default, Args)]
pub(crate) struct EncodeArgs {
    #[command(flatten)]
    pub(crate) video: VideoArgs,
    #[command(flatten)]
    pub(crate) audio: AudioArgs,
    #[command(flatten)]
    pub(crate) worth: WorthArgs,
    #[command(flatten)]
    pub(crate) losses: LossArgs,
}

/// Options of the video.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Video")]
pub(crate) struct VideoArgs {
    /// Speed, 0 (slowest, smallest) to 13 (fastest, largest) [default: by picture size]
    ///
    /// Presets do not compare across versions of SVT-AV1; the report names the version.
    #[arg(long, value_name = "N", value_parser = preset, env = "AV1CLI_PRESET", hide_env_values = true)]
    pub(crate) preset: Option<Preset>,

    /// Quality, 1 (best, largest) to 63 (worst, smallest) [default: by picture size and HDR]
    #[arg(long, value_name = "N", value_parser = crf, env = "AV1CLI_CRF", hide_env_values = true)]
    pub(crate) crf: Option<Crf>,

    /// Bits per sample [default: 10, which is smaller at the same quality]
    #[arg(
        long,
        value_name = "BITS",
        value_enum,
        env = "AV1CLI_BIT_DEPTH",
        hide_env_values = true
    )]
    pub(crate) bit_depth: Option<Depth>,

    /// Longest distance of two keyframes [default: 10]
    #[arg(
        long,
        value_name = "SECONDS",
        value_parser = number::<u32>("keyframe interval", 1..=600),
        env = "AV1CLI_KEYFRAME_INTERVAL",
        hide_env_values = true
    )]
    pub(crate) keyframe_interval: Option<u32>,

    /// Film grain synthesis, 0 (off) to 50 [default: 0]
    #[arg(
        long,
        value_name = "N",
        value_parser = number::<u8>("film grain", 0..=50),
        env = "AV1CLI_FILM_GRAIN",
        hide_env_values = true
    )]
    pub(crate) film_grain: Option<u8>,

    /// Processors the video encoder plans for [default: the encoder's choice]
    #[arg(
        long,
        value_name = "N",
        value_parser = number::<u32>("encoder threads", 1..=512),
        env = "AV1CLI_ENCODER_THREADS",
        hide_env_values = true
    )]
    pub(crate) encoder_threads: Option<u32>,

    /// Threads of the video decoder [default: libavcodec's choice]
    #[arg(
        long,
        value_name = "N",
        value_parser = number::<u32>("decoder threads", 1..=512),
        env = "AV1CLI_DECODER_THREADS",
        hide_env_values = true
    )]
    pub(crate) decoder_threads: Option<u32>,

    /// Further parameters of SVT-AV1, such as tune=0:enable-qm=1; applied last
    #[arg(
        long,
        value_name = "K=V:K=V",
        env = "AV1CLI_SVTAV1_PARAMS",
        hide_env_values = true
    )]
    pub(crate) svtav1_params: Option<Svtav1Params>,
}

/// Options of the audio.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Audio")]
pub(crate) struct AudioArgs {
    /// Bit rate of every Opus track in kbit/s [default: by channel layout]
    #[arg(
        long,
        value_name = "KBPS",
        // RFC 6716, section 2.1.1: Opus works from 6 to 510 kbit/s.
        value_parser = number::<u32>("audio bitrate", 6..=510),
        env = "AV1CLI_AUDIO_BITRATE",
        hide_env_values = true
    )]
    pub(crate) audio_bitrate: Option<u32>,
}

/// What an encode must be worth.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Worth")]
pub(crate) struct WorthArgs {
    /// The least that the output must save of the source's size in percent, 0 to 99
    /// [default: any output is taken]
    ///
    /// An encode ends as soon as it is certain to save less, and nothing is written.
    #[arg(
        long,
        value_name = "PERCENT",
        value_parser = saving,
        env = "AV1CLI_MIN_SAVING",
        hide_env_values = true
    )]
    pub(crate) min_saving: Option<Saving>,
}

/// Losses that the caller accepts. Flags alone: a loss is accepted for a file that
/// somebody looked at, not by an environment.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Losses to accept (each lifts one reason to skip)")]
pub(crate) struct LossArgs {
    /// Encode AV1 again
    #[arg(long)]
    pub(crate) allow_av1: bool,

    /// Turn 4:2:2, 4:4:4 and RGB into 4:2:0
    #[arg(long)]
    pub(crate) allow_chroma_loss: bool,

    /// Turn more than 10 bits into 10 (with --bit-depth 8: more than 8 into 8)
    #[arg(long)]
    pub(crate) allow_depth_loss: bool,

    /// Drop transparency
    #[arg(long)]
    pub(crate) allow_alpha_loss: bool,

    /// Drop the dynamic metadata of Dolby Vision and HDR10+ where it cannot be carried
    #[arg(long)]
    pub(crate) allow_dynamic_hdr_loss: bool,
}

/// Bits per sample, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Depth {
    #[value(name = "8")]
    Eight,
    #[value(name = "10")]
    Ten,
}

impl From<Depth> for BitDepth {
    fn from(depth: Depth) -> Self {
        match depth {
            Depth::Eight => Self::Eight,
            Depth::Ten => Self::Ten,
        }
    }
}
