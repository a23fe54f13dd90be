//! What a run tells while it runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::predict::Prediction;

/// Something that happened during a run. Events come in order, on the thread
/// that called; a slow observer slows the run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The plan stands; encoding follows. It comes again, and encoding begins anew,
    /// where sound turns out to have more channels later on than its header says.
    Planned(Box<Plan>),
    /// The output's file was made, under its dot name. It is gone again when the call
    /// returns, unless it returns it; a process that is to end before that may remove it.
    Created(PathBuf),
    /// Another encode in this process holds the encoder (SVT-AV1 below 4.1 takes
    /// one a process); this run goes on when it ends.
    WaitingForEncoder,
    /// How far the run is. At least one comes at the end, with exact numbers.
    Progress(Progress),
    /// The encode is complete and is being read back.
    Verifying(Verifying),
    /// Samples are being encoded, to predict the output's size.
    Sampling(Sampling),
    /// What the output is likely to weigh, before the film is encoded.
    Predicted(Box<Prediction>),
    /// Something the viewer of the result might notice; the run goes on.
    Warning(String),
}

/// How far a run is. Counted when the muxer has taken a packet, so it never runs
/// ahead of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Progress {
    /// Video frames encoded and handed to the muxer.
    pub frames_done: u64,
    /// Video frames given to the encoder; it holds back about 40 on two cores.
    pub frames_in: u64,
    /// Video frames in all.
    pub frames_total: FramesTotal,
    /// Presentation time of the last frame done, in microseconds from the first.
    pub position_us: i64,
    /// Time since the run began, in microseconds.
    pub elapsed_us: u64,
    /// Frames done per second, over the last few seconds.
    pub fps: f64,
    /// Film time done per wall-clock time, over the last few seconds.
    pub speed: f64,
    /// Bytes of the output so far.
    pub bytes_written: u64,
    /// What the output will weigh if the rest compresses like the part done.
    pub projected_bytes: Option<u64>,
    /// Time left in microseconds at the present speed.
    pub eta_us: Option<u64>,
}

/// How far the verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Verifying {
    /// Video frames read back and decoded.
    pub frames_done: u64,
    /// Video frames that there should be.
    pub frames_total: u64,
}

/// How far a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Sampling {
    /// Frames of samples that are encoded.
    pub frames_done: u64,
    /// Frames of samples in all.
    pub frames_total: u64,
}

/// How many frames there are in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "frames", rename_all = "snake_case")]
#[non_exhaustive]
pub enum FramesTotal {
    /// Every frame of the source has been decoded and counted.
    Exact(u64),
    /// What the container declares, or its duration times its frame rate.
    Estimate(u64),
    /// The container says nothing to estimate from.
    Unknown,
}

impl FramesTotal {
    /// The number, exact or estimated.
    #[must_use]
    pub fn frames(self) -> Option<u64> {
        match self {
            Self::Exact(frames) | Self::Estimate(frames) => Some(frames),
            Self::Unknown => None,
        }
    }
}
