-- Times end in _ms: milliseconds since 1970. Sizes are bytes. A state is a small number,
-- named in codes.rs, and never given another meaning.

-- The media directories.
CREATE TABLE roots (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,    -- the text in its marker file
    path       TEXT NOT NULL,           -- where the master has it
    scanned_ms INTEGER                  -- when a scan last came to its end
) STRICT;

-- One row a film. Numbers come from sums.last_job and are never given again.
CREATE TABLE jobs (
    id             INTEGER PRIMARY KEY,
    root           INTEGER NOT NULL REFERENCES roots (id),
    path           BLOB NOT NULL CHECK (length(path) > 0),     -- below the root
    bytes          INTEGER NOT NULL CHECK (bytes >= 0),        -- of the file as it is now
    modified_ns    INTEGER NOT NULL,
    inode          INTEGER NOT NULL,                           -- its 64 bits, as signed
    state          INTEGER NOT NULL CHECK (state BETWEEN 0 AND 11),
    priority       INTEGER NOT NULL CHECK (priority BETWEEN -100 AND 100),
    queued_ms      INTEGER NOT NULL,                           -- what it is aged by
    rank           INTEGER NOT NULL,                           -- of pending ones: the least is next
    attempts       INTEGER NOT NULL CHECK (attempts >= 0),
    retry_ms       INTEGER,                                    -- when the next attempt is due
    changed_ms     INTEGER NOT NULL,                           -- of its state
    epoch          INTEGER NOT NULL CHECK (epoch >= 0),        -- of the last grant
    worker         TEXT,                                       -- that has it, or had it last
    reason_kind    TEXT,
    reason         TEXT,
    -- What came of the replacement that made the file what it is.
    source_bytes   INTEGER CHECK (source_bytes >= 0),
    saved_bytes    INTEGER CHECK (saved_bytes = source_bytes - bytes),
    frames         INTEGER CHECK (frames >= 0),
    elapsed_ms     INTEGER CHECK (elapsed_ms >= 0),
    encoder        TEXT,
    warnings       TEXT,                                       -- JSON: a list of texts
    committed_path BLOB,    -- where it is not `path`: a job at work has that name
    CHECK ((state = 1) = (retry_ms IS NOT NULL)),
    CHECK ((reason_kind IS NULL) = (reason IS NULL)),
    CHECK ((source_bytes IS NULL) = (saved_bytes IS NULL)),
    CHECK ((source_bytes IS NULL) = (encoder IS NULL)),
    CHECK (state <> 6 OR source_bytes IS NOT NULL)
) STRICT;

-- The orders of the list; every SQLite index ends in the row's number, which tells equal
-- ones apart. By path there is none within each state: it would be the largest of all,
-- and each change of a state would write two more pages of it.
CREATE UNIQUE INDEX jobs_path ON jobs (root, path);
CREATE INDEX jobs_state_changed ON jobs (root, state, changed_ms);
CREATE INDEX jobs_state_bytes ON jobs (root, state, bytes);
CREATE INDEX jobs_pending ON jobs (root, rank) WHERE state = 0;
CREATE INDEX jobs_waiting ON jobs (retry_ms) WHERE state = 1;
CREATE INDEX jobs_completed ON jobs (root, saved_bytes) WHERE state = 6;

-- A lease is on a task: a piece of a job that one worker does, today the whole of it,
-- number 0. A task is here for as long as somebody has it, so that these few rows share
-- a few pages.
CREATE TABLE tasks (
    job          INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    number       INTEGER NOT NULL CHECK (number >= 0),
    epoch        INTEGER NOT NULL CHECK (epoch > 0),
    worker       TEXT NOT NULL,
    started_ms   INTEGER NOT NULL,    -- when it was granted
    source_bytes INTEGER NOT NULL,
    staged_token TEXT,                -- of the output that waits
    staged_bytes INTEGER,
    PRIMARY KEY (job, number),
    CHECK ((staged_token IS NULL) = (staged_bytes IS NULL))
) STRICT, WITHOUT ROWID;

-- The history: one row a grant, written when it ended.
CREATE TABLE attempts (
    job          INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    epoch        INTEGER NOT NULL CHECK (epoch > 0),
    worker       TEXT NOT NULL,
    started_ms   INTEGER NOT NULL,
    ended_ms     INTEGER NOT NULL,
    outcome      INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 11),    -- the state it ended in
    reason_kind  TEXT,
    reason       TEXT,
    source_bytes INTEGER NOT NULL,
    output_bytes INTEGER,
    encoder      TEXT,
    PRIMARY KEY (job, epoch),
    CHECK ((reason_kind IS NULL) = (reason IS NULL))
) STRICT, WITHOUT ROWID;

-- What was decided for a content under certain settings.
CREATE TABLE verdicts (
    key         TEXT PRIMARY KEY,
    reason_kind TEXT NOT NULL,
    reason      TEXT NOT NULL,
    decided_ms  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE workers (
    id           TEXT PRIMARY KEY,
    name         TEXT NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    settings     TEXT NOT NULL    -- JSON
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Kept with every change, so that nothing counts a million rows.
CREATE TABLE tallies (
    root  INTEGER NOT NULL REFERENCES roots (id),
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 11),
    jobs  INTEGER NOT NULL CHECK (jobs >= 0),
    PRIMARY KEY (root, state)
) STRICT, WITHOUT ROWID;

CREATE TABLE sums (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO sums (name, value)
VALUES ('last_job', 0),                 -- the number given last
       ('library_bytes', 0),            -- of all files that are there
       ('saved_bytes', 0),              -- by all replacements ever
       ('replaced_source_bytes', 0),    -- of all sources ever replaced
       ('frames', 0),                   -- of all replacements ever
       ('order', 0);                    -- what the ranks were made by, from codes.rs
