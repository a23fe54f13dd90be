//! Where this crate reads the clock (`clippy::disallowed_methods` keeps it so). What
//! decides by time takes a [`UnixMs`] instead.

use std::time::SystemTime;

use crate::units::UnixMs;

/// The time now. A clock that is set back makes leases last longer, and one that is set
/// forward shorter; epochs make both harmless.
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
