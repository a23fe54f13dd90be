//! The end of a scan: what is gone, and whether that is to be believed.

use std::ffi::OsStr;
use std::mem;
use std::os::unix::ffi::OsStrExt;

use super::diff::{BATCH, Diff, identity};
use super::report::{LookAgain, ScanEnd, ScanReport, Suspicious};
use super::{Ledger, Stop, Touched};
use crate::store::{ScanChange, StoreError};
use crate::units::RelPath;

/// So many films may be gone at once without anybody being asked. If they come back, a
/// look at each of them is all that it cost.
const LEAST_SUSPICIOUS: u64 = 100;

impl<L: Ledger> Diff<'_, L> {
    /// Declares gone what is, where that is to be believed, and says what came of it all.
    pub(super) fn end(mut self, stopped: Result<(), Stop>) -> Result<ScanReport, StoreError> {
        let stopped = match stopped {
            Ok(()) => None,
            Err(Stop::Cancelled) => Some(ScanEnd::Cancelled),
            Err(Stop::Store(error)) => return Err(error),
        };
        self.hand_over()?;
        self.report.end = match (stopped, identity(self.root)) {
            (Some(end), _) => end,
            (None, Ok(id)) if id == self.root_id => ScanEnd::Complete,
            (None, Ok(_)) => ScanEnd::RootLost(format!(
                "{} was mounted anew while it was scanned",
                self.root.path.display()
            )),
            (None, Err(why)) => ScanEnd::RootLost(why),
        };
        if self.report.end == ScanEnd::Complete && self.is_believed() {
            let gone = mem::take(&mut self.gone).into_iter();
            let mut gone = gone.map(|(job, was)| ScanChange::Gone { job, was });
            loop {
                let piece: Vec<_> = gone.by_ref().take(BATCH).collect();
                if piece.is_empty() {
                    break;
                }
                self.ledger.write(piece)?;
            }
        }
        self.remember();
        self.report.counts = self.ledger.finish()?;
        Ok(self.report)
    }

    /// Whether what seems to be gone is. A library that was moved around has lost as many
    /// paths as one whose disk is away, but it has as many films as before.
    fn is_believed(&mut self) -> bool {
        let missing = self.gone.len() as u64;
        if missing <= LEAST_SUSPICIOUS || self.options.force {
            return true;
        }
        if !self.is_whole {
            self.report.look_again = Some(LookAgain {
                at: (self.options.now)(),
                touched: Touched::everything(),
            });
            return false;
        }
        let (known, found) = (self.known, self.report.seen.films);
        let is_suspicious = found.saturating_mul(2) < known;
        if is_suspicious {
            self.report.suspicious = Some(Suspicious {
                missing,
                known,
                found,
            });
        }
        !is_suspicious
    }

    fn remember(&mut self) {
        if self.report.end != ScanEnd::Complete {
            self.report.remembered = self.root.remembered.clone();
            return;
        }
        if !self.is_whole {
            return;
        }
        for mount in mem::take(&mut self.lost_mounts) {
            let message = "another file system is usually mounted here, and is not; nothing below \
                           is taken for gone (a forced scan forgets this mount)";
            self.report.trouble(&mount, message.to_owned());
            let path = RelPath::new(OsStr::from_bytes(&mount).as_ref());
            self.report.remembered.mounts.extend(path);
        }
    }
}
