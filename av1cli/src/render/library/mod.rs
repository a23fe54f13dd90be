//! A library that is being shrunk, from the master's feed: a line for each film that is
//! done, bars for those that run, and what came of it all.

mod bars;
mod told;

use std::collections::BTreeMap;

use av1net::api::{JobView, LiveMessage, Status};
use av1net::units::{JobId, UnixMs};

pub(crate) use self::bars::Bars;
pub(crate) use self::told::{Tally, finished, line};

/// What the feed has told so far: the films that run, the state of all, and which films
/// are done and were not told before.
pub(crate) struct Library {
    /// What ended before is not told: it was by an earlier run.
    began: UnixMs,
    running: BTreeMap<JobId, JobView>,
    status: Status,
    /// When each film ended that was told: one that is tried again ends again.
    told: BTreeMap<JobId, UnixMs>,
}

impl Library {
    pub(crate) fn new(began: UnixMs) -> Self {
        Self {
            began,
            running: BTreeMap::new(),
            status: Status::default(),
            told: BTreeMap::new(),
        }
    }

    /// Takes a message of the feed; the films that ended.
    pub(crate) fn hear(&mut self, message: LiveMessage) -> Vec<JobView> {
        match message {
            LiveMessage::Snapshot(state) => {
                self.status = state.status;
                self.running.clear();
                let mut recent = state.recent;
                recent.reverse();
                let ended = self.take(state.running);
                ended.into_iter().chain(self.take(recent)).collect()
            }
            LiveMessage::Delta(delta) => {
                if let Some(status) = delta.status {
                    self.status = status;
                }
                self.take(delta.jobs)
            }
        }
    }

    /// Takes jobs as they are now; those that ended and were not told.
    pub(crate) fn take(&mut self, jobs: Vec<JobView>) -> Vec<JobView> {
        let mut ended = Vec::new();
        for job in jobs {
            if job.state.is_active() {
                self.running.insert(job.id, job);
                continue;
            }
            self.running.remove(&job.id);
            let is_new = job.changed >= self.began
                && told::is_end(job.state)
                && self.told.insert(job.id, job.changed) != Some(job.changed);
            if is_new {
                ended.push(job);
            }
        }
        ended
    }

    /// The films that run.
    pub(crate) fn running(&self) -> impl Iterator<Item = &JobView> {
        self.running.values()
    }

    /// How everything stands.
    pub(crate) fn status(&self) -> &Status {
        &self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(id: i64, state: &str, changed: i64) -> serde_json::Value {
        json!({
            "id": id, "root": "r", "path": format!("{id}.mkv"), "state": state,
            "status": "Pending", "priority": 0, "bytes": 1, "attempts": 0, "queued": 0,
            "changed": changed,
        })
    }

    fn delta(jobs: &[serde_json::Value]) -> LiveMessage {
        serde_json::from_value(json!({"kind": "delta", "seq": 1, "jobs": jobs})).expect("a delta")
    }

    fn ids(jobs: &[JobView]) -> Vec<i64> {
        jobs.iter().map(|job| job.id.0).collect()
    }

    #[test]
    fn each_end_is_told_once_and_those_of_earlier_runs_never() {
        let mut library = Library::new(UnixMs(100));
        let snapshot = json!({
            "kind": "snapshot", "feed": "f", "seq": 0, "status": {},
            "running": [job(1, "leased", 90)],
            "recent": [job(3, "skipped", 120), job(2, "completed", 110), job(9, "failed", 50)],
            "workers": [],
        });
        let snapshot: LiveMessage = serde_json::from_value(snapshot).expect("a snapshot");
        assert_eq!(ids(&library.hear(snapshot.clone())), [2, 3], "oldest first");
        assert_eq!(library.running().count(), 1);
        assert_eq!(ids(&library.hear(snapshot)), [0; 0]);
        assert_eq!(
            ids(&library.hear(delta(&[job(1, "retry_wait", 130)]))),
            [0; 0]
        );
        assert_eq!(library.running().count(), 0);
        library.hear(delta(&[job(1, "leased", 140)]));
        assert_eq!(ids(&library.hear(delta(&[job(1, "failed", 150)]))), [1]);
        assert_eq!(ids(&library.hear(delta(&[job(1, "failed", 150)]))), [0; 0]);
        assert_eq!(ids(&library.hear(delta(&[job(1, "completed", 160)]))), [1]);
    }
}
