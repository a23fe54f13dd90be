//! The progress bar. It shows what the engine counted and reckons nothing itself.

use av1core::{FramesTotal, Progress, Sampling, Verifying};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::text;

/// A bar on stderr.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new() -> Self {
        // Nothing is drawn before the first message: a source that is refused at
        // once shows no bar that flashes.
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
        // The numbers are what people read. With ten columns for the bar those of a long
        // film fit into 80, and what does not fit is cut, not wrapped: indicatif leaves
        // half of a wrapped line behind.
        // The template is constant: the fallback is never taken, and no reason to panic.
        let style = ProgressStyle::with_template("[{bar:10}] {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        bar.set_style(style);
        Self(bar)
    }

    pub(super) fn update(&self, progress: &Progress) {
        let (position, length) = extent(progress);
        self.0.set_length(length);
        self.0.set_position(position);
        self.0.set_message(numbers(progress));
    }

    /// How far a source is that is decoded and not encoded.
    pub(super) fn watch(&self, progress: &Progress) {
        let (position, length) = extent(progress);
        self.0.set_length(length);
        self.0.set_position(position);
        let done = progress.frames_done;
        self.0
            .set_message(format!("reading the source  {done} frames"));
    }

    pub(super) fn verify(&self, progress: &Verifying) {
        let (done, total) = (progress.frames_done, progress.frames_total);
        self.0.set_length(total.max(1));
        self.0.set_position(done);
        self.0
            .set_message(format!("verifying  {done}/{total} frames read back"));
    }

    pub(super) fn sample(&self, progress: &Sampling) {
        let (done, total) = (progress.frames_done, progress.frames_total);
        self.0.set_length(total.max(1));
        self.0.set_position(done);
        self.0
            .set_message(format!("predicting  {done}/{total} frames of samples"));
    }

    /// The encoder looks ahead before it gives its first frame: seconds on a slow machine.
    pub(super) fn start(&self) {
        self.0.set_message("starting");
    }

    pub(super) fn wait(&self) {
        self.0
            .set_message("waiting for another encode in this process");
    }

    pub(super) fn step_aside(&self, print: impl FnOnce()) {
        self.0.suspend(print);
    }

    pub(super) fn clear(self) {
        self.0.finish_and_clear();
    }
}

/// How full the bar is: position and length. An estimate that was too low does not
/// fill it before the end.
fn extent(progress: &Progress) -> (u64, u64) {
    let done = progress.frames_done;
    match progress.frames_total {
        FramesTotal::Exact(total) => (done, total),
        FramesTotal::Estimate(total) => (done, total.max(done + 1)),
        _ => (0, 1),
    }
}

/// `450/~1323 frames  32 fps  1.3x  700.0 kB/~2.1 MB  ETA 0:27`
fn numbers(progress: &Progress) -> String {
    let total = match progress.frames_total {
        FramesTotal::Exact(total) => format!("/{total}"),
        FramesTotal::Estimate(total) => format!("/~{total}"),
        _ => String::new(),
    };
    let mut parts = vec![format!("{}{total} frames", progress.frames_done)];
    if progress.frames_done == 0 {
        parts.push(format!("{} in the encoder", progress.frames_in));
        return parts.join("  ");
    }
    parts.push(format!("{} fps", text::rate(progress.fps)));
    parts.push(format!("{:.1}x", progress.speed));
    let written = text::bytes(progress.bytes_written);
    parts.push(match progress.projected_bytes {
        Some(projected) => format!("{written}/~{}", text::bytes(projected)),
        None => written,
    });
    if let Some(eta_us) = progress.eta_us {
        parts.push(format!("ETA {}", text::clock(eta_us)));
    }
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(done: u64, total: &str) -> Progress {
        let json = format!(
            r#"{{"frames_done":{done},"frames_in":{},"frames_total":{total},"position_us":0,
                "elapsed_us":0,"fps":32.14,"speed":1.34,"bytes_written":700000,
                "projected_bytes":2100000,"eta_us":27400000}}"#,
            done + 38
        );
        serde_json::from_str(&json).expect("a progress")
    }

    #[test]
    fn an_estimate_is_marked() {
        let estimate = progress(450, r#"{"kind":"estimate","frames":1323}"#);
        assert_eq!(
            numbers(&estimate),
            "450/~1323 frames  32 fps  1.3x  700.0 kB/~2.1 MB  ETA 0:27"
        );
        let exact = progress(450, r#"{"kind":"exact","frames":1323}"#);
        assert!(numbers(&exact).starts_with("450/1323 frames"));
    }

    #[test]
    fn nothing_is_made_up_where_nothing_is_known() {
        let mut unknown = progress(450, r#"{"kind":"unknown"}"#);
        unknown.projected_bytes = None;
        unknown.eta_us = None;
        assert_eq!(numbers(&unknown), "450 frames  32 fps  1.3x  700.0 kB");
        assert_eq!(extent(&unknown), (0, 1));
        let filling = progress(0, r#"{"kind":"exact","frames":1323}"#);
        assert_eq!(numbers(&filling), "0/1323 frames  38 in the encoder");
    }

    #[test]
    fn an_estimate_that_was_too_low_does_not_fill_the_bar() {
        let late = progress(1400, r#"{"kind":"estimate","frames":1323}"#);
        assert_eq!(extent(&late), (1400, 1401));
        let end = progress(1323, r#"{"kind":"exact","frames":1323}"#);
        assert_eq!(extent(&end), (1323, 1323));
    }
}
