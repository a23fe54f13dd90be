//! Which bytes of a film are asked for (RFC 9110, 14): pure.

/// What to send of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// From the first of these bytes to the second, both included.
    Part(u64, u64),
    /// None of what was asked for is there.
    Nothing,
}

/// Reads a `Range` header for a film of `bytes`. One that is not understood is as none,
/// as the standard has it; and so are several ranges at once, which no worker asks for.
pub(super) fn wanted(header: &str, bytes: u64) -> Wanted {
    let Some((unit, set)) = header.split_once('=') else {
        return Wanted::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Wanted::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Wanted::Whole;
    };
    match (number(first), number(last)) {
        // The last so many bytes.
        (Number::None, Number::Of(0)) => Wanted::Nothing,
        (Number::None, Number::Of(suffix)) => match bytes.checked_sub(1) {
            Some(end) => Wanted::Part(bytes.saturating_sub(suffix), end),
            None => Wanted::Nothing,
        },
        (Number::Of(first), Number::Of(last)) if first > last => Wanted::Whole,
        (Number::Of(first), last) => match bytes.checked_sub(1) {
            Some(end) if first <= end => match last {
                Number::Of(last) => Wanted::Part(first, last.min(end)),
                Number::None => Wanted::Part(first, end),
                Number::Bad => Wanted::Whole,
            },
            _ if matches!(last, Number::Bad) => Wanted::Whole,
            _ => Wanted::Nothing,
        },
        _ => Wanted::Whole,
    }
}

enum Number {
    None,
    Of(u64),
    Bad,
}

/// Digits alone: no sign, no space within. Past the largest number it is the largest:
/// no film is as long.
fn number(text: &str) -> Number {
    let text = text.trim();
    if text.is_empty() {
        return Number::None;
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Number::Bad;
    }
    Number::Of(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges() {
        use Wanted::{Nothing, Part, Whole};
        for (header, bytes, expected) in [
            ("bytes=0-0", 10, Part(0, 0)),
            ("bytes=0-", 10, Part(0, 9)),
            ("bytes=9-", 10, Part(9, 9)),
            ("bytes=10-", 10, Nothing),
            ("bytes=5-99", 10, Part(5, 9)),
            ("bytes=-3", 10, Part(7, 9)),
            ("bytes=-99", 10, Part(0, 9)),
            ("bytes=-0", 10, Nothing),
            ("Bytes = 2 - 4", 10, Part(2, 4)),
            ("bytes=99999999999999999999999-", 10, Nothing),
            ("bytes=0-99999999999999999999999", 10, Part(0, 9)),
            ("bytes=0-", 0, Nothing),
            ("bytes=-1", 0, Nothing),
            // Not understood, and so not there.
            ("bytes=4-2", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes=1-x", 10, Whole),
            ("bytes=x-1", 10, Whole),
            ("bytes=99-x", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("frames=0-1", 10, Whole),
            ("bytes", 10, Whole),
            ("", 10, Whole),
        ] {
            assert_eq!(wanted(header, bytes), expected, "{header} of {bytes}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_within_the_film(header in "(bytes=)?[-0-9, x]{0,12}", bytes in 0u64..100) {
            if let Wanted::Part(first, last) = wanted(&header, bytes) {
                prop_assert!(first <= last && last < bytes, "{} of {}", header, bytes);
            }
        }

        #[test]
        fn a_range_is_cut_at_the_end(first in 0u64..100, length in 0u64..100, bytes in 0u64..100) {
            let last = first + length;
            let expected: Vec<u64> = (first..=last).filter(|at| *at < bytes).collect();
            let got: Vec<u64> = match wanted(&format!("bytes={first}-{last}"), bytes) {
                Wanted::Part(first, last) => (first..=last).collect(),
                Wanted::Nothing => Vec::new(),
                Wanted::Whole => (0..bytes).collect(),
            };
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn a_suffix_is_cut_at_the_beginning(suffix in 1u64..200, bytes in 1u64..100) {
            let expected = Wanted::Part(bytes.saturating_sub(suffix), bytes - 1);
            prop_assert_eq!(wanted(&format!("bytes=-{suffix}"), bytes), expected);
        }
    }
}
