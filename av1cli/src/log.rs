//! Traces for those who look for a fault, on stderr and on demand.

use std::env;
use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::exit::Usage;

/// What `--help` says of it.
pub(crate) const HELP: &str = "\
Environment:
  AV1_LOG  Traces on stderr, such as AV1_LOG=debug or AV1_LOG=av1core=trace; no progress bar then";

/// Holds a filter such as `debug` or `av1core=trace`.
const VARIABLE: &str = "AV1_LOG";

/// Starts tracing where the environment asks for it; returns whether it did.
pub(crate) fn start() -> anyhow::Result<bool> {
    let Some(filter) = env::var_os(VARIABLE).filter(|filter| !filter.is_empty()) else {
        return Ok(false);
    };
    let filter = EnvFilter::try_new(filter.to_string_lossy())
        .with_context(|| Usage(format!("{VARIABLE} is no filter such as av1core=debug")))?;
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        .init();
    Ok(true)
}
