//! A file shrunk where it lies: skip rules, plan, prediction, encode with the running
//! bound, verification, replacement.

use std::path::{Path, PathBuf};

use crate::cancel::CancelToken;
use crate::clock;
use crate::error::{Error, NotWorthwhile, Result};
use crate::event::Event;
use crate::media::MediaInfo;
use crate::names::token_text;
use crate::plan::{Options, Plan, SkipReason, Verdict, plan};
use crate::predict::{Prediction, Worth, predict};
use crate::probe::probe_cancellable;
use crate::replace::{InPlace, Replaced, free_space, replace};
use crate::rules::{FileFacts, Rules};
use crate::run::{Attempt, encode_verified};
use crate::units::Saving;
use crate::verify::Verified;

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
    let (place, info) = match look(source, how, options, cancel)? {
        Ok(looked) => looked,
        Err(reason) => return Ok(Decision::Skip(reason)),
    };
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
        prediction = match predict(source, &info, &plan, cancel, &mut observer) {
            // The encode will find it out as well, and be planned again.
            Err(error) if error.discovery().is_some() => None,
            found => Some(found?),
        };
    }
    if let Some(found) = &prediction {
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
    }
    Ok(Decision::Encode(ToEncode {
        place,
        info,
        plan,
        prediction,
    }))
}

/// A file's place and what it holds, or why the rules leave it alone.
pub(crate) fn look(
    source: &Path,
    how: &Shrink,
    options: &Options,
    cancel: &CancelToken,
) -> Result<Result<(InPlace, MediaInfo), SkipReason>> {
    let mut facts = FileFacts::of(source, how.root.as_deref())?;
    facts.decided.clone_from(&how.decided);
    if let Some(reason) = how.rules.check_file(&facts, clock::unix_now_us()) {
        return Ok(Err(reason));
    }
    // Before the probe, so that what is replaced is what was looked at.
    let place = InPlace::of(source, options.container)?.keep_backup(how.keep_backup);
    let info = probe_cancellable(source, cancel)?;
    if let Some(reason) = how.rules.check_media(&info) {
        return Ok(Err(reason));
    }
    Ok(Ok((place, info)))
}

fn film_us(info: &MediaInfo) -> i64 {
    let video = info.main_video().and_then(|video| video.duration_us);
    video.or(info.duration_us).unwrap_or(0)
}

/// How a call of [`stage`] or [`adopt`](crate::adopt) ended well.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "there is one of it a film")]
pub enum Staging {
    /// The output is verified and lies beside the source, which is as it was.
    Staged(StagedFilm),
    /// The source is left alone, for this reason.
    Skipped(SkipReason),
    /// The source is left alone: too little would be saved.
    NotWorthwhile(NotWorthwhile),
}

/// A verified output that lies beside its source under a dot name, and waits to be put
/// in its place. Dropping it removes the file.
///
/// Another process takes the right to do so away with [`revoke`](crate::revoke), by
/// the token.
#[derive(Debug)]
pub struct StagedFilm {
    verified: Verified,
    place: InPlace,
}

impl StagedFilm {
    pub(crate) fn new(verified: Verified, place: InPlace) -> Self {
        Self { verified, place }
    }

    /// The token in the file's dot name, 16 hexadecimal digits.
    #[must_use]
    pub fn token(&self) -> String {
        token_text(self.verified.token())
    }

    /// The file under its dot name.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.verified.path()
    }

    /// Size of the output in bytes.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.verified.output_bytes()
    }

    /// Size of the source in bytes.
    #[must_use]
    pub fn source_bytes(&self) -> u64 {
        self.place.source_bytes()
    }

    /// Puts the output in the source's place ([`replace`](crate::replace())).
    ///
    /// # Errors
    ///
    /// Those of [`replace`](crate::replace()).
    pub fn replace(self) -> Result<Replaced> {
        replace(self.verified, &self.place)
    }
}

/// Shrinks a file as far as nothing of it is touched: the verified output lies beside
/// it, and [`StagedFilm::replace`] does the rest.
///
/// Blocks for as long as the encode takes; `observer` is called on this thread.
///
/// # Errors
///
/// Any [`ErrorKind`](crate::ErrorKind). The source is in its place then, and nothing
/// else is left on disk.
pub fn stage(
    source: impl AsRef<Path>,
    how: &Shrink,
    options: &Options,
    cancel: &CancelToken,
    mut observer: impl FnMut(&Event),
) -> Result<Staging> {
    let source = source.as_ref();
    let to_encode = match decide(source, how, options, cancel, &mut observer)? {
        Decision::Encode(to_encode) => to_encode,
        Decision::Skip(reason) => return Ok(Staging::Skipped(reason)),
        Decision::NotWorthwhile(found) => return Ok(Staging::NotWorthwhile(found)),
    };
    let prediction = to_encode.prediction.as_ref();
    let needed = prediction.map_or(to_encode.info.size_bytes / LEAST_RATIO, |p| p.low_bytes);
    check_space(&to_encode.place, needed)?;
    let ToEncode { place, info, .. } = to_encode;
    let attempt = encode_verified(
        source,
        info,
        &saving(options),
        place.destination(),
        (cancel, &mut observer),
    )?;
    Ok(match attempt {
        Attempt::Verified(verified) => Staging::Staged(StagedFilm::new(*verified, place)),
        Attempt::Skipped(reason) => Staging::Skipped(reason),
        Attempt::NotWorthwhile(found) => Staging::NotWorthwhile(found),
    })
}

/// Shrinks a file where it lies: the verified output takes its place, by a journal
/// ([`replace`](crate::replace())), and every other end leaves it as it is. It is
/// [`stage`] and [`StagedFilm::replace`] in one.
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
    match stage(source, how, options, cancel, &mut observer)? {
        Staging::Staged(staged) => {
            let replaced = staged.replace()?;
            for refused in &replaced.refused {
                observer(&Event::Warning(refused.clone()));
            }
            Ok(Shrunk::Replaced(replaced))
        }
        Staging::Skipped(reason) => Ok(Shrunk::Skipped(reason)),
        Staging::NotWorthwhile(found) => Ok(Shrunk::NotWorthwhile(found)),
    }
}

/// The least that a replacement has to save, unless the options say.
const LEAST_SAVING: Saving = Saving::FIVE_PERCENT;

pub(crate) fn saving(options: &Options) -> Options {
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
pub(crate) fn check_space(place: &InPlace, needed_bytes: u64) -> Result<()> {
    let target = place.destination().path();
    let free_bytes = free_space(target)?;
    if free_bytes < needed_bytes {
        return Err(Error::no_space(target, needed_bytes, free_bytes));
    }
    Ok(())
}
