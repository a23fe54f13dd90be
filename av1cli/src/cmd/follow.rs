//! A library that is being shrunk by a master in this process, followed to its end.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use av1net::api::{JobView, RootView};
use av1net::job::JobState;
use av1net::master::{ApiError, Core, LiveSubscription};
use av1net::store::{Cursor, Filter, PageQuery, SortBy};
use av1net::units::UnixMs;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{MissedTickBehavior, interval};

use crate::out;
use crate::render::api::Names;
use crate::render::library::{Bars, Library, Tally, line};

/// The feed tells twice a second at the most; where nothing changes it tells nothing.
const TICK: Duration = Duration::from_millis(500);

/// How the way to the end is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    /// A line for each film that is done, and bars where there is a terminal.
    Lines,
    /// Nothing.
    Quiet,
    /// JSON lines.
    Json,
}

/// Follows a library.
pub(super) struct Follower {
    core: Core,
    began: UnixMs,
    library: Library,
    names: Names,
    feed: LiveSubscription,
    first: VecDeque<Arc<str>>,
    show: Show,
    bars: Option<Bars>,
    tick: tokio::time::Interval,
}

/// A film that ended, as a JSON line.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    #[serde(flatten)]
    job: &'a JobView,
}

impl Follower {
    /// Follows what happens from `began` on. `bars`: whether they may be drawn.
    pub(super) async fn new(core: Core, began: UnixMs, show: Show, bars: bool) -> Self {
        let mut feed = core.live(None).await;
        let first = std::mem::take(&mut feed.first).into();
        let names = Names::new(&core.status().await.roots);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let bars = bars && show == Show::Lines && io::stderr().is_terminal();
        Self {
            core,
            began,
            library: Library::new(began),
            names,
            feed,
            first,
            show,
            bars: bars.then(Bars::new),
            tick,
        }
    }

    /// Shows what happens next.
    pub(super) async fn next(&mut self) -> anyhow::Result<()> {
        let text = if let Some(text) = self.first.pop_front() {
            Some(text)
        } else {
            tokio::select! {
                text = self.feed.next.recv() => match text {
                    Ok(text) => Some(text),
                    Err(RecvError::Lagged(_)) => {
                        self.feed = self.core.live(None).await;
                        self.first = std::mem::take(&mut self.feed.first).into();
                        None
                    }
                    Err(RecvError::Closed) => anyhow::bail!("the master's feed ended"),
                },
                _ = self.tick.tick() => None,
            }
        };
        if let Some(text) = text {
            let message = serde_json::from_str(&text).context("the master's feed")?;
            let ended = self.library.hear(message);
            self.tell(&ended)?;
        }
        if let Some(bars) = &mut self.bars {
            bars.draw(&self.library, &self.names);
        }
        Ok(())
    }

    fn tell(&self, ended: &[JobView]) -> anyhow::Result<()> {
        for job in ended {
            match self.show {
                Show::Lines => {
                    if let Some(line) = line(job, &self.names) {
                        self.say(&line)?;
                    }
                }
                Show::Quiet => {}
                Show::Json => out::json_line(&Told { event: "film", job })?,
            }
        }
        Ok(())
    }

    /// Prints a line, above the bars where there are some.
    pub(super) fn say(&self, line: &str) -> anyhow::Result<()> {
        match &self.bars {
            Some(bars) => bars.step_aside(|| out::say(line)),
            None => out::say(line),
        }
    }

    /// Prints a line on stderr, above the bars where there are some.
    pub(super) fn note(&self, line: &str) {
        match &self.bars {
            Some(bars) => bars.step_aside(|| out::note(line)),
            None => out::note(line),
        }
    }

    /// The media directories.
    pub(super) async fn roots(&self) -> Vec<RootView> {
        self.core.status().await.roots
    }

    /// Whether every film of every media directory that is there has been dealt with.
    pub(super) async fn is_done(&self) -> anyhow::Result<bool> {
        if !self.is_scanned().await {
            return Ok(false);
        }
        // The store's word, and after the scan's: what a scan found is in it.
        Ok(self.left().await?.0.is_empty())
    }

    /// Whether all media directories that are there have been looked through.
    pub(super) async fn is_scanned(&self) -> bool {
        let roots = self.roots().await;
        roots.iter().filter(|root| root.mounted).all(|root| {
            let ended = root.scanned.is_some_and(|at| at >= self.began) || root.problem.is_some();
            ended && root.scanning_files.is_none() && root.look_again.is_none()
        })
    }

    /// A film that is still to be dealt with, if there is one, and how many there are.
    pub(super) async fn left(&self) -> anyhow::Result<(Vec<JobView>, u64)> {
        let states = JobState::ALL.into_iter();
        let open = |state: &JobState| {
            state.is_active() || matches!(state, JobState::Pending | JobState::RetryWait)
        };
        let query = PageQuery {
            filter: Filter {
                states: states.filter(open).collect(),
                ..Filter::default()
            },
            sort: SortBy::Path,
            limit: 1,
            ..PageQuery::default()
        };
        let page = self.core.jobs(query).await.map_err(unexpected)?;
        let total = page.total.unwrap_or(page.jobs.len() as u64);
        Ok((page.jobs, total))
    }

    /// How many films there are to look into since the beginning: a worker may be through
    /// with some of them before anyone can ask.
    ///
    /// Nothing else goes on while it is counted, so it is one page and a few tries: of a
    /// library in which more ends meanwhile the number is a little too small.
    pub(super) async fn found(&self) -> anyhow::Result<u64> {
        const TRIES: usize = 3;
        let looked_into = async || {
            let page = self.core.jobs(last_ended()).await.map_err(unexpected)?;
            let ended = page.jobs.iter().filter(|job| job.changed >= self.began);
            anyhow::Ok(ended.filter(|job| job.worker.is_some()).count() as u64)
        };
        let mut found = 0;
        for _ in 0..TRIES {
            let before = looked_into().await?;
            let (_, left) = self.left().await?;
            found = left + before;
            // One that ended in between is in neither number.
            if looked_into().await? == before {
                break;
            }
        }
        Ok(found)
    }

    /// Every film that was dealt with since the beginning, by path; those that the feed
    /// did not tell of are told now.
    pub(super) async fn ended(&mut self) -> anyhow::Result<Vec<JobView>> {
        let mut all = self.dealt_with().await?;
        all.sort_by(|a, b| (&a.root, &a.path).cmp(&(&b.root, &b.path)));
        let untold = self.library.take(all.clone());
        self.tell(&untold)?;
        Ok(all)
    }

    async fn dealt_with(&self) -> anyhow::Result<Vec<JobView>> {
        let mut all = Vec::new();
        let mut query = last_ended();
        loop {
            let page = self.core.jobs(query.clone()).await.map_err(unexpected)?;
            let older = page.jobs.iter().position(|job| job.changed < self.began);
            let mut jobs = page.jobs;
            jobs.truncate(older.unwrap_or(jobs.len()));
            all.extend(jobs);
            match page.next {
                Some(next) if older.is_none() => query.after = Some(Cursor(next)),
                _ => break,
            }
        }
        all.retain(|job| Tally::of([job]).films() > 0);
        Ok(all)
    }

    /// How films are named here.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Takes the bars away.
    pub(super) fn clear(&mut self) {
        if let Some(bars) = self.bars.take() {
            bars.clear();
        }
    }
}

/// What ended, the last first.
fn last_ended() -> PageQuery {
    use JobState as S;
    PageQuery {
        filter: Filter {
            // Not those that are gone: there is nothing to look into.
            states: vec![
                S::Completed,
                S::Skipped,
                S::Failed,
                S::Cancelled,
                S::Quarantined,
            ],
            ..Filter::default()
        },
        sort: SortBy::Changed,
        descending: true,
        limit: 500,
        ..PageQuery::default()
    }
}

fn unexpected(error: ApiError) -> anyhow::Error {
    anyhow::Error::from(error).context("the job store")
}
