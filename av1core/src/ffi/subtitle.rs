//! Text subtitles to those of another container, through libavcodec's decoder and encoder.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi::*;
use ffmpeg_next::packet::Ref;
use ffmpeg_next::{Packet, codec, decoder, encoder};

use super::check;
use crate::units::TimeBase;

/// The longest packet of text; a subtitle of this many bytes is not one.
const LARGEST_SUBTITLE_BYTES: usize = 64 * 1024;

/// Turns packets of one text subtitle stream into packets of another text codec.
pub(crate) struct TextConverter {
    decoder: codec::Context,
    encoder: codec::Context,
    base: TimeBase,
}

impl TextConverter {
    /// A converter for packets described by `parameters` to the codec named `codec`.
    pub(crate) fn new(
        parameters: codec::Parameters,
        time_base: TimeBase,
        codec: &str,
    ) -> Result<Self, ffmpeg::Error> {
        let found = decoder::find(parameters.id()).ok_or(ffmpeg::Error::DecoderNotFound)?;
        let wanted = encoder::find_by_name(codec).ok_or(ffmpeg::Error::EncoderNotFound)?;
        let mut from = codec::Context::from_parameters(parameters)?;
        let mut to = codec::Context::new_with_codec(wanted);
        // SAFETY: both contexts are owned and not opened yet. The header (styles,
        // as ASS) is copied into memory that passes into the encoder's ownership:
        // `avcodec_free_context` frees it.
        unsafe {
            let raw = &mut *from.as_mut_ptr();
            raw.pkt_timebase = AVRational {
                num: time_base.num,
                den: time_base.den,
            };
            check(avcodec_open2(raw, found.as_ptr(), std::ptr::null_mut()))?;
            let target = &mut *to.as_mut_ptr();
            let size = usize::try_from(raw.subtitle_header_size).unwrap_or(0);
            if !raw.subtitle_header.is_null() && size > 0 {
                let header = av_mallocz(size + 1).cast::<u8>();
                if header.is_null() {
                    return Err(ffmpeg::Error::Other {
                        errno: ffmpeg::error::ENOMEM,
                    });
                }
                std::ptr::copy_nonoverlapping(raw.subtitle_header.cast_const(), header, size);
                target.subtitle_header = header;
                target.subtitle_header_size = raw.subtitle_header_size;
            }
            target.time_base = AVRational { num: 1, den: 1000 };
            check(avcodec_open2(target, wanted.as_ptr(), std::ptr::null_mut()))?;
        }
        Ok(Self {
            decoder: from,
            encoder: to,
            base: time_base,
        })
    }

    /// The encoder's context, for the stream that its packets are for.
    pub(crate) fn context(&self) -> &codec::Context {
        &self.encoder
    }

    /// The packet's text; `None` where nothing is to be shown yet (mov_text fills gaps
    /// with empty packets, captions are written letter by letter).
    pub(crate) fn convert(&mut self, packet: &Packet) -> Result<Option<Packet>, ffmpeg::Error> {
        let Some((text, span)) = self.decode(packet)? else {
            return Ok(None);
        };
        let mut converted = Packet::copy(&text);
        // The decoder rounds to milliseconds what it takes over from the packet.
        let own = packet.pts().map(|pts| self.base.micros(pts));
        let (start, duration) = match (packet.pts(), span) {
            (Some(pts), Some((start_us, _))) if own == Some(start_us) && packet.duration() > 0 => {
                (Some(pts), packet.duration())
            }
            (_, Some((start_us, length_us))) => {
                let ticks = |us| TimeBase::MICROS.rescale(us, self.base);
                (Some(ticks(start_us)), ticks(length_us))
            }
            (pts, None) => (pts, packet.duration()),
        };
        converted.set_pts(start);
        converted.set_dts(start);
        converted.set_duration(duration);
        converted.set_flags(packet.flags());
        Ok(Some(converted))
    }

    /// What the decoder still holds when the packets have ended.
    pub(crate) fn finish(&mut self) -> Result<Option<Packet>, ffmpeg::Error> {
        // SAFETY: the decoder is opened.
        let capabilities = unsafe { (*(*self.decoder.as_ptr()).codec).capabilities };
        if capabilities as u32 & AV_CODEC_CAP_DELAY == 0 {
            return Ok(None);
        }
        self.convert(&Packet::empty())
    }

    /// Text and, where the decoder tells them, start and length in microseconds.
    fn decode(&mut self, packet: &Packet) -> Result<Option<Decoded>, ffmpeg::Error> {
        let mut text = vec![0u8; LARGEST_SUBTITLE_BYTES];
        // SAFETY: both contexts are opened; `subtitle` is zeroed plain data that the
        // decoder fills and `avsubtitle_free` empties on every path; the encoder
        // writes at most `text.len()` bytes.
        let (size, span) = unsafe {
            let mut subtitle: AVSubtitle = std::mem::zeroed();
            let mut complete = 0;
            let decoded = check(avcodec_decode_subtitle2(
                self.decoder.as_mut_ptr(),
                &raw mut subtitle,
                &raw mut complete,
                packet.as_ptr().cast_mut(),
            ));
            let encoded = match decoded {
                Ok(_) if complete != 0 && subtitle.num_rects > 0 => check(avcodec_encode_subtitle(
                    self.encoder.as_mut_ptr(),
                    text.as_mut_ptr(),
                    text.len() as i32,
                    &raw const subtitle,
                )),
                other => other.map(|_| 0),
            };
            let span = span(&subtitle);
            avsubtitle_free(&raw mut subtitle);
            (encoded?, span)
        };
        text.truncate(usize::try_from(size).unwrap_or(0));
        let shows = !text.iter().all(u8::is_ascii_whitespace);
        Ok(shows.then_some((text, span)))
    }
}

type Decoded = (Vec<u8>, Option<(i64, i64)>);

fn span(subtitle: &AVSubtitle) -> Option<(i64, i64)> {
    let (from, to) = (subtitle.start_display_time, subtitle.end_display_time);
    let length = to
        .checked_sub(from)
        .filter(|ms| *ms > 0 && to != u32::MAX)?;
    let start = (subtitle.pts != AV_NOPTS_VALUE).then_some(subtitle.pts)?;
    Some((start + i64::from(from) * 1000, i64::from(length) * 1000))
}
