//! Where this crate reads the clock (`clippy::disallowed_methods` keeps it so). What
//! decides by time takes a [`UnixMs`] or a [`SteadyMs`] instead.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use crate::units::{SteadyMs, UnixMs};

/// The time now, for people and for what outlives this process. It is set, forwards and
/// back, so nobody's lease goes by it.
#[expect(
    clippy::disallowed_methods,
    reason = "this module is where the clock is read"
)]
#[must_use]
pub fn now() -> UnixMs {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ms = since.map_or(0, |since| since.as_millis());
    UnixMs(i64::try_from(ms).unwrap_or(i64::MAX))
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
    let ms = START.get_or_init(Instant::now).elapsed().as_millis();
    SteadyMs(i64::try_from(ms).unwrap_or(i64::MAX))
}
