//! The master's API, as a stranger would speak it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::until;

/// A way to the API with a token.
#[derive(Clone)]
pub(crate) struct Api {
    agent: ureq::Agent,
    base: String,
    token: String,
}

impl Api {
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(20)))
            .http_status_as_error(false)
            .build();
        Self {
            agent: config.into(),
            base: format!("http://{address}/api/v1"),
            token: token.to_owned(),
        }
    }

    /// `None` where the master does not answer.
    pub(crate) fn try_get(&self, path: &str) -> Option<Value> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let bearer = format!("Bearer {}", self.token);
        let mut response = request.header("authorization", bearer).call().ok()?;
        (response.status() == 200).then(|| response.body_mut().read_json().expect("JSON"))
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.try_get(path)
            .unwrap_or_else(|| panic!("no answer to {path}"))
    }

    /// The status, and what came with it.
    pub(crate) fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.agent.post(format!("{}{path}", self.base));
        let bearer = format!("Bearer {}", self.token);
        let response = request.header("authorization", bearer).send_json(body);
        let mut response = response.expect("an answer");
        let status = response.status().as_u16();
        (
            status,
            response.body_mut().read_json().unwrap_or(Value::Null),
        )
    }

    /// Every job.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let page = self.try_get("/jobs?limit=500&sort=path");
        page.map(|page| page["jobs"].as_array().expect("jobs").clone())
            .unwrap_or_default()
    }

    /// The job of a file, by its path below the root.
    pub(crate) fn job(&self, path: &str) -> Option<Value> {
        self.jobs().into_iter().find(|job| job["path"] == path)
    }

    /// Waits until a file's job is in one of these states.
    #[track_caller]
    pub(crate) fn await_job(&self, path: &str, states: &[&str]) -> Value {
        until(&format!("{path} is {states:?}"), || {
            self.job(path)
                .filter(|job| states.iter().any(|state| job["state"] == *state))
        })
    }

    /// Waits until every job has ended, one way or another; there are `count`.
    #[track_caller]
    pub(crate) fn await_all(&self, count: usize) -> Vec<Value> {
        const ENDED: [&str; 5] = ["completed", "skipped", "failed", "cancelled", "quarantined"];
        until("all jobs have ended", || {
            let jobs = self.jobs();
            let ended = jobs
                .iter()
                .filter(|job| ENDED.iter().any(|state| job["state"] == *state));
            (ended.count() == count).then_some(jobs)
        })
    }

    #[track_caller]
    pub(crate) fn act(&self, action: &str, job: &Value) -> Value {
        let body = json!({"action": action, "ids": [job["id"]]});
        let (status, result) = self.post("/jobs/actions", &body);
        assert_eq!(status, 200, "{result}");
        result
    }

    /// The worker of this name.
    pub(crate) fn worker(&self, name: &str) -> Option<Value> {
        let workers = self.try_get("/workers")?;
        let workers = workers.as_array()?;
        workers
            .iter()
            .find(|worker| worker["name"] == name)
            .cloned()
    }

    /// Waits until a worker is in one of these states.
    #[track_caller]
    pub(crate) fn await_worker(&self, name: &str, states: &[&str]) -> Value {
        until(&format!("{name} is {states:?}"), || {
            self.worker(name)
                .filter(|worker| states.iter().any(|state| worker["state"] == *state))
        })
    }
}
