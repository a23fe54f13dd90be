//! tokio, for the commands that need it.

use std::future::Future;

use anyhow::Context;

/// Runs a few calls to a master, one after the other.
pub(super) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the async runtime does not start")?;
    runtime.block_on(work)
}
