//! An output that would save too little.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an output would have weighed that saves too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NotWorthwhile {
    /// Size of the source in bytes.
    pub source_bytes: u64,
    /// The largest output that would have saved as much as is asked for, in bytes.
    pub most_bytes: u64,
    /// What the output would have weighed at the least, in bytes; where it is
    /// `finished`, what it weighed.
    pub least_bytes: u64,
    /// Video frames that were in the output when this was certain.
    pub frames_done: u64,
    /// Whether the output was complete.
    pub finished: bool,
    /// Whether nothing was encoded but samples: `least_bytes` is the lower end of a
    /// [`Prediction`](crate::Prediction).
    pub predicted: bool,
}

impl fmt::Display for NotWorthwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.least_bytes;
        match (self.finished, self.predicted) {
            (true, _) => write!(f, "the output is {least} bytes")?,
            (_, true) => write!(f, "by a prediction the output is {least} bytes or more")?,
            _ => {
                let frames = self.frames_done;
                write!(
                    f,
                    "after {frames} frames the output is certain to be {least} bytes or more"
                )?;
            }
        }
        let (most, source) = (self.most_bytes, self.source_bytes);
        write!(
            f,
            ", and {most} is the most that saves enough of the source's {source}"
        )
    }
}
