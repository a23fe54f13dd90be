//! The rows within a transaction of the one connection that writes.

use std::collections::HashMap;

use rusqlite::types::ToSql;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, params};

use super::codes::{job, select_jobs, state_code};
use crate::job::{Job, JobState};
use crate::schedule::rank;
use crate::store::rows::Rows;
use crate::store::sums::{Sums, signed};
use crate::store::{Attempt, KnownWorker, RootRecord, StoreError, StorePolicy, Verdict};
use crate::units::{JobId, RelPath, RootId, UnixMs};

type Result<T> = std::result::Result<T, StoreError>;

/// What the writer remembers of the tables between transactions.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    /// The number given last.
    pub(super) last_job: i64,
    /// The numbers of the roots.
    pub(super) roots: HashMap<RootId, i64>,
}

impl Remembered {
    /// Reads it.
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let last_job = "SELECT value FROM sums WHERE name = 'last_job'";
        let mut roots = conn.prepare_cached("SELECT name, id FROM roots")?;
        let roots = roots.query_map([], |row| Ok((RootId(row.get(0)?), row.get(1)?)))?;
        Ok(Self {
            last_job: conn.query_row(last_job, [], |row| row.get(0))?,
            roots: roots.collect::<rusqlite::Result<_>>()?,
        })
    }
}

/// A transaction that is under way.
pub(super) struct SqliteRows<'a> {
    pub(super) conn: &'a Connection,
    pub(super) policy: &'a StorePolicy,
    pub(super) remembered: Remembered,
}

impl SqliteRows<'_> {
    fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.conn.prepare_cached(sql)
    }

    fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.prepare(sql)?.execute(params)?)
    }

    fn one_job(&self, sql: &str, params: impl Params) -> Result<Option<Job>> {
        let mut statement = self.prepare(sql)?;
        Ok(statement.query_row(params, job).optional()?)
    }

    fn jobs(&self, sql: &str, params: impl Params) -> Result<Vec<Job>> {
        let mut statement = self.prepare(sql)?;
        let jobs = statement.query_map(params, job)?;
        Ok(jobs.collect::<rusqlite::Result<_>>()?)
    }

    /// Its number, if it is known.
    fn root(&self, root: &RootId) -> Option<i64> {
        self.remembered.roots.get(root).copied()
    }

    /// What the batch adds to the sums, and the number given last.
    pub(super) fn put_sums(&self, sums: &Sums) -> Result<()> {
        for (root, states) in &sums.jobs {
            let root = self.root(root);
            for state in JobState::ALL {
                let more = states[state as usize];
                if more != 0 {
                    // Not an upsert: the row that would be inserted fails its own check
                    // where the difference is negative.
                    let params = params![root, state_code(state), more];
                    let add = "UPDATE tallies SET jobs = jobs + ?3 WHERE root = ?1 AND state = ?2";
                    if self.execute(add, params)? == 0 {
                        self.execute(
                            "INSERT INTO tallies (root, state, jobs) VALUES (?1, ?2, ?3)",
                            params,
                        )?;
                    }
                }
            }
        }
        for (name, more) in [
            ("library_bytes", sums.library_bytes),
            ("saved_bytes", sums.saved_bytes),
            ("replaced_source_bytes", sums.replaced_source_bytes),
            ("frames", sums.frames),
        ] {
            if more != 0 {
                let add = "UPDATE sums SET value = value + ?2 WHERE name = ?1";
                self.execute(add, params![name, more])?;
            }
        }
        for (day, (saved, completed)) in &sums.days {
            let add = "INSERT INTO saved_days (day_ms, saved_bytes, completed) VALUES (?1, ?2, ?3) \
                       ON CONFLICT DO UPDATE SET saved_bytes = saved_bytes + excluded.saved_bytes, \
                                                 completed = completed + excluded.completed";
            self.execute(add, params![day.0, saved, completed])?;
        }
        let last_job = self.remembered.last_job;
        let put = "UPDATE sums SET value = ?1 WHERE name = 'last_job' AND value <> ?1";
        self.execute(put, [last_job])?;
        Ok(())
    }

    fn put_staged(&self, after: &Job) -> Result<()> {
        let staged = after.staged.as_ref();
        let put = "UPDATE tasks SET staged_token = ?2, staged_bytes = ?3 \
                   WHERE job = ?1 AND number = 0";
        let params = params![
            after.id.0,
            staged.map(|staged| &staged.token),
            staged.map(|staged| signed(staged.bytes)),
        ];
        self.execute(put, params)?;
        Ok(())
    }

    /// An index that names a column of an UPDATE is written even where the value stays,
    /// so what a change leaves alone is left out: the file in most, the path in more.
    fn put_job(&self, before: &Job, after: &Job) -> Result<()> {
        let reason = after.reason.as_ref();
        let mut set = "UPDATE jobs SET state = :state, priority = :priority, queued_ms = :queued, \
             rank = :rank, attempts = :attempts, retry_ms = :retry, changed_ms = :changed, \
             epoch = :epoch, worker = :worker, reason_kind = :kind, reason = :message"
            .to_owned();
        let (state, rank) = (state_code(after.state), rank(after, self.policy.order));
        let (retry, epoch) = (after.retry_at.map(|at| at.0), after.epoch.0.cast_signed());
        let kind = reason.map(|reason| &reason.kind);
        let message = reason.map(|reason| &reason.message);
        let worker = after.worker.as_ref().map(|worker| &worker.0);
        let mut params: Vec<(&str, &dyn ToSql)> = vec![
            (":id", &after.id.0),
            (":state", &state),
            (":priority", &after.priority),
            (":queued", &after.queued.0),
            (":rank", &rank),
            (":attempts", &after.attempts),
            (":retry", &retry),
            (":changed", &after.changed.0),
            (":epoch", &epoch),
            (":worker", &worker),
            (":kind", &kind),
            (":message", &message),
        ];
        let path = after.path.as_bytes();
        if before.path != after.path {
            set.push_str(", path = :path");
            params.push((":path", &path));
        }
        let same_content = before.path == after.path
            && before.file == after.file
            && before.committed == after.committed;
        let content = (!same_content).then(|| Content::of(after)).transpose()?;
        if let Some(content) = &content {
            set.push_str(Content::SET);
            params.extend(content.params());
        }
        set.push_str(" WHERE id = :id");
        self.execute(&set, params.as_slice())?;
        Ok(())
    }
}

/// What a replacement and a scan change of a job.
struct Content<'a> {
    bytes: i64,
    modified_ns: i64,
    inode: i64,
    source_bytes: Option<i64>,
    frames: Option<i64>,
    elapsed_ms: Option<i64>,
    encoder: Option<&'a str>,
    warnings: Option<String>,
    elsewhere: Option<&'a [u8]>,
}

impl<'a> Content<'a> {
    const SET: &'static str = ", bytes = :bytes, modified_ns = :modified, inode = :inode, \
         source_bytes = :source_bytes, saved_bytes = :source_bytes - :bytes, \
         frames = :frames, elapsed_ms = :elapsed, encoder = :encoder, warnings = :warnings, \
         committed_path = :elsewhere";

    fn of(job: &'a Job) -> Result<Self> {
        let committed = job.committed.as_ref();
        let elsewhere = committed.filter(|committed| committed.path != job.path);
        let warnings = committed.map(|committed| serde_json::to_string(&committed.warnings));
        let warnings = warnings.transpose().map_err(|error| {
            StoreError::Database(format!("the warnings of job {} as JSON: {error}", job.id))
        })?;
        Ok(Self {
            bytes: signed(job.file.bytes),
            modified_ns: job.file.modified_ns,
            inode: job.file.inode.cast_signed(),
            source_bytes: committed.map(|committed| signed(committed.source_bytes)),
            frames: committed.map(|committed| signed(committed.frames)),
            elapsed_ms: committed.map(|committed| signed(committed.elapsed_ms)),
            encoder: committed.map(|committed| committed.encoder.as_str()),
            warnings,
            elsewhere: elsewhere.map(|committed| committed.path.as_bytes()),
        })
    }

    fn params(&self) -> [(&'static str, &dyn ToSql); 9] {
        [
            (":bytes", &self.bytes),
            (":modified", &self.modified_ns),
            (":inode", &self.inode),
            (":source_bytes", &self.source_bytes),
            (":frames", &self.frames),
            (":elapsed", &self.elapsed_ms),
            (":encoder", &self.encoder),
            (":warnings", &self.warnings),
            (":elsewhere", &self.elsewhere),
        ]
    }
}

impl Rows for SqliteRows<'_> {
    fn policy(&self) -> &StorePolicy {
        self.policy
    }

    fn job(&mut self, id: JobId) -> Result<Option<Job>> {
        self.one_job(&select_jobs(None, "WHERE j.id = ?1"), [id.0])
    }

    fn job_at(&mut self, root: &RootId, path: &RelPath) -> Result<Option<Job>> {
        let params = params![self.root(root), path.as_bytes()];
        let sql = select_jobs(Some("jobs_path"), "WHERE j.root = ?1 AND j.path = ?2");
        self.one_job(&sql, params)
    }

    fn insert(&mut self, job: &Job) -> Result<Option<JobId>> {
        let id = self.remembered.last_job + 1;
        let reason = job.reason.as_ref();
        let inserted = self.execute(
            "INSERT INTO jobs (id, root, path, bytes, modified_ns, inode, state, priority, \
                               queued_ms, rank, attempts, changed_ms, epoch, reason_kind, \
                               reason) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, ?13, ?14) \
             ON CONFLICT (root, path) DO NOTHING",
            params![
                id,
                self.root(&job.root),
                job.path.as_bytes(),
                signed(job.file.bytes),
                job.file.modified_ns,
                job.file.inode.cast_signed(),
                state_code(job.state),
                job.priority,
                job.queued.0,
                rank(job, self.policy.order),
                job.attempts,
                job.changed.0,
                reason.map(|reason| &reason.kind),
                reason.map(|reason| &reason.message),
            ],
        )?;
        if inserted == 0 {
            return Ok(None);
        }
        self.remembered.last_job = id;
        Ok(Some(JobId(id)))
    }

    fn update(&mut self, before: &Job, after: &Job) -> Result<()> {
        self.put_job(before, after)?;
        // Where nobody has it any more, there is no task that could have an output.
        if before.staged != after.staged && after.state.is_active() {
            self.put_staged(after)?;
        }
        Ok(())
    }

    fn remove(&mut self, job: &Job) -> Result<()> {
        self.execute("DELETE FROM jobs WHERE id = ?1", [job.id.0])?;
        Ok(())
    }

    fn best_pending(&mut self, roots: &[RootId], limit: usize) -> Result<Vec<Job>> {
        let limit_sql = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = select_jobs(
            Some("jobs_pending"),
            "WHERE j.root = ?1 AND j.state = 0 ORDER BY j.rank, j.id LIMIT ?2",
        );
        let mut best = Vec::new();
        for root in roots {
            let of_root = self.jobs(&sql, params![self.root(root), limit_sql])?;
            best.extend(of_root);
        }
        best.sort_by_key(|job| (rank(job, self.policy.order), job.id));
        best.truncate(limit);
        Ok(best)
    }

    fn due(&mut self, now: UnixMs, limit: usize) -> Result<Vec<Job>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = select_jobs(
            Some("jobs_waiting"),
            "WHERE j.state = 1 AND j.retry_ms <= ?1 ORDER BY j.retry_ms, j.id LIMIT ?2",
        );
        self.jobs(&sql, [now.0, limit])
    }

    fn begin_attempt(&mut self, attempt: &Attempt) -> Result<()> {
        let put = "INSERT INTO tasks (job, number, epoch, worker, started_ms, source_bytes) \
                   VALUES (?1, 0, ?2, ?3, ?4, ?5)";
        let params = params![
            attempt.job.0,
            attempt.epoch.0.cast_signed(),
            attempt.worker.0,
            attempt.started.0,
            signed(attempt.source_bytes),
        ];
        self.execute(put, params)?;
        Ok(())
    }

    fn end_attempt(&mut self, attempt: &Attempt) -> Result<()> {
        let reason = attempt.reason.as_ref();
        let put = "INSERT INTO attempts (job, epoch, worker, started_ms, ended_ms, outcome, \
                                         reason_kind, reason, source_bytes, output_bytes, encoder) \
                   SELECT job, epoch, worker, started_ms, ?2, ?3, ?4, ?5, source_bytes, ?6, ?7 \
                   FROM tasks WHERE job = ?1 AND number = 0";
        let params = params![
            attempt.job.0,
            attempt.ended.map(|ended| ended.0),
            attempt.outcome.map(state_code),
            reason.map(|reason| &reason.kind),
            reason.map(|reason| &reason.message),
            attempt.output_bytes.map(signed),
            attempt.encoder,
        ];
        self.execute(put, params)?;
        let end = "DELETE FROM tasks WHERE job = ?1 AND number = 0";
        self.execute(end, [attempt.job.0])?;
        Ok(())
    }

    fn has_root(&mut self, root: &RootId) -> Result<bool> {
        Ok(self.root(root).is_some())
    }

    fn put_root(&mut self, root: &RootRecord) -> Result<()> {
        let put = "INSERT INTO roots (name, path, scanned_ms) VALUES (?1, ?2, ?3) \
                   ON CONFLICT DO UPDATE SET path = excluded.path, \
                                             scanned_ms = excluded.scanned_ms \
                   RETURNING id";
        let params = params![root.id.0, root.path, root.scanned.map(|at| at.0)];
        let id = self.prepare(put)?.query_row(params, |row| row.get(0))?;
        self.remembered.roots.insert(root.id.clone(), id);
        Ok(())
    }

    fn put_worker(&mut self, worker: &KnownWorker) -> Result<()> {
        let put = "INSERT OR REPLACE INTO workers (id, name, last_seen_ms, settings) \
                   VALUES (?1, ?2, ?3, ?4)";
        let params = params![
            worker.id.0,
            worker.name,
            worker.last_seen.0,
            worker.settings
        ];
        self.execute(put, params)?;
        Ok(())
    }

    fn put_verdict(&mut self, verdict: &Verdict) -> Result<()> {
        let put = "INSERT OR REPLACE INTO verdicts (key, reason_kind, reason, decided_ms) \
                   VALUES (?1, ?2, ?3, ?4)";
        let reason = &verdict.reason;
        let params = params![verdict.key, reason.kind, reason.message, verdict.decided.0];
        self.execute(put, params)?;
        Ok(())
    }

    fn put_setting(&mut self, name: &str, value: Option<&str>) -> Result<()> {
        match value {
            Some(value) => {
                let put = "INSERT OR REPLACE INTO settings (name, value) VALUES (?1, ?2)";
                self.execute(put, [name, value])?;
            }
            None => {
                self.execute("DELETE FROM settings WHERE name = ?1", [name])?;
            }
        }
        Ok(())
    }
}
