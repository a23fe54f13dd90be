//! The one room with unsafe code. Owners here are move-only, free what they own
//! once, and let no raw pointer out; outside, everything is plain data or one of
//! these owners. `ffmpeg-next`'s own safe types (packets, frames, filter graphs)
//! are used directly by the pipeline where they are sound for what we do.

#![expect(unsafe_code, reason = "this module wraps the C libraries")]

mod audio;
mod capabilities;
mod decoder;
mod describe;
mod dictionary;
mod dolby_vision;
mod encoder;
mod frame;
mod hdr;
mod input;
mod io;
mod lease;
mod muxer;
mod parallel;
mod priority;
mod subtitle;

use std::sync::Once;

pub(crate) use self::audio::{OPUS_RATE_HZ, Resampler};
pub(crate) use self::capabilities::used_preset;
pub use self::capabilities::{Capabilities, capabilities, quiet_encoder_log};
pub(crate) use self::decoder::{Decoder, Received, open_decoder};
pub(crate) use self::describe::{chapters, stream_info};
pub(crate) use self::encoder::{Encoded, OPUS_FRAME_SAMPLES, OpusEncoder, VideoEncoder};
pub(crate) use self::frame::{
    FrameFacts, channels, dolby_vision, facts, has_plain_planes, is_writable, layout_name,
};
pub(crate) use self::input::Demuxer;
pub(crate) use self::lease::is_open_for_writing;
pub(crate) use self::muxer::{CodecDelay, Muxer, NewStream, default_duration};
pub(crate) use self::subtitle::TextConverter;

/// FFmpeg's log goes to stderr unless told otherwise, and a library prints
/// nothing. Errors are told by their codes.
fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
        // Without it the libraries' errors have no text.
        ffmpeg_next::util::error::register_all();
    });
}

/// Turns a library's return code into a result.
fn check(code: i32) -> Result<i32, ffmpeg_next::Error> {
    if code < 0 {
        Err(ffmpeg_next::Error::from(code))
    } else {
        Ok(code)
    }
}
