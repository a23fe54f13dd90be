//! A run for people: a bar while it lasts, one line when it ends.

use super::Renderer;
use super::bar::Bar;
use super::message::{Finished, Message};
use crate::out;
use crate::settings::Show;
use crate::text;

/// Shows a run on stderr, and its final line on stdout.
pub(super) struct Human {
    bar: Option<Bar>,
    final_line: bool,
}

impl Human {
    pub(super) fn new(show: Show) -> Self {
        Self {
            bar: (show == Show::Bar).then(Bar::new),
            final_line: matches!(show, Show::Bar | Show::FinalLine),
        }
    }

    /// Prints on stderr, above the bar where there is one.
    fn note(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.step_aside(|| out::note(line)),
            None => out::note(line),
        }
    }

    fn draw(&self, draw: impl FnOnce(&Bar)) {
        if let Some(bar) = &self.bar {
            draw(bar);
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.clear();
        }
    }
}

impl Renderer for Human {
    fn show(&mut self, message: &Message<'_>) -> anyhow::Result<()> {
        match message {
            Message::Planned { .. } => self.draw(Bar::start),
            Message::WaitingForEncoder => self.draw(Bar::wait),
            Message::Progress(progress) => self.draw(|bar| bar.update(progress)),
            Message::Verifying(progress) => self.draw(|bar| bar.verify(progress)),
            Message::Sampling(progress) => self.draw(|bar| bar.sample(progress)),
            // Its numbers come with what is decided from them.
            Message::Predicted(_) => {}
            Message::Warning { message } => self.note(&format!("warning: {message}")),
            Message::Done(finished) => {
                self.end();
                if self.final_line {
                    out::say(&final_line(finished))?;
                    if let Some(backup) = &finished.backup {
                        out::say(&format!("{backup}: the source as it was"))?;
                    }
                }
            }
            Message::WouldReplace(would) => {
                self.end();
                if self.final_line {
                    out::say(&would.line())?;
                }
            }
            Message::Skipped(skipped) => {
                self.end();
                out::note(&skipped.line());
            }
            Message::NotWorthwhile(found) => {
                self.end();
                out::note(&found.line());
            }
            Message::Error(failed) => {
                self.end();
                out::note(&failed.line());
                // The line names the first.
                for difference in failed.differences.iter().skip(1) {
                    out::note(&format!("  {difference}"));
                }
            }
        }
        Ok(())
    }
}

/// `film.mkv: 7.8 MB -> 2.1 MB, 73 % smaller, 1323 frames in 41 s (32 fps, SVT-AV1 1.4.1)`
fn final_line(finished: &Finished<'_>) -> String {
    let seconds = finished.elapsed_us as f64 / 1e6;
    let fps = if seconds > 0.0 {
        finished.frames as f64 / seconds
    } else {
        0.0
    };
    format!(
        "{}: {} -> {}, {}, {} frames in {} ({} fps, {})",
        finished.output,
        text::bytes(finished.source_bytes),
        text::bytes(finished.output_bytes),
        text::saving(finished.source_bytes, finished.output_bytes),
        finished.frames,
        text::elapsed(finished.elapsed_us),
        text::rate(fps),
        finished.encoder,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_final_line_says_it_all() {
        let mut finished = Finished {
            output: "film.mkv".into(),
            encoder: "SVT-AV1 1.4.1",
            frames: 1323,
            source_bytes: 7_807_391,
            output_bytes: 2_100_000,
            film_us: 55_125_000,
            elapsed_us: 41_000_000,
            verify_us: 2_000_000,
            decode_errors: 0,
            backup: None,
            warnings: &[],
        };
        assert_eq!(
            final_line(&finished),
            "film.mkv: 7.8 MB -> 2.1 MB, 73 % smaller, 1323 frames in 41 s (32 fps, SVT-AV1 1.4.1)"
        );
        finished.output_bytes = 9_000_000;
        finished.elapsed_us = 0;
        assert_eq!(
            final_line(&finished),
            "film.mkv: 7.8 MB -> 9.0 MB, 15 % larger, 1323 frames in 0.0 s (0 fps, SVT-AV1 1.4.1)"
        );
    }
}
