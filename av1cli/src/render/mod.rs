//! What a run tells, for three kinds of readers: people ([`human`]), machines
//! ([`json`]) and a script that wants one line at the end ([`summary`]). Each is a
//! consumer of the same [`Message`]s.

pub(crate) mod api;
mod bar;
mod human;
mod json;
pub(crate) mod library;
mod message;
pub(crate) mod stream;
mod summary;
pub(crate) mod table;

use av1core::Event;

use self::bar::Bar;
pub(crate) use self::json::help as json_help;
pub(crate) use self::message::{Message, Skipped, TooLarge, WouldReplace};
use self::{human::Human, json::Json, summary::Summary};
use crate::out;
use crate::settings::{Settings, Show};

/// Shows on stderr how far a comparison or a prediction is.
pub(crate) struct Watcher(Option<Bar>);

impl Watcher {
    pub(crate) fn new(bar: bool) -> Self {
        Self(bar.then(Bar::new))
    }

    pub(crate) fn event(&self, event: &Event) {
        match (&self.0, event) {
            (Some(bar), Event::Progress(progress)) => bar.watch(progress),
            (Some(bar), Event::Verifying(progress)) => bar.verify(progress),
            (Some(bar), Event::Sampling(progress)) => bar.sample(progress),
            (Some(bar), Event::WaitingForEncoder) => bar.wait(),
            _ => {}
        }
    }

    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.clear();
        }
    }
}

/// A reader of a run.
trait Renderer {
    fn show(&mut self, message: &Message<'_>) -> anyhow::Result<()>;
}

/// All readers of one run.
pub(crate) struct Renderers {
    readers: Vec<Box<dyn Renderer>>,
    notes: bool,
    /// Told once: a full disk behind stdout must not end an encode of hours.
    failed: bool,
}

impl Renderers {
    /// The readers that the settings ask for, told that the run begins.
    pub(crate) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let mut readers: Vec<Box<dyn Renderer>> = vec![Box::new(Human::new(settings.show))];
        if settings.show == Show::Json {
            readers.push(Box::new(Json));
        }
        if let Some(path) = &settings.summary {
            readers.push(Box::new(Summary::open(path, settings)?));
        }
        Ok(Self {
            readers,
            notes: matches!(settings.show, Show::Bar | Show::FinalLine),
            failed: false,
        })
    }

    /// Shows what the engine told. Events of a kind that came after this program are let pass.
    pub(crate) fn event(&mut self, event: &Event) {
        if let Some(message) = Message::from_event(event) {
            self.show(&message);
        }
    }

    /// A word beside what is told of every run, for people.
    pub(crate) fn note(&self, line: &str) {
        if self.notes {
            out::note(line);
        }
    }

    /// Shows a message to every reader.
    pub(crate) fn show(&mut self, message: &Message<'_>) {
        for reader in &mut self.readers {
            if let Err(error) = reader.show(message)
                && !self.failed
            {
                self.failed = true;
                out::note(&format!("warning: {error:#}"));
            }
        }
    }
}
