//! The hours in which encodes may begin, by the clock on the wall.
//!
//! ```text
//! 22:00-06:00                every night; a span belongs to the day it begins on
//! mon-fri 22:00-06:00        nights that begin on a working day
//! sat,sun 00:00-24:00        the whole of both
//! ```

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::units::UnixMs;

const DAY_MINUTES: u16 = 24 * 60;
const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;
const MINUTE_MS: i64 = 60_000;

/// Days as they are written, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The grammar in words, for messages and the documentation.
pub(crate) const GRAMMAR: &str = "`HH:MM-HH:MM`, with days before it if it is not for all, such as `mon-fri 22:00-06:00` or \
     `sat,sun 00:00-24:00`";

/// A minute of the week by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalMinute(u16);

impl LocalMinute {
    /// The minute `minute` of the day `weekday`, 0 being Monday; `None` where there is
    /// no such day or minute.
    #[must_use]
    pub fn new(weekday: u8, minute: u16) -> Option<Self> {
        (weekday < 7 && minute < DAY_MINUTES)
            .then(|| Self(u16::from(weekday) * DAY_MINUTES + minute))
    }
}

/// Where clocks on the wall are set alike.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// This machine's (`TZ`, else `/etc/localtime`, else UTC).
    #[must_use]
    pub fn system() -> Self {
        Self(TimeZone::system())
    }

    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone of an IANA name, such as `Europe/Berlin`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// What the clock on the wall shows, and for how long the present minute still
    /// lasts, in milliseconds.
    fn local(&self, moment: UnixMs) -> (LocalMinute, i64) {
        let time = self.0.to_datetime(timestamp(moment));
        let minute = u16::try_from(time.hour()).unwrap_or(0) * 60
            + u16::try_from(time.minute()).unwrap_or(0);
        let day = u16::try_from(time.weekday().to_monday_zero_offset()).unwrap_or(0);
        let into = i64::from(time.second()) * 1000 + i64::from(time.millisecond());
        (LocalMinute(day * DAY_MINUTES + minute), MINUTE_MS - into)
    }

    /// When the clocks are next set, after `moment`.
    fn next_shift(&self, moment: UnixMs) -> Option<UnixMs> {
        let shift = self.0.following(timestamp(moment)).next()?;
        Some(UnixMs(shift.timestamp().as_millisecond()))
    }
}

fn timestamp(moment: UnixMs) -> Timestamp {
    // Out of range is before year -9999 or after 9999.
    Timestamp::from_millisecond(moment.0).unwrap_or(Timestamp::MAX)
}

/// The hours in which encodes may begin; by default always.
#[derive(Clone, PartialEq, Eq)]
pub struct Hours {
    /// Whether each minute of the week is open, a bit each; `None`: all are.
    open: Option<Box<[u64; WORDS]>>,
}

const WORDS: usize = (WEEK_MINUTES as usize).div_ceil(64);

impl Default for Hours {
    fn default() -> Self {
        Self::always()
    }
}

impl fmt::Debug for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.open.as_ref().map(|open| {
            let ones = open.iter().map(|word| word.count_ones());
            ones.sum::<u32>()
        });
        write!(f, "Hours({minutes:?} minutes a week)")
    }
}

impl Hours {
    /// At any time.
    #[must_use]
    pub fn always() -> Self {
        Self { open: None }
    }

    /// The hours that one of these spans holds; none: always.
    ///
    /// # Errors
    ///
    /// Which span is wrong, and what is allowed, in words.
    pub fn parse(spans: &[String]) -> Result<Self, String> {
        let mut hours = Self::always();
        for text in spans {
            hours.add(&Span::parse(text)?);
        }
        Ok(hours)
    }

    fn add(&mut self, span: &Span) {
        let open = self.open.get_or_insert_with(|| Box::new([0; WORDS]));
        for day in (0..7_u16).filter(|day| span.days & (1 << day) != 0) {
            for minute in span.from..span.to {
                let minute = usize::from((day * DAY_MINUTES + minute) % WEEK_MINUTES);
                open[minute / 64] |= 1 << (minute % 64);
            }
        }
    }

    /// Whether encodes may begin when the clock on the wall shows `local`.
    #[must_use]
    pub fn is_open(&self, local: LocalMinute) -> bool {
        let minute = usize::from(local.0);
        let open = |open: &[u64; WORDS]| open[minute / 64] & (1 << (minute % 64)) != 0;
        self.open.as_deref().is_none_or(open)
    }

    /// Whether encodes may begin at `now`.
    #[must_use]
    pub fn is_open_at(&self, now: UnixMs, zone: &Zone) -> bool {
        self.open.is_none() || self.is_open(zone.local(now).0)
    }

    /// The minutes from the beginning of `local` to the next one that differs from it in
    /// being open, on days when no clock is set; `None` where none does.
    #[must_use]
    pub fn minutes_to_change(&self, local: LocalMinute) -> Option<u16> {
        let is_open = self.is_open(local);
        let at = |ahead: u16| LocalMinute((local.0 + ahead) % WEEK_MINUTES);
        (1..WEEK_MINUTES).find(|ahead| self.is_open(at(*ahead)) != is_open)
    }

    /// The first moment after `now` at which [`Hours::is_open_at`] says something else,
    /// also on days when the clocks are set; `None` where there is none.
    #[must_use]
    pub fn next_change(&self, now: UnixMs, zone: &Zone) -> Option<UnixMs> {
        self.open.as_ref()?;
        let is_open = self.is_open_at(now, zone);
        let mut from = now;
        // Two shifts a year, and a change a week at the least: it ends in the first few
        // rounds, or never.
        for _ in 0..4 {
            let (local, rest_ms) = zone.local(from);
            let ahead = self.minutes_to_change(local);
            let change = ahead.map(|minutes| {
                let whole = i64::from(minutes - 1).saturating_mul(MINUTE_MS);
                from.plus_ms(rest_ms.saturating_add(whole))
            });
            // Up to the next shift the clock on the wall goes like any other.
            let Some(shift) = zone.next_shift(from).filter(|shift| *shift > from) else {
                return change;
            };
            if let Some(change) = change.filter(|change| *change < shift) {
                return Some(change);
            }
            if self.is_open_at(shift, zone) != is_open {
                return Some(shift);
            }
            from = shift;
        }
        None
    }
}

/// Some days, and from when to when on them, in minutes from their midnight; past that
/// of the next day where `to` is more than a day's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    /// A bit each, Monday's first.
    days: u8,
    from: u16,
    to: u16,
}

impl Span {
    fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| format!("`{text}` is no span of hours: write {GRAMMAR}"))
    }

    fn read(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let (days, times) = match text.rsplit_once(char::is_whitespace) {
            Some((days, times)) => (read_days(days)?, times),
            None => (0b111_1111, text.as_str()),
        };
        let (from, to) = times.split_once('-')?;
        let (from, to) = (read_time(from)?, read_time(to)?);
        // From a time to the same is nothing, or a day: whoever means one writes 24:00.
        if from == to || from == DAY_MINUTES {
            return None;
        }
        let to = if to < from { to + DAY_MINUTES } else { to };
        Some(Self { days, from, to })
    }
}

/// `mon,wed-fri`, with or without spaces after the commas.
fn read_days(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name.trim());
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // `sat-mon` goes over the week's end.
        let count = (last + 7 - first) % 7;
        for ahead in 0..=count {
            days |= 1 << ((first + ahead) % 7);
        }
    }
    Some(days)
}

/// `HH:MM`, `24:00` being the day's end.
fn read_time(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let lawful = digits.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        lawful.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let lawful = minutes < 60 && (hours < 24 || (hours == 24 && minutes == 0));
    lawful.then_some(hours * 60 + minutes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hours(spans: &[&str]) -> Hours {
        let spans: Vec<_> = spans.iter().map(|span| (*span).to_owned()).collect();
        Hours::parse(&spans).expect("hours")
    }

    fn at(day: &str, hour: u16, minute: u16) -> LocalMinute {
        let day = DAYS.iter().position(|d| *d == day).expect("a day");
        LocalMinute::new(day as u8, hour * 60 + minute).expect("a minute")
    }

    #[test]
    fn a_night_belongs_to_the_day_it_begins_on() {
        let hours = hours(&["mon-fri 22:00-06:00"]);
        assert!(!hours.is_open(at("mon", 5, 59)), "sunday's night");
        assert!(!hours.is_open(at("mon", 21, 59)));
        assert!(hours.is_open(at("mon", 22, 0)));
        assert!(hours.is_open(at("tue", 5, 59)));
        assert!(!hours.is_open(at("tue", 6, 0)));
        assert!(hours.is_open(at("sat", 5, 59)), "friday's night");
        assert!(!hours.is_open(at("sat", 23, 0)));
    }

    #[test]
    fn days_are_lists_and_ranges_also_over_the_weeks_end() {
        let weekend = hours(&["SAT, sun 00:00-24:00"]);
        assert_eq!(weekend, hours(&["sat-sun 0:00-24:00"]));
        assert!(weekend.is_open(at("sun", 23, 59)));
        assert!(!weekend.is_open(at("mon", 0, 0)));
        let long = hours(&["fri-mon,wed 12:00-13:00"]);
        for (day, is_open) in DAYS
            .iter()
            .zip([true, false, true, false, true, true, true])
        {
            assert_eq!(long.is_open(at(day, 12, 30)), is_open, "{day}");
        }
        let sunday_night = hours(&["sun 23:00-01:00"]);
        assert!(sunday_night.is_open(at("mon", 0, 59)));
        assert!(!sunday_night.is_open(at("sun", 0, 59)));
    }

    #[test]
    fn none_is_always_and_nothing_ever_changes() {
        let always = hours(&[]);
        assert!(always.is_open_at(UnixMs(0), &Zone::utc()));
        assert_eq!(always.next_change(UnixMs(0), &Zone::utc()), None);
        let all_the_same = hours(&["00:00-12:00", "12:00-24:00"]);
        assert_eq!(all_the_same.next_change(UnixMs(0), &Zone::utc()), None);
    }

    #[test]
    fn what_is_no_span_is_told_with_the_grammar() {
        for text in [
            "",
            "22:00",
            "22:00-22:00",
            "24:00-06:00",
            "22:60-06:00",
            "25:00-06:00",
            "22-06",
            "+2:00-06:00",
            "2:0-06:00",
            "noon-06:00",
            "mun 22:00-06:00",
            "mon- 22:00-06:00",
            "mon-fri22:00-06:00",
            ",mon 22:00-06:00",
            "22:00-06:00 mon",
        ] {
            let error = Hours::parse(&[text.to_owned()]).expect_err(text);
            assert!(
                error.contains(&format!("`{text}`")) && error.contains("HH:MM"),
                "{error}"
            );
        }
    }

    fn berlin() -> Zone {
        Zone::named("Europe/Berlin").expect("in the bundle")
    }

    /// A moment by the UTC clock.
    fn utc(text: &str) -> UnixMs {
        let moment: Timestamp = text.parse().expect("a moment");
        UnixMs(moment.as_millisecond())
    }

    #[test]
    fn a_night_is_an_hour_shorter_when_clocks_go_forward_and_longer_when_back() {
        let nights = hours(&["22:00-06:00"]);
        let change = |from: &str| nights.next_change(utc(from), &berlin());
        // 2026-03-29 02:00 CET becomes 03:00 CEST.
        assert_eq!(
            change("2026-03-28T12:00:00Z"),
            Some(utc("2026-03-28T21:00:00Z"))
        );
        assert_eq!(
            change("2026-03-28T21:00:00Z"),
            Some(utc("2026-03-29T04:00:00Z"))
        );
        // 2026-10-25 03:00 CEST becomes 02:00 CET.
        assert_eq!(
            change("2026-10-24T20:00:00Z"),
            Some(utc("2026-10-25T05:00:00Z"))
        );
    }

    #[test]
    fn hours_that_the_clock_leaps_over_do_not_come_and_those_repeated_come_twice() {
        let leapt = hours(&["sun 02:00-03:00"]);
        let change = |from: &str| leapt.next_change(utc(from), &berlin());
        // The one of 2026-03-29 is not; the next is a week later.
        assert_eq!(
            change("2026-03-29T00:30:00Z"),
            Some(utc("2026-04-05T00:00:00Z"))
        );
        // 02:00 to 03:00 CEST, and again 02:00 to 03:00 CET: one piece of two hours.
        assert_eq!(
            change("2026-10-25T00:00:00Z"),
            Some(utc("2026-10-25T02:00:00Z"))
        );
        let in_the_gap = hours(&["sun 02:30-12:00"]);
        // Open as soon as the clock shows 03:00.
        let opens = in_the_gap.next_change(utc("2026-03-29T00:59:30.5Z"), &berlin());
        assert_eq!(opens, Some(utc("2026-03-29T01:00:00Z")));
    }

    /// Looks at every minute, and at each shift's own moment.
    fn next_change_by_looking(hours: &Hours, now: UnixMs, zone: &Zone) -> Option<UnixMs> {
        let is_open = hours.is_open_at(now, zone);
        let first = now.0 - now.0.rem_euclid(MINUTE_MS) + MINUTE_MS;
        let looks = (0..i64::from(WEEK_MINUTES) * 2).map(|n| UnixMs(first + n * MINUTE_MS));
        looks
            .into_iter()
            .find(|at| hours.is_open_at(*at, zone) != is_open)
    }

    fn span() -> impl Strategy<Value = String> {
        (0_usize..7, 0_usize..7, 0_u16..1440, 0_u16..=1440)
            .prop_filter("a span", |(_, _, from, to)| from != to)
            .prop_map(|(first, last, from, to)| {
                let time = |t: u16| format!("{:02}:{:02}", t / 60, t % 60);
                let (first, last) = (DAYS[first], DAYS[last]);
                format!("{first}-{last} {}-{}", time(from), time(to))
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_next_change_is_the_one_found_by_looking(
            spans in proptest::collection::vec(span(), 1..4),
            // Around the days when clocks are set in 2026, in zones of whole and half
            // hours and on both sides of the world.
            near in proptest::sample::select(vec!["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z",
                "2026-04-04T15:30:00Z", "2026-07-01T00:00:00Z"]),
            zone in proptest::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe",
                "America/St_Johns", "UTC"]),
            ahead_ms in -8 * 86_400_000_i64..8 * 86_400_000,
        ) {
            let hours = Hours::parse(&spans).expect("hours");
            let zone = Zone::named(zone).expect("in the bundle");
            let now = utc(near).plus_ms(ahead_ms);
            let expected = next_change_by_looking(&hours, now, &zone);
            prop_assert_eq!(hours.next_change(now, &zone), expected);
        }

        #[test]
        fn a_minute_is_open_where_a_span_holds_it(
            first in 0_u16..7, from in 0_u16..1440, to in 0_u16..=1440, minute in 0..WEEK_MINUTES,
        ) {
            prop_assume!(from != to);
            let time = |t: u16| format!("{}:{:02}", t / 60, t % 60);
            let day = DAYS[usize::from(first)];
            let hours = hours(&[&format!("{day} {}-{}", time(from), time(to))]);
            let length = (to + DAY_MINUTES - from) % DAY_MINUTES;
            let length = if length == 0 { DAY_MINUTES } else { length };
            let since = (minute + WEEK_MINUTES - first * DAY_MINUTES - from) % WEEK_MINUTES;
            prop_assert_eq!(hours.is_open(LocalMinute(minute)), since < length);
        }

        #[test]
        fn nothing_panics_and_what_parses_changes(text in "[a-z0-9:, -]{0,20}", now: i64) {
            if let Ok(hours) = Hours::parse(&[text]) {
                let zone = Zone::utc();
                let now = UnixMs(now / 1000);
                if let Some(change) = hours.next_change(now, &zone) {
                    prop_assert_ne!(hours.is_open_at(change, &zone), hours.is_open_at(now, &zone));
                }
            }
        }
    }
}
