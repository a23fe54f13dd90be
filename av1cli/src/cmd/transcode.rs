//! `av1cli transcode`

use std::io::{self, IsTerminal};

use anyhow::bail;
use av1core::{CancelToken, Outcome};

use super::signals::cancel_on_signals;
use crate::args::TranscodeArgs;
use crate::exit::Exit;
use crate::render::{Message, Renderers, Skipped, TooLarge};
use crate::settings::Settings;

pub(super) fn run(args: TranscodeArgs, logs: bool) -> anyhow::Result<Exit> {
    let settings = Settings::resolve(args, io::stderr().is_terminal() && !logs);
    tracing::debug!(?settings, "resolved");
    let mut renderers = Renderers::new(&settings)?;
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel)?;
    let outcome = av1core::transcode(
        &settings.source,
        &settings.destination,
        &settings.options,
        &cancel,
        |event| renderers.event(event),
    );
    let (message, exit) = match &outcome {
        Ok(Outcome::Done(report)) => (Message::Done(report.into()), Exit::DONE),
        Ok(Outcome::Skipped(reason)) => {
            let skipped = Skipped::new(&settings.source, reason);
            (Message::Skipped(skipped), Exit::SKIPPED)
        }
        Ok(Outcome::NotWorthwhile(found)) => {
            let found = TooLarge::new(&settings.source, *found);
            (Message::NotWorthwhile(found), Exit::NOT_WORTHWHILE)
        }
        Ok(other) => bail!("the run ended in a way this program does not know: {other:?}"),
        Err(error) => (Message::Error(error.into()), Exit::from(error.kind())),
    };
    renderers.show(&message);
    Ok(exit)
}
