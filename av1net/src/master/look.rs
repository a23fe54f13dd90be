//! A look into one film for a person. It happens in a process of its own: a file that
//! brings a decoder down brings no master down.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::core::Core;
use super::error::ApiError;
use crate::units::JobId;

/// A look into a film's head takes less than a second; a network that is slow, some.
const LONGEST: Duration = Duration::from_secs(30);
/// What `plan --json` prints of a film with hundreds of streams stays far below, and a
/// picture of 1920x1080 has 6 MB before it is packed.
const MOST_BYTES: usize = 16 * 1024 * 1024;

impl Core {
    /// What would become of each stream of a job's file, as `av1cli plan --json` prints.
    ///
    /// # Errors
    ///
    /// 404; 409 where the media directory is not mounted; 422 for a file that cannot be
    /// looked into, with the reason; 504.
    pub async fn plan(&self, id: JobId) -> Result<serde_json::Value, ApiError> {
        let path = self.file_of(id).await?;
        let output = self.look(&["plan", "--json"], &path).await?;
        serde_json::from_slice(&output)
            .map_err(|error| ApiError::new(500, "unexpected", error.to_string()))
    }

    /// Where a job's file lies.
    pub(super) async fn file_of(&self, id: JobId) -> Result<std::path::PathBuf, ApiError> {
        let job = self.0.store.read(move |store| store.job(id)).await?;
        let job = job.ok_or_else(|| ApiError::not_found(format_args!("job {id}")))?;
        let root = self.0.roots.path_of(&job.root).ok_or_else(|| {
            let message = "the media directory is not mounted on the master";
            ApiError::new(409, "root_not_mounted", message)
        })?;
        Ok(job.path.below(&root))
    }

    /// Runs this program with a command on one file; what it printed.
    pub(super) async fn look(
        &self,
        arguments: &[&str],
        path: &std::path::Path,
    ) -> Result<Vec<u8>, ApiError> {
        let _one = self.0.own_children.acquire().await;
        let program = std::env::current_exe().map_err(|error| failed(&error))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg("--")
            .arg(path)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(LONGEST, command.output())
            .await
            .map_err(|_| {
                let message = format!("no answer within {} s", LONGEST.as_secs());
                ApiError::new(504, "timeout", message)
            })?
            .map_err(|error| failed(&error))?;
        // A skip (3) prints its verdict too.
        if output.stdout.is_empty() || output.stdout.len() > MOST_BYTES {
            let told = String::from_utf8_lossy(&output.stderr);
            let last = told.lines().last().unwrap_or("it printed nothing");
            return Err(ApiError::new(422, "unfit", last.to_owned()));
        }
        Ok(output.stdout)
    }
}

fn failed(error: &std::io::Error) -> ApiError {
    ApiError::new(
        500,
        "unexpected",
        format!("the look did not start: {error}"),
    )
}
