//! What became of a replacement whose worker went away: asked of the file system, which
//! decides. The staged file is renamed away first ([`av1core::revoke`]): from then on a
//! worker that wakes up can no longer replace, and either it has already or it never
//! will.

use std::path::PathBuf;
use std::time::Duration;

use av1core::Revocation;

use super::core::Core;
use super::disk::{file_id, relative};
use crate::job::{Committed, Job, JobEvent, JobState};

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
        let found = move || {
            let revocation = av1core::revoke(&source, &staged.token, staged.bytes);
            let revocation = revocation.map_err(|error| error.to_string())?;
            event_of(&job, &root, revocation)
        };
        let found = tokio::task::spawn_blocking(found).await;
        found.map_err(|error| error.to_string())?
    }
}

fn event_of(job: &Job, root: &std::path::Path, found: Revocation) -> Result<JobEvent, String> {
    let path: PathBuf = match found {
        Revocation::Committed { path } => path,
        Revocation::Revoked | Revocation::Nothing => return Ok(JobEvent::NotCommitted),
        _ => return Err("the engine found something that this version does not know".to_owned()),
    };
    let file = file_id(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let relative = relative(&path, root).ok_or("the output lies outside its media directory")?;
    Ok(JobEvent::Committed {
        committed: Committed {
            path: relative,
            file,
            source_bytes: job.file.bytes,
            // What the worker would have told went with it.
            frames: 0,
            elapsed_ms: 0,
            encoder: String::new(),
            warnings: Vec::new(),
        },
    })
}
