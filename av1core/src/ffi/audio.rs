//! Channel layouts, and any audio to packed 32-bit float at 48 kHz.

use std::ffi::CString;
use std::ptr;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi::*;
use ffmpeg_next::frame::Audio;

use super::{check, frame};

/// The sample rate of every Opus stream we make, in Hz.
pub(crate) const OPUS_RATE_HZ: u32 = 48_000;

/// An owned `AVChannelLayout`.
pub(super) struct Layout(AVChannelLayout);

// SAFETY: a layout owns its map (if any) alone and has no thread affinity.
unsafe impl Send for Layout {}

impl Layout {
    /// A named layout, or `channels` without a meaning.
    pub(super) fn new(name: Option<&str>, channels: u32) -> Result<Self, ffmpeg::Error> {
        let invalid = ffmpeg::Error::Other {
            errno: ffmpeg::error::EINVAL,
        };
        // SAFETY: all-zero is the valid "unspecified, no channels" layout.
        let mut layout = Self(unsafe { std::mem::zeroed() });
        match name {
            Some(name) => {
                let name = CString::new(name).map_err(|_| invalid)?;
                // SAFETY: the layout is zeroed, as the function wants it, and the
                // name is NUL-terminated.
                check(unsafe { av_channel_layout_from_string(&raw mut layout.0, name.as_ptr()) })?;
            }
            None => {
                layout.0.order = AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC;
                layout.0.nb_channels = i32::try_from(channels).map_err(|_| invalid)?;
            }
        }
        Ok(layout)
    }

    /// The usual layout of so many channels: channels that are kept apart have no
    /// speakers of their own, where fewer of them come.
    fn usual(channels: u32) -> Result<Self, ffmpeg::Error> {
        let mut layout = Self::new(None, channels)?;
        // SAFETY: overwrites a plain struct; default layouts own no memory.
        unsafe { av_channel_layout_default(&raw mut layout.0, layout.0.nb_channels) };
        Ok(layout)
    }

    /// # Safety
    /// `source` is a valid layout.
    pub(super) unsafe fn copy_of(source: *const AVChannelLayout) -> Self {
        // SAFETY: zeroed is valid; the copy reads a valid layout by contract. On
        // failure (out of memory) the target is left empty, which is valid.
        unsafe {
            let mut copy = Self(std::mem::zeroed());
            av_channel_layout_copy(&raw mut copy.0, source);
            copy
        }
    }

    pub(super) fn channels(&self) -> u32 {
        u32::try_from(self.0.nb_channels).unwrap_or(0)
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut AVChannelLayout {
        &raw mut self.0
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: a valid layout, freed once.
        unsafe { av_channel_layout_uninit(&raw mut self.0) }
    }
}

/// Converts frames of one kind to packed 32-bit float at 48 kHz, in the output's
/// channels. Channels keep their position: a source with as many channels as the
/// output is never mixed.
pub(crate) struct Resampler {
    context: *mut SwrContext,
    source: (AVSampleFormat, i32, u32),
    channels: u32,
}

// SAFETY: the context is owned by this value alone and has no thread affinity.
unsafe impl Send for Resampler {}

impl Resampler {
    /// A resampler for frames like `first`.
    pub(crate) fn new(
        first: &Audio,
        layout: Option<&str>,
        channels: u32,
    ) -> Result<Self, ffmpeg::Error> {
        super::init();
        let mut to = match layout {
            None if frame::channels(first) != channels => Layout::usual(channels)?,
            named => Layout::new(named, channels)?,
        };
        // The plan chose an output layout that names the source's speakers, so the
        // same number of channels means the same channels (5.1(side) is 5.1).
        let mut from = if frame::channels(first) == channels {
            Layout::new(layout, channels)?
        } else {
            frame::layout(first)
        };
        let mut resampler = Self {
            context: ptr::null_mut(),
            source: kind(first),
            channels,
        };
        let (format, rate, _) = resampler.source;
        // SAFETY: both layouts are valid for the call, and the context pointer is
        // null, so a new one is allocated; `Drop` frees it.
        unsafe {
            check(swr_alloc_set_opts2(
                &raw mut resampler.context,
                to.as_mut_ptr(),
                AVSampleFormat::AV_SAMPLE_FMT_FLT,
                OPUS_RATE_HZ as i32,
                from.as_mut_ptr(),
                format,
                rate,
                0,
                ptr::null_mut(),
            ))?;
            check(swr_init(resampler.context))?;
        }
        Ok(resampler)
    }

    /// Whether `frame` is of the kind that this resampler was made for.
    pub(crate) fn fits(&self, frame: &Audio) -> bool {
        kind(frame) == self.source
    }

    /// Appends the frame's samples (or, for `None`, what is still held back) to `out`.
    pub(crate) fn convert(
        &mut self,
        frame: Option<&Audio>,
        out: &mut Vec<f32>,
    ) -> Result<(), ffmpeg::Error> {
        let samples = frame.map_or(0, |f| i32::try_from(f.samples()).unwrap_or(0));
        // SAFETY: the context is initialised.
        let room = check(unsafe { swr_get_out_samples(self.context, samples) })?;
        let channels = self.channels as usize;
        let start = out.len();
        out.resize(start + room as usize * channels, 0.0);
        // SAFETY: `out` has room for `room` samples of all channels behind `start`;
        // the frame is of the kind the context was made for (`fits`), so its
        // `extended_data` holds as many planes as the context reads.
        let written = unsafe {
            let mut target = out.as_mut_ptr().add(start).cast::<u8>();
            let source = frame.map_or(ptr::null_mut(), |f| (*f.as_ptr()).extended_data);
            check(swr_convert(
                self.context,
                &raw mut target,
                room,
                source.cast::<*const u8>(),
                samples,
            ))
        };
        let written = written.inspect_err(|_| out.truncate(start))?;
        out.truncate(start + written as usize * channels);
        Ok(())
    }
}

impl Drop for Resampler {
    fn drop(&mut self) {
        // SAFETY: allocated by `new` (or null), freed once.
        unsafe { swr_free(&raw mut self.context) }
    }
}

fn kind(frame: &Audio) -> (AVSampleFormat, i32, u32) {
    // SAFETY: the frame is live.
    let rate = unsafe { (*frame.as_ptr()).sample_rate };
    (frame.format().into(), rate, frame::channels(frame))
}
