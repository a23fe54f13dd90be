//! What the film's packets weigh, and when they are shown. Nothing is decoded.

use std::path::Path;

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::ffi::Demuxer;
use crate::media::{MediaInfo, StreamInfo};
use crate::pipeline::demux;
use crate::plan::{Action, Plan};
use crate::probe;
use crate::units::TimeBase;

/// A packet of the film's video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VideoPacket {
    /// Presentation time in the stream's time base.
    pub(super) ticks: i64,
    pub(super) bytes: u32,
    pub(super) is_key: bool,
}

/// All packets of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) packets: u64,
    pub(super) bytes: u64,
    /// From the start of the first to the end of the last, in microseconds.
    pub(super) length_us: i64,
}

/// A film, weighed.
#[derive(Debug)]
pub(super) struct Walk {
    /// The video's packets in the order of their times.
    pub(super) video: Vec<VideoPacket>,
    /// By stream; zero for what is not in the output, and for the video.
    pub(super) streams: Vec<Weight>,
    /// Whether decoding can begin anywhere: all times are known, and come once.
    pub(super) can_be_entered: bool,
}

/// Weighs a film: by its index where that tells everything, else by reading it through.
pub(super) fn walk(
    source: &Path,
    info: &MediaInfo,
    plan: &Plan,
    cancel: &CancelToken,
) -> Result<Walk> {
    let mut demuxer = probe::open(source, Stage::Demux, cancel)?;
    let mut walk = match by_index(&demuxer, info, plan) {
        Some(walk) => walk,
        None => by_reading(&mut demuxer, source, info, plan, cancel)?,
    };
    walk.video.sort_by_key(|packet| packet.ticks);
    for (planned, weight) in plan.streams.iter().zip(&mut walk.streams) {
        let picture = info.streams[planned.index].disposition.attached_picture;
        if picture && planned.action != Action::Drop {
            let content = demuxer.attached_picture(planned.index);
            weight.bytes = content.map_or(0, |content| content.len() as u64);
        }
    }
    Ok(walk)
}

/// Streams whose packets come one after the other; an attached picture is one packet.
fn is_timed(action: &Action, stream: &StreamInfo) -> bool {
    let timed = matches!(
        action,
        Action::EncodeVideo(_) | Action::EncodeAudio(_) | Action::Copy | Action::ConvertSubtitle
    );
    timed && !stream.disposition.attached_picture
}

/// MP4 and MOV name every packet in their index, unless the film is in fragments.
fn by_index(demuxer: &Demuxer, info: &MediaInfo, plan: &Plan) -> Option<Walk> {
    if !info.container.contains("mp4") {
        return None;
    }
    let mut walk = Walk {
        video: Vec::new(),
        streams: vec![Weight::default(); info.streams.len()],
        can_be_entered: true,
    };
    for (planned, stream) in plan.streams.iter().zip(&info.streams) {
        if !is_timed(&planned.action, stream) {
            continue;
        }
        let entries = demuxer.indexed(stream.index, info.size_bytes);
        if stream.declared_frames? != entries.len() as u64 {
            return None;
        }
        if let Some(video) = stream.video()
            && matches!(planned.action, Action::EncodeVideo(_))
        {
            // The index has times of decoding; they lie before those of presentation
            // by the same distance throughout, but for the order of B-frames.
            let first = entries.first()?.ticks;
            let later = video.first_frame_ticks?.saturating_sub(first);
            walk.video = entries
                .iter()
                .map(|entry| VideoPacket {
                    ticks: entry.ticks.saturating_add(later),
                    bytes: entry.bytes,
                    is_key: entry.is_key,
                })
                .collect();
        } else {
            walk.streams[stream.index] = Weight {
                packets: entries.len() as u64,
                bytes: entries.iter().map(|entry| u64::from(entry.bytes)).sum(),
                length_us: stream.duration_us?,
            };
        }
    }
    Some(walk)
}

fn by_reading(
    demuxer: &mut Demuxer,
    source: &Path,
    info: &MediaInfo,
    plan: &Plan,
    cancel: &CancelToken,
) -> Result<Walk> {
    let wanted: Vec<bool> = (plan.streams.iter().zip(&info.streams))
        .map(|(planned, stream)| is_timed(&planned.action, stream))
        .collect();
    let wants = |index: usize| wanted.get(index).copied().unwrap_or(false);
    demuxer.keep_only(wants);
    let bases: Vec<TimeBase> = (info.streams.iter()).map(|s| s.time_base).collect();
    let mut clock = demux::clock(info, &bases);
    let mut walk = Walk {
        video: Vec::new(),
        streams: vec![Weight::default(); info.streams.len()],
        can_be_entered: true,
    };
    let mut first_us = vec![None; info.streams.len()];
    let (mut damaged, mut ready) = (0, Vec::new());
    loop {
        if cancel.is_cancelled() {
            return Err(Error::cancelled(Stage::Demux, source));
        }
        let packet = demuxer.read(&mut damaged).map_err(|e| {
            let message = "cannot be read further";
            Error::new(ErrorKind::Unreadable, Stage::Demux, source, message).with_library(e)
        })?;
        let Some(packet) = packet else { break };
        let index = packet.stream();
        if !wants(index) {
            continue;
        }
        if let Some(clock) = &mut clock {
            clock.put(demux::stamp(&packet), (), &mut ready);
            ready.clear();
        }
        let time = packet.pts().or(packet.dts());
        if matches!(plan.streams[index].action, Action::EncodeVideo(_)) {
            walk.can_be_entered &= time.is_some();
            walk.video.push(VideoPacket {
                ticks: time.unwrap_or_default(),
                bytes: u32::try_from(packet.size()).unwrap_or(u32::MAX),
                is_key: packet.is_key(),
            });
            continue;
        }
        let weight = &mut walk.streams[index];
        weight.packets += 1;
        weight.bytes += packet.size() as u64;
        if let Some(start) = time {
            let start_us = bases[index].micros(start);
            let end_us = bases[index].micros(start.saturating_add(packet.duration().max(0)));
            let first_us = *first_us[index].get_or_insert(start_us);
            weight.length_us = weight.length_us.max(end_us.saturating_sub(first_us));
        }
    }
    if let Some(clock) = &mut clock {
        clock.finish(&mut ready);
        walk.can_be_entered &= clock.jumps() == 0;
    }
    Ok(walk)
}
