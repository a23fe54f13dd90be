//! Bars on stderr: one for each film that runs, and one for the library.

use std::collections::BTreeMap;

use av1net::api::{JobView, Status};
use av1net::job::JobState;
use av1net::units::JobId;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::Library;
use crate::render::api::{Names, progress};
use crate::text;

/// The bars; none are drawn where there is no terminal.
pub(crate) struct Bars {
    all: MultiProgress,
    films: BTreeMap<JobId, ProgressBar>,
    library: ProgressBar,
}

impl Bars {
    pub(crate) fn new() -> Self {
        let all = MultiProgress::new();
        let library = all.add(bar());
        Self {
            all,
            films: BTreeMap::new(),
            library,
        }
    }

    /// Prints above the bars.
    pub(crate) fn step_aside<T>(&self, print: impl FnOnce() -> T) -> T {
        self.all.suspend(print)
    }

    pub(crate) fn draw(&mut self, library: &Library, names: &Names) {
        if library.status().files == 0 && library.running().next().is_none() {
            return; // Nothing is known yet: an empty bar would say that there is nothing.
        }
        self.films.retain(|id, bar| {
            let runs = library.running().any(|job| job.id == *id);
            if !runs {
                bar.finish_and_clear();
            }
            runs
        });
        for job in library.running() {
            let bar = self
                .films
                .entry(job.id)
                .or_insert_with(|| self.all.insert_before(&self.library, bar()));
            let (done, total) = extent(job);
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(text::one_line(&film(job, names)));
        }
        let (done, total) = films(library.status());
        self.library.set_length(total.max(1));
        self.library.set_position(done);
        self.library.set_message(summary(library.status()));
    }

    pub(crate) fn clear(self) {
        for bar in self.films.values() {
            bar.finish_and_clear();
        }
        self.library.finish_and_clear();
    }
}

fn bar() -> ProgressBar {
    // The template is constant: the fallback is never taken, and no reason to panic.
    let style = ProgressStyle::with_template("[{bar:10}] {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(1).with_style(style)
}

fn extent(job: &JobView) -> (u64, u64) {
    let Some(progress) = &job.progress else {
        return (0, 1);
    };
    let done = progress.frames_done;
    match progress.frames_total {
        Some(total) if progress.frames_exact => (done, total.max(1)),
        // An estimate that was too low does not fill the bar before the end.
        Some(total) => (done, total.max(done + 1)),
        None => (0, 1),
    }
}

/// `encoding, 62 %, 31 fps, 0:15 left  Films/One.mkv`
fn film(job: &JobView, names: &Names) -> String {
    let phase = job.phase.clone().unwrap_or_default();
    let numbers = job.progress.as_ref().map(progress);
    let words: Vec<_> = [Some(phase), numbers].into_iter().flatten().collect();
    format!("{}  {}", words.join(", "), names.of(&job.root, &job.path))
}

/// Films that were dealt with, and films in all.
fn films(status: &Status) -> (u64, u64) {
    let left: u64 = status
        .jobs
        .iter()
        .filter(|(state, _)| {
            state.is_active() || matches!(state, JobState::Pending | JobState::RetryWait)
        })
        .map(|(_, count)| count)
        .sum();
    (status.files.saturating_sub(left), status.files)
}

/// `4 of 12 films, 1.2 GB saved, about 12 min left`
fn summary(status: &Status) -> String {
    let (done, total) = films(status);
    let mut words = vec![format!("{done} of {}", text::count(total, "film"))];
    if let Some(saved) = u64::try_from(status.saved_bytes)
        .ok()
        .filter(|saved| *saved > 0)
    {
        words.push(format!("{} saved", text::bytes(saved)));
    }
    if let Some(ms) = status.eta_ms.filter(|ms| *ms > 0) {
        words.push(format!(
            "about {} left",
            text::elapsed(ms.saturating_mul(1000))
        ));
    }
    let scanning = status.roots.iter().filter_map(|root| root.scanning_files);
    let scanning: Vec<_> = scanning.collect();
    if !scanning.is_empty() {
        let files = scanning.iter().sum();
        words.push(format!(
            "looking for more, {} seen",
            text::count(files, "file")
        ));
    }
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_library_in_a_line() {
        let status: Status = serde_json::from_value(json!({
            "jobs": {"pending": 6, "leased": 1, "retry_wait": 1, "completed": 3, "skipped": 1},
            "files": 12, "saved_bytes": 1_200_000_000, "eta_ms": 725_000,
            "roots": [{"path": "/m", "mounted": true, "scanning_files": 40}],
        }))
        .expect("a status");
        assert_eq!(films(&status), (4, 12));
        assert_eq!(
            summary(&status),
            "4 of 12 films, 1.2 GB saved, about 12 min 5 s left, looking for more, 40 files seen"
        );
        assert_eq!(summary(&Status::default()), "0 of 0 films");
    }

    #[test]
    fn a_film_in_a_line_with_its_numbers_first() {
        let job: JobView = serde_json::from_value(json!({
            "id": 1, "root": "r", "path": "A/a.mkv", "state": "leased", "status": "Processing",
            "priority": 0, "bytes": 1, "attempts": 0, "queued": 0, "changed": 0,
            "phase": "encoding",
            "progress": {"frames_done": 50, "frames_total": 40, "fps": 31.4, "eta_ms": 15000},
        }))
        .expect("a job");
        assert_eq!(
            film(&job, &Names::new(&[])),
            "encoding, 100 %, 31 fps, 0:15 left  A/a.mkv"
        );
        assert_eq!(extent(&job), (50, 51));
    }
}
