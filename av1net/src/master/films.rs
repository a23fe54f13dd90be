//! Films that go over HTTP: where a worker does not reach a media directory, it fetches
//! the source and returns the output, and the master puts that in its place by the same
//! verified replacement.

use std::path::PathBuf;

use super::core::Core;
use super::error::ApiError;
use crate::job::{Job, JobState};
use crate::units::{Epoch, JobId, RelPath};

impl Core {
    /// The source of a lease, for its holder to fetch: where its media directory lies, and
    /// its path below that.
    ///
    /// # Errors
    ///
    /// 409 where the epoch is not the lease's, 503 where the root is not mounted.
    pub async fn source_of(
        &self,
        job: JobId,
        epoch: Epoch,
    ) -> Result<(PathBuf, RelPath), ApiError> {
        let job = self.leased(job, epoch)?;
        let root = self.0.roots.path_of(&job.root).ok_or_else(|| {
            let message = "the media directory is not mounted on the master; try again later";
            ApiError::new(503, "root_not_mounted", message)
        })?;
        Ok((root, job.path))
    }

    pub(super) fn leased(&self, job: JobId, epoch: Epoch) -> Result<Job, ApiError> {
        let state = self.state();
        let active = state.active.get(&job);
        active
            .filter(|a| a.job.epoch == epoch && a.job.state == JobState::Leased && !a.adopting)
            .map(|a| a.job.clone())
            .ok_or_else(|| ApiError::stale_epoch(format_args!("job {job}, epoch {epoch}")))
    }

    /// Where the pieces of a lease's output are collected.
    #[must_use]
    pub fn incoming_folder(&self, job: JobId, epoch: Epoch) -> PathBuf {
        let name = format!("{job}.{epoch}");
        self.incoming().join(name)
    }

    pub(super) fn incoming(&self) -> PathBuf {
        self.0.state_directory.join("incoming")
    }
}
