//! Quantities with their units in the type.
//!
//! Presentation times travel as plain `i64` ticks of a [`TimeBase`], never as
//! floating-point seconds, so that a comparison of two timestamps is exact.

use serde::{Deserialize, Serialize};

/// A fraction, such as a frame rate (frames per second) or a sample aspect ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ratio {
    /// Numerator.
    pub num: i32,
    /// Denominator; never zero in a value made by [`Ratio::new`].
    pub den: i32,
}

impl Ratio {
    /// The ratio, or `None` where it is not a positive number.
    #[must_use]
    pub fn new(num: i32, den: i32) -> Option<Self> {
        (num > 0 && den > 0).then_some(Self { num, den })
    }

    /// The nearest floating-point number, for display and arithmetic that need not be exact.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

/// The length of one tick in seconds, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBase {
    /// Seconds, numerator.
    pub num: i32,
    /// Seconds, denominator.
    pub den: i32,
}

impl TimeBase {
    /// Microseconds, the unit of every duration in this crate's public data.
    pub const MICROS: Self = Self {
        num: 1,
        den: 1_000_000,
    };
    /// Milliseconds, the time base of the Matroska files libavformat writes.
    pub const MILLIS: Self = Self { num: 1, den: 1000 };

    /// A time base; zero or negative parts (damaged headers) become one microsecond.
    #[must_use]
    pub fn new(num: i32, den: i32) -> Self {
        if num > 0 && den > 0 {
            Self { num, den }
        } else {
            Self::MICROS
        }
    }

    /// `ticks` of this time base in ticks of `to`: nearest, halves away from
    /// zero, as `av_rescale_q` rounds; saturating where the result does not fit.
    #[must_use]
    pub fn rescale(self, ticks: i64, to: Self) -> i64 {
        let num = i128::from(ticks) * i128::from(self.num) * i128::from(to.den);
        let den = i128::from(self.den) * i128::from(to.num);
        let half = den / 2;
        let rounded = if num >= 0 {
            (num + half) / den
        } else {
            (num - half) / den
        };
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    /// `ticks` in microseconds.
    #[must_use]
    pub fn micros(self, ticks: i64) -> i64 {
        self.rescale(ticks, Self::MICROS)
    }
}

/// Constant rate factor of SVT-AV1: 1 (largest, best) to 63 (smallest, worst).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Crf(pub(crate) u8);

/// Speed of SVT-AV1: 0 (slowest, smallest) to 13 (fastest, largest).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Preset(pub(crate) u8);

/// The least that an output must save of its source's size, in percent: 0 (be no
/// larger) to 99.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Saving(u8);

/// A number outside its allowed range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {value} is out of range: {min} to {max} are allowed")]
pub struct OutOfRange {
    /// What the number is, such as `crf`.
    pub name: &'static str,
    /// The number as given.
    pub value: u64,
    /// Smallest allowed number.
    pub min: u64,
    /// Largest allowed number.
    pub max: u64,
}

impl Crf {
    /// A CRF of 1 to 63. (0 means "not set" to libavcodec's wrapper in FFmpeg 5.1.)
    ///
    /// # Errors
    /// [`OutOfRange`] for any other number.
    pub fn new(value: u8) -> Result<Self, OutOfRange> {
        in_range("crf", value, 1, 63).map(Self)
    }

    /// The number as SVT-AV1 takes it.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Preset {
    /// A preset of 0 to 13.
    ///
    /// # Errors
    /// [`OutOfRange`] for any other number.
    pub fn new(value: u8) -> Result<Self, OutOfRange> {
        in_range("preset", value, 0, 13).map(Self)
    }

    /// The number as SVT-AV1 takes it.
    #[must_use]
    pub fn get(self) -> u8 {
        self.0
    }
}

impl Saving {
    /// What the contract asks for before a source is replaced.
    pub const FIVE_PERCENT: Self = Self(5);

    /// A saving of 0 to 99 %.
    ///
    /// # Errors
    /// [`OutOfRange`] for any other number.
    pub fn new(percent: u8) -> Result<Self, OutOfRange> {
        in_range("saving", percent, 0, 99).map(Self)
    }

    /// The number in percent.
    #[must_use]
    pub fn percent(self) -> u8 {
        self.0
    }

    /// The largest output that saves so much of `source_bytes`.
    ///
    /// ```
    /// let saving = av1core::Saving::new(5)?;
    /// assert_eq!(saving.most_bytes(1000), 950);
    /// # Ok::<(), av1core::OutOfRange>(())
    /// ```
    #[must_use]
    pub fn most_bytes(self, source_bytes: u64) -> u64 {
        let most = u128::from(source_bytes) * u128::from(100 - self.0) / 100;
        u64::try_from(most).unwrap_or(source_bytes)
    }
}

fn in_range(name: &'static str, value: u8, min: u8, max: u8) -> Result<u8, OutOfRange> {
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(OutOfRange {
            name,
            value: value.into(),
            min: min.into(),
            max: max.into(),
        })
    }
}

impl TryFrom<u8> for Crf {
    type Error = OutOfRange;
    fn try_from(value: u8) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl TryFrom<u8> for Preset {
    type Error = OutOfRange;
    fn try_from(value: u8) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl TryFrom<u8> for Saving {
    type Error = OutOfRange;
    fn try_from(percent: u8) -> Result<Self, OutOfRange> {
        Self::new(percent)
    }
}

impl From<Saving> for u8 {
    fn from(saving: Saving) -> Self {
        saving.0
    }
}

impl From<Crf> for u8 {
    fn from(crf: Crf) -> Self {
        crf.0
    }
}

impl From<Preset> for u8 {
    fn from(preset: Preset) -> Self {
        preset.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rescale_rounds_halves_away_from_zero() {
        let half_millis = TimeBase::new(1, 2000);
        assert_eq!(half_millis.rescale(1, TimeBase::MILLIS), 1);
        assert_eq!(half_millis.rescale(-1, TimeBase::MILLIS), -1);
        assert_eq!(TimeBase::new(1, 90_000).rescale(3003, TimeBase::MILLIS), 33);
    }

    #[test]
    fn ranges_are_kept_and_named() {
        assert!(Crf::new(0).is_err());
        assert_eq!(
            Preset::new(14).map_err(|e| e.to_string()),
            Err("preset 14 is out of range: 0 to 13 are allowed".to_owned())
        );
    }

    #[test]
    fn a_saving_is_rounded_to_what_saves_at_least_so_much() {
        let most = |percent, bytes| Saving::new(percent).map(|s| s.most_bytes(bytes));
        assert_eq!(most(5, 1000), Ok(950));
        assert_eq!(most(5, 1001), Ok(950));
        assert_eq!(most(0, 1001), Ok(1001));
        assert_eq!(most(99, u64::MAX), Ok(u64::MAX / 100));
        assert!(Saving::new(100).is_err());
    }

    proptest! {
        #[test]
        fn a_finer_time_base_and_back_is_the_identity(
            ticks in -1_000_000_000_000i64..1_000_000_000_000,
            den in 1i32..200_000,
            factor in 1i32..64,
        ) {
            let coarse = TimeBase::new(1, den);
            let fine = TimeBase::new(1, den.saturating_mul(factor));
            prop_assert_eq!(fine.rescale(coarse.rescale(ticks, fine), coarse), ticks);
        }

        #[test]
        fn rescale_keeps_the_order(a in any::<i64>(), b in any::<i64>(), num in 1i32..1000, den in 1i32..200_000) {
            let base = TimeBase::new(num, den);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(base.micros(low) <= base.micros(high));
        }
    }
}
