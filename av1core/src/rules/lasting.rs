//! How long a reason to leave a file alone holds.

use crate::plan::SkipReason;

/// What has to change before a file that is left alone is worth another look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lasts {
    /// The content or the options: a memory may keep the reason under the file's
    /// [`DecisionKey`](crate::DecisionKey).
    WithTheContent,
    /// The file's names, what lies beside it, or a rule. They are not in the key, and
    /// quickly looked at again.
    WithTheFile,
    /// Nothing but time: it is tried again soon.
    ForTheMoment,
}

impl SkipReason {
    /// How long it holds.
    #[must_use]
    pub fn lasts(&self) -> Lasts {
        match self {
            Self::AlreadyAv1
            | Self::ChromaLoss { .. }
            | Self::DepthLoss { .. }
            | Self::AlphaLoss
            | Self::DolbyVision { .. }
            | Self::Hdr10Plus
            | Self::PictureTooSmall { .. }
            | Self::OddSize { .. }
            | Self::OddAngle
            | Self::FieldPictures
            | Self::StillPicture { .. }
            | Self::DoesNotFit { .. } => Lasts::WithTheContent,
            Self::OwnFile
            | Self::Link { .. }
            | Self::OutsideRoot
            | Self::Excluded { .. }
            | Self::DecidedBefore { .. }
            | Self::HardLinked { .. }
            | Self::TooSmall { .. }
            | Self::TooShort { .. }
            | Self::LowBitrate { .. } => Lasts::WithTheFile,
            Self::OpenForWriting | Self::JustChanged { .. } => Lasts::ForTheMoment,
        }
    }
}
