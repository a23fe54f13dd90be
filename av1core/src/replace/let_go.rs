//! What becomes of the source: its backup, and its end once the output has its place.

use std::fs;
use std::io;
use std::path::Path;

use fail::fail_point;

use super::attributes;
use super::commit::{Replacement, Why};
use super::disk::{is_gone, not_a_file, remove_if_there};
use super::identity::{self, Identity};
#[cfg(feature = "fault-points")]
use super::journal::injected;
use crate::error::Error;
use crate::names::Kind;
use crate::output::{self, rename_new};

/// What lies under the dot name once the output has its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Aside {
    Nothing,
    /// The source as it was.
    Source,
    /// The source, which somebody wrote to since.
    Changed,
}

impl Replacement<'_> {
    /// Gives the source its second name, where it is to keep one and is about to lose
    /// its own.
    pub(super) fn keep_backup(&self) -> Result<(), Error> {
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
        // Revoked hours ago, perhaps, and another one's output by now.
        let now = Identity::find(&self.source())?;
        if !now.is_some_and(|now| now.is_same(&self.entry.source_identity)) {
            return Err(io::Error::other("the source is no longer what it was"));
        }
        rename_new(&copy, backup)
    }

    /// What is left to do once the output has its name: the name made durable, and only
    /// then the source let go.
    pub(super) fn finish(&self) -> Result<(), Error> {
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
        if self.is_taken_over() {
            return self.taken_over();
        }
        if let Err(error) = self.take_aside() {
            if self.is_taken_over() {
                return self.taken_over();
            }
            let error = self.failed(&self.source(), error);
            return Err(self.put_back(error));
        }
        fail_point!("replace::aside");
        match self
            .find_aside()
            .map_err(|e| self.failed(&self.staged(), e))?
        {
            Aside::Nothing if self.is_taken_over() => return self.taken_over(),
            Aside::Nothing => {}
            Aside::Source if self.has_target() => {
                if let Err(error) = self.let_go() {
                    if self.is_taken_over() {
                        return self.taken_over();
                    }
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

    /// What became of a replacement that a revoker brings to its end.
    fn taken_over(&self) -> Result<(), Error> {
        match self.is_committed() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.error(Why::NoOutput)),
            Err(error) => Err(self.failed(&self.target(), error)),
        }
    }

    /// Takes a source of another name aside, so that it is let go under a name that
    /// nobody else writes to.
    fn take_aside(&self) -> io::Result<()> {
        // A rename by links that was cut off leaves the output under both names.
        if self.is_output(&self.staged())? {
            remove_if_there(&self.staged())?;
        }
        let source = self.source();
        let found = Identity::find(&source)?;
        if self.entry.is_same_name() || found.is_none() {
            return Ok(());
        }
        if Identity::find(&self.staged())? == found {
            return self.drop_second_name(&source);
        }
        rename_new(&source, &self.staged()).or_else(|error| {
            let happened = is_gone(&source) && Identity::find(&self.staged())?.is_some();
            if happened { Ok(()) } else { Err(error) }
        })
    }

    /// A rename by links that was cut off, or is under way in a process that was
    /// revoked, leaves the source under both names.
    fn drop_second_name(&self, source: &Path) -> io::Result<()> {
        let spare = self.folder.join(self.entry.dot_name(Kind::Copy));
        match rename_new(source, &spare) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            renamed => renamed?,
        }
        if Identity::find(&spare)? == Identity::find(&self.staged())? {
            remove_if_there(&spare)
        } else {
            // Somebody's new file, at the last moment.
            rename_new(&spare, source)
        }
    }

    pub(super) fn find_aside(&self) -> io::Result<Aside> {
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
                    // As with the commit: it may have happened, or a revoker did it.
                    let source = &self.entry.source_identity;
                    let kept = Identity::find(&backup).or_else(not_a_file)?;
                    if kept.is_some() && kept == Identity::find(&aside)? {
                        return remove_if_there(&aside);
                    }
                    let happened = is_gone(&aside) && kept.is_some_and(|b| b.is_copy(source));
                    if happened { Ok(()) } else { Err(error) }
                })?;
            }
            None => remove_if_there(&aside)?,
        }
        fail_point!("replace::gone");
        Ok(())
    }
}
