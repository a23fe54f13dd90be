//! The calls of the HTTP API, by name.

use std::fmt::Write as _;

use super::{Client, ClientError};
use crate::api::{
    ActionResult, ConfigView, JobDetail, JobsAction, JobsPage, JoinView, SavedView, ScanRequest,
    SessionView, Status, WorkerView,
};
use crate::proto::WorkerSettings;
use crate::store::PageQuery;
use crate::units::{JobId, WorkerId};

impl Client {
    /// How everything stands.
    ///
    /// # Errors
    ///
    /// [`ClientError`], as of every call here.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/api/v1/status").await
    }

    /// A page of the jobs.
    pub async fn jobs(&self, query: &PageQuery) -> Result<JobsPage, ClientError> {
        self.get(&format!("/api/v1/jobs{}", query_of(query))).await
    }

    /// All of one job.
    pub async fn job(&self, id: JobId) -> Result<JobDetail, ClientError> {
        self.get(&format!("/api/v1/jobs/{id}")).await
    }

    /// Does something with jobs.
    pub async fn act(&self, action: &JobsAction) -> Result<ActionResult, ClientError> {
        self.post("/api/v1/jobs/actions", action).await
    }

    /// Every worker.
    pub async fn workers(&self) -> Result<Vec<WorkerView>, ClientError> {
        self.get("/api/v1/workers").await
    }

    /// Sets a worker.
    pub async fn set_worker(
        &self,
        id: &WorkerId,
        settings: &WorkerSettings,
    ) -> Result<WorkerView, ClientError> {
        let path = format!("/api/v1/workers/{}/settings", encoded(&id.0));
        self.post(&path, settings).await
    }

    /// Asks for a scan.
    pub async fn scan(&self, request: &ScanRequest) -> Result<(), ClientError> {
        self.tell("/api/v1/scan", request).await
    }

    /// Pauses all workers, or lets them go on.
    pub async fn set_paused(&self, paused: bool) -> Result<(), ClientError> {
        let path = if paused {
            "/api/v1/pause"
        } else {
            "/api/v1/resume"
        };
        self.tell(path, &serde_json::json!({})).await
    }

    /// The configuration.
    pub async fn config(&self) -> Result<ConfigView, ClientError> {
        self.get("/api/v1/config").await
    }

    /// How a worker joins.
    pub async fn join(&self) -> Result<JoinView, ClientError> {
        self.get("/api/v1/join").await
    }

    /// What was saved by day.
    pub async fn saved(&self) -> Result<SavedView, ClientError> {
        self.get("/api/v1/saved").await
    }

    /// Who the caller is to the master.
    pub async fn session(&self) -> Result<SessionView, ClientError> {
        self.get("/api/v1/session").await
    }
}

/// A page's query as the API takes it: several states with commas, names as in JSON.
pub(crate) fn query_of(query: &PageQuery) -> String {
    let mut text = String::new();
    let mut add = |name: &str, value: &str| {
        let sign = if text.is_empty() { '?' } else { '&' };
        // Writing to a string cannot fail.
        let _ = write!(text, "{sign}{name}={}", encoded(value));
    };
    let filter = &query.filter;
    if !filter.states.is_empty() {
        let names: Vec<_> = filter.states.iter().map(|state| state.name()).collect();
        add("state", &names.join(","));
    }
    if let Some(search) = &filter.search {
        add("search", search);
    }
    if let Some(reason) = &filter.reason {
        add("reason", reason);
    }
    if let Some(root) = &filter.root {
        add("root", &root.0);
    }
    if let Ok(serde_json::Value::String(sort)) = serde_json::to_value(query.sort) {
        add("sort", &sort);
    }
    if query.descending {
        add("desc", "true");
    }
    if let Some(after) = &query.after {
        add("after", &after.0);
    }
    if query.limit > 0 {
        add("limit", &query.limit.to_string());
    }
    text
}

/// Text as part of a path or query: all but RFC 3986's unreserved characters, and the
/// comma, which parts the states, become `%HH`.
fn encoded(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~,".contains(&byte) {
            safe.push(char::from(byte));
        } else {
            let _ = write!(safe, "%{byte:02X}");
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::JobState;
    use crate::store::{Cursor, Filter, SortBy};
    use crate::units::RootId;

    #[test]
    fn a_query_holds_what_is_asked_and_no_more() {
        assert_eq!(query_of(&PageQuery::default()), "?sort=changed");
        let query = PageQuery {
            filter: Filter {
                states: vec![JobState::Failed, JobState::RetryWait],
                root: Some(RootId("a1".to_owned())),
                search: Some("Tränen & 100 %".to_owned()),
                reason: Some("disk_full".to_owned()),
            },
            sort: SortBy::Path,
            descending: true,
            after: Some(Cursor("x=".to_owned())),
            limit: 50,
        };
        assert_eq!(
            query_of(&query),
            "?state=failed,retry_wait&search=Tr%C3%A4nen%20%26%20100%20%25&reason=disk_full\
             &root=a1&sort=path&desc=true&after=x%3D&limit=50"
        );
    }
}
