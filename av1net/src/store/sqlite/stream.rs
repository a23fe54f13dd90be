//! An ordered part of a list: the keys of one root's jobs, by an index, read ahead in
//! growing pieces.

use std::collections::VecDeque;

use rusqlite::types::ToSql;
use rusqlite::{Row, params_from_iter};

use super::codes::state_code;
use super::page::Reader;
use crate::job::JobState;
use crate::store::order::{SortKey, SortValue};
use crate::store::{SortBy, StoreError};
use crate::units::JobId;

type Result<T> = std::result::Result<T, StoreError>;

/// The most that a stream reads ahead.
pub(super) const MOST_AHEAD: usize = 512;

/// An index that orders jobs of one root: those in one state, or all.
#[derive(Clone, Copy)]
pub(super) struct Index {
    name: &'static str,
    /// The column that orders it.
    column: &'static str,
    /// What picks the state, which is `?2`. An index over one state alone is only used
    /// where that state is written out.
    state: &'static str,
    /// Whether it holds states besides those that are wanted, so that each row has to be
    /// asked for its own.
    pub(super) mixed: bool,
    /// Whether its jobs come after those that have no value of their own.
    second: bool,
}

impl Index {
    pub(super) fn of(sort: SortBy, state: JobState) -> Self {
        let one = Self {
            name: "jobs_state_changed",
            column: "changed_ms",
            state: "state = ?2",
            mixed: false,
            second: false,
        };
        match (sort, state) {
            (SortBy::Path, _) => Self {
                name: "jobs_path",
                column: "path",
                state: "?2 >= 0",
                mixed: true,
                ..one
            },
            (SortBy::Bytes, _) => Self {
                name: "jobs_state_bytes",
                column: "bytes",
                ..one
            },
            (SortBy::Saved, JobState::Completed) => Self {
                name: "jobs_completed",
                column: "saved_bytes",
                state: "state = 6 AND ?2 = 6",
                second: true,
                ..one
            },
            (SortBy::Queue, JobState::Pending) => Self {
                name: "jobs_pending",
                column: "rank",
                state: "state = 0 AND ?2 = 0",
                ..one
            },
            (SortBy::Queue, _) => Self {
                second: true,
                ..one
            },
            (SortBy::Changed | SortBy::Saved, _) => one,
        }
    }

    /// The key of a row that begins with its number and the column.
    pub(super) fn key(self, row: &Row<'_>) -> rusqlite::Result<SortKey> {
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

/// What part of a stream to read. SQLite seeks `(value, number) > (?, ?)` by the value
/// alone, and then steps over all that is equal: a whole library where a scan found it
/// at one moment. So what is equal, and what is beyond, are read one after the other.
enum Span<'a> {
    All,
    /// Of the same value as this key, after it by number.
    Equal(&'a SortKey),
    /// Of a value after this key's.
    Beyond(&'a SortKey),
}

/// The keys of one root's jobs, in order.
pub(super) struct Stream {
    pub(super) root: i64,
    state: JobState,
    index: Index,
    /// Keys that were read, and whether the filter takes their rows.
    pub(super) ahead: VecDeque<(SortKey, bool)>,
    /// How many to read next.
    pub(super) next: usize,
    /// The last key that was read.
    last: Option<SortKey>,
    /// Nothing comes after what was read.
    pub(super) ended: bool,
}

impl Stream {
    pub(super) fn new(root: i64, state: JobState, index: Index) -> Self {
        Self {
            root,
            state,
            index,
            ahead: VecDeque::new(),
            next: 0,
            last: None,
            ended: false,
        }
    }

    /// Reads ahead where nothing is left.
    pub(super) fn fill(&mut self, by: &Reader<'_>) -> Result<()> {
        if self.ended || !self.ahead.is_empty() {
            return Ok(());
        }
        let from = match (&self.last, &by.after) {
            (Some(last), _) => From::After(last),
            (None, Some(after)) => self.start(after, by.query.descending),
            (None, None) => From::Beginning,
        };
        let mut ahead = VecDeque::with_capacity(self.next);
        match from {
            From::Nowhere => {}
            From::Beginning => self.read(by, &Span::All, &mut ahead)?,
            From::After(key) => {
                self.read(by, &Span::Equal(key), &mut ahead)?;
                if ahead.len() < self.next {
                    self.read(by, &Span::Beyond(key), &mut ahead)?;
                }
            }
        }
        self.ended = ahead.len() < self.next;
        self.last = ahead.back().map(|(key, _)| key.clone());
        self.ahead = ahead;
        self.next = (self.next * 2).min(MOST_AHEAD);
        Ok(())
    }

    /// A cursor may be in the other of an order's two groups.
    fn start<'a>(&self, after: &'a SortKey, descending: bool) -> From<'a> {
        let cursor_is_second = match after.value {
            SortValue::Path(_) => return From::After(after),
            SortValue::First(_) => false,
            SortValue::Second(_) => true,
        };
        if cursor_is_second == self.index.second {
            From::After(after)
        } else if self.index.second == descending {
            From::Nowhere
        } else {
            From::Beginning
        }
    }

    /// Reads keys, up to as many as there are to read ahead.
    fn read(
        &self,
        by: &Reader<'_>,
        span: &Span<'_>,
        ahead: &mut VecDeque<(SortKey, bool)>,
    ) -> Result<()> {
        let Index { name, column, .. } = self.index;
        let state = self.index.state;
        let (sign, direction) = if by.query.descending {
            ("<", "DESC")
        } else {
            (">", "ASC")
        };
        let code = state_code(self.state);
        let limit = i64::try_from(self.next - ahead.len()).unwrap_or(i64::MAX);
        let mut params: Vec<&dyn ToSql> = vec![&self.root, &code, &limit];
        let bound = match span {
            Span::All => String::new(),
            Span::Equal(key) => {
                params.extend([key.value.sql(), &key.id.0]);
                format!("AND {column} = ?4 AND id {sign} ?5 ")
            }
            Span::Beyond(key) => {
                params.push(key.value.sql());
                format!("AND {column} {sign} ?4 ")
            }
        };
        let taken = self.taken(by);
        let details = by.filter.as_ref().map_or("", |_| ", path, reason_kind");
        let sql = format!(
            "SELECT id, {column}, {taken}{details} FROM jobs INDEXED BY {name} \
             WHERE root = ?1 AND {state} {bound}\
             ORDER BY {column} {direction}, id {direction} LIMIT ?3"
        );
        let mut statement = by.conn.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(params))?;
        while let Some(row) = rows.next()? {
            ahead.push_back((self.index.key(row)?, by.takes(row)?));
        }
        Ok(())
    }

    /// What tells whether a row is in one of the filter's states.
    fn taken(&self, by: &Reader<'_>) -> String {
        if !self.index.mixed {
            return "1".to_owned();
        }
        let codes: Vec<String> = by
            .states
            .iter()
            .map(|state| state_code(*state).to_string())
            .collect();
        format!("state IN ({})", codes.join(", "))
    }
}

impl Reader<'_> {
    /// Whether the filter takes a row: of its number, its key, whether its state is one
    /// of the filter's, and, where the filter looks into rows, its path and reason.
    pub(super) fn takes(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        if !row.get::<_, bool>(2)? {
            return Ok(false);
        }
        let Some(filter) = &self.filter else {
            return Ok(true);
        };
        let (path, reason) = (row.get_ref(3)?, row.get_ref(4)?);
        Ok(filter.takes(path.as_blob()?, reason.as_str_or_null()?))
    }
}

impl SortValue {
    fn sql(&self) -> &dyn ToSql {
        match self {
            Self::First(value) | Self::Second(value) => value,
            Self::Path(path) => path,
        }
    }
}
