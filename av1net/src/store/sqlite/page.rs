//! A page of the list: every order, within every state of every root, is an index. A
//! page merges as many ordered streams as it takes pairs of a root and a state, and looks
//! up the whole rows of those alone that it holds.
//!
//! Where a filter looks into rows (a search, a reason), the page looks at
//! [`MOST_LOOKED_AT`] of them and comes short then, with a cursor to go on from.

use std::collections::VecDeque;

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row, params_from_iter};

use super::codes::{SELECT_JOBS, job, state_code};
use crate::job::JobState;
use crate::store::order::{MOST_ON_A_PAGE, RowFilter, SortKey, SortValue, states};
use crate::store::{Page, PageQuery, SortBy, StoreError};
use crate::units::JobId;

type Result<T> = std::result::Result<T, StoreError>;

/// Rows that a page looks into at the most, so that it is there within 20 ms (design,
/// section 5).
const MOST_LOOKED_AT: usize = 10_000;

/// Keys that a stream reads ahead.
const LEAST_AHEAD: usize = 4;
const MOST_AHEAD: usize = 512;

/// An index over the jobs of one root and state.
#[derive(Clone, Copy)]
struct Index {
    name: &'static str,
    /// The column that orders it.
    column: &'static str,
    /// What picks the state, which is `?2`. An index over one state alone is only used
    /// where that state is written out.
    state: &'static str,
    /// Whether its jobs come after those that have no value of their own.
    second: bool,
}

impl Index {
    fn of(sort: SortBy, state: JobState) -> Self {
        let any = "state = ?2";
        let (name, column, state, second) = match (sort, state) {
            (SortBy::Path, _) => ("jobs_state_path", "path", any, false),
            (SortBy::Bytes, _) => ("jobs_state_bytes", "bytes", any, false),
            (SortBy::Saved, JobState::Completed) => (
                "jobs_completed",
                "saved_bytes",
                "state = 6 AND ?2 = 6",
                true,
            ),
            (SortBy::Queue, JobState::Pending) => {
                ("jobs_pending", "rank", "state = 0 AND ?2 = 0", false)
            }
            (SortBy::Queue, _) => ("jobs_state_changed", "changed_ms", any, true),
            (SortBy::Changed | SortBy::Saved, _) => {
                ("jobs_state_changed", "changed_ms", any, false)
            }
        };
        Self {
            name,
            column,
            state,
            second,
        }
    }

    fn key(self, row: &Row<'_>) -> rusqlite::Result<SortKey> {
        let value = row.get_ref(1)?;
        let value = if self.column == "path" {
            SortValue::Path(value.as_blob()?.to_vec())
        } else if self.second {
            SortValue::Second(value.as_i64()?)
        } else {
            SortValue::First(value.as_i64()?)
        };
        let id = JobId(row.get(0)?);
        Ok(SortKey { value, id })
    }
}

/// Where a stream goes on.
enum From<'a> {
    Beginning,
    After(&'a SortKey),
    Nowhere,
}

/// The keys of one root's jobs in one state, in order.
struct Stream {
    root: i64,
    state: JobState,
    index: Index,
    ahead: VecDeque<(SortKey, bool)>,
    /// How many to read next.
    next: usize,
    last: Option<SortKey>,
    ended: bool,
}

struct Reader<'a> {
    conn: &'a Connection,
    query: &'a PageQuery,
    filter: Option<RowFilter<'a>>,
    after: Option<SortKey>,
}

/// Reads a page; the connection is in a transaction, so that the keys' rows are there.
pub(super) fn page(conn: &Connection, query: &PageQuery) -> Result<Page> {
    let after = query.after.as_ref();
    let after = after.map(|cursor| SortKey::of_cursor(cursor, query.sort));
    let reader = Reader {
        conn,
        query,
        filter: RowFilter::of(&query.filter),
        after: after.transpose()?,
    };
    let limit = query.limit.clamp(1, MOST_ON_A_PAGE);
    let (keys, more) = reader.keys(limit)?;
    let next = keys.last.filter(|_| more);
    let mut jobs = Vec::with_capacity(keys.taken.len());
    let mut whole = conn.prepare_cached(&format!("{SELECT_JOBS}WHERE j.id = ?1"))?;
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
                self.fill(stream)?;
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

    /// A stream for each root and state that the filter takes and that has jobs.
    fn streams(&self, limit: usize) -> Result<Vec<Stream>> {
        let states = states(&self.query.filter);
        let root = self.query.filter.root.as_ref();
        let mut tallies = self.conn.prepare_cached(
            "SELECT t.root, t.state FROM tallies t JOIN roots r ON r.id = t.root \
             WHERE t.jobs > 0 AND (?1 IS NULL OR r.name = ?1)",
        )?;
        let rows = tallies.query_map([root.map(|root| &root.0)], |row| {
            Ok((row.get::<_, i64>(0)?, super::codes::state(row, 1)?))
        })?;
        let mut streams = Vec::new();
        for row in rows {
            let (root, state) = row?;
            if states.contains(&state) {
                streams.push(Stream {
                    root,
                    state,
                    index: Index::of(self.query.sort, state),
                    ahead: VecDeque::new(),
                    next: 0,
                    last: None,
                    ended: false,
                });
            }
        }
        let share = (2 * limit / streams.len().max(1)).clamp(LEAST_AHEAD, MOST_AHEAD);
        for stream in &mut streams {
            stream.next = share;
        }
        Ok(streams)
    }

    /// Reads ahead where nothing is left.
    fn fill(&self, stream: &mut Stream) -> Result<()> {
        if stream.ended || !stream.ahead.is_empty() {
            return Ok(());
        }
        let from = match (&stream.last, &self.after) {
            (Some(last), _) => From::After(last),
            (None, Some(after)) => self.start(stream.index, after),
            (None, None) => From::Beginning,
        };
        let mut ahead = VecDeque::with_capacity(stream.next);
        let read = self.read(stream, &from, &mut ahead)?;
        stream.ended = read < stream.next;
        stream.last = ahead.back().map(|(key, _)| key.clone());
        stream.ahead = ahead;
        stream.next = (stream.next * 2).min(MOST_AHEAD);
        Ok(())
    }

    /// A cursor may be in the other of an order's two groups.
    fn start<'a>(&self, index: Index, after: &'a SortKey) -> From<'a> {
        let cursor_is_second = match after.value {
            SortValue::Path(_) => return From::After(after),
            SortValue::First(_) => false,
            SortValue::Second(_) => true,
        };
        if cursor_is_second == index.second {
            From::After(after)
        } else if index.second == self.query.descending {
            From::Nowhere
        } else {
            From::Beginning
        }
    }

    fn read(
        &self,
        stream: &Stream,
        from: &From<'_>,
        ahead: &mut VecDeque<(SortKey, bool)>,
    ) -> Result<usize> {
        let index = stream.index;
        let (name, column, state) = (index.name, index.column, index.state);
        let (sign, direction) = if self.query.descending {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        let details = self.filter.as_ref().map_or("", |_| ", path, reason_kind");
        let code = state_code(stream.state);
        let limit = i64::try_from(stream.next).unwrap_or(i64::MAX);
        let mut params: Vec<&dyn ToSql> = vec![&stream.root, &code, &limit];
        let bound = match from {
            From::Nowhere => return Ok(0),
            From::Beginning => String::new(),
            From::After(key) => {
                params.push(match &key.value {
                    SortValue::First(value) | SortValue::Second(value) => value,
                    SortValue::Path(path) => path,
                });
                params.push(&key.id.0);
                format!("AND ({column}, id) {sign} (?4, ?5) ")
            }
        };
        let sql = format!(
            "SELECT id, {column}{details} FROM jobs INDEXED BY {name} \
             WHERE root = ?1 AND {state} {bound}\
             ORDER BY {column} {direction}, id {direction} LIMIT ?3"
        );
        let mut statement = self.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(params))?;
        while let Some(row) = rows.next()? {
            let takes = match &self.filter {
                None => true,
                Some(filter) => {
                    let path = row.get_ref(2)?.as_blob();
                    let reason = row.get_ref(3)?.as_str_or_null();
                    filter.takes(
                        path.map_err(rusqlite::Error::from)?,
                        reason.map_err(rusqlite::Error::from)?,
                    )
                }
            };
            ahead.push_back((stream.index.key(row)?, takes));
        }
        Ok(ahead.len())
    }
}
