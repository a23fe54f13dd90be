//! What became of films: in a line each, in a table, and in sums.

use std::collections::BTreeMap;

use av1net::api::JobView;
use av1net::job::JobState;
use serde::Serialize;

use crate::render::api::Names;
use crate::render::table::Table;
use crate::text;

/// Whether a film in this state has been dealt with.
pub(super) fn is_end(state: JobState) -> bool {
    matches!(
        state,
        JobState::Completed
            | JobState::Skipped
            | JobState::Failed
            | JobState::Cancelled
            | JobState::Quarantined
    )
}

/// What became of a film, in a line; `None` while it is under way.
pub(crate) fn line(job: &JobView, names: &Names) -> Option<String> {
    let file = names.of(&job.root, &job.path);
    Some(match job.state {
        JobState::Completed => match job.source_bytes {
            Some(before) => format!(
                "{file}: {} -> {}, {}",
                text::bytes(before),
                text::bytes(job.bytes),
                text::saving(before, job.bytes)
            ),
            None => format!("{file}: done"),
        },
        JobState::Skipped => format!("{file}: left alone: {}", why(job)),
        JobState::Failed => format!("{file}: failed: {}", why(job)),
        JobState::Quarantined => format!("{file}: failed, and is not tried again: {}", why(job)),
        JobState::Cancelled => format!("{file}: cancelled"),
        _ => return None,
    })
}

fn why(job: &JobView) -> &str {
    let reason = job.reason.as_ref();
    reason.map_or("no reason was told", |reason| &reason.message)
}

/// Films in a table, with a total.
pub(crate) fn finished(jobs: &[JobView], names: &Names, tally: &Tally) -> Vec<String> {
    let mut table = Table::with_heading(["file", "result", "before", "after", "saved", "why"]);
    for job in jobs {
        let file = names.of(&job.root, &job.path);
        let result = result(job.state).to_owned();
        table.row(&match (job.state, job.source_bytes) {
            (JobState::Completed, Some(before)) => [
                file,
                result,
                text::bytes(before),
                text::bytes(job.bytes),
                percent(before, job.bytes),
                String::new(),
            ],
            _ => [
                file,
                result,
                text::bytes(job.bytes),
                String::new(),
                String::new(),
                job.reason
                    .as_ref()
                    .map_or_else(String::new, |reason| reason.message.clone()),
            ],
        });
    }
    table.row(&[
        format!("total of {}", jobs.len()),
        format!("{} shrunk", tally.shrunk),
        text::bytes(tally.before_bytes),
        text::bytes(tally.after_bytes),
        percent(tally.before_bytes, tally.after_bytes),
        String::new(),
    ]);
    table.lines().collect()
}

fn result(state: JobState) -> &'static str {
    match state {
        JobState::Completed => "shrunk",
        JobState::Skipped => "left alone",
        JobState::Failed | JobState::Quarantined => "failed",
        JobState::Cancelled => "cancelled",
        _ => "under way",
    }
}

/// `60 %`; a film that grew has a minus.
fn percent(before: u64, after: u64) -> String {
    if before == 0 {
        return String::new();
    }
    let saved = i128::from(before) - i128::from(after);
    format!("{} %", saved * 100 / i128::from(before))
}

/// Sums over films that were dealt with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// Films that are smaller now.
    pub(crate) shrunk: u64,
    /// Their bytes before.
    pub(crate) before_bytes: u64,
    /// Their bytes now.
    pub(crate) after_bytes: u64,
    /// Films that are left alone, by the name of the reason.
    pub(crate) left_alone: BTreeMap<String, u64>,
    /// Films that failed.
    pub(crate) failed: u64,
    /// Films that somebody cancelled.
    pub(crate) cancelled: u64,
}

impl Tally {
    pub(crate) fn of<'a>(jobs: impl IntoIterator<Item = &'a JobView>) -> Self {
        let mut tally = Self::default();
        for job in jobs {
            match job.state {
                JobState::Completed => {
                    tally.shrunk += 1;
                    tally.before_bytes += job.source_bytes.unwrap_or(job.bytes);
                    tally.after_bytes += job.bytes;
                }
                JobState::Skipped => {
                    let kind = job.reason.as_ref().map_or("unknown", |reason| &reason.kind);
                    *tally.left_alone.entry(kind.to_owned()).or_default() += 1;
                }
                JobState::Failed | JobState::Quarantined => tally.failed += 1,
                JobState::Cancelled => tally.cancelled += 1,
                _ => {}
            }
        }
        tally
    }

    /// Films that were dealt with.
    pub(crate) fn films(&self) -> u64 {
        let left_alone: u64 = self.left_alone.values().sum();
        self.shrunk + left_alone + self.failed + self.cancelled
    }

    /// In a table of results.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut table = Table::with_heading(["result", "films", "before", "after", "saved"]);
        let saved = self.before_bytes.saturating_sub(self.after_bytes);
        table.row(&[
            "shrunk".to_owned(),
            self.shrunk.to_string(),
            text::bytes(self.before_bytes),
            text::bytes(self.after_bytes),
            format!(
                "{}, {}",
                text::bytes(saved),
                text::saving(self.before_bytes, self.after_bytes)
            ),
        ]);
        for (kind, films) in &self.left_alone {
            table.row(&[format!("left alone: {kind}"), films.to_string()]);
        }
        for (name, films) in [("failed", self.failed), ("cancelled", self.cancelled)] {
            if films > 0 {
                table.row(&[name.to_owned(), films.to_string()]);
            }
        }
        table.lines().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn jobs() -> Vec<JobView> {
        let job = |id: i64, state: &str, more: serde_json::Value| {
            let mut job = json!({
                "id": id, "root": "r", "path": format!("Films/{id}.mkv"), "state": state,
                "status": "Completed", "priority": 0, "bytes": 3_100_000, "attempts": 0,
                "queued": 0, "changed": 0,
            });
            for (key, value) in more.as_object().expect("fields") {
                job[key] = value.clone();
            }
            job
        };
        let reason =
            |kind: &str, message: &str| json!({"reason": {"kind": kind, "message": message}});
        let jobs = json!([
            job(
                1,
                "completed",
                json!({"source_bytes": 7_800_000, "saved_bytes": 4_700_000})
            ),
            job(2, "skipped", reason("av1_already", "it is AV1 already")),
            job(
                3,
                "quarantined",
                reason("crashed", "the encode\u{1b}[2J died twice")
            ),
            job(4, "leased", json!({})),
            job(5, "cancelled", json!({})),
        ]);
        serde_json::from_value(jobs).expect("jobs")
    }

    #[test]
    fn each_film_has_a_line() {
        let names = Names::new(&[]);
        let jobs = jobs();
        let lines: Vec<_> = jobs.iter().filter_map(|job| line(job, &names)).collect();
        assert_eq!(
            lines,
            [
                "Films/1.mkv: 7.8 MB -> 3.1 MB, 60 % smaller",
                "Films/2.mkv: left alone: it is AV1 already",
                "Films/3.mkv: failed, and is not tried again: the encode\u{1b}[2J died twice",
                "Films/5.mkv: cancelled",
            ]
        );
    }

    #[test]
    fn films_and_sums_in_tables() {
        let jobs = jobs();
        let tally = Tally::of(&jobs);
        assert_eq!(tally.films(), 4);
        let lines = finished(&jobs, &Names::new(&[]), &tally);
        insta::assert_snapshot!(lines.join("\n"), @r"
        FILE         RESULT      BEFORE  AFTER   SAVED  WHY
        Films/1.mkv  shrunk      7.8 MB  3.1 MB  60 %
        Films/2.mkv  left alone  3.1 MB                 it is AV1 already
        Films/3.mkv  failed      3.1 MB                 the encode\u{1b}[2J died twice
        Films/4.mkv  under way   3.1 MB
        Films/5.mkv  cancelled   3.1 MB
        total of 5   1 shrunk    7.8 MB  3.1 MB  60 %
        ");
        insta::assert_snapshot!(tally.lines().join("\n"), @r"
        RESULT                   FILMS  BEFORE  AFTER   SAVED
        shrunk                   1      7.8 MB  3.1 MB  4.7 MB, 60 % smaller
        left alone: av1_already  1
        failed                   1
        cancelled                1
        ");
    }
}
