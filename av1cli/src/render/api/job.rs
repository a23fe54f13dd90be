//! Jobs: a list of them, and one with all that is known.

use av1net::api::{JobDetail, JobView};
use av1net::job::JobState;
use av1net::proto::TaskProgress;
use av1net::store::Attempt;
use av1net::units::UnixMs;

use super::Names;
use super::status::micros;
use crate::render::table::Table;
use crate::text;

/// A table of jobs. Reasons have their names here; `av1cli jobs N` has them in words.
pub(crate) fn job_list(jobs: &[JobView], names: &Names, now: UnixMs) -> Vec<String> {
    let mut table = Table::with_heading(["job", "state", "size", "saved", "what", "file"]);
    for job in jobs {
        table.row(&[
            job.id.to_string(),
            job.state.name().to_owned(),
            text::bytes(job.bytes),
            saved(job).unwrap_or_default(),
            what(job, now),
            names.of(&job.root, &job.path),
        ]);
    }
    table.lines().collect()
}

/// `4.7 MB, 60 %`
fn saved(job: &JobView) -> Option<String> {
    let before = job.source_bytes?;
    let saved = job.saved_bytes?;
    let bytes = text::bytes(saved.unsigned_abs());
    let percent = i128::from(saved) * 100 / i128::from(before.max(1));
    let sign = if saved < 0 { "-" } else { "" };
    Some(format!("{sign}{bytes}, {percent} %"))
}

fn what(job: &JobView, now: UnixMs) -> String {
    let mut words = Vec::new();
    if job.state.is_active() {
        words.extend(job.phase.clone());
        words.extend(job.progress.as_ref().map(progress));
        words.extend(job.worker_name.as_ref().map(|name| format!("on {name}")));
    } else {
        words.extend(job.reason.as_ref().map(|reason| reason.kind.clone()));
        words.extend(
            job.retry_at
                .map(|at| format!("again {}", text::ago(now.ms_since(at)))),
        );
    }
    if job.priority != 0 {
        words.push(format!("priority {}", job.priority));
    }
    words.retain(|word| !word.is_empty());
    words.join(", ")
}

/// `62 %, 31 fps, 0:15 left`; of what is not known nothing.
pub(crate) fn progress(progress: &TaskProgress) -> String {
    let mut words = Vec::new();
    match progress.frames_total {
        Some(total) if total > 0 => {
            let percent = u128::from(progress.frames_done) * 100 / u128::from(total);
            words.push(format!("{} %", percent.min(100)));
        }
        _ => words.push(text::count(progress.frames_done, "frame")),
    }
    if progress.fps > 0.0 {
        words.push(format!("{} fps", text::rate(progress.fps)));
    }
    if let Some(ms) = progress.eta_ms {
        words.push(format!("{} left", text::clock(ms.saturating_mul(1000))));
    }
    words.join(", ")
}

/// All of one job, in lines.
pub(crate) fn job_detail(detail: &JobDetail, now: UnixMs) -> Vec<String> {
    let job = &detail.job;
    let file = match &detail.root_path {
        Some(root) => format!("{}/{}", root.trim_end_matches('/'), job.path),
        None => job.path.to_string(),
    };
    let mut table = Table::new();
    let mut row = |name: &str, value: String| table.row(&[name.to_owned(), value]);
    row("File", file);
    row("Job", job.id.to_string());
    row(
        "State",
        format!(
            "{}, {}",
            job.state.name(),
            text::ago(now.ms_since(job.changed))
        ),
    );
    if let Some(reason) = &job.reason {
        row("Why", format!("{} ({})", reason.message, reason.kind));
    }
    row("Size", size(job));
    let doing = what(job, now);
    if job.state.is_active() && !doing.is_empty() {
        row("Now", doing);
    }
    if let Some(at) = job.retry_at {
        row("Again", text::ago(now.ms_since(at)));
    }
    if job.priority != 0 {
        row("Priority", job.priority.to_string());
    }
    if let (Some(frames), Some(encoder)) = (job.frames, &job.encoder) {
        row(
            "Encode",
            format!("{}, {encoder}", text::count(frames, "frame")),
        );
    }
    let mut lines: Vec<_> = table.lines().collect();
    lines.extend(
        detail
            .warnings
            .iter()
            .map(|text| format!("warning: {text}")),
    );
    if !detail.attempts.is_empty() {
        lines.push(String::new());
        lines.extend(attempts(detail, now));
    }
    lines
}

fn size(job: &JobView) -> String {
    let now = text::bytes(job.bytes);
    match job.source_bytes {
        Some(before) => format!(
            "{now}, was {}, {}",
            text::bytes(before),
            text::saving(before, job.bytes)
        ),
        None => now,
    }
}

fn attempts(detail: &JobDetail, now: UnixMs) -> Vec<String> {
    let mut table = Table::with_heading(["attempt", "began", "took", "worker", "ended", "why"]);
    for attempt in &detail.attempts {
        table.row(&attempt_row(attempt, detail, now));
    }
    table.lines().collect()
}

fn attempt_row(attempt: &Attempt, detail: &JobDetail, now: UnixMs) -> [String; 6] {
    let until = attempt.ended.unwrap_or(now);
    let job = &detail.job;
    let worker = match &job.worker_name {
        Some(name) if job.worker.as_ref() == Some(&attempt.worker) => name.clone(),
        _ => attempt.worker.to_string(),
    };
    [
        attempt.epoch.to_string(),
        text::ago(now.ms_since(attempt.started)),
        text::elapsed(micros(until.ms_since(attempt.started))),
        worker,
        attempt.outcome.map_or("runs", JobState::name).to_owned(),
        attempt
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| reason.message.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use av1net::api::RootView;
    use av1net::units::RootId;

    const JOBS: &str = r#"[
        {"id": 7, "root": "a", "path": "Films/One.mkv", "state": "leased", "status": "Processing",
         "priority": 10, "bytes": 7807391, "attempts": 0, "worker": "w", "worker_name": "nas",
         "queued": 0, "changed": 60000, "phase": "encoding",
         "progress": {"frames_done": 778, "frames_total": 1253, "fps": 31.4, "eta_ms": 15000}},
        {"id": 8, "root": "a", "path": "Films/Two.mkv", "state": "completed",
         "status": "Completed", "priority": 0, "bytes": 3100000, "source_bytes": 7800000,
         "saved_bytes": 4700000, "attempts": 0, "queued": 0, "changed": 60000, "frames": 1253,
         "encoder": "SVT-AV1 1.4.1"},
        {"id": 9, "root": "a", "path": "\\xff\u001b[2J.mkv", "state": "retry_wait",
         "status": "Pending", "priority": 0, "bytes": 100, "attempts": 1, "queued": 0,
         "changed": 60000, "retry_at": 400000,
         "reason": {"kind": "disk_full", "message": "no space left where the output goes"}}
    ]"#;

    fn jobs() -> Vec<JobView> {
        serde_json::from_str(JOBS).expect("jobs")
    }

    #[test]
    fn jobs_in_a_table() {
        let lines = job_list(&jobs(), &Names::new(&[]), UnixMs(100_000));
        insta::assert_snapshot!(lines.join("\n"), @r"
        JOB  STATE       SIZE    SAVED         WHAT                                                    FILE
        7    leased      7.8 MB                encoding, 62 %, 31 fps, 0:15 left, on nas, priority 10  Films/One.mkv
        8    completed   3.1 MB  4.7 MB, 60 %                                                          Films/Two.mkv
        9    retry_wait  100 B                 disk_full, again in 5 min                               \xff\u{1b}[2J.mkv
        ");
    }

    #[test]
    fn files_of_several_folders_have_their_whole_paths() {
        let root = |id: &str, path: &str| RootView {
            id: Some(RootId(id.to_owned())),
            path: path.to_owned(),
            mounted: true,
            problem: None,
            scanning_files: None,
            scanned: None,
            look_again: None,
        };
        let jobs = jobs();
        let name = |roots: &[RootView]| Names::new(roots).of(&jobs[0].root, &jobs[0].path);
        let (films, tv) = (root("a", "/media/films/"), root("b", "/media/tv"));
        assert_eq!(name(std::slice::from_ref(&films)), "Films/One.mkv");
        assert_eq!(name(&[films, tv]), "/media/films/Films/One.mkv");
    }

    #[test]
    fn all_of_a_job() {
        let detail = JobDetail {
            job: jobs().remove(1),
            root_path: Some("/media".to_owned()),
            attempts: serde_json::from_str(
                r#"[
                {"job": 8, "epoch": 2, "worker": "w", "started": 10000, "ended": 60000,
                 "outcome": "completed", "source_bytes": 7800000, "output_bytes": 3100000},
                {"job": 8, "epoch": 1, "worker": "v", "started": 0, "ended": 3000,
                 "outcome": "retry_wait", "source_bytes": 7800000,
                 "reason": {"kind": "disk_full", "message": "no space left"}}
            ]"#,
            )
            .expect("attempts"),
            warnings: vec!["12 frames had no time of their own".to_owned()],
        };
        let lines = job_detail(&detail, UnixMs(100_000));
        insta::assert_snapshot!(lines.join("\n"), @r"
        File    /media/Films/Two.mkv
        Job     8
        State   completed, 40 s ago
        Size    3.1 MB, was 7.8 MB, 60 % smaller
        Encode  1253 frames, SVT-AV1 1.4.1
        warning: 12 frames had no time of their own

        ATTEMPT  BEGAN      TOOK   WORKER  ENDED       WHY
        2        1 min ago  50 s   w       completed
        1        1 min ago  3.0 s  v       retry_wait  no space left
        ");
    }
}
