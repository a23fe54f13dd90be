//! How a worker stands with its master, and what is said about it.

use std::time::Duration;

use tokio::time::Instant;

use crate::worker::{Means, WorkerError, WorkerEvent};

/// The log says so often that the master is still away.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// How it stands with the master.
#[derive(Debug, Default)]
pub(super) struct Contact {
    means: Option<Means>,
    was_ever: bool,
    is_known: bool,
    said: Option<Instant>,
}

impl Contact {
    /// There is a connection; whether a master is at its other end is not known yet.
    pub(super) fn up(&mut self, means: Means) {
        if self.means != Some(means) {
            self.is_known = false;
        }
        self.means = Some(means);
    }

    /// The master answered; the first time over a connection this is an event.
    pub(super) fn answered(&mut self) -> Option<WorkerEvent> {
        self.was_ever = true;
        let means = self.means?;
        if std::mem::replace(&mut self.is_known, true) {
            return None;
        }
        tracing::info!(?means, "the master answers");
        Some(WorkerEvent::Connected { means })
    }

    /// The connection is lost, or could not be made. An event, if it was there before.
    ///
    /// # Errors
    ///
    /// What is wrong, where no master ever answered and none will: somebody who has just
    /// typed the command wants to know.
    pub(super) fn lost(
        &mut self,
        error: WorkerError,
        running: usize,
    ) -> Result<Option<WorkerEvent>, WorkerError> {
        if !self.was_ever && !error.is_passing() {
            return Err(error);
        }
        let now = Instant::now();
        let was_known = std::mem::take(&mut self.is_known);
        let is_late = self.said.is_none_or(|said| said + SAY_AGAIN <= now);
        if was_known || is_late {
            self.said = Some(now);
            tracing::warn!(running, "{error}; it is tried again, and what runs goes on");
        }
        let why = error.to_string();
        Ok(was_known.then_some(WorkerEvent::Disconnected { why }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing() -> WorkerError {
        WorkerError::Lost {
            address: "there".to_owned(),
            why: "gone".to_owned(),
        }
    }

    fn lasting() -> WorkerError {
        WorkerError::Protocol {
            what: "nonsense".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_cannot_pass_ends_a_worker_that_never_had_a_master_and_no_other() {
        let mut contact = Contact::default();
        assert_eq!(contact.lost(passing(), 0).expect("waits"), None);
        contact.up(Means::WebSocket);
        assert!(contact.lost(lasting(), 0).is_err(), "nothing was heard yet");
        contact.up(Means::WebSocket);
        assert!(contact.answered().is_some());
        assert_eq!(contact.answered(), None, "once");
        let lost = contact.lost(lasting(), 1).expect("goes on");
        assert!(matches!(lost, Some(WorkerEvent::Disconnected { .. })));
        assert_eq!(contact.lost(passing(), 1).expect("goes on"), None, "once");
        contact.up(Means::Post);
        let means = Means::Post;
        assert_eq!(contact.answered(), Some(WorkerEvent::Connected { means }));
    }
}
