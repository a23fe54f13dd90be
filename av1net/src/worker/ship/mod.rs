//! A film over HTTP: the source is fetched, encoded, and the output returned; the master
//! does the replacement.
//!
//! ```text
//! GET  source        Range, If-Range   ->  the bytes, from wherever the last try ended
//! GET  source-hash                     ->  what they have to be
//!                    (encode)
//! GET  result                          ->  how much the master has
//! PUT  result?offset=&total=           ->  a piece, hashed; how much the master has
//! POST finish        {bytes, blake3}   ->  the master has it whole
//! ```
//!
//! A connection may break at any byte, and the master start anew: each request begins
//! with what the other side has. A lease that is gone (409) ends it.

mod call;
mod deliver;
mod fetch;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io;
use std::path::Path;

use tokio::sync::mpsc;

use self::call::{Films, Trouble};
use super::orders::{ChildEnd, ChildOrder};
use super::process::{Ending, Told};
use super::runner::{Run, failed, plain_end, reason};
use super::tasks::RunEnd;
use super::temp::TempFolder;
use crate::client::Client;
use crate::job::Failure;
use crate::proto::TaskEnd;

/// Runs a task whose film comes and goes over HTTP.
pub(crate) async fn run(
    run: &Run,
    client: Client,
    temp: &TempFolder,
    told: &mut mpsc::UnboundedReceiver<Told>,
) -> RunEnd {
    let key = run.key();
    let folder = match temp.make_for(key) {
        Ok(folder) => folder,
        Err(error) => return failed(temp_failed(temp.path(), &error)),
    };
    let films = Films::new(client, key);
    let end = shipped(run, &films, &folder, told).await;
    if let Err(error) = temp.remove(key) {
        tracing::warn!(folder = %folder.display(), %error, "a film's temporary files stay");
    }
    end
}

async fn shipped(
    run: &Run,
    films: &Films,
    folder: &Path,
    told: &mut mpsc::UnboundedReceiver<Told>,
) -> RunEnd {
    let source = folder.join(with_extension_of("source", run.grant.path.as_path()));
    let container = run.grant.work.options.container;
    let output = folder.join(container.name_in_place_of(Path::new("output")));
    let fetching = fetch::fetch(run, films, &source);
    if let Err(end) = unless_stopped(fetching, told).await {
        return end.in_folder(folder);
    }
    let order = ChildOrder::Fetched {
        source: source.as_path().into(),
        output: output.as_path().into(),
        work: run.grant.work.clone(),
        threads: run.threads,
    };
    match run.attend(&order, told).await {
        Ok((Ending::Said(ChildEnd::Encoded { .. }), _)) => {}
        Ok((Ending::Said(end), _)) => return plain_end(end),
        Ok((Ending::Died(failure), _)) | Err(failure) => return failed(failure),
        Ok((Ending::Killed, _)) => return RunEnd::Stopped,
    }
    // Space for the films of others: it is not needed any more.
    if let Err(error) = std::fs::remove_file(&source) {
        tracing::debug!(source = %source.display(), %error, "the fetched source stays for now");
    }
    match unless_stopped(deliver::deliver(run, films, &output), told).await {
        Ok(()) => RunEnd::Ended(TaskEnd::Delivered),
        Err(end) => end.in_folder(folder),
    }
}

/// Why a film does not go on.
enum NoMore {
    /// It was told to stop.
    Stopped,
    /// It cannot.
    Trouble(Trouble),
}

impl NoMore {
    fn in_folder(self, folder: &Path) -> RunEnd {
        match self {
            // The lease is gone: nobody waits for more.
            Self::Stopped | Self::Trouble(Trouble::Stale) => RunEnd::Stopped,
            Self::Trouble(Trouble::Disk(error)) => failed(temp_failed(folder, &error)),
            Self::Trouble(Trouble::Failed(failure)) => failed(failure),
            Self::Trouble(Trouble::Passing { message, .. }) => failed(Failure {
                reason: reason("network", message),
                retryable: true,
                crashed: false,
            }),
        }
    }
}

/// Does `work` unless it is told to stop. Answers are not for it: nothing was asked.
async fn unless_stopped(
    work: impl Future<Output = Result<(), Trouble>>,
    told: &mut mpsc::UnboundedReceiver<Told>,
) -> Result<(), NoMore> {
    let stopped = async {
        while let Some(Told::Answer(answer)) = told.recv().await {
            tracing::debug!(?answer, "nothing was asked");
        }
    };
    tokio::select! {
        done = work => done.map_err(NoMore::Trouble),
        () = stopped => Err(NoMore::Stopped),
    }
}

fn temp_failed(folder: &Path, error: &io::Error) -> Failure {
    let is_full = matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    );
    let kind = if is_full { "disk_full" } else { "output_io" };
    let todo = if is_full {
        "make room there, or name another `temp_directory`"
    } else {
        "see to it that the worker may write there, or name another `temp_directory`"
    };
    let folder = folder.display();
    Failure {
        reason: reason(kind, format!("{folder} (temporary files): {error}; {todo}")),
        retryable: true,
        crashed: false,
    }
}

/// `name` with the extension of `like`, which tells the engine what it reads or writes.
fn with_extension_of(name: &str, like: &Path) -> std::ffi::OsString {
    let mut whole = OsStr::new(name).to_owned();
    if let Some(extension) = like.extension() {
        whole.push(".");
        whole.push(extension);
    }
    whole
}
