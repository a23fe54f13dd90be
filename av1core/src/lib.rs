//! Shrinks one media file to AV1 + Opus, inside the process, over FFmpeg's libraries.
//!
//! ```text
//! source -> probe -> plan -> encode (demux, decode, filter, encode, mux) -> verify -> output
//! ```
//!
//! [`transcode`] does it all:
//!
//! ```no_run
//! use av1core::{CancelToken, Destination, Event, Options, Outcome};
//!
//! fn main() -> Result<(), av1core::Error> {
//!     let cancel = CancelToken::new(); // clone it; `cancel()` from any thread stops the run
//!     let output = Destination::new("film.av1.mkv");
//!     let outcome = av1core::transcode("film.mp4", &output, &Options::default(), &cancel, |event| {
//!         if let Event::Progress(p) = event {
//!             println!("{} of {:?} frames, {:.0} fps", p.frames_done, p.frames_total.frames(), p.fps);
//!         }
//!     })?;
//!     match outcome {
//!         Outcome::Done(report) => println!("{} -> {} bytes", report.source_bytes, report.output_bytes),
//!         Outcome::Skipped(reason) => println!("left alone: {reason}"),
//!         _ => {}
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # What is on disk
//!
//! [`transcode`] only ever reads the source; [`shrink`] replaces it, by a journal that
//! [`recover`] brings to its end after a crash ([`replace()`]). The output is written under a dot name beside its
//! final one (`.NAME.<random>.av1part`), made durable and renamed at the end: the
//! final name appears whole or not at all. An error, a cancelled token or a panic
//! removes the file under the dot name; only a killed process leaves it behind, and
//! [`recover`] removes it.
//!
//! [`shrink`] in two halves: [`stage`] leaves the verified output beside the source (or
//! [`adopt`] does, for one that was encoded elsewhere), and [`StagedFilm::replace`] puts
//! it in its place. In between another process can [`revoke`] that.
//!
//! # Threads
//!
//! Each step of a run has a thread; events come on the thread that called. All
//! public types are `Send`. SVT-AV1 below 4.1 takes one encoder a process
//! ([`Capabilities::one_encoder_a_process`]): further runs in the same process wait
//! their turn and say so ([`Event::WaitingForEncoder`]). A caller that wants several
//! encodes at once then runs each in a process of its own.
//!
//! SVT-AV1 cannot be stopped. After a run that was cancelled or failed, a thread of
//! its own lets the encoder finish the frames it holds (about 40; at slow presets
//! minutes) before its memory is freed and, below 4.1, before the next run in the
//! process begins. A process of its own, killed, ends at once.
//!
//! # What is not stable
//!
//! The wording of messages, and the bytes of an output: both change with the
//! versions of this crate and of the libraries.

#![deny(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod adopt;
mod cancel;
mod clock;
mod container;
mod encoded;
mod error;
mod event;
mod ffi;
mod h264;
mod in_place;
mod media;
mod names;
mod not_worthwhile;
mod output;
mod picture;
mod pipeline;
mod plan;
mod predict;
mod probe;
mod replace;
mod rules;
mod run;
pub mod segment;
mod units;
mod verify;
mod witness;

use std::path::Path;

use self::run::{Attempt, encode_verified};

pub use self::adopt::adopt;
pub use self::cancel::CancelToken;
pub use self::container::Container;
pub use self::encoded::{Encoded, Report, encode};
pub use self::error::{Error, ErrorKind, NotWorthwhile, Result, Stage};
pub use self::event::{Event, FramesTotal, Progress, Sampling, Verifying};
pub use self::ffi::{Capabilities, capabilities, quiet_encoder_log};
pub use self::in_place::{
    Decision, Shrink, Shrunk, StagedFilm, Staging, ToEncode, decide, shrink, stage,
};
pub use self::media::{
    AttachmentInfo, AudioInfo, Chapter, Chroma, Colour, ContentLight, Disposition, DolbyVision,
    FieldOrder, Hdr, MasteringDisplay, MediaInfo, Orientation, StreamInfo, StreamKind,
    SubtitleInfo, Tags, VideoInfo,
};
pub use self::output::Destination;
pub use self::picture::{Picture, kept_source, picture};
pub use self::plan::{
    Action, Allow, AudioSettings, BitDepth, EncoderLimits, Options, Plan, RejectReason, SkipReason,
    StreamPlan, Verdict, VideoFilter, VideoSettings, default_bitrate_kbps, plan,
};
pub use self::predict::{Prediction, Worth, predict};
pub use self::probe::probe;
pub use self::replace::{
    InPlace, Recovered, Recovery, Replaced, Restored, Revocation, recover, recover_folder, replace,
    restore, revoke,
};
pub use self::rules::{DecisionKey, FileFacts, HardLinks, Lasts, Pattern, Rules};
pub use self::units::{Crf, OutOfRange, Preset, Ratio, Saving, TimeBase};
pub use self::verify::{Comparison, Difference, Verified, compare, verify};

/// How a call of [`transcode`] ended well.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The output is in its place.
    Done(Report),
    /// The plan says to leave the source alone; nothing was written.
    Skipped(SkipReason),
    /// The output saves less than is asked for ([`Options::min_saving_percent`]). The
    /// encode ended as soon as that was certain; nothing of it is left on disk.
    NotWorthwhile(NotWorthwhile),
}

/// Encodes `source` to `output`, verifies it, and returns when it is in its place.
///
/// Blocks for as long as the encode takes; `observer` is called on this thread.
///
/// # Errors
///
/// Any [`ErrorKind`]. Nothing of the output is left on disk then, and what was
/// there under its name before is still there.
pub fn transcode(
    source: impl AsRef<Path>,
    output: &Destination,
    options: &Options,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Outcome> {
    let source = source.as_ref();
    output.check(source)?;
    let info = probe::probe_cancellable(source, cancel)?;
    let options = Options {
        container: output.container().unwrap_or_default(),
        ..options.for_linked_encoder()
    };
    match encode_verified(source, info, &options, output, (cancel, &mut observer))? {
        Attempt::Verified(verified) => verified.publish().map(Outcome::Done),
        Attempt::Skipped(reason) => Ok(Outcome::Skipped(reason)),
        Attempt::NotWorthwhile(found) => Ok(Outcome::NotWorthwhile(found)),
    }
}
