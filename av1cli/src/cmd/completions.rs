//! `av1cli completions`

use anyhow::Context;
use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs};
use crate::exit::Exit;
use crate::out;

pub(super) fn run(args: &CompletionsArgs) -> anyhow::Result<Exit> {
    // Into memory first: clap_complete panics where its writer fails.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "av1cli", &mut script);
    let script = String::from_utf8(script).context("the script is not UTF-8")?;
    out::raw(&script)?;
    Ok(Exit::DONE)
}
