//! Puts a verified output in its source's place, so that at no moment a good file is
//! missing: `Verified -> Replaced`, by a journal with one commit point.
//!
//! | step | what is done | what a killed process leaves, and what recovery makes of it |
//! |---|---|---|
//! | 1 | mode, owner, attributes and times copied to the staged file, which is synced | the source; the staged file is removed |
//! | 2 | journal written and synced | the source; the replacement is carried out |
//! | 3 | the source is opened again and compared | the same |
//! | 4 | **commit**: the output gets its name, by one rename or exchange of names | source or output, whole, under the right name |
//! | 5 | folder synced | the output, and the source |
//! | 6 | the source, aside under a dot name, compared once more and removed, or renamed to `.bak` | the same; the source is let go |
//! | 7 | journal removed | the output |
//!
//! Recovery ([`recover`]) looks at what is there and runs the same steps. It carries a
//! replacement out only where the source is what it was and the output's content is
//! what was verified (a hash in the journal); otherwise it takes the output back.
//!
//! Who waits with step 2 for somebody's permit may lose it: [`revoke`] renames the staged
//! file away, from any process, and brings to its end what was begun.
//!
//! Nothing else in this crate writes to, renames or removes a source.

mod attributes;
mod commit;
mod disk;
mod identity;
mod journal;
mod let_go;
mod recover;
mod restore;
mod revoke;
mod space;
mod withdraw;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fail::fail_point;
use serde::Serialize;

use self::commit::Replacement;
use self::identity::Identity;
use self::journal::{Entry, Journal, Name};
pub use self::recover::{Recovered, Recovery, recover, recover_folder};
pub use self::restore::{Restored, restore};
pub use self::revoke::{Revocation, revoke};
pub(crate) use self::space::free_space;
use crate::container::Container;
use crate::encoded::{Encoded, Report};
use crate::error::{Error, ErrorKind, NotWorthwhile, Result, Stage};
use crate::names::backup_name;
use crate::output::{Destination, folder_of};
use crate::verify::Verified;

/// The place of a source that is to be replaced, and what the source was when the work
/// began. Make it before the source is probed, so that what is replaced is what was
/// looked at.
#[derive(Clone, Debug)]
pub struct InPlace {
    source: PathBuf,
    identity: Identity,
    destination: Destination,
    keep_backup: bool,
}

impl InPlace {
    /// The place of `source`, for an output in `container`. Where the extension does
    /// not fit, the output gets the name with another one (`film.mp4` becomes
    /// `film.mkv`), which has to be free.
    ///
    /// # Errors
    ///
    /// Those of opening the source, a link among them;
    /// [`ErrorKind::OutputExists`] where the new name is taken; those of the folder.
    pub fn of(source: impl AsRef<Path>, container: Container) -> Result<Self> {
        let source = source.as_ref();
        let identity = Identity::of(source).map_err(|error| unreadable(source, error))?;
        let destination = Destination::in_place_of(source, container);
        destination.check(source)?;
        Ok(Self {
            source: source.to_owned(),
            identity,
            destination,
            keep_backup: false,
        })
    }

    /// Whether the source is kept as `NAME.bak` (testing mode). An older backup is
    /// never touched: the next is `NAME.bak.1`.
    #[must_use]
    pub fn keep_backup(mut self, keep: bool) -> Self {
        self.keep_backup = keep;
        self
    }

    /// Where to [`encode`](crate::encode()) to. What is staged there can only be put
    /// in its place by [`replace`].
    #[must_use]
    pub fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Size of the source in bytes.
    #[must_use]
    pub fn source_bytes(&self) -> u64 {
        self.identity.bytes
    }

    fn check_unchanged(&self) -> Result<()> {
        match Identity::find(&self.source) {
            Ok(Some(now)) if now == self.identity => Ok(()),
            Ok(_) => Err(Error::source_changed(&self.source)),
            Err(error) => Err(unreadable(&self.source, error)),
        }
    }
}

/// A source that was replaced.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Replaced {
    /// How the encode went; its output is the file's new name.
    pub report: Report,
    /// Where the source is kept, if it is. In serialized form characters that are not
    /// UTF-8 are replaced.
    #[serde(serialize_with = "lossy")]
    pub backup: Option<PathBuf>,
    /// What of the source's attributes could not be kept, in words.
    pub refused: Vec<String>,
}

impl Replaced {
    /// Where the film lies now: the source's name, or the same with another extension.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.report.output
    }
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn lossy<S: serde::Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => to.serialize_some(&path.to_string_lossy()),
        None => to.serialize_none(),
    }
}

/// Puts a verified output in its source's place.
///
/// # Errors
///
/// [`ErrorKind::SourceChanged`] where the source is not what it was;
/// [`ErrorKind::OutputExists`] where somebody took the new name; those of the file
/// system. The source has its name and nothing else is left on disk then; where even
/// that could not be done, the journal stays for [`recover`] and the message says so.
pub fn replace(verified: Verified, place: &InPlace) -> Result<Replaced> {
    let (encoded, verify_us) = verified.into_encoded();
    if encoded.destination() != &place.destination || encoded.source() != place.source {
        let message = "was encoded for another place than this source's";
        return Err(Error::new(
            ErrorKind::OutputIsSource,
            Stage::Replace,
            &place.source,
            message,
        ));
    }
    check_saving(&encoded, place)?;
    let refused = take_over_attributes(&encoded, place)?;
    place.check_unchanged()?;
    let folder = folder_of(&place.source);
    let entry = entry(&encoded, place)?;
    let journal =
        Journal::write(folder, &entry).map_err(|error| failed(place.destination.path(), error))?;
    fail_point!("replace::journal_synced");
    // The lock on the staged file is held until the end.
    let (staged, _file, report) = encoded.into_parts(verify_us);
    staged.hand_over();
    let replacement = Replacement {
        folder,
        entry: &entry,
        prove_content: false,
    };
    let carried_out = replacement.carry_out();
    close(journal, &replacement, carried_out)?;
    Ok(Replaced {
        report,
        backup: entry.backup.map(|name| folder.join(name.0)),
        refused,
    })
}

/// Removes the journal, unless something is left that recovery has to decide.
fn close(journal: Journal, replacement: &Replacement<'_>, ended: Result<()>) -> Result<()> {
    if replacement.is_revoked() {
        // Without it the one who has the file in hand could not tell what it is.
        if let Err(error) = journal.leave_to(&replacement.revoked()) {
            tracing::warn!(folder = %replacement.folder.display(), %error, "journal not removed");
        }
        return ended;
    }
    if let Err(error) = &ended
        && replacement.is_open()
    {
        return Err(Error::new(
            error.kind(),
            Stage::Replace,
            error.path(),
            format!(
                "the replacement is not over; `av1cli recover {}` brings it to its end ({error})",
                replacement.folder.display()
            ),
        ));
    }
    if let Err(error) = journal.remove(replacement.folder) {
        // Recovery finds that there is nothing left to do.
        tracing::warn!(folder = %replacement.folder.display(), %error, "journal not removed");
    }
    fail_point!("replace::journal_removed");
    ended
}

/// Once more on the real sizes: what the plan was made with may be an older size.
fn check_saving(encoded: &Encoded, place: &InPlace) -> Result<()> {
    let meta = encoded.file().metadata();
    let output_bytes = meta
        .map_err(|error| failed(place.destination.path(), error))?
        .len();
    let most_bytes = match encoded.plan().most_bytes {
        Some(most_bytes) => most_bytes,
        None => return Ok(()),
    };
    if output_bytes <= most_bytes {
        return Ok(());
    }
    let found = NotWorthwhile {
        source_bytes: place.identity.bytes,
        most_bytes,
        least_bytes: output_bytes,
        frames_done: encoded.finished().witness.pictures.ticks.len() as u64,
        finished: true,
        predicted: false,
    };
    Err(Error::not_worthwhile_output(&place.source, found))
}

/// Carries the source's attributes over and makes the staged file durable.
fn take_over_attributes(encoded: &Encoded, place: &InPlace) -> Result<Vec<String>> {
    let source = identity::open(&place.source).map_err(|e| unreadable(&place.source, e))?;
    let synced = || {
        fail_point!("replace::attributes", |_| Err(journal::injected()));
        let refused = attributes::copy(&source, encoded.file())?;
        fail_point!("replace::sync_staged", |_| Err(journal::injected()));
        encoded.file().sync_all()?;
        Ok(refused)
    };
    synced().map_err(|error| failed(place.destination.path(), error))
}

/// What the journal says of this replacement.
fn entry(encoded: &Encoded, place: &InPlace) -> Result<Entry> {
    let staged = encoded.staged();
    let name_of = |path: &Path| {
        path.file_name().map(ToOwned::to_owned).ok_or_else(|| {
            let message = "names no file";
            Error::new(ErrorKind::OutputFolder, Stage::Replace, path, message)
        })
    };
    let source = name_of(&place.source)?;
    let target = name_of(place.destination.path())?;
    let mut entry = Entry::new(staged.token(), (&source, place.identity), &target);
    entry.staged = Name(name_of(staged.path())?);
    let read = || Ok((Identity::of(staged.path())?, identity::hash(staged.path())?));
    (entry.staged_identity, entry.staged_hash) =
        read().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => no_output(&place.source),
            _ => failed(staged.path(), error),
        })?;
    if place.keep_backup {
        let folder = folder_of(&place.source);
        entry.backup = Some(Name(free_backup_name(folder, &source)));
    }
    Ok(entry)
}

fn free_backup_name(folder: &Path, source: &std::ffi::OsStr) -> std::ffi::OsString {
    (0..=u32::MAX)
        .map(|number| backup_name(source, number))
        .find(|name| fs::symlink_metadata(folder.join(name)).is_err())
        .unwrap_or_else(|| backup_name(source, 0))
}

/// The staged file is not there, or not whole: somebody removed it, or revoked it.
fn no_output(source: &Path) -> Error {
    Error::new(
        ErrorKind::OutputIo,
        Stage::Replace,
        source,
        "the encoded file beside it was revoked, is gone or not whole; left as it is",
    )
}

fn failed(path: &Path, error: io::Error) -> Error {
    Error::output_io(Stage::Replace, path, error)
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => {
            return Error::new(ErrorKind::NotFound, Stage::Replace, path, "no such file");
        }
        io::ErrorKind::InvalidInput => (ErrorKind::NotAFile, "cannot be replaced"),
        _ => (ErrorKind::Unreadable, "cannot be read"),
    };
    Error::new(kind, Stage::Replace, path, message).with_io(error)
}
