//! `av1cli`: shrinks a video library from the command line.
//!
//! ```text
//! args -> settings -> cmd (the work) -> render (its three readers), out, exit
//! ```
//!
//! `args` is what was typed, `settings` what it means in the engine's types; `cmd`
//! has one file a command. Everything that is printed goes through `out`, which
//! makes strangers' text harmless and takes a closed pipe for what it is. `exit`
//! holds the exit codes, which are an interface as the JSON lines are.

#![forbid(unsafe_code)]

mod args;
mod cmd;
mod exit;
mod log;
mod out;
mod render;
mod settings;
mod text;

use std::process::ExitCode;

use clap::Parser;

use self::args::Cli;
use self::exit::Exit;

fn main() -> ExitCode {
    // First of all, while there is one thread: it sets an environment variable.
    av1core::quiet_encoder_log();
    let exit = match Cli::try_parse() {
        Ok(cli) => cmd::run(cli.command).unwrap_or_else(|error| {
            out::note(&format!("error: {error:#}"));
            Exit::from(&error)
        }),
        Err(told) => {
            // `--help` and `--version` are told the same way; where nobody reads
            // them any more, nothing is amiss.
            let _ = told.print();
            if told.use_stderr() {
                Exit::USAGE
            } else {
                Exit::DONE
            }
        }
    };
    exit.into()
}
