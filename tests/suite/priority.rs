//! An encode leaves the machine to others: none of its threads is a real-time one,
//! which SVT-AV1 makes of all of them in a process of root's (1.4 to 2.3).
#![cfg(target_os = "linux")]

use std::fs;

use crate::support::cli::Running;
use crate::support::{Scratch, recipe, watched};

/// Scheduling policies of a process's threads; 0 is the ordinary one (`proc(5)`,
/// field 41 of `stat`).
fn policies(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("threads");
    threads
        // One may end meanwhile.
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok())
        .map(|stat| {
            // The name, in parentheses, may hold anything.
            let (_, fields) = stat.rsplit_once(") ").expect("a name");
            let policy = fields.split_whitespace().nth(41 - 3).expect("a policy");
            policy.parse().expect("a number")
        })
        .collect()
}

#[test]
fn no_thread_of_an_encode_is_a_real_time_thread() {
    watched(|| {
        let folder = Scratch::new();
        let source = recipe::film(&folder, "film.mkv", (25, 20.0), recipe::H264);
        let output = folder.file("out.mkv");
        let mut running = Running::start([
            "transcode".as_ref(),
            "--json".as_ref(),
            source.as_os_str(),
            output.as_os_str(),
        ]);
        running.wait_for("progress");
        let policies = policies(running.0.id());
        // The encoder's own are among them.
        assert!(policies.len() > 8, "{policies:?}");
        assert!(policies.iter().all(|policy| *policy == 0), "{policies:?}");
    });
}
