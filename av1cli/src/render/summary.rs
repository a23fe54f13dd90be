//! One line for a script that drives many runs: how the file ended.

use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, absolute};

use anyhow::Context;

use super::{Message, Renderer};
use crate::exit::Usage;
use crate::settings::Settings;
use crate::text;

/// Writes the outcome's line to a file.
pub(super) struct Summary {
    file: File,
    path: String,
}

impl Summary {
    /// Opens the file before the run: one that cannot be written is told now and not
    /// hours later, and a path that leads to the source or the output is found out
    /// while they are whole.
    pub(super) fn open(path: &Path, settings: &Settings) -> anyhow::Result<Self> {
        let shown = path.display().to_string();
        let other: Vec<_> = [Some(&*settings.source), settings.task.output()]
            .into_iter()
            .flatten()
            .collect();
        let same_name = |other: &&Path| match (absolute(other), absolute(path)) {
            (Ok(other), Ok(path)) => other == path,
            _ => false,
        };
        let refused = Usage(format!(
            "{shown}: --summary would overwrite the input or the output"
        ));
        if other.iter().any(same_name) {
            return Err(refused.into());
        }
        let cannot = || Usage(format!("{shown}: --summary cannot be written"));
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(cannot)?;
        let opened = file.metadata().with_context(cannot)?;
        let same_file = |other: &&Path| {
            std::fs::metadata(other).is_ok_and(|other| identity(&other) == identity(&opened))
        };
        if other.iter().any(same_file) {
            return Err(refused.into());
        }
        if opened.is_file() {
            // A killed run leaves no line of an earlier one.
            file.set_len(0).with_context(cannot)?;
        }
        Ok(Self { file, path: shown })
    }
}

fn identity(meta: &Metadata) -> (u64, u64) {
    (meta.dev(), meta.ino())
}

impl Renderer for Summary {
    fn show(&mut self, message: &Message<'_>) -> anyhow::Result<()> {
        match line(message) {
            Some(line) => writeln!(self.file, "{}", text::one_line(&line))
                .with_context(|| format!("{}: the summary cannot be written", self.path)),
            None => Ok(()),
        }
    }
}

/// How a run ended; `None` while it runs.
fn line(message: &Message<'_>) -> Option<String> {
    Some(match message {
        Message::Done(finished) => format!(
            "done: {}",
            text::saving(finished.source_bytes, finished.output_bytes)
        ),
        Message::WouldReplace(would) => format!("would do: {}", would.line()),
        Message::Skipped(skipped) => format!("skipped: {}", skipped.reason),
        Message::NotWorthwhile(found) => format!("not worthwhile: {}", found.message),
        Message::Error(failed) if failed.is_cancelled() => "cancelled".to_owned(),
        Message::Error(failed) => format!("failed: {}", failed.message),
        _ => return None,
    })
}
