//! The last step: packets of all streams into one file, interleaved by time, and
//! counted once they are in it.

use std::collections::VecDeque;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::Packet;

use super::bound::{Bound, Kept};
use super::progress::Meter;
use super::queue::{Limits, Receiver, Sender, Stop, queue};
use super::sink::Sink;
use super::{Halt, Run};
use crate::error::{Error, ErrorKind, NotWorthwhile, Stage};
use crate::event::Event;
use crate::ffi;
use crate::units::TimeBase;
use crate::witness::Packets;

/// Packets on their way to the muxer. Small: the interleaver holds what must wait.
const PACKETS: Limits = Limits {
    items: 64,
    bytes: 16 * 1024 * 1024,
};

pub(super) fn muxer_queue(stop: &Stop) -> (Sender<Muxed>, Receiver<Muxed>) {
    queue(PACKETS, stop)
}

/// A packet for a track of the output; no packet is the track's end.
pub(super) struct Muxed {
    track: usize,
    packet: Option<Packet>,
}

impl Muxed {
    pub(super) fn packet(track: usize, packet: Packet) -> Self {
        Self {
            track,
            packet: Some(packet),
        }
    }

    /// The track, and its packet unless this is its end.
    pub(super) fn into_parts(self) -> (usize, Option<Packet>) {
        (self.track, self.packet)
    }

    pub(super) fn end(track: usize) -> Self {
        Self {
            track,
            packet: None,
        }
    }
}

/// A track of the output.
pub(super) struct Track {
    /// Index of the stream in the source.
    pub(super) source_index: usize,
    /// Index in the output file.
    pub(super) index: usize,
    /// Time base of the packets that come in.
    pub(super) base: TimeBase,
    /// Packets come all the time (video, audio), so the others wait for them.
    pub(super) dense: bool,
    /// Ticks a packet lasts that does not say so.
    pub(super) default_duration: i64,
    /// Added to every time, in ticks of `base`.
    pub(super) lead_ticks: i64,
    /// The earliest time that the muxer takes.
    pub(super) earliest_ms: i64,
    /// The video: its packets are the frames that progress counts.
    pub(super) is_video: bool,
    /// How much of its packets is certain to be in the file.
    pub(super) kept: Kept,
    /// Bytes that it is certain to bring, so far as the source's index tells.
    pub(super) foretold_bytes: u64,
}

/// A packet with what is noted of it.
struct Noted {
    packet: Packet,
    /// Its time in the source.
    source_ticks: Option<i64>,
    /// What it is certain to put into the file.
    kept_bytes: u64,
}

/// Writes everything that comes, and the trailer. Runs on the caller's thread.
///
/// `attached_bytes` are in the muxer already.
pub(super) fn mux(
    run: &Run<'_>,
    (muxer, attached_bytes): (&mut Sink, u64),
    tracks: &[Track],
    packets: &Receiver<Muxed>,
    observer: &mut dyn FnMut(&Event),
) -> Result<(Meter, Vec<Packets>), Halt> {
    let mut interleaver = Interleaver::new(tracks.iter().map(|track| track.dense));
    let mut writer = Writer {
        run,
        muxer,
        tracks,
        meter: Meter::start(),
        bound: Bound::new(
            attached_bytes,
            tracks.iter().map(|track| track.foretold_bytes).collect(),
        ),
    };
    let shift = run.job.plan.timestamp_shift_ms;
    let mut latest = vec![i64::MIN; tracks.len()];
    let mut written = vec![Packets::default(); tracks.len()];
    writer.tick(observer);
    // What is attached may be too much by itself.
    writer.check_bound(false)?;
    while let Some(muxed) = packets.receive()? {
        // Sound comes long before the encoder's first frame: the run is alive.
        writer.tick(observer);
        let track = &tracks[muxed.track];
        let Some(mut packet) = muxed.packet else {
            interleaver.close(muxed.track);
            continue;
        };
        ffi::default_duration(&mut packet, track.default_duration);
        let source_ticks = packet.pts();
        record(&mut written[muxed.track], &packet, track, shift);
        retime(
            &mut packet,
            track,
            writer.muxer.time_base(track.index),
            shift,
        );
        let time = hold_back(&mut packet, &mut latest[muxed.track]);
        let bytes = packet.size();
        let kept_bytes = packet.data().map_or(0, |content| track.kept.bytes(content));
        writer.bound.came(muxed.track, kept_bytes);
        let noted = Noted {
            packet,
            source_ticks,
            kept_bytes,
        };
        interleaver.push(muxed.track, time, bytes, noted);
        while let Some((index, noted)) = interleaver.pop() {
            writer.write(index, noted)?;
        }
        writer.check_bound(false)?;
    }
    interleaver.close_all();
    while let Some((index, noted)) = interleaver.pop() {
        writer.write(index, noted)?;
        writer.tick(observer);
    }
    run.stop.check()?;
    writer.finish()?;
    Ok((writer.meter, written))
}

/// Writes packets in their order, and keeps count of them.
struct Writer<'w, 'a> {
    run: &'w Run<'a>,
    muxer: &'w mut Sink,
    tracks: &'w [Track],
    meter: Meter,
    bound: Bound,
}

impl Writer<'_, '_> {
    fn tick(&mut self, observer: &mut dyn FnMut(&Event)) {
        self.meter.tick(self.run, self.muxer.bytes(), observer);
    }

    fn write(&mut self, track: usize, mut noted: Noted) -> Result<(), Halt> {
        self.run.stop.check()?;
        let track = &self.tracks[track];
        self.muxer
            .write(&mut noted.packet, track.index)
            .map_err(|e| write_error(self.run, self.muxer, e))?;
        self.bound.written(noted.kept_bytes);
        if track.is_video {
            self.meter.frame_done(self.run, noted.source_ticks);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Halt> {
        self.muxer
            .finish()
            .map_err(|e| write_error(self.run, self.muxer, e))?;
        self.check_bound(true)
    }

    /// Ends the run once its file is certain to be larger than the plan allows. The
    /// finished file is held against it by its exact size.
    fn check_bound(&self, finished: bool) -> Result<(), Halt> {
        let (Some(most_bytes), Sink::File(_)) = (self.run.most_bytes(), &*self.muxer) else {
            return Ok(());
        };
        let file_bytes = self.muxer.bytes();
        let least_bytes = if finished {
            file_bytes
        } else {
            self.bound.least_bytes(file_bytes)
        };
        if least_bytes <= most_bytes {
            return Ok(());
        }
        let found = NotWorthwhile {
            source_bytes: self.run.job.info.size_bytes,
            most_bytes,
            least_bytes,
            frames_done: self.meter.frames_done(),
            finished,
            predicted: false,
        };
        Err(Error::not_worthwhile_output(self.run.job.source, found).into())
    }
}

/// Notes a packet for whoever reads the file back. Nothing is noted where nothing
/// was encoded.
fn record(written: &mut Packets, packet: &Packet, track: &Track, shift_ms: i64) {
    if let Some(content) = packet.data() {
        let ticks = packet.pts().or(packet.dts()).unwrap_or(0);
        let time_us = track.base.micros(ticks).saturating_add(shift_ms * 1000);
        written.add(time_us, content);
    }
}

/// Frames are decoded less than this before they are shown: 16 at 16 frames/s.
const LONGEST_REORDER_MS: i64 = 1000;

/// Source ticks to the file's, moved by the plan's shift.
fn retime(packet: &mut Packet, track: &Track, to: TimeBase, shift_ms: i64) {
    let shift = TimeBase::MILLIS.rescale(shift_ms, to);
    let earliest = TimeBase::MILLIS.rescale(track.earliest_ms, to);
    let place = |ticks: i64| {
        let ticks = ticks.saturating_add(track.lead_ticks);
        track
            .base
            .rescale(ticks, to)
            .saturating_add(shift)
            .max(earliest)
    };
    let pts = packet.pts().map(place);
    let dts = packet.dts().map(place);
    let pts = pts.or(dts);
    packet.set_pts(pts);
    // A copied stream's dts can lie behind its pts only by damage.
    packet.set_dts(dts.map(|dts| pts.map_or(dts, |pts| dts.min(pts))));
    packet.set_duration(track.base.rescale(packet.duration(), to));
}

/// The muxer takes no dts that is smaller than the one before. Subtitles of real
/// files come out of order; they are held back, as the `ffmpeg` command does.
///
/// Matroska does not know the first dts of a stream with B-frames: they lie before.
fn hold_back(packet: &mut Packet, latest: &mut i64) -> i64 {
    let unknown = || packet.pts().unwrap_or(0).saturating_sub(LONGEST_REORDER_MS);
    let dts = packet.dts().unwrap_or_else(unknown).max(*latest);
    *latest = dts;
    packet.set_dts(Some(dts));
    packet.set_pts(packet.pts().max(Some(dts)));
    dts
}

/// The operating system's word where it has one: libavformat's is a number.
pub(super) fn write_error(run: &Run<'_>, muxer: &Sink, error: ffmpeg::Error) -> Error {
    match muxer.take_io_error() {
        Some(io) => Error::output_io(Stage::Mux, run.output, io),
        None => Error::new(
            ErrorKind::OutputIo,
            Stage::Mux,
            run.output,
            format!("the {} muxer refused a packet", run.container().name()),
        )
        .with_library(error),
    }
}

/// Puts packets of several tracks in the order of their time.
///
/// A packet goes out when no dense track can still bring an earlier one. A track
/// that is silent for long (or whose packets lie elsewhere in the file) must not
/// make the others pile up: past the bounds the earliest packet goes out anyway.
struct Interleaver<T> {
    tracks: Vec<Lane<T>>,
    bytes: usize,
}

struct Lane<T> {
    queue: VecDeque<(i64, usize, T)>,
    dense: bool,
    open: bool,
}

/// Time the tracks may lie apart in the file, in milliseconds: the default of
/// libavformat's own interleaver (`max_interleave_delta`, 10 s).
const MOST_SPAN_MS: i64 = 10_000;

/// Bytes that may wait for a track; reached only by files that are interleaved badly.
const MOST_BYTES: usize = 64 * 1024 * 1024;

impl<T> Interleaver<T> {
    fn new(dense: impl Iterator<Item = bool>) -> Self {
        let tracks = dense
            .map(|dense| Lane {
                queue: VecDeque::new(),
                dense,
                open: true,
            })
            .collect();
        Self { tracks, bytes: 0 }
    }

    fn push(&mut self, track: usize, time_ms: i64, bytes: usize, item: T) {
        self.tracks[track].queue.push_back((time_ms, bytes, item));
        self.bytes += bytes;
    }

    fn close(&mut self, track: usize) {
        self.tracks[track].open = false;
    }

    fn close_all(&mut self) {
        for lane in &mut self.tracks {
            lane.open = false;
        }
    }

    /// The next packet to write, if it is certain or overdue.
    fn pop(&mut self) -> Option<(usize, T)> {
        let heads = || {
            let heads = self.tracks.iter().enumerate();
            heads.filter_map(|(i, lane)| lane.queue.front().map(|(time, ..)| (*time, i)))
        };
        let (earliest, track) = heads().min()?;
        let certain = self
            .tracks
            .iter()
            .all(|lane| !lane.queue.is_empty() || !lane.dense || !lane.open);
        if !certain && self.bytes <= MOST_BYTES {
            let backs = self.tracks.iter().filter_map(|lane| lane.queue.back());
            let latest = backs.map(|(time, ..)| *time).max()?;
            if latest.saturating_sub(earliest) <= MOST_SPAN_MS {
                return None;
            }
        }
        let (_, bytes, item) = self.tracks[track].queue.pop_front()?;
        self.bytes -= bytes;
        Some((track, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drain(interleaver: &mut Interleaver<i64>) -> Vec<(usize, i64)> {
        std::iter::from_fn(|| interleaver.pop()).collect()
    }

    #[test]
    fn a_packet_waits_for_the_dense_tracks_but_not_for_subtitles() {
        let mut interleaver = Interleaver::new([true, true, false].into_iter());
        interleaver.push(0, 0, 1, 0);
        interleaver.push(0, 40, 1, 40);
        assert_eq!(drain(&mut interleaver), []);
        interleaver.push(1, 20, 1, 20);
        assert_eq!(drain(&mut interleaver), [(0, 0), (1, 20)]);
        interleaver.close(1);
        assert_eq!(drain(&mut interleaver), [(0, 40)]);
    }

    #[test]
    fn a_silent_track_holds_the_others_for_ten_seconds_at_most() {
        let mut interleaver = Interleaver::new([true, true].into_iter());
        for time in 0..=11 {
            interleaver.push(0, time * 1000, 1, time);
        }
        assert_eq!(drain(&mut interleaver), [(0, 0)]);
    }

    proptest! {
        /// Each track's packets keep their order, all come out, and where the tracks
        /// lie less than the span apart the whole is in order.
        #[test]
        fn everything_comes_out_in_order(
            steps in prop::collection::vec((0usize..3, 0i64..100), 0..200)
        ) {
            let mut interleaver = Interleaver::new([true, true, true].into_iter());
            let mut clocks = [0i64; 3];
            let mut out = Vec::new();
            for (track, step) in &steps {
                // Tracks advance together to within a second.
                clocks[*track] = (clocks[*track] + step).max(clocks.iter().max().copied().unwrap_or(0) - 1000);
                interleaver.push(*track, clocks[*track], 10, clocks[*track]);
                out.extend(drain(&mut interleaver));
            }
            interleaver.close_all();
            out.extend(drain(&mut interleaver));
            prop_assert_eq!(out.len(), steps.len());
            for track in 0..3 {
                let times: Vec<_> = out.iter().filter(|(t, _)| *t == track).map(|(_, time)| *time).collect();
                prop_assert!(times.is_sorted());
            }
            if clocks.iter().max() <= Some(&MOST_SPAN_MS) {
                prop_assert!(out.iter().map(|(_, time)| time).is_sorted());
            }
        }
    }
}
