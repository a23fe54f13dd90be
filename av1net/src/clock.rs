//! Where this crate reads the clock (`clippy::disallowed_methods` keeps it so). What
//! decides by time takes a [`UnixMs`] or a [`SteadyMs`] instead. Within a simulation (see
//! `worker/simulation.rs`) it is the simulation's clock that is read.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use crate::units::{SteadyMs, UnixMs};

/// The time now, for people and for what outlives this process. It is set, forwards and
/// back, so nobody's lease goes by it.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where the clock is read"
)]
#[must_use]
pub fn now() -> UnixMs {
    #[cfg(test)]
    if let Some(since) = turmoil::since_epoch() {
        return UnixMs(whole_ms(since));
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    UnixMs(since.map_or(0, whole_ms))
}

/// The time that has passed, for leases and for who is there. A machine that slept for a
/// night finds them as they were, so that workers have as long as ever to be heard.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where the clock is read"
)]
#[must_use]
pub fn steady() -> SteadyMs {
    static START: OnceLock<Instant> = OnceLock::new();
    #[cfg(test)]
    if let Some(since) = turmoil::sim_elapsed() {
        return SteadyMs(whole_ms(since));
    }
    SteadyMs(whole_ms(START.get_or_init(Instant::now).elapsed()))
}

fn whole_ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
