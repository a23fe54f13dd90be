//! A file shrunk where it lies: skip rules, plan, prediction, encode with the running
//! bound, verification, replacement.

use std::path::{Path, PathBuf};

use crate::cancel::CancelToken;
use crate::clock;
use crate::error::{Error, NotWorthwhile, Result};
use crate::event::Event;
use crate::media::MediaInfo;
use crate::plan::{Options, Plan, SkipReason, Verdict, plan};
use crate::predict::{Prediction, Worth, predict};
use crate::probe::probe_cancellable;
use crate::replace::{InPlace, Replaced, free_space, replace};
use crate::rules::{FileFacts, Rules};
use crate::run::{Attempt, encode_verified};
use crate::units::Saving;

/// How a file is shrunk where it lies.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Shrink {
    /// Which files are left alone.
    pub rules: Rules,
    /// The media folder that the file belongs to, where there is one: it bounds links,
    /// excluding files and patterns.
    pub root: Option<PathBuf>,
    /// What the caller's memory holds for the file's [`DecisionKey`](crate::DecisionKey):
    /// what was decided before is not decided again.
    pub decided: Option<String>,
    /// Testing mode: the source is kept as `NAME.bak`.
    pub keep_backup: bool,
    /// A film of at least so many microseconds is predicted from samples before it is
    /// encoded whole; `None` predicts none.
    pub predict_from_us: Option<i64>,
}

impl Default for Shrink {
    fn default() -> Self {
        Self {
            rules: Rules::default(),
            root: None,
            decided: None,
            keep_backup: false,
            // A prediction then costs a tenth of the encode or less (README, "Figures");
            // below, it is rarely worth it.
            predict_from_us: Some(600_000_000),
        }
    }
}

/// How a call of [`shrink`] ended well.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "there is one of it a film")]
pub enum Shrunk {
    /// The output is in the source's place.
    Replaced(Replaced),
    /// The source is left alone, for this reason.
    Skipped(SkipReason),
    /// The source is left alone: too little would be saved.
    NotWorthwhile(NotWorthwhile),
}

/// What [`shrink`] would do.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
pub enum Decision {
    /// Encode, and replace the source if enough is saved.
    Encode(ToEncode),
    /// Leave the source alone, for this reason.
    Skip(SkipReason),
    /// Leave the source alone: by a prediction too little would be saved.
    NotWorthwhile(NotWorthwhile),
}

/// A file that is to be encoded.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ToEncode {
    /// Its place.
    pub place: InPlace,
    /// What it holds.
    pub info: MediaInfo,
    /// What becomes of each stream.
    pub plan: Plan,
    /// What the output is likely to weigh, where that was asked for.
    pub prediction: Option<Prediction>,
}

/// Decides what is to become of a file, without writing anything.
///
/// # Errors
///
/// Those of [`probe`](crate::probe()), [`InPlace::of`] and [`predict`](crate::predict()).
pub fn decide(
    source: impl AsRef<Path>,
    how: &Shrink,
    options: &Options,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Decision> {
    let source = source.as_ref();
    let mut facts = FileFacts::of(source, how.root.as_deref())?;
    facts.decided.clone_from(&how.decided);
    if let Some(reason) = how.rules.check_file(&facts, clock::unix_now_us()) {
        return Ok(Decision::Skip(reason));
    }
    // Before the probe, so that what is replaced is what was looked at.
    let place = InPlace::of(source, options.container)?.keep_backup(how.keep_backup);
    let info = probe_cancellable(source, cancel)?;
    if let Some(reason) = how.rules.check_media(&info) {
        return Ok(Decision::Skip(reason));
    }
    let plan = match plan(&info, &saving(options)) {
        Verdict::Transcode(plan) => plan,
        Verdict::Skip { reason } => return Ok(Decision::Skip(reason)),
        Verdict::Reject { reason } => return Err(reason.into_error(source)),
    };
    let mut prediction = None;
    if how
        .predict_from_us
        .is_some_and(|from| film_us(&info) >= from)
    {
        let found = predict(source, &info, &plan, cancel, &mut observer)?;
        observer(&Event::Predicted(Box::new(found.clone())));
        let most_bytes = plan.most_bytes.unwrap_or(u64::MAX);
        if found.verdict(most_bytes) == Worth::NotWorthwhile {
            return Ok(Decision::NotWorthwhile(NotWorthwhile {
                source_bytes: info.size_bytes,
                most_bytes,
                least_bytes: found.low_bytes,
                frames_done: 0,
                finished: false,
                predicted: true,
            }));
        }
        prediction = Some(found);
    }
    Ok(Decision::Encode(ToEncode {
        place,
        info,
        plan,
        prediction,
    }))
}

fn film_us(info: &MediaInfo) -> i64 {
    let video = info.main_video().and_then(|video| video.duration_us);
    video.or(info.duration_us).unwrap_or(0)
}

/// Shrinks a file where it lies: the verified output takes its place, by a journal
/// ([`replace`](crate::replace())), and every other end leaves it as it is.
///
/// Blocks for as long as the encode takes; `observer` is called on this thread.
///
/// # Errors
///
/// Any [`ErrorKind`](crate::ErrorKind). The source is in its place then, and nothing
/// else is left on disk, unless the message says that [`recover`](crate::recover) is
/// needed.
pub fn shrink(
    source: impl AsRef<Path>,
    how: &Shrink,
    options: &Options,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Shrunk> {
    let source = source.as_ref();
    let to_encode = match decide(source, how, options, cancel, &mut observer)? {
        Decision::Encode(to_encode) => to_encode,
        Decision::Skip(reason) => return Ok(Shrunk::Skipped(reason)),
        Decision::NotWorthwhile(found) => return Ok(Shrunk::NotWorthwhile(found)),
    };
    check_space(&to_encode)?;
    let ToEncode { place, info, .. } = to_encode;
    let destination = place.destination();
    match encode_verified(
        source,
        info,
        &saving(options),
        destination,
        (cancel, &mut observer),
    )? {
        Attempt::Verified(verified) => {
            let replaced = replace(*verified, &place)?;
            for refused in &replaced.refused {
                observer(&Event::Warning(refused.clone()));
            }
            Ok(Shrunk::Replaced(replaced))
        }
        Attempt::Skipped(reason) => Ok(Shrunk::Skipped(reason)),
        Attempt::NotWorthwhile(found) => Ok(Shrunk::NotWorthwhile(found)),
    }
}

/// The least that a replacement has to save, unless the options say.
const LEAST_SAVING: Saving = Saving::FIVE_PERCENT;

fn saving(options: &Options) -> Options {
    Options {
        min_saving_percent: options.min_saving_percent.or(Some(LEAST_SAVING)),
        ..options.for_linked_encoder()
    }
}

/// The least an output without a prediction is thought to weigh against its source.
/// Films of a good bit rate come to a quarter and less, so this refuses little that
/// would have gone well; what it lets through ends with the disk's own refusal.
const LEAST_RATIO: u64 = 5;

/// Refuses before hours of work what cannot fit beside its source.
fn check_space(to_encode: &ToEncode) -> Result<()> {
    let target = to_encode.place.destination().path();
    let prediction = to_encode.prediction.as_ref();
    let needed = prediction.map_or(to_encode.info.size_bytes / LEAST_RATIO, |p| p.low_bytes);
    let free = free_space(target)?;
    if free < needed {
        return Err(Error::no_space(target, needed, free));
    }
    Ok(())
}
