//! A worker in the master's own process.

use std::path::Path;
use std::sync::Arc;

use av1net::config::{Config, Zone};
use av1net::master::Core;
use av1net::roots::probe_mounts;
use av1net::units::UnixMs;
use av1net::worker::{Local, Transport, Tuning, WorkerConfig};

use crate::exit::Usage;

/// A worker's configuration.
pub(super) fn worker(config: &Config, state_directory: &Path) -> anyhow::Result<WorkerConfig> {
    Ok(WorkerConfig::new(
        config,
        state_directory.to_owned(),
        hours(config)?,
        Arc::new(probe_mounts),
    ))
}

/// What of it can change while the worker runs.
pub(super) fn tuning(config: &Config) -> anyhow::Result<Tuning> {
    Ok(Tuning::new(config, hours(config)?))
}

fn hours(config: &Config) -> anyhow::Result<Arc<dyn Fn(UnixMs) -> bool + Send + Sync>> {
    let hours = config.hours().map_err(Usage)?;
    let zone = Zone::system();
    Ok(Arc::new(move |now| hours.is_open_at(now, &zone)))
}

/// The way to a master in this process.
pub(super) fn transport(core: &Core) -> Transport {
    let (asked, poked) = (core.clone(), core.clone());
    Transport::Local(Local::new(
        move |report| {
            let core = asked.clone();
            Box::pin(async move { core.sync(report).await.map_err(|error| error.body) })
        },
        move |worker| poked.poke(worker),
    ))
}
