//! What a child says.

use std::io::Write;

use av1core::{FramesTotal, Progress};

use super::control::Control;
use crate::clock;
use crate::proto::TaskProgress;
use crate::units::UnixMs;
use crate::worker::orders::{ChildEvent, ChildPhase};

/// Says what happens, a line each, to the parent.
pub(super) struct Teller<W> {
    output: W,
    control: Control,
    began: UnixMs,
    phase: Option<ChildPhase>,
}

impl<W: Write> Teller<W> {
    pub(super) fn new(output: W, control: Control) -> Self {
        Self {
            output,
            control,
            began: clock::now(),
            phase: None,
        }
    }

    /// Where nobody listens any more, the work stops.
    pub(super) fn tell(&mut self, event: &ChildEvent) {
        let written = serde_json::to_vec(event)
            .map_err(Into::into)
            .and_then(|mut line| {
                line.push(b'\n');
                self.output.write_all(&line)?;
                self.output.flush()
            });
        if let Err(error) = written {
            tracing::warn!(%error, "the parent does not listen");
            self.control.cancel();
        }
    }

    /// The phase, where it is a new one.
    pub(super) fn phase(&mut self, phase: ChildPhase) {
        if self.phase.replace(phase) != Some(phase) {
            self.tell(&ChildEvent::Phase { phase });
        }
    }

    pub(super) fn warning(&mut self, message: &str) {
        let message = message.to_owned();
        self.tell(&ChildEvent::Warning { message });
    }

    pub(super) fn progress(&mut self, progress: &Progress) {
        // JSON knows no infinite numbers.
        let finite = |number: f64| if number.is_finite() { number } else { 0.0 };
        let progress = TaskProgress {
            frames_done: progress.frames_done,
            frames_in: progress.frames_in,
            frames_total: progress.frames_total.frames(),
            frames_exact: matches!(progress.frames_total, FramesTotal::Exact(_)),
            fps: finite(progress.fps),
            speed: finite(progress.speed),
            bytes_written: progress.bytes_written,
            projected_bytes: progress.projected_bytes,
            eta_ms: progress.eta_us.map(|us| us / 1000),
            elapsed_ms: self.elapsed_ms(),
        };
        self.tell(&ChildEvent::Progress { progress });
    }

    /// Frames of samples, or frames read back.
    pub(super) fn frames(&mut self, done: u64, total: u64) {
        let progress = TaskProgress {
            frames_done: done,
            frames_in: done,
            frames_total: Some(total),
            frames_exact: true,
            elapsed_ms: self.elapsed_ms(),
            ..TaskProgress::default()
        };
        self.tell(&ChildEvent::Progress { progress });
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(clock::now().ms_since(self.began)).unwrap_or(0)
    }
}
