//! The way back: an output that is not to be put in its source's place, or must leave
//! it again.

use std::io;
use std::path::Path;

use fail::fail_point;

use super::commit::{Replacement, Why};
use super::disk::{exchange, is_gone, not_a_file, remove_if_there};
use super::identity::Identity;
use super::let_go::Aside;
use crate::error::Error;
use crate::names::Kind;
use crate::output::{self, rename_new};

impl Replacement<'_> {
    /// Takes back an output that has its name already, and puts the source back. Passes
    /// the reason on, or says why even that failed.
    pub(super) fn put_back(&self, reason: Error) -> Error {
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
                self.take_out()?;
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

    /// Removes the output where it has a name beside the source's. Two may be at it, one
    /// of them letting the source go at this very moment: so it leaves its name first,
    /// and is removed when the source has been seen in its own since.
    fn take_out(&self) -> io::Result<()> {
        if self.is_taken_over() {
            return Ok(());
        }
        let (staged, target) = (self.staged(), self.target());
        rename_new(&target, &staged).or_else(|error| {
            let happened = is_gone(&target) && !is_gone(&staged);
            if happened { Ok(()) } else { Err(error) }
        })?;
        fail_point!("replace::taken_out");
        if is_gone(&self.source()) || self.is_taken_over() {
            return rename_new(&staged, &target);
        }
        remove_if_there(&staged)
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

    pub(super) fn withdraw_for(&self, why: Why) -> Error {
        match self.withdraw() {
            Ok(()) => self.error(why),
            Err(error) => error,
        }
    }

    /// Removes what the replacement made. The source has its name.
    pub(super) fn withdraw(&self) -> Result<(), Error> {
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
        let is_output = self.is_output(&staged)?;
        if is_output || found.inode == self.entry.staged_identity.inode {
            let source_is_there = self.source_is_there();
            if !source_is_there && (!is_output || self.is_only_film()) {
                // Recovery gives it its name. An inode's number alone, where the file
                // system may give it to another file (FUSE), could as well be the source's.
                return Err(io::Error::other("the source is gone"));
            }
            return remove_if_there(&staged);
        }
        rename_new(&staged, &self.source())
    }

    /// Whether neither name is known to hold a film. Where the source went and somebody's
    /// file has the other name (another run was quicker), the output is not needed; what
    /// cannot be looked at, or is empty, as the place that a rename without links is about
    /// to fill, is no film.
    pub(super) fn is_only_film(&self) -> bool {
        let target = Identity::find(&self.target());
        let target_is_film = matches!(target, Ok(Some(found)) if found.bytes > 0);
        !self.source_is_there() && !target_is_film
    }

    fn source_is_there(&self) -> bool {
        matches!(Identity::find(&self.source()), Ok(Some(_)))
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
        if self.is_taken_over() {
            return false;
        }
        let both_there = !self.entry.is_same_name()
            && !is_gone(&self.source())
            && self.is_output(&self.target()).unwrap_or(true);
        both_there || !is_gone(&self.staged())
    }
}
