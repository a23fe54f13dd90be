//! The description of the API is held against the table of routes and against what the
//! types really become.

use std::collections::BTreeSet;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Port, watched};
use crate::api::*;
use crate::http::api::OPENAPI;
use crate::http::route::{Access, table};
use crate::job::{Committed, ContractStatus, Failure, FileId, JobState, Reason, StagedFile};
use crate::proto::*;
use crate::store::{Attempt, Filter, SavedDay, SortBy};
use crate::units::{Epoch, JobId, RelPath, RootId, SessionId, TaskId, UnixMs, WorkerId};

fn description() -> Value {
    serde_json::from_str(OPENAPI).expect("JSON")
}

#[test]
fn every_route_is_described_and_nothing_else() {
    let description = description();
    let paths = description["paths"].as_object().expect("paths");
    let described: BTreeSet<(String, String)> = paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods");
            methods
                .keys()
                .map(|method| (path.clone(), method.to_uppercase()))
        })
        .collect();
    let served: BTreeSet<(String, String)> = table()
        .iter()
        .map(|row| (row.path.to_owned(), row.method.to_string()))
        .collect();
    assert_eq!(described, served);
    let mut names = BTreeSet::new();
    for row in table() {
        let call = &paths[row.path][row.method.as_str().to_lowercase()];
        let who = match row.access {
            Access::All | Access::Probe => "all",
            Access::Read => "read",
            Access::Admin => "admin",
            Access::Worker => "worker",
        };
        assert_eq!(call["tags"], json!([who]), "{}", row.path);
        assert_eq!(call["security"] == json!([]), who == "all", "{}", row.path);
        assert_eq!(
            call.get("x-websocket").is_some(),
            row.socket,
            "{}",
            row.path
        );
        let in_path = call["parameters"].as_array().into_iter().flatten();
        let in_path = in_path.filter(|parameter| parameter["in"] == "path");
        let described: Vec<_> = in_path
            .map(|p| format!("{{{}}}", p["name"].as_str().expect("a name")))
            .collect();
        let written: Vec<_> = row
            .path
            .split('/')
            .filter(|part| part.starts_with('{'))
            .collect();
        assert_eq!(described, written, "{}", row.path);
        assert!(names.insert(call["operationId"].as_str().expect("a name").to_owned()));
    }
}

#[test]
fn it_is_served_to_everybody() {
    watched(async {
        let port = Port::open().await;
        let answer = port.get("/api/v1/openapi.json").send().await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json::<Value>(), description());
        port.close().await;
    });
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(object) => {
                for (key, value) in object {
                    match value {
                        Value::String(text) if key == "$ref" => found.push(text),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let description = description();
    let mut found = Vec::new();
    references(&description, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        let pointer = reference.strip_prefix('#').expect("within the document");
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

/// Holds values against schemas, and keeps in mind which properties it has seen.
struct Validator {
    schemas: Map<String, Value>,
    seen: BTreeSet<(String, String)>,
}

impl Validator {
    fn new() -> Self {
        let description = description();
        let schemas = description["components"]["schemas"].as_object();
        Self {
            schemas: schemas.expect("schemas").clone(),
            seen: BTreeSet::new(),
        }
    }

    fn resolve(&self, schema: &Value) -> (String, Value) {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return (String::new(), schema.clone());
        };
        let name = reference.rsplit('/').next().expect("a name").to_owned();
        let schema = self.schemas[&name].clone();
        (name, schema)
    }

    /// The properties that a schema knows of this value, if the value is what it says.
    fn check(&mut self, schema: &Value, value: &Value) -> Result<BTreeSet<String>, String> {
        let (name, schema) = self.resolve(schema);
        let wrong = |what: &str| Err(format!("{name}: {what}: {value} by {schema}"));
        if let Some(kinds) = schema.get("type") {
            let is = |kind: &Value| match kind.as_str().expect("text") {
                "null" => value.is_null(),
                "string" => value.is_string(),
                "integer" => value.is_i64() || value.is_u64(),
                "number" => value.is_number(),
                "boolean" => value.is_boolean(),
                "array" => value.is_array(),
                "object" => value.is_object(),
                other => panic!("{other}"),
            };
            let fits = match kinds {
                Value::Array(kinds) => kinds.iter().any(is),
                kind => is(kind),
            };
            if !fits {
                return wrong("another type");
            }
        }
        if schema.get("const").is_some_and(|only| only != value) {
            return wrong("another constant");
        }
        if let Some(Value::Array(allowed)) = schema.get("enum")
            && !allowed.contains(value)
        {
            return wrong("none of the names");
        }
        if schema
            .get("minimum")
            .is_some_and(|least| value.is_i64() && value.as_i64() < least.as_i64())
        {
            return wrong("too small");
        }
        for item in value.as_array().into_iter().flatten() {
            let items = schema.get("items").unwrap_or(&Value::Null);
            self.closed(items, item)?;
        }
        let mut known = BTreeSet::new();
        for part in schema
            .get("allOf")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            known.extend(self.check(part, value)?);
        }
        for choice in ["oneOf", "anyOf"] {
            let Some(Value::Array(choices)) = schema.get(choice) else {
                continue;
            };
            let mut fitting = Vec::new();
            let mut why = Vec::new();
            for schema in choices {
                match self.check(schema, value) {
                    Ok(known) => fitting.push(known),
                    Err(error) => why.push(error),
                }
            }
            if fitting.len() != 1 {
                return wrong(&format!(
                    "{} of {choice} fit ({})",
                    fitting.len(),
                    why.join("; ")
                ));
            }
            known.extend(fitting.remove(0));
        }
        if let Value::Object(object) = value {
            known.extend(self.object(&name, &schema, object)?);
        }
        Ok(known)
    }

    fn object(
        &mut self,
        name: &str,
        schema: &Value,
        object: &Map<String, Value>,
    ) -> Result<BTreeSet<String>, String> {
        for required in schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            let required = required.as_str().expect("text");
            if !object.contains_key(required) {
                return Err(format!("{name}: `{required}` is missing"));
            }
        }
        let mut known = BTreeSet::new();
        let properties = schema.get("properties").and_then(Value::as_object);
        for (key, value) in object {
            if let Some(schema) = properties.and_then(|all| all.get(key)) {
                self.closed(schema, value)?;
                known.insert(key.clone());
                if !value.is_null() {
                    self.seen.insert((name.to_owned(), key.clone()));
                }
                continue;
            }
            match schema.get("additionalProperties") {
                Some(Value::Bool(true)) => {}
                Some(values) => {
                    self.closed(&schema["propertyNames"], &Value::String(key.clone()))?;
                    self.closed(values, value)?;
                }
                None => continue,
            }
            known.insert(key.clone());
        }
        Ok(known)
    }

    /// The value is what the schema says, and has nothing that it does not tell of.
    fn closed(&mut self, schema: &Value, value: &Value) -> Result<(), String> {
        let known = self.check(schema, value)?;
        for key in value.as_object().into_iter().flatten().map(|(key, _)| key) {
            if !known.contains(key) {
                return Err(format!("`{key}` of {value} is not described"));
            }
        }
        Ok(())
    }

    fn hold<T: Serialize>(&mut self, name: &str, value: &T) {
        let value = serde_json::to_value(value).expect("JSON");
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        if let Err(error) = self.closed(&schema, &value) {
            panic!("{name}: {error}");
        }
    }
}

fn root() -> RootId {
    RootId("r1".to_owned())
}

fn worker() -> WorkerId {
    WorkerId("w1".to_owned())
}

fn path() -> RelPath {
    RelPath::parse("a/film.mkv").expect("below")
}

fn reason() -> Reason {
    Reason {
        kind: "disk_full".to_owned(),
        message: "no space".to_owned(),
    }
}

fn progress() -> TaskProgress {
    TaskProgress {
        frames_total: Some(1),
        projected_bytes: Some(1),
        eta_ms: Some(1),
        ..TaskProgress::default()
    }
}

fn settings() -> WorkerSettings {
    WorkerSettings {
        paused: true,
        draining: true,
        slots: Some(1),
        threads: Some(1),
        niceness: Some(1),
        schedule: Some(vec!["22:00-06:00".to_owned()]),
    }
}

fn job(state: JobState) -> JobView {
    JobView {
        id: JobId(7),
        root: root(),
        path: path(),
        state,
        status: state.contract(),
        priority: -1,
        bytes: 1,
        source_bytes: Some(2),
        saved_bytes: Some(-1),
        attempts: 1,
        worker: Some(worker()),
        worker_name: Some("one".to_owned()),
        reason: Some(reason()),
        retry_at: Some(UnixMs(1)),
        queued: UnixMs(1),
        changed: UnixMs(1),
        frames: Some(1),
        encoder: Some("SVT-AV1".to_owned()),
        phase: Some("encoding".to_owned()),
        progress: Some(progress()),
    }
}

const WORKER_STATES: [WorkerState; 6] = [
    WorkerState::Idle,
    WorkerState::Processing,
    WorkerState::Offline,
    WorkerState::Draining,
    WorkerState::Paused,
    WorkerState::OutsideHours,
];

fn worker_view(state: WorkerState) -> WorkerView {
    WorkerView {
        id: worker(),
        name: "one".to_owned(),
        state,
        version: "0.1.0".to_owned(),
        encoder: Some("SVT-AV1".to_owned()),
        warnings: vec!["old".to_owned()],
        slots: 1,
        load: Load::default(),
        history: vec![(1.0, 2.5)],
        last_seen: UnixMs(1),
        mounted: vec![root()],
        jobs: vec![JobId(7)],
        fps: 1.5,
        failures: 1,
        settings: settings(),
    }
}

fn status() -> Status {
    let notice = |level| Notice {
        kind: "auth_none".to_owned(),
        level,
        message: "open".to_owned(),
    };
    let contract = [
        ContractStatus::Pending,
        ContractStatus::Processing,
        ContractStatus::Completed,
        ContractStatus::Failed,
    ];
    Status {
        jobs: JobState::ALL.into_iter().map(|state| (state, 1)).collect(),
        contract: contract
            .into_iter()
            .map(|status| (format!("{status:?}"), 1))
            .collect(),
        workers: WORKER_STATES.into_iter().map(|state| (state, 1)).collect(),
        eta_ms: Some(1),
        saved_bytes: -1,
        roots: vec![RootView {
            id: Some(root()),
            path: "/films".to_owned(),
            mounted: true,
            problem: Some("none".to_owned()),
            scanning_files: Some(1),
            scanned: Some(UnixMs(1)),
            look_again: Some(UnixMs(1)),
        }],
        notices: [NoticeLevel::Info, NoticeLevel::Warning, NoticeLevel::Error]
            .map(notice)
            .into(),
        ..Status::default()
    }
}

fn reports() -> WorkerReport {
    let phases = [
        Phase::Starting,
        Phase::Asking {
            key: "k".to_owned(),
        },
        Phase::Sampling,
        Phase::Encoding,
        Phase::Verifying,
        Phase::Staged {
            staged: StagedFile {
                token: "0123456789abcdef".to_owned(),
                bytes: 1,
            },
        },
        Phase::Committing,
        Phase::Delivering {
            sent_bytes: 1,
            total_bytes: 2,
        },
    ];
    let ends = [
        TaskEnd::Replaced {
            committed: Committed {
                path: path(),
                file: FileId {
                    bytes: 1,
                    modified_ns: 1,
                    inode: 1,
                },
                source_bytes: 2,
                frames: 1,
                elapsed_ms: 1,
                encoder: "SVT-AV1".to_owned(),
                warnings: vec!["w".to_owned()],
            },
        },
        TaskEnd::Delivered,
        TaskEnd::LeftAlone {
            reason: reason(),
            key: Some("k".to_owned()),
        },
        TaskEnd::Failed {
            failure: Failure {
                reason: reason(),
                retryable: true,
                crashed: false,
            },
        },
        TaskEnd::HandedBack,
    ];
    let ends = ends.into_iter().map(|end| Phase::Ended { end });
    let task = |phase| TaskReport {
        task: JobId(7).into(),
        epoch: Epoch(3),
        phase,
        progress: Some(progress()),
    };
    WorkerReport {
        protocol: PROTOCOL,
        worker: worker(),
        session: SessionId("s1".to_owned()),
        sequence: 1,
        name: "one".to_owned(),
        version: "0.1.0".to_owned(),
        encoder: Some("SVT-AV1".to_owned()),
        warnings: vec!["old".to_owned()],
        slots: 1,
        mode: WorkerMode::Running,
        load: Load::default(),
        mounted: vec![root()],
        ships: true,
        tasks: phases.into_iter().chain(ends).map(task).collect(),
    }
}

fn reply() -> MasterReply {
    let task = TaskId::from(JobId(7));
    let epoch = Epoch(3);
    let orders = [
        OrderKind::Continue,
        OrderKind::Proceed,
        OrderKind::Decided { reason: reason() },
        OrderKind::Commit,
        OrderKind::Revoke,
        OrderKind::Forget,
    ];
    MasterReply {
        protocol: PROTOCOL,
        next_sync_ms: 10_000,
        orders: orders.map(|kind| Order { task, epoch, kind }).into(),
        grants: vec![Grant {
            task,
            epoch,
            root: root(),
            path: path(),
            bytes: 1,
            ship: true,
            work: WorkSettings {
                min_bytes: Some(1),
                min_duration_s: Some(1),
                min_millibits_per_pixel: Some(1),
                exclude: vec!["*.bak".to_owned()],
                predict_from_s: Some(1),
                settle_s: Some(1),
                ..WorkSettings::default()
            },
        }],
        roots: vec![RootInfo {
            id: root(),
            path: "/films".to_owned(),
        }],
        settings: settings(),
    }
}

fn hold_lists(validator: &mut Validator) {
    let jobs: Vec<JobView> = JobState::ALL.into_iter().map(job).collect();
    let attempt = Attempt {
        job: JobId(7),
        epoch: Epoch(3),
        worker: worker(),
        started: UnixMs(1),
        ended: Some(UnixMs(2)),
        outcome: Some(JobState::Failed),
        reason: Some(reason()),
        source_bytes: 2,
        output_bytes: Some(1),
        encoder: Some("SVT-AV1".to_owned()),
    };
    validator.hold(
        "JobDetail",
        &JobDetail {
            job: job(JobState::Pending),
            root_path: Some("/films".to_owned()),
            attempts: vec![attempt],
            warnings: vec!["w".to_owned()],
        },
    );
    let workers: Vec<WorkerView> = WORKER_STATES.into_iter().map(worker_view).collect();
    let snapshot = LiveMessage::Snapshot(Box::new(LiveState {
        feed: "f".to_owned(),
        seq: 1,
        status: status(),
        running: jobs.clone(),
        recent: jobs.clone(),
        workers: workers.clone(),
    }));
    let delta = LiveMessage::Delta(Box::new(LiveDelta {
        seq: 2,
        status: Some(status()),
        jobs: jobs.clone(),
        workers,
    }));
    validator.hold("LiveMessage", &snapshot);
    validator.hold("LiveMessage", &delta);
    validator.hold("Status", &Status::default());
    validator.hold(
        "JobsPage",
        &JobsPage {
            jobs,
            next: Some("c".to_owned()),
            total: Some(1),
        },
    );
    let days = vec![SavedDay {
        day: UnixMs(1),
        saved_bytes: -1,
        completed: 1,
    }];
    validator.hold("SavedView", &SavedView { days });
    let points = vec![ThroughputPoint {
        at: UnixMs(1),
        fps: 1.5,
        speed: 1.0,
    }];
    validator.hold("ThroughputView", &ThroughputView { step_ms: 1, points });
}

fn hold_requests(validator: &mut Validator) {
    for action in [
        JobAction::Cancel,
        JobAction::Retry,
        JobAction::Skip,
        JobAction::Prioritise,
    ] {
        let filter = Filter {
            states: vec![JobState::Failed],
            root: Some(root()),
            search: Some("s".to_owned()),
            reason: Some("disk_full".to_owned()),
        };
        let action = JobsAction {
            action,
            ids: vec![JobId(7)],
            filter: Some(filter),
            priority: Some(1),
        };
        validator.hold("JobsAction", &action);
    }
    let refused = vec![RefusedJob {
        id: JobId(7),
        message: "m".to_owned(),
    }];
    validator.hold(
        "ActionResult",
        &ActionResult {
            done: 1,
            refused,
            more: true,
        },
    );
    validator.hold(
        "ScanRequest",
        &ScanRequest {
            root: Some(root()),
            force: true,
        },
    );
    let token = "t".to_owned();
    validator.hold("LoginRequest", &LoginRequest { token });
    for role in [Role::Read, Role::Worker, Role::Admin]
        .map(Some)
        .into_iter()
        .chain([None])
    {
        validator.hold("SessionView", &SessionView { role, auth: true });
    }
    for sort in [
        SortBy::Changed,
        SortBy::Path,
        SortBy::Bytes,
        SortBy::Saved,
        SortBy::Queue,
    ] {
        validator.hold("SortBy", &sort);
    }
    let modes = [
        WorkerMode::Running,
        WorkerMode::Draining,
        WorkerMode::Paused,
        WorkerMode::OutsideHours,
    ];
    for mode in modes {
        validator.hold("WorkerMode", &mode);
    }
}

fn hold_the_rest(validator: &mut Validator) {
    validator.hold("WorkerReport", &reports());
    validator.hold("MasterReply", &reply());
    let blake3 = "0".repeat(64);
    validator.hold(
        "SourceHash",
        &SourceHash {
            bytes: 1,
            blake3: blake3.clone(),
            modified_ns: -1,
        },
    );
    validator.hold("ResultState", &ResultState { received_bytes: 1 });
    validator.hold("ResultWhole", &ResultWhole { bytes: 1, blake3 });
    validator.hold(
        "JoinView",
        &JoinView {
            command: "c".to_owned(),
            addresses: vec!["a".to_owned()],
        },
    );
    let keys = vec![ConfigKeyView {
        key: "web_port".to_owned(),
        value: json!(8090),
        default: json!(8090),
        origin: "default".to_owned(),
        meaning: "m".to_owned(),
        unit: Some("s".to_owned()),
    }];
    validator.hold("ConfigView", &ConfigView { keys });
    validator.hold(
        "ErrorBody",
        &ErrorBody {
            kind: "k".to_owned(),
            message: "m".to_owned(),
            chain: vec!["c".to_owned()],
        },
    );
}

#[test]
fn what_the_types_become_is_what_is_described_and_all_of_it() {
    let mut validator = Validator::new();
    hold_lists(&mut validator);
    hold_requests(&mut validator);
    hold_the_rest(&mut validator);
    let mut unseen = Vec::new();
    for (name, schema) in &validator.schemas {
        for key in schema["properties"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key)
        {
            if !validator.seen.contains(&(name.clone(), key.clone())) {
                unseen.push(format!("{name}.{key}"));
            }
        }
    }
    assert!(unseen.is_empty(), "described, and of no type: {unseen:?}");
}

#[test]
fn a_wrong_value_is_seen() {
    let mut validator = Validator::new();
    let mut closed = |name: &str, value: Value| {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        validator.closed(&schema, &value).is_ok()
    };
    assert!(closed("ResultState", json!({ "received_bytes": 1 })));
    assert!(!closed("ResultState", json!({ "received_bytes": "1" })));
    assert!(!closed("ResultState", json!({ "received_bytes": -1 })));
    assert!(!closed("ResultState", json!({})));
    assert!(!closed(
        "ResultState",
        json!({ "received_bytes": 1, "more": 2 })
    ));
    assert!(!closed("Phase", json!({ "phase": "asking" })));
    assert!(!closed("Phase", json!({ "phase": "dreaming" })));
    assert!(!closed("SortBy", json!("size")));
}
