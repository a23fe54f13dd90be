//! Which parts of a film are encoded to predict its size. Pure.
//!
//! The film is cut into windows of equal length, and the windows are put in the order
//! of what they weigh in the source: what was hard to encode for its encoder is hard
//! for ours. That order is cut into strata of equal weight, and of each stratum the most
//! typical window is encoded. So heavy parts, where an error would cost most, are
//! sampled more densely than light ones, and no kind of scene is left out (W. G. Cochran,
//! Sampling Techniques, sections 5A.7 and 6.2).

use super::walk::VideoPacket;

/// Packets that follow each other in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Window {
    /// Position of the first among all packets.
    pub(super) first: usize,
    pub(super) packets: usize,
    /// Bytes in the source, with the keyframes' share spread over their frames.
    pub(super) weight: f64,
}

impl Window {
    fn density(&self) -> f64 {
        self.weight / self.packets as f64
    }
}

/// Windows that are alike, and the one of them that stands for all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stratum {
    pub(super) sample: Window,
    /// Of all its windows.
    pub(super) weight: f64,
    pub(super) windows: usize,
}

/// Bytes of each packet, where what a keyframe weighs more than the frames up to the
/// next one is spread over all of these: a window is not heavier in our encode for
/// holding a keyframe of the source.
fn spread(packets: &[VideoPacket]) -> Vec<f64> {
    let mut weights: Vec<f64> = packets.iter().map(|p| f64::from(p.bytes)).collect();
    let mut start = 0;
    while start < packets.len() {
        let following = packets[start + 1..].iter().position(|p| p.is_key);
        let end = following.map_or(packets.len(), |distance| start + 1 + distance);
        let frames = (end - start) as f64;
        if packets[start].is_key && frames > 1.0 {
            let others = weights[start + 1..end].iter().sum::<f64>() / (frames - 1.0);
            let excess = weights[start] - others;
            weights[start] = others;
            for weight in &mut weights[start..end] {
                *weight += excess / frames;
            }
        }
        start = end;
    }
    weights
}

/// Cuts a film into windows of `each` packets; the last may be shorter.
pub(super) fn windows(packets: &[VideoPacket], each: usize) -> Vec<Window> {
    let each = each.max(1);
    let weights = spread(packets);
    let windows = weights.chunks(each).enumerate();
    windows
        .map(|(i, weights)| Window {
            first: i * each,
            packets: weights.len(),
            // A window that weighs nothing has no ratio.
            weight: weights.iter().sum::<f64>().max(1.0),
        })
        .collect()
}

/// Chooses at most `count` windows of `each` packets, light ones first. Every window
/// belongs to one stratum.
pub(super) fn choose(mut windows: Vec<Window>, each: usize, count: usize) -> Vec<Stratum> {
    windows.sort_by(|a, b| a.density().total_cmp(&b.density()));
    let total: f64 = windows.iter().map(|window| window.weight).sum();
    let mut groups: Vec<Vec<Window>> = vec![Vec::new(); count.max(1)];
    let mut before = 0.0;
    for window in windows {
        let middle = before + window.weight / 2.0;
        before += window.weight;
        let group = (middle / total * groups.len() as f64) as usize;
        let last = groups.len() - 1;
        groups[group.min(last)].push(window);
    }
    // A short last window cannot be a sample; alone in its group it goes along with
    // another one.
    let mut strata: Vec<Stratum> = Vec::new();
    let (mut odd_weight, mut odd_windows) = (0.0, 0);
    for group in groups.into_iter().filter(|group| !group.is_empty()) {
        let weight: f64 = group.iter().map(|window| window.weight).sum();
        match typical(&group, each) {
            Some(sample) => strata.push(Stratum {
                sample,
                weight,
                windows: group.len(),
            }),
            None => {
                odd_weight += weight;
                odd_windows += group.len();
            }
        }
    }
    if let Some(first) = strata.first_mut() {
        first.weight += odd_weight;
        first.windows += odd_windows;
    }
    strata
}

/// The whole window that weighs most like the mean of its group.
fn typical(group: &[Window], each: usize) -> Option<Window> {
    let packets: usize = group.iter().map(|window| window.packets).sum();
    let mean = group.iter().map(|window| window.weight).sum::<f64>() / packets as f64;
    let off = |window: &Window| (window.density() - mean).abs();
    let whole = group.iter().filter(|window| window.packets == each);
    whole.min_by(|a, b| off(a).total_cmp(&off(b))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet((bytes, is_key): (u32, bool)) -> VideoPacket {
        VideoPacket {
            ticks: 0,
            bytes,
            is_key,
        }
    }

    #[test]
    fn keyframes_weigh_on_all_frames_up_to_the_next() {
        let film = [(50, true), (10, false), (10, false), (10, false), (7, true)];
        let weights = spread(&film.map(packet));
        assert_eq!(weights, [20.0, 20.0, 20.0, 20.0, 7.0]);
    }

    #[test]
    fn heavy_parts_are_sampled_more_densely() {
        let mut film = vec![packet((10, false)); 900];
        film.extend([packet((90, false)); 100]);
        let strata = choose(windows(&film, 10), 10, 4);
        let heavy = strata.iter().filter(|s| s.sample.weight > 500.0).count();
        assert_eq!((strata.len(), heavy), (4, 2), "{strata:?}");
    }

    proptest! {
        #[test]
        fn samples_lie_within_the_film_and_apart_and_every_window_counts_once(
            film in prop::collection::vec((0u32..100_000, any::<bool>()), 1..2000),
            each in 1usize..200,
            count in 1usize..30,
        ) {
            let film: Vec<_> = film.into_iter().map(packet).collect();
            let all = windows(&film, each);
            prop_assert_eq!(all.iter().map(|w| w.packets).sum::<usize>(), film.len());
            let weight: f64 = all.iter().map(|w| w.weight).sum();
            let many = all.len();
            let strata = choose(all, each, count);
            prop_assert!(strata.len() <= count);
            prop_assert_eq!(strata.is_empty(), film.len() < each);
            let mut firsts: Vec<_> = strata.iter().map(|s| s.sample.first).collect();
            firsts.sort_unstable();
            prop_assert!(firsts.windows(2).all(|pair| pair[0] + each <= pair[1]));
            prop_assert!(firsts.last().is_none_or(|first| first + each <= film.len()));
            if !strata.is_empty() {
                prop_assert_eq!(strata.iter().map(|s| s.windows).sum::<usize>(), many);
                let counted: f64 = strata.iter().map(|s| s.weight).sum();
                prop_assert!((counted / weight - 1.0).abs() < 1e-9);
            }
        }
    }
}
