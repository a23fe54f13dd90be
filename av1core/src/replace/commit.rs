//! The steps of a replacement after its journal is written. They are the same for a
//! run and for recovery: each begins with a look at what is there, so they may be cut
//! off anywhere and begun again.
//!
//! ```text
//!          source's own name                     another extension
//! before   SOURCE  .staged                       SOURCE  .staged
//! commit   the two names exchanged               .staged renamed to TARGET, which is free
//! after    folder synced, the source is aside    folder synced, SOURCE renamed aside
//!          (under the name `.staged`)            (to the name `.staged`)
//! let go   what lies aside is compared with what the source was; it is removed, or
//!          renamed to SOURCE.bak, or, if somebody wrote to it after all, put back
//! ```
//!
//! Where the file system cannot exchange two names (NFS, SMB, many in user space), the
//! backup is linked or copied first and the output renamed over the source; what is
//! written to the source between the last look and the rename is lost then.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fail::fail_point;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::attributes;
use super::identity::{self, Identity};
use super::journal::Entry;
#[cfg(feature = "fault-points")]
use super::journal::injected;
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

/// What lies under the dot name once the output has its own.
#[derive(Debug, PartialEq, Eq)]
enum Aside {
    Nothing,
    /// The source as it was.
    Source,
    /// The source, which somebody wrote to since.
    Changed,
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
            Scene::Before | Scene::SourceGone => self.commit()?,
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
        let Some(name) = self
            .entry
            .backup
            .as_ref()
            .filter(|_| self.entry.is_same_name())
        else {
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
        // Once more: an encode takes hours.
        let over_source = match self.look()? {
            Scene::Before => self.entry.is_same_name(),
            Scene::SourceGone => false,
            Scene::Committed => return Ok(()),
            Scene::Withdrawn(why) => return Err(self.withdraw_for(why)),
        };
        fail_point!("replace::commit");
        let renamed = if over_source {
            match self.exchange() {
                Err(error) if cannot(&error) => self.rename_over()?,
                exchanged => exchanged,
            }
        } else {
            fail_point!("replace::rename", |_| Err(
                self.failed(&self.target(), injected())
            ));
            rename_new(&self.staged(), &self.target())
        };
        fail_point!("replace::committed");
        let Err(error) = renamed else {
            return Ok(());
        };
        // Network file systems report errors of a rename that happened, and some remove
        // what is in the way and fail then.
        let mut scene = self.look()?;
        if scene == Scene::SourceGone && rename_new(&self.staged(), &self.target()).is_ok() {
            scene = self.look()?;
        }
        match scene {
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

    fn exchange(&self) -> io::Result<()> {
        fail_point!("replace::exchange", |_| Err(
            rustix::io::Errno::NOTSUP.into()
        ));
        exchange(&self.staged(), &self.target())
    }

    /// The commit where names cannot be exchanged.
    fn rename_over(&self) -> Result<io::Result<()>, Error> {
        if let Err(error) = self.keep_backup() {
            self.withdraw()?;
            return Err(error);
        }
        // A backup that is copied takes minutes.
        match self.look()? {
            Scene::Before => {}
            Scene::Committed => return Ok(Ok(())),
            Scene::SourceGone => return Ok(rename_new(&self.staged(), &self.target())),
            Scene::Withdrawn(why) => return Err(self.withdraw_for(why)),
        }
        fail_point!("replace::rename_over", |_| Ok(Err(injected())));
        Ok(fs::rename(self.staged(), self.target()))
    }

    /// What is left to do once the output has its name: the name made durable, and only
    /// then the source let go.
    fn finish(&self) -> Result<(), Error> {
        let synced = (|| {
            fail_point!("replace::sync_folder", |_| Err(injected()));
            output::sync_folder(self.folder)
        })();
        match synced {
            // Over the source without an exchange: either name's file is a good one.
            Err(error) if self.entry.is_same_name() && is_gone(&self.staged()) => {
                tracing::warn!(folder = %self.folder.display(), %error, "folder not synced");
            }
            Err(error) => {
                let error = self.failed(&self.target(), error);
                return Err(self.put_back(error));
            }
            Ok(_) => {}
        }
        fail_point!("replace::synced");
        if let Err(error) = self.take_aside() {
            let error = self.failed(&self.source(), error);
            return Err(self.put_back(error));
        }
        fail_point!("replace::aside");
        match self
            .find_aside()
            .map_err(|e| self.failed(&self.staged(), e))?
        {
            Aside::Nothing => {}
            Aside::Source if self.has_target() => {
                if let Err(error) = self.let_go() {
                    let error = self.failed(&self.staged(), error);
                    return Err(self.put_back(error));
                }
            }
            Aside::Source => return Err(self.put_back(self.error(Why::NoOutput))),
            Aside::Changed => return Err(self.put_back(self.error(Why::SourceChanged))),
        }
        let tidied = remove_if_there(&self.folder.join(self.entry.dot_name(Kind::Copy)))
            .and_then(|()| output::sync_folder(self.folder));
        if let Err(error) = tidied {
            // Recovery removes what stays, with or without a journal.
            tracing::warn!(folder = %self.folder.display(), %error, "not tidied up");
        }
        fail_point!("replace::finished");
        Ok(())
    }

    /// Takes a source of another name aside, so that it is let go under a name that
    /// nobody else writes to.
    fn take_aside(&self) -> io::Result<()> {
        // A rename by links that was cut off leaves the output under both names.
        if self.is_output(&self.staged())? {
            remove_if_there(&self.staged())?;
        }
        let source = self.source();
        if self.entry.is_same_name() || Identity::find(&source)?.is_none() {
            return Ok(());
        }
        rename_new(&source, &self.staged()).or_else(|error| {
            let happened = is_gone(&source) && Identity::find(&self.staged())?.is_some();
            if happened { Ok(()) } else { Err(error) }
        })
    }

    fn find_aside(&self) -> io::Result<Aside> {
        Ok(match Identity::find(&self.staged())? {
            None => Aside::Nothing,
            Some(found) if found.is_same(&self.entry.source_identity) => Aside::Source,
            Some(_) => Aside::Changed,
        })
    }

    /// Whether what the library holds makes the source dispensable: the output; or,
    /// under the source's own name, what somebody has put there since.
    fn has_target(&self) -> bool {
        if self.entry.is_same_name() {
            !is_gone(&self.target())
        } else {
            self.is_output(&self.target()).unwrap_or(false)
        }
    }

    /// Removes the source that lies aside, or gives it its backup's name.
    fn let_go(&self) -> io::Result<()> {
        fail_point!("replace::let_go", |_| Err(injected()));
        let aside = self.staged();
        match &self.entry.backup {
            Some(name) => {
                let backup = self.path(name);
                rename_new(&aside, &backup).or_else(|error| {
                    // As with the commit: it may have happened.
                    let source = &self.entry.source_identity;
                    let kept = Identity::find(&backup).or_else(not_a_file)?;
                    let happened = is_gone(&aside) && kept.is_some_and(|b| b.is_copy(source));
                    if happened { Ok(()) } else { Err(error) }
                })?;
            }
            None => remove_if_there(&aside)?,
        }
        fail_point!("replace::gone");
        Ok(())
    }

    /// Takes back an output that has its name already, and puts the source back. Passes
    /// the reason on, or says why even that failed.
    fn put_back(&self, reason: Error) -> Error {
        fail_point!("replace::put_back");
        let done = || {
            let aside = self.find_aside()?;
            if aside != Aside::Nothing && self.entry.is_same_name() {
                self.exchange_back()?;
            } else if aside != Aside::Nothing {
                rename_new(&self.staged(), &self.source())?;
            }
            if !self.entry.is_same_name()
                && !is_gone(&self.source())
                && self.is_output(&self.target())?
            {
                remove_if_there(&self.target())?;
            }
            Ok(())
        };
        match done() {
            Ok(()) => match self.withdraw() {
                Ok(()) => reason,
                Err(error) => error,
            },
            Err(error) => self.failed(&self.source(), error),
        }
    }

    /// Only an output comes out of the source's name again.
    fn exchange_back(&self) -> io::Result<()> {
        if is_gone(&self.target()) {
            return rename_new(&self.staged(), &self.target());
        }
        if !self.is_output(&self.target())? {
            return Err(io::Error::other("somebody took the name meanwhile"));
        }
        exchange(&self.staged(), &self.target())
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
            self.remove_staged()?;
            output::sync_folder(self.folder).map(|_| ())
        })();
        removed.map_err(|e| self.failed(&self.staged(), e))
    }

    /// Removes the output under its dot name. A source that was taken aside lies there
    /// too, and gets its name back.
    fn remove_staged(&self) -> io::Result<()> {
        let staged = self.staged();
        let Some(found) = Identity::find(&staged)? else {
            return Ok(());
        };
        if found.inode == self.entry.staged_identity.inode || self.is_output(&staged)? {
            if is_gone(&self.source()) {
                // Then this is the only film there is: recovery gives it its name.
                return Err(io::Error::other("the source is gone"));
            }
            return remove_if_there(&staged);
        }
        rename_new(&staged, &self.source())
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
        let both_there = !self.entry.is_same_name()
            && !is_gone(&self.source())
            && self.is_output(&self.target()).unwrap_or(true);
        both_there || !is_gone(&self.staged())
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

/// Certainly not there, as opposed to not found out.
fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound)
}

/// Gives each of two files the other's name, in one step.
fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Whether the file system says that it does not know how.
fn cannot(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
    )
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
