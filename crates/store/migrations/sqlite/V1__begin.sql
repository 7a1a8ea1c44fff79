-- One schema for the three services; the listed columns are NULL where a service has none.
-- `oldest_binary` is the lowest schema number that a binary must know to use this file safely. A migration that
-- only adds (expand) raises `schema`; one that takes something away (contract) raises both.
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('schema', 1), ('oldest_binary', 1);

-- What every commit rewrites, in one row: how many transactions were written (by it an unknown commit is looked
-- up), the newest journal position and order number, so that neither is ever given twice, and the counts.
CREATE TABLE head (
    one         INTEGER PRIMARY KEY CHECK (one = 1),
    writes      INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    open_orders INTEGER NOT NULL,
    tasks       INTEGER NOT NULL,
    parked      INTEGER NOT NULL
) STRICT;
INSERT INTO head VALUES (1, 0, 0, 1000, 0, 0, 0);

-- `key` is what other tables refer to: short, and new rows land at the end of the file. The JSON stands last, so
-- that the columns before it are read without it.
CREATE TABLE record (
    key         INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    schema      INTEGER NOT NULL,
    history     INTEGER NOT NULL,  -- how many entries
    parked      INTEGER NOT NULL,  -- how many events
    counted     INTEGER NOT NULL,
    number      INTEGER,
    channel     TEXT,
    external_id TEXT,
    status      TEXT,
    milestone   TEXT,
    flow        TEXT,
    customer    TEXT,
    created_at  INTEGER,
    updated_at  INTEGER,
    sweep_at    INTEGER,
    record      BLOB
) STRICT;
-- Every index costs at every write, so each serves many lists: sqlite/lists/mod.rs says how. `record_stage` and
-- `record_state` change with each step.
CREATE UNIQUE INDEX record_id ON record (id);
CREATE UNIQUE INDEX record_number ON record (number) WHERE number IS NOT NULL;
CREATE UNIQUE INDEX record_external ON record (external_id, channel) WHERE external_id IS NOT NULL;
CREATE INDEX record_created ON record (created_at, number) WHERE number IS NOT NULL;
CREATE INDEX record_stage ON record (status, milestone, flow, created_at, number, counted) WHERE number IS NOT NULL;
CREATE INDEX record_state ON record (status, milestone, flow, updated_at, number, created_at) WHERE number IS NOT NULL;
CREATE INDEX record_customer ON record (customer, created_at, number) WHERE customer IS NOT NULL;
CREATE INDEX record_sweep ON record (sweep_at) WHERE sweep_at IS NOT NULL;

-- The rowid is the position. Positions are counted in `head`, not by AUTOINCREMENT, which costs a write per row.
CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    topic    TEXT NOT NULL,
    key      TEXT NOT NULL,
    headers  BLOB NOT NULL,
    value    BLOB NOT NULL
) STRICT;

-- Our own events are kept once, in the journal; another service's are kept here.
CREATE TABLE history (
    record   INTEGER NOT NULL,
    n        INTEGER NOT NULL,
    position INTEGER,
    value    BLOB,
    PRIMARY KEY (record, n),
    CHECK ((position IS NULL) <> (value IS NULL))
) STRICT, WITHOUT ROWID;

-- `ready_at` is the later of the due time and the end of the lease: one index answers "which next?".
CREATE TABLE task (
    id       TEXT PRIMARY KEY,
    order_id TEXT    NOT NULL,
    due_at   INTEGER NOT NULL,
    ready_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    work     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX task_ready ON task (ready_at, id);

CREATE TABLE answer (
    key         INTEGER PRIMARY KEY,
    order_id    TEXT    NOT NULL,
    caller      TEXT    NOT NULL,
    idempotency TEXT    NOT NULL,
    saved_at    INTEGER NOT NULL,
    fingerprint BLOB    NOT NULL,
    record      BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX answer_name ON answer (order_id, caller, idempotency);
CREATE INDEX answer_saved ON answer (saved_at);

-- The rowid is the order of arrival. An order's event is itself by its id; one whose id can't be read by where it
-- came from.
CREATE TABLE parked (
    arrival     INTEGER PRIMARY KEY,
    record      INTEGER NOT NULL,
    source      TEXT    NOT NULL,
    lane        INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    incarnation BLOB    NOT NULL,
    key         BLOB    NOT NULL,
    headers     BLOB    NOT NULL,
    event_id    BLOB,
    reason      TEXT    NOT NULL,
    parked_at   INTEGER NOT NULL,
    value       BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX parked_event ON parked (record, event_id) WHERE event_id IS NOT NULL;
CREATE UNIQUE INDEX parked_origin ON parked (record, source, lane, position, incarnation) WHERE event_id IS NULL;
CREATE INDEX parked_record ON parked (record, arrival);

CREATE TABLE cursor (
    source      TEXT    NOT NULL,
    lane        INTEGER NOT NULL,
    incarnation BLOB    NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (source, lane)
) STRICT, WITHOUT ROWID;
