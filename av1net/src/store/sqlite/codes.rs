//! Numbers and columns: what stands for a state in a row, and how a row becomes a job.
//! These numbers are in files on people's disks; none ever changes its meaning.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::Row;
use rusqlite::types::Type;

use crate::job::{Committed, FileId, Job, JobState, Reason, StagedFile};
use crate::schedule::Order;
use crate::store::Attempt;
use crate::units::{Epoch, JobId, RelPath, RootId, UnixMs, WorkerId};

/// The number of a state.
pub(super) const fn state_code(state: JobState) -> i64 {
    match state {
        JobState::Pending => 0,
        JobState::RetryWait => 1,
        JobState::Leased => 2,
        JobState::Staged => 3,
        JobState::Committing => 4,
        JobState::Recovering => 5,
        JobState::Completed => 6,
        JobState::Skipped => 7,
        JobState::Failed => 8,
        JobState::Cancelled => 9,
        JobState::Quarantined => 10,
        JobState::Vanished => 11,
    }
}

/// The number of an order.
pub(super) const fn order_code(order: Order) -> i64 {
    match order {
        Order::LargestSaving => 1,
        Order::SmallestFirst => 2,
        Order::Oldest => 3,
        Order::Newest => 4,
    }
}

/// A column that holds what this program never wrote there.
fn unreadable(column: usize, kind: Type, what: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, kind, what.into())
}

/// The state in a column.
pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<JobState> {
    let code: i64 = row.get(column)?;
    let known = JobState::ALL.into_iter();
    let mut of_code = known.filter(|state| state_code(*state) == code);
    let unknown = || unreadable(column, Type::Integer, "a state that is not known");
    of_code.next().ok_or_else(unknown)
}

/// The path in a column.
pub(super) fn path(row: &Row<'_>, column: usize) -> rusqlite::Result<RelPath> {
    let bytes = row.get_ref(column)?.as_blob()?;
    let not_one = || unreadable(column, Type::Blob, "not a path below a root");
    RelPath::new(Path::new(OsStr::from_bytes(bytes))).ok_or_else(not_one)
}

/// The reason whose name is in one column and whose words are in the next.
fn reason(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Reason>> {
    let kind: Option<String> = row.get(column)?;
    let message: Option<String> = row.get(column + 1)?;
    let both = kind.zip(message);
    Ok(both.map(|(kind, message)| Reason { kind, message }))
}

/// A count or a size: kept as SQLite's signed number.
pub(super) fn natural(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    let negative = |_| unreadable(column, Type::Integer, "a size that is negative");
    u64::try_from(value).map_err(negative)
}

fn small(row: &Row<'_>, column: usize) -> rusqlite::Result<u32> {
    row.get(column)
}

/// The three columns of a file from this one on.
pub(super) fn file(row: &Row<'_>, column: usize) -> rusqlite::Result<FileId> {
    let inode: i64 = row.get(column + 2)?;
    Ok(FileId {
        bytes: natural(row, column)?,
        modified_ns: row.get(column + 1)?,
        inode: inode.cast_unsigned(),
    })
}

/// The columns of whole jobs, as [`job`] reads them, of those that `which` picks as `j`.
/// `by` is the index to find them with, which is not left to SQLite to guess: it knows
/// nothing of how many jobs are in a state.
pub(super) fn select_jobs(by: Option<&str>, which: &str) -> String {
    let by = match by {
        Some(index) => format!("INDEXED BY {index}"),
        // By number.
        None => "NOT INDEXED".to_owned(),
    };
    format!(
        "SELECT j.id, r.name, j.path, j.bytes, j.modified_ns, j.inode, j.state, j.priority, \
                j.queued_ms, j.attempts, j.retry_ms, j.changed_ms, j.reason_kind, j.reason, \
                j.source_bytes, j.frames, j.elapsed_ms, j.encoder, j.warnings, \
                j.committed_path, j.epoch, j.worker, t.staged_token, t.staged_bytes \
         FROM jobs j {by} \
         CROSS JOIN roots r ON r.id = j.root \
         LEFT JOIN tasks t ON t.job = j.id AND t.number = 0 \
         {which}"
    )
}

/// A row of [`select_jobs`].
pub(super) fn job(row: &Row<'_>) -> rusqlite::Result<Job> {
    let path = path(row, 2)?;
    let file = file(row, 3)?;
    let retry_at: Option<i64> = row.get(10)?;
    let epoch: i64 = row.get(20)?;
    let worker: Option<String> = row.get(21)?;
    let token: Option<String> = row.get(22)?;
    let staged = match token {
        None => None,
        Some(token) => Some(StagedFile {
            token,
            bytes: natural(row, 23)?,
        }),
    };
    Ok(Job {
        id: JobId(row.get(0)?),
        root: RootId(row.get(1)?),
        committed: committed(row, &path, file)?,
        path,
        file,
        state: state(row, 6)?,
        priority: row.get(7)?,
        queued: UnixMs(row.get(8)?),
        attempts: small(row, 9)?,
        retry_at: retry_at.map(UnixMs),
        changed: UnixMs(row.get(11)?),
        reason: reason(row, 12)?,
        epoch: Epoch(epoch.cast_unsigned()),
        worker: worker.map(WorkerId),
        staged,
    })
}

/// What came of a replacement: the file is what it made, or there is none.
fn committed(row: &Row<'_>, at: &RelPath, file: FileId) -> rusqlite::Result<Option<Committed>> {
    let source_bytes: Option<i64> = row.get(14)?;
    if source_bytes.is_none() {
        return Ok(None);
    }
    let elsewhere = row.get_ref(19)?.as_blob_or_null()?.is_some();
    let warnings: Option<String> = row.get(18)?;
    let warnings = warnings.map(|json| serde_json::from_str(&json)).transpose();
    let warnings = warnings.map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(18, Type::Text, Box::new(error))
    })?;
    Ok(Some(Committed {
        path: if elsewhere {
            path(row, 19)?
        } else {
            at.clone()
        },
        file,
        source_bytes: natural(row, 14)?,
        frames: natural(row, 15)?,
        elapsed_ms: natural(row, 16)?,
        encoder: row.get(17)?,
        warnings: warnings.unwrap_or_default(),
    }))
}

/// The attempts of a job, newest first: one that runs is a task.
pub(super) const SELECT_ATTEMPTS: &str = "\
    SELECT job, epoch, worker, started_ms, NULL, NULL, NULL, NULL, source_bytes, NULL, NULL \
    FROM tasks WHERE job = ?1 AND number = 0 \
    UNION ALL \
    SELECT job, epoch, worker, started_ms, ended_ms, outcome, reason_kind, reason, \
           source_bytes, output_bytes, encoder \
    FROM attempts WHERE job = ?1 \
    ORDER BY 2 DESC LIMIT ?2";

/// A row of [`SELECT_ATTEMPTS`].
pub(super) fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    let epoch: i64 = row.get(1)?;
    let ended: Option<i64> = row.get(4)?;
    let output_bytes: Option<i64> = row.get(9)?;
    Ok(Attempt {
        job: JobId(row.get(0)?),
        epoch: Epoch(epoch.cast_unsigned()),
        worker: WorkerId(row.get(2)?),
        started: UnixMs(row.get(3)?),
        ended: ended.map(UnixMs),
        outcome: ended.map(|_| state(row, 5)).transpose()?,
        reason: reason(row, 6)?,
        source_bytes: natural(row, 8)?,
        output_bytes: output_bytes.map(|_| natural(row, 9)).transpose()?,
        encoder: row.get(10)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_on_disk_never_change_their_meaning() {
        let codes: Vec<_> = JobState::ALL
            .into_iter()
            .map(|state| (state_code(state), state.name()))
            .collect();
        let first_release = [
            (0, "pending"),
            (1, "retry_wait"),
            (2, "leased"),
            (3, "staged"),
            (4, "committing"),
            (5, "recovering"),
            (6, "completed"),
            (7, "skipped"),
            (8, "failed"),
            (9, "cancelled"),
            (10, "quarantined"),
            (11, "vanished"),
        ];
        assert_eq!(codes, first_release);
    }
}
