//! Numbers for monitoring, in Prometheus' text form.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyper::{Method, Response, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::respond::{self, Body};
use crate::job::JobState;
use crate::master::Metrics;

const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Seconds: from what memory answers to what a disk and a film take.
const LATENCIES_S: [f64; 11] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: &'static str,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    method: &'static str,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfSocket {
    kind: &'static str,
}

/// What this server counts itself.
pub(super) struct HttpMetrics {
    answered: Family<Answered, Counter>,
    latencies: Family<OfRoute, Histogram, fn() -> Histogram>,
    sockets: Family<OfSocket, Gauge>,
    refused: Counter,
}

/// A WebSocket that is open, for as long as this lives.
pub(super) struct OpenSocket(Gauge);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn latency_histogram() -> Histogram {
    Histogram::new(LATENCIES_S)
}

/// A method as a label: others than these are refused, whatever they call themselves.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}

impl HttpMetrics {
    pub(super) fn new() -> Self {
        Self {
            answered: Family::default(),
            latencies: Family::new_with_constructor(latency_histogram),
            sockets: Family::default(),
            refused: Counter::default(),
        }
    }

    /// A request was answered.
    pub(super) fn answered(
        &self,
        method: &Method,
        route: &'static str,
        status: StatusCode,
        took: Duration,
    ) {
        let (method, route) = (method_label(method), route);
        let status = u32::from(status.as_u16());
        let labels = Answered {
            method,
            route,
            status,
        };
        self.answered.get_or_create(&labels).inc();
        let labels = OfRoute { method, route };
        self.latencies
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    /// A connection was turned away.
    pub(super) fn connection_refused(&self) {
        self.refused.inc();
    }

    /// A WebSocket opens.
    pub(super) fn socket(&self, kind: &'static str) -> OpenSocket {
        let labels = OfSocket { kind };
        let gauge = self.sockets.get_or_create(&labels).clone();
        gauge.inc();
        OpenSocket(gauge)
    }

    /// All of them, and the master's, as text.
    pub(super) fn render(&self, master: &Metrics) -> Response<Body> {
        let mut registry = Registry::with_prefix("av1");
        self.register(&mut registry);
        register_master(&mut registry, master);
        register_process(&mut registry);
        let mut body = String::new();
        match text::encode(&mut body, &registry) {
            Ok(()) => respond::typed(StatusCode::OK, TEXT, body),
            // Writing to a string does not fail.
            Err(_) => respond::empty(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register("http_requests", "Requests answered", self.answered.clone());
        registry.register_with_unit(
            "http_latency",
            "Time until the head of an answer",
            Unit::Seconds,
            self.latencies.clone(),
        );
        registry.register(
            "websockets",
            "WebSockets that are open",
            self.sockets.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections turned away for lack of room",
            self.refused.clone(),
        );
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWorker {
    worker: String,
}

/// A number that there is now.
fn gauge(registry: &mut Registry, name: &str, help: &str, value: f64) {
    registry.register(name, help, ConstGauge::new(value));
}

/// Numbers that there are now, by state.
fn by_state<K: serde::Serialize>(
    registry: &mut Registry,
    name: &str,
    help: &str,
    numbers: impl Iterator<Item = (K, f64)>,
) {
    let family = Family::<OfState, Gauge<f64, AtomicU64>>::default();
    for (state, number) in numbers {
        if let Ok(serde_json::Value::String(state)) = serde_json::to_value(state) {
            family.get_or_create(&OfState { state }).set(number);
        }
    }
    registry.register(name, help, family);
}

fn register_master(registry: &mut Registry, master: &Metrics) {
    let status = &master.status;
    let jobs = JobState::ALL.map(|state| {
        let number = status.jobs.get(&state).copied().unwrap_or(0);
        (state, number as f64)
    });
    by_state(registry, "jobs", "Jobs by state", jobs.into_iter());
    let workers = status.workers.iter();
    let workers = workers.map(|(state, number)| (*state, f64::from(*number)));
    by_state(registry, "workers", "Workers by state", workers);
    let waiting = [JobState::Pending, JobState::RetryWait];
    let waiting = waiting.map(|state| status.jobs.get(&state).copied().unwrap_or(0));
    let depth = waiting.iter().sum::<u64>() as f64;
    gauge(registry, "queue_depth", "Jobs that wait", depth);
    gauge(
        registry,
        "files",
        "Files that are known",
        status.files as f64,
    );
    let bytes = [
        (
            "library_bytes",
            "Bytes of all files now",
            status.library_bytes as f64,
        ),
        (
            "saved_bytes",
            "Bytes saved by all replacements",
            status.saved_bytes as f64,
        ),
        (
            "replaced_source_bytes",
            "Bytes of all sources that were replaced",
            status.replaced_source_bytes as f64,
        ),
    ];
    for (name, help, value) in bytes {
        gauge(registry, name, help, value);
    }
    gauge(
        registry,
        "slots",
        "Encodes that could run",
        f64::from(status.slots),
    );
    let busy = f64::from(status.busy_slots);
    gauge(registry, "busy_slots", "Encodes that run", busy);
    let paused = f64::from(u8::from(status.paused));
    gauge(registry, "paused", "1 while all workers are paused", paused);
    register_fps(registry, &master.worker_fps);
    let counters = [
        ("frames", "Frames of all replacements", master.frames),
        (
            "lease_expiries",
            "Leases that ran out",
            master.lease_expiries,
        ),
        (
            "fenced",
            "Words that came with a lease that was gone",
            master.fenced,
        ),
    ];
    for (name, help, value) in counters {
        registry.register(name, help, ConstCounter::new(value));
    }
}

fn register_fps(registry: &mut Registry, by_worker: &BTreeMap<String, f64>) {
    let family = Family::<OfWorker, Gauge<f64, AtomicU64>>::default();
    for (worker, fps) in by_worker {
        let worker = worker.clone();
        family.get_or_create(&OfWorker { worker }).set(*fps);
    }
    registry.register("worker_fps", "Frames a second by worker", family);
}

/// What this process takes.
fn register_process(registry: &mut Registry) {
    let pid = Pid::from_u32(std::process::id());
    let Ok(mut system) = System::new() else {
        return; // A system that sysinfo does not know.
    };
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        false,
        ProcessRefreshKind::nothing().with_memory(),
    );
    if let Some(process) = system.process(pid) {
        let bytes = process.memory() as f64;
        gauge(
            registry,
            "process_resident_memory_bytes",
            "Memory of the master",
            bytes,
        );
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn every_number_is_in_the_text() {
        let http = HttpMetrics::new();
        http.answered(
            &Method::GET,
            "/api/v1/jobs/{id}",
            StatusCode::OK,
            Duration::from_millis(3),
        );
        http.answered(
            &Method::DELETE,
            "none",
            StatusCode::NOT_FOUND,
            Duration::ZERO,
        );
        http.connection_refused();
        let open = http.socket("worker");
        drop(http.socket("worker"));
        let mut master = Metrics::default();
        master.status.jobs.insert(JobState::RetryWait, 3);
        master.status.jobs.insert(JobState::Pending, 2);
        master.status.saved_bytes = -5;
        master.worker_fps.insert("no\"ne\n".to_owned(), 12.5);
        master.lease_expiries = 4;
        let body = http.render(&master).into_body().collect().await;
        let text = String::from_utf8(body.expect("a body").to_bytes().to_vec()).expect("UTF-8");
        for line in [
            r#"av1_http_requests_total{method="GET",route="/api/v1/jobs/{id}",status="200"} 1"#,
            r#"av1_http_requests_total{method="other",route="none",status="404"} 1"#,
            r#"av1_http_latency_seconds_bucket{le="0.005",method="GET",route="/api/v1/jobs/{id}"} 1"#,
            r#"av1_websockets{kind="worker"} 1"#,
            r#"av1_jobs{state="retry_wait"} 3.0"#,
            r#"av1_jobs{state="completed"} 0.0"#,
            "av1_queue_depth 5.0",
            "av1_saved_bytes -5.0",
            r#"av1_worker_fps{worker="no\"ne\n"} 12.5"#,
            "av1_lease_expiries_total 4",
            "av1_connections_refused_total 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|known| known == line), "{line}\n{text}");
        }
        assert!(text.contains("av1_process_resident_memory_bytes"), "{text}");
        drop(open);
    }
}
