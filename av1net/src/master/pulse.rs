//! How fast everything went over the last day. Pure: the time is handed in.

use std::collections::VecDeque;

use crate::api::{ThroughputPoint, ThroughputView};
use crate::units::UnixMs;

/// Time of a point: 288 of them are a day, which is as many as a chart has room for.
const STEP_MS: i64 = 5 * 60_000;
/// Points of a day.
const MOST: usize = 288;

/// Means over five minutes each, in memory: a master that starts anew begins anew.
#[derive(Default)]
pub(super) struct Pulse {
    points: VecDeque<ThroughputPoint>,
    /// The step that is being measured, and the sums over its measurements.
    begun: Option<(i64, f64, f64, u32)>,
}

impl Pulse {
    /// What runs now goes this fast.
    pub(super) fn measured(&mut self, fps: f64, speed: f64, now: UnixMs) {
        let step = now.0.div_euclid(STEP_MS);
        match &mut self.begun {
            Some((of, all_fps, all_speed, count)) if *of == step => {
                *all_fps += fps;
                *all_speed += speed;
                *count += 1;
            }
            _ => {
                if let Some(ended) = self.mean() {
                    self.points.push_back(ended);
                    if self.points.len() > MOST {
                        self.points.pop_front();
                    }
                }
                self.begun = Some((step, fps, speed, 1));
            }
        }
    }

    /// The mean of the step that is being measured.
    fn mean(&self) -> Option<ThroughputPoint> {
        self.begun.map(|(step, fps, speed, count)| ThroughputPoint {
            at: UnixMs(step * STEP_MS),
            fps: fps / f64::from(count),
            speed: speed / f64::from(count),
        })
    }

    /// The last day, the step that has not yet ended last.
    pub(super) fn view(&self, now: UnixMs) -> ThroughputView {
        let oldest = now.plus_ms(-24 * 3_600_000);
        let points = self.points.iter().copied().chain(self.mean());
        ThroughputView {
            step_ms: STEP_MS,
            points: points.filter(|point| point.at > oldest).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_minutes_are_one_point_and_a_day_is_all_there_is() {
        let mut pulse = Pulse::default();
        let minutes = 3 * 24 * 60;
        for minute in 0..minutes {
            pulse.measured(f64::from(minute), 2.0, UnixMs(i64::from(minute) * 60_000));
        }
        let view = pulse.view(UnixMs(i64::from(minutes - 1) * 60_000));
        assert_eq!(view.points.len(), MOST);
        let last = view.points.last().expect("a point");
        // The mean of the last five minutes, which are its numbers.
        assert!((last.fps - f64::from(minutes - 3)).abs() < 1e-9);
        assert!((last.speed - 2.0).abs() < 1e-9);
        let steps = view
            .points
            .windows(2)
            .map(|two| two[1].at.ms_since(two[0].at));
        assert!(steps.into_iter().all(|step| step == STEP_MS));
    }

    #[test]
    fn a_master_that_slept_has_a_gap() {
        let mut pulse = Pulse::default();
        pulse.measured(10.0, 1.0, UnixMs(0));
        pulse.measured(20.0, 1.0, UnixMs(10 * STEP_MS));
        let at: Vec<_> = pulse
            .view(UnixMs(10 * STEP_MS))
            .points
            .iter()
            .map(|p| p.at)
            .collect();
        assert_eq!(at, [UnixMs(0), UnixMs(10 * STEP_MS)]);
    }
}
