//! `av1cli workers`, `drain`, `pause` and `resume`.

use av1net::api::WorkerView;
use av1net::client::Client;
use av1net::clock;
use av1net::proto::WorkerSettings;

use super::client;
use crate::args::{DrainArgs, PauseArgs, WorkersArgs};
use crate::exit::{Exit, NoSuch};
use crate::out;
use crate::render::api;
use crate::text;

pub(super) async fn list(args: WorkersArgs) -> anyhow::Result<Exit> {
    let client = client(args.reach)?;
    let workers = client.workers().await?;
    if args.json {
        out::json_pretty(&workers)?;
    } else {
        for line in api::worker_list(&workers, clock::now()) {
            out::say(&line)?;
        }
    }
    Ok(Exit::DONE)
}

pub(super) async fn drain(args: DrainArgs) -> anyhow::Result<Exit> {
    let client = client(args.reach)?;
    let workers = client.workers().await?;
    let chosen = if args.all {
        workers.iter().collect()
    } else {
        named(&workers, &args.workers)?
    };
    let what = "takes no more work, and ends when what it runs is done";
    set(&client, &chosen, args.json, what, |settings| {
        settings.draining = true;
    })
    .await
}

pub(super) async fn pause(args: PauseArgs) -> anyhow::Result<Exit> {
    let client = client(args.reach)?;
    if args.workers.is_empty() {
        client.set_paused(true).await?;
        return told_of_all(
            &client,
            args.json,
            "No worker takes work now; what runs goes on.",
        )
        .await;
    }
    let workers = client.workers().await?;
    let chosen = named(&workers, &args.workers)?;
    set(
        &client,
        &chosen,
        args.json,
        "takes no more work",
        |settings| {
            settings.paused = true;
        },
    )
    .await
}

pub(super) async fn resume(args: PauseArgs) -> anyhow::Result<Exit> {
    let client = client(args.reach)?;
    if args.workers.is_empty() {
        client.set_paused(false).await?;
        return told_of_all(&client, args.json, "Workers take work again.").await;
    }
    let workers = client.workers().await?;
    let chosen = named(&workers, &args.workers)?;
    set(
        &client,
        &chosen,
        args.json,
        "takes work again",
        |settings| {
            settings.paused = false;
            settings.draining = false;
        },
    )
    .await
}

/// What was said to all workers, and which of them were set otherwise on their own.
async fn told_of_all(client: &Client, json: bool, line: &str) -> anyhow::Result<Exit> {
    let workers = client.workers().await?;
    if json {
        out::json_pretty(&workers)?;
        return Ok(Exit::DONE);
    }
    out::say(line)?;
    let apart = |worker: &&WorkerView| worker.settings.paused || worker.settings.draining;
    for worker in workers.iter().filter(apart) {
        let how = if worker.settings.draining {
            "draining"
        } else {
            "paused"
        };
        let name = &worker.name;
        out::note(&format!(
            "{name} was set {how} on its own: `av1cli resume {name}` ends that"
        ));
    }
    Ok(Exit::DONE)
}

async fn set(
    client: &Client,
    workers: &[&WorkerView],
    json: bool,
    what: &str,
    change: impl Fn(&mut WorkerSettings),
) -> anyhow::Result<Exit> {
    let mut set = Vec::new();
    for worker in workers {
        let mut settings = worker.settings.clone();
        change(&mut settings);
        set.push(client.set_worker(&worker.id, &settings).await?);
    }
    if json {
        out::json_pretty(&set)?;
        return Ok(Exit::DONE);
    }
    for worker in &set {
        out::say(&format!("{} {what}", worker.name))?;
    }
    if set.is_empty() {
        out::say(&text::count(0, "worker"))?;
    }
    Ok(Exit::DONE)
}

/// The workers of these names or identities; of an identity its beginning will do.
fn named<'a>(workers: &'a [WorkerView], names: &[String]) -> anyhow::Result<Vec<&'a WorkerView>> {
    let mut chosen: Vec<&WorkerView> = Vec::new();
    for name in names {
        let mut found: Vec<_> = workers
            .iter()
            .filter(|worker| worker.name == *name || worker.id.0 == *name)
            .collect();
        if found.is_empty() {
            found = workers
                .iter()
                .filter(|worker| !name.is_empty() && worker.id.0.starts_with(name.as_str()))
                .collect();
        }
        match found.as_slice() {
            [one] => {
                if !chosen.iter().any(|worker| worker.id == one.id) {
                    chosen.push(one);
                }
            }
            [] => {
                let message = format!("the master has no worker {name}; it has {}", all(workers));
                return Err(NoSuch(message).into());
            }
            several => {
                let ids: Vec<_> = several.iter().map(|worker| worker.id.0.as_str()).collect();
                let ids = ids.join(", ");
                let message = format!("several workers are meant by {name}; name one of {ids}");
                return Err(NoSuch(message).into());
            }
        }
    }
    Ok(chosen)
}

fn all(workers: &[WorkerView]) -> String {
    let names: Vec<_> = workers.iter().map(|worker| worker.name.as_str()).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers() -> Vec<WorkerView> {
        let one = |id: &str, name: &str| {
            format!(
                r#"{{"id": "{id}", "name": "{name}", "state": "idle", "version": "1",
                    "encoder": null, "warnings": [], "slots": 1, "load": {{}}, "history": [],
                    "last_seen": 0, "mounted": [], "jobs": [], "fps": 0, "failures": 0,
                    "settings": {{}}}}"#
            )
        };
        let all = [one("aa11", "nas"), one("aa22", "box"), one("bb33", "box")];
        serde_json::from_str(&format!("[{}]", all.join(","))).expect("workers")
    }

    #[test]
    fn a_worker_is_named_as_far_as_it_takes() {
        let workers = workers();
        let ids = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            named(&workers, &names)
                .map(|found| found.iter().map(|w| w.id.0.clone()).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            ids(&["nas", "bb", "aa11"]).expect("found"),
            ["aa11", "bb33"]
        );
        let error = ids(&["box"]).expect_err("two of them");
        assert!(error.ends_with("name one of aa22, bb33"), "{error}");
        let error = ids(&["aa"]).expect_err("two of them");
        assert!(error.ends_with("name one of aa11, aa22"), "{error}");
        let error = ids(&["attic"]).expect_err("none");
        assert!(error.ends_with("it has nas, box, box"), "{error}");
        assert!(ids(&[""]).is_err());
    }
}
