//! How many threads the encoder is told to work on.

use super::capabilities::has_racing_presets;

/// The `lp` that makes the encoder plan for so many processors. From 2.3 on it is a
/// level of parallelism, 1 to 6, and the encoder's own choice for so many cores
/// (enc_handle.c, `PARALLEL_LEVEL_*_RANGE`, 2.3 to 3.1).
pub(super) fn lp(processors: Option<u32>, preset: u8, release: Option<(u32, u32)>) -> Option<u32> {
    if release.is_some_and(|release| one_thread_at(preset, release)) {
        return Some(1);
    }
    let processors = processors?;
    if release.is_none_or(|release| release < (2, 3)) {
        return Some(processors);
    }
    Some(match processors {
        0..=2 => processors,
        3..=5 => 3,
        6..=11 => 4,
        12..=23 => 5,
        _ => 6,
    })
}

/// Presets 11 to 13 of 2.3.0, which are one, race with themselves: of 20 encodes of a
/// clip of 3 s with preset 12 on two busy cores 6 had frames that no decoder takes
/// (and others wrong pictures); none of 20 with `lp=1`, none of 20 with preset 10.
fn one_thread_at(preset: u8, release: (u32, u32)) -> bool {
    has_racing_presets(release) && preset > 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_become_levels_from_2_3_on() {
        for release in [None, Some((1, 4)), Some((2, 2))] {
            assert_eq!(lp(Some(8), 10, release), Some(8));
        }
        for release in [(2, 3), (3, 0), (4, 2)] {
            let levels =
                [1, 2, 3, 4, 5, 8, 16, 512].map(|n| lp(Some(n), 10, Some(release)).unwrap_or(0));
            assert_eq!(levels, [1, 2, 3, 3, 3, 4, 5, 6]);
            assert_eq!(lp(None, 10, Some(release)), None);
        }
    }

    #[test]
    fn the_fastest_presets_of_2_3_get_one_thread() {
        assert_eq!(lp(None, 11, Some((2, 3))), Some(1));
        assert_eq!(lp(Some(8), 13, Some((2, 3))), Some(1));
        for release in [None, Some((1, 4)), Some((3, 0)), Some((4, 2))] {
            assert_eq!(lp(None, 13, release), None);
        }
    }
}
