//! The steps of a replacement after its journal is written. They are the same for a
//! run and for recovery: each begins with a look at what is there, so they may be cut
//! off anywhere and begun again.
//!
//! ```text
//!          source's own name                another extension
//! before   SOURCE  .staged                  SOURCE  .staged
//!          (SOURCE.bak linked)
//! commit   rename .staged over SOURCE       rename .staged to TARGET, which is free
//! after    folder synced                    folder synced, SOURCE removed or made .bak
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fail::fail_point;

use super::attributes;
use super::identity::{self, Identity};
#[cfg(feature = "fault-points")]
use super::journal::injected;
use super::journal::Entry;
use crate::error::{Error, ErrorKind, Stage};
use crate::names::Kind;
use crate::output::{self, STRANGER, rename_new};

/// A replacement that is written down, in its folder.
pub(super) struct Replacement<'a> {
    pub(super) folder: &'a Path,
    pub(super) entry: &'a Entry,
    /// The staged file was not seen being written, so its content has to be proved.
    pub(super) prove_content: bool,
}

/// What is there.
#[derive(Debug, PartialEq, Eq)]
enum Scene {
    /// The output waits, and the source is as it was.
    Before,
    /// The output waits, and there is no source and nothing else in its place: a file
    /// system whose rename removes first and then fails, or somebody took it away.
    SourceGone,
    /// The output has its name.
    Committed,
    /// The output is not to be put there.
    Withdrawn(Why),
}

/// Why an output is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    SourceChanged,
    Stranger,
    /// There is no whole output.
    NoOutput,
}

impl Replacement<'_> {
    /// Brings the replacement to its end, or takes it back.
    ///
    /// # Errors
    ///
    /// Why it was taken back; the source is there then, and nothing else, unless
    /// [`Self::is_open`].
    pub(super) fn carry_out(&self) -> Result<(), Error> {
        match self.look()? {
            Scene::Before => {
                if let Err(error) = self.keep_backup() {
                    self.withdraw()?;
                    return Err(error);
                }
                self.commit()?;
            }
            Scene::SourceGone => self.commit()?,
            Scene::Committed => {}
            Scene::Withdrawn(why) => return Err(self.withdraw_for(why)),
        }
        self.finish()
    }

    fn path(&self, name: &super::journal::Name) -> PathBuf {
        self.folder.join(&name.0)
    }

    fn source(&self) -> PathBuf {
        self.path(&self.entry.source)
    }

    fn target(&self) -> PathBuf {
        self.path(&self.entry.target)
    }

    fn staged(&self) -> PathBuf {
        self.path(&self.entry.staged)
    }

    fn look(&self) -> Result<Scene, Error> {
        self.look_io().map_err(|e| self.failed(&self.source(), e))
    }

    fn look_io(&self) -> io::Result<Scene> {
        fail_point!("replace::look", |_| Err(injected()));
        if self.is_output(&self.target())? {
            return Ok(Scene::Committed);
        }
        let source = Identity::find(&self.source())?;
        let is_source = source.is_some_and(|s| s.is_same(&self.entry.source_identity));
        let target_is_free =
            self.entry.is_same_name() || fs::symlink_metadata(self.target()).is_err();
        Ok(match source {
            _ if !self.is_output(&self.staged())? => Scene::Withdrawn(Why::NoOutput),
            Some(_) if !is_source => Scene::Withdrawn(Why::SourceChanged),
            _ if !target_is_free => Scene::Withdrawn(Why::Stranger),
            Some(_) => Scene::Before,
            None => Scene::SourceGone,
        })
    }

    /// Whether the file of this name is the output, whole.
    fn is_output(&self, path: &Path) -> io::Result<bool> {
        let Some(found) = Identity::find(path).or_else(not_a_file)? else {
            return Ok(false);
        };
        if found.bytes != self.entry.staged_identity.bytes {
            return Ok(false);
        }
        if !self.prove_content && found.is_same(&self.entry.staged_identity) {
            return Ok(true);
        }
        Ok(identity::hash(path)? == self.entry.staged_hash)
    }

    /// Gives the source its second name, where it is to keep one and is about to lose
    /// its own.
    fn keep_backup(&self) -> Result<(), Error> {
        let Some(name) = self.entry.backup.as_ref().filter(|_| self.entry.is_same_name()) else {
            return Ok(());
        };
        let backup = self.path(name);
        let kept = (|| {
            fail_point!("replace::backup", |_| Err(injected()));
            match fs::hard_link(self.source(), &backup) {
                Ok(()) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // Of an earlier try, or somebody was quicker.
                    let found = Identity::find(&backup).or_else(not_a_file)?;
                    match found {
                        Some(found) if found.is_copy(&self.entry.source_identity) => Ok(()),
                        _ => Err(error),
                    }
                }
                Err(_) => self.copy_backup(&backup),
            }
        })();
        kept.map_err(|e| self.failed(&backup, e))?;
        output::sync_folder(self.folder).map_err(|e| self.failed(&backup, e))?;
        fail_point!("replace::backed_up");
        Ok(())
    }

    /// A copy, for file systems without hard links.
    fn copy_backup(&self, backup: &Path) -> io::Result<()> {
        let copy = self.folder.join(self.entry.dot_name(Kind::Copy));
        remove_if_there(&copy)?;
        let mut from = identity::open(&self.source())?;
        let mut to = fs::File::create_new(&copy)?;
        output::lock(&to);
        io::copy(&mut from, &mut to)?;
        attributes::copy(&from, &to)?;
        to.sync_all()?;
        fail_point!("replace::backup_copied");
        if identity::hash(&copy)? != identity::hash(&self.source())? {
            return Err(io::Error::other("the copy is not the same"));
        }
        rename_new(&copy, backup)
    }

    /// The one step after which the output is what the library holds.
    fn commit(&self) -> Result<(), Error> {
        fail_point!("replace::last_look");
        // Once more: an encode takes hours, and a backup may take minutes.
        let over_source = match self.look()? {
            Scene::Before => self.entry.is_same_name(),
            Scene::SourceGone => false,
            Scene::Committed => return Ok(()),
            Scene::Withdrawn(why) => return Err(self.withdraw_for(why)),
        };
        fail_point!("replace::commit");
        let renamed = (|| {
            fail_point!("replace::rename", |_| Err(injected()));
            if over_source {
                fs::rename(self.staged(), self.target())
            } else {
                rename_new(&self.staged(), &self.target())
            }
        })();
        fail_point!("replace::committed");
        let Err(error) = renamed else {
            return Ok(());
        };
        // Network file systems report errors of a rename that happened.
        match self.look()? {
            Scene::Committed => Ok(()),
            Scene::Withdrawn(why) => Err(self.withdraw_for(why)),
            Scene::Before => {
                self.withdraw()?;
                Err(self.failed(&self.target(), error))
            }
            // Kept for recovery: the output is the only one there is.
            Scene::SourceGone => Err(self.failed(&self.target(), error)),
        }
    }

    /// What is left to do once the output has its name.
    fn finish(&self) -> Result<(), Error> {
        if let Err(error) = self.settle() {
            if self.entry.is_same_name() {
                // Either name that a crash leaves is a good file's.
                tracing::warn!(%error, "folder not synced");
            } else {
                if self.source_is_there() {
                    self.take_back().map_err(|e| self.failed(&self.target(), e))?;
                }
                return Err(error);
            }
        }
        // Recovery removes what stays, with or without a journal.
        let tidied = remove_if_there(&self.staged())
            .and_then(|()| remove_if_there(&self.folder.join(self.entry.dot_name(Kind::Copy))))
            .and_then(|()| output::sync_folder(self.folder));
        if let Err(error) = tidied {
            tracing::warn!(folder = %self.folder.display(), %error, "not tidied up");
        }
        fail_point!("replace::finished");
        Ok(())
    }

    /// Makes the output's name durable, and only then lets the source go.
    fn settle(&self) -> Result<(), Error> {
        let synced = (|| {
            fail_point!("replace::sync_folder", |_| Err(injected()));
            output::sync_folder(self.folder)
        })();
        synced.map_err(|e| self.failed(&self.target(), e))?;
        fail_point!("replace::synced");
        if self.entry.is_same_name() {
            return Ok(());
        }
        let source = self.source();
        match Identity::find(&source).map_err(|e| self.failed(&source, e))? {
            None => return Ok(()),
            Some(found) if !found.is_same(&self.entry.source_identity) => {
                return Err(self.error(Why::SourceChanged));
            }
            Some(_) => {}
        }
        fail_point!("replace::let_go");
        let gone = match &self.entry.backup {
            Some(name) => self.rename_to_backup(&self.path(name)),
            None => remove_if_there(&source),
        };
        gone.map_err(|e| self.failed(&source, e))?;
        fail_point!("replace::gone");
        Ok(())
    }

    fn rename_to_backup(&self, backup: &Path) -> io::Result<()> {
        let source = self.source();
        // Cut off between the two steps of a rename by link: both names are one file.
        if let Some(found) = Identity::find(backup).or_else(not_a_file)?
            && found == Identity::of(&source)?
        {
            return remove_if_there(&source);
        }
        rename_new(&source, backup).or_else(|error| {
            // As with the commit: it may have happened.
            let happened = Identity::find(&source)?.is_none()
                && Identity::find(backup)?.is_some_and(|b| b.is_copy(&self.entry.source_identity));
            if happened { Ok(()) } else { Err(error) }
        })
    }

    fn source_is_there(&self) -> bool {
        matches!(Identity::find(&self.source()), Ok(Some(_)))
    }

    /// Takes an output back that has its name already, beside a source that is there.
    fn take_back(&self) -> io::Result<()> {
        if self.is_output(&self.target())? {
            remove_if_there(&self.target())?;
        }
        remove_if_there(&self.staged())?;
        output::sync_folder(self.folder).map(|_| ())
    }

    fn withdraw_for(&self, why: Why) -> Error {
        match self.withdraw() {
            Ok(()) => self.error(why),
            Err(error) => error,
        }
    }

    /// Removes what the replacement made. The source has its name.
    fn withdraw(&self) -> Result<(), Error> {
        fail_point!("replace::withdraw");
        let backup = self.entry.backup.as_ref().map(|name| self.path(name));
        let removed = (|| {
            if let Some(backup) = backup.filter(|_| self.entry.is_same_name()) {
                self.remove_backup(&backup)?;
            }
            remove_if_there(&self.folder.join(self.entry.dot_name(Kind::Copy)))?;
            remove_if_there(&self.staged())?;
            output::sync_folder(self.folder).map(|_| ())
        })();
        removed.map_err(|e| self.failed(&self.staged(), e))
    }

    /// Removes the backup where it is this replacement's and the source has its name.
    fn remove_backup(&self, backup: &Path) -> io::Result<()> {
        let (Some(found), Some(source)) = (
            Identity::find(backup).or_else(not_a_file)?,
            Identity::find(&self.source())?,
        ) else {
            return Ok(());
        };
        let same_file = found == source;
        let copy_of_source = found.is_copy(&source) && source.is_same(&self.entry.source_identity);
        if same_file || copy_of_source {
            remove_if_there(backup)?;
        }
        Ok(())
    }

    /// Whether there is, or may be, something left for a later recovery.
    pub(super) fn is_open(&self) -> bool {
        let is_gone = |path: PathBuf| {
            fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
        };
        let both_there = !self.entry.is_same_name()
            && !is_gone(self.source())
            && self.is_output(&self.target()).unwrap_or(true);
        both_there || !is_gone(self.staged())
    }

    fn error(&self, why: Why) -> Error {
        let source = self.source();
        match why {
            Why::SourceChanged => Error::source_changed(&source),
            Why::Stranger => Error::new(
                ErrorKind::OutputExists,
                Stage::Replace,
                &self.target(),
                STRANGER,
            ),
            Why::NoOutput => Error::new(
                ErrorKind::OutputIo,
                Stage::Replace,
                &source,
                "the encoded file beside it is gone or not whole; left as it is",
            ),
        }
    }

    fn failed(&self, path: &Path, error: io::Error) -> Error {
        Error::output_io(Stage::Replace, path, error)
    }
}

/// What is no regular file (`InvalidInput`, see [`Identity::of`]) is nobody's output.
fn not_a_file(error: io::Error) -> io::Result<Option<Identity>> {
    match error.kind() {
        io::ErrorKind::InvalidInput => Ok(None),
        _ => Err(error),
    }
}

/// Removes a file. Nothing there is as good, also where an error was reported first.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => match fs::symlink_metadata(path) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        },
    }
}
