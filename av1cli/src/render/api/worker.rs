//! Workers.

use av1net::api::{WorkerState, WorkerView};
use av1net::units::UnixMs;

use super::status::worker_state;
use crate::render::table::Table;
use crate::text;

/// Digits of an identity that are shown: enough to tell a house full of machines apart.
const ID_DIGITS: usize = 8;

/// A table of workers, and below it what a person should know of them.
pub(crate) fn worker_list(workers: &[WorkerView], now: UnixMs) -> Vec<String> {
    if workers.is_empty() {
        return vec!["no workers: `av1cli master` prints the command that joins one".to_owned()];
    }
    let mut table = Table::with_heading([
        "worker", "id", "state", "busy", "fps", "cpu", "memory", "seen", "encoder",
    ]);
    for worker in workers {
        table.row(&row(worker, now));
    }
    let mut lines: Vec<_> = table.lines().collect();
    for worker in workers {
        let set = settings(worker);
        if !set.is_empty() {
            lines.push(format!("{}: set from the master: {set}", worker.name));
        }
        if worker.failures > 0 {
            let failures = text::count(worker.failures.into(), "attempt");
            lines.push(format!(
                "{}: {failures} failed on it since the master started",
                worker.name
            ));
        }
        let warnings = worker.warnings.iter();
        lines.extend(warnings.map(|warning| format!("warning: {}: {warning}", worker.name)));
    }
    lines
}

fn row(worker: &WorkerView, now: UnixMs) -> [String; 9] {
    let load = &worker.load;
    let offline = worker.state == WorkerState::Offline;
    let memory = match load.memory_total_bytes {
        // What an absent machine did last says nothing of now.
        _ if offline => String::new(),
        0 => String::new(),
        total => {
            let percent = u128::from(load.memory_used_bytes) * 100 / u128::from(total);
            format!("{percent} % of {}", text::bytes(total))
        }
    };
    let encoder = match &worker.encoder {
        Some(encoder) => encoder.clone(),
        None if offline => String::new(),
        None => "NONE".to_owned(),
    };
    [
        worker.name.clone(),
        worker.id.0.chars().take(ID_DIGITS).collect(),
        worker_state(worker.state).to_owned(),
        format!("{}/{}", worker.jobs.len(), worker.slots),
        if worker.jobs.is_empty() {
            String::new()
        } else {
            text::rate(worker.fps)
        },
        if offline {
            String::new()
        } else {
            format!("{:.0} %", load.cpu_percent)
        },
        memory,
        text::ago(now.ms_since(worker.last_seen)),
        encoder,
    ]
}

/// `paused, slots 2`
fn settings(worker: &WorkerView) -> String {
    let set = &worker.settings;
    let words = [
        set.paused.then(|| "paused".to_owned()),
        set.draining.then(|| "draining".to_owned()),
        set.slots.map(|slots| format!("slots {slots}")),
        set.threads.map(|threads| format!("threads {threads}")),
        set.niceness.map(|niceness| format!("niceness {niceness}")),
        set.schedule.as_ref().map(|spans| match spans.as_slice() {
            [] => "at all hours".to_owned(),
            spans => format!("hours {}", spans.join("; ")),
        }),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_in_a_table() {
        let json = r#"[
            {"id": "a1b2c3d4e5f6", "name": "nas", "state": "processing", "version": "0.1.0",
             "encoder": "SVT-AV1 1.4.1", "warnings": ["its clock is 3 min off"], "slots": 2,
             "load": {"cpu_percent": 93.7, "memory_used_bytes": 2000000000,
                      "memory_total_bytes": 8000000000},
             "history": [], "last_seen": 99000, "mounted": [], "jobs": [7], "fps": 31.4,
             "failures": 1, "settings": {"paused": true, "niceness": 19,
                "schedule": ["mon-fri 22:00-06:00", "sat,sun 00:00-24:00"]}},
            {"id": "ff", "name": "attic\u001b]0;x", "state": "offline", "version": "0.1.0",
             "encoder": null, "warnings": [], "slots": 1, "load": {}, "history": [],
             "last_seen": -400000, "mounted": [], "jobs": [], "fps": 0.0, "failures": 0,
             "settings": {}}
        ]"#;
        let workers: Vec<WorkerView> = serde_json::from_str(json).expect("workers");
        let lines = worker_list(&workers, UnixMs(100_000));
        insta::assert_snapshot!(lines.join("\n"), @r"
        WORKER           ID        STATE       BUSY  FPS  CPU   MEMORY          SEEN       ENCODER
        nas              a1b2c3d4  processing  1/2   31   94 %  25 % of 8.0 GB  now        SVT-AV1 1.4.1
        attic\u{1b}]0;x  ff        offline     0/1                              8 min ago
        nas: set from the master: paused, niceness 19, hours mon-fri 22:00-06:00; sat,sun 00:00-24:00
        nas: 1 attempt failed on it since the master started
        warning: nas: its clock is 3 min off
        ");
    }
}
