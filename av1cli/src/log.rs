//! Traces on stderr: the log of a service, and on demand those for who looks for a fault.

use std::env;
use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use crate::exit::Usage;

/// What `--help` says of it.
pub(crate) const HELP: &str = "\
Environment:
  AV1_LOG  Traces on stderr, such as AV1_LOG=debug or AV1_LOG=av1core=trace; no progress bar then.
           A master or worker that is a service logs at `info` without it";

/// Holds a filter such as `debug` or `av1core=trace`.
const VARIABLE: &str = "AV1_LOG";

/// Starts tracing where the environment asks for it, else with the filter that a command
/// has by itself; returns whether the environment did.
pub(crate) fn start(by_itself: Option<&str>) -> anyhow::Result<bool> {
    let asked = env::var_os(VARIABLE).filter(|filter| !filter.is_empty());
    let filter = match (&asked, by_itself) {
        (Some(filter), _) => EnvFilter::try_new(filter.to_string_lossy())
            .with_context(|| Usage(format!("{VARIABLE} is no filter such as av1core=debug")))?,
        (None, Some(filter)) => EnvFilter::new(filter),
        (None, None) => return Ok(false),
    };
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        .init();
    Ok(asked.is_some())
}
