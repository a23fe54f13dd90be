//! `av1cli cancel`, `retry`, `skip` and `priority`: something is done with jobs.

use av1net::api::{ActionResult, JobAction, JobsAction};
use av1net::client::Client;
use av1net::job::JobState;

use super::client;
use super::jobs::{PAGE, filter, matching, named};
use crate::args::{ActArgs, PriorityArgs, WhichArgs};
use crate::exit::Exit;
use crate::out;
use crate::text;

pub(super) async fn cancel(args: ActArgs) -> anyhow::Result<Exit> {
    act(args, JobAction::Cancel, None).await
}

pub(super) async fn retry(args: ActArgs) -> anyhow::Result<Exit> {
    act(args, JobAction::Retry, None).await
}

pub(super) async fn skip(args: ActArgs) -> anyhow::Result<Exit> {
    act(args, JobAction::Skip, None).await
}

pub(super) async fn priority(args: PriorityArgs) -> anyhow::Result<Exit> {
    act(args.act, JobAction::Prioritise, Some(args.priority)).await
}

async fn act(args: ActArgs, action: JobAction, priority: Option<i32>) -> anyhow::Result<Exit> {
    let client = client(args.reach)?;
    let ids = which(&client, args.which, action).await?;
    let mut result = ActionResult::default();
    for ids in ids.chunks(PAGE) {
        let action = JobsAction {
            action,
            ids: ids.to_vec(),
            filter: None,
            priority,
        };
        let part = client.act(&action).await?;
        result.done += part.done;
        result.refused.extend(part.refused);
    }
    if args.json {
        out::json_pretty(&result)?;
    } else {
        for refused in &result.refused {
            out::note(&format!("job {}: {}", refused.id, refused.message));
        }
        out::say(&told(action, priority, &result))?;
    }
    Ok(if result.refused.is_empty() {
        Exit::DONE
    } else {
        Exit::REFUSED
    })
}

async fn which(
    client: &Client,
    which: WhichArgs,
    action: JobAction,
) -> anyhow::Result<Vec<av1net::units::JobId>> {
    if !which.all && which.filter.is_empty() {
        return named(client, &which.jobs).await;
    }
    let roots = client.status().await?.roots;
    let mut filter = filter(&which.filter, &roots)?;
    if filter.states.is_empty() {
        filter.states = meant_by(action).to_vec();
    }
    matching(client, filter).await
}

/// The states of the jobs that somebody means who names no state: those that the action
/// changes. Files that are left alone for a reason are tried again only where that is
/// asked for.
fn meant_by(action: JobAction) -> &'static [JobState] {
    use JobState as S;
    match action {
        JobAction::Cancel => &[S::Pending, S::RetryWait, S::Leased, S::Staged],
        JobAction::Retry => &[S::RetryWait, S::Failed, S::Cancelled, S::Quarantined],
        JobAction::Skip => &[
            S::Pending,
            S::RetryWait,
            S::Failed,
            S::Cancelled,
            S::Quarantined,
        ],
        JobAction::Prioritise => &[S::Pending, S::RetryWait],
    }
}

fn told(action: JobAction, priority: Option<i32>, result: &ActionResult) -> String {
    let jobs = text::count(result.done, "job");
    let what = match action {
        JobAction::Cancel => "cancelled".to_owned(),
        JobAction::Retry => "queued again".to_owned(),
        JobAction::Skip => "left alone from now on".to_owned(),
        JobAction::Prioritise => format!("set to priority {}", priority.unwrap_or(0)),
    };
    match result.refused.len() {
        0 => format!("{jobs} {what}"),
        refused => format!("{jobs} {what}, {refused} not"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use av1net::job::{FileId, Job, JobEvent, RetryPolicy, apply};
    use av1net::units::{Epoch, JobId, RelPath, RootId, UnixMs};

    fn job(state: JobState) -> Job {
        Job {
            id: JobId(1),
            root: RootId("a".to_owned()),
            path: RelPath::parse("film.mkv").expect("a path"),
            file: FileId {
                bytes: 1,
                modified_ns: 0,
                inode: 0,
            },
            state,
            priority: 0,
            queued: UnixMs(0),
            attempts: 0,
            epoch: Epoch(1),
            worker: None,
            retry_at: None,
            staged: None,
            reason: None,
            committed: None,
            changed: UnixMs(0),
        }
    }

    #[test]
    fn no_job_that_is_meant_refuses() {
        for (action, event) in [
            (JobAction::Cancel, JobEvent::Cancel),
            (JobAction::Retry, JobEvent::Retry),
            (JobAction::Skip, JobEvent::Skip),
            (JobAction::Prioritise, JobEvent::Prioritise { priority: 1 }),
        ] {
            for state in meant_by(action) {
                let now = UnixMs(0);
                let next = apply(&job(*state), &event, now, &RetryPolicy::default());
                assert!(next.is_ok(), "{action:?} of {state:?}");
            }
        }
    }
}
