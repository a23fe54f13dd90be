//! Takes the right to replace a source away from a process that may be anywhere in it:
//! stopped, or behind a network that is down, and it may go on at any moment.
//!
//! To commit is to rename the staged file into its place, and to revoke is to rename it
//! away first (`.NAME.<token>.av1revoked`), so exactly one of the two happens. What is
//! in the revoker's hand then says which:
//!
//! ```text
//! in hand       the library holds    so it was          what is done
//! output        source               not committed      the output is removed
//! source        output               committed          the source is let go, as planned
//! nothing       output               committed          the source is let go, as planned
//! output        neither              the source went    the output gets its name
//! source, but written to since       committed, yet     the source is put back
//! ```
//!
//! The journal is read in spite of its lock. A file with no journal was never at its
//! commit: one is written before it, and whoever holds it leaves it as long as a file is
//! in a revoker's hand ([`super::close`]). What both may do at a time, to bring a
//! replacement to its end, deletes a film only out of a name of its own, and only when
//! it has seen the other one in its place since.
//!
//! A process that goes on afterwards finds nothing to rename, and takes back what is its
//! own (a backup half made, the journal).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fail::fail_point;

use super::commit::Replacement;
use super::disk::{is_gone, remove_if_there};
use super::journal::{Journal, Name};
use super::restore::is_our_work;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::names::{self, Kind};
use crate::output::{self, Lock, folder_of, rename_new};

/// What became of a replacement whose right was taken away. None of them can change any
/// more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Revocation {
    /// There is no replacement: the source has its name, and the output is removed.
    Revoked,
    /// It was too late: the output is in the source's place, and the source is let go.
    Committed {
        /// Where the film lies now.
        path: PathBuf,
    },
    /// Nothing was found of it, neither its files nor its output: it failed by itself,
    /// or was revoked before.
    Nothing,
}

/// Takes the right to replace `source` away from whoever staged an output of
/// `output_bytes` bytes under `token` ([`StagedFilm::token`](crate::StagedFilm::token)),
/// on this machine or on another that shares the folder, whether it runs, is stopped or
/// is dead. May be called again, and after a call that was cut off, which
/// [`recover`](crate::recover) brings to its end as well.
///
/// Where the output has its place, it is read whole before the source is let go.
///
/// # Errors
///
/// [`ErrorKind::NotMedia`] for a token that is none; those of the file system, and
/// [`ErrorKind::OutputIo`] where another revocation is at work in the folder. Then it is
/// not known what became of the replacement, a good film has its name, and a later call
/// finds out.
pub fn revoke(source: impl AsRef<Path>, token: &str, output_bytes: u64) -> Result<Revocation> {
    let source = source.as_ref();
    let Some(token) = names::token_of(token) else {
        let message = format!("{token:?} is no token of a staged file");
        return Err(Error::new(
            ErrorKind::NotMedia,
            Stage::Replace,
            source,
            message,
        ));
    };
    match settle(folder_of(source), token)? {
        Settled::Ended(revocation) => Ok(revocation),
        Settled::Nothing => Ok(find_output(source, output_bytes)),
        Settled::InUse => {
            let message = "another revocation is at work in its folder; try again";
            Err(Error::new(
                ErrorKind::OutputIo,
                Stage::Replace,
                source,
                message,
            ))
        }
    }
}

/// The output where nothing tells of its replacement any more.
fn find_output(source: &Path, output_bytes: u64) -> Revocation {
    let names = [Container::Matroska, Container::Mp4].map(|c| c.name_in_place_of(source));
    let has_size = |path: &PathBuf| fs::metadata(path).is_ok_and(|m| m.len() == output_bytes);
    match names
        .into_iter()
        .find(|path| has_size(path) && is_our_work(path))
    {
        Some(path) => Revocation::Committed { path },
        None => Revocation::Nothing,
    }
}

/// What came of looking after a token.
pub(super) enum Settled {
    /// Its replacement is over.
    Ended(Revocation),
    /// There is no file of it.
    Nothing,
    /// Another revocation is at work.
    InUse,
}

/// What there is of a token in a folder.
#[derive(Debug, Default)]
struct Found {
    staged: Option<PathBuf>,
    journal: Option<PathBuf>,
    copy: Option<PathBuf>,
    revoked: Option<PathBuf>,
}

/// A process that goes on while this runs may leave something new once or twice.
const MOST_TURNS: u32 = 8;

/// Brings the replacement of a token to its end, which is the source under its name,
/// unless the output has got its own already.
pub(super) fn settle(folder: &Path, token: u64) -> Result<Settled> {
    let failed = |error| Error::output_io(Stage::Replace, folder, error);
    // Against a second revoker, where folders can be locked (not over NFS).
    let alone = fs::File::open(folder).map_err(failed)?;
    if output::lock(&alone) == Lock::Theirs {
        return Ok(Settled::InUse);
    }
    let mut ended = Settled::Nothing;
    let mut is_left_open = false;
    for _ in 0..MOST_TURNS {
        let found = Found::of(folder, token).map_err(failed)?;
        fail_point!("revoke::found");
        let in_hand = found.revoked.as_deref();
        match (&found, in_hand) {
            (
                Found {
                    staged: Some(staged),
                    ..
                },
                None,
            ) => {
                take(staged).map_err(failed)?;
                fail_point!("revoke::taken");
                // The journal is looked for after that.
                continue;
            }
            (
                Found {
                    journal: Some(_), ..
                },
                None,
            ) if is_left_open => return Ok(ended),
            (
                Found {
                    journal: Some(journal),
                    ..
                },
                _,
            ) => {
                if let Some((revocation, left_open)) = by_journal(folder, journal, in_hand)? {
                    ended = Settled::Ended(revocation);
                    is_left_open = left_open;
                }
            }
            (Found { copy: None, .. }, None) => return Ok(ended),
            // It was never at its commit.
            (Found { copy, .. }, _) => {
                for file in copy.iter().chain(&found.revoked) {
                    remove_if_there(file).map_err(failed)?;
                }
                output::sync_folder(folder).map_err(failed)?;
                if in_hand.is_some() {
                    ended = Settled::Ended(Revocation::Revoked);
                }
            }
        }
    }
    let message = "its replacement goes on and on; stop its process and try again";
    Err(Error::new(
        ErrorKind::OutputIo,
        Stage::Replace,
        folder,
        message,
    ))
}

/// Renames the staged file away. Whoever would rename it into its place now finds
/// nothing.
fn take(staged: &Path) -> io::Result<()> {
    let name = staged
        .file_name()
        .and_then(|name| names::beside(name, Kind::Revoked));
    let revoked = staged.with_file_name(name.unwrap_or_default());
    match fs::rename(staged, &revoked) {
        // Network file systems report errors of a rename that happened.
        Err(_) if !is_gone(&revoked) => Ok(()),
        // Its process was quicker.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        taken => taken,
    }
}

/// Ends a replacement by what its journal says; what became of it, and whether the
/// journal is left to its process. `None` where the journal went just now.
fn by_journal(
    folder: &Path,
    journal: &Path,
    in_hand: Option<&Path>,
) -> Result<Option<(Revocation, bool)>> {
    let failed = |error| Error::output_io(Stage::Replace, journal, error);
    let Some(peeked) = Journal::peek(journal).map_err(failed)? else {
        return Ok(None);
    };
    let token = peeked.entry.as_ref().map(|entry| entry.token);
    let revocation = match peeked.entry {
        Some(mut entry) => {
            entry.staged = Name(entry.dot_name(Kind::Revoked));
            let replacement = Replacement {
                folder,
                entry: &entry,
                prove_content: true,
            };
            replacement.settle()?
        }
        // Nothing had been done yet.
        None => {
            if let Some(in_hand) = in_hand {
                remove_if_there(in_hand).map_err(failed)?;
            }
            Revocation::Revoked
        }
    };
    fail_point!("revoke::settled");
    let now = token
        .map(|token| Found::of(folder, token))
        .transpose()
        .map_err(failed)?;
    if now.is_some_and(|now| now.staged.is_some() || now.revoked.is_some()) {
        // Its process has taken the source aside meanwhile: only the journal tells that.
        return Ok(Some((revocation, false)));
    }
    let lock = match peeked.lock {
        // Asked once more: its process may have ended since, and left the journal to us.
        Lock::Theirs => Journal::peek(journal)
            .map_err(failed)?
            .map_or(Lock::Theirs, |again| again.lock),
        lock => lock,
    };
    // Where nothing was committed its process may have something to take back when it
    // goes on, such as a backup; it, or a recovery, needs the journal for that.
    let is_left_open = revocation == Revocation::Revoked && lock == Lock::Theirs;
    if !is_left_open {
        remove_if_there(journal)
            .and_then(|()| output::sync_folder(folder))
            .map_err(failed)?;
        fail_point!("revoke::closed");
    }
    Ok(Some((revocation, is_left_open)))
}

impl Replacement<'_> {
    /// Ends a replacement whose staged file is in hand, or is not there.
    fn settle(&self) -> Result<Revocation> {
        let failed = |error| self.failed(&self.source(), error);
        if !self.is_committed().map_err(failed)? {
            let is_needed =
                self.is_only_film() && self.is_output(&self.staged()).map_err(failed)?;
            if !is_needed {
                self.withdraw()?;
                return Ok(Revocation::Revoked);
            }
            rename_new(&self.staged(), &self.target()).map_err(failed)?;
        }
        match self.finish() {
            Err(error) if self.is_open() => Err(error),
            // Taken back: somebody wrote to the source, or the folder cannot be synced.
            Err(_) if !self.is_committed().map_err(failed)? => Ok(Revocation::Revoked),
            _ => Ok(Revocation::Committed {
                path: self.target(),
            }),
        }
    }
}

impl Found {
    fn of(folder: &Path, token: u64) -> io::Result<Self> {
        let mut found = Self::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let place = match names::parse(&entry.file_name()) {
                Some((of, kind)) if of == token => match kind {
                    Kind::Staged => &mut found.staged,
                    Kind::Journal => &mut found.journal,
                    Kind::Copy => &mut found.copy,
                    Kind::Revoked => &mut found.revoked,
                },
                _ => continue,
            };
            *place = Some(entry.path());
        }
        Ok(found)
    }
}
