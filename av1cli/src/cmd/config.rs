//! The configuration of a command, with all that is wrong in it told at once.

use av1net::config::Loaded;

use crate::args::{Audience, ConfigArgs};
use crate::exit::Usage;
use crate::out;

/// Loads file, environment and flags.
pub(super) fn load<A: Audience>(args: ConfigArgs<A>) -> anyhow::Result<Loaded> {
    let loaded = args.load()?.map_err(|errors| match errors.0.as_slice() {
        [only] => Usage(only.to_string()),
        all => {
            for error in all {
                out::note(&format!("error: {error}"));
            }
            Usage(format!(
                "{} things are wrong in the configuration",
                all.len()
            ))
        }
    })?;
    if !loaded.ignored_variables.is_empty() {
        tracing::debug!(variables = ?loaded.ignored_variables, "are no keys");
    }
    Ok(loaded)
}

/// Reads everything anew, as after SIGHUP; what is wrong is told, and nothing changes
/// then.
pub(super) fn reload(loaded: &Loaded) -> Option<Loaded> {
    let (next, changes) = match loaded.reload() {
        Ok(read) => read,
        Err(errors) => {
            for error in &errors.0 {
                out::note(&format!("error: {error}"));
            }
            out::note("The configuration stays as it was.");
            return None;
        }
    };
    if changes.is_empty() {
        out::note("The configuration is read anew: nothing changed.");
    }
    for change in &changes {
        let when = if change.needs_restart {
            ", once this is started again"
        } else {
            ""
        };
        out::note(&format!(
            "{}: {} in place of {}{when}",
            change.key, change.new, change.old
        ));
    }
    Some(next)
}
