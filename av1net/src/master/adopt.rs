//! Outputs that came over HTTP: a child process of the master's decodes output and
//! source, compares them, and replaces by the same permit as any worker's. No lease runs
//! out meanwhile; a master that is restarted finds the output where it was, and begins
//! again.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::core::Core;
use super::disk::relative;
use super::error::ApiError;
use crate::job::{Committed, Failure, Job, JobEvent, JobState, Reason};
use crate::lease::lost;
use crate::units::{DiskPath, Epoch, JobId};
use crate::worker::orders::{ChildCommand, ChildEnd, ChildEvent, ChildOrder, EncodedFilm};

/// The name of an output that is whole, in its lease's folder.
const WHOLE: &str = "whole";
/// How often it is looked whether the job still wants it.
const LOOK: Duration = Duration::from_millis(500);

impl Core {
    /// A lease's output is here, whole and as its hash says. Returns when that is
    /// durable; what follows happens in the background.
    ///
    /// # Errors
    ///
    /// 409 where the lease is gone, 507 and 500 where the disk refuses.
    pub async fn delivered(
        &self,
        job: JobId,
        epoch: Epoch,
        file: PathBuf,
        bytes: u64,
    ) -> Result<(), ApiError> {
        let job = self.leased(job, epoch)?;
        let folder = self.incoming_folder(job.id, epoch);
        let whole = folder.join(self.whole_name());
        let keep = move || {
            let output = std::fs::File::open(&file)?;
            output.sync_all()?;
            std::fs::rename(&file, &whole)?;
            std::fs::File::open(&folder)?.sync_all()
        };
        tokio::task::spawn_blocking(keep)
            .await
            .map_err(|error| ApiError::new(500, "unexpected", error.to_string()))?
            .map_err(|error| ApiError::new(500, "output_io", error.to_string()))?;
        tracing::info!(job = %job.id, bytes, "an output was delivered");
        self.adopt_soon(job);
        Ok(())
    }

    fn whole_name(&self) -> String {
        let container = self.settings().work.options.container;
        let extension = match container {
            av1core::Container::Mp4 => "mp4",
            _ => "mkv",
        };
        format!("{WHOLE}.{extension}")
    }

    /// The output of a lease that was delivered, if it was.
    fn whole(&self, job: &Job) -> Option<PathBuf> {
        let folder = self.incoming_folder(job.id, job.epoch);
        let entries = std::fs::read_dir(folder).ok()?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.find(|path| path.file_stem().is_some_and(|stem| stem == WHOLE))
    }

    /// Takes up what a master before this one had been given.
    pub(super) fn adopt_what_is_here(&self) {
        let leased: Vec<Job> = {
            let state = self.state();
            let active = state.active.values();
            active.map(|active| active.job.clone()).collect()
        };
        for job in &leased {
            if job.state == JobState::Leased && self.whole(job).is_some() {
                self.adopt_soon(job.clone());
            }
        }
        let is_wanted = |name: &str| {
            leased
                .iter()
                .any(|j| name == format!("{}.{}", j.id, j.epoch))
        };
        let folders = std::fs::read_dir(self.incoming()).into_iter().flatten();
        for folder in folders.filter_map(Result::ok) {
            if !folder.file_name().to_str().is_some_and(is_wanted) {
                remove(&folder.path());
            }
        }
    }

    /// Puts a delivered output in its place, in the background.
    pub(super) fn adopt_soon(&self, job: Job) {
        {
            let mut state = self.state();
            match state.active.get_mut(&job.id) {
                Some(active) if active.job.epoch == job.epoch && !active.adopting => {
                    active.adopting = true;
                }
                _ => return,
            }
        }
        self.0.live.touch_job(job.id);
        let core = self.clone();
        tokio::spawn(async move {
            let event = core.adopt(&job).await;
            if let Some(event) = event
                && let Err(error) = core.apply(job.id, Some(job.epoch), vec![event]).await
            {
                // Cancelled meanwhile, or the store fails: the lease runs out then.
                tracing::warn!(job = %job.id, %error, "what came of an adoption is not kept");
            }
            if let Some(active) = core.state().active.get_mut(&job.id)
                && active.job.epoch == job.epoch
            {
                active.adopting = false;
            }
            remove(&core.incoming_folder(job.id, job.epoch));
        });
    }

    /// What came of it; `None` where the job no longer wants it.
    async fn adopt(&self, job: &Job) -> Option<JobEvent> {
        // Nobody closes the semaphore.
        let _one = self.0.own_children.acquire().await.ok()?;
        let (Some(file), Some(root)) = (self.whole(job), self.0.roots.path_of(&job.root)) else {
            return Some(failed(
                "delivery",
                "the output or the media directory is gone",
            ));
        };
        let order = ChildOrder::Adopt {
            source: DiskPath::from(job.path.below(&root)),
            file: DiskPath::from(file),
            root: Some(DiskPath::from(root.clone())),
            work: self.settings().work.clone(),
        };
        match Adopter::start(&order).await {
            Ok(adopter) => self.follow(job, adopter, &root).await,
            Err(error) => Some(failed("adoption", &error.to_string())),
        }
    }

    async fn follow(&self, job: &Job, mut adopter: Adopter, root: &Path) -> Option<JobEvent> {
        let mut committing = false;
        loop {
            let event = tokio::select! {
                event = adopter.next() => event,
                () = tokio::time::sleep(LOOK), if !committing => {
                    if !self.holds(job) {
                        return None;
                    }
                    continue;
                }
            };
            match event {
                Some(ChildEvent::Staged { staged }) => {
                    let events = vec![JobEvent::Staged { staged }, JobEvent::Permit];
                    if let Err(error) = self.apply(job.id, Some(job.epoch), events).await {
                        tracing::warn!(job = %job.id, %error, "no permit");
                        return None;
                    }
                    committing = true;
                    adopter.say(&ChildCommand::Commit).await;
                }
                Some(ChildEvent::Asking { .. }) => adopter.say(&ChildCommand::Proceed).await,
                Some(ChildEvent::Ended { end }) => return outcome(end, committing, root),
                Some(_) => {}
                None if committing => {
                    return Some(lost("crashed", "the replacement's process died"));
                }
                None => return Some(failed("crashed", "the comparison's process died")),
            }
        }
    }

    fn holds(&self, job: &Job) -> bool {
        let state = self.state();
        let active = state.active.get(&job.id);
        active.is_some_and(|active| active.job.epoch == job.epoch)
    }
}

fn outcome(end: ChildEnd, committing: bool, root: &Path) -> Option<JobEvent> {
    Some(match end {
        ChildEnd::Replaced { film, .. } => match committed(film, root) {
            Some(committed) => JobEvent::Committed { committed },
            None => lost("unexpected", "the output lies outside its media directory"),
        },
        ChildEnd::LeftAlone { reason, .. } => JobEvent::LeaveAlone { reason },
        ChildEnd::Failed { failure } if committing => JobEvent::LeaseLost {
            reason: failure.reason,
        },
        ChildEnd::Failed { failure } => JobEvent::AttemptFailed { failure },
        ChildEnd::Encoded { .. } | ChildEnd::Cancelled => return None,
    })
}

/// What a child tells of a replacement, as the store keeps it.
fn committed(film: EncodedFilm, root: &Path) -> Option<Committed> {
    Some(Committed {
        path: relative(film.path.as_ref(), root)?,
        file: film.file,
        source_bytes: film.source_bytes,
        frames: film.frames,
        elapsed_ms: film.elapsed_ms,
        encoder: film.encoder,
        warnings: film.warnings,
    })
}

fn failed(kind: &str, message: &str) -> JobEvent {
    JobEvent::AttemptFailed {
        failure: Failure {
            reason: Reason {
                kind: kind.to_owned(),
                message: message.to_owned(),
            },
            retryable: true,
            crashed: false,
        },
    }
}

fn remove(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "not removed");
    }
}

/// The child process; killed when dropped, which leaves the source as it was.
struct Adopter {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Adopter {
    async fn start(order: &ChildOrder) -> std::io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("encode-child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let gone = || std::io::Error::other("a pipe is missing");
        let input = child.stdin.take().ok_or_else(gone)?;
        let output = child.stdout.take().ok_or_else(gone)?;
        let mut adopter = Self {
            _child: child,
            input,
            output: BufReader::new(output).lines(),
        };
        adopter.line(order).await?;
        Ok(adopter)
    }

    async fn line(&mut self, value: &impl serde::Serialize) -> std::io::Result<()> {
        let mut line = serde_json::to_string(value)?;
        line.push('\n');
        self.input.write_all(line.as_bytes()).await?;
        self.input.flush().await
    }

    /// Who does not listen any more has ended, which `next` tells.
    async fn say(&mut self, command: &ChildCommand) {
        if let Err(error) = self.line(command).await {
            tracing::debug!(%error, "the child does not listen");
        }
    }

    /// `None` where it ended without a word, or says something that is not understood.
    async fn next(&mut self) -> Option<ChildEvent> {
        let line = self.output.next_line().await.ok()??;
        serde_json::from_str(&line).ok()
    }
}
