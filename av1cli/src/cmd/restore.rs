//! `av1cli restore`

use crate::args::RestoreArgs;
use crate::exit::Exit;
use crate::out;

pub(super) fn run(args: &RestoreArgs) -> anyhow::Result<Exit> {
    let restored = av1core::restore(&args.file)?;
    let path = restored.path.display();
    out::say(&match &restored.removed {
        Some(removed) if *removed != restored.path => {
            format!("{path}: restored, {} removed", removed.display())
        }
        Some(_) => format!("{path}: restored in the place of its encode"),
        None => format!("{path}: restored"),
    })?;
    Ok(Exit::DONE)
}
