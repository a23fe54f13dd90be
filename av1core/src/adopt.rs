//! An output that was encoded elsewhere, held against its source and staged beside it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::cancel::CancelToken;
use crate::encoded::Encoded;
use crate::error::{Error, ErrorKind, NotWorthwhile, Result, Stage};
use crate::event::Event;
use crate::in_place::{Shrink, StagedFilm, Staging, check_space, look, saving};
use crate::media::MediaInfo;
use crate::output::Staged;
use crate::pipeline::{self, Finished, Job, encoder_of};
use crate::plan::{EncoderLimits, Options, Plan, SkipReason, Verdict, plan};
use crate::probe::probe_cancellable;
use crate::replace::InPlace;
use crate::run::{MOST_PLANS, learn};
use crate::verify::verify;

/// Stages an output that was encoded elsewhere: `file`, which an encode of `source`
/// with the same options made, is copied beside the source, both are decoded whole, and
/// what is staged is as well proved as if it had been encoded here. `file` stays.
///
/// What the rules leave alone ([`Shrink`]) is left alone here, too; nothing is
/// predicted.
///
/// Blocks for as long as decoding both takes; `observer` is called on this thread:
/// [`Event::Progress`] tells of the source's frames, [`Event::Verifying`] of the
/// output's.
///
/// # Errors
///
/// [`ErrorKind::Mismatch`] where `file` is not what an encode of the source should be;
/// those of reading either and of the folder. The source is in its place then, and
/// nothing else is left on disk.
pub fn adopt(
    source: impl AsRef<Path>,
    file: impl AsRef<Path>,
    how: &Shrink,
    options: &Options,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Staging> {
    let (source, file) = (source.as_ref(), file.as_ref());
    let made = probe_cancellable(file, cancel)?;
    let options = options_for(&made, options);
    let (place, mut info) = match look(source, how, &options, cancel)? {
        Ok(looked) => looked,
        Err(reason) => return Ok(Staging::Skipped(reason)),
    };
    let mut from = open(file)?;
    let bytes = from.metadata().map_err(|e| unreadable(file, e))?.len();
    if let Verdict::Transcode(plan) = plan(&info, &options)
        && let Some(found) = too_large(&info, &plan, bytes)
    {
        return Ok(Staging::NotWorthwhile(found));
    }
    check_space(&place, bytes)?;
    let (staged, to) = Staged::create(place.destination())?;
    observer(&Event::Created(staged.path().to_owned()));
    copy((&mut from, file), (&to, &place), cancel)?;
    let watched = watch(source, &mut info, &options, (cancel, &mut observer))?;
    let (plan, mut finished) = match watched {
        Ok(watched) => watched,
        Err(reason) => return Ok(Staging::Skipped(reason)),
    };
    finished.bytes = bytes;
    let encoder = encoder_of(&made);
    let from = (source, place.source_bytes());
    let encoded = Encoded::adopted(
        (staged, to),
        place.destination(),
        from,
        plan,
        finished,
        encoder,
    );
    let verified = verify(encoded, &info, cancel, &mut observer)?;
    Ok(Staging::Staged(StagedFilm::new(verified, place)))
}

/// The options, with the limits of the libraries that encoded it.
fn options_for(made: &MediaInfo, options: &Options) -> Options {
    let video = made.main_video().and_then(|stream| stream.video());
    Options {
        encoder_limits: Some(EncoderLimits {
            drops_dolby_vision: video.is_none_or(|v| v.hdr.dolby_vision_profile.is_none()),
            ..EncoderLimits::NONE
        }),
        ..saving(options)
    }
}

/// Decodes the source as an encode would, and again where it holds more than it said.
fn watch(
    source: &Path,
    info: &mut MediaInfo,
    options: &Options,
    (cancel, observer): (&CancelToken, &mut dyn FnMut(&Event)),
) -> Result<Result<(Plan, Finished), SkipReason>> {
    for plans_left in (0..MOST_PLANS).rev() {
        let plan = match plan(info, options) {
            Verdict::Transcode(plan) => plan,
            Verdict::Skip { reason } => return Ok(Err(reason)),
            Verdict::Reject { reason } => return Err(reason.into_error(source)),
        };
        let watched = pipeline::watch(
            &Job {
                source,
                info,
                plan: &plan,
                cancel,
            },
            &mut *observer,
        );
        match watched {
            Err(error) if plans_left > 0 && learn(info, &error) => {}
            watched => return Ok(Ok((plan, watched?))),
        }
    }
    Err(Error::keeps_changing(source))
}

fn too_large(info: &MediaInfo, plan: &Plan, bytes: u64) -> Option<NotWorthwhile> {
    let most_bytes = plan.most_bytes.filter(|most| bytes > *most)?;
    Some(NotWorthwhile {
        source_bytes: info.size_bytes,
        most_bytes,
        least_bytes: bytes,
        frames_done: 0,
        finished: true,
        predicted: false,
    })
}

/// Between two looks at the cancel token.
const PIECE_BYTES: u64 = 64 * 1024 * 1024;

fn copy(
    (from, file): (&mut File, &Path),
    (mut to, place): (&File, &InPlace),
    cancel: &CancelToken,
) -> Result<()> {
    loop {
        if cancel.is_cancelled() {
            return Err(Error::cancelled(Stage::Verify, file));
        }
        // The kernel copies, or shares the blocks, where it can.
        let copied = io::copy(&mut from.take(PIECE_BYTES), &mut to);
        match copied {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => {
                let path = place.destination().path();
                return Err(Error::output_io(Stage::Publish, path, error));
            }
        }
    }
}

fn open(file: &Path) -> Result<File> {
    File::open(file).map_err(|error| unreadable(file, error))
}

fn unreadable(file: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Unreadable,
    };
    Error::new(kind, Stage::Probe, file, "cannot be read").with_io(error)
}
