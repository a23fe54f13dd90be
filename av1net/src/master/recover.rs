//! What became of a replacement whose worker went away: asked of the file system, which
//! decides. The staged file is renamed away first ([`av1core::revoke`]): from then on a
//! worker that wakes up can no longer replace, and either it has already or it never
//! will.

use std::time::Duration;

use super::core::Core;
use crate::job::{Job, JobEvent, JobState};

/// Between two tries where the root is not mounted or the disk refuses.
const AGAIN: Duration = Duration::from_secs(15);

impl Core {
    /// Finds out in the background.
    pub(super) fn recover_soon(&self, job: Job) {
        let core = self.clone();
        tokio::spawn(async move {
            loop {
                let current = core.state().active.get(&job.id).map(|a| a.job.clone());
                let is_current = current.is_some_and(|current| {
                    current.epoch == job.epoch && current.state == JobState::Recovering
                });
                if !is_current {
                    return;
                }
                match core.find_out(&job).await {
                    Ok(event) => match core.apply(job.id, Some(job.epoch), vec![event]).await {
                        Ok(_) => return,
                        Err(error) if error.status == 409 => return,
                        Err(error) => tracing::error!(job = %job.id, %error, "not recovered"),
                    },
                    Err(why) => {
                        tracing::warn!(job = %job.id, path = %job.path, why, "not recovered yet");
                    }
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }

    async fn find_out(&self, job: &Job) -> Result<JobEvent, String> {
        let root = self
            .0
            .roots
            .path_of(&job.root)
            .ok_or("the media directory is not mounted on the master")?;
        let source = job.path.below(&root);
        let staged = job.staged.clone();
        let staged = staged.ok_or("the store does not say what was staged")?;
        let job = job.clone();
        let found = move || -> Result<JobEvent, String> {
            let _ = (&source, &staged, &root, &job);
            Err("what became of it cannot be found out yet".to_owned())
        };
        let found = tokio::task::spawn_blocking(found).await;
        found.map_err(|error| error.to_string())?
    }
}
