//! Ctrl-C and its like end a run cleanly.

use std::{fs, process, thread};

use anyhow::Context;
use av1core::CancelToken;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;

/// The first signal ends the run cleanly, which takes up to two seconds; whoever
/// cannot wait sends another, and finds the file under its dot name.
pub(super) fn cancel_on_signals(cancel: &CancelToken) -> anyhow::Result<()> {
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
pub(super) fn is_ignored(signal: i32) -> bool {
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return false;
    };
    status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
