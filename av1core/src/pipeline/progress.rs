//! How far a run is, counted in frames that are in the file.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Run;
use crate::clock::Stopwatch;
use crate::event::{Event, FramesTotal, Progress};

/// Time between two progress events: smooth to look at, nothing to compute.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// Speeds are told over this time: long enough for the encoder's bursts (a
/// mini-GOP of 32 frames leaves at once), short enough to follow a scene.
const WINDOW: Duration = Duration::from_secs(5);

/// Counts frames and tells how far the run is.
pub(super) struct Meter {
    clock: Stopwatch,
    rates: Rates,
    last_report: Option<Duration>,
    frames_done: u64,
    first_us: Option<i64>,
    position_us: i64,
}

impl Meter {
    pub(super) fn start() -> Self {
        Self {
            clock: Stopwatch::start(),
            rates: Rates::default(),
            last_report: None,
            frames_done: 0,
            first_us: None,
            position_us: 0,
        }
    }

    /// A frame of the video, for time `ticks` of the source, is in the file.
    pub(super) fn frame_done(&mut self, run: &Run<'_>, ticks: Option<i64>) {
        self.frames_done += 1;
        let at_us = run.video_base().micros(ticks.unwrap_or(0));
        self.position_us = at_us.saturating_sub(*self.first_us.get_or_insert(at_us));
    }

    /// Reports, if the last report is a while ago.
    pub(super) fn tick(
        &mut self,
        run: &Run<'_>,
        bytes_written: u64,
        observer: &mut dyn FnMut(&Event),
    ) {
        let now = self.clock.elapsed();
        if self
            .last_report
            .is_none_or(|last| now - last >= REPORT_EVERY)
        {
            self.last_report = Some(now);
            self.rates.note(now, self.frames_done, self.position_us);
            observer(&Event::Progress(self.progress(run, now, bytes_written)));
        }
    }

    /// The last report, when the file is complete.
    pub(super) fn finish(
        &mut self,
        run: &Run<'_>,
        bytes_written: u64,
        observer: &mut dyn FnMut(&Event),
    ) {
        let now = self.clock.elapsed();
        self.rates.note(now, self.frames_done, self.position_us);
        observer(&Event::Progress(self.progress(run, now, bytes_written)));
    }

    pub(super) fn frames_done(&self) -> u64 {
        self.frames_done
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.clock.elapsed()
    }

    fn progress(&self, run: &Run<'_>, now: Duration, bytes_written: u64) -> Progress {
        let total = frames_total(run, self.frames_done);
        let (fps, speed) = self.rates.rates();
        let left = total
            .frames()
            .map(|total| total.saturating_sub(self.frames_done));
        let eta_us = left
            .filter(|_| fps > 0.0)
            .map(|left| (left as f64 / fps * 1e6) as u64);
        let projected_bytes = total
            .frames()
            .filter(|_| self.frames_done > 0)
            .map(|total| {
                let share = total as f64 / self.frames_done as f64;
                (bytes_written as f64 * share.max(1.0)) as u64
            });
        Progress {
            frames_done: self.frames_done,
            frames_in: run.counters.frames_in.load(Ordering::Relaxed),
            frames_total: total,
            position_us: self.position_us,
            elapsed_us: u64::try_from(now.as_micros()).unwrap_or(u64::MAX),
            fps,
            speed,
            bytes_written,
            projected_bytes,
            eta_us,
        }
    }
}

/// Exact once the decoder has given everything; before that the container's word,
/// which may be too small: what is done is never more than the total.
fn frames_total(run: &Run<'_>, frames_done: u64) -> FramesTotal {
    if run.segment.is_whole() && run.counters.decoded_all.load(Ordering::Acquire) {
        return FramesTotal::Exact(run.counters.frames_decoded.load(Ordering::Relaxed));
    }
    // The container's duration is the distance of two clocks, where there are two.
    let one_clock = run.counters.clock_jumps.load(Ordering::Relaxed) == 0;
    match run.estimated_frames().filter(|_| one_clock) {
        Some(frames) => FramesTotal::Estimate(frames.max(frames_done)),
        None => FramesTotal::Unknown,
    }
}

/// Speeds over a sliding window.
#[derive(Debug, Default)]
struct Rates {
    points: VecDeque<(Duration, u64, i64)>,
}

impl Rates {
    fn note(&mut self, now: Duration, frames: u64, position_us: i64) {
        self.points.push_back((now, frames, position_us));
        while self.points.len() > 2
            && self
                .points
                .get(1)
                .is_some_and(|(at, ..)| now - *at >= WINDOW)
        {
            self.points.pop_front();
        }
    }

    /// Frames per second, and film time per time.
    fn rates(&self) -> (f64, f64) {
        let (Some(first), Some(last)) = (self.points.front(), self.points.back()) else {
            return (0.0, 0.0);
        };
        // One point alone: measured from the start of the run.
        let (since, frames, position) = if self.points.len() == 1 {
            (Duration::ZERO, 0, 0)
        } else {
            *first
        };
        let seconds = (last.0 - since).as_secs_f64();
        if seconds <= 0.0 {
            return (0.0, 0.0);
        }
        (
            (last.1 - frames) as f64 / seconds,
            (last.2 - position) as f64 / 1e6 / seconds,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_the_last_seconds() {
        let mut rates = Rates::default();
        assert_eq!(rates.rates(), (0.0, 0.0));
        for second in 1..=10u64 {
            // 10 frames/s at first, 100 later.
            let frames = if second <= 5 {
                second * 10
            } else {
                50 + (second - 5) * 100
            };
            rates.note(Duration::from_secs(second), frames, second as i64 * 500_000);
        }
        assert_eq!(rates.rates(), (100.0, 0.5));
    }
}
