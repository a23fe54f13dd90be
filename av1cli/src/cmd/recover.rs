//! `av1cli recover`

use av1core::{Recovered, Recovery};

use crate::args::RecoverArgs;
use crate::exit::Exit;
use crate::out;
use crate::text;

pub(super) fn run(args: &RecoverArgs) -> anyhow::Result<Exit> {
    let recovered = av1core::recover(&args.folder)?;
    if args.json {
        out::json_pretty(&recovered)?;
    } else {
        for found in &recovered {
            out::say(&line(found))?;
        }
        let folder = args.folder.display();
        out::say(&match recovered.len() as u64 {
            0 => format!("{folder}: nothing to recover"),
            n => format!("{folder}: {} looked after", text::count(n, "file")),
        })?;
    }
    let undecided = |found: &Recovered| matches!(found.recovery, Recovery::Failed { .. });
    Ok(if recovered.iter().any(undecided) {
        Exit::UNEXPECTED
    } else {
        Exit::DONE
    })
}

fn line(found: &Recovered) -> String {
    let what = match &found.recovery {
        Recovery::Finished => "the replacement was brought to its end".to_owned(),
        Recovery::TakenBack { reason } => {
            format!("the source is as it was, the replacement was taken back ({reason})")
        }
        Recovery::Removed => "removed, what a killed run had left".to_owned(),
        Recovery::InUse => "in use by a run at work, left alone".to_owned(),
        Recovery::Foreign => "written by another version of this program, left alone".to_owned(),
        Recovery::Failed { reason } => format!("not decided, try again: {reason}"),
        _ => "looked after".to_owned(),
    };
    format!("{}: {what}", found.path.display())
}
