//! No real-time threads.
//!
//! In a process of root's, SVT-AV1 gives all its threads, and the one that opens it,
//! the real-time priority 99 (`enc_switch_to_real_time` and `svt_create_thread`,
//! 1.4.1 and 2.3.0; 4.2 no more): whatever else runs on the machine gets what the
//! kernel keeps back for it, 5 %, until the film is done, and niceness means nothing.
//! It takes a refusal, which is the answer wherever a container lacks `CAP_SYS_NICE`.

/// Runs `open` on this thread, which may not ask for real-time priority meanwhile,
/// nor may the threads that it starts.
#[cfg(target_os = "linux")]
pub(super) fn without_real_time<T>(open: impl FnOnce() -> T) -> T {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    let Some(before) = capabilities(None)
        .ok()
        .filter(|sets| sets.effective.contains(CapabilitySet::SYS_NICE))
    else {
        return open();
    };
    let mut less = before;
    less.effective.remove(CapabilitySet::SYS_NICE);
    // Capabilities are a thread's own. Where this fails the encoder runs all the same.
    if let Err(error) = set_capabilities(None, less) {
        tracing::debug!(%error, "the encoder may make its threads real-time ones");
    }
    let opened = open();
    if let Err(error) = set_capabilities(None, before) {
        tracing::debug!(%error, "the right to raise priorities is not restored");
    }
    opened
}

/// Elsewhere there is no such right.
#[cfg(not(target_os = "linux"))]
pub(super) fn without_real_time<T>(open: impl FnOnce() -> T) -> T {
    open()
}
