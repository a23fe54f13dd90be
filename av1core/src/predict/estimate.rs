//! From what samples took to what the film will take, with an interval. Pure.

use crate::pipeline::Sampled;

/// A sample that was encoded, and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measured {
    /// Bytes in the source of all that the sample stands for.
    pub(super) stands_for: f64,
    /// Windows that it stands for, itself among them.
    pub(super) windows: usize,
    /// Bytes of the sample itself in the source.
    pub(super) source_bytes: f64,
    /// Bytes that it takes as a part of the whole encode.
    pub(super) bytes: f64,
}

/// A number that is not certain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Estimate {
    pub(super) value: f64,
    /// Variance by the samples.
    pub(super) variance: f64,
    /// Degrees of freedom of that variance.
    pub(super) freedom: f64,
}

/// What a sample's frames take within the whole encode, which has a keyframe less often.
///
/// `keyframes` is the share of frames that are keyframes there; `frames` is how many
/// frames the sample stands for.
pub(super) fn in_film(sampled: &Sampled, keyframes: f64, frames: f64) -> f64 {
    let mean = |bytes: u64, of: u64| bytes as f64 / of.max(1) as f64;
    let inter_frames = sampled.frames.saturating_sub(sampled.key_frames);
    let inter = mean(sampled.inter_bytes, inter_frames);
    // An encoder that puts its keyframes elsewhere (parameters of the caller's own).
    let key = match sampled.key_frames {
        0 => inter,
        frames => mean(sampled.key_bytes, frames),
    };
    frames * (key * keyframes + inter * (1.0 - keyframes))
}

/// The separate ratio estimator: in each stratum the output weighs as much of the
/// source as the stratum's sample does. Exact where that ratio is the same everywhere.
///
/// One sample a stratum says nothing of the spread within it. Strata are in the order of
/// their weight, so neighbours are alike, and the differences of neighbours tell it
/// (Cochran, section 8.9); a trend from stratum to stratum makes it too large, not too
/// small. `None` without a sample.
pub(super) fn estimate(measured: &[Measured]) -> Option<Estimate> {
    let ratios: Vec<f64> = measured.iter().map(|m| m.bytes / m.source_bytes).collect();
    let value = measured.iter().zip(&ratios).map(|(m, r)| m.stands_for * r);
    let value = value.sum::<f64>();
    let pairs = ratios.len().checked_sub(1)?;
    let squares = ratios.windows(2).map(|pair| (pair[1] - pair[0]).powi(2));
    let spread = squares.sum::<f64>() / (2 * pairs.max(1)) as f64;
    let unseen = |m: &Measured| 1.0 - 1.0 / m.windows.max(1) as f64;
    let variance = measured
        .iter()
        .map(|m| m.stands_for.powi(2) * spread * unseen(m));
    Some(Estimate {
        value,
        variance: variance.sum(),
        // Neighbouring differences share a sample: they are worth two thirds of as many
        // independent ones.
        freedom: (pairs as f64 * 2.0 / 3.0).max(1.0),
    })
}

/// The mean of what samples of sound took for a packet, times the packets of the film.
/// Samples are pairs of packets and bytes. `None` where no sample has a packet.
pub(super) fn sound(samples: &[(u64, u64)], film_packets: f64) -> Option<Estimate> {
    let packets = samples.iter().map(|(packets, _)| *packets).sum::<u64>() as f64;
    let bytes = samples.iter().map(|(_, bytes)| *bytes).sum::<u64>() as f64;
    if packets == 0.0 {
        return None;
    }
    let mean = bytes / packets;
    let heard: Vec<_> = samples.iter().filter(|(packets, _)| *packets > 0).collect();
    let freedom = heard.len().saturating_sub(1).max(1) as f64;
    let off = |(packets, bytes): &(u64, u64)| *bytes as f64 - mean * *packets as f64;
    let squares: f64 = heard.iter().map(|sample| off(sample).powi(2)).sum();
    let n = heard.len() as f64;
    // Variance of a ratio of means (Cochran, section 6.3).
    let variance_of_mean = n / freedom * squares / packets.powi(2);
    let unseen = (1.0 - packets / film_packets).max(0.0);
    Some(Estimate {
        value: mean * film_packets,
        variance: film_packets.powi(2) * variance_of_mean * unseen,
        freedom,
    })
}

/// Student's t, 95 % quantile: half of a 90 % interval in standard deviations. By the
/// expansion of Cornish and Fisher (Abramowitz and Stegun, 26.7.5), within 2 % from
/// three degrees of freedom on.
pub(super) fn t95(freedom: f64) -> f64 {
    1.645 + 1.524 / freedom + 1.420 / freedom.powi(2) + 1.0 / freedom.powi(3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keyframes_come_less_often_in_the_film() {
        let sampled = Sampled {
            frames: 101,
            key_frames: 1,
            key_bytes: 1000,
            inter_bytes: 5000,
            sound: Vec::new(),
        };
        // Every 200th frame, in 400 frames: two keyframes and 398 others.
        assert!((in_film(&sampled, 1.0 / 200.0, 400.0) - 21_900.0).abs() < 1e-6);
    }

    #[test]
    fn quantiles_of_student_are_near_those_of_tables() {
        for (freedom, table) in [
            (1.0, 6.31),
            (2.0, 2.92),
            (3.0, 2.35),
            (4.0, 2.13),
            (10.0, 1.81),
        ] {
            let off = t95(freedom) / table - 1.0;
            assert!(off.abs() < 0.03 || freedom < 2.0, "{freedom}: {off}");
        }
    }

    #[test]
    fn sound_that_is_the_same_throughout_is_certain() {
        let found = sound(&[(10, 3200), (20, 6400)], 1000.0).expect("sound");
        assert!((found.value - 320_000.0).abs() < 1e-6);
        assert!(found.variance < 1e-6);
        assert_eq!(sound(&[(0, 0)], 1000.0), None);
    }

    proptest! {
        #[test]
        fn a_ratio_that_is_the_same_everywhere_is_found_exactly(
            strata in prop::collection::vec((1.0f64..1e6, 1usize..50, 1.0f64..1e4), 1..30),
            ratio in 0.001f64..10.0,
        ) {
            let measured: Vec<_> = strata
                .into_iter()
                .map(|(source_bytes, windows, more)| Measured {
                    stands_for: source_bytes * more,
                    windows,
                    source_bytes,
                    bytes: source_bytes * ratio,
                })
                .collect();
            let all: f64 = measured.iter().map(|m| m.stands_for).sum();
            let found = estimate(&measured).expect("an estimate");
            prop_assert!((found.value / (all * ratio) - 1.0).abs() < 1e-9);
            prop_assert!(found.variance.sqrt() <= 1e-6 * found.value);
        }

        #[test]
        fn a_film_of_which_everything_was_seen_has_no_spread(
            ratios in prop::collection::vec(0.01f64..10.0, 2..20),
        ) {
            let measured: Vec<_> = ratios
                .iter()
                .map(|ratio| Measured {
                    stands_for: 100.0,
                    windows: 1,
                    source_bytes: 100.0,
                    bytes: 100.0 * ratio,
                })
                .collect();
            let found = estimate(&measured).expect("an estimate");
            prop_assert_eq!(found.variance, 0.0);
        }
    }
}
