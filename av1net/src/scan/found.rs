//! A film that was found or missed, against what is known of it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::diff::Diff;
use super::folder::{Facts, Film, is_absence};
use super::rules::{Verdict, may_pass, not_taken};
use super::{Ledger, Stop};
use crate::job::{FileId, JobState, Reason};
use crate::store::{ScanChange, ScanRow};
use crate::units::RelPath;

impl<L: Ledger> Diff<'_, L> {
    /// A film was found; `row` is what is known of it.
    pub(super) fn seen(
        &mut self,
        path: &[u8],
        film: &Film,
        excluded: Option<&[u8]>,
        row: Option<&ScanRow>,
    ) -> Result<(), Stop> {
        self.report.seen.films += 1;
        let facts = match &film.facts {
            Ok(facts) => *facts,
            Err(error) => {
                self.report.unsure += u64::from(row.is_some());
                self.report.trouble(path, error.to_string());
                return Ok(());
            }
        };
        self.report.seen.bytes += facts.file.bytes;
        match row {
            None => self.unknown_film(path, (film, &facts), excluded),
            Some(row) => self.known_film(path, (film, &facts), excluded, row),
        }
    }

    fn unknown_film(
        &mut self,
        path: &[u8],
        film: (&Film, &Facts),
        excluded: Option<&[u8]>,
    ) -> Result<(), Stop> {
        let Some(path) = RelPath::new(OsStr::from_bytes(path).as_ref()) else {
            return Ok(());
        };
        let leave_alone = match self.verdict(path.as_bytes(), film, excluded) {
            Verdict::Wait(at) => {
                self.report.look_again(path, at);
                return Ok(());
            }
            Verdict::Take => None,
            Verdict::LeaveAlone(reason) => Some(reason),
        };
        let file = film.1.file;
        self.change(ScanChange::New {
            path,
            file,
            leave_alone,
        })
    }

    fn known_film(
        &mut self,
        path: &[u8],
        film: (&Film, &Facts),
        excluded: Option<&[u8]>,
        row: &ScanRow,
    ) -> Result<(), Stop> {
        let is_same = row.file.is_same_content(&film.1.file);
        let reason = row.reason.as_deref();
        // What is at work is its worker's, who looks for himself.
        let may_change = !row.state.is_active()
            && match row.state {
                JobState::Pending | JobState::RetryWait | JobState::Vanished => true,
                JobState::Skipped => !is_same || reason.is_some_and(may_pass),
                _ => !is_same,
            };
        if !may_change {
            return Ok(());
        }
        let leave_alone = match self.verdict(path, film, excluded) {
            // What is queued as it is stays queued.
            Verdict::Wait(_) if is_same && row.state != JobState::Skipped => return Ok(()),
            Verdict::Wait(at) => {
                self.report.look_again(row.path.clone(), at);
                return Ok(());
            }
            Verdict::Take => None,
            Verdict::LeaveAlone(reason) => Some(reason),
        };
        let is_news = match (row.state, &leave_alone) {
            _ if !is_same => true,
            (JobState::Pending | JobState::RetryWait, None) => false,
            (JobState::Skipped, Some(now)) => reason != Some(&now.kind),
            _ => true,
        };
        if !is_news {
            return Ok(());
        }
        self.change(changed(row, film.1.file, leave_alone))
    }

    fn verdict(&mut self, path: &[u8], film: (&Film, &Facts), excluded: Option<&[u8]>) -> Verdict {
        let now = (self.options.now)();
        self.judge
            .verdict(&self.options.rules, path, film, excluded, now)
    }

    /// A known film was not met where it should have been.
    pub(super) fn missed(&mut self, row: &ScanRow) -> Result<(), Stop> {
        if row.state == JobState::Vanished || row.state.is_active() {
            return Ok(());
        }
        let path = row.path.as_bytes();
        let is_below = |prefix: &Option<Vec<u8>>| {
            prefix
                .as_ref()
                .is_some_and(|prefix| path.starts_with(prefix))
        };
        if is_below(&self.unknown) || self.is_below_lost_mount(path) {
            self.report.unsure += 1;
            return Ok(());
        }
        if is_below(&self.skipped) {
            self.gone.push((row.job, row.file));
            return Ok(());
        }
        match fs::symlink_metadata(row.path.below(&self.root.path)) {
            Err(error) if is_absence(&error) => self.gone.push((row.job, row.file)),
            Err(error) => {
                self.report.unsure += 1;
                self.report.trouble(path, error.to_string());
            }
            Ok(meta) if meta.is_dir() => self.gone.push((row.job, row.file)),
            // It came back, or was renamed to this, since its folder was listed.
            Ok(_) if self.options.rules.names.is_film_path(path) => {}
            // It is there, and no longer one of those that are scanned.
            Ok(_) => {
                if matches!(row.state, JobState::Pending | JobState::RetryWait) {
                    return self.change(changed(row, row.file, Some(not_taken())));
                }
            }
        }
        Ok(())
    }

    fn is_below_lost_mount(&self, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        !self.lost_mounts.is_empty()
            && ends
                .into_iter()
                .any(|(end, _)| self.lost_mounts.contains(&path[..end]))
    }
}

fn changed(row: &ScanRow, file: FileId, leave_alone: Option<Reason>) -> ScanChange {
    let (job, was) = (row.job, row.file);
    ScanChange::Changed {
        job,
        was,
        file,
        leave_alone,
    }
}
