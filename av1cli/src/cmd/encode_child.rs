//! `av1cli encode-child`: the process of one encode, which a worker starts and speaks
//! with. Not for people: it reads an order as JSON on its standard input.

use std::io::{self, BufReader};
use std::thread;

use anyhow::Context;
use av1net::worker::child::{self, Control, Ordered};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Exit;

pub(super) fn run() -> anyhow::Result<Exit> {
    child::restrict_this_process();
    let control = Control::new();
    // What comes before somebody listens is heard then.
    let signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).context("signals cannot be handled")?;
    let mut input = BufReader::new(io::stdin());
    let ordered = Ordered::read(&mut input);
    // Before there is a second thread. What this machine has of it, the worker's warnings say.
    let _ = ordered.sandbox().enter();
    heed(signals, control.clone());
    child::run(&control, ordered, input, io::stdout());
    Ok(Exit::DONE)
}

/// SIGTERM stops the work. What a terminal sends to everything that runs in it is for
/// the worker, which says what it wants by other ways.
fn heed(mut signals: Signals, control: Control) {
    thread::spawn(move || {
        for signal in &mut signals {
            if signal == SIGTERM {
                control.cancel();
            }
        }
    });
}
