//! What a decoded frame says of itself.

use ffmpeg_next::ffi::{AV_FRAME_FLAG_CORRUPT, av_frame_get_side_data, av_frame_is_writable};
use ffmpeg_next::frame::side_data::Type as SideType;
use ffmpeg_next::frame::{Audio, Video};

use super::audio::Layout;
use super::describe;
use super::hdr::{content_light, mastering_display};
use crate::media::{ContentLight, MasteringDisplay};

/// Side data and flags of a decoded frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FrameFacts {
    pub(crate) interlaced: bool,
    pub(crate) top_first: bool,
    pub(crate) corrupt: bool,
    pub(crate) mastering_display: Option<MasteringDisplay>,
    pub(crate) content_light: Option<ContentLight>,
    pub(crate) hdr10_plus: bool,
    /// Dolby Vision's metadata, whether the decoder understands it or not.
    pub(crate) dolby_vision: bool,
    /// It does.
    pub(crate) dolby_vision_parsed: bool,
    pub(crate) captions: bool,
}

/// Reads the facts of `frame`.
pub(crate) fn facts(frame: &Video) -> FrameFacts {
    let data = |kind| side_data(frame, kind);
    FrameFacts {
        interlaced: frame.is_interlaced(),
        top_first: frame.is_top_first(),
        corrupt: is_corrupt(frame),
        mastering_display: data(SideType::MasteringDisplayMetadata).and_then(mastering_display),
        content_light: data(SideType::ContentLightLevel).and_then(content_light),
        hdr10_plus: data(SideType::DYNAMIC_HDR_PLUS).is_some(),
        dolby_vision: data(SideType::DOVI_METADATA).is_some()
            || data(SideType::DOVI_RPU_BUFFER).is_some(),
        dolby_vision_parsed: data(SideType::DOVI_METADATA).is_some(),
        captions: data(SideType::A53CC).is_some(),
    }
}

fn side_data(frame: &Video, kind: SideType) -> Option<&[u8]> {
    // SAFETY: the frame is live for as long as it is borrowed, and so is the side data
    // that belongs to it.
    unsafe {
        let side = av_frame_get_side_data(frame.as_ptr(), kind.into()).as_ref()?;
        (!side.data.is_null()).then(|| std::slice::from_raw_parts(side.data, side.size))
    }
}

/// Dolby Vision's metadata of the frame as the decoder has parsed it: an `AVDOVIMetadata`
/// with all that it holds, of which equal ones have equal bytes (libavutil allocates it
/// zeroed).
pub(crate) fn dolby_vision(frame: &Video) -> Option<&[u8]> {
    side_data(frame, SideType::DOVI_METADATA)
}

/// Whether the decoder had to guess parts of the frame.
fn is_corrupt(frame: &Video) -> bool {
    // SAFETY: the frame is live.
    let raw = unsafe { &*frame.as_ptr() };
    raw.flags & AV_FRAME_FLAG_CORRUPT != 0 || raw.decode_error_flags != 0
}

/// Whether every plane lies top to bottom in memory, as `ffmpeg_next`'s slices and
/// SVT-AV1's wrapper take for granted. Some decoders and filters hand out planes
/// upside down, with a negative line size.
pub(crate) fn has_plain_planes(frame: &Video) -> bool {
    // SAFETY: the frame is live.
    let raw = unsafe { &*frame.as_ptr() };
    (0..frame.planes()).all(|plane| raw.linesize[plane] > 0 && !raw.data[plane].is_null())
}

/// Whether nobody else holds the frame's buffers, so that they may be written to.
pub(crate) fn is_writable(frame: &mut Video) -> bool {
    // SAFETY: the frame is live and borrowed alone.
    unsafe { av_frame_is_writable(frame.as_mut_ptr()) > 0 }
}

/// Number of channels of a decoded frame.
pub(crate) fn channels(frame: &Audio) -> u32 {
    // SAFETY: the frame is live.
    u32::try_from(unsafe { (*frame.as_ptr()).ch_layout.nb_channels }).unwrap_or(0)
}

/// Name of the channel layout of a decoded frame.
pub(crate) fn layout_name(frame: &Audio) -> String {
    // SAFETY: the frame and its layout are live while borrowed.
    describe::layout_name(unsafe { &(*frame.as_ptr()).ch_layout })
}

/// The channel layout of a decoded frame.
pub(super) fn layout(frame: &Audio) -> Layout {
    // SAFETY: the frame and its layout are live while borrowed; the copy owns itself.
    unsafe { Layout::copy_of(&(*frame.as_ptr()).ch_layout) }
}
