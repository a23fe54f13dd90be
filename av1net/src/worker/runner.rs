//! One run of one task, from its grant to its end: in place, or over HTTP.

#[cfg(test)]
pub(super) mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::orders::{ChildEnd, ChildEvent, ChildOrder, ChildPhase, EncodedFilm};
use super::process::{Conduct, Ending, Process, Step, Told};
use super::ship;
use super::tasks::{Key, RunEnd};
use super::temp::TempFolder;
use crate::client::Client;
use crate::job::{Committed, Failure, Reason, StagedFile};
use crate::proto::{Grant, Phase, TaskEnd, TaskProgress};
use crate::units::{RelPath, RootId};

/// Clearing away after a process that was killed takes this long at the most, before
/// the end is told all the same. It renames and removes a few files in one folder.
const CLEARING: Duration = Duration::from_secs(60);

/// A file system that says nothing for so long is taken for one that is not there: a
/// network mount that is well answers within one of its own repetitions, which nfs(5)
/// has after a few seconds at the most.
pub(crate) const LOOKING: Duration = Duration::from_secs(10);

/// What a run says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RunEvent {
    /// It is in another phase.
    Moved(Phase),
    /// It has new numbers.
    Progress(TaskProgress),
    /// Something the viewer of the result might notice.
    Warning(String),
    /// The media directory is not mounted here any more.
    Unmounted(RootId),
    /// It is over, and its processes are gone.
    Ended(RunEnd),
}

/// Where a film is worked on.
#[derive(Clone)]
pub(crate) enum Place {
    /// Where it lies.
    Here {
        /// Where the media directory is mounted.
        root: PathBuf,
        /// Whether it still is. Blocks for as long as the file system takes to answer.
        is_mounted: Arc<dyn Fn() -> bool + Send + Sync>,
    },
    /// In the temporary directory, by way of HTTP.
    Shipped(Client, TempFolder),
}

/// What a run needs beside its grant.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) grant: Box<Grant>,
    pub(crate) conduct: Conduct,
    /// Threads of the encode; `None`: the encoder's choice.
    pub(crate) threads: Option<u32>,
    pub(crate) events: mpsc::Sender<(Key, RunEvent)>,
}

impl Run {
    pub(crate) fn key(&self) -> Key {
        Key::from(&*self.grant)
    }

    /// Runs the task to its end, which is the last event.
    pub(crate) async fn run(self, place: Place, mut told: mpsc::UnboundedReceiver<Told>) {
        let end = match place {
            Place::Here { root, is_mounted } => {
                if look(is_mounted).await {
                    self.in_place(&root, &mut told).await
                } else {
                    self.tell(RunEvent::Unmounted(self.grant.root.clone()))
                        .await;
                    RunEnd::Stopped
                }
            }
            Place::Shipped(client, temp) => ship::run(&self, client, &temp, &mut told).await,
        };
        self.tell(RunEvent::Ended(end)).await;
    }

    async fn in_place(&self, root: &Path, told: &mut mpsc::UnboundedReceiver<Told>) -> RunEnd {
        let source = self.grant.path.below(root);
        let order = ChildOrder::InPlace {
            source: source.as_path().into(),
            root: Some(root.into()),
            work: self.grant.work.clone(),
            threads: self.threads,
        };
        let (ending, phase) = match self.attend(&order, told).await {
            Ok(ended) => ended,
            Err(failure) => return failed(failure),
        };
        let was_committing = phase == Some(ChildPhase::Committing);
        match ending {
            Ending::Said(ChildEnd::Replaced { film, .. }) => match self.committed(film) {
                Some(committed) => RunEnd::Ended(TaskEnd::Replaced { committed }),
                None => failed(nonsense("replaced a file that it was not asked to")),
            },
            Ending::Said(end) => plain_end(end),
            Ending::Died(failure) => {
                clear(&source).await;
                failed(failure)
            }
            // What became of the film is for the master to find out.
            Ending::Killed if was_committing => {
                clear(&source).await;
                failed(crashed(
                    "killed",
                    "the worker ended the encode in the middle of the replacement",
                ))
            }
            Ending::Killed => {
                clear(&source).await;
                RunEnd::Stopped
            }
        }
    }

    /// Runs a process to its end, and tells what it says. Beside the end comes the phase
    /// that it was last seen in.
    ///
    /// # Errors
    ///
    /// How it failed to start.
    pub(crate) async fn attend(
        &self,
        order: &ChildOrder,
        told: &mut mpsc::UnboundedReceiver<Told>,
    ) -> Result<(Ending, Option<ChildPhase>), Failure> {
        let started = Process::start(&self.conduct, order).await;
        let mut process = started.map_err(|error| Failure {
            reason: reason(
                "no_process",
                format!("the encode's process cannot be started: {error}"),
            ),
            retryable: true,
            crashed: false,
        })?;
        let mut last_phase = None;
        loop {
            let event = match process.next(told).await {
                Step::Event(event) => event,
                Step::Over(ending) => return Ok((ending, last_phase)),
            };
            let event = match event {
                ChildEvent::Asking { key } => RunEvent::Moved(Phase::Asking { key }),
                ChildEvent::Phase { phase } => {
                    last_phase = Some(phase);
                    RunEvent::Moved(named(phase))
                }
                ChildEvent::Progress { progress } => RunEvent::Progress(progress),
                ChildEvent::Warning { message } => RunEvent::Warning(message),
                ChildEvent::Staged { staged } if is_token(&staged) => {
                    RunEvent::Moved(Phase::Staged { staged })
                }
                // It goes into the name of a file that the master renames.
                ChildEvent::Staged { .. } | ChildEvent::Ended { .. } => {
                    return Ok((Ending::Died(nonsense("spoke out of turn")), last_phase));
                }
            };
            self.tell(event).await;
        }
    }

    pub(crate) async fn tell(&self, event: RunEvent) {
        if self.events.send((self.key(), event)).await.is_err() {
            tracing::debug!(task = %self.key(), "nobody listens to a run any more");
        }
    }

    /// The result in the master's words; `None` where it is not beside the source.
    fn committed(&self, film: EncodedFilm) -> Option<Committed> {
        let name = film.path.as_ref().file_name()?;
        let path = RelPath::new(&self.grant.path.as_path().with_file_name(name))?;
        film.path.as_ref().ends_with(path.as_path()).then_some(())?;
        Some(Committed {
            path,
            file: film.file,
            source_bytes: film.source_bytes,
            frames: film.frames,
            elapsed_ms: film.elapsed_ms,
            encoder: film.encoder,
            warnings: film.warnings,
        })
    }
}

/// An end that is the same in place and shipped.
pub(crate) fn plain_end(end: ChildEnd) -> RunEnd {
    match end {
        ChildEnd::LeftAlone { reason, key } => RunEnd::Ended(TaskEnd::LeftAlone { reason, key }),
        ChildEnd::Failed { failure } => failed(failure),
        ChildEnd::Cancelled => RunEnd::Stopped,
        ChildEnd::Replaced { .. } | ChildEnd::Encoded { .. } => {
            failed(nonsense("did something else than it was asked to"))
        }
    }
}

pub(crate) fn failed(failure: Failure) -> RunEnd {
    RunEnd::Ended(TaskEnd::Failed { failure })
}

pub(crate) fn reason(kind: &str, message: impl Into<String>) -> Reason {
    Reason {
        kind: kind.to_owned(),
        message: message.into(),
    }
}

pub(crate) fn crashed(kind: &str, message: &str) -> Failure {
    Failure {
        reason: reason(kind, message),
        retryable: true,
        crashed: true,
    }
}

fn nonsense(what: &str) -> Failure {
    crashed("crashed", &format!("the encode's process {what}"))
}

fn named(phase: ChildPhase) -> Phase {
    match phase {
        ChildPhase::Sampling => Phase::Sampling,
        ChildPhase::Encoding => Phase::Encoding,
        ChildPhase::Verifying => Phase::Verifying,
        ChildPhase::Committing => Phase::Committing,
    }
}

fn is_token(staged: &StagedFile) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    staged.token.len() == 16 && staged.token.bytes().all(is_digit)
}

/// Asks a file system that may never answer.
async fn look(is_mounted: Arc<dyn Fn() -> bool + Send + Sync>) -> bool {
    let looking = tokio::task::spawn_blocking(move || is_mounted());
    matches!(timeout(LOOKING, looking).await, Ok(Ok(true)))
}

/// Brings to its end what a process that is gone was at: what it staged is removed, and
/// a replacement that it had begun carried out or taken back.
async fn clear(source: &Path) {
    let Some(folder) = source.parent().map(Path::to_owned) else {
        return;
    };
    let folder = Arc::new(folder);
    let recovering = tokio::task::spawn_blocking({
        let folder = folder.clone();
        move || av1core::recover_folder(&*folder)
    });
    match timeout(CLEARING, recovering).await {
        Ok(Ok(Ok(recovered))) => {
            for one in recovered {
                tracing::info!(path = %one.path.display(), what = ?one.recovery, "cleared away");
            }
        }
        Ok(Ok(Err(error))) => {
            tracing::warn!(folder = %folder.display(), %error, "nothing was cleared away");
        }
        Ok(Err(error)) => tracing::error!(%error, "clearing away failed"),
        Err(_) => {
            tracing::warn!(folder = %folder.display(), "clearing away takes long, and is not waited for");
        }
    }
}
