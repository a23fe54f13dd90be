//! What a run that came to its end must still show before it counts as done: the
//! steps' counts held against each other and against what the source declares.

use std::sync::atomic::{AtomicU64, Ordering};

use super::demux::Reach;
use super::progress::Meter;
use super::{Finished, Run};
use crate::error::{ErrorKind, Result, Stage};
use crate::media::MediaInfo;
use crate::segment::Selector;
use crate::witness::Witness;

/// What the steps of a run that ended well have to say.
pub(super) struct Ended {
    /// `None` where the rest of the file was nobody's (the end of a segment).
    pub(super) reach: Option<Reach>,
    pub(super) witness: Witness,
    pub(super) selector: Selector,
    pub(super) meter: Meter,
    pub(super) bytes: u64,
}

impl Ended {
    /// Holds the counts of the steps against each other and against what the
    /// source declares.
    pub(super) fn check(self, run: &Run<'_>) -> Result<Finished> {
        let mismatch = |message| Err(run.error(ErrorKind::Mismatch, Stage::Mux, message));
        let written = self.meter.frames_done();
        let times = &self.witness.pictures.ticks;
        if written != times.len() as u64 {
            return mismatch(format!("{written} of {} frames were written", times.len()));
        }
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let decoded = load(&run.counters.frames_decoded);
        if run.segment.is_whole() && decoded != written {
            return mismatch(format!(
                "{decoded} frames were decoded and {written} written"
            ));
        }
        if written == 0 {
            let message = "no frame of the video decodes";
            return Err(run.error(ErrorKind::Damaged, Stage::Decode, message));
        }
        let (video_errors, audio_errors) = (
            load(&run.counters.decode_errors),
            load(&run.counters.audio_errors),
        );
        if video_errors > most_decode_errors(decoded) {
            let message = format!(
                "the source is damaged: {video_errors} decode errors in {decoded} frames; left alone"
            );
            return Err(run.error(ErrorKind::Damaged, Stage::Decode, message));
        }
        if let Some(reach) = self.reach.as_ref().filter(|_| run.segment.is_whole())
            && let Some((has_us, says_us)) = shortfall(run.job.info, run.video_index(), reach)
        {
            let message = format!(
                "the source is cut short: it ends at {:.1} s and declares {:.1} s; left alone",
                has_us as f64 / 1e6,
                says_us as f64 / 1e6
            );
            return Err(run.error(ErrorKind::Truncated, Stage::Demux, message));
        }
        let base = run.video_base();
        let film_us = match times.as_slice() {
            [first, .., last] => base.micros(last.saturating_sub(*first)),
            _ => 0,
        };
        Ok(Finished {
            warnings: warnings(run, self.reach.as_ref(), video_errors, audio_errors),
            witness: self.witness,
            sequence_header: Vec::new(),
            head: self.selector.head,
            next: self.selector.next,
            decode_errors: video_errors + audio_errors,
            bytes: self.bytes,
            elapsed_us: u64::try_from(self.meter.elapsed().as_micros()).unwrap_or(u64::MAX),
            film_us,
        })
    }
}

/// A source with more decode errors than this is not replaced by a copy of its
/// damage: one frame in a hundred, and a handful in any file (a recording often
/// starts or ends within a picture).
pub(super) fn most_decode_errors(frames: u64) -> u64 {
    // Of a clip of a few frames a handful would be most of it.
    (frames / 100).max(5).min(frames / 4)
}

/// Where the source ends and where it says it ends, in microseconds, if it is cut
/// short. The video's own duration counts where the container has one; a
/// container's duration can be a subtitle's.
fn shortfall(info: &MediaInfo, video_index: usize, reach: &Reach) -> Option<(i64, i64)> {
    if reach.clock_jumps > 0 {
        // The declared duration is the distance of two clocks.
        return None;
    }
    let video = info.streams.get(video_index)?;
    let (has_us, says_us) = match video.duration_us {
        Some(duration) => (
            (*reach.end_us.get(video_index)?)?,
            duration.saturating_add(video.start_us.unwrap_or(0)),
        ),
        // Matroska's duration counts from zero, wherever the film starts.
        None if info.container.contains("matroska") => (
            reach.end_us.iter().flatten().copied().max()?,
            info.duration_us?,
        ),
        None => (
            reach.end_us.iter().flatten().copied().max()?,
            info.duration_us?.saturating_add(info.start_us.unwrap_or(0)),
        ),
    };
    // Matroska and MP4 declare to the frame; others round, or add a preroll.
    let exact = ["matroska", "mov"]
        .iter()
        .any(|c| info.container.contains(c));
    let tolerance_us = if exact && !info.duration_is_guess {
        1_000_000
    } else {
        (says_us / 100 * 3).max(3_000_000)
    };
    (says_us.saturating_sub(has_us) > tolerance_us).then_some((has_us, says_us))
}

fn warnings(
    run: &Run<'_>,
    reach: Option<&Reach>,
    video_errors: u64,
    audio_errors: u64,
) -> Vec<String> {
    let mut warnings = Vec::new();
    for (count, what) in [(video_errors, "video"), (audio_errors, "sound")] {
        match count {
            0 => {}
            1 => warnings.push(format!("one decode error in the source's {what}")),
            _ => warnings.push(format!("{count} decode errors in the source's {what}")),
        }
    }
    if reach.is_some_and(|r| r.damaged > 0) {
        warnings.push("the source has damaged packets, which were passed over".to_owned());
    }
    match run.counters.lost_subtitles.load(Ordering::Relaxed) {
        0 => {}
        1 => warnings.push("one subtitle could not be converted, and is lost".to_owned()),
        lost => warnings.push(format!(
            "{lost} subtitles could not be converted, and are lost"
        )),
    }
    match reach.map_or(0, |reach| reach.clock_jumps) {
        0 => {}
        1 => warnings.push("the source's clock jumps once; carried through".to_owned()),
        jumps => warnings.push(format!(
            "the source's clock jumps {jumps} times; carried through"
        )),
    }
    if run.counters.late_interlacing.load(Ordering::Relaxed) {
        warnings
            .push("interlaced frames came late in the source, and were deinterlaced".to_owned());
    }
    if run.counters.shape_changes.load(Ordering::Relaxed) {
        warnings.push(
            "the picture's size or shape changes within the source; all of it has the first one's"
                .to_owned(),
        );
    }
    warnings
}

#[cfg(test)]
mod tests;
