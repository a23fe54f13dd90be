//! Parts of a film, by presentation time.
//!
//! The pipeline always encodes a [`Segment`]; a whole file is one. A film cut into
//! segments gives the same frames with the same times as the whole: cuts fall on
//! the source's keyframes, decoding starts one keyframe early (open GOPs, filters
//! that look back), and frames are chosen by their presentation time.
//!
//! Seeking is not trusted, it is proved. Some streams decode wrongly from any
//! keyframe but the first (the decoder needs what only the first packet says), and
//! a decoder does not tell. So each segment decodes a few frames past its end, and
//! their hashes must be those of the next segment's first frames. Where they
//! differ, the segment is encoded again, decoded from the start of the file:
//! [`encode_all`] does that.

use std::path::Path;

use ffmpeg_next::frame::Video;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::cancel::CancelToken;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::event::Event;
use crate::media::MediaInfo;
use crate::output::{Destination, Staged};
use crate::pipeline::{self, Job, demux};
use crate::plan::Plan;
use crate::probe;
use crate::units::TimeBase;

/// Frames behind each cut that are compared. The keyframe alone tells little: a
/// stream whose decoder lacks what the first packet says can decode its keyframes
/// rightly and its B-frames not (seen with `direct=spatial` of old x264 builds).
const FRAMES_COMPARED: usize = 8;

/// Frames [first, end) of a film's video, in ticks of the stream's time base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Segment {
    /// Presentation time of the first frame; `None` is the first there is.
    pub first: Option<i64>,
    /// Presentation time of the first frame that is not in the segment any more;
    /// `None` is none.
    pub end: Option<i64>,
    /// The keyframe that decoding starts from; `None` is the start of the file.
    pub decode_from: Option<i64>,
}

impl Segment {
    /// All of a film.
    pub const WHOLE: Self = Self {
        first: None,
        end: None,
        decode_from: None,
    };

    /// Whether this is all of a film.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.first.is_none() && self.end.is_none()
    }

    /// The same frames, decoded from the start of the file.
    #[must_use]
    pub fn decoded_from_start(self) -> Self {
        Self {
            decode_from: None,
            ..self
        }
    }
}

/// Where a film's video can be cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KeyframeIndex {
    /// Index of the video stream.
    pub stream: usize,
    /// Length of a tick.
    pub time_base: TimeBase,
    /// Presentation times of the keyframes in ticks, ascending.
    pub keyframes: Vec<i64>,
    /// Video packets in all. Not frames: a frame can be two packets (fields), and
    /// an edit list can hide some.
    pub packets: u64,
}

/// Reads all packets of a film's video, without decoding any.
///
/// # Errors
///
/// As [`probe`](crate::probe()), and [`ErrorKind::NoVideo`] where `info` has none.
pub fn keyframes(source: &Path, info: &MediaInfo, cancel: &CancelToken) -> Result<KeyframeIndex> {
    let Some(video) = info.main_video() else {
        let message = "has no video stream";
        return Err(Error::new(
            ErrorKind::NoVideo,
            Stage::Demux,
            source,
            message,
        ));
    };
    let mut demuxer = probe::open(source, Stage::Demux, cancel)?;
    demuxer.keep_only(|index| index == video.index);
    let bases: Vec<_> = (info.streams.iter()).map(|s| s.time_base).collect();
    let mut clock = demux::clock(info, &bases);
    let mut ready = Vec::new();
    let mut index = KeyframeIndex {
        stream: video.index,
        time_base: video.time_base,
        keyframes: Vec::new(),
        packets: 0,
    };
    let mut damaged = 0;
    loop {
        if cancel.is_cancelled() {
            return Err(Error::cancelled(Stage::Demux, source));
        }
        let packet = demuxer.read(&mut damaged).map_err(|e| {
            Error::new(
                ErrorKind::Unreadable,
                Stage::Demux,
                source,
                "cannot be read further",
            )
            .with_library(e)
        })?;
        let Some(packet) = packet else { break };
        if packet.stream() != video.index {
            continue;
        }
        index.packets += 1;
        if let Some(clock) = &mut clock {
            clock.put(demux::stamp(&packet), (), &mut ready);
            ready.clear();
        }
        if packet.is_key()
            && let Some(ticks) = packet.pts().or(packet.dts())
        {
            index.keyframes.push(ticks);
        }
    }
    if let Some(clock) = &mut clock {
        clock.finish(&mut ready);
        if clock.jumps() > 0 {
            return Err(clock_jumps(source));
        }
    }
    index.keyframes.sort_unstable();
    index.keyframes.dedup();
    Ok(index)
}

/// A film is cut by its source's times, which must not come twice.
pub(crate) fn clock_jumps(source: &Path) -> Error {
    let message = "the source's clock jumps (recordings joined without a remux?): it cannot be cut \
                   into segments, only encoded as a whole";
    Error::new(ErrorKind::Damaged, Stage::Demux, source, message)
}

/// Cuts a film into at most `parts` segments of about the same length. There are
/// fewer where it has too few keyframes. Joined, they are the whole.
#[must_use]
pub fn cut(index: &KeyframeIndex, parts: usize) -> Vec<Segment> {
    let keys = &index.keyframes;
    let (Some(&start), Some(&last)) = (keys.first(), keys.last()) else {
        return vec![Segment::WHOLE];
    };
    // Positions among the keyframes, the nearest one to each equal share of time.
    let parts = parts.max(1) as i128;
    let span = i128::from(last) - i128::from(start);
    let mut cuts: Vec<usize> = (1..parts)
        .map(|part| i128::from(start) + span * part / parts)
        .map(|wanted| {
            let after = keys.partition_point(|key| i128::from(*key) < wanted);
            let distance = |i: usize| keys.get(i).map(|key| (i128::from(*key) - wanted).abs());
            match (after.checked_sub(1).and_then(distance), distance(after)) {
                (Some(before), Some(behind)) if before < behind => after - 1,
                _ => after.min(keys.len() - 1),
            }
        })
        .filter(|position| *position > 0)
        .collect();
    cuts.dedup();
    let mut segments = Vec::with_capacity(cuts.len() + 1);
    let mut first = None;
    for position in cuts.iter().copied().map(Some).chain([None]) {
        segments.push(Segment {
            first: first.map(|i: usize| keys[i]),
            end: position.map(|i| keys[i]),
            decode_from: first.map(|i: usize| keys[i - 1]),
        });
        first = position;
    }
    segments
}

/// The content of a frame as the encoder is given it, and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FrameHash {
    /// Presentation time in ticks of the source's video stream.
    pub ticks: i64,
    /// XXH3 of the visible samples.
    pub hash: u64,
}

impl FrameHash {
    fn of(frame: &Video) -> Self {
        let mut hash = Xxh3::new();
        let depth = frame
            .format()
            .descriptor()
            .map_or(1, |d| usize::from(d.name().contains("10")) + 1);
        for plane in 0..frame.planes() {
            let bytes = frame.plane_width(plane) as usize * depth;
            for row in frame.data(plane).chunks(frame.stride(plane)) {
                hash.update(&row[..bytes.min(row.len())]);
            }
        }
        Self {
            ticks: frame.pts().unwrap_or_default(),
            hash: hash.digest(),
        }
    }
}

/// On which side of a segment's bounds a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    Inside,
    After,
    /// After, and nothing further is wanted.
    Enough,
}

/// Chooses a segment's frames by their presentation time, and hashes the frames on
/// both sides of its cuts.
#[derive(Debug)]
pub(crate) struct Selector {
    segment: Segment,
    pub(crate) head: Vec<FrameHash>,
    pub(crate) next: Vec<FrameHash>,
}

impl Selector {
    pub(crate) fn new(segment: &Segment) -> Self {
        Self {
            segment: *segment,
            head: Vec::new(),
            next: Vec::new(),
        }
    }

    pub(crate) fn side(&mut self, frame: &Video) -> Side {
        let ticks = frame.pts().unwrap_or_default();
        if self.segment.first.is_some_and(|first| ticks < first) {
            return Side::Before;
        }
        if self.segment.end.is_some_and(|end| ticks >= end) {
            self.next.push(FrameHash::of(frame));
            return if self.next.len() >= FRAMES_COMPARED {
                Side::Enough
            } else {
                Side::After
            };
        }
        if self.segment.first.is_some() && self.head.len() < FRAMES_COMPARED {
            self.head.push(FrameHash::of(frame));
        }
        Side::Inside
    }
}

/// A film and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Film<'a> {
    /// Path of the source.
    pub source: &'a Path,
    /// What it holds.
    pub info: &'a MediaInfo,
    /// What becomes of it; the same for all segments of a film.
    pub plan: &'a Plan,
}

/// A segment that lies in a file of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SegmentReport {
    /// The segment, with where decoding began in the end.
    pub segment: Segment,
    /// Presentation times of its frames in ticks of the source's video stream.
    pub times: Vec<i64>,
    /// The encoder's sequence header: equal in all segments that can be joined.
    pub sequence_header: Vec<u8>,
    /// Its first frames.
    pub head: Vec<FrameHash>,
    /// The frames behind its end, as this segment's decoder saw them.
    pub next: Vec<FrameHash>,
}

/// Encodes the video of one segment into a Matroska file of its own. Times in the
/// file are those of the whole film.
///
/// # Errors
///
/// As [`transcode`](crate::transcode); nothing of the output is left then.
pub fn encode(
    film: Film<'_>,
    segment: &Segment,
    output: &Destination,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<SegmentReport> {
    output.check(film.source)?;
    let (staged, file) = Staged::create(output)?;
    let job = Job {
        source: film.source,
        info: film.info,
        plan: film.plan,
        cancel,
    };
    let copy = file
        .try_clone()
        .map_err(|e| Error::output_io(Stage::Mux, output.path(), e))?;
    let encoded = pipeline::run(&job, segment, (output.path(), copy), &mut observer)?;
    staged.publish(&file, output)?;
    Ok(SegmentReport {
        segment: *segment,
        times: encoded.witness.pictures.ticks,
        sequence_header: encoded.sequence_header,
        head: encoded.head,
        next: encoded.next,
    })
}

/// Encodes all segments of a film, one after the other, into
/// `folder/segment-0000.mkv` and so on, and proves the seams. A segment whose seam
/// does not hold is encoded again, decoded from the start of the film.
///
/// # Errors
///
/// As [`encode`], and [`ErrorKind::Mismatch`] where a seam does not hold even so.
/// Finished segments stay in the folder; files of their names are overwritten.
pub fn encode_all(
    film: Film<'_>,
    segments: &[Segment],
    folder: &Path,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Vec<SegmentReport>> {
    let mut reports: Vec<SegmentReport> = Vec::with_capacity(segments.len());
    let mut encode_one = |i: usize, segment: &Segment| {
        let output = Destination::new(folder.join(format!("segment-{i:04}.mkv"))).overwrite(true);
        if segment.first.is_some() && segment.decode_from.is_none() {
            let message = format!(
                "segment {i} does not decode from its keyframe as it does from the start; \
                 it is decoded from the start"
            );
            observer(&Event::Warning(message));
        }
        encode(film, segment, &output, cancel, &mut observer)
    };
    for (i, segment) in segments.iter().enumerate() {
        let holds = |report: &SegmentReport, reports: &[SegmentReport]| {
            reports
                .last()
                .is_none_or(|before| seam_holds(before, report))
        };
        let mut report = encode_one(i, segment);
        // A stream that cannot be entered in the middle shows other frames, or none.
        let trapped = match &report {
            Ok(report) => !holds(report, &reports),
            Err(error) => error.kind() == ErrorKind::Damaged,
        };
        if trapped && segment.decode_from.is_some() {
            report = encode_one(i, &segment.decoded_from_start());
        }
        let report = report?;
        if !holds(&report, &reports)
            && let Some(before) = reports.pop()
        {
            // This one is right now, so it is the one before that went astray.
            reports.push(encode_one(i - 1, &before.segment.decoded_from_start())?);
        }
        reports.push(report);
    }
    join_times(film.source, &reports)?;
    Ok(reports)
}

/// Whether the frames behind `before`'s end are `after`'s first frames.
fn seam_holds(before: &SegmentReport, after: &SegmentReport) -> bool {
    let compared = before.next.len().min(after.head.len());
    compared > 0 && before.next[..compared] == after.head[..compared]
}

/// The presentation times of all segments joined, once it is proved that they can
/// be: every seam holds, times ascend, and one sequence header fits all.
///
/// # Errors
///
/// [`ErrorKind::Mismatch`], naming the segment.
pub fn join_times(source: &Path, reports: &[SegmentReport]) -> Result<Vec<i64>> {
    let fail = |message| {
        Err(Error::new(
            ErrorKind::Mismatch,
            Stage::Join,
            source,
            message,
        ))
    };
    for (i, pair) in reports.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        if before.sequence_header != after.sequence_header {
            return fail(format!(
                "segments {i} and {} have different sequence headers",
                i + 1
            ));
        }
        if before.segment.end != after.segment.first || !seam_holds(before, after) {
            return fail(format!("segments {i} and {} do not fit together", i + 1));
        }
        if before.times.last() > after.times.first() {
            return fail(format!("segments {i} and {} overlap in time", i + 1));
        }
    }
    Ok(reports
        .iter()
        .flat_map(|report| &report.times)
        .copied()
        .collect())
}

#[cfg(test)]
mod tests;
