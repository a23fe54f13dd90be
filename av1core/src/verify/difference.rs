//! What is not as it should be, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing in which an output is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Difference {
    /// Index of the source stream concerned; `None` for the file as a whole.
    pub stream: Option<usize>,
    /// Where in the film, in microseconds of the output's time.
    pub at_us: Option<i64>,
    /// What it is, for a user to read.
    pub what: String,
}

impl Difference {
    pub(super) fn of_file(what: impl Into<String>) -> Self {
        Self {
            stream: None,
            at_us: None,
            what: what.into(),
        }
    }

    pub(super) fn of_stream(index: usize, what: impl Into<String>) -> Self {
        Self {
            stream: Some(index),
            ..Self::of_file(what)
        }
    }

    pub(super) fn at(mut self, time_us: i64) -> Self {
        self.at_us = Some(time_us);
        self
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(index) = self.stream {
            write!(f, "stream {index}")?;
            if self.at_us.is_some() {
                f.write_str(" ")?;
            }
        }
        if let Some(at_us) = self.at_us {
            write!(f, "at {:.3} s", at_us as f64 / 1e6)?;
        }
        if self.stream.is_some() || self.at_us.is_some() {
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_says_where_it_is() {
        let file = Difference::of_file("it is empty");
        assert_eq!(file.to_string(), "it is empty");
        let track = Difference::of_stream(2, "it is missing");
        assert_eq!(track.to_string(), "stream 2: it is missing");
        let frame = Difference::of_stream(0, "a frame is missing").at(1_234_567);
        assert_eq!(frame.to_string(), "stream 0 at 1.235 s: a frame is missing");
    }
}
