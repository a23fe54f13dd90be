//! Decoders, audio and video alike.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::{Frame, Packet, codec, decoder};

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

/// Opens the decoder for `parameters`. `threads` of `None` leaves their number to libavcodec.
pub(crate) fn open_decoder(
    parameters: codec::Parameters,
    time_base: TimeBase,
    threads: Option<u32>,
) -> Result<Decoder, ffmpeg::Error> {
    let found = decoder::find(parameters.id()).ok_or(ffmpeg::Error::DecoderNotFound)?;
    let mut context = codec::Context::from_parameters(parameters)?;
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
