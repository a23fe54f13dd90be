//! The commands, one file each.

mod completions;
mod config;
mod doctor;
mod drive;
mod encode_child;
mod follow;
mod frame;
mod local;
mod master;
mod plan;
mod predict;
mod probe;
mod recover;
mod restore;
mod runtime;
mod shrink;
mod signals;
mod transcode;
mod verify;
mod worker;

use crate::args::Command;
use crate::exit::Exit;
use crate::log;

/// Runs a command; returns how the process ends.
pub(crate) fn run(command: Command) -> anyhow::Result<Exit> {
    let by_itself = match &command {
        Command::Master(args) => Some(master::log_filter(args)),
        Command::Worker(_) => Some("warn,av1net=info"),
        _ => None,
    };
    let logs = log::start(by_itself)?;
    match command {
        Command::Transcode(args) => transcode::run(args, logs),
        Command::Plan(args) => plan::run(args),
        Command::Predict(args) => predict::run(args, logs),
        Command::Verify(args) => verify::run(&args, logs),
        Command::Recover(args) => recover::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Frame(args) => frame::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Master(args) => master::run(args),
        Command::Worker(args) => worker::run(args),
        Command::Shrink(args) => shrink::run(args, logs),
        Command::EncodeChild => encode_child::run(),
        Command::Drive(command) => drive::run(command),
    }
}
