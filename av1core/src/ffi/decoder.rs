//! Decoders, audio and video alike.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Frame, Packet, codec, decoder};

use super::encoder::extradata;
use crate::h264;
use crate::units::TimeBase;

/// An opened decoder. Timestamps of its frames are in the time base it was opened with.
pub(crate) struct Decoder(decoder::Opened);

/// What a decoder answers when asked for a frame.
pub(crate) enum Received {
    /// The frame was filled.
    Frame,
    /// It wants another packet first.
    NeedsPacket,
    /// It has given everything.
    End,
}

const FFMPEG_9_LIBAVCODEC: u32 = 63 << 16;

/// Opens the decoder for `parameters`. `threads` of `None` leaves their number to libavcodec.
///
/// H.264 that may have fields is decoded by one thread before FFmpeg 9. Where packets are
/// fields, several threads take the two of a frame, and libavcodec then holds a second
/// field against the error table of a frame that its thread has decoded before: sound
/// pictures come out as damaged (`ff_er_add_slice`, `er.cur_pic` in h264dec.c; with 5.1
/// and 7.1 up to 10 of 14 frames in a film of frames and fields, with 9.0 none in 30
/// runs). Threads by slices would not tell of true damage.
pub(crate) fn open_decoder(
    parameters: codec::Parameters,
    time_base: TimeBase,
    threads: Option<u32>,
) -> Result<Decoder, ffmpeg::Error> {
    let found = decoder::find(parameters.id()).ok_or(ffmpeg::Error::DecoderNotFound)?;
    let is_h264 = parameters.id() == codec::Id::H264;
    let mut context = codec::Context::from_parameters(parameters)?;
    let takes_fields_for_damage = codec::version() < FFMPEG_9_LIBAVCODEC;
    let by_one = takes_fields_for_damage
        && is_h264
        && h264::may_have_fields(&extradata(&context)) != Some(false);
    let threads = if by_one { Some(1) } else { threads };
    // SAFETY: the context is owned and not opened yet. `thread_count` 0 means
    // that libavcodec chooses; thread types stay as they are, which is all that
    // the decoder can do.
    unsafe {
        let raw = &mut *context.as_mut_ptr();
        raw.thread_count = threads.map_or(0, |n| i32::try_from(n).unwrap_or(0));
        // Without it the decoder cannot cut priming samples off (AV_PKT_DATA_SKIP_SAMPLES).
        raw.pkt_timebase = ffmpeg::ffi::AVRational {
            num: time_base.num,
            den: time_base.den,
        };
    }
    context.decoder().open_as(found).map(Decoder)
}

impl Decoder {
    /// Gives the decoder a packet; every frame must have been taken before. An empty
    /// one is an end, as [`send_end`](Self::send_end) tells it.
    pub(crate) fn send(&mut self, packet: &Packet) -> Result<(), ffmpeg::Error> {
        self.0.send_packet(packet)
    }

    /// Makes a decoder that has come to an end ready for another beginning.
    pub(crate) fn begin_again(&mut self) {
        self.0.flush();
    }

    /// Tells the decoder that there is nothing more.
    pub(crate) fn send_end(&mut self) -> Result<(), ffmpeg::Error> {
        self.0.send_eof()
    }

    /// Takes a frame.
    pub(crate) fn receive(&mut self, frame: &mut Frame) -> Result<Received, ffmpeg::Error> {
        match self.0.receive_frame(frame) {
            Ok(()) => Ok(Received::Frame),
            Err(ffmpeg::Error::Eof) => Ok(Received::End),
            Err(ffmpeg::Error::Other { errno }) if errno == ffmpeg::error::EAGAIN => {
                Ok(Received::NeedsPacket)
            }
            Err(error) => Err(error),
        }
    }
}
