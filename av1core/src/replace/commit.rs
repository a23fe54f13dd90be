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

use super::disk::{cannot, exchange, is_gone, not_a_file};
use super::identity::{self, Identity};
use super::journal::Entry;
#[cfg(feature = "fault-points")]
use super::journal::injected;
use super::let_go::Aside;
use crate::error::{Error, ErrorKind, Stage};
use crate::names::Kind;
use crate::output::{STRANGER, rename_new};

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
pub(super) enum Why {
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

    pub(super) fn path(&self, name: &super::journal::Name) -> PathBuf {
        self.folder.join(&name.0)
    }

    pub(super) fn source(&self) -> PathBuf {
        self.path(&self.entry.source)
    }

    pub(super) fn target(&self) -> PathBuf {
        self.path(&self.entry.target)
    }

    pub(super) fn staged(&self) -> PathBuf {
        self.path(&self.entry.staged)
    }

    /// Where a revoker puts what lies under the staged name.
    pub(super) fn revoked(&self) -> PathBuf {
        self.folder.join(self.entry.dot_name(Kind::Revoked))
    }

    /// Whether a revoker has taken what lay under the staged name.
    pub(super) fn is_revoked(&self) -> bool {
        !is_gone(&self.revoked())
    }

    /// Whether a revoker has, or had, the replacement in hand: it does the rest, or did.
    pub(super) fn is_taken_over(&self) -> bool {
        let is_the_revoker = self.staged() == self.revoked();
        let journal = self.folder.join(self.entry.dot_name(Kind::Journal));
        !is_the_revoker && (self.is_revoked() || is_gone(&journal))
    }

    fn look(&self) -> Result<Scene, Error> {
        self.look_io().map_err(|e| self.failed(&self.source(), e))
    }

    fn look_io(&self) -> io::Result<Scene> {
        fail_point!("replace::look", |_| Err(injected()));
        if self.is_committed()? {
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

    /// Whether the output has got its name, whatever became of it there since: under the
    /// source's own name that is where the source comes aside from.
    pub(super) fn is_committed(&self) -> io::Result<bool> {
        Ok(self.is_output(&self.target())?
            || (self.entry.is_same_name() && self.find_aside()? == Aside::Source))
    }

    /// Whether the file of this name is the output, whole.
    pub(super) fn is_output(&self, path: &Path) -> io::Result<bool> {
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

    pub(super) fn error(&self, why: Why) -> Error {
        let source = self.source();
        match why {
            Why::SourceChanged => Error::source_changed(&source),
            Why::Stranger => Error::new(
                ErrorKind::OutputExists,
                Stage::Replace,
                &self.target(),
                STRANGER,
            ),
            Why::NoOutput => super::no_output(&source),
        }
    }

    pub(super) fn failed(&self, path: &Path, error: io::Error) -> Error {
        Error::output_io(Stage::Replace, path, error)
    }
}
