//! `av1cli jobs`, and jobs as they are named on a command line.

use std::path::{Path, absolute};

use anyhow::Context;
use av1net::api::{JobView, JobsPage, RootView};
use av1net::client::Client;
use av1net::clock;
use av1net::job::JobState;
use av1net::store::{Cursor, Filter, PageQuery, SortBy};
use av1net::units::{JobId, RelPath};

use super::{client, root_named};
use crate::args::{FilterArgs, JobsArgs};
use crate::exit::{Exit, NoSuch};
use crate::out;
use crate::render::api::{self, Names};

/// Jobs of one page; the store gives no more at once.
pub(super) const PAGE: usize = 500;

pub(super) async fn run(args: JobsArgs) -> anyhow::Result<Exit> {
    let client = client(args.reach)?;
    if args.jobs.is_empty() {
        let roots = client.status().await?.roots;
        let filter = filter(&args.filter, &roots)?;
        let (sort, descending) = args.sort.by();
        let query = PageQuery {
            filter,
            sort,
            descending: descending != args.reverse,
            after: None,
            limit: 0,
        };
        let most = if args.limit == 0 {
            usize::MAX
        } else {
            args.limit
        };
        let page = pages(&client, query, most).await?;
        return list(&page, &Names::new(&roots), args.json);
    }
    let mut details = Vec::new();
    for id in named(&client, &args.jobs).await? {
        details.push(client.job(id).await?);
    }
    if args.json {
        out::json_pretty(&details)?;
        return Ok(Exit::DONE);
    }
    for (index, detail) in details.iter().enumerate() {
        if index > 0 {
            out::say("")?;
        }
        for line in api::job_detail(detail, clock::now()) {
            out::say(&line)?;
        }
    }
    Ok(Exit::DONE)
}

fn list(page: &JobsPage, names: &Names, json: bool) -> anyhow::Result<Exit> {
    if json {
        out::json_pretty(page)?;
        return Ok(Exit::DONE);
    }
    if page.jobs.is_empty() {
        out::say("no jobs")?;
        return Ok(Exit::DONE);
    }
    for line in api::job_list(&page.jobs, names, clock::now()) {
        out::say(&line)?;
    }
    if page.next.is_some() {
        let of = page
            .total
            .map_or_else(String::new, |total| format!(" of {total}"));
        let shown = page.jobs.len();
        out::note(&format!("{shown}{of} shown; --limit 0 shows all"));
    }
    Ok(Exit::DONE)
}

/// What the flags ask for, in the API's words.
pub(super) fn filter(args: &FilterArgs, roots: &[RootView]) -> anyhow::Result<Filter> {
    let root = args.root.as_deref();
    Ok(Filter {
        states: args.states(),
        root: root.map(|name| root_named(roots, name)).transpose()?,
        search: args.search.clone(),
        reason: args.reason.clone(),
    })
}

/// As many jobs as wanted, of as many pages as it takes. Its `next` is set where there
/// are more.
pub(super) async fn pages(
    client: &Client,
    mut query: PageQuery,
    most: usize,
) -> anyhow::Result<JobsPage> {
    let mut jobs: Vec<JobView> = Vec::new();
    loop {
        query.limit = PAGE.min(most - jobs.len());
        let page = client.jobs(&query).await?;
        jobs.extend(page.jobs);
        if page.next.is_none() || jobs.len() >= most {
            jobs.truncate(most);
            return Ok(JobsPage {
                jobs,
                next: page.next,
                total: page.total,
            });
        }
        query.after = page.next.map(Cursor);
    }
}

/// The jobs that were named, by number or by file.
pub(super) async fn named(client: &Client, names: &[String]) -> anyhow::Result<Vec<JobId>> {
    let mut ids = Vec::new();
    let mut roots = None;
    for name in names {
        if let Ok(number) = name.parse() {
            ids.push(JobId(number));
            continue;
        }
        let roots = match &roots {
            Some(roots) => roots,
            None => roots.insert(client.status().await?.roots),
        };
        ids.push(of_file(client, roots, name).await?);
    }
    Ok(ids)
}

/// The job of a file: by its path on the master, or below its media directory.
async fn of_file(client: &Client, roots: &[RootView], name: &str) -> anyhow::Result<JobId> {
    let found = candidates(roots, Path::new(name));
    for (root, path) in &found {
        let query = PageQuery {
            filter: Filter {
                // A file that is gone still has a job.
                states: JobState::ALL.to_vec(),
                root: root.and_then(|root| root.id.clone()),
                search: Some(path.to_string()),
                reason: None,
            },
            sort: SortBy::Path,
            ..PageQuery::default()
        };
        let page = pages(client, query, usize::MAX).await?;
        let exact: Vec<_> = page.jobs.iter().filter(|job| job.path == *path).collect();
        match exact.as_slice() {
            [] => {}
            [job] => return Ok(job.id),
            several => {
                let ids: Vec<_> = several.iter().map(|job| job.id.to_string()).collect();
                let ids = ids.join(", ");
                return Err(NoSuch(format!("{name} is jobs {ids}: name one of them")).into());
            }
        }
    }
    let message = format!(
        "the master has no job of the file {name}; `av1cli jobs --search NAME` looks for it, \
         `av1cli scan` has it look for new files"
    );
    Err(NoSuch(message).into())
}

/// What a path can mean: below which root, likeliest first.
fn candidates<'a>(roots: &'a [RootView], name: &Path) -> Vec<(Option<&'a RootView>, RelPath)> {
    let mut found = Vec::new();
    let whole = [
        name.is_absolute().then(|| name.to_owned()),
        // Where the master's machine is this one, or mounts its folders alike.
        absolute(name).ok(),
        name.canonicalize().ok(),
    ];
    for path in whole.into_iter().flatten() {
        for root in roots {
            let below = as_text(&path).and_then(|text| below(&root.path, &text));
            let candidate = below.map(|path| (Some(root), path));
            if let Some(candidate) = candidate.filter(|c| !found.contains(c)) {
                found.push(candidate);
            }
        }
    }
    found.extend(RelPath::new(name).map(|path| (None, path)));
    found
}

/// An absolute path as the API writes paths.
fn as_text(path: &Path) -> Option<String> {
    let below = RelPath::new(path.strip_prefix("/").ok()?)?;
    Some(format!("/{below}"))
}

fn below(root: &str, path: &str) -> Option<RelPath> {
    let rest = path.strip_prefix(root.trim_end_matches('/'))?;
    RelPath::parse(rest.strip_prefix('/')?)
}

/// All jobs of a filter.
pub(super) async fn matching(client: &Client, filter: Filter) -> anyhow::Result<Vec<JobId>> {
    let query = PageQuery {
        filter,
        // By path, since what is done with a job changes neither its path nor its place.
        sort: SortBy::Path,
        ..PageQuery::default()
    };
    let page = pages(client, query, usize::MAX)
        .await
        .context("the jobs were not found")?;
    Ok(page.jobs.iter().map(|job| job.id).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use av1net::units::RootId;

    fn root(id: &str, path: &str) -> RootView {
        RootView {
            id: Some(RootId(id.to_owned())),
            path: path.to_owned(),
            mounted: true,
            problem: None,
            scanning_files: None,
            scanned: None,
            look_again: None,
        }
    }

    #[test]
    fn a_file_is_found_below_its_media_directory() {
        let roots = [root("a", "/media/films"), root("b", "/media/films/4k/")];
        let meant = |name: &str| {
            let found = candidates(&roots, Path::new(name)).into_iter();
            let found = found.map(|(root, path)| {
                let root = root.and_then(|root| root.id.as_ref());
                format!("{}:{path}", root.map_or("-", |id| id.0.as_str()))
            });
            found.collect::<Vec<_>>()
        };
        assert_eq!(meant("/media/films/A/a.mkv"), ["a:A/a.mkv"]);
        assert_eq!(meant("/media/films/4k/a.mkv"), ["a:4k/a.mkv", "b:a.mkv"]);
        assert_eq!(meant("/media/films2/a.mkv"), Vec::<String>::new());
        assert_eq!(meant("/media/films"), Vec::<String>::new());
        assert_eq!(meant("A/a.mkv"), ["-:A/a.mkv"]);
        assert_eq!(meant("../a.mkv"), Vec::<String>::new());
    }
}
