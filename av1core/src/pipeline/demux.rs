//! The first step: packets from the file to whoever takes their stream.

use ffmpeg_next::Packet;

use super::mux::Muxed;
use super::queue::{Limits, Receiver, Sender, Stop, queue};
use super::{Halt, Run};
use crate::error::{ErrorKind, Stage};
use crate::ffi::{Demuxer, TextConverter};
use crate::units::TimeBase;

/// Packets wait here for a decoder. Generous, since packets are small and reading
/// from a share comes in bursts; a 4K intra frame at 400 Mbit/s is 2 MB.
const PACKETS: Limits = Limits {
    items: 256,
    bytes: 32 * 1024 * 1024,
};

pub(super) fn packet_queue(stop: &Stop) -> (Sender<Packet>, Receiver<Packet>) {
    queue(PACKETS, stop)
}

/// Where the packets of a stream go.
pub(super) enum Route {
    /// To a decoder.
    Decode(Sender<Packet>),
    /// To the muxer as they are.
    Copy(Sender<Muxed>, usize),
    /// To the muxer, as text of another codec.
    Text(Sender<Muxed>, usize, Box<TextConverter>),
    /// Nowhere.
    Discard,
}

/// How far the streams reach, as read from the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach {
    /// Latest end of a packet by stream, in microseconds.
    pub(super) end_us: Vec<Option<i64>>,
    /// Packets that the demuxer could not make sense of.
    pub(super) damaged: u64,
}

pub(super) fn demux(
    run: &Run<'_>,
    mut demuxer: Demuxer,
    mut routes: Vec<Route>,
) -> Result<Reach, Halt> {
    let mut reach = Reach {
        end_us: vec![None; routes.len()],
        ..Reach::default()
    };
    let bases: Vec<TimeBase> = (0..routes.len()).map(|i| demuxer.time_base(i)).collect();
    if let Some(ticks) = run.segment.decode_from {
        let index = run.video_index();
        demuxer
            .seek(index, ticks)
            .map_err(|e| run.library_error(ErrorKind::Library, Stage::Demux, "cannot seek", e))?;
    }
    demuxer.keep_only(|index| !matches!(routes.get(index), Some(Route::Discard)));
    loop {
        run.stop.check()?;
        let packet = match demuxer.read(&mut reach.damaged) {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(error) => {
                let failed =
                    |kind, message: &str| run.library_error(kind, Stage::Demux, message, error);
                return Err(match demuxer.take_io_error() {
                    Some(io) => failed(ErrorKind::Unreadable, "cannot be read further").with_io(io),
                    None => failed(ErrorKind::Damaged, "cannot be read further"),
                }
                .into());
            }
        };
        let index = packet.stream();
        let Some(route) = routes.get_mut(index) else {
            if demuxer.is_data(index) {
                continue;
            }
            let message = "a stream appears in the middle of the file, and would be lost; \
                           a remux of the source shows it from the start";
            let error = run.error(ErrorKind::Mismatch, Stage::Demux, message);
            return Err(error.with_stream(index).into());
        };
        if let Some(start) = packet.pts().or(packet.dts()) {
            let end_us = bases[index].micros(start.saturating_add(packet.duration().max(0)));
            let latest = &mut reach.end_us[index];
            *latest = Some(latest.map_or(end_us, |e: i64| e.max(end_us)));
        }
        forward(route, packet)?;
    }
    // At the end of the file libavformat reports success; a share that went away
    // in the middle of it is told by the file alone.
    if let Some(io) = demuxer.take_io_error() {
        return Err(run
            .error(
                ErrorKind::Unreadable,
                Stage::Demux,
                "cannot be read to its end",
            )
            .with_io(io)
            .into());
    }
    Ok(reach)
}

fn forward(route: &mut Route, packet: Packet) -> Result<(), Halt> {
    let bytes = packet.size();
    match route {
        Route::Decode(decoder) => {
            // A decoder that has all it needs (the end of a segment) closes its
            // queue: the rest of the stream is nobody's.
            if decoder.send(packet, bytes).is_err() {
                return Err(Halt::Stopped);
            }
        }
        Route::Copy(muxer, track) => muxer.send(Muxed::packet(*track, packet), bytes)?,
        Route::Text(muxer, track, converter) => {
            // A subtitle that does not decode shows nothing; the film goes on.
            if let Ok(Some(text)) = converter.convert(&packet) {
                let bytes = text.size();
                muxer.send(Muxed::packet(*track, text), bytes)?;
            }
        }
        Route::Discard => {}
    }
    Ok(())
}
