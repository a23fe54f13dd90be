//! An order, carried out by the engine.

use std::path::Path;

use av1core::{
    DecisionKey, Destination, Error, ErrorKind, HardLinks, Options, Outcome, Pattern, Shrink,
    StagedFilm, Staging,
};

use super::told::{failed, film_at, left_alone, not_worthwhile, tell};
use super::{CANCELLED, Parent};
use crate::job::{Failure, Reason, StagedFile};
use crate::proto::WorkSettings;
use crate::worker::orders::{ChildCommand, ChildEnd, ChildEvent, ChildOrder, ChildPhase};

pub(super) fn carry_out(order: &ChildOrder, parent: &Parent) -> ChildEnd {
    let ended = match order {
        ChildOrder::InPlace {
            source,
            root,
            work,
            threads,
        } => in_place(
            source.as_ref(),
            root.as_ref().map(AsRef::as_ref),
            (work, *threads),
            parent,
        ),
        ChildOrder::Fetched {
            source,
            output,
            work,
            threads,
        } => fetched(source.as_ref(), output.as_ref(), (work, *threads), parent),
        ChildOrder::Adopt { .. } => Ok(ChildEnd::Failed {
            failure: strange("outputs from elsewhere are not taken yet"),
        }),
    };
    ended.unwrap_or_else(|error| of_error(&error))
}

/// An error as an end; a run that was stopped is none.
fn of_error(error: &Error) -> ChildEnd {
    match error.kind() {
        ErrorKind::Cancelled => CANCELLED,
        _ => ChildEnd::Failed {
            failure: failed(error),
        },
    }
}

fn in_place(
    source: &Path,
    root: Option<&Path>,
    (work, threads): (&WorkSettings, Option<u32>),
    parent: &Parent,
) -> Result<ChildEnd, Error> {
    let options = options(work, threads);
    let key = match ask(source, &work.options, parent)? {
        Ok(key) => key,
        Err(end) => return Ok(end),
    };
    let how = match shrink(work, root) {
        Ok(how) => how,
        Err(failure) => return Ok(ChildEnd::Failed { failure }),
    };
    let staging = av1core::stage(source, &how, &options, &parent.cancel, |event| {
        tell(event, parent);
    })?;
    settle(staging, Some(key), parent)
}

/// What becomes of an output that lies beside its source, or of none.
fn settle(staging: Staging, key: Option<String>, parent: &Parent) -> Result<ChildEnd, Error> {
    match staging {
        Staging::Staged(staged) => commit(staged, parent),
        Staging::Skipped(reason) => Ok(left_alone(&reason, key)),
        Staging::NotWorthwhile(found) => Ok(not_worthwhile(found, key)),
        _ => Ok(ChildEnd::Failed {
            failure: strange("the engine ended in a way that this version does not know"),
        }),
    }
}

/// Waits for the permit, and replaces.
fn commit(staged: StagedFilm, parent: &Parent) -> Result<ChildEnd, Error> {
    parent.say(&ChildEvent::Staged {
        staged: StagedFile {
            token: staged.token(),
            bytes: staged.output_bytes(),
        },
    });
    // Dropped, the staged file is removed.
    let permitted = matches!(parent.hear(), Some(ChildCommand::Commit)) && parent.begin_commit();
    if !permitted {
        return Ok(CANCELLED);
    }
    parent.enter(ChildPhase::Committing);
    let replaced = staged.replace()?;
    let mut film = film_at(&replaced.report)?;
    film.warnings.extend(replaced.refused.iter().cloned());
    Ok(ChildEnd::Replaced {
        film,
        backup: replaced.backup.map(Into::into),
    })
}

/// A film that was fetched becomes a file of its own. The master puts it in its place,
/// and looks at the source's rules itself: here only those that the film shows count.
fn fetched(
    source: &Path,
    output: &Path,
    (work, threads): (&WorkSettings, Option<u32>),
    parent: &Parent,
) -> Result<ChildEnd, Error> {
    let options = options(work, threads);
    let key = match ask(source, &work.options, parent)? {
        Ok(key) => key,
        Err(end) => return Ok(end),
    };
    let how = match shrink(work, None) {
        Ok(how) => how,
        Err(failure) => return Ok(ChildEnd::Failed { failure }),
    };
    let info = av1core::probe(source)?;
    if let Some(reason) = how.rules.check_media(&info) {
        return Ok(left_alone(&reason, Some(key)));
    }
    let destination = Destination::new(output);
    let outcome = av1core::transcode(source, &destination, &options, &parent.cancel, |event| {
        tell(event, parent);
    })?;
    Ok(match outcome {
        Outcome::Done(report) => ChildEnd::Encoded {
            film: film_at(&report)?,
        },
        Outcome::Skipped(reason) => left_alone(&reason, Some(key)),
        Outcome::NotWorthwhile(found) => not_worthwhile(found, Some(key)),
        _ => ChildEnd::Failed {
            failure: strange("the engine ended in a way that this version does not know"),
        },
    })
}

/// Asks whether the content was decided before: its key, or how it ends. Threads make no
/// difference to a verdict, so they are not in it.
fn ask(
    source: &Path,
    options: &Options,
    parent: &Parent,
) -> Result<Result<String, ChildEnd>, Error> {
    let key = DecisionKey::of(source, options)?.to_string();
    parent.say(&ChildEvent::Asking { key: key.clone() });
    Ok(match parent.hear() {
        Some(ChildCommand::Proceed) => Ok(key),
        Some(ChildCommand::Decided { reason }) => Err(ChildEnd::LeftAlone { reason, key: None }),
        _ => Err(CANCELLED),
    })
}

fn options(work: &WorkSettings, threads: Option<u32>) -> Options {
    let mut options = work.options.clone();
    options.encoder_threads = threads.or(options.encoder_threads);
    options
}

fn shrink(work: &WorkSettings, root: Option<&Path>) -> Result<Shrink, Failure> {
    let mut how = Shrink::default();
    how.root = root.map(Path::to_owned);
    how.keep_backup = work.testing_mode;
    if let Some(seconds) = work.predict_from_s {
        how.predict_from_us = Some(i64::from(seconds) * 1_000_000);
    }
    let rules = &mut how.rules;
    // The scan has waited until the file had settled, and the replacement looks once
    // more whether it changed.
    rules.settling_us = 0;
    if work.break_hard_links {
        rules.hard_links = HardLinks::Break;
    }
    rules.least_bytes = work.min_bytes.unwrap_or(rules.least_bytes);
    if let Some(seconds) = work.min_duration_s {
        rules.least_film_us = i64::from(seconds) * 1_000_000;
    }
    if let Some(millibits) = work.min_millibits_per_pixel {
        rules.least_millibits_per_pixel = millibits;
    }
    let patterns = work.exclude.iter().map(|text| Pattern::new(text));
    rules.exclude = patterns
        .collect::<Result<_, _>>()
        .map_err(|why| strange(&format!("a pattern of \"exclude\" is none: {why}")))?;
    Ok(how)
}

/// A failure of ours, and not of the file's.
fn strange(message: &str) -> Failure {
    Failure {
        reason: Reason {
            kind: "unexpected".to_owned(),
            message: message.to_owned(),
        },
        retryable: false,
        crashed: false,
    }
}
