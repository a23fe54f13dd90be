//! What becomes of Dolby Vision's metadata, which says of each picture how a display of
//! less range should show it.
//!
//! AV1 carries it as profile 10. FFmpeg's wrapper of SVT-AV1 codes it from 7.1 on, out of
//! what the decoder has parsed, and names the base layer by the colour tags
//! (`ff_dovi_configure_ext` in dovi_rpuenc.c): the tags decide here too, and what it would
//! refuse is not carried. An enhancement layer (profiles 4 and 7) is a second video, for
//! which AV1 has no place; profile 9 is 8 bit, and profile 10 of an AV1 source is left
//! alone with the AV1.

use super::options::BitDepth;
use super::{EncoderLimits, Options};
use crate::media::{Colour, DolbyVision, Orientation, VideoInfo};

/// The profile of AV1.
const AV1_PROFILE: u8 = 10;

/// What the output's metadata will be, where it can be carried with an encoder that does
/// so.
pub(super) fn carried(video: &VideoInfo, options: &Options) -> Option<DolbyVision> {
    let hdr = &video.hdr;
    // The metadata has places in the picture (its active area), which a turn would move.
    let as_it_is =
        video.orientation == Orientation::default() && options.bit_depth == BitDepth::Ten;
    let compatibility = match hdr.dolby_vision_profile? {
        // A base layer in a colour space of Dolby's own, which no display without shows.
        5 if video.colour.primaries.is_none() => 0,
        8 => base_layer(&video.colour)?,
        _ => return None,
    };
    let carried = DolbyVision {
        profile: AV1_PROFILE,
        compatibility,
    };
    // A container may say so of a film whose pictures have none of it.
    (hdr.dolby_vision_rpus && as_it_is && video.bit_depth == 10).then_some(carried)
}

/// What a display without Dolby Vision makes of the picture: HDR10 (1), SDR (2), HLG (4).
fn base_layer(colour: &Colour) -> Option<u8> {
    let tags = [&colour.matrix, &colour.primaries, &colour.transfer].map(|tag| tag.as_deref());
    match tags {
        [Some("bt2020nc"), Some("bt2020"), Some("smpte2084")] => Some(1),
        [Some("bt2020nc"), Some("bt2020"), Some("arib-std-b67")] => Some(4),
        [Some("bt709"), Some("bt709"), Some("bt709")] => Some(2),
        _ => None,
    }
}

/// Whether the encoder carries what can be carried.
pub(super) fn encoder_carries(options: &Options) -> bool {
    let limits = options.encoder_limits.unwrap_or(EncoderLimits::STRICTEST);
    !limits.drops_dolby_vision
}
