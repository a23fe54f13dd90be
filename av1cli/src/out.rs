//! The one way to stdout and stderr.
//!
//! `println!` panics where the reader went away, and what is printed holds names
//! and tags from files: strangers' text, which must not drive a terminal.

use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

use crate::text::one_line;

/// Prints a line for people on stdout.
pub(crate) fn say(line: &str) -> anyhow::Result<()> {
    raw(&format!("{}\n", one_line(line)))
}

/// Prints a line for people on stderr. Where that fails, nothing is left to tell it with.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", one_line(line));
}

/// Prints a value as JSON on stdout: on one line, so that a stream of them can be read.
pub(crate) fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    json(serde_json::to_string(value))
}

/// Prints a value as JSON on stdout, indented.
pub(crate) fn json_pretty(value: &impl Serialize) -> anyhow::Result<()> {
    json(serde_json::to_string_pretty(value))
}

fn json(text: serde_json::Result<String>) -> anyhow::Result<()> {
    raw(&format!("{}\n", ascii_controls(&text?)))
}

/// JSON escapes control characters below U+0020 alone; a terminal obeys U+009B too.
/// Outside of strings JSON has none of them.
fn ascii_controls(json: &str) -> String {
    json.chars()
        .map(|c| match c {
            '\n' => c.to_string(),
            c if c.is_control() => format!("\\u{:04x}", u32::from(c)),
            c => c.to_string(),
        })
        .collect()
}

/// Prints text on stdout as it is. A reader that went away (`av1cli probe | head`)
/// has what it wanted: that is no failure.
pub(crate) fn raw(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
    .context("standard output cannot be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_no_control_character_and_still_says_the_same() {
        let text = "a\u{9b}31m\u{7f}\n\u{1b}";
        let json = ascii_controls(&serde_json::to_string_pretty(&[text]).expect("serialized"));
        assert!(json.chars().all(|c| c == '\n' || !c.is_control()));
        let back: Vec<String> = serde_json::from_str(&json).expect("still JSON");
        assert_eq!(back, [text]);
    }
}
