//! HDR10's static metadata: `AVMasteringDisplayMetadata` and `AVContentLightMetadata`,
//! which the bindings leave out, read from bytes and written as bytes.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi::*;

use crate::media::{ContentLight, MasteringDisplay};

/// Reads an `AVMasteringDisplayMetadata`, which the bindings leave out: x and y of
/// red, green, blue and white and the two luminances as `AVRational`s, then two
/// flags that say which of these are set (libavutil/mastering_display_metadata.h,
/// the same from FFmpeg 3.0 to 9).
pub(super) fn mastering_display(bytes: &[u8]) -> Option<MasteringDisplay> {
    let int = |i: usize| {
        let bytes = bytes.get(i * 4..i * 4 + 4)?;
        bytes.try_into().ok().map(i32::from_ne_bytes)
    };
    let number = |i: usize| {
        let (num, den) = (int(2 * i)?, int(2 * i + 1)?);
        (den != 0).then(|| f64::from(num) / f64::from(den))
    };
    let point = |i: usize| Some((number(2 * i)?, number(2 * i + 1)?));
    let (has_primaries, has_luminance) = (int(20)?, int(21)?);
    if has_primaries == 0 || has_luminance == 0 {
        return None;
    }
    Some(MasteringDisplay {
        red: point(0)?,
        green: point(1)?,
        blue: point(2)?,
        white: point(3)?,
        min_luminance: number(8)?,
        max_luminance: number(9)?,
    })
}

pub(super) fn content_light(bytes: &[u8]) -> Option<ContentLight> {
    let at =
        |range: std::ops::Range<usize>| bytes.get(range)?.try_into().ok().map(u32::from_ne_bytes);
    // AVContentLightMetadata begins with MaxCLL and MaxFALL, an unsigned each.
    Some(ContentLight {
        max_content: at(0..4)?,
        max_frame_average: at(4..8)?,
    })
}

/// Numbers are written as fractions of these, the units of H.265's messages (ITU-T
/// H.265, D.3.28).
const CHROMATICITY_UNITS: i32 = 50_000;
const LUMINANCE_UNITS: i32 = 10_000;

fn mastering_display_bytes(display: &MasteringDisplay) -> Vec<u8> {
    let points = [display.red, display.green, display.blue, display.white];
    let coordinates = points.iter().flat_map(|(x, y)| [*x, *y]);
    let luminances = [display.min_luminance, display.max_luminance];
    let numbers = coordinates
        .map(|value| (value, CHROMATICITY_UNITS))
        .chain(luminances.map(|value| (value, LUMINANCE_UNITS)));
    let rationals = numbers.flat_map(|(value, units)| {
        let numerator = (value * f64::from(units)).round() as i32;
        [numerator, units]
    });
    // Both are set.
    rationals.chain([1, 1]).flat_map(i32::to_ne_bytes).collect()
}

fn content_light_bytes(light: ContentLight) -> Vec<u8> {
    [light.max_content, light.max_frame_average]
        .into_iter()
        .flat_map(u32::to_ne_bytes)
        .collect()
}

/// Adds the metadata to a stream whose header is not written yet, for the container
/// to say as well as the bitstream.
///
/// # Safety
/// `stream` is a live stream with its own parameters.
pub(super) unsafe fn describe(
    stream: *mut AVStream,
    display: Option<&MasteringDisplay>,
    light: Option<ContentLight>,
) -> Result<(), ffmpeg::Error> {
    use AVPacketSideDataType as Type;
    let parts = [
        display.map(|display| {
            let bytes = mastering_display_bytes(display);
            (Type::AV_PKT_DATA_MASTERING_DISPLAY_METADATA, bytes)
        }),
        light.map(|light| {
            let bytes = content_light_bytes(light);
            (Type::AV_PKT_DATA_CONTENT_LIGHT_LEVEL, bytes)
        }),
    ];
    for (kind, bytes) in parts.into_iter().flatten() {
        // SAFETY: the stream is live by contract; the buffer that comes back belongs
        // to it and holds as many bytes as were asked for.
        unsafe {
            let buffer = new_side_data(stream, kind, bytes.len());
            if buffer.is_null() {
                return Err(ffmpeg::Error::Other {
                    errno: ffmpeg::error::ENOMEM,
                });
            }
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len());
        }
    }
    Ok(())
}

/// A stream's side data moved into its parameters with FFmpeg 6.1, and is gone from
/// the stream in 8.
#[cfg(ffmpeg_6_1)]
unsafe fn new_side_data(stream: *mut AVStream, kind: AVPacketSideDataType, size: usize) -> *mut u8 {
    // SAFETY: the stream and its parameters are live by contract; the array and its
    // length belong together, and the function keeps them so.
    unsafe {
        let parameters = &mut *(*stream).codecpar;
        let entry = av_packet_side_data_new(
            &raw mut parameters.coded_side_data,
            &raw mut parameters.nb_coded_side_data,
            kind,
            size,
            0,
        );
        entry
            .as_ref()
            .map_or(std::ptr::null_mut(), |entry| entry.data)
    }
}

#[cfg(not(ffmpeg_6_1))]
unsafe fn new_side_data(stream: *mut AVStream, kind: AVPacketSideDataType, size: usize) -> *mut u8 {
    // SAFETY: the stream is live by contract.
    unsafe { av_stream_new_side_data(stream, kind, size) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let display = MasteringDisplay {
            red: (0.68, 0.32),
            green: (0.265, 0.69),
            blue: (0.15, 0.06),
            white: (0.3127, 0.329),
            min_luminance: 0.005,
            max_luminance: 1000.0,
        };
        let bytes = mastering_display_bytes(&display);
        assert_eq!(bytes.len(), 88);
        assert_eq!(mastering_display(&bytes), Some(display));
        let light = ContentLight {
            max_content: 1000,
            max_frame_average: 400,
        };
        assert_eq!(content_light(&content_light_bytes(light)), Some(light));
    }
}
