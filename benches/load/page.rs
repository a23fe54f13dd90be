//! The page while ten thousand jobs run.

use std::fs;
use std::time::Duration;

use fantoccini::{Client, Locator};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::driver::Driver;
use crate::master::Master;
use crate::now;

/// Jobs that one worker runs: as many as the master lets one.
const SLOTS: u64 = 20;
/// Jobs that say how far they are, a second.
const CHANGES_PER_S: u64 = 100;

pub(crate) async fn run(jobs: u64, seconds: u64) {
    let folder = tempfile::tempdir().expect("a folder");
    let films = folder.path().join("films");
    fs::create_dir_all(&films).expect("a folder");
    for number in 0..jobs {
        fs::write(films.join(format!("film {number:05}.mkv")), b"film").expect("a file");
    }
    // Each job speaks once in a while, and nobody is to be taken for gone until then.
    let keys = json!({"offline_s": 3600, "lease_seconds": 7200});
    let master = Master::start_with(folder.path(), 0, &keys);
    let workers = jobs.div_ceil(SLOTS);
    let period = Duration::from_secs_f64(jobs as f64 / CHANGES_PER_S as f64);
    for number in 0..workers {
        let url = format!("ws://{}/api/v1/worker/ws", master.address);
        let token = master.token("worker");
        let phase = period.mul_f64(number as f64 / workers as f64);
        tokio::spawn(async move { work(number, &url, &token, (period, phase)).await });
    }
    let agent = ureq::Agent::new_with_defaults();
    let deadline = now() + Duration::from_secs(300);
    loop {
        let status = tokio::task::block_in_place(|| master.get(&agent, "/api/v1/status"));
        let leased = status.unwrap_or_default()["jobs"]["leased"].as_u64();
        if leased == Some(jobs) {
            break;
        }
        assert!(now() < deadline, "{leased:?} of {jobs} jobs run");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let driver = Driver::start().expect("a browser");
    let page = driver
        .connect(&folder.path().join("browser"), (1440, 900), false)
        .await;
    first_view(&page, &driver, &master).await;
    smoothness(&page, seconds).await;
    let (memory, peak) = master.memory_mb();
    println!("the master holds {memory} MB, at most {peak} MB");
}

/// A worker that takes what it is given and says how far it is, all jobs in one report.
async fn work(number: u64, url: &str, token: &str, (period, phase): (Duration, Duration)) {
    let mut request = url.into_client_request().expect("a URL");
    let bearer = format!("Bearer {token}").parse().expect("a header");
    request.headers_mut().insert("authorization", bearer);
    let connected = tokio_tungstenite::connect_async(request).await;
    let (mut socket, _) = connected.expect("a line to the master");
    let mut tasks: Vec<(Value, Value)> = Vec::new();
    let mut frames = 0;
    for sequence in 1.. {
        frames += 250;
        let reports: Vec<_> = tasks
            .iter()
            .map(|(task, epoch)| {
                json!({
                    "task": task, "epoch": epoch, "phase": {"phase": "encoding"},
                    "progress": {
                        "frames_done": frames, "frames_in": frames, "frames_total": 200_000,
                        "frames_exact": true,
                        "fps": 25.0 + (frames % 7) as f64, "speed": 1.0,
                        "bytes_written": frames * 1000, "projected_bytes": 200_000_000,
                        "eta_ms": 3_600_000, "elapsed_ms": frames * 40,
                    },
                })
            })
            .collect();
        let report = json!({
            "protocol": 1, "worker": format!("page-{number}"), "session": format!("s{number}"),
            "sequence": sequence, "name": format!("worker {number}"), "version": "0",
            "encoder": "none really", "slots": SLOTS, "mode": "running", "tasks": reports,
            "ships": true,
            "load": {"cpu_percent": 50.0, "memory_used_bytes": 1, "memory_total_bytes": 2},
        });
        if socket
            .send(Message::text(report.to_string()))
            .await
            .is_err()
        {
            return;
        }
        // Its turn comes once a period; what the master says meanwhile is heard.
        let wait = if sequence == 1 {
            Duration::from_secs(1) + phase
        } else {
            period
        };
        let turn = tokio::time::sleep(wait);
        tokio::pin!(turn);
        loop {
            tokio::select! {
                () = &mut turn => break,
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        let reply: Value = serde_json::from_str(&text).expect("a reply");
                        let grants = reply["grants"].as_array().into_iter().flatten();
                        for grant in grants {
                            let granted = (grant["task"].clone(), grant["epoch"].clone());
                            if !tasks.contains(&granted) {
                                tasks.push(granted);
                            }
                        }
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
            }
        }
    }
}

/// Logs in, and then what a person waits for who comes with a session and no cache.
async fn first_view(page: &Client, driver: &Driver, master: &Master) {
    let url = format!("http://{}/", master.address);
    page.goto(&url).await.expect("the page");
    let field = page.wait().for_element(Locator::Css("#token")).await;
    let token = master.token("admin");
    field
        .expect("a door")
        .send_keys(&token)
        .await
        .expect("typed");
    let button = page.find(Locator::Css("button[type=submit]")).await;
    button.expect("a button").click().await.expect("clicked");
    let rail = page
        .wait()
        .for_element(Locator::Css("nav .rail-link"))
        .await;
    rail.expect("the page");
    let mut painted = Vec::new();
    let mut kilobytes = 0.0;
    for _ in 0..9 {
        page.goto("about:blank").await.expect("nowhere");
        // The session's cookie stays.
        let session = driver.session(page).await;
        tokio::task::block_in_place(|| clear_cache(&session));
        page.goto(&url).await.expect("the page");
        let status = page.wait().for_element(Locator::Css(".rail-count")).await;
        status.expect("numbers");
        let measured = page
            .execute(FIRST_VIEW, Vec::new())
            .await
            .expect("measured");
        painted.push(measured["painted_ms"].as_f64().expect("a number"));
        kilobytes = f64::max(
            kilobytes,
            measured["bytes"].as_f64().expect("a number") / 1000.0,
        );
    }
    painted.sort_by(f64::total_cmp);
    println!(
        "first view: {kilobytes:.0} kB compressed; painted after {:.0} ms (median of {}), \
         at most {:.0} ms",
        painted[painted.len() / 2],
        painted.len(),
        painted[painted.len() - 1]
    );
}

/// By the DevTools protocol.
fn clear_cache(session: &str) {
    let command = json!({"cmd": "Network.clearBrowserCache", "params": {}});
    let cleared = ureq::post(format!("{session}/goog/cdp/execute")).send_json(command);
    cleared.expect("a cache that is empty");
}

/// Bytes of bodies as they were sent, and the first time that anything of ours was seen.
const FIRST_VIEW: &str = "
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const paint = performance.getEntriesByType('paint').find((one) => one.name === 'first-contentful-paint');
    return {
      bytes: all.reduce((sum, one) => sum + one.encodedBodySize, 0),
      painted_ms: paint.startTime,
    };";

/// Frames a second and memory, on the view in which the most changes.
async fn smoothness(page: &Client, seconds: u64) {
    let script = "location.hash = '#/running'";
    page.execute(script, Vec::new()).await.expect("a view");
    let rows = page
        .wait()
        .for_element(Locator::Css(".run[data-index]"))
        .await;
    rows.expect("rows");
    page.execute(COUNT_FRAMES, Vec::new())
        .await
        .expect("a count");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let counted = page
        .execute("return window.counted()", Vec::new())
        .await
        .expect("counted");
    let number = |name: &str| counted[name].as_f64().unwrap_or(f64::NAN);
    println!(
        "{seconds} s with {} jobs: {:.1} frames/s, 99 of 100 within {:.0} ms, the longest {:.0} ms; \
         {:.0} MB of memory, at most {:.0} MB",
        number("jobs"),
        number("fps"),
        number("p99_ms"),
        number("longest_ms"),
        number("memory_mb"),
        number("most_memory_mb"),
    );
}

const COUNT_FRAMES: &str = "
    const gaps = [];
    let last = performance.now();
    let most = 0;
    const began = last;
    const frame = (now) => {
      gaps.push(now - last);
      last = now;
      most = Math.max(most, performance.memory.usedJSHeapSize);
      requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    window.counted = () => {
      const sorted = [...gaps].sort((a, b) => a - b);
      return {
        jobs: Number(document.querySelector('[role=table]').getAttribute('aria-rowcount')) - 1,
        fps: gaps.length / ((last - began) / 1000),
        p99_ms: sorted[Math.floor(sorted.length * 0.99)],
        longest_ms: sorted[sorted.length - 1],
        memory_mb: performance.memory.usedJSHeapSize / 1e6,
        most_memory_mb: most / 1e6,
      };
    };";
