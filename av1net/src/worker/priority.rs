//! How much of the machine an encode may take from others: niceness and I/O class of a
//! process.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, setpriority_process};
use tokio::process::Command;

use crate::config::IoClassKey;

/// A thread may be born while the others are gone through, to one that had its turn
/// not yet; then it is found in the next pass.
const PASSES: usize = 3;

/// Sets the niceness of a process, all its threads included: Linux knows it by thread.
///
/// # Errors
///
/// What the system says; lowering it takes a right (`CAP_SYS_NICE`, or `RLIMIT_NICE`).
pub(crate) fn set_niceness(process: u32, niceness: u8) -> io::Result<()> {
    let mut done = Vec::new();
    for _ in 0..PASSES {
        let threads: Vec<u32> = threads_of(process)
            .into_iter()
            .filter(|thread| !done.contains(thread))
            .collect();
        if threads.is_empty() {
            break;
        }
        for thread in threads {
            let Some(pid) = pid(thread) else { continue };
            match setpriority_process(Some(pid), i32::from(niceness)) {
                // A thread that has ended meanwhile needs none.
                Ok(()) | Err(rustix::io::Errno::SRCH) => done.push(thread),
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The threads of a process; the process alone where the system has no `/proc`.
fn threads_of(process: u32) -> Vec<u32> {
    let folder = PathBuf::from(format!("/proc/{process}/task"));
    let Ok(entries) = std::fs::read_dir(folder) else {
        return vec![process];
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter_map(|name| name.parse().ok()).collect()
}

pub(crate) fn pid(process: u32) -> Option<Pid> {
    i32::try_from(process).ok().and_then(Pid::from_raw)
}

/// Sets the I/O class of a process that has one thread yet; those to come inherit it.
/// By util-linux's command: no safe call for it is to be had.
///
/// # Errors
///
/// What went wrong, in words.
pub(crate) async fn set_io_class(process: u32, class: IoClassKey) -> Result<(), String> {
    // Class 2 is "best effort" with 7 as its lowest level, 3 is "idle" (ioprio_set(2)).
    let class = match class {
        IoClassKey::Normal => return Ok(()),
        IoClassKey::Low => ["-c2", "-n7"].as_slice(),
        IoClassKey::Idle => ["-c3"].as_slice(),
    };
    let output = Command::new("ionice")
        .args(class)
        .args(["-p", &process.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err("the command `ionice` (of util-linux) is not there".to_owned())
        }
        Err(error) => Err(format!("`ionice` could not be run: {error}")),
    }
}

/// Threads for each encode: what was asked for, else the encoder's own choice for a
/// single one, else the processors shared among all. An encoder left to itself takes
/// all of them, and several of those get in each other's way.
pub(crate) fn threads(asked: Option<u32>, slots: usize, processors: usize) -> Option<u32> {
    let shared = || u32::try_from((processors / slots.max(1)).max(1)).ok();
    asked.or_else(|| if slots <= 1 { None } else { shared() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_shared_among_several_slots_alone() {
        assert_eq!(threads(None, 1, 16), None);
        assert_eq!(threads(None, 4, 16), Some(4));
        assert_eq!(threads(None, 3, 2), Some(1));
        assert_eq!(threads(Some(6), 3, 2), Some(6));
    }
}
