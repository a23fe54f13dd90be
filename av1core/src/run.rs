//! From a probed source to a verified output, planned anew where the source turns out
//! to hold more than it said.

use std::path::Path;

use crate::cancel::CancelToken;
use crate::encoded::encode;
use crate::error::{Discovery, Error, NotWorthwhile, Result};
use crate::event::Event;
use crate::media::{MediaInfo, StreamKind};
use crate::output::Destination;
use crate::plan::{Options, SkipReason, Verdict, plan};
use crate::verify::{Verified, verify};

/// How an attempt ended well.
pub(crate) enum Attempt {
    Verified(Box<Verified>),
    Skipped(SkipReason),
    NotWorthwhile(NotWorthwhile),
}

/// Sound can grow from mono to stereo to 5.1 to 7.1, in two tracks perhaps; more often
/// it is damage.
pub(crate) const MOST_PLANS: u32 = 6;

/// Plans, encodes and verifies; staged at `output`, and not yet in its place.
pub(crate) fn encode_verified(
    source: &Path,
    mut info: MediaInfo,
    options: &Options,
    output: &Destination,
    (cancel, observer): (&CancelToken, &mut dyn FnMut(&Event)),
) -> Result<Attempt> {
    for plans_left in (0..MOST_PLANS).rev() {
        let plan = match plan(&info, options) {
            Verdict::Transcode(plan) => plan,
            Verdict::Skip { reason } => return Ok(Attempt::Skipped(reason)),
            Verdict::Reject { reason } => return Err(reason.into_error(source)),
        };
        observer(&Event::Planned(Box::new(plan.clone())));
        match encode(source, &info, &plan, output, cancel, &mut *observer) {
            Err(error) if plans_left > 0 && learn(&mut info, &error) => {}
            Err(error) => {
                let found = error.not_worthwhile().ok_or(error)?;
                return Ok(Attempt::NotWorthwhile(found));
            }
            Ok(encoded) => {
                let verified = verify(encoded, &info, cancel, &mut *observer)?;
                return Ok(Attempt::Verified(Box::new(verified)));
            }
        }
    }
    Err(Error::keeps_changing(source))
}

/// Notes what a run found out of the source, so that it can be planned again.
pub(crate) fn learn(info: &mut MediaInfo, error: &Error) -> bool {
    let stream = match error.discovery() {
        Some(Discovery::MoreChannels { stream, .. }) => Some(*stream),
        Some(Discovery::DolbyVisionGap) => info.main_video().map(|video| video.index),
        None => None,
    };
    let stream = stream.and_then(|index| info.streams.get_mut(index));
    match (error.discovery(), stream.map(|stream| &mut stream.kind)) {
        (
            Some(Discovery::MoreChannels {
                channels, layout, ..
            }),
            Some(StreamKind::Audio(audio)),
        ) => {
            let before = std::mem::replace(&mut audio.layout, layout.clone());
            audio.begins_as.get_or_insert(before);
            audio.channels = *channels;
            true
        }
        (Some(Discovery::DolbyVisionGap), Some(StreamKind::Video(video))) => {
            std::mem::take(&mut video.hdr.dolby_vision_rpus)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{ErrorKind, Stage};

    /// What is found out changes the next plan, and only once.
    #[test]
    fn a_gap_in_the_dolby_vision_metadata_is_learnt() {
        let mut info = crate::plan::tests::film(|video| video.hdr.dolby_vision_rpus = true);
        let error = Error::new(
            ErrorKind::Mismatch,
            Stage::Encode,
            Path::new("film.mkv"),
            "",
        );
        assert!(!learn(&mut info, &error));
        let error = error.with_discovery(Discovery::DolbyVisionGap);
        assert!(learn(&mut info, &error));
        assert!(
            !info.streams[0]
                .video()
                .is_some_and(|v| v.hdr.dolby_vision_rpus)
        );
        assert!(!learn(&mut info, &error));
    }
}
