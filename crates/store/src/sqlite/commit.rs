//! The statements of one batch.

use cartwright_core::{
    domain::ids::{OrderId, derive_uuid},
    ports::{Batch, Commit, Cursor, Guard, HistoryEntry, Message, OrderColumns, Outcome, Row, StoreError},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, ToSql, params};

use super::{codec::integer, open::Head, parked, tasks};

/// A batch that no statement will choke on half-way: what can be refused is refused before the transaction.
#[derive(Debug)]
pub(super) struct Checked {
    batch: Batch,
    /// The work of each commit's tasks as JSON.
    works: Vec<Vec<String>>,
}

impl Checked {
    pub(super) fn new(batch: Batch) -> Result<Self, StoreError> {
        let mut works = Vec::with_capacity(batch.commits.len());
        for commit in &batch.commits {
            check(commit)?;
            works.push(tasks::encode(&commit.put_tasks)?);
        }
        Ok(Self { batch, works })
    }

    /// The journal rows of the commits that stand, in the order in which they were written.
    pub(super) fn messages(self, outcomes: &[Outcome]) -> impl Iterator<Item = Message> {
        let stands = outcomes.iter().map(|outcome| matches!(outcome, Outcome::Committed { .. }));
        let stood = self.batch.commits.into_iter().zip(stands).filter(|(_, stands)| *stands);
        stood.flat_map(|(commit, _)| commit.journal)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batch.commits.is_empty() && self.batch.cursors.is_empty()
    }
}

/// Writes a batch inside a transaction; says how each commit ended and whether anything was written.
pub(super) fn write(
    conn: &Connection,
    head: &mut Head,
    checked: &Checked,
) -> rusqlite::Result<(bool, Vec<Outcome>)> {
    let mut outcomes = Vec::with_capacity(checked.batch.commits.len());
    for (commit, works) in checked.batch.commits.iter().zip(&checked.works) {
        outcomes.push(write_one(conn, head, commit, works)?);
    }
    let stood = outcomes.iter().filter(|o| matches!(o, Outcome::Committed { .. })).count();
    let move_cursors = stood == outcomes.len() && !checked.batch.cursors.is_empty();
    if move_cursors {
        for cursor in &checked.batch.cursors {
            set_cursor(conn, cursor)?;
        }
    }
    Ok((stood > 0 || move_cursors, outcomes))
}

fn check(commit: &Commit) -> Result<(), StoreError> {
    let refuse = |why: &str| Err(StoreError::Corrupt(format!("commit of order {}: {why}", commit.id)));
    if commit.history.iter().any(|h| matches!(h, HistoryEntry::Own(n) if *n >= commit.journal.len())) {
        return refuse("its history names a journal row that it does not have");
    }
    if commit.row.is_none() && commit.guard == Guard::Absent {
        return refuse("there is no row that it could leave as it is");
    }
    if listed(commit).is_some_and(|c| i64::try_from(c.number).is_err()) {
        return refuse("its number is too large");
    }
    Ok(())
}

/// The row under the guard comes first: once it stands, nothing else of the commit can be refused.
fn write_one(
    conn: &Connection,
    head: &mut Head,
    commit: &Commit,
    works: &[String],
) -> rusqlite::Result<Outcome> {
    let written = match commit.guard {
        Guard::Absent => insert(conn, head, commit)?,
        Guard::Revision(revision) => update(conn, head, commit, revision)?,
    };
    let (key, entries) = match written {
        Written::Stands { key, entries } => (key, entries),
        Written::Falls(outcome) => return Ok(outcome),
    };
    let first = head.position + 1;
    write_journal(conn, head, commit)?;
    write_history(conn, key, entries, first, &commit.history)?;
    tasks::drop(conn, head, &commit.drop_tasks)?;
    tasks::put(conn, head, &commit.put_tasks, works)?;
    for (name, answer) in &commit.answers {
        conn.prepare_cached(
            "INSERT INTO answer (order_id, caller, idempotency, saved_at, fingerprint, record)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (order_id, caller, idempotency)
             DO UPDATE SET saved_at = ?4, fingerprint = ?5, record = ?6",
        )?
        .execute(params![
            name.order.as_str(),
            name.caller,
            name.key,
            answer.saved_at.as_micros(),
            answer.fingerprint.as_slice(),
            answer.record,
        ])?;
    }
    if !commit.park.is_empty() || !commit.unpark.is_empty() {
        parked::change(conn, head, key, commit)?;
    }
    let position = if commit.journal.is_empty() { 0 } else { head.position };
    Ok(Outcome::Committed { position })
}

enum Written {
    Stands {
        key: i64,
        /// How many entries the history had before.
        entries: i64,
    },
    Falls(Outcome),
}

fn insert(conn: &Connection, head: &mut Head, commit: &Commit) -> rusqlite::Result<Written> {
    let columns = listed(commit);
    let inserted = conn
        .prepare_cached(
            "INSERT INTO record (id, revision, schema, history, parked, counted, number, channel, external_id, status,
                milestone, flow, customer, created_at, updated_at, sweep_at, record)
             VALUES (?1, 1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            commit.id.as_str(),
            commit.row.as_ref().map(|row| row.schema),
            entries(commit),
            columns.is_some_and(|c| c.counted),
            columns.map(|c| integer(c.number)),
            columns.map(|c| c.channel.as_str()),
            columns.and_then(|c| c.external_id.as_deref()),
            columns.map(|c| c.status.as_str()),
            columns.map(|c| c.milestone.as_str()),
            columns.map(|c| c.flow.as_str()),
            columns.and_then(customer),
            columns.map(|c| c.created_at.as_micros()),
            columns.map(|c| c.updated_at.as_micros()),
            columns.and_then(|c| c.sweep_at).map(|t| t.as_micros()),
            commit.row.as_ref().and_then(|row| row.record.as_ref()),
        ])?;
    if inserted == 0 {
        return Ok(Written::Falls(obstacle(conn, commit)?));
    }
    head.open_orders += u64::from(columns.is_some_and(|c| c.counted));
    Ok(Written::Stands { key: conn.last_insert_rowid(), entries: 0 })
}

fn update(conn: &Connection, head: &mut Head, commit: &Commit, revision: u64) -> rusqlite::Result<Written> {
    let Some(old) = look(conn, commit)? else { return Ok(Written::Falls(Outcome::Conflict)) };
    if old.revision.cast_unsigned() != revision {
        return Ok(Written::Falls(Outcome::Conflict));
    }
    let entries = old.entries + entries(commit);
    let Some(row) = &commit.row else {
        conn.prepare_cached("UPDATE record SET revision = revision + 1, history = ?2 WHERE key = ?1")?
            .execute(params![old.key, entries])?;
        return Ok(Written::Stands { key: old.key, entries: old.entries });
    };
    let columns = listed(commit);
    let counted = columns.is_some_and(|c| c.counted);
    // SQLite rewrites the index entries of every column that an UPDATE names, changed or not: so name few.
    match (columns, old.change) {
        (None, Change::Unlisted) => {
            conn.prepare_cached(
                "UPDATE record SET revision = revision + 1, schema = ?2, history = ?3, record = ?4 WHERE key = ?1",
            )?
            .execute(params![old.key, row.schema, entries, row.record])?;
        }
        (Some(columns), Change::State { sweep }) => {
            let sql = if sweep {
                "UPDATE record SET revision = revision + 1, schema = ?2, history = ?3, counted = ?4, status = ?5,
                    milestone = ?6, flow = ?7, updated_at = ?8, record = ?9, sweep_at = ?10 WHERE key = ?1"
            } else {
                "UPDATE record SET revision = revision + 1, schema = ?2, history = ?3, counted = ?4, status = ?5,
                    milestone = ?6, flow = ?7, updated_at = ?8, record = ?9 WHERE key = ?1"
            };
            let (status, updated_at) = (columns.status.as_str(), columns.updated_at.as_micros());
            let sweep_at = columns.sweep_at.map(|t| t.as_micros());
            let params: [&dyn ToSql; 10] = [
                &old.key,
                &row.schema,
                &entries,
                &counted,
                &status,
                &columns.milestone,
                &columns.flow,
                &updated_at,
                &row.record,
                &sweep_at,
            ];
            conn.prepare_cached(sql)?.execute(if sweep { &params[..] } else { &params[..9] })?;
        }
        (columns, _) => {
            if !update_all(conn, old.key, entries, row, columns)? {
                return Ok(Written::Falls(obstacle(conn, commit)?));
            }
        }
    }
    head.open_orders = (head.open_orders + u64::from(counted)).saturating_sub(u64::from(old.counted));
    Ok(Written::Stands { key: old.key, entries: old.entries })
}

/// Writes every column; `false` when another order has the number or the external id.
fn update_all(
    conn: &Connection,
    key: i64,
    entries: i64,
    row: &Row,
    columns: Option<&OrderColumns>,
) -> rusqlite::Result<bool> {
    let updated = conn
        .prepare_cached(
            "UPDATE record SET revision = revision + 1, schema = ?2, history = ?3, counted = ?4, number = ?5,
                channel = ?6, external_id = ?7, status = ?8, milestone = ?9, flow = ?10, customer = ?11,
                created_at = ?12, updated_at = ?13, sweep_at = ?14, record = ?15 WHERE key = ?1",
        )?
        .execute(params![
            key,
            row.schema,
            entries,
            columns.is_some_and(|c| c.counted),
            columns.map(|c| integer(c.number)),
            columns.map(|c| c.channel.as_str()),
            columns.and_then(|c| c.external_id.as_deref()),
            columns.map(|c| c.status.as_str()),
            columns.map(|c| c.milestone.as_str()),
            columns.map(|c| c.flow.as_str()),
            columns.and_then(customer),
            columns.map(|c| c.created_at.as_micros()),
            columns.map(|c| c.updated_at.as_micros()),
            columns.and_then(|c| c.sweep_at).map(|t| t.as_micros()),
            row.record,
        ]);
    match updated {
        Ok(_) => Ok(true),
        // Only this statement is undone by it; the batch goes on.
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => Ok(false),
        Err(e) => Err(e),
    }
}

/// What the row is now, and how much of it a commit changes.
struct Old {
    key: i64,
    revision: i64,
    entries: i64,
    counted: bool,
    change: Change,
}

enum Change {
    /// Neither the old row nor the new one is listed.
    Unlisted,
    /// What an order keeps for life stays: number, channel, external id, customer, placing time.
    State { sweep: bool },
    /// Anything.
    Identity,
}

fn look(conn: &Connection, commit: &Commit) -> rusqlite::Result<Option<Old>> {
    conn.prepare_cached(
        "SELECT key, revision, history, counted, number, channel, external_id, customer, created_at, sweep_at
         FROM record WHERE id = ?1",
    )?
    .query_row([commit.id.as_str()], |row| {
        let number: Option<i64> = row.get(4)?;
        let change = match listed(commit) {
            None if number.is_none() => Change::Unlisted,
            Some(new)
                if number == Some(integer(new.number))
                    && row.get_ref(5)?.as_str_or_null()? == Some(&new.channel)
                    && row.get_ref(6)?.as_str_or_null()? == new.external_id.as_deref()
                    && row.get_ref(7)?.as_str_or_null()? == customer(new)
                    && row.get::<_, Option<i64>>(8)? == Some(new.created_at.as_micros()) =>
            {
                let sweep = row.get::<_, Option<i64>>(9)? != new.sweep_at.map(|t| t.as_micros());
                Change::State { sweep }
            }
            _ => Change::Identity,
        };
        Ok(Old {
            key: row.get(0)?,
            revision: row.get(1)?,
            entries: row.get(2)?,
            counted: row.get(3)?,
            change,
        })
    })
    .optional()
}

/// Why a row could not be written: its order exists, or another one has what must be unique.
fn obstacle(conn: &Connection, commit: &Commit) -> rusqlite::Result<Outcome> {
    if commit.guard == Guard::Absent && look(conn, commit)?.is_some() {
        return Ok(Outcome::Conflict);
    }
    let Some((channel, external_id)) =
        listed(commit).and_then(|c| Some((c.channel.as_str(), c.external_id.as_deref()?)))
    else {
        return Ok(Outcome::Conflict);
    };
    let by: Option<String> = conn
        .prepare_cached("SELECT id FROM record WHERE external_id = ?1 AND channel = ?2 AND id <> ?3")?
        .query_row([external_id, channel, commit.id.as_str()], |row| row.get(0))
        .optional()?;
    Ok(match by {
        Some(by) => Outcome::Taken { by: order_id(&by)? },
        None => Outcome::Conflict,
    })
}

fn write_journal(conn: &Connection, head: &mut Head, commit: &Commit) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached(
        "INSERT INTO journal (position, topic, key, headers, value) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for message in &commit.journal {
        head.position += 1;
        insert.execute(params![
            head.position.cast_signed(),
            &*message.topic,
            message.key.as_str(),
            message.headers.as_bytes(),
            &*message.value
        ])?;
    }
    Ok(())
}

fn write_history(
    conn: &Connection,
    key: i64,
    entries: i64,
    first: u64,
    history: &[HistoryEntry],
) -> rusqlite::Result<()> {
    let mut insert =
        conn.prepare_cached("INSERT INTO history (record, n, position, value) VALUES (?1, ?2, ?3, ?4)")?;
    for (n, entry) in (entries + 1..).zip(history) {
        match entry {
            HistoryEntry::Own(row) => {
                insert.execute(params![key, n, (first + *row as u64).cast_signed(), None::<&[u8]>])?
            }
            HistoryEntry::Foreign(value) => insert.execute(params![key, n, None::<i64>, &**value])?,
        };
    }
    Ok(())
}

fn set_cursor(conn: &Connection, cursor: &Cursor) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO cursor (source, lane, incarnation, position) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (source, lane) DO UPDATE SET incarnation = ?3, position = ?4",
    )?
    .execute(params![
        &*cursor.source,
        cursor.lane,
        cursor.incarnation.as_bytes().as_slice(),
        cursor.position.cast_signed()
    ])?;
    Ok(())
}

/// The columns by which the row is listed: a placeholder has none.
fn listed(commit: &Commit) -> Option<&OrderColumns> {
    commit.row.as_ref().filter(|row| row.record.is_some())?.columns.as_ref()
}

/// No customer is NULL, so that such orders cost no index entry.
fn customer(columns: &OrderColumns) -> Option<&str> {
    Some(columns.customer.as_str()).filter(|c| !c.is_empty())
}

fn entries(commit: &Commit) -> i64 {
    integer(commit.history.len() as u64)
}

/// An order id from its column.
pub(super) fn order_id(text: &str) -> rusqlite::Result<OrderId> {
    OrderId::parse(text).map_err(super::failure::unreadable)
}

/// An id that no order has, for a row whose own was damaged.
pub(super) fn nobody(table: &str, key: u64) -> OrderId {
    OrderId::from(derive_uuid("damaged id", &[table, &key.to_string()]))
}
