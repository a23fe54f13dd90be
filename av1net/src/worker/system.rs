//! How busy this machine is.

use std::path::PathBuf;
use std::time::Duration;

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::temp::free_bytes;
use crate::proto::Load;

/// The contract's heartbeat: nobody sees more samples than that.
const EVERY: Duration = Duration::from_secs(10);

/// Samples the machine's load for as long as somebody looks at it.
pub(crate) fn watch_load(temp_folder: PathBuf) -> watch::Receiver<Load> {
    let (tell, load) = watch::channel(Load::default());
    tokio::spawn(async move {
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        let mut system = match System::new_with_specifics(kinds) {
            Ok(system) => system,
            Err(error) => return tracing::warn!(%error, "the machine's load is not known"),
        };
        while !tell.is_closed() {
            let folder = temp_folder.clone();
            let sampling = spawn_blocking(move || {
                let load = sample(&mut system, &folder);
                (system, load)
            });
            match sampling.await {
                Ok((sampled, load)) => {
                    system = sampled;
                    tell.send_replace(load);
                }
                // The runtime ends.
                Err(_) => return,
            }
            // Processors are known by the difference to the sample before.
            tokio::select! {
                () = sleep(EVERY) => {}
                () = tell.closed() => {}
            }
        }
    });
    load
}

fn sample(system: &mut System, temp_folder: &std::path::Path) -> Load {
    system.refresh_cpu_usage();
    system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
    let (mut used, mut total) = (system.used_memory(), system.total_memory());
    // A container's own limit is what it runs into first.
    if let Some(limits) = system.cgroup_limits()
        && (1..total).contains(&limits.total_memory)
    {
        total = limits.total_memory;
        used = total.saturating_sub(limits.free_memory);
    }
    Load {
        cpu_percent: system.global_cpu_usage(),
        cpus: u32::try_from(processors()).unwrap_or(u32::MAX),
        memory_used_bytes: used,
        memory_total_bytes: total,
        // A folder that is gone for the moment has no room.
        temp_free_bytes: free_bytes(temp_folder).unwrap_or(0),
    }
}

/// Processors that this process may use.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_has_processors_memory_and_room() {
        let mut load = watch_load(std::env::temp_dir());
        let first = tokio::time::timeout(Duration::from_secs(30), load.changed());
        first.await.expect("no hang").expect("a sample");
        let load = *load.borrow();
        assert!(load.cpus > 0 && load.temp_free_bytes > 0, "{load:?}");
        assert!((0.0..=100.0).contains(&load.cpu_percent), "{load:?}");
        let memory = load.memory_used_bytes..=load.memory_total_bytes;
        assert!(load.memory_used_bytes > 0 && !memory.is_empty(), "{load:?}");
    }
}
