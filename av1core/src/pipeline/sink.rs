//! Where a run's packets go: into a file, or nowhere when a film is only watched.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::Packet;

use crate::ffi::{CodecDelay, Muxer, NewStream};
use crate::media::{Chapter, Disposition, Tags};
use crate::units::TimeBase;

/// The end of the pipeline.
pub(super) enum Sink {
    /// A file being written.
    File(Muxer),
    /// Nothing is written.
    Nowhere,
}

impl Sink {
    /// Adds a stream and returns its index.
    pub(super) fn add(
        &mut self,
        new: &NewStream<'_>,
        tags: &Tags,
        disposition: Disposition,
    ) -> Result<usize, ffmpeg::Error> {
        match self {
            Self::File(muxer) => muxer.add(new, tags, disposition),
            Self::Nowhere => Ok(0),
        }
    }

    pub(super) fn set_tags(&mut self, tags: &Tags) {
        if let Self::File(muxer) = self {
            muxer.set_tags(tags);
        }
    }

    pub(super) fn add_chapter(
        &mut self,
        id: usize,
        chapter: &Chapter,
        shift_us: i64,
    ) -> Result<(), ffmpeg::Error> {
        match self {
            Self::File(muxer) => muxer.add_chapter(id, chapter, shift_us),
            Self::Nowhere => Ok(()),
        }
    }

    pub(super) fn write_header(&mut self) -> Result<(), ffmpeg::Error> {
        match self {
            Self::File(muxer) => muxer.write_header(),
            Self::Nowhere => Ok(()),
        }
    }

    pub(super) fn codec_delay(&self, index: usize) -> CodecDelay {
        match self {
            Self::File(muxer) => muxer.codec_delay(index),
            Self::Nowhere => CodecDelay::default(),
        }
    }

    pub(super) fn time_base(&self, index: usize) -> TimeBase {
        match self {
            Self::File(muxer) => muxer.time_base(index),
            Self::Nowhere => TimeBase::MILLIS,
        }
    }

    pub(super) fn write(&mut self, packet: &mut Packet, index: usize) -> Result<(), ffmpeg::Error> {
        match self {
            Self::File(muxer) => muxer.write(packet, index),
            Self::Nowhere => Ok(()),
        }
    }

    pub(super) fn finish(&mut self) -> Result<(), ffmpeg::Error> {
        match self {
            Self::File(muxer) => muxer.finish(),
            Self::Nowhere => Ok(()),
        }
    }

    /// Bytes of the file so far.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::File(muxer) => muxer.bytes(),
            Self::Nowhere => 0,
        }
    }

    /// The operating system's error behind the last failure, if it was one.
    pub(super) fn take_io_error(&self) -> Option<std::io::Error> {
        match self {
            Self::File(muxer) => muxer.take_io_error(),
            Self::Nowhere => None,
        }
    }
}
