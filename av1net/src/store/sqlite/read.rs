//! What is read on a connection that only reads.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::codes::{self, SELECT_ATTEMPTS, natural, select_jobs};
use crate::job::{Job, JobState, Reason};
use crate::store::sums::{Sums, day_of};
use crate::store::{
    Attempt, Counters, KnownWorker, RootRecord, SavedDay, ScanRow, StoreError, Verdict,
};
use crate::units::{JobId, RelPath, RootId, UnixMs, WorkerId};

type Result<T> = std::result::Result<T, StoreError>;

fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn one<T>(
    conn: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>> {
    let mut statement = conn.prepare_cached(sql)?;
    Ok(statement.query_row(params, read).optional()?)
}

fn at_most(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

pub(super) fn job(conn: &Connection, id: JobId) -> Result<Option<Job>> {
    let sql = select_jobs(None, "WHERE j.id = ?1");
    one(conn, &sql, [id.0], codes::job)
}

pub(super) fn job_at(conn: &Connection, root: &RootId, path: &RelPath) -> Result<Option<Job>> {
    let sql = select_jobs(
        Some("jobs_path"),
        "WHERE j.root = (SELECT id FROM roots WHERE name = ?1) AND j.path = ?2",
    );
    one(conn, &sql, params![root.0, path.as_bytes()], codes::job)
}

/// A seek for each root and state.
pub(super) fn active(conn: &Connection) -> Result<Vec<Job>> {
    let states = JobState::ALL.into_iter().filter(|state| state.is_active());
    let codes: Vec<String> = states
        .map(|state| codes::state_code(state).to_string())
        .collect();
    let which = format!(
        "WHERE j.root IN (SELECT id FROM roots) AND j.state IN ({}) ORDER BY j.id",
        codes.join(", ")
    );
    let sql = select_jobs(Some("jobs_state_changed"), &which);
    all(conn, &sql, [], codes::job)
}

pub(super) fn counters(conn: &Connection) -> Result<Counters> {
    let mut sums = Sums::default();
    let tallies = "SELECT r.name, t.state, t.jobs FROM tallies t JOIN roots r ON r.id = t.root";
    let tallies = all(conn, tallies, [], |row| {
        Ok((RootId(row.get(0)?), codes::state(row, 1)?, row.get(2)?))
    })?;
    for (root, state, jobs) in tallies {
        let jobs: i64 = jobs;
        sums.jobs.entry(root).or_default()[state as usize] = jobs;
    }
    let named = all(conn, "SELECT name, value FROM sums", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    })?;
    for (name, value) in named {
        match name.as_str() {
            "library_bytes" => sums.library_bytes = value,
            "saved_bytes" => sums.saved_bytes = value,
            "replaced_source_bytes" => sums.replaced_source_bytes = value,
            "frames" => sums.frames = value,
            _ => {}
        }
    }
    Ok(sums.counters())
}

pub(super) fn attempts(conn: &Connection, job: JobId, limit: usize) -> Result<Vec<Attempt>> {
    all(
        conn,
        SELECT_ATTEMPTS,
        [job.0, at_most(limit)],
        codes::attempt,
    )
}

pub(super) fn scan_rows(
    conn: &Connection,
    root: &RootId,
    after: Option<&RelPath>,
    limit: usize,
) -> Result<Vec<ScanRow>> {
    // No path is empty: all are greater than nothing.
    let after = after.map_or(&[][..], RelPath::as_bytes);
    let sql = "SELECT id, path, bytes, modified_ns, inode, state, reason_kind \
               FROM jobs INDEXED BY jobs_path \
               WHERE root = (SELECT id FROM roots WHERE name = ?1) AND path > ?2 \
               ORDER BY path LIMIT ?3";
    let params = params![root.0, after, at_most(limit)];
    all(conn, sql, params, |row| {
        Ok(ScanRow {
            job: JobId(row.get(0)?),
            path: codes::path(row, 1)?,
            file: codes::file(row, 2)?,
            state: codes::state(row, 5)?,
            reason: row.get(6)?,
        })
    })
}

pub(super) fn verdict(conn: &Connection, key: &str) -> Result<Option<Verdict>> {
    let sql = "SELECT key, reason_kind, reason, decided_ms FROM verdicts WHERE key = ?1";
    one(conn, sql, [key], |row| {
        Ok(Verdict {
            key: row.get(0)?,
            reason: Reason {
                kind: row.get(1)?,
                message: row.get(2)?,
            },
            decided: UnixMs(row.get(3)?),
        })
    })
}

pub(super) fn roots(conn: &Connection) -> Result<Vec<RootRecord>> {
    let sql = "SELECT name, path, scanned_ms FROM roots ORDER BY name";
    all(conn, sql, [], |row| {
        let scanned: Option<i64> = row.get(2)?;
        Ok(RootRecord {
            id: RootId(row.get(0)?),
            path: row.get(1)?,
            scanned: scanned.map(UnixMs),
        })
    })
}

pub(super) fn workers(conn: &Connection) -> Result<Vec<KnownWorker>> {
    let sql = "SELECT id, name, last_seen_ms, settings FROM workers ORDER BY id";
    all(conn, sql, [], |row| {
        Ok(KnownWorker {
            id: WorkerId(row.get(0)?),
            name: row.get(1)?,
            last_seen: UnixMs(row.get(2)?),
            settings: row.get(3)?,
        })
    })
}

pub(super) fn setting(conn: &Connection, name: &str) -> Result<Option<String>> {
    let sql = "SELECT value FROM settings WHERE name = ?1";
    one(conn, sql, [name], |row| row.get(0))
}

pub(super) fn next_due(conn: &Connection) -> Result<Option<UnixMs>> {
    let sql = "SELECT min(retry_ms) FROM jobs INDEXED BY jobs_waiting WHERE state = 1";
    let due = one(conn, sql, [], |row| row.get::<_, Option<i64>>(0))?;
    Ok(due.flatten().map(UnixMs))
}

pub(super) fn saved_by_day(conn: &Connection, since: UnixMs) -> Result<Vec<SavedDay>> {
    let sql = "SELECT day_ms, saved_bytes, completed FROM saved_days WHERE day_ms >= ?1 \
               ORDER BY day_ms";
    all(conn, sql, [day_of(since).0], |row| {
        Ok(SavedDay {
            day: UnixMs(row.get(0)?),
            saved_bytes: row.get(1)?,
            completed: natural(row, 2)?,
        })
    })
}
