//! Quantities and strangers' text, in words for people.

use bytesize::ByteSize;

/// Text on one line that cannot drive a terminal: control characters and those that
/// turn the reading direction (which make a name look like another) are escaped.
pub(crate) fn one_line(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns_direction(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// The bidirectional controls of Unicode (UAX #9) and its two line separators.
fn turns_direction(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// Bytes in decimal units, as disks are sold: `2.1 MB`.
pub(crate) fn bytes(count: u64) -> String {
    ByteSize::b(count).display().si().to_string()
}

/// A time that passed: `41 s`, `12 min 5 s`, `1 h 2 min`.
pub(crate) fn elapsed(micros: u64) -> String {
    if micros < 9_950_000 {
        return format!("{:.1} s", micros as f64 / 1e6);
    }
    let seconds = (micros + 500_000) / 1_000_000;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{hours} h {} min", minutes % 60),
    }
}

/// How long ago a moment was, or how soon it comes, by a clock that may be off by a
/// little: `now`, `41 s ago`, `in 5 min`, `3 days ago`.
pub(crate) fn ago(ms_since: i64) -> String {
    let seconds = ms_since.unsigned_abs() / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let time = match (days, hours, minutes, seconds) {
        (0, 0, 0, 0..2) => return "now".to_owned(),
        (0, 0, 0, _) => format!("{seconds} s"),
        (0, 0, ..) => format!("{minutes} min"),
        (0 | 1, ..) => format!("{hours} h"),
        _ => format!("{days} days"),
    };
    if ms_since < 0 {
        format!("in {time}")
    } else {
        format!("{time} ago")
    }
}

/// A time to come, as a clock shows it: `0:27`, `1:02:03`.
pub(crate) fn clock(micros: u64) -> String {
    let seconds = (micros + 500_000) / 1_000_000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 {
        format!("{minutes}:{seconds:02}")
    } else {
        format!("{hours}:{minutes:02}:{seconds:02}")
    }
}

/// A position in a film or its length, to the millisecond: `1:02:03.250`.
pub(crate) fn timestamp(micros: i64) -> String {
    let millis = (micros.unsigned_abs() + 500) / 1000;
    let sign = if micros < 0 && millis > 0 { "-" } else { "" };
    let (hours, minutes, seconds) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1000 % 60);
    format!(
        "{sign}{hours}:{minutes:02}:{seconds:02}.{:03}",
        millis % 1000
    )
}

/// `1 frame`, `12 frames`.
pub(crate) fn count(number: u64, of: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {of}{plural}")
}

/// How one size compares with another: `73 % smaller`. Rounded towards "the same",
/// so that no saving is told larger than it is.
pub(crate) fn saving(before: u64, after: u64) -> String {
    let word = if after < before { "smaller" } else { "larger" };
    let difference = u128::from(before.abs_diff(after));
    let Some(percent) = (difference * 100).checked_div(before.into()) else {
        return "size unknown".to_owned();
    };
    match (difference, percent) {
        (0, _) => "the same size".to_owned(),
        (_, 0) => format!("less than 1 % {word}"),
        (_, percent) => format!("{percent} % {word}"),
    }
}

/// Frames per second: a decimal where it says something, below ten.
pub(crate) fn rate(fps: f64) -> String {
    short(fps, if fps < 9.95 { 1 } else { 0 })
}

/// A number with at most `digits` decimals and no zeros at its end: `23.976`, `24`.
pub(crate) fn short(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_and_times_read_well() {
        assert_eq!(bytes(7_807_391), "7.8 MB");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(elapsed(1_240_000), "1.2 s");
        assert_eq!(elapsed(9_960_000), "10 s");
        assert_eq!(elapsed(41_400_000), "41 s");
        assert_eq!(elapsed(725_000_000), "12 min 5 s");
        assert_eq!(elapsed(3_725_000_000), "1 h 2 min");
        assert_eq!(ago(900), "now");
        assert_eq!(ago(-1_900), "now");
        assert_eq!(ago(41_000), "41 s ago");
        assert_eq!(ago(-301_000), "in 5 min");
        assert_eq!(ago(47 * 3_600_000), "47 h ago");
        assert_eq!(ago(80 * 3_600_000), "3 days ago");
        assert_eq!(ago(i64::MIN), "in 106751991167 days");
        assert_eq!(clock(27_400_000), "0:27");
        assert_eq!(clock(3_723_000_000), "1:02:03");
        assert_eq!(timestamp(52_208_333), "0:00:52.208");
        assert_eq!(timestamp(-1_500_000), "-0:00:01.500");
        assert_eq!(timestamp(-100), "0:00:00.000");
        assert_eq!(short(24000.0 / 1001.0, 3), "23.976");
        assert_eq!(short(30.0, 3), "30");
        assert_eq!(short(10.0, 0), "10");
        assert_eq!(rate(9.94), "9.9");
        assert_eq!(rate(9.96), "10");
    }

    #[test]
    fn a_saving_is_never_told_larger_than_it_is() {
        assert_eq!(saving(1000, 270), "73 % smaller");
        assert_eq!(saving(1000, 1), "99 % smaller");
        assert_eq!(saving(1000, 999), "less than 1 % smaller");
        assert_eq!(saving(1000, 1000), "the same size");
        assert_eq!(saving(1000, 3710), "271 % larger");
        assert_eq!(saving(0, 10), "size unknown");
        assert_eq!(saving(u64::MAX, 0), "100 % smaller");
    }

    #[test]
    fn a_hostile_name_is_shown_and_not_obeyed() {
        assert_eq!(
            one_line("a\nb\u{1b}[2J\u{9b}1m \u{202e}4pm.exe é 漢"),
            "a\\nb\\u{1b}[2J\\u{9b}1m \\u{202e}4pm.exe é 漢"
        );
    }

    proptest! {
        #[test]
        fn one_line_is_one_line_and_stable(text in any::<String>()) {
            let safe = one_line(&text);
            prop_assert!(!safe.chars().any(|c| c.is_control() || turns_direction(c)));
            prop_assert_eq!(one_line(&safe), safe);
        }
    }
}
