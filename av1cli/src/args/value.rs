//! Numbers as typed, refused with the range that is allowed.

use std::ops::RangeInclusive;

use anyhow::Context;
use av1core::{Crf, OutOfRange, Preset, Saving};

/// A CRF; the library knows its range.
pub(super) fn crf(text: &str) -> anyhow::Result<Crf> {
    newtype(text, Crf::new)
}

/// A preset; the library knows its range.
pub(super) fn preset(text: &str) -> anyhow::Result<Preset> {
    newtype(text, Preset::new)
}

/// A saving in percent; the library knows its range.
pub(super) fn saving(text: &str) -> anyhow::Result<Saving> {
    newtype(text, Saving::new)
}

/// A parser for a number within a range.
pub(super) fn number<T>(
    name: &'static str,
    allowed: RangeInclusive<T>,
) -> impl Fn(&str) -> anyhow::Result<T> + Clone
where
    T: TryFrom<u64> + Into<u64> + PartialOrd + Copy,
{
    move |text| {
        let value = whole(text)?;
        let out_of_range = OutOfRange {
            name,
            value,
            min: (*allowed.start()).into(),
            max: (*allowed.end()).into(),
        };
        T::try_from(value)
            .ok()
            .filter(|value| allowed.contains(value))
            .ok_or(out_of_range.into())
    }
}

fn newtype<T>(text: &str, new: impl Fn(u8) -> Result<T, OutOfRange>) -> anyhow::Result<T> {
    let value = whole(text)?;
    // What does not fit into a byte is out of range as 255 is, and told as typed.
    let byte = u8::try_from(value).unwrap_or(u8::MAX);
    new(byte).map_err(|error| OutOfRange { value, ..error }.into())
}

fn whole(text: &str) -> anyhow::Result<u64> {
    text.parse().ok().context("not a whole number")
}
