//! Numbers for monitoring.

use std::collections::BTreeMap;

use super::core::Core;
use crate::api::Status;

/// Plain numbers; the HTTP layer gives them their text form.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// How everything stands.
    pub status: Status,
    /// Frames a second by worker name.
    pub worker_fps: BTreeMap<String, f64>,
    /// Frames of all replacements ever.
    pub frames: u64,
    /// Leases that ran out since the start.
    pub lease_expiries: u64,
    /// Words that came with a lease that is gone, since the start.
    pub fenced: u64,
}

impl Core {
    /// Numbers for monitoring.
    pub async fn metrics(&self) -> Metrics {
        let workers = self.workers().await;
        let status = self.status().await;
        let state = self.state();
        Metrics {
            status,
            worker_fps: workers.into_iter().map(|w| (w.name, w.fps)).collect(),
            frames: self.counters().frames,
            lease_expiries: state.lease_expiries,
            fenced: state.fenced,
        }
    }
}
