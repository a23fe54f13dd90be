//! Workers against the real master, over its port. Their encodes are scripts.

use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::orders::{ChildEnd, ChildPhase};
use super::process::tests::{asking, ended, expect, film, gone, phase, program, say};
use super::testing::{Bench, LIMIT, file_at};
use super::{Means, Transport, WorkerError, WorkerEvent};
use crate::api::{JobAction, JobView, JobsAction, WorkerState};
use crate::client::{Client, MasterAddress, Token};
use crate::clock;
use crate::config::{Hours, Sources, Zone};
use crate::http::local_token;
use crate::job::{JobState, Reason};
use crate::master::Master;
use crate::proto::WorkerSettings;
use crate::roots::probe_mounts;
use crate::store::PageQuery;

/// A master with one film, and a bench for a worker beside it.
struct Pair {
    bench: Bench,
    master: Option<Master>,
    port: u16,
    flags: Vec<(&'static str, serde_json::Value)>,
}

const FILM: &[u8] = &[7; 3_000_000];

impl Pair {
    async fn new(script: impl FnOnce(&Bench) -> String) -> Self {
        Self::with(script, &[]).await
    }

    async fn with(
        script: impl FnOnce(&Bench) -> String,
        flags: &[(&'static str, serde_json::Value)],
    ) -> Self {
        let mut bench = Bench::new("");
        std::fs::create_dir(bench.films().join("a")).expect("makes");
        std::fs::write(bench.films().join("a/film.mkv"), FILM).expect("writes");
        let script = script(&bench);
        bench.config.program = program(bench.folder.path(), &script);
        bench.config.probe_mounts = std::sync::Arc::new(probe_mounts);
        let mut pair = Self {
            bench,
            master: None,
            port: 0,
            flags: flags.to_vec(),
        };
        pair.start_master().await;
        pair
    }

    async fn start_master(&mut self) {
        let mut sources = Sources::within(self.bench.folder.path().to_owned(), None, [])
            .flag(
                "media_directories",
                vec![self.bench.films().display().to_string()],
            )
            .flag("bind_address", "127.0.0.1")
            .flag("web_port", self.port)
            .flag("settle_s", 0)
            .flag("watch", false)
            .flag("min_bytes", 0);
        for (key, value) in &self.flags {
            sources = sources.flag(key, value.clone());
        }
        let loaded = sources.load().unwrap_or_else(|errors| panic!("{errors}"));
        let started = Master::start(loaded, &self.bench.file("master")).await;
        let master = started.unwrap_or_else(|error| panic!("{error}"));
        self.port = master.address().expect("it listens").port();
        self.master = Some(master);
    }

    fn core(&self) -> &crate::master::Core {
        self.master.as_ref().expect("it runs").core()
    }

    fn client(&self, tls_ca: Option<&Path>) -> Client {
        let token = local_token(&self.bench.file("master")).expect("a token");
        let token = Token::new(token, "the state directory");
        let address = if tls_ca.is_some() {
            format!("https://localhost:{}", self.port)
                .parse()
                .expect("an address")
        } else {
            MasterAddress::local(self.port, false)
        };
        Client::new(address, Some(token), tls_ca).expect("a client")
    }

    fn transport(&self) -> Transport {
        Transport::Master(self.client(None))
    }

    /// Waits until the film's job is so.
    async fn until(&self, what: &str, is_so: impl Fn(&JobView) -> bool) -> JobView {
        let mut last = None;
        let seen = async {
            loop {
                let page = self.core().jobs(PageQuery {
                    limit: 10,
                    ..PageQuery::default()
                });
                let page = page.await.expect("a page");
                if let Some(job) = page.jobs.first() {
                    if is_so(job) {
                        return job.clone();
                    }
                    last = Some(job.clone());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        match timeout(LIMIT, seen).await {
            Ok(job) => job,
            Err(_) => panic!("never {what}: {last:?}"),
        }
    }

    fn means(&self) -> Vec<Means> {
        let events = self.bench.events.lock().expect("not poisoned");
        let connected = events.iter().filter_map(|event| match event {
            WorkerEvent::Connected { means } => Some(*means),
            _ => None,
        });
        connected.collect()
    }
}

fn left_alone() -> ChildEnd {
    ChildEnd::LeftAlone {
        reason: Reason {
            kind: "not_worthwhile".to_owned(),
            message: "too large".to_owned(),
        },
        key: None,
    }
}

/// Encodes until there is a file `go`, and then leaves the film alone.
fn until_go(bench: &Bench) -> String {
    [
        expect("in_place"),
        format!("echo $$ >> '{}'\n", bench.file("number").display()),
        say(&asking()),
        expect("proceed"),
        say(&phase(ChildPhase::Encoding)),
        format!(
            "while [ ! -e '{}' ]; do sleep 0.01; done\n",
            bench.file("go").display()
        ),
        say(&ended(left_alone())),
    ]
    .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_is_found_granted_and_its_end_kept() {
    let pair = Pair::new(until_go).await;
    let worker = pair.bench.start(pair.transport());
    pair.until("encoded", |job| job.phase.as_deref() == Some("encoding"))
        .await;
    std::fs::write(pair.bench.file("go"), "").expect("writes");
    let job = pair
        .until("skipped", |job| job.state == JobState::Skipped)
        .await;
    assert_eq!(job.reason.expect("a reason").kind, "not_worthwhile");
    pair.bench.control.drain();
    let summary = worker.ended().await.expect("ends well");
    assert_eq!((summary.left_alone, summary.untold), (1, Vec::new()));
    assert_eq!(pair.means(), [Means::WebSocket]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_restarted_ends_no_encode_and_repeats_none() {
    let mut pair = Pair::new(until_go).await;
    let worker = pair.bench.start(pair.transport());
    let encodes = |job: &JobView| job.phase.as_deref() == Some("encoding");
    pair.until("encoded", encodes).await;
    let process = file_at(&pair.bench.file("number")).await;
    pair.master.take().expect("it runs").stop().await;
    pair.start_master().await;
    pair.until("encoded on", encodes).await;
    std::fs::write(pair.bench.file("go"), "").expect("writes");
    let job = pair
        .until("skipped", |job| job.state == JobState::Skipped)
        .await;
    assert_eq!(job.attempts, 0);
    assert_eq!(
        file_at(&pair.bench.file("number")).await,
        process,
        "one process"
    );
    pair.bench.control.drain();
    worker.ended().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_s_process_is_gone_at_once() {
    let pair = Pair::new(|bench| {
        [
            expect("in_place"),
            format!("echo $$ > '{}'\n", bench.file("number").display()),
            say(&phase(ChildPhase::Encoding)),
            expect("cancel"),
            say(&ended(ChildEnd::Cancelled)),
        ]
        .concat()
    })
    .await;
    let worker = pair.bench.start(pair.transport());
    let process = file_at(&pair.bench.file("number")).await;
    let process: u32 = process.trim().parse().expect("a number");
    let job = pair
        .until("encoded", |job| job.phase.as_deref() == Some("encoding"))
        .await;
    let cancel = JobsAction {
        action: JobAction::Cancel,
        ids: vec![job.id],
        filter: None,
        priority: None,
    };
    let begun = tokio::time::Instant::now();
    let result = pair.core().act(cancel).await.expect("it is done");
    assert_eq!(result.done, 1);
    gone(process).await;
    // The master's next beat would be 10 s away: it says so by itself.
    assert!(begun.elapsed() < Duration::from_secs(5));
    pair.until("cancelled", |job| job.state == JobState::Cancelled)
        .await;
    pair.bench.control.drain();
    worker.ended().await.expect("ends well");
}

/// Hours that are not now.
fn other_hours() -> Vec<String> {
    let one_of = ["mon 03:00-03:01", "thu 15:00-15:01"].map(|span| vec![span.to_owned()]);
    let is_closed = |spans: &Vec<String>| {
        let hours = Hours::parse(spans).expect("hours");
        !hours.is_open_at(clock::now(), &Zone::system())
    };
    one_of.into_iter().find(is_closed).expect("days apart")
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_are_set_from_the_master_while_it_runs() {
    let mut pair = Pair::new(until_go).await;
    pair.bench.config.tuning.is_open = std::sync::Arc::new(|_| false);
    let worker = pair.bench.start(pair.transport());
    let is = |mode| {
        let core = pair.core().clone();
        let seen = async move {
            loop {
                let workers = core.workers().await;
                if let Some(worker) = workers.first().filter(|w| w.state == mode) {
                    return worker.clone();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, seen)
    };
    // By its own configuration.
    let known = is(WorkerState::OutsideHours).await.expect("it is known");
    let set = async |schedule| {
        let settings = WorkerSettings {
            schedule,
            ..WorkerSettings::default()
        };
        pair.core().set_worker(&known.id, settings).await
    };
    let refused = set(Some(vec!["22-6".to_owned()]))
        .await
        .expect_err("refused");
    assert_eq!((refused.status, &*refused.body.kind), (400, "out_of_range"));
    assert!(refused.body.message.contains("22-6"), "{refused:?}");

    set(Some(Vec::new())).await.expect("set");
    pair.until("encoded", |job| job.phase.as_deref() == Some("encoding"))
        .await;
    set(Some(other_hours())).await.expect("set");
    std::fs::write(pair.bench.file("go"), "").expect("writes");
    // What runs goes on to its end.
    pair.until("skipped", |job| job.state == JobState::Skipped)
        .await;
    is(WorkerState::OutsideHours).await.expect("closed");
    pair.bench.control.drain();
    worker.ended().await.expect("ends well");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_film_of_a_folder_that_only_the_master_has_goes_both_ways() {
    let end = ChildEnd::Encoded {
        film: film(Path::new("/nowhere")),
    };
    let mut pair = Pair::new(|_| {
        "read -r order\n\
         path() { echo \"$order\" | sed \"s/.*\\\"$1\\\":\\\"\\([^\\\"]*\\)\\\".*/\\1/\"; }\n\
         cat \"$(path source)\" \"$(path source)\" \"$(path source)\" \"$(path source)\" > \"$(path output)\"\n"
            .to_owned()
            + &say(&ended(end))
    })
    .await;
    let nowhere = pair.bench.file("nowhere");
    let films = pair.bench.films();
    pair.bench.config.path_map.insert(films, nowhere);
    let held = pair.core().hold_children().await;
    let worker = pair.bench.start(pair.transport());
    let delivered = pair.bench.file("master");
    let whole = async {
        loop {
            let found = walkdir::WalkDir::new(&delivered).into_iter().flatten();
            let mut whole = found.filter(|entry| entry.file_name() == "whole.mkv");
            if let Some(whole) = whole.next() {
                return whole.into_path();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let whole = timeout(LIMIT, whole).await.expect("it is delivered");
    let output = std::fs::read(whole).expect("reads");
    assert!(output == FILM.repeat(4), "several pieces, and the same");
    drop(held);
    pair.bench.control.drain();
    let summary = worker.ended().await.expect("ends well");
    assert_eq!((summary.delivered, summary.untold), (1, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_speaks_tls_with_a_master_whose_authority_it_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("writes");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("writes");
    let flags = [
        ("tls_certificate", certificate.display().to_string().into()),
        ("tls_key", key.display().to_string().into()),
    ];
    let pair = Pair::with(until_go, &flags).await;
    std::fs::write(pair.bench.file("go"), "").expect("writes");
    let worker = pair
        .bench
        .start(Transport::Master(pair.client(Some(&certificate))));
    pair.until("skipped", |job| job.state == JobState::Skipped)
        .await;
    pair.bench.control.drain();
    worker.ended().await.expect("ends well");
    assert_eq!(pair.means(), [Means::WebSocket]);

    // Another authority: it is said what to do.
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    std::fs::write(&certificate, other.cert.pem()).expect("writes");
    let worker = Bench::new("").start(Transport::Master(pair.client(Some(&certificate))));
    let error = worker.ended().await.expect_err("it is not believed");
    assert!(matches!(error, WorkerError::Master(_)));
    assert!(error.to_string().contains("tls_ca"), "{error}");
}
