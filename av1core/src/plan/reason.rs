//! Why a file is not encoded, in words a user understands.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Stage};

/// Why a file is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SkipReason {
    /// The video is AV1.
    #[error("the video is AV1 already")]
    AlreadyAv1,
    /// More chroma than AV1's main profile holds.
    #[error("the video is {pixel_format}, which 4:2:0 would lose colour detail of")]
    ChromaLoss {
        /// Pixel format of the source.
        pixel_format: String,
    },
    /// More than 10 bits a sample.
    #[error("the video has {bits} bits a sample, and 10 are the most that can be kept")]
    DepthLoss {
        /// Bits per sample of the source.
        bits: u8,
    },
    /// An alpha plane.
    #[error("the video has a transparency (alpha) plane, which AV1 cannot hold")]
    AlphaLoss,
    /// Dolby Vision.
    #[error(
        "the video is Dolby Vision profile {profile}, whose dynamic metadata would be lost{}",
        if *newer_carries { " (FFmpeg 7.1 and later carry it)" } else { "" }
    )]
    DolbyVision {
        /// Dolby Vision profile.
        profile: u8,
        /// A newer FFmpeg would carry it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        newer_carries: bool,
    },
    /// HDR10+.
    #[error("the video is HDR10+, whose dynamic metadata would be lost")]
    Hdr10Plus,
    /// Smaller than the encoder takes.
    #[error(
        "the picture is {width}x{height}, and this SVT-AV1 takes nothing below 64x64 (4.2 does)"
    )]
    PictureTooSmall {
        /// Picture width.
        width: u32,
        /// Picture height.
        height: u32,
    },
    /// Width or height is odd.
    #[error(
        "the picture is {width}x{height}, and this SVT-AV1 takes only even sizes (4.2 takes others)"
    )]
    OddSize {
        /// Picture width.
        width: u32,
        /// Picture height.
        height: u32,
    },
    /// The display matrix is not made of quarter turns.
    #[error("the picture is turned by an angle that is not a quarter turn")]
    OddAngle,
    /// Interlaced HEVC.
    #[error(
        "the video is interlaced HEVC, whose fields are pictures of their own that are not put together here"
    )]
    FieldPictures,
    /// A file of one picture.
    #[error("is a picture ({codec}), not a film")]
    StillPicture {
        /// Name of the codec by libavcodec.
        codec: String,
    },
    /// MP4 is asked for, and something of the source has no place in it.
    #[error("MP4 cannot hold {what} (stream {index}); name the output .mkv")]
    DoesNotFit {
        /// Index of the stream.
        index: usize,
        /// What it is that does not fit.
        what: String,
    },
    /// A run's own file, or a backup of testing mode.
    #[error("is a file of this program's own (a staged file, journal or backup)")]
    OwnFile,
    /// A symbolic link.
    #[error("is a symbolic link{}", if *leaves_root {
        " that leads out of the media folder"
    } else {
        "; what it points to is looked at where it lies"
    })]
    Link {
        /// It leads out of the media folder.
        leaves_root: bool,
    },
    /// Reached through a folder that is a link to elsewhere.
    #[error("lies outside the media folder")]
    OutsideRoot,
    /// The user excluded it.
    #[error("is excluded (by {by})")]
    Excluded {
        /// The pattern or the file that says so.
        by: String,
    },
    /// The caller's memory knows it.
    #[error("was decided before with the same settings: {verdict}")]
    DecidedBefore {
        /// What was decided.
        verdict: String,
    },
    /// Several names.
    #[error("has {links} names (hard links), and the others would keep the old content")]
    HardLinked {
        /// How many.
        links: u64,
    },
    /// Another program has it open for writing.
    #[error("is open for writing in another program")]
    OpenForWriting,
    /// It may still be written to.
    #[error("was changed {seconds} s ago and may still be written to; try again later")]
    JustChanged {
        /// How long ago, in seconds.
        seconds: i64,
    },
    /// Not worth the while.
    #[error("is {bytes} bytes small; less than {least_bytes} are not worth it")]
    TooSmall {
        /// Its size in bytes.
        bytes: u64,
        /// The least that is looked into.
        least_bytes: u64,
    },
    /// Not worth the while.
    #[error("is {} s short; less than {} s are not worth it", *film_us as f64 / 1e6, *least_us as f64 / 1e6)]
    TooShort {
        /// Its length in microseconds.
        film_us: i64,
        /// The least that is looked into, in microseconds.
        least_us: i64,
    },
    /// Nothing is left to save.
    #[error(
        "has {} bits a pixel; below {} nothing is left to save",
        *millibits_per_pixel as f64 / 1000.0,
        *least as f64 / 1000.0
    )]
    LowBitrate {
        /// Bits for each pixel of each frame, in thousandths.
        millibits_per_pixel: u64,
        /// The least that is looked into.
        least: u64,
    },
}

impl SkipReason {
    /// The command line's flag that takes the file all the same, where there is one.
    #[must_use]
    pub fn allowed_by(&self) -> Option<&'static str> {
        match self {
            Self::AlreadyAv1 => Some("--allow-av1"),
            Self::ChromaLoss { .. } => Some("--allow-chroma-loss"),
            Self::DepthLoss { .. } => Some("--allow-depth-loss"),
            Self::AlphaLoss => Some("--allow-alpha-loss"),
            Self::DolbyVision { .. } | Self::Hdr10Plus => Some("--allow-dynamic-hdr-loss"),
            Self::HardLinked { .. } => Some("--hardlinks break"),
            Self::JustChanged { .. } => Some("--settle 0"),
            Self::TooSmall { .. } => Some("--min-size 0"),
            Self::TooShort { .. } => Some("--min-duration 0"),
            Self::LowBitrate { .. } => Some("--min-bits-per-pixel 0"),
            Self::OwnFile
            | Self::Link { .. }
            | Self::OutsideRoot
            | Self::Excluded { .. }
            | Self::DecidedBefore { .. }
            | Self::OpenForWriting
            | Self::PictureTooSmall { .. }
            | Self::OddSize { .. }
            | Self::OddAngle
            | Self::FieldPictures
            | Self::StillPicture { .. }
            | Self::DoesNotFit { .. } => None,
        }
    }
}

/// Why a file cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectReason {
    /// Nothing to see.
    #[error("has no video stream")]
    NoVideo,
    /// Encrypted samples.
    #[error("stream {index} is encrypted")]
    Encrypted {
        /// Index of the stream.
        index: usize,
    },
    /// No decoder.
    #[error("stream {index} has a codec that cannot be decoded here ({codec})")]
    UnknownCodec {
        /// Index of the stream.
        index: usize,
        /// Name of the codec by libavcodec.
        codec: String,
    },
    /// Sound is declared, but none of it was found.
    #[error(
        "stream {index} is declared as sound, and none of it was found where the file begins: it \
         is damaged, or starts late, and a remux shows it from the start"
    )]
    NoSound {
        /// Index of the stream.
        index: usize,
    },
    /// The header promises video, but no frame decodes.
    #[error("no frame of video stream {index} decodes: the file is damaged or cut short")]
    NoFrame {
        /// Index of the stream.
        index: usize,
    },
}

impl RejectReason {
    /// The kind of the error that [`transcode`](crate::transcode) returns for it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoVideo => ErrorKind::NoVideo,
            Self::Encrypted { .. } => ErrorKind::Encrypted,
            Self::UnknownCodec { .. } => ErrorKind::UnknownCodec,
            Self::NoSound { .. } | Self::NoFrame { .. } => ErrorKind::Damaged,
        }
    }

    /// The stream concerned.
    fn stream(&self) -> Option<usize> {
        match self {
            Self::NoVideo => None,
            Self::Encrypted { index }
            | Self::UnknownCodec { index, .. }
            | Self::NoSound { index }
            | Self::NoFrame { index } => Some(*index),
        }
    }

    pub(crate) fn into_error(self, source: &Path) -> Error {
        let error = Error::new(self.kind(), Stage::Plan, source, self.to_string());
        match self.stream() {
            Some(index) => error.at_stream(index),
            None => error,
        }
    }
}
