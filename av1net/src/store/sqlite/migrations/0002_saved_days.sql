-- What was saved on each day (UTC), for the page's chart. Days before this table are made
-- from the attempts that ended in a replacement, which is all that is known of them.
CREATE TABLE saved_days (
    day_ms      INTEGER PRIMARY KEY CHECK (day_ms % 86400000 = 0),    -- its first moment
    saved_bytes INTEGER NOT NULL,
    completed   INTEGER NOT NULL CHECK (completed >= 0)
) STRICT;

INSERT INTO saved_days (day_ms, saved_bytes, completed)
SELECT ended_ms - ended_ms % 86400000,
       sum(source_bytes - output_bytes),
       count(*)
FROM attempts
WHERE outcome = 6 AND output_bytes IS NOT NULL
GROUP BY 1;
