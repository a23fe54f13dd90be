//! `av1cli transcode`

use std::io::{self, IsTerminal};
use std::{fs, process, thread};

use anyhow::{Context, bail};
use av1core::{CancelToken, Outcome};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::TranscodeArgs;
use crate::exit::Exit;
use crate::render::{Message, Renderers, Skipped};
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
        Ok(other) => bail!("the run ended in a way this program does not know: {other:?}"),
        Err(error) => (Message::Error(error.into()), Exit::from(error.kind())),
    };
    renderers.show(&message);
    Ok(exit)
}

/// The first signal ends the run cleanly, which takes up to two seconds; whoever
/// cannot wait sends another, and finds the file under its dot name.
fn cancel_on_signals(cancel: &CancelToken) -> anyhow::Result<()> {
    let mut signals = Signals::new(
        [SIGHUP, SIGINT, SIGTERM]
            .into_iter()
            .filter(|s| !is_ignored(*s)),
    )
    .context("signals cannot be handled")?;
    let cancel = cancel.clone();
    thread::spawn(move || {
        for _ in &mut signals {
            if cancel.is_cancelled() {
                process::exit(Exit::CANCELLED.code.into());
            }
            cancel.cancel();
        }
    });
    Ok(())
}

/// Whether whoever started this process made it deaf to a signal, as `nohup` does to
/// SIGHUP: a handler would undo that. Only Linux tells without unsafe code.
fn is_ignored(signal: i32) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return false;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
