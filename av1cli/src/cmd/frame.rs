//! `av1cli frame`, which a master runs for its page: a process of its own, since a file
//! that brings a decoder down is to bring no master down.

use std::io::{self, Write};

use av1net::master::PictureHead;
use av1net::worker::child::{Sandbox, restrict_this_process};

use crate::args::FrameArgs;
use crate::exit::Exit;

pub(super) fn run(args: &FrameArgs) -> anyhow::Result<Exit> {
    restrict_this_process();
    // What this machine has of it, a worker's warnings say.
    let _ = Sandbox::reading(&args.file).enter();
    let at_us = i64::try_from(args.at_ms.saturating_mul(1000)).unwrap_or(i64::MAX);
    let picture = av1core::picture(&args.file, at_us)?;
    let head = PictureHead {
        at_ms: picture.at_us / 1000,
        duration_ms: picture.duration_us.map(|us| us / 1000),
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &head)?;
    out.write_all(b"\n")?;
    out.write_all(&picture.png)?;
    out.flush()?;
    Ok(Exit::DONE)
}
