//! How much room there is.

use std::path::Path;

use crate::error::{Error, Result, Stage};
use crate::output::folder_of;

/// Bytes that this process may still write beside `path`.
pub(crate) fn free_space(path: &Path) -> Result<u64> {
    match rustix::fs::statvfs(folder_of(path)) {
        Ok(found) => Ok(found.f_bavail.saturating_mul(found.f_frsize)),
        Err(error) => Err(Error::output_io(Stage::Plan, path, error.into())),
    }
}
