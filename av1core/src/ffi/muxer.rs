//! A file being written.

use std::fs::File;
use std::io;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec;
use ffmpeg_next::ffi::*;
use ffmpeg_next::format::context::{Output, StreamIo};
use ffmpeg_next::media::Type;
use ffmpeg_next::packet::Mut;

use super::io::{Ledger, Tracked};
use super::{check, dictionary, hdr};
use crate::container::Container;
use crate::media::{Chapter, ContentLight, Disposition, MasteringDisplay, Tags};
use crate::units::{Ratio, TimeBase};

/// Bytes handed to the file at once.
const WRITE_BYTES: usize = 1024 * 1024;

/// A muxer over one file.
pub(crate) struct Muxer {
    output: Output,
    ledger: Ledger,
    container: Container,
    /// Ticks a second in which MP4 says when a track starts: the video's own, so that
    /// its start is exact (libavformat's default is 1000).
    movie_timescale: i32,
}

/// A stream to be added to a file.
pub(crate) enum NewStream<'a> {
    /// The packets of an encoder.
    Encoded {
        /// The opened encoder.
        context: &'a codec::Context,
    },
    /// The packets of a video encoder.
    Video {
        /// The opened encoder.
        context: &'a codec::Context,
        /// Frame rate, where every frame lasts equally long.
        frame_rate: Option<Ratio>,
        /// What the container says of HDR, beside the bitstream.
        mastering_display: Option<&'a MasteringDisplay>,
        /// So too.
        content_light: Option<ContentLight>,
        /// The encoder has a Dolby Vision configuration, which is to be written.
        dolby_vision: bool,
    },
    /// Packets as another file has them.
    Copied {
        /// Their codec parameters.
        parameters: &'a codec::Parameters,
        /// Shape of a pixel, which some containers keep outside of these.
        sample_aspect_ratio: Option<Ratio>,
    },
    /// A picture that is attached to an MP4 file.
    Cover {
        /// Its codec parameters.
        parameters: &'a codec::Parameters,
    },
    /// An attached file.
    Attachment {
        /// Its content.
        content: &'a [u8],
    },
}

/// Who delays a stream's packets, in samples at 48 kHz.
#[derive(Clone, Copy, Default)]
pub(crate) struct CodecDelay {
    /// To be added to packets before they are written.
    pub(crate) left_to_us: i64,
    /// Added by the muxer, which so takes packets that start this long before zero.
    pub(crate) added_by_muxer: i64,
}

impl Muxer {
    /// A muxer that writes into `file`.
    pub(crate) fn new(file: File, container: Container) -> Result<Self, ffmpeg::Error> {
        super::init();
        let (tracked, ledger) = Tracked::new(file);
        let io = StreamIo::from_write_seek_with_capacity(tracked, WRITE_BYTES)?;
        let output = ffmpeg::format::output_to_stream(io, None, Some(container.muxer()))?;
        Ok(Self {
            output,
            ledger,
            container,
            movie_timescale: 1000,
        })
    }

    /// Adds a stream and returns its index.
    pub(crate) fn add(
        &mut self,
        new: &NewStream<'_>,
        tags: &Tags,
        disposition: Disposition,
    ) -> Result<usize, ffmpeg::Error> {
        if matches!(new, NewStream::Video { dolby_vision, .. } if *dolby_vision) {
            // MP4's muxer writes the configuration of Dolby's, who are no standards body,
            // on this condition alone (movenc.c, `mov_write_video_tag`).
            // SAFETY: the context is live; this is a plain field.
            unsafe { (*self.output.as_mut_ptr()).strict_std_compliance = FF_COMPLIANCE_UNOFFICIAL };
        }
        // SAFETY: the context is live and its header not written yet. The new
        // stream and its parameters belong to it; `par` is freshly made, and every
        // function used on it takes care of what it held before.
        unsafe {
            let stream = avformat_new_stream(self.output.as_mut_ptr(), std::ptr::null());
            let stream = stream.as_mut().ok_or(ffmpeg::Error::Other {
                errno: ffmpeg::error::ENOMEM,
            })?;
            let par = &mut *stream.codecpar;
            match new {
                NewStream::Encoded { context } => {
                    check(avcodec_parameters_from_context(par, context.as_ptr()))?;
                    stream.time_base = (*context.as_ptr()).time_base;
                }
                NewStream::Video {
                    context,
                    frame_rate,
                    mastering_display,
                    content_light,
                    ..
                } => {
                    check(avcodec_parameters_from_context(par, context.as_ptr()))?;
                    // MP4 counts in what it is told, so that times stay exact; Matroska
                    // counts in milliseconds whatever it is told.
                    stream.time_base = (*context.as_ptr()).time_base;
                    self.movie_timescale = stream.time_base.den.max(1000);
                    stream.sample_aspect_ratio = par.sample_aspect_ratio;
                    if let Some(rate) = frame_rate {
                        stream.avg_frame_rate = AVRational {
                            num: rate.num,
                            den: rate.den,
                        };
                    }
                    hdr::describe(stream, *mastering_display, *content_light)?;
                }
                NewStream::Cover { parameters } => {
                    check(avcodec_parameters_copy(par, parameters.as_ptr()))?;
                    par.codec_tag = 0;
                    stream.disposition = AV_DISPOSITION_ATTACHED_PIC;
                }
                NewStream::Copied {
                    parameters,
                    sample_aspect_ratio,
                } => {
                    check(avcodec_parameters_copy(par, parameters.as_ptr()))?;
                    if let Some(shape) = sample_aspect_ratio {
                        par.sample_aspect_ratio = AVRational {
                            num: shape.num,
                            den: shape.den,
                        };
                    }
                    stream.sample_aspect_ratio = par.sample_aspect_ratio;
                    // The other container's code for the codec means nothing here.
                    par.codec_tag = 0;
                }
                NewStream::Attachment { content } => {
                    par.codec_type = AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
                    // The media type stands in the tags (`mimetype`).
                    par.codec_id = AVCodecID::AV_CODEC_ID_NONE;
                    set_extradata(par, content)?;
                }
            }
            stream.disposition |= disposition_bits(disposition);
            stream.metadata = dictionary::from_pairs(tags).disown();
            Ok(stream.index as usize)
        }
    }

    /// Sets the tags of the whole file.
    pub(crate) fn set_tags(&mut self, tags: &Tags) {
        self.output.set_metadata(dictionary::from_pairs(tags));
    }

    /// Adds a chapter, moved by `shift_us`.
    pub(crate) fn add_chapter(
        &mut self,
        id: usize,
        chapter: &Chapter,
        shift_us: i64,
    ) -> Result<(), ffmpeg::Error> {
        let start = chapter.start_us.saturating_add(shift_us).max(0);
        let end = chapter.end_us.saturating_add(shift_us).max(start);
        let title = chapter.title.as_deref().unwrap_or("").replace('\0', "");
        let base = ffmpeg::Rational(1, 1_000_000);
        // Matroska's chapter identifiers start at 1.
        let id = i64::try_from(id).unwrap_or(i64::MAX).saturating_add(1);
        self.output
            .add_chapter(id, base, start, end, title)
            .map(drop)
    }

    /// Writes the header; time bases are final after it.
    pub(crate) fn write_header(&mut self) -> Result<(), ffmpeg::Error> {
        // SAFETY: the context is live. Timestamps are shifted by the plan, and
        // by nothing else.
        unsafe { (*self.output.as_mut_ptr()).avoid_negative_ts = 0 };
        let options = match self.container {
            // Dispositions as set, not guessed ("infer" was FFmpeg 4's default).
            Container::Matroska => ("default_mode", "passthrough".to_owned()),
            Container::Mp4 => ("movie_timescale", self.movie_timescale.to_string()),
        };
        let options = dictionary::from_pairs([options]);
        self.output.write_header_with(options).map(drop)
    }

    /// What a stream's times in the file are later than its packets' own. Opus
    /// starts with samples that a player discards (RFC 7845, section 4.2), which
    /// Matroska calls `CodecDelay`: block times include them, packet times do not.
    /// FFmpeg 7.1's muxer adds them (matroskaenc.c, `ts_offset`; since 6), 5.1's does not.
    pub(crate) fn codec_delay(&self, index: usize) -> CodecDelay {
        const FFMPEG_6_LIBAVFORMAT: u32 = 60 << 16;
        let samples = self.output.stream(index).map_or(0, |stream| {
            let parameters = stream.parameters();
            // SAFETY: the parameters belong to the live stream.
            let par = unsafe { &*parameters.as_ptr() };
            let is_opus = par.codec_id == AVCodecID::AV_CODEC_ID_OPUS;
            i64::from(if is_opus { par.initial_padding } else { 0 })
        });
        // MP4 has an edit list for it, which its muxer writes.
        let left_to_us = self.container == Container::Matroska
            && ffmpeg::format::version() < FFMPEG_6_LIBAVFORMAT;
        let (left_to_us, added_by_muxer) = if left_to_us {
            (samples, 0)
        } else {
            (0, samples)
        };
        CodecDelay {
            left_to_us,
            added_by_muxer,
        }
    }

    /// The time base of a stream's packets in the file.
    pub(crate) fn time_base(&self, index: usize) -> TimeBase {
        self.output
            .stream(index)
            .map_or(TimeBase::MILLIS, |stream| {
                let base = stream.time_base();
                TimeBase::new(base.numerator(), base.denominator())
            })
    }

    /// Writes a packet, whose timestamps are in the stream's time base. Packets
    /// come interleaved.
    pub(crate) fn write(
        &mut self,
        packet: &mut ffmpeg::Packet,
        index: usize,
    ) -> Result<(), ffmpeg::Error> {
        packet.set_stream(index);
        packet.set_position(-1);
        packet.write(&mut self.output)?;
        // libavio puts a write off until its buffer is full, so the error of an
        // earlier packet may only show here.
        // SAFETY: the context has an I/O context for as long as it lives.
        check(unsafe { (*(*self.output.as_ptr()).pb).error }).map(drop)
    }

    /// Writes index and sizes, and everything that is still buffered.
    pub(crate) fn finish(&mut self) -> Result<(), ffmpeg::Error> {
        self.output.write_trailer()?;
        // SAFETY: the context has an I/O context for as long as it lives.
        unsafe {
            let io = (*self.output.as_mut_ptr()).pb;
            avio_flush(io);
            check((*io).error).map(drop)
        }
    }

    /// Bytes of the file so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.ledger.bytes()
    }

    /// The operating system's error behind the last failure, if it was one.
    pub(crate) fn take_io_error(&self) -> Option<io::Error> {
        self.ledger.take_error()
    }
}

/// Whether the muxer takes packets described by `parameters` as they are. It is asked
/// by writing a header into memory: of its list of codecs (`avformat_query_codec`) it
/// refuses some (RealAudio), and it takes others that are not on it, by the codes of
/// AVI and WAV.
pub(super) fn holds(parameters: &codec::Parameters) -> bool {
    // Matroska has one id for plain text, which readers take for SRT (matroska.c), so
    // that a `<` in it would become markup.
    if matches!(
        parameters.medium(),
        Type::Data | Type::Attachment | Type::Unknown
    ) || parameters.id() == codec::Id::TEXT
    {
        return false;
    }
    let new = NewStream::Copied {
        parameters,
        sample_aspect_ratio: None,
    };
    let take = || {
        super::init();
        let io = StreamIo::from_write_seek(io::Cursor::new(Vec::new()))?;
        let mut muxer = Muxer {
            output: ffmpeg::format::output_to_stream(io, None, Some("matroska"))?,
            ledger: Ledger::default(),
            container: Container::Matroska,
            movie_timescale: 1000,
        };
        muxer.add(&new, &Tags::new(), Disposition::default())?;
        muxer.write_header()
    };
    take().is_ok()
}

/// Sets the duration of a packet that an encoder left without one.
pub(crate) fn default_duration(packet: &mut ffmpeg::Packet, ticks: i64) {
    if packet.duration() <= 0 {
        // SAFETY: the packet is owned by the caller; this is a plain field.
        unsafe { (*packet.as_mut_ptr()).duration = ticks };
    }
}

/// # Safety
/// `par` is a live parameter set with no extradata.
unsafe fn set_extradata(par: &mut AVCodecParameters, content: &[u8]) -> Result<(), ffmpeg::Error> {
    let size = i32::try_from(content.len()).map_err(|_| ffmpeg::Error::InvalidData)?;
    // SAFETY: the buffer has the padding that libavcodec wants behind the content
    // (zeroed), and passes into the ownership of `par`.
    unsafe {
        let buffer = av_mallocz(content.len() + AV_INPUT_BUFFER_PADDING_SIZE as usize);
        if buffer.is_null() {
            return Err(ffmpeg::Error::Other {
                errno: ffmpeg::error::ENOMEM,
            });
        }
        let buffer = buffer.cast::<u8>();
        std::ptr::copy_nonoverlapping(content.as_ptr(), buffer, content.len());
        par.extradata = buffer;
        par.extradata_size = size;
    }
    Ok(())
}

fn disposition_bits(disposition: Disposition) -> i32 {
    let flags = [
        (disposition.default, AV_DISPOSITION_DEFAULT),
        (disposition.forced, AV_DISPOSITION_FORCED),
        (disposition.original, AV_DISPOSITION_ORIGINAL),
        (disposition.dub, AV_DISPOSITION_DUB),
        (disposition.commentary, AV_DISPOSITION_COMMENT),
        (
            disposition.hearing_impaired,
            AV_DISPOSITION_HEARING_IMPAIRED,
        ),
        (disposition.visual_impaired, AV_DISPOSITION_VISUAL_IMPAIRED),
        (disposition.descriptions, AV_DISPOSITION_DESCRIPTIONS),
    ];
    flags
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(0, |bits, (_, bit)| bits | bit)
}
