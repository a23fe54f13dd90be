//! Ten thousand workers that have nothing to do and say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::master::Master;
use crate::{now, percentile};

const BEAT: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Shared {
    online: AtomicU64,
    answers: AtomicU64,
    ends: AtomicU64,
    stop: AtomicBool,
    latencies: Mutex<Vec<Duration>>,
}

pub(crate) async fn run(count: u64, seconds: u64) {
    // Two descriptors of ours and one of the master's for each, and some.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).expect("raised");
    let folder = tempfile::tempdir().expect("a folder");
    let mut master = Master::start(folder.path(), 0);
    let shared = Arc::new(Shared::default());
    let token = master.token("worker");
    let began = now();
    for number in 0..count {
        let (shared, token) = (Arc::clone(&shared), token.clone());
        let url = format!("ws://{}/api/v1/worker/ws", master.address);
        tokio::spawn(async move { live(number, &url, &token, &shared).await });
        // A connection storm is what the restart below measures.
        if number % 50 == 49 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    wait_for_all(&shared, count).await;
    println!(
        "{count} workers connected in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    shared.latencies.lock().await.clear();
    let agent = ureq::Agent::new_with_defaults();
    let began = now();
    let mut most_offline = 0;
    while began.elapsed() < Duration::from_secs(seconds) {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let status = tokio::task::block_in_place(|| master.get(&agent, "/api/v1/status"));
        let status = status.expect("a status");
        let offline = status["workers"]["offline"].as_u64().unwrap_or(0);
        most_offline = most_offline.max(offline);
    }
    let (memory, peak) = master.memory_mb();
    let mut latencies = shared.latencies.lock().await.clone();
    latencies.sort_unstable();
    println!(
        "{seconds} s: {} beats, at most {most_offline} falsely offline, {} connections lost",
        latencies.len(),
        shared.ends.load(Ordering::Relaxed)
    );
    println!(
        "an answer takes {:?} (median), {:?} (p99); the master holds {memory} MB, at most {peak} MB",
        percentile(&latencies, 50),
        percentile(&latencies, 99)
    );
    let port = master.address.port();
    master.kill();
    let began = now();
    shared.online.store(0, Ordering::Relaxed);
    drop(master);
    let master = Master::start(folder.path(), port);
    wait_for_all(&shared, count).await;
    println!(
        "killed and started again: all back after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    shared.stop.store(true, Ordering::Relaxed);
    drop(master);
}

async fn wait_for_all(shared: &Shared, count: u64) {
    let deadline = now() + Duration::from_secs(300);
    while shared.online.load(Ordering::Relaxed) < count {
        assert!(
            now() < deadline,
            "{} of {count} only",
            shared.online.load(Ordering::Relaxed)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One worker: connects, speaks every ten seconds, connects again when it is cut off.
async fn live(number: u64, url: &str, token: &str, shared: &Shared) {
    let mut sequence = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        if session(number, url, token, shared, &mut sequence)
            .await
            .is_some()
        {
            shared.ends.fetch_add(1, Ordering::Relaxed);
        }
        // Spread like real ones, that come back with jitter.
        let jitter = (number * 7919) % 2000;
        tokio::time::sleep(Duration::from_millis(500 + jitter)).await;
    }
}

/// `None` where it was never connected.
async fn session(
    number: u64,
    url: &str,
    token: &str,
    shared: &Shared,
    sequence: &mut u64,
) -> Option<()> {
    let mut request = url.into_client_request().expect("a URL");
    let bearer = format!("Bearer {token}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let connected = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
    let (mut socket, _) = connected.await.ok()?;
    let mut is_first = true;
    loop {
        *sequence += 1;
        let report = json!({
            "protocol": 1, "worker": format!("load-{number}"), "session": format!("s{number}"),
            "sequence": sequence, "name": format!("load {number}"), "version": "0",
            "encoder": "none really", "slots": 1, "mode": "running",
            "load": {"cpu_percent": 50.0, "memory_used_bytes": 1, "memory_total_bytes": 2},
        });
        let asked = now();
        if socket
            .send(Message::text(report.to_string()))
            .await
            .is_err()
        {
            return Some(());
        }
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(_))) => break,
                Some(Ok(_)) => {}
                _ => return Some(()),
            }
        }
        shared.answers.fetch_add(1, Ordering::Relaxed);
        shared.latencies.lock().await.push(asked.elapsed());
        if is_first {
            is_first = false;
            shared.online.fetch_add(1, Ordering::Relaxed);
        }
        // Pings have to be answered while it waits.
        let beat = tokio::time::sleep(BEAT);
        tokio::pin!(beat);
        loop {
            tokio::select! {
                () = &mut beat => break,
                message = socket.next() => match message {
                    Some(Ok(_)) => {}
                    _ => return Some(()),
                },
            }
        }
        if shared.stop.load(Ordering::Relaxed) {
            return Some(());
        }
    }
}
