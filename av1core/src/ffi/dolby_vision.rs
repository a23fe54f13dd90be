//! What libsvtav1's wrapper has to know of Dolby Vision before it is opened.
//!
//! With its option `dolbyvision` it codes each frame's metadata as the decoder left it
//! there (`AV_FRAME_DATA_DOVI_METADATA`), and describes the stream by a configuration
//! record in its context's side data, from where the muxers take it (libsvtav1.c and
//! dovi_rpuenc.c, FFmpeg 7.1 and 9.0).

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi::*;

use crate::media::DolbyVision;

/// Tells the wrapper of a base layer in Dolby's own colour space, which it knows by the
/// first frame's metadata alone; any other it knows by the colour tags.
///
/// # Safety
/// `context` is live and not opened.
#[cfg(ffmpeg_7_1)]
pub(super) unsafe fn announce(
    context: *mut AVCodecContext,
    carried: DolbyVision,
) -> Result<(), ffmpeg::Error> {
    if carried.compatibility != 0 {
        return Ok(());
    }
    let metadata = full_range_header();
    // SAFETY: the context is live by contract; its array and the array's length belong
    // together, and the function keeps them so. The buffer that comes back belongs to
    // the context and holds as many bytes as were asked for.
    unsafe {
        let context = &mut *context;
        let entry = av_frame_side_data_new(
            &raw mut context.decoded_side_data,
            &raw mut context.nb_decoded_side_data,
            AVFrameSideDataType::AV_FRAME_DATA_DOVI_METADATA,
            metadata.len(),
            0,
        );
        let entry = entry.as_ref().ok_or(ffmpeg::Error::Other {
            errno: ffmpeg::error::ENOMEM,
        })?;
        std::ptr::copy_nonoverlapping(metadata.as_ptr(), entry.data, metadata.len());
    }
    Ok(())
}

#[cfg(not(ffmpeg_7_1))]
pub(super) unsafe fn announce(_: *mut AVCodecContext, _: DolbyVision) -> Result<(), ffmpeg::Error> {
    Ok(())
}

/// Size of the buffer: more than an `AVDOVIMetadata` and an `AVDOVIRpuDataHeader` are.
#[cfg(ffmpeg_7_1)]
const METADATA_BYTES: usize = 256;

/// Where the header lies in it.
#[cfg(ffmpeg_7_1)]
const HEADER_AT: usize = 128;

/// An `AVDOVIMetadata` with nothing but a header that says `bl_video_full_range_flag`,
/// which is all that is read of it (`ff_dovi_configure_ext`). It begins with the header's
/// offset, a `size_t`; the flag is the header's tenth byte behind `rpu_type` (8 bits) and
/// `rpu_format` (16, aligned), six numbers of 8 bits (libavutil/dovi_meta.h, the same from
/// FFmpeg 5.0 to 9).
#[cfg(ffmpeg_7_1)]
fn full_range_header() -> [u8; METADATA_BYTES] {
    const FULL_RANGE_AT: usize = 4 + 6;
    let mut metadata = [0; METADATA_BYTES];
    let offset = HEADER_AT.to_ne_bytes();
    metadata[..offset.len()].copy_from_slice(&offset);
    metadata[HEADER_AT + FULL_RANGE_AT] = 1;
    metadata
}
