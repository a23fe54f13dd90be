//! The orders of a list: one key a job, and a cursor that is the last key of a page.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::StoreError;
use super::record::{Cursor, Filter, SortBy};
use super::sums::signed;
use crate::job::{Job, JobState};
use crate::schedule::{Order, rank};
use crate::units::JobId;

/// The most that a page holds, whatever is asked for.
pub(super) const MOST_ON_A_PAGE: usize = 500;

/// What a job is sorted by. Two groups share an order where only some jobs have the
/// value: of the others, it is the time of their last change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SortValue {
    /// Those that come first in ascending order.
    First(i64),
    /// Those that come after.
    Second(i64),
    /// Of [`SortBy::Path`].
    Path(Vec<u8>),
}

/// Where a job is in an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey {
    /// By what.
    pub(super) value: SortValue,
    /// What tells equal ones apart.
    pub(super) id: JobId,
}

impl SortKey {
    /// Where this job is.
    pub(super) fn of(job: &Job, sort: SortBy, order: Order) -> Self {
        let changed = job.changed.0;
        let value = match sort {
            SortBy::Changed => SortValue::First(changed),
            SortBy::Path => SortValue::Path(job.path.as_bytes().to_vec()),
            SortBy::Bytes => SortValue::First(signed(job.file.bytes)),
            SortBy::Saved => match saved(job) {
                None => SortValue::First(changed),
                Some(saved) => SortValue::Second(saved),
            },
            SortBy::Queue if job.state == JobState::Pending => SortValue::First(rank(job, order)),
            SortBy::Queue => SortValue::Second(changed),
        };
        Self { value, id: job.id }
    }

    /// As text that goes through a URL as it is.
    pub(super) fn cursor(&self, sort: SortBy) -> Cursor {
        let letter = letter(sort);
        let id = self.id;
        Cursor(match &self.value {
            SortValue::First(value) => format!("{letter}a{value}.{id}"),
            SortValue::Second(value) => format!("{letter}b{value}.{id}"),
            SortValue::Path(path) => format!("{letter}p{}.{id}", URL_SAFE_NO_PAD.encode(path)),
        })
    }

    /// Reads what [`SortKey::cursor`] made for the same order.
    pub(super) fn of_cursor(cursor: &Cursor, sort: SortBy) -> Result<Self, StoreError> {
        Self::parse(&cursor.0, sort).ok_or(StoreError::BadCursor)
    }

    fn parse(text: &str, sort: SortBy) -> Option<Self> {
        let (group, rest) = text.strip_prefix(letter(sort))?.split_at_checked(1)?;
        let (value, id) = rest.split_once('.')?;
        let value = match group {
            "a" => SortValue::First(value.parse().ok()?),
            "b" => SortValue::Second(value.parse().ok()?),
            "p" => SortValue::Path(URL_SAFE_NO_PAD.decode(value).ok()?),
            _ => return None,
        };
        if (sort == SortBy::Path) != matches!(value, SortValue::Path(_)) {
            return None;
        }
        let id = JobId(id.parse().ok()?);
        Some(Self { value, id })
    }
}

/// Bytes saved by the replacement that made the file what it is.
pub(super) fn saved(job: &Job) -> Option<i64> {
    let committed = job.committed.as_ref()?;
    (job.state == JobState::Completed).then(|| committed.saved_bytes())
}

fn letter(sort: SortBy) -> char {
    match sort {
        SortBy::Changed => 'c',
        SortBy::Path => 'p',
        SortBy::Bytes => 'b',
        SortBy::Saved => 's',
        SortBy::Queue => 'q',
    }
}

/// The states of a filter, each once.
pub(super) fn states(filter: &Filter) -> Vec<JobState> {
    let taken = |state: &JobState| match filter.states.as_slice() {
        [] => *state != JobState::Vanished,
        states => states.contains(state),
    };
    JobState::ALL.into_iter().filter(taken).collect()
}

/// What of a filter has to be looked up in each row.
pub(super) struct RowFilter<'a> {
    search: Option<String>,
    reason: Option<&'a str>,
}

impl<'a> RowFilter<'a> {
    /// `None` where every row passes.
    pub(super) fn of(filter: &'a Filter) -> Option<Self> {
        let search = filter.search.as_deref().filter(|text| !text.is_empty());
        let reason = filter.reason.as_deref();
        (search.is_some() || reason.is_some()).then(|| Self {
            search: search.map(str::to_lowercase),
            reason,
        })
    }

    /// Whether a row passes, by its path and the name of its reason.
    pub(super) fn takes(&self, path: &[u8], reason: Option<&str>) -> bool {
        if self.reason.is_some() && self.reason != reason {
            return false;
        }
        self.search.as_deref().is_none_or(|text| holds(path, text))
    }
}

/// Whether a path holds a text that is in lower case.
fn holds(path: &[u8], text: &str) -> bool {
    if text.is_ascii() && path.is_ascii() {
        let text = text.as_bytes();
        return path
            .windows(text.len())
            .any(|part| part.eq_ignore_ascii_case(text));
    }
    String::from_utf8_lossy(path).to_lowercase().contains(text)
}
