//! How many threads the encoder is told to work on.

/// The `lp` that makes the encoder plan for so many processors. From 2.3 on it is a
/// level of parallelism, 1 to 6, and the encoder's own choice for so many cores
/// (enc_handle.c, `PARALLEL_LEVEL_*_RANGE`, 2.3 to 3.1).
pub(super) fn lp(processors: u32, release: Option<(u32, u32)>) -> u32 {
    if release.is_none_or(|release| release < (2, 3)) {
        return processors;
    }
    match processors {
        0..=2 => processors,
        3..=5 => 3,
        6..=11 => 4,
        12..=23 => 5,
        _ => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_become_levels_from_2_3_on() {
        for release in [None, Some((1, 4)), Some((2, 2))] {
            assert_eq!(lp(8, release), 8);
        }
        for release in [(2, 3), (3, 0), (4, 2)] {
            let levels = [1, 2, 3, 4, 5, 8, 16, 512].map(|n| lp(n, Some(release)));
            assert_eq!(levels, [1, 2, 3, 3, 3, 4, 5, 6]);
        }
    }
}
