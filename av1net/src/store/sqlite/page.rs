//! A page of the list. Within every state of every root, each order but that by path is
//! an index; by path it is each root. A page merges as many ordered streams as it takes,
//! and looks up the whole rows of those jobs alone that it holds.
//!
//! Where rows have to be looked into (a search, a reason, some states by path), a page
//! looks at [`MOST_LOOKED_AT`] of them and comes short then, with a cursor to go on from.

use std::collections::VecDeque;

use rusqlite::Connection;

use super::codes::{job, select_jobs, state, state_code};
use super::stream::{Index, MOST_AHEAD, Stream};
use crate::job::JobState;
use crate::store::order::{MOST_ON_A_PAGE, RowFilter, SortKey, states};
use crate::store::{Page, PageQuery, SortBy, StoreError};
use crate::units::JobId;

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that a page looks into at the most, so that it is there within 20 ms (design,
/// section 5).
const MOST_LOOKED_AT: usize = 3_000;

/// By path, jobs in states that have so few of them are gathered and sorted, rather than
/// looked for among all.
const FEW: i64 = 2_000;

/// The least that a stream reads ahead at first.
const LEAST_AHEAD: usize = 4;

/// What all streams of a page read by.
pub(super) struct Reader<'a> {
    pub(super) conn: &'a Connection,
    pub(super) query: &'a PageQuery,
    pub(super) states: Vec<JobState>,
    pub(super) filter: Option<RowFilter<'a>>,
    pub(super) after: Option<SortKey>,
}

/// Reads a page; the connection is in a transaction, so that the keys' rows are there.
pub(super) fn page(conn: &Connection, query: &PageQuery) -> Result<Page> {
    let after = query.after.as_ref();
    let after = after.map(|cursor| SortKey::of_cursor(cursor, query.sort));
    let reader = Reader {
        conn,
        query,
        states: states(&query.filter),
        filter: RowFilter::of(&query.filter),
        after: after.transpose()?,
    };
    let limit = query.limit.clamp(1, MOST_ON_A_PAGE);
    let (keys, more) = reader.keys(limit)?;
    let next = keys.last.filter(|_| more);
    let mut jobs = Vec::with_capacity(keys.taken.len());
    let mut whole = conn.prepare_cached(&select_jobs(None, "WHERE j.id = ?1"))?;
    for id in keys.taken {
        jobs.push(whole.query_row([id.0], job)?);
    }
    Ok(Page {
        jobs,
        next: next.map(|key| key.cursor(query.sort)),
    })
}

#[derive(Default)]
struct Keys {
    taken: Vec<JobId>,
    /// The last one that was looked at.
    last: Option<SortKey>,
}

impl Reader<'_> {
    /// The keys of a page, and whether there are more after them.
    fn keys(&self, limit: usize) -> Result<(Keys, bool)> {
        let mut streams = self.streams(limit)?;
        let mut keys = Keys::default();
        let mut looked_at = 0;
        loop {
            for stream in &mut streams {
                stream.fill(self)?;
            }
            streams.retain(|stream| !stream.ahead.is_empty());
            let full = keys.taken.len() == limit || looked_at == MOST_LOOKED_AT;
            let Some((key, takes)) = self.pop(&mut streams, full) else {
                return Ok((keys, !streams.is_empty()));
            };
            looked_at += 1;
            if takes {
                keys.taken.push(key.id);
            }
            keys.last = Some(key);
        }
    }

    /// The first key of all streams; `None` at the end, or where the page is full.
    fn pop(&self, streams: &mut [Stream], full: bool) -> Option<(SortKey, bool)> {
        if full {
            return None;
        }
        let first = |one: &&mut Stream, other: &&mut Stream| {
            let (one, other) = (one.ahead.front(), other.ahead.front());
            one.map(|(key, _)| key).cmp(&other.map(|(key, _)| key))
        };
        let stream = if self.query.descending {
            streams.iter_mut().max_by(first)
        } else {
            streams.iter_mut().min_by(first)
        };
        stream.and_then(|stream| stream.ahead.pop_front())
    }

    /// The streams of a list, each of one root.
    fn streams(&self, limit: usize) -> Result<Vec<Stream>> {
        let tallies = self.tallies()?;
        let (taken, others): (Vec<_>, Vec<_>) = tallies
            .into_iter()
            .partition(|(_, state, _)| self.states.contains(state));
        let by_path = self.query.sort == SortBy::Path;
        let jobs: i64 = taken.iter().map(|(_, _, jobs)| jobs).sum();
        let mut streams = Vec::new();
        if by_path && jobs <= FEW && !others.is_empty() {
            for (root, state, _) in taken {
                streams.push(self.gather(root, state)?);
            }
            return Ok(streams);
        }
        for (root, state, _) in taken {
            let mut index = Index::of(self.query.sort, state);
            // All of a root's states are one stream there.
            let again = |stream: &Stream| by_path && stream.root == root;
            if !streams.iter().any(again) {
                index.mixed &= others.iter().any(|(other, _, _)| *other == root);
                streams.push(Stream::new(root, state, index));
            }
        }
        let ahead = (2 * limit / streams.len().max(1)).clamp(LEAST_AHEAD, MOST_AHEAD);
        for stream in &mut streams {
            stream.next = ahead;
        }
        Ok(streams)
    }

    /// How many jobs each root has in each state that it has any in.
    fn tallies(&self) -> Result<Vec<(i64, JobState, i64)>> {
        let root = self.query.filter.root.as_ref();
        let mut tallies = self.conn.prepare_cached(
            "SELECT t.root, t.state, t.jobs FROM tallies t JOIN roots r ON r.id = t.root \
             WHERE t.jobs > 0 AND (?1 IS NULL OR r.name = ?1)",
        )?;
        let rows = tallies.query_map([root.map(|root| &root.0)], |row| {
            Ok((row.get(0)?, state(row, 1)?, row.get(2)?))
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// All jobs of a root and state that come after the cursor, by path.
    fn gather(&self, root: i64, state: JobState) -> Result<Stream> {
        let index = Index::of(SortBy::Path, state);
        let mut statement = self.conn.prepare_cached(
            "SELECT id, path, 1, path, reason_kind FROM jobs INDEXED BY jobs_state_changed \
             WHERE root = ?1 AND state = ?2",
        )?;
        let mut rows = statement.query([root, state_code(state)])?;
        let mut ahead = Vec::new();
        while let Some(row) = rows.next()? {
            let key = index.key(row)?;
            let comes = match &self.after {
                None => true,
                Some(after) if self.query.descending => key < *after,
                Some(after) => key > *after,
            };
            if comes && self.takes(row)? {
                ahead.push((key, true));
            }
        }
        ahead.sort();
        if self.query.descending {
            ahead.reverse();
        }
        let mut stream = Stream::new(root, state, index);
        stream.ahead = VecDeque::from(ahead);
        stream.ended = true;
        Ok(stream)
    }
}
