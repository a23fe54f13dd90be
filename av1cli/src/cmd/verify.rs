//! `av1cli verify`

use std::io::{self, IsTerminal};
use std::path::Path;

use av1core::{CancelToken, Comparison, Difference};
use serde::Serialize;

use super::signals::cancel_on_signals;
use crate::args::VerifyArgs;
use crate::exit::Exit;
use crate::out;
use crate::render::Watcher;
use crate::text;

/// What was found, as JSON.
#[derive(Serialize)]
struct Told<'a> {
    equal: bool,
    frames: u64,
    source_decode_errors: u64,
    differences: Vec<ToldDifference<'a>>,
}

/// A difference, in its parts and in words.
#[derive(Serialize)]
struct ToldDifference<'a> {
    #[serde(flatten)]
    difference: &'a Difference,
    message: String,
}

pub(super) fn run(args: &VerifyArgs, logs: bool) -> anyhow::Result<Exit> {
    let cancel = CancelToken::new();
    cancel_on_signals(&cancel)?;
    let mut watcher = Watcher::new(!args.quiet && !logs && io::stderr().is_terminal());
    let compared = av1core::compare(&args.source, &args.output, &cancel, |event| {
        watcher.event(event);
    });
    watcher.end();
    let found = compared?;
    if args.json {
        out::json_pretty(&Told {
            equal: found.differences.is_empty(),
            frames: found.frames,
            source_decode_errors: found.source_decode_errors,
            differences: found
                .differences
                .iter()
                .map(|difference| ToldDifference {
                    difference,
                    message: difference.to_string(),
                })
                .collect(),
        })?;
    } else {
        for line in lines(&args.output, &found) {
            out::say(&line)?;
        }
    }
    Ok(if found.differences.is_empty() {
        Exit::DONE
    } else {
        Exit::MISMATCH
    })
}

fn lines(output: &Path, found: &Comparison) -> Vec<String> {
    let output = output.display();
    let errors = match found.source_decode_errors {
        0 => String::new(),
        n => format!(
            " (the source itself has {})",
            text::count(n, "decode error")
        ),
    };
    let frames = text::count(found.frames, "frame");
    match found.differences.as_slice() {
        [] => vec![format!("{output}: right, {frames} compared{errors}")],
        differences => {
            let count = text::count(differences.len() as u64, "difference");
            let mut lines = vec![format!("{output}: not right, {count}{errors}")];
            lines.extend(differences.iter().map(|d| format!("  {d}")));
            lines
        }
    }
}
