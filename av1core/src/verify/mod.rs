//! The gate: a file is read back and decoded whole, and held against its plan and
//! against what the source showed. What passes is [`Verified`], and nothing else is.
//!
//! ```text
//! Encoded -> read (inventory, every packet, every frame) -> compare -> Verified
//! ```

mod compare;
mod difference;
mod inventory;
mod pairs;
mod read;

use std::path::Path;

pub use self::difference::Difference;
use crate::cancel::CancelToken;
use crate::clock::Stopwatch;
use crate::container::Container;
use crate::encoded::{Encoded, Report};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::event::Event;
use crate::media::MediaInfo;
use crate::pipeline::{self, Job};
use crate::plan::{Allow, BitDepth, EncoderLimits, Options, Plan, Verdict, plan};
use crate::probe::probe_cancellable;
use crate::witness::Witness;

/// An encoded film that was read back and is what its plan says. Only [`verify`]
/// makes one:
///
/// ```compile_fail,E0451
/// fn forge(encoded: av1core::Encoded) -> av1core::Verified {
///     av1core::Verified { encoded, verify_us: 0 }
/// }
/// ```
///
/// Dropping it removes the file.
#[derive(Debug)]
pub struct Verified {
    encoded: Encoded,
    verify_us: u64,
}

impl Verified {
    /// The file under its dot name.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.encoded.path()
    }

    /// The number in the dot name.
    pub(crate) fn token(&self) -> u64 {
        self.encoded.staged().token()
    }

    /// Size of the file in bytes.
    pub(crate) fn output_bytes(&self) -> u64 {
        self.encoded.finished().bytes
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    ///
    /// Those of the file system; nothing of the output is left on disk then.
    pub fn publish(self) -> Result<Report> {
        self.encoded.publish(self.verify_us)
    }

    /// For `replace`, which takes nothing else.
    pub(crate) fn into_encoded(self) -> (Encoded, u64) {
        (self.encoded, self.verify_us)
    }
}

/// Reads an encoded film back and holds it against its plan and against what the
/// source showed: the streams and all that is said of them, every frame's time and
/// picture, every track's length and loudness, every copied packet.
///
/// # Errors
///
/// [`ErrorKind::Mismatch`] with every difference in [`Error::differences`], and
/// [`ErrorKind::Cancelled`]. The file is removed.
pub fn verify(
    encoded: Encoded,
    info: &MediaInfo,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Verified> {
    let clock = Stopwatch::start();
    let film = Film {
        info,
        plan: encoded.plan(),
        witness: &encoded.finished().witness,
    };
    let differences = film.differences(encoded.path(), cancel, &mut observer)?;
    if !differences.is_empty() {
        // The file is about to go: the source is what the user knows it by.
        return Err(Error::mismatch(encoded.source(), differences));
    }
    let verify_us = u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(Verified { encoded, verify_us })
}

/// What holding one file against another found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// What the output should be and is not; empty where it is the source's equal.
    pub differences: Vec<Difference>,
    /// Frames that the source shows.
    pub frames: u64,
    /// Packets and frames of the source that did not decode as they should.
    pub source_decode_errors: u64,
    /// What becomes of each stream of the source.
    pub plan: Plan,
}

/// Decodes both files whole and tells in what `output` is not what an encode of
/// `source` should be. Only reads.
///
/// Losses that an encode has to be told to accept (colour detail, depth, alpha,
/// dynamic HDR) are accepted here.
///
/// # Errors
///
/// Those of [`probe`](crate::probe) for either file; [`ErrorKind::Damaged`] and
/// [`ErrorKind::Truncated`] for the source; [`ErrorKind::Mismatch`] where the source
/// is nothing that is ever encoded; [`ErrorKind::Cancelled`].
pub fn compare(
    source: impl AsRef<Path>,
    output: impl AsRef<Path>,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Comparison> {
    let (source, output) = (source.as_ref(), output.as_ref());
    let info = probe_cancellable(source, cancel)?;
    let made = probe_cancellable(output, cancel);
    let plan = match plan(&info, &lenient_options(made.as_ref().ok())) {
        Verdict::Transcode(plan) => plan,
        Verdict::Skip { reason } => {
            let message = format!("is never encoded: {reason}");
            return Err(Error::new(
                ErrorKind::Mismatch,
                Stage::Plan,
                source,
                message,
            ));
        }
        Verdict::Reject { reason } => return Err(reason.into_error(source)),
    };
    let job = Job {
        source,
        info: &info,
        plan: &plan,
        cancel,
    };
    let watched = pipeline::watch(&job, &mut observer)?;
    let film = Film {
        info: &info,
        plan: &plan,
        witness: &watched.witness,
    };
    Ok(Comparison {
        differences: film.differences(output, cancel, &mut observer)?,
        frames: watched.witness.pictures.ticks.len() as u64,
        source_decode_errors: watched.decode_errors,
        plan,
    })
}

/// Options under which nothing is skipped that an encode can be told to take. The
/// depth and the container are the output's own choice.
fn lenient_options(output: Option<&MediaInfo>) -> Options {
    let mut video = output.into_iter().flat_map(|info| &info.streams);
    let video = video.find_map(|s| s.video());
    let bits = video.map_or(10, |v| v.bit_depth);
    // It may have been dropped, as other losses are; what is there has to be the source's.
    let has_dolby_vision = video.is_some_and(|v| v.hdr.dolby_vision_profile.is_some());
    let mp4 = output.is_some_and(|info| info.container.contains("mp4"));
    Options {
        container: if mp4 {
            Container::Mp4
        } else {
            Container::Matroska
        },
        bit_depth: if bits == 8 {
            BitDepth::Eight
        } else {
            BitDepth::Ten
        },
        allow: Allow {
            av1: true,
            chroma_loss: true,
            depth_loss: true,
            alpha_loss: true,
            dynamic_hdr_loss: true,
        },
        encoder_limits: Some(EncoderLimits {
            drops_dolby_vision: !has_dolby_vision,
            ..EncoderLimits::NONE
        }),
        ..Options::default()
    }
}

/// What an output has to be.
struct Film<'a> {
    info: &'a MediaInfo,
    plan: &'a Plan,
    witness: &'a Witness,
}

impl Film<'_> {
    /// In what the file at `output` is not this film.
    fn differences(
        &self,
        output: &Path,
        cancel: &CancelToken,
        observer: &mut dyn FnMut(&Event),
    ) -> Result<Vec<Difference>> {
        let frames = self.witness.pictures.ticks.len() as u64;
        match read::read(output, (self.info, self.plan), cancel, frames, observer) {
            Ok(reading) => {
                let mut found = inventory::compare(self.info, self.plan, &reading);
                found.extend(reading.errors.iter().cloned());
                found.extend(compare::compare(self.plan, self.witness, &reading));
                Ok(found)
            }
            Err(error) if error.kind() == ErrorKind::Cancelled => Err(error),
            Err(error) => Ok(vec![Difference::of_file(format!(
                "it cannot be read back: {error}"
            ))]),
        }
    }
}
