//! The first step: packets from the file to whoever takes their stream.

use std::sync::atomic::Ordering;

use ffmpeg_next::Packet;

use super::clock_jumps::{CLOCK_HZ, ClockJumps, Flow, Placed, Stamp, Times};
use super::mux::Muxed;
use super::queue::{Limits, Receiver, Sender, Stop, queue};
use super::{Halt, Run};
use crate::error::{Error, ErrorKind, Stage};
use crate::ffi::{Demuxer, TextConverter};
use crate::media::{MediaInfo, StreamKind};
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
    /// To a decoder; an empty packet ends a recording that another one follows.
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
    /// Jumps of the source's clock, carried through.
    pub(super) clock_jumps: u64,
}

pub(super) fn demux(
    run: &Run<'_>,
    mut demuxer: Demuxer,
    routes: Vec<Route>,
) -> Result<Reach, Halt> {
    let bases: Vec<TimeBase> = (0..routes.len()).map(|i| demuxer.time_base(i)).collect();
    let mut forwarder = Forwarder {
        run,
        routes,
        reach: Reach {
            end_us: vec![None; bases.len()],
            ..Reach::default()
        },
        clock: clock(run.job.info, &bases),
        bases,
        ready: Vec::new(),
    };
    if let Some(ticks) = run.segment.decode_from {
        let index = run.video_index();
        demuxer
            .seek(index, ticks)
            .map_err(|e| run.library_error(ErrorKind::Library, Stage::Demux, "cannot seek", e))?;
    }
    demuxer.keep_only(|index| forwarder.wants(index));
    let mut damaged = 0;
    loop {
        run.stop.check()?;
        match demuxer.read(&mut damaged) {
            Ok(Some(packet)) if packet.stream() < forwarder.routes.len() => {
                forwarder.put(packet)?;
            }
            Ok(Some(packet)) if demuxer.is_data(packet.stream()) => {}
            Ok(Some(packet)) => return Err(late_stream(run, packet.stream()).into()),
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
        }
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
    let mut reach = forwarder.finish()?;
    reach.damaged = damaged;
    Ok(reach)
}

fn late_stream(run: &Run<'_>, index: usize) -> Error {
    let message = "a stream appears in the middle of the file, and would be lost; \
                   a remux of the source shows it from the start";
    run.error(ErrorKind::Mismatch, Stage::Demux, message)
        .with_stream(index)
}

/// What watches over the clock, where a container's clock may jump. These are those
/// with libavformat's `AVFMT_TS_DISCONT` that can hold a film and count as MPEG does.
pub(crate) fn clock<T>(info: &MediaInfo, bases: &[TimeBase]) -> Option<ClockJumps<T>> {
    let mpeg = TimeBase::new(1, CLOCK_HZ as i32);
    let broadcast = matches!(info.container.as_str(), "mpegts" | "mpeg");
    (broadcast && bases.iter().all(|base| *base == mpeg)).then(|| {
        let flows = info.streams.iter().map(|stream| match &stream.kind {
            StreamKind::Video(_) => Flow::Video,
            StreamKind::Audio(_) => Flow::Sound,
            _ => Flow::Sparse,
        });
        ClockJumps::new(flows)
    })
}

/// What the clock must know of a packet.
pub(crate) fn stamp(packet: &Packet) -> Stamp {
    Stamp {
        stream: packet.stream(),
        position: i64::try_from(packet.position()).ok().filter(|p| *p >= 0),
        times: Times {
            pts: packet.pts(),
            dts: packet.dts(),
        },
        duration: packet.duration(),
    }
}

/// Sends packets where their stream goes, with the times they have in the whole film.
struct Forwarder<'r, 'a> {
    run: &'r Run<'a>,
    routes: Vec<Route>,
    bases: Vec<TimeBase>,
    reach: Reach,
    clock: Option<ClockJumps<Packet>>,
    ready: Vec<Placed<Packet>>,
}

impl Forwarder<'_, '_> {
    fn wants(&self, index: usize) -> bool {
        !matches!(self.routes.get(index), Some(Route::Discard))
    }

    fn put(&mut self, packet: Packet) -> Result<(), Halt> {
        match &mut self.clock {
            Some(clock) => {
                clock.put(stamp(&packet), packet, &mut self.ready);
                self.forward_ready()
            }
            None => self.forward(packet),
        }
    }

    fn finish(mut self) -> Result<Reach, Halt> {
        if let Some(clock) = &mut self.clock {
            clock.finish(&mut self.ready);
            self.forward_ready()?;
        }
        for route in &mut self.routes {
            if let Route::Text(muxer, track, converter) = route {
                send_text(self.run, converter.finish(), (muxer, *track))?;
            }
        }
        Ok(self.reach)
    }

    fn forward_ready(&mut self) -> Result<(), Halt> {
        let jumps = self.clock.as_ref().map_or(0, ClockJumps::jumps);
        if jumps > 0 && !self.run.segment.is_whole() {
            return Err(crate::segment::clock_jumps(self.run.job.source).into());
        }
        self.reach.clock_jumps = jumps;
        let counted = &self.run.counters.clock_jumps;
        counted.store(jumps, Ordering::Relaxed);
        for placed in std::mem::take(&mut self.ready) {
            let mut packet = placed.item;
            packet.set_pts(placed.times.pts);
            packet.set_dts(placed.times.dts);
            let route = &mut self.routes[packet.stream()];
            // Another recording begins: what the decoder holds belongs before it.
            // Without a keyframe it may be the same one, whose clock was set anew.
            if placed.opens_clock && packet.is_key() && matches!(route, Route::Decode(_)) {
                forward(self.run, route, Packet::empty())?;
            }
            self.forward(packet)?;
        }
        Ok(())
    }

    fn forward(&mut self, packet: Packet) -> Result<(), Halt> {
        let index = packet.stream();
        if let Some(start) = packet.pts().or(packet.dts()) {
            let end_us = self.bases[index].micros(start.saturating_add(packet.duration().max(0)));
            let latest = &mut self.reach.end_us[index];
            *latest = Some(latest.map_or(end_us, |e: i64| e.max(end_us)));
        }
        forward(self.run, &mut self.routes[index], packet)
    }
}

/// A subtitle that does not convert shows nothing; the film goes on, and tells.
fn send_text(
    run: &Run<'_>,
    converted: Result<Option<Packet>, ffmpeg_next::Error>,
    (muxer, track): (&Sender<Muxed>, usize),
) -> Result<(), Halt> {
    match converted {
        Ok(Some(srt)) => {
            let bytes = srt.size();
            muxer.send(Muxed::packet(track, srt), bytes)?;
        }
        Ok(None) => {}
        Err(_) => {
            let lost = &run.counters.lost_subtitles;
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

fn forward(run: &Run<'_>, route: &mut Route, packet: Packet) -> Result<(), Halt> {
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
            send_text(run, converter.convert(&packet), (muxer, *track))?;
        }
        Route::Discard => {}
    }
    Ok(())
}
