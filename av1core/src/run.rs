//! From a probed source to a verified output, planned anew where the source turns out
//! to hold more than it said.

use std::path::Path;

use crate::cancel::CancelToken;
use crate::encoded::encode;
use crate::error::{Error, ErrorKind, NotWorthwhile, Result, Stage};
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
const MOST_PLANS: u32 = 6;

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
    let message = "what it holds changes again and again";
    Err(Error::new(
        ErrorKind::Mismatch,
        Stage::Plan,
        source,
        message,
    ))
}

/// Notes what a run found out of the source, so that it can be planned again.
fn learn(info: &mut MediaInfo, error: &Error) -> bool {
    let Some(found) = error.more_channels() else {
        return false;
    };
    let stream = info.streams.get_mut(found.stream);
    let Some(StreamKind::Audio(audio)) = stream.map(|stream| &mut stream.kind) else {
        return false;
    };
    let before = std::mem::replace(&mut audio.layout, found.layout.clone());
    audio.begins_as.get_or_insert(before);
    audio.channels = found.channels;
    true
}
