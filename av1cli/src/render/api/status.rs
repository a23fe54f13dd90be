//! How everything stands.

use av1net::api::{NoticeLevel, RootView, Status, WorkerState};

use crate::render::table::Table;
use crate::text;

/// A master and its library, in lines.
pub(crate) fn status(status: &Status, address: &str) -> Vec<String> {
    let mut table = Table::new();
    let mut row = |name: &str, value: String| table.row(&[name.to_owned(), value]);
    let up = text::elapsed(micros(status.now.ms_since(status.started)));
    row("Master", format!("{address}, {}, up {up}", status.version));
    let films = text::count(status.files, "film");
    row(
        "Library",
        format!("{films}, {}", text::bytes(status.library_bytes)),
    );
    row("Saved", saved(status));
    row("Jobs", jobs(status));
    row("Workers", workers(status));
    row("Now", now(status));
    let mut lines: Vec<_> = table.lines().collect();
    if !status.roots.is_empty() {
        lines.push(String::new());
        lines.extend(roots(status));
    }
    if !status.notices.is_empty() {
        lines.push(String::new());
    }
    let notices = status.notices.iter();
    lines.extend(notices.map(|notice| match notice.level {
        NoticeLevel::Info => format!("note: {}", notice.message),
        NoticeLevel::Warning => format!("warning: {}", notice.message),
        NoticeLevel::Error => format!("error: {}", notice.message),
    }));
    lines
}

/// `1.1 TB of 1.9 TB, 58 % smaller`
fn saved(status: &Status) -> String {
    let before = status.replaced_source_bytes;
    if before == 0 {
        return "nothing yet".to_owned();
    }
    let after = i128::from(before) - i128::from(status.saved_bytes);
    let after = u64::try_from(after.max(0)).unwrap_or(u64::MAX);
    let saved = match u64::try_from(status.saved_bytes) {
        Ok(bytes) => text::bytes(bytes),
        Err(_) => format!("-{}", text::bytes(status.saved_bytes.unsigned_abs())),
    };
    let replaced = text::bytes(before);
    format!(
        "{saved} of {replaced} replaced, {}",
        text::saving(before, after)
    )
}

fn jobs(status: &Status) -> String {
    let counts = status.jobs.iter().filter(|(_, count)| **count > 0);
    let words: Vec<_> = counts
        .map(|(state, count)| format!("{count} {}", state.name()))
        .collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.join(", ")
}

fn workers(status: &Status) -> String {
    let counts = status.workers.iter().filter(|(_, count)| **count > 0);
    let words: Vec<_> = counts
        .map(|(state, count)| format!("{count} {}", worker_state(*state)))
        .collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    let slots = text::count(status.slots.into(), "slot");
    format!(
        "{}; {} of {slots} busy",
        words.join(", "),
        status.busy_slots
    )
}

fn now(status: &Status) -> String {
    if status.paused {
        return "paused: no worker takes work (`av1cli resume`)".to_owned();
    }
    let mut words = Vec::new();
    if status.busy_slots > 0 {
        words.push(format!(
            "{} fps, {:.1}x",
            text::rate(status.fps),
            status.speed
        ));
    }
    match status.eta_ms {
        Some(0) => words.push("nothing waits".to_owned()),
        Some(ms) => words.push(format!(
            "about {} left",
            text::elapsed(ms.saturating_mul(1000))
        )),
        None => words.push("time left unknown".to_owned()),
    }
    words.join(", ")
}

fn roots(status: &Status) -> Vec<String> {
    let mut table = Table::with_heading(["media directory", "state", "last scan"]);
    for root in &status.roots {
        let scanned = root
            .scanned
            .map_or("never".to_owned(), |at| text::ago(status.now.ms_since(at)));
        table.row(&[root.path.clone(), root_state(root), scanned]);
    }
    table.lines().collect()
}

fn root_state(root: &RootView) -> String {
    match (root.mounted, root.scanning_files) {
        (false, _) => "not mounted".to_owned(),
        (true, Some(files)) => format!("scanning, {}", text::count(files, "file")),
        (true, None) => "there".to_owned(),
    }
}

/// A worker's state in a word.
pub(super) fn worker_state(state: WorkerState) -> &'static str {
    match state {
        WorkerState::Idle => "idle",
        WorkerState::Processing => "processing",
        WorkerState::Offline => "offline",
        WorkerState::Draining => "draining",
        WorkerState::Paused => "paused",
        WorkerState::OutsideHours => "outside its hours",
    }
}

/// A span of milliseconds in microseconds; 0 where it is negative.
pub(super) fn micros(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or(0).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_at_work() {
        let json = r#"{
            "version": "0.1.0", "now": 1700010000000, "started": 1700000000000,
            "jobs": {"pending": 1180, "leased": 2, "completed": 20, "failed": 1, "skipped": 0},
            "files": 1203, "library_bytes": 3200000000000,
            "saved_bytes": 1100000000000, "replaced_source_bytes": 1900000000000,
            "fps": 92.4, "speed": 3.84, "eta_ms": 45600000,
            "workers": {"processing": 2, "offline": 1}, "busy_slots": 2, "slots": 3,
            "roots": [
                {"id": "a", "path": "/media/films", "mounted": true, "scanned": 1700009000000},
                {"id": "b", "path": "/media/tv", "mounted": true, "scanning_files": 1200},
                {"path": "/media/old\u001b[2J", "mounted": false, "problem": "gone"}
            ],
            "notices": [
                {"kind": "auth_none", "level": "warning", "message": "anybody can do everything"}
            ]
        }"#;
        let lines = status(
            &serde_json::from_str(json).expect("a status"),
            "http://nas:8090",
        );
        insta::assert_snapshot!(lines.join("\n"), @r"
        Master   http://nas:8090, 0.1.0, up 2 h 46 min
        Library  1203 films, 3.2 TB
        Saved    1.1 TB of 1.9 TB replaced, 57 % smaller
        Jobs     1180 pending, 2 leased, 20 completed, 1 failed
        Workers  2 processing, 1 offline; 2 of 3 slots busy
        Now      92 fps, 3.8x, about 12 h 40 min left

        MEDIA DIRECTORY      STATE                 LAST SCAN
        /media/films         there                 16 min ago
        /media/tv            scanning, 1200 files  never
        /media/old\u{1b}[2J  not mounted           never

        warning: anybody can do everything
        ");
    }

    #[test]
    fn an_empty_master_makes_up_nothing() {
        let empty = Status {
            version: "0.1.0".to_owned(),
            ..Status::default()
        };
        let lines = status(&empty, "http://nas:8090");
        insta::assert_snapshot!(lines.join("\n"), @r"
        Master   http://nas:8090, 0.1.0, up 0.0 s
        Library  0 films, 0 B
        Saved    nothing yet
        Jobs     none
        Workers  none
        Now      time left unknown
        ");
    }
}
