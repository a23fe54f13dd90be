//! Embedding av1core: from a path to a report, with progress, and cancelled by Enter.
//!
//! ```text
//! cargo run --release -p av1core --example embed -- film.mp4 film.av1.mkv
//! ```

#![expect(clippy::print_stdout, reason = "an example speaks to its user")]

use std::io::{self, Read};

use av1core::{CancelToken, Destination, Event, Options, Outcome};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    av1core::quiet_encoder_log();
    let mut arguments = std::env::args_os().skip(1);
    let (Some(source), Some(output)) = (arguments.next(), arguments.next()) else {
        return Err("usage: embed SOURCE OUTPUT".into());
    };

    // Any thread may cancel: this one does when Enter is pressed.
    let cancel = CancelToken::new();
    let on_enter = cancel.clone();
    std::thread::spawn(move || {
        if matches!(io::stdin().read(&mut [0]), Ok(1)) {
            on_enter.cancel();
        }
    });

    let output = Destination::new(output);
    let outcome =
        av1core::transcode(
            source,
            &output,
            &Options::default(),
            &cancel,
            |event| match event {
                Event::Progress(p) => println!(
                    "{} of {:?} frames, {:.1} fps, {} bytes",
                    p.frames_done, p.frames_total, p.fps, p.bytes_written
                ),
                Event::Warning(warning) => println!("warning: {warning}"),
                _ => {}
            },
        )?;
    match outcome {
        Outcome::Done(report) => println!(
            "{} frames, {} -> {} bytes by {}",
            report.frames, report.source_bytes, report.output_bytes, report.encoder
        ),
        Outcome::Skipped(reason) => println!("left alone: {reason}"),
        _ => {}
    }
    Ok(())
}
