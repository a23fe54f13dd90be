//! The child process of an encode: does one order, says how it goes, and ends. See
//! [`orders`](super::orders) for what is said.
//!
//! It shuts itself in before it opens the film ([`Sandbox`]): files come from anywhere, and
//! decoders have faults.
//!
//! A thread listens to the parent while the engine works. Told to stop, or left alone
//! by its parent, the child ends within two seconds, by force if the engine does not
//! come back (SVT-AV1 cannot be stopped); only a replacement, once permitted, is brought
//! to its end first. A child that is killed in the middle of one leaves it to
//! [`av1core::recover`].
//!
//! The end of its input is how it learns of its parent's death. A parent's death signal
//! (prctl(2)) would come too early: it follows the thread that started the child, and
//! threads of a pool end long before the process does.

mod control;
mod ends;
mod limits;
mod sandbox;
mod teller;

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Duration;

use av1core::{
    Decision, DecisionKey, Destination, Event, HardLinks, Options, Outcome, Pattern, Saving,
    Shrink, SkipReason, StagedFilm, Staging,
};

pub use self::control::Control;
use self::ends::{encoded, failed, left_alone, not_worthwhile, refused, replaced};
pub use self::limits::restrict_this_process;
pub use self::sandbox::{Sandbox, Walls};
use self::teller::Teller;
use super::orders::{ChildCommand, ChildEnd, ChildEvent, ChildOrder, ChildPhase};
use crate::job::StagedFile;
use crate::proto::WorkSettings;

/// What a child is to do, as its first line says it.
#[derive(Debug)]
pub struct Ordered(Option<Result<ChildOrder, String>>);

impl Ordered {
    /// Waits for the first line of `input`. What is wrong with it is told by [`run`].
    pub fn read(input: &mut impl BufRead) -> Self {
        let mut line = String::new();
        Self(match input.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).map_err(|error| error.to_string())),
            Err(error) => Some(Err(error.to_string())),
        })
    }

    /// What the order is about and what it writes to. Enter it before [`run`].
    #[must_use]
    pub fn sandbox(&self) -> Sandbox {
        match &self.0 {
            Some(Ok(ChildOrder::InPlace { source, .. })) => {
                Sandbox::default().working_beside(source.as_ref())
            }
            Some(Ok(ChildOrder::Fetched { source, output, .. })) => {
                Sandbox::reading(source.as_ref()).working_beside(output.as_ref())
            }
            Some(Ok(ChildOrder::Adopt { source, file, .. })) => {
                Sandbox::reading(file.as_ref()).working_beside(source.as_ref())
            }
            None | Some(Err(_)) => Sandbox::default(),
        }
    }
}

/// Does what was ordered, heeds what `input` says from then on, and says on `output` how
/// it goes. Returns when the last word is said; the process is to end then.
pub fn run(
    control: &Control,
    ordered: Ordered,
    input: impl BufRead + Send + 'static,
    output: impl Write,
) {
    let mut child = Child {
        control: control.clone(),
        teller: Teller::new(output, control.clone()),
    };
    control.listen(input);
    let end = match ordered.0 {
        None => ChildEnd::Cancelled,
        Some(Ok(order)) => child.follow(order),
        Some(Err(why)) => refused("bad_order", format!("not an order for an encode: {why}")),
    };
    child.teller.tell(&ChildEvent::Ended { end });
    control.is_over();
}

struct Child<W> {
    control: Control,
    teller: Teller<W>,
}

/// The key of what is worked on.
type Key = Option<String>;

impl<W: Write> Child<W> {
    fn follow(&mut self, order: ChildOrder) -> ChildEnd {
        match order {
            ChildOrder::InPlace {
                source,
                root,
                work,
                threads,
            } => {
                let root = root.as_ref().map(AsRef::as_ref);
                self.in_place(source.as_ref(), root, &work, threads)
            }
            ChildOrder::Fetched {
                source,
                output,
                work,
                threads,
            } => self.fetched(source.as_ref(), output.as_ref(), &work, threads),
            ChildOrder::Adopt {
                source,
                file,
                root,
                work,
            } => {
                let root = root.as_ref().map(AsRef::as_ref);
                self.adopt((source.as_ref(), file.as_ref()), root, &work)
            }
        }
    }

    fn in_place(
        &mut self,
        source: &Path,
        root: Option<&Path>,
        work: &WorkSettings,
        threads: Option<u32>,
    ) -> ChildEnd {
        let how = match shrink(work, root) {
            Ok(how) => how,
            Err(end) => return *end,
        };
        let key = match self.ask(source, &work.options) {
            Ok(key) => key,
            Err(end) => return *end,
        };
        let options = with_threads(&work.options, threads);
        let staging = self.when_settled(&how, |child| {
            let cancel = child.control.token();
            av1core::stage(source, &how, &options, &cancel, |event| {
                child.observe(event);
            })
        });
        self.replace(staging, &key)
    }

    fn adopt(
        &mut self,
        (source, file): (&Path, &Path),
        root: Option<&Path>,
        work: &WorkSettings,
    ) -> ChildEnd {
        let how = match shrink(work, root) {
            Ok(how) => how,
            Err(end) => return *end,
        };
        let options = &work.options;
        let staging = self.when_settled(&how, |child| {
            child.teller.phase(ChildPhase::Verifying);
            let cancel = child.control.token();
            av1core::adopt(source, file, &how, options, &cancel, |event| match event {
                // Of the source's frames; what is encoded is encoded.
                Event::Progress(progress) => child.teller.progress(progress),
                event => child.observe(event),
            })
        });
        // It was encoded by another encoder than the key would name.
        self.replace(staging, &None)
    }

    /// Waits for the permit and replaces.
    fn replace(&mut self, staging: av1core::Result<Staging>, key: &Key) -> ChildEnd {
        let staged = match staging {
            Ok(Staging::Staged(staged)) => staged,
            Ok(Staging::Skipped(reason)) => return left_alone(&reason, key),
            Ok(Staging::NotWorthwhile(found)) => return not_worthwhile(&found, key),
            Ok(_) => return unknown_end(),
            Err(error) => return failed(&error, key),
        };
        if !self.is_permitted(&staged) {
            return ChildEnd::Cancelled;
        }
        self.teller.phase(ChildPhase::Committing);
        match staged.replace() {
            Ok(done) => {
                for refused in &done.refused {
                    self.teller.warning(refused);
                }
                replaced(&done)
            }
            Err(error) => failed(&error, key),
        }
    }

    fn is_permitted(&mut self, staged: &StagedFilm) -> bool {
        let staged = StagedFile {
            token: staged.token(),
            bytes: staged.output_bytes(),
        };
        self.control.expect_permit();
        self.teller.tell(&ChildEvent::Staged { staged });
        matches!(self.control.answer(), Some(ChildCommand::Commit))
    }

    fn fetched(
        &mut self,
        source: &Path,
        output: &Path,
        work: &WorkSettings,
        threads: Option<u32>,
    ) -> ChildEnd {
        let how = match shrink(work, None) {
            Ok(how) => for_a_copy(how),
            Err(end) => return *end,
        };
        let key = match self.ask(source, &work.options) {
            Ok(key) => key,
            Err(end) => return *end,
        };
        let mut options = with_threads(&work.options, threads);
        options
            .min_saving_percent
            .get_or_insert(Saving::FIVE_PERCENT);
        let cancel = self.control.token();
        let decided = av1core::decide(source, &how, &options, &cancel, |event| {
            self.observe(event);
        });
        match decided {
            Ok(Decision::Encode(_)) => {}
            Ok(Decision::Skip(reason)) => return left_alone(&reason, &key),
            Ok(Decision::NotWorthwhile(found)) => return not_worthwhile(&found, &key),
            Ok(_) => return unknown_end(),
            Err(error) => return failed(&error, &key),
        }
        let to = Destination::new(output);
        let outcome = av1core::transcode(source, &to, &options, &cancel, |event| {
            self.observe(event);
        });
        match outcome {
            Ok(Outcome::Done(report)) => encoded(&report),
            Ok(Outcome::Skipped(reason)) => left_alone(&reason, &key),
            Ok(Outcome::NotWorthwhile(found)) => not_worthwhile(&found, &key),
            Ok(_) => unknown_end(),
            Err(error) => failed(&error, &key),
        }
    }

    /// Asks whether the content was decided before; the key where it was not.
    fn ask(&mut self, source: &Path, options: &Options) -> Result<Key, Box<ChildEnd>> {
        // By the options alone that all workers share: threads change no verdict.
        let key = DecisionKey::of(source, options).map_err(|error| failed(&error, &None))?;
        let key = key.to_string();
        self.control.expect_decision();
        self.teller.tell(&ChildEvent::Asking { key: key.clone() });
        match self.control.answer() {
            Some(ChildCommand::Decided { reason }) => {
                Err(ChildEnd::LeftAlone { reason, key: None }.into())
            }
            Some(_) => Ok(Some(key)),
            None => Err(ChildEnd::Cancelled.into()),
        }
    }

    /// Does the work, and once more where the file was not settled: rather a few seconds
    /// of waiting than an attempt lost.
    fn when_settled(
        &mut self,
        how: &Shrink,
        mut work: impl FnMut(&mut Self) -> av1core::Result<Staging>,
    ) -> av1core::Result<Staging> {
        let staging = work(self);
        let Ok(Staging::Skipped(SkipReason::JustChanged { seconds, .. })) = &staging else {
            return staging;
        };
        let rest_us = how.rules.settling_us.saturating_sub(seconds * 1_000_000);
        let rest = Duration::from_micros(u64::try_from(rest_us).unwrap_or(0));
        if self.control.is_cancelled_within(rest) {
            return staging;
        }
        work(self)
    }

    fn observe(&mut self, event: &Event) {
        match event {
            Event::Created(path) => self.control.has_created(path),
            Event::Planned(_) => self.teller.phase(ChildPhase::Encoding),
            Event::Progress(progress) => {
                self.teller.phase(ChildPhase::Encoding);
                self.teller.progress(progress);
            }
            Event::Sampling(sampling) => {
                self.teller.phase(ChildPhase::Sampling);
                self.teller
                    .frames(sampling.frames_done, sampling.frames_total);
            }
            Event::Verifying(verifying) => {
                self.teller.phase(ChildPhase::Verifying);
                self.teller
                    .frames(verifying.frames_done, verifying.frames_total);
            }
            Event::Warning(message) => self.teller.warning(message),
            _ => {}
        }
    }
}

/// The engine's settings from the master's.
fn shrink(work: &WorkSettings, root: Option<&Path>) -> Result<Shrink, Box<ChildEnd>> {
    let mut how = Shrink::default();
    let micros = |seconds: u32| i64::from(seconds) * 1_000_000;
    how.root = root.map(Path::to_owned);
    how.keep_backup = work.testing_mode;
    if let Some(seconds) = work.predict_from_s {
        how.predict_from_us = Some(micros(seconds));
    }
    let rules = &mut how.rules;
    if let Some(bytes) = work.min_bytes {
        rules.least_bytes = bytes;
    }
    if let Some(seconds) = work.min_duration_s {
        rules.least_film_us = micros(seconds);
    }
    if let Some(millibits) = work.min_millibits_per_pixel {
        rules.least_millibits_per_pixel = millibits;
    }
    if let Some(seconds) = work.settle_s {
        rules.settling_us = micros(seconds);
    }
    if work.break_hard_links {
        rules.hard_links = HardLinks::Break;
    }
    for text in &work.exclude {
        match Pattern::new(text) {
            Ok(pattern) => rules.exclude.push(pattern),
            Err(why) => {
                let message = format!("{text:?} is no pattern of paths to exclude: {why}");
                return Err(refused("bad_settings", message).into());
            }
        }
    }
    Ok(how)
}

/// A copy has its content from the source; its name, links and times are its own.
fn for_a_copy(mut how: Shrink) -> Shrink {
    how.rules.exclude.clear();
    how.rules.hard_links = HardLinks::Break;
    how.rules.settling_us = 0;
    how
}

fn with_threads(options: &Options, threads: Option<u32>) -> Options {
    let mut options = options.clone();
    if threads.is_some() {
        options.encoder_threads = threads;
        options.decoder_threads = threads;
    }
    options
}

fn unknown_end() -> ChildEnd {
    let message = "the engine ended in a way that this program does not know".to_owned();
    refused("unexpected", message)
}
