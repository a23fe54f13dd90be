//! The commands that drive a master, against one that answers what it is told to: what
//! they ask of it, what they print, and how they end.

use serde_json::{Value, json};

use crate::support::cli::{Run, av1cli};
use crate::support::command::outcome;
use crate::support::fake_master::{Answer, Asked, FakeMaster};
use crate::support::watched;

/// A master with three jobs and two workers, which does everything.
fn master(asked: &Asked) -> Answer {
    let (path, query) = asked.line.split_once('?').unwrap_or((&asked.line, ""));
    match path {
        "GET /api/v1/status" => (200, status()),
        "GET /api/v1/jobs" => (200, page(query)),
        "GET /api/v1/jobs/2" => (200, json!({"job": job(2), "attempts": [], "warnings": []})),
        "GET /api/v1/jobs/9" => error(404, "not_found", "there is no job 9"),
        "POST /api/v1/jobs/actions" => (200, act(&asked.body)),
        "GET /api/v1/workers" => (200, json!([worker("aa11", "nas"), worker("bb22", "box")])),
        "POST /api/v1/workers/bb22/settings" => {
            let mut worker = worker("bb22", "box");
            worker["settings"] = asked.body.clone();
            (200, worker)
        }
        "POST /api/v1/scan" => (202, Value::Null),
        "POST /api/v1/pause" | "POST /api/v1/resume" => (204, Value::Null),
        _ => error(404, "no_route", "there is nothing here"),
    }
}

fn error(status: u16, kind: &str, message: &str) -> Answer {
    (status, json!({"kind": kind, "message": message}))
}

fn status() -> Value {
    json!({
        "version": "0.1.0", "now": 10_000, "started": 0, "files": 3, "library_bytes": 3_000_000,
        "jobs": {"pending": 1, "completed": 1, "failed": 1},
        "roots": [
            {"id": "r1", "path": "/media/films", "mounted": true},
            {"id": "r2", "path": "/media/tv", "mounted": true},
        ],
    })
}

fn job(id: i64) -> Value {
    let (root, path, state) = match id {
        1 => ("r1", "A/one.mkv", "pending"),
        2 => ("r1", "two \u{1b}[2J.mkv", "failed"),
        _ => ("r2", "A/one.mkv", "completed"),
    };
    json!({
        "id": id, "root": root, "path": path, "state": state, "status": "Pending",
        "priority": 0, "bytes": 1_000_000, "attempts": 0, "queued": 0, "changed": 0,
    })
}

/// One job a page, so that there are several.
fn page(query: &str) -> Value {
    let has = |part: &str| query.split('&').any(|given| given == part);
    let found: Vec<i64> = [1, 2, 3]
        .into_iter()
        .filter(|id| {
            let root = job(*id)["root"].as_str().expect("a root").to_owned();
            !query.contains("root=") || has(&format!("root={root}"))
        })
        .collect();
    let after = found
        .iter()
        .position(|id| has(&format!("after={id}")))
        .map_or(0, |at| at + 1);
    let jobs: Vec<_> = found[after..].iter().take(1).map(|id| job(*id)).collect();
    let next = (after + 1 < found.len()).then(|| found[after].to_string());
    json!({"jobs": jobs, "next": next, "total": found.len()})
}

/// The completed one refuses.
fn act(body: &Value) -> Value {
    let ids = body["ids"].as_array().expect("ids");
    let refused: Vec<_> = ids
        .iter()
        .filter(|id| **id == 3)
        .map(|id| json!({"id": id, "message": "a job that is completed does not take this"}))
        .collect();
    json!({"done": ids.len() - refused.len(), "refused": refused, "more": false})
}

fn worker(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "state": "idle", "version": "0.1.0", "warnings": [], "slots": 1,
        "load": {}, "history": [], "last_seen": 0, "mounted": [], "jobs": [], "fps": 0.0,
        "failures": 0, "settings": {"slots": 2},
    })
}

fn drive(master: &FakeMaster, arguments: &[&str]) -> Run {
    let mut command = av1cli();
    command
        .args(arguments)
        .env("AV1CLI_MASTER", master.address());
    let output = outcome(&mut command);
    Run {
        status: output.status,
        stdout: String::from_utf8(output.stdout).expect("UTF-8 on stdout"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8 on stderr"),
    }
}

/// Method, path and body of what changed something.
fn posted(master: &FakeMaster) -> Vec<(String, Value)> {
    let asked = master.asked().into_iter();
    let posts = asked.filter(|asked| asked.line.starts_with("POST"));
    posts.map(|asked| (asked.line, asked.body)).collect()
}

#[test]
fn lists_are_tables_and_json_is_the_apis_own() {
    watched(|| {
        let fake = FakeMaster::start(master);
        let run = drive(&fake, &["status"]);
        run.assert_code(0);
        assert!(
            run.stdout.contains("1 pending, 1 completed, 1 failed"),
            "{}",
            run.stdout
        );
        let run = drive(&fake, &["status", "--json"]);
        let printed: Value = serde_json::from_str(&run.assert_code(0).stdout).expect("JSON");
        assert_eq!(printed["roots"][1]["path"], "/media/tv");

        let run = drive(&fake, &["workers"]);
        run.assert_code(0);
        assert!(
            run.stdout.contains("nas: set from the master: slots 2"),
            "{}",
            run.stdout
        );

        let run = drive(&fake, &["jobs"]);
        run.assert_code(0);
        let lines: Vec<_> = run.stdout.lines().collect();
        assert_eq!(lines.len(), 4, "all pages: {}", run.stdout);
        assert!(lines[1].ends_with("/media/films/A/one.mkv"), "{}", lines[1]);
        assert!(!run.stdout.contains('\u{1b}'), "a name drives no terminal");

        let run = drive(&fake, &["jobs", "--json", "-n", "2"]);
        let printed: Value = serde_json::from_str(&run.assert_code(0).stdout).expect("JSON");
        assert_eq!(printed["jobs"].as_array().expect("jobs").len(), 2);
        assert_eq!(printed["next"], "2");
    });
}

#[test]
fn flags_of_a_list_reach_the_master() {
    watched(|| {
        let fake = FakeMaster::start(master);
        let flags = "jobs --state failed,processing --search x --reason disk_full \
                     --root /media/tv/ --sort saved -r -n 7";
        let flags: Vec<_> = flags.split_whitespace().collect();
        drive(&fake, &flags).assert_code(0);
        let asked = fake.asked();
        assert_eq!(
            asked.last().expect("asked").line,
            "GET /api/v1/jobs?state=leased,staged,committing,recovering,failed&search=x\
             &reason=disk_full&root=r2&sort=saved&limit=7"
        );
    });
}

#[test]
fn a_job_is_named_by_number_or_file() {
    watched(|| {
        let fake = FakeMaster::start(master);
        for (names, ids) in [
            (vec!["1", "2"], json!([1, 2])),
            (vec!["/media/films/A/one.mkv"], json!([1])),
            (vec!["/media/films/two \u{1b}[2J.mkv"], json!([2])),
        ] {
            let words: Vec<_> = ["cancel"].into_iter().chain(names).collect();
            drive(&fake, &words).assert_code(0);
            let posts = posted(&fake);
            assert_eq!(posts.len(), 1, "{posts:?}");
            assert_eq!(posts[0].1["ids"], ids);
            assert_eq!(posts[0].1["action"], "cancel");
        }
        for (name, told) in [
            ("A/one.mkv", "A/one.mkv is jobs 1, 3: name one of them"),
            ("/media/films/absent.mkv", "no job of the file"),
        ] {
            let run = drive(&fake, &["skip", name]);
            run.assert_code(18);
            assert!(run.stderr.contains(told), "{}", run.stderr);
            assert_eq!(posted(&fake), [], "nothing was done");
        }
        let run = drive(&fake, &["jobs", "9"]);
        run.assert_code(18);
        assert!(run.stderr.contains("there is no job 9"), "{}", run.stderr);
        drive(&fake, &["jobs", "2"]).assert_code(0);
    });
}

#[test]
fn many_jobs_are_meant_by_a_filter_and_never_by_nothing() {
    watched(|| {
        let fake = FakeMaster::start(master);
        for command in ["cancel", "retry", "skip", "drain"] {
            drive(&fake, &[command]).assert_code(2);
        }
        assert!(fake.asked().is_empty(), "nothing is asked of the master");
        drive(&fake, &["retry", "1", "--all"]).assert_code(2);

        let run = drive(&fake, &["priority", "-5", "--all"]);
        run.assert_code(18);
        assert_eq!(run.stdout, "2 jobs set to priority -5, 1 not\n");
        assert!(
            run.stderr.contains("job 3: a job that is completed"),
            "{}",
            run.stderr
        );
        let posts = posted(&fake);
        assert_eq!(posts[0].1["ids"], json!([1, 2, 3]));
        assert_eq!(posts[0].1["priority"], -5);

        let run = drive(&fake, &["retry", "--root", "/media/films", "--json"]);
        let printed: Value = serde_json::from_str(&run.assert_code(0).stdout).expect("JSON");
        assert_eq!(printed["done"], 2);
        let retried = fake.asked();
        let listed = retried.iter().find(|asked| asked.line.contains("root=r1"));
        let line = &listed.expect("listed").line;
        assert!(
            line.contains("state=retry_wait,failed,cancelled,quarantined"),
            "{line}"
        );

        drive(&fake, &["priority", "101", "1"]).assert_code(2);
    });
}

#[test]
fn workers_are_set_one_by_one_and_keep_their_other_settings() {
    watched(|| {
        let fake = FakeMaster::start(master);
        drive(&fake, &["drain", "box"]).assert_code(0);
        let posts = posted(&fake);
        assert_eq!(posts[0].0, "POST /api/v1/workers/bb22/settings");
        assert_eq!(posts[0].1["draining"], true);
        assert_eq!(posts[0].1["slots"], 2, "as it was");
        drive(&fake, &["pause", "bb"]).assert_code(0);
        assert_eq!(posted(&fake)[0].1["paused"], true);
        drive(&fake, &["pause"]).assert_code(0);
        drive(&fake, &["resume"]).assert_code(0);
        let lines: Vec<_> = posted(&fake).into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, ["POST /api/v1/pause", "POST /api/v1/resume"]);
        drive(&fake, &["drain", "attic"]).assert_code(18);
    });
}

#[test]
fn a_scan_is_asked_for_by_folder() {
    watched(|| {
        let fake = FakeMaster::start(master);
        drive(&fake, &["scan"]).assert_code(0);
        drive(&fake, &["scan", "/media/tv", "--force"]).assert_code(0);
        let bodies: Vec<_> = posted(&fake).into_iter().map(|(_, body)| body).collect();
        let expected = [
            json!({"root": null, "force": false}),
            json!({"root": "r2", "force": true}),
        ];
        assert_eq!(bodies, expected);
        let run = drive(&fake, &["scan", "/media/other"]);
        run.assert_code(18);
        assert!(
            run.stderr.contains("it has /media/films, /media/tv"),
            "{}",
            run.stderr
        );
    });
}

#[test]
fn what_stands_in_the_way_has_its_own_code_and_words() {
    watched(|| {
        let strict = FakeMaster::start(|asked| match asked.authorization.as_deref() {
            None => error(401, "unauthorized", "no token"),
            Some("Bearer look") if asked.line.starts_with("POST") => {
                error(403, "forbidden", "this token may only look")
            }
            Some("Bearer look") => master(asked),
            Some(_) => error(401, "unauthorized", "wrong token"),
        });
        let run = drive(&strict, &["status"]);
        run.assert_code(17);
        assert!(run.stderr.contains("AV1CLI_TOKEN"), "{}", run.stderr);
        let run = drive(&strict, &["status", "--token", "s3cret"]);
        run.assert_code(17);
        assert!(!run.stderr.contains("s3cret"), "{}", run.stderr);
        drive(&strict, &["status", "--token", "look"]).assert_code(0);
        let run = drive(&strict, &["pause", "--token", "look"]);
        run.assert_code(17);
        assert!(run.stderr.contains("may only look"), "{}", run.stderr);

        let other = FakeMaster::start(|_| (200, json!("hello")));
        let run = drive(&other, &["status"]);
        run.assert_code(16);
        assert!(
            run.stderr.contains("no master that this program knows"),
            "{}",
            run.stderr
        );

        let broken = FakeMaster::start(|_| error(503, "store_failed", "the disk is full"));
        let run = drive(&broken, &["status"]);
        run.assert_code(1);
        assert!(run.stderr.contains("the disk is full"), "{}", run.stderr);

        let run = drive(&broken, &["status", "--master", "http://127.0.0.1:1"]);
        run.assert_code(16);
        assert!(run.stderr.contains("av1cli master"), "{}", run.stderr);
        drive(&broken, &["status", "--master", "ftp://nas"]).assert_code(2);
    });
}
