-- One schema of the database for each service; the tables are those of the SQLite files, and so are their columns.
-- `oldest_binary` is the lowest schema number that a binary must know to use these tables safely. A migration that
-- only adds (expand) raises `schema`; one that takes something away (contract) raises both.
CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
INSERT INTO meta VALUES ('schema', '1'), ('oldest_binary', '1');

-- The journal's newest position and the counts. Whoever takes positions holds this row until its commit: so the order
-- of positions is the order of commits, and one number is a cursor.
CREATE TABLE head (
    one         boolean PRIMARY KEY DEFAULT true CHECK (one),
    position    bigint  NOT NULL,
    open_orders bigint  NOT NULL,
    tasks       bigint  NOT NULL,
    parked      bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO head VALUES (true, 0, 0, 0, 0);

-- The newest order number; in a row of its own, so that nobody waits for a commit to get one.
CREATE TABLE numbers (
    one    boolean PRIMARY KEY DEFAULT true CHECK (one),
    number bigint  NOT NULL
) WITH (fillfactor = 10);
INSERT INTO numbers VALUES (true, 1000);

-- A record and what of it never changes once it is there: so an update touches no index and stays on its page (HOT), for
-- which room is left there. Records up to a page's size lie in the row; elsewhere, each update would cost two more.
CREATE TABLE record (
    key         bigint   GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          text     NOT NULL COLLATE "C",
    revision    bigint   NOT NULL,
    schema      bigint   NOT NULL,
    history     bigint   NOT NULL DEFAULT 0,  -- how many entries
    parked      bigint   NOT NULL DEFAULT 0,  -- how many events
    counted     boolean  NOT NULL,
    number      bigint,
    channel     text     COLLATE "C",
    external_id text     COLLATE "C",
    customer    text     COLLATE "C",
    created_at  bigint,
    record      bytea
) WITH (fillfactor = 60, toast_tuple_target = 8160);
ALTER TABLE record ALTER COLUMN record SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX record_id ON record (id);
CREATE UNIQUE INDEX record_number ON record (number) WHERE number IS NOT NULL;
CREATE UNIQUE INDEX record_external ON record (external_id, channel) WHERE external_id IS NOT NULL;
CREATE INDEX record_created ON record (created_at, number) WHERE number IS NOT NULL;
CREATE INDEX record_customer ON record (customer, created_at, number) WHERE customer IS NOT NULL;

-- Where each order stands: what changes and is looked for. One narrow row for each record that has a number.
CREATE TABLE stage (
    key        bigint  PRIMARY KEY,
    number     bigint  NOT NULL,
    counted    boolean NOT NULL,
    status     text    NOT NULL COLLATE "C",
    milestone  text    NOT NULL COLLATE "C",
    flow       text    NOT NULL COLLATE "C",
    created_at bigint  NOT NULL,
    updated_at bigint  NOT NULL,
    sweep_at   bigint
);
CREATE INDEX stage_updated ON stage (updated_at, number);
CREATE INDEX stage_status ON stage (status, milestone, flow, created_at, number);
CREATE INDEX stage_sweep ON stage (sweep_at, key) WHERE sweep_at IS NOT NULL;

CREATE TABLE journal (
    position bigint PRIMARY KEY,
    topic    text   NOT NULL,
    key      text   NOT NULL,
    headers  bytea  NOT NULL,
    value    bytea  NOT NULL
);

-- Our own events are kept once, in the journal; another service's are kept here.
CREATE TABLE history (
    record   bigint NOT NULL,
    n        bigint NOT NULL,
    position bigint,
    value    bytea,
    PRIMARY KEY (record, n),
    CHECK ((position IS NULL) <> (value IS NULL))
);

-- `ready_at` is the later of the due time and the end of the lease: one index answers "which next?".
CREATE TABLE task (
    id       text   COLLATE "C" PRIMARY KEY,
    order_id text   NOT NULL,
    due_at   bigint NOT NULL,
    ready_at bigint NOT NULL,
    attempts bigint NOT NULL,
    work     text   NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX task_ready ON task (ready_at, id);

CREATE TABLE answer (
    order_id    text   NOT NULL COLLATE "C",
    caller      text   NOT NULL COLLATE "C",
    idempotency text   NOT NULL COLLATE "C",
    saved_at    bigint NOT NULL,
    fingerprint bytea  NOT NULL,
    record      bytea  NOT NULL,
    PRIMARY KEY (order_id, caller, idempotency)
);
CREATE INDEX answer_saved ON answer (saved_at);

-- An order's event is itself by its id; one whose id can't be read by where it came from.
CREATE TABLE parked (
    arrival     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record      bigint NOT NULL,
    source      text   NOT NULL COLLATE "C",
    lane        bigint NOT NULL,
    position    bigint NOT NULL,
    incarnation uuid   NOT NULL,
    key         bytea  NOT NULL,
    headers     bytea  NOT NULL,
    event_id    uuid,
    reason      text   NOT NULL,
    parked_at   bigint NOT NULL,
    value       bytea  NOT NULL
);
CREATE UNIQUE INDEX parked_event ON parked (record, event_id) WHERE event_id IS NOT NULL;
CREATE UNIQUE INDEX parked_origin ON parked (record, source, lane, position, incarnation) WHERE event_id IS NULL;
CREATE INDEX parked_record ON parked (record, arrival);

CREATE TABLE cursor (
    source      text   NOT NULL COLLATE "C",
    lane        bigint NOT NULL,
    incarnation uuid   NOT NULL,
    position    bigint NOT NULL,
    PRIMARY KEY (source, lane)
) WITH (fillfactor = 50);

-- What processes share and no order is about: how operators have switched the providers.
CREATE TABLE note (name text PRIMARY KEY, value text NOT NULL);

-- Who of several processes does a thing that only one may do at a time, and until when: `scope` says what ('bus': read
-- for this service; 'relay': forward its journal), `lane` which part of it. By the database's clock, so that no process
-- need trust another one's. `epoch` counts the changes of hands.
CREATE TABLE member (
    scope  text        NOT NULL,
    holder uuid        NOT NULL,
    until  timestamptz NOT NULL,
    PRIMARY KEY (scope, holder)
);
CREATE TABLE lease (
    scope  text        NOT NULL,
    lane   int         NOT NULL,
    holder uuid,
    epoch  bigint      NOT NULL DEFAULT 0,
    until  timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (scope, lane)
) WITH (fillfactor = 50);

-- What became of each batch, for whoever lost its connection before it heard.
CREATE TABLE written (
    batch     uuid PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT now(),
    positions bigint[] NOT NULL,
    taken_by  text[]   NOT NULL
);
CREATE INDEX written_at ON written (at);

-- Writes a batch from BEGIN to COMMIT in one call, so that no process can freeze while it holds a lock. Commits are
-- numbered from 1; what belongs to one names its number. Each stands or falls alone; of one order there is only one.
-- The n-th commit stood if positions[n] is not null (0: it wrote no journal row), fell because of another order's
-- external id if taken_by[n] is not null, and else because of its guard: the row's revision, or -1 for no row. A batch that was written already says again
-- what became of it.
CREATE FUNCTION commit_batch(
    this_batch uuid,
    ids text[], guards bigint[], writes boolean[], schemas bigint[], records bytea[], numbers bigint[],
    channels text[], externals text[], statuses text[], milestones text[], flows text[], customers text[],
    created bigint[], updated bigint[], sweeps bigint[], count_in boolean[], journal_rows int[], history_rows int[],
    j_commit int[], j_n int[], j_topic text[], j_key text[], j_headers bytea[], j_value bytea[],
    h_commit int[], h_n int[], h_own int[], h_value bytea[],
    d_commit int[], d_id text[],
    t_commit int[], t_id text[], t_order text[], t_due bigint[], t_ready bigint[], t_attempts bigint[], t_work text[],
    a_commit int[], a_order text[], a_caller text[], a_key text[], a_saved bigint[], a_fingerprint bytea[],
    a_record bytea[],
    x_commit int[], x_source text[], x_lane bigint[], x_position bigint[],
    p_commit int[], p_source text[], p_lane bigint[], p_position bigint[], p_incarnation uuid[], p_key bytea[],
    p_headers bytea[], p_event uuid[], p_reason text[], p_at bigint[], p_value bytea[],
    c_source text[], c_lane bigint[], c_incarnation uuid[], c_position bigint[],
    OUT positions bigint[], OUT taken_by text[]
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    n         int := coalesce(cardinality(ids), 0);
    keys      bigint[] := array_fill(NULL::bigint, ARRAY[n]);   -- of the rows of the commits that stand
    staged    boolean[] := array_fill(false, ARRAY[n]);         -- whether they have a row in `stage`
    entries   bigint[] := array_fill(0::bigint, ARRAY[n]);      -- how long their histories were
    firsts    bigint[] := array_fill(0::bigint, ARRAY[n]);      -- where their journal rows begin, from 1
    it        record;
    total     bigint := 0;
    stood     int := 0;
    wanted    bigint;                                           -- commits of rows that should be there
    named     boolean[];                                        -- of those given other names: what `staged` was
    to_move   boolean := false;
    to_stage  boolean := false;
    to_clear  boolean := false;
    base      bigint := 0;
    more_open bigint := 0;
    more_tasks bigint := 0;
    more_parked bigint := 0;
    changed   bigint;
BEGIN
    -- Whoever asks again waits for the first try to end, if that is still under way.
    PERFORM pg_advisory_xact_lock(hashtextextended(this_batch::text, 0));
    SELECT w.positions, w.taken_by INTO positions, taken_by FROM written w WHERE w.batch = this_batch;
    IF FOUND THEN
        RETURN;
    END IF;
    positions := array_fill(NULL::bigint, ARRAY[n]);
    taken_by := array_fill(NULL::text, ARRAY[n]);

    -- Rows first, in the order of their ids, so that two batches do not wait for each other. Where a guard holds and
    -- nothing that must be unique changes, at once. The others are given their names, each by itself, and are then written
    -- in a second turn. (Two batches that both name orders, which is rare, may meet head on; one is tried again.)
    wanted := (SELECT count(*) FROM unnest(guards) g WHERE g >= 0);
    WHILE wanted > 0 LOOP
        FOR it IN
            UPDATE record r SET revision = r.revision + 1, history = r.history + u.more,
                schema = CASE WHEN u.writes THEN u.schema ELSE r.schema END,
                record = CASE WHEN u.writes THEN u.record ELSE r.record END,
                counted = CASE WHEN u.writes THEN u.counted ELSE r.counted END,
                customer = CASE WHEN u.writes THEN u.customer ELSE r.customer END,
                created_at = CASE WHEN u.writes THEN u.created_at ELSE r.created_at END
            FROM (
                SELECT w.*, o.key, o.counted AS was_counted, o.number IS NOT NULL AS was_staged
                FROM unnest(ids, guards, keys, writes, schemas, records, count_in, customers, created, history_rows,
                        numbers, channels, externals)
                    WITH ORDINALITY w(id, guard, done, writes, schema, record, counted, customer, created_at, more,
                        number, channel, external, i)
                JOIN record o ON o.id = w.id AND o.revision = w.guard
                WHERE w.guard >= 0 AND w.done IS NULL AND NOT (w.writes
                    AND (o.number, o.channel, o.external_id) IS DISTINCT FROM (w.number, w.channel, w.external))
                ORDER BY w.id
            ) u
            WHERE r.key = u.key AND r.revision = u.guard
            RETURNING u.i, r.key, r.history - u.more AS entries, u.writes AND u.was_counted AS was_counted, u.was_staged
        LOOP
            keys[it.i] := it.key;
            entries[it.i] := it.entries;
            staged[it.i] := coalesce(named[it.i], it.was_staged);
            more_open := more_open - it.was_counted::int;
            wanted := wanted - 1;
        END LOOP;
        EXIT WHEN wanted = 0 OR named IS NOT NULL; -- what is left has fallen
        named := '{}';
        FOR it IN
            SELECT u.i, r.key, r.number IS NOT NULL AS was_staged
            FROM unnest(ids, guards, keys, writes, numbers, channels, externals)
                WITH ORDINALITY u(id, guard, done, writes, number, channel, external, i)
            JOIN record r ON r.id = u.id AND r.revision = u.guard
            WHERE u.guard >= 0 AND u.done IS NULL AND u.writes ORDER BY u.id FOR UPDATE OF r
        LOOP
            BEGIN
                UPDATE record SET number = numbers[it.i], channel = channels[it.i], external_id = externals[it.i]
                WHERE key = it.key;
                named[it.i] := it.was_staged;
            EXCEPTION WHEN unique_violation THEN
                NULL; -- this commit alone falls over it
            END;
        END LOOP;
        EXIT WHEN cardinality(named) = 0;
    END LOOP;
    IF -1 = ANY (guards) THEN
        FOR it IN
            INSERT INTO record (id, revision, schema, history, counted, number, channel, external_id, customer,
                created_at, record)
            SELECT u.id, 1, u.schema, u.more, u.counted, u.number, u.channel, u.external, u.customer, u.created_at,
                u.record
            FROM unnest(ids, guards, schemas, history_rows, count_in, numbers, channels, externals, customers, created,
                    records)
                u(id, guard, schema, more, counted, number, channel, external, customer, created_at, record)
            WHERE u.guard < 0 ORDER BY u.id
            ON CONFLICT DO NOTHING RETURNING id, key
        LOOP
            keys[array_position(ids, it.id)] := it.key;
        END LOOP;
    END IF;

    FOR i IN 1 .. n LOOP
        IF keys[i] IS NULL THEN
            taken_by[i] := (SELECT r.id FROM record r
            WHERE r.external_id = externals[i] AND r.channel = channels[i] AND r.id <> ids[i]
                AND (guards[i] >= 0 OR NOT EXISTS (SELECT 1 FROM record o WHERE o.id = ids[i]))
                AND (guards[i] < 0 OR EXISTS (SELECT 1 FROM record o WHERE o.id = ids[i] AND o.revision = guards[i])));
        ELSE
            stood := stood + 1;
            firsts[i] := total + 1;
            total := total + journal_rows[i];
            IF writes[i] THEN
                more_open := more_open + count_in[i]::int;
                to_move := to_move OR (staged[i] AND numbers[i] IS NOT NULL);
                to_clear := to_clear OR (staged[i] AND numbers[i] IS NULL);
                to_stage := to_stage OR (numbers[i] IS NOT NULL AND NOT staged[i]);
            END IF;
        END IF;
    END LOOP;
    IF stood = 0 AND (n > 0 OR coalesce(cardinality(c_source), 0) = 0) THEN
        RETURN;
    END IF;

    IF to_move THEN
        UPDATE stage s SET number = u.number, counted = u.counted, status = u.status, milestone = u.milestone,
            flow = u.flow, created_at = u.created_at, updated_at = u.updated_at, sweep_at = u.sweep_at
        FROM unnest(keys, staged, writes, numbers, count_in, statuses, milestones, flows, created, updated, sweeps)
            u(key, staged, writes, number, counted, status, milestone, flow, created_at, updated_at, sweep_at)
        WHERE s.key = u.key AND u.staged AND u.writes AND u.number IS NOT NULL;
    END IF;
    IF to_clear THEN
        DELETE FROM stage s USING unnest(keys, staged, writes, numbers) u(key, staged, writes, number)
        WHERE s.key = u.key AND u.staged AND u.writes AND u.number IS NULL;
    END IF;
    IF to_stage THEN
        INSERT INTO stage (key, number, counted, status, milestone, flow, created_at, updated_at, sweep_at)
        SELECT u.key, u.number, u.counted, u.status, u.milestone, u.flow, u.created_at, u.updated_at, u.sweep_at
        FROM unnest(keys, staged, writes, numbers, count_in, statuses, milestones, flows, created, updated, sweeps)
            u(key, staged, writes, number, counted, status, milestone, flow, created_at, updated_at, sweep_at)
        WHERE u.key IS NOT NULL AND NOT u.staged AND u.writes AND u.number IS NOT NULL;
    END IF;
    IF cardinality(d_id) > 0 THEN
        DELETE FROM task t USING unnest(d_commit, d_id) d(c, id) WHERE t.id = d.id AND keys[d.c] IS NOT NULL;
        GET DIAGNOSTICS changed = ROW_COUNT;
        more_tasks := -changed;
    END IF;
    IF cardinality(t_id) > 0 THEN
        WITH put AS (
            INSERT INTO task (id, order_id, due_at, ready_at, attempts, work)
            SELECT t.id, t.order_id, t.due_at, t.ready_at, t.attempts, t.work
            FROM unnest(t_commit, t_id, t_order, t_due, t_ready, t_attempts, t_work)
                t(c, id, order_id, due_at, ready_at, attempts, work)
            WHERE keys[t.c] IS NOT NULL ORDER BY t.id
            ON CONFLICT (id) DO UPDATE SET order_id = excluded.order_id, due_at = excluded.due_at,
                ready_at = excluded.ready_at, attempts = excluded.attempts, work = excluded.work
            RETURNING xmax = 0 AS fresh
        )
        SELECT more_tasks + count(*) FILTER (WHERE fresh) INTO more_tasks FROM put;
    END IF;
    IF cardinality(a_key) > 0 THEN
        INSERT INTO answer (order_id, caller, idempotency, saved_at, fingerprint, record)
        SELECT a.order_id, a.caller, a.idempotency, a.saved_at, a.fingerprint, a.record
        FROM unnest(a_commit, a_order, a_caller, a_key, a_saved, a_fingerprint, a_record)
            a(c, order_id, caller, idempotency, saved_at, fingerprint, record)
        WHERE keys[a.c] IS NOT NULL
        ON CONFLICT (order_id, caller, idempotency) DO UPDATE SET saved_at = excluded.saved_at,
            fingerprint = excluded.fingerprint, record = excluded.record;
    END IF;

    -- First away, then in, so that an event that is in both stays. Of an origin the oldest only: a source that began
    -- anew may have used the same position again.
    FOR i IN 1 .. coalesce(cardinality(x_commit), 0) LOOP
        CONTINUE WHEN keys[x_commit[i]] IS NULL;
        DELETE FROM parked WHERE arrival = (
            SELECT p.arrival FROM parked p WHERE p.record = keys[x_commit[i]] AND p.source = x_source[i]
                AND p.lane = x_lane[i] AND p.position = x_position[i] ORDER BY p.arrival LIMIT 1);
        GET DIAGNOSTICS changed = ROW_COUNT;
        UPDATE record r SET parked = r.parked - changed WHERE r.key = keys[x_commit[i]] AND changed > 0;
        more_parked := more_parked - changed;
    END LOOP;
    FOR i IN 1 .. coalesce(cardinality(p_commit), 0) LOOP
        CONTINUE WHEN keys[p_commit[i]] IS NULL;
        INSERT INTO parked (record, source, lane, position, incarnation, key, headers, event_id, reason, parked_at, value)
        VALUES (keys[p_commit[i]], p_source[i], p_lane[i], p_position[i], p_incarnation[i], p_key[i], p_headers[i],
            p_event[i], p_reason[i], p_at[i], p_value[i])
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS changed = ROW_COUNT;
        UPDATE record r SET parked = r.parked + changed WHERE r.key = keys[p_commit[i]] AND changed > 0;
        more_parked := more_parked + changed;
    END LOOP;

    -- From here to the commit nobody else takes positions.
    IF total > 0 OR more_open <> 0 OR more_tasks <> 0 OR more_parked <> 0 THEN
        UPDATE head h SET position = h.position + total, open_orders = h.open_orders + more_open,
            tasks = h.tasks + more_tasks, parked = h.parked + more_parked
        RETURNING h.position - total INTO base;
    END IF;
    IF total > 0 THEN
        INSERT INTO journal (position, topic, key, headers, value)
        SELECT base + firsts[j.c] + j.n, j.topic, j.key, j.headers, j.value
        FROM unnest(j_commit, j_n, j_topic, j_key, j_headers, j_value) j(c, n, topic, key, headers, value)
        WHERE keys[j.c] IS NOT NULL;
    END IF;
    IF cardinality(h_n) > 0 THEN
        INSERT INTO history (record, n, position, value)
        SELECT keys[h.c], entries[h.c] + h.n, base + firsts[h.c] + h.own, h.value
        FROM unnest(h_commit, h_n, h_own, h_value) h(c, n, own, value)
        WHERE keys[h.c] IS NOT NULL;
    END IF;
    FOR i IN 1 .. n LOOP
        IF keys[i] IS NOT NULL THEN
            positions[i] := CASE WHEN journal_rows[i] > 0 THEN base + firsts[i] + journal_rows[i] - 1 ELSE 0 END;
        END IF;
    END LOOP;
    IF stood = n AND cardinality(c_source) > 0 THEN
        INSERT INTO cursor (source, lane, incarnation, position)
        SELECT * FROM unnest(c_source, c_lane, c_incarnation, c_position)
        ON CONFLICT (source, lane) DO UPDATE SET incarnation = excluded.incarnation, position = excluded.position
        -- What is settled stays settled: a process that lost its lane, and comes late, can't take anything back.
        WHERE cursor.incarnation <> excluded.incarnation OR cursor.position < excluded.position;
    END IF;
    INSERT INTO written (batch, positions, taken_by) VALUES (this_batch, positions, taken_by);
END;
$$;

-- Takes a run of order numbers; its first. Nobody waits until that is durable: whoever uses one of them does so in a later
-- transaction, which is durable only together with this one.
CREATE FUNCTION reserve_numbers(how_many bigint) RETURNS bigint LANGUAGE sql AS $$
    SELECT set_config('synchronous_commit', 'off', true);
    UPDATE numbers SET number = number + how_many RETURNING number - how_many + 1;
$$;

-- Renews the leases of a process, takes those that are its share and free, and gives up those that are not. The lanes
-- go round among the living members of a scope, in the order of their ids. `fresh`: the lane had another holder before,
-- who had not given it up.
CREATE FUNCTION hold_leases(this_scope text, me uuid, lanes int, seconds float8)
RETURNS TABLE (held int, held_epoch bigint, fresh boolean) LANGUAGE plpgsql AS $$
DECLARE
    members bigint;
    place   bigint;
    ends    timestamptz := clock_timestamp() + make_interval(secs => seconds);
BEGIN
    INSERT INTO lease (scope, lane) SELECT this_scope, n FROM generate_series(0, lanes - 1) n ON CONFLICT DO NOTHING;
    DELETE FROM member m WHERE m.scope = this_scope AND m.until < clock_timestamp() AND m.holder <> me;
    INSERT INTO member VALUES (this_scope, me, ends)
        ON CONFLICT ON CONSTRAINT member_pkey DO UPDATE SET until = excluded.until;
    SELECT count(*), count(*) FILTER (WHERE m.holder < me) INTO members, place FROM member m
        WHERE m.scope = this_scope;
    UPDATE lease l SET holder = NULL WHERE l.scope = this_scope AND l.holder = me AND l.lane % members <> place;
    RETURN QUERY
        WITH before AS (
            SELECT l.lane, l.holder FROM lease l
            WHERE l.scope = this_scope AND l.lane < lanes AND l.lane % members = place
                AND (l.holder IS NULL OR l.holder = me OR l.until < clock_timestamp())
            ORDER BY l.lane FOR UPDATE
        )
        UPDATE lease l SET until = ends, holder = me,
            epoch = l.epoch + CASE WHEN b.holder IS NOT DISTINCT FROM me THEN 0 ELSE 1 END
        FROM before b WHERE l.scope = this_scope AND l.lane = b.lane
        RETURNING l.lane, l.epoch, b.holder IS NOT NULL AND b.holder <> me;
END;
$$;

-- Gives up everything that a process holds, so that nobody waits for its leases to end.
CREATE FUNCTION drop_leases(this_scope text, me uuid) RETURNS void LANGUAGE sql AS $$
    UPDATE lease SET holder = NULL WHERE scope = this_scope AND holder = me;
    DELETE FROM member WHERE scope = this_scope AND holder = me;
$$;
