//! The readers: threads with connections of their own, and what they read.

use std::{
    cell::Cell,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use cartwright_core::{
    domain::{
        ids::{OrderId, derive_uuid},
        time::Timestamp,
    },
    ports::{AnswerKey, Cursor, JournalRow, Message, PAGE_BYTES, SavedAnswer, StoreError, Stored, Walked},
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{OpenError, StoreKind};

use super::{
    SqliteOptions,
    codec::{bytes, headers, integer, limit as sql_limit, small, text, uuid},
    failure::{store_error, unreadable},
    lent::Lent,
    open,
    queue::{self, Queue},
};

type Read = Box<dyn FnOnce(rusqlite::Result<&Connection>) + Send>;

/// How long a list may take. Filters without an index walk all orders.
const LONGEST: Duration = Duration::from_secs(10);
/// An order's newest events, the last first, and their positions in the journal as long as they are there.
const NEWEST: &str =
    "SELECT coalesce(h.value, (SELECT value FROM journal j WHERE j.position = h.position)), h.position
    FROM history h WHERE h.record = ?1 ORDER BY h.n DESC LIMIT ?2";
/// Steps of SQLite's machine between two looks at the time.
const STEPS: i32 = 10_000;

/// The reader threads: one for what the service waits for, one for topics, one for lists and histories. The last two
/// may take long and hold up none but their like.
pub(super) struct Readers {
    /// `None` once it is being closed.
    short: Option<Queue<Read>>,
    topics: Option<Queue<Read>>,
    long: Option<Queue<Read>>,
    closing: Arc<AtomicBool>,
    connections: Vec<Arc<Lent>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    pub(super) fn start(path: &Path, kind: StoreKind, options: &SqliteOptions) -> Result<Self, OpenError> {
        let mut readers = Self {
            short: None,
            topics: None,
            long: None,
            closing: Arc::default(),
            connections: Vec::with_capacity(3),
            threads: Vec::with_capacity(3),
        };
        readers.short = Some(readers.thread("read", path, kind, options)?);
        readers.topics = Some(readers.thread("topic", path, kind, options)?);
        readers.long = Some(readers.thread("list", path, kind, options)?);
        Ok(readers)
    }

    /// What the threads read with.
    pub(super) fn connections(&self) -> &[Arc<Lent>] {
        &self.connections
    }

    fn thread(
        &mut self,
        name: &str,
        path: &Path,
        kind: StoreKind,
        options: &SqliteOptions,
    ) -> Result<Queue<Read>, OpenError> {
        let (queue, jobs) = queue::bounded::<Read>(options.queue);
        let closing = self.closing.clone();
        let connect = move |path: &Path, options: &SqliteOptions| {
            let mut conn = open::connect_reader(path, options)?;
            let closing = closing.clone();
            conn.progress_handler(STEPS, Some(move || closing.load(Ordering::Relaxed) || is_over()))?;
            Ok(conn)
        };
        let lent = Lent::open(path, options, connect).map_err(|e| open::trouble(path, e))?;
        self.connections.push(Arc::clone(&lent));
        let thread = std::thread::Builder::new()
            .name(format!("{kind}-{name}"))
            .spawn(move || {
                while let Some(read) = jobs.next() {
                    lent.with(read);
                }
            })
            .map_err(|e| OpenError::io(path, e))?;
        self.threads.push(thread);
        Ok(queue)
    }

    /// A short read, which others wait for.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        run(self.short.as_ref(), read).await
    }

    /// A page of the journal.
    pub(super) async fn read_topic<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        run(self.topics.as_ref(), read).await
    }

    /// A read that may take long.
    pub(super) async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let limited = |conn: &Connection| {
            UNTIL.set(Some(Instant::now() + LONGEST));
            let result = read(conn);
            UNTIL.set(None);
            result
        };
        run(self.long.as_ref(), limited).await.map_err(|error| match error {
            StoreError::TooLong(_) => StoreError::TooLong(LONGEST),
            error => error,
        })
    }
}

thread_local! {
    /// When the read that this thread is at must be over.
    static UNTIL: Cell<Option<Instant>> = const { Cell::new(None) };
}

fn is_over() -> bool {
    UNTIL.get().is_some_and(|until| Instant::now() > until)
}

async fn run<T: Send + 'static>(
    queue: Option<&Queue<Read>>,
    read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let Some(queue) = queue else {
        return Err(StoreError::Unavailable("the store is closed".to_owned()));
    };
    queue
        .ask(|reply| {
            Box::new(move |conn: rusqlite::Result<&Connection>| {
                // Nobody waits for a read whose caller has gone.
                if !reply.is_closed() {
                    let _ = reply.send(conn.and_then(read).map_err(|e| store_error(&e)));
                }
            }) as Read
        })
        .await
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Nobody waits any more for a list that is under way.
        self.closing.store(true, Ordering::Relaxed);
        (self.short, self.topics, self.long) = (None, None, None);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// A row with columns `revision, schema, parked, record`, in this order.
pub(super) fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    Ok(Stored {
        revision: row.get::<_, i64>(0)?.cast_unsigned(),
        // A number that no binary writes is a shape that this one does not know.
        schema: small(row.get_ref(1)?).unwrap_or(u32::MAX),
        has_parked: row.get::<_, i64>(2)? > 0,
        record: row.get(3)?,
    })
}

pub(super) fn load(conn: &Connection, ids: &[OrderId]) -> rusqlite::Result<Vec<Stored>> {
    // One snapshot for all of them, and the locks of the log taken once.
    let snapshot = conn.unchecked_transaction()?;
    let loaded = {
        let mut select =
            snapshot.prepare_cached("SELECT revision, schema, parked, record FROM record WHERE id = ?1")?;
        ids.iter()
            .map(|id| Ok(select.query_row([id.as_str()], stored).optional()?.unwrap_or_default()))
            .collect()
    };
    snapshot.finish()?;
    loaded
}

pub(super) fn walk(
    conn: &Connection,
    after: u64,
    limit: usize,
    events: usize,
) -> rusqlite::Result<Vec<Walked>> {
    // One snapshot for all statements.
    let snapshot = conn.unchecked_transaction()?;
    let walked = {
        let mut select = snapshot.prepare_cached(
            "SELECT revision, schema, parked, record, key FROM record
             WHERE key > ?1 AND number IS NOT NULL ORDER BY key LIMIT ?2",
        )?;
        let mut newest = snapshot.prepare_cached(NEWEST)?;
        let rows = select.query_and_then([integer(after), sql_limit(limit)], |row| {
            let key: i64 = row.get(4)?;
            let read = |row: &Row<'_>| Ok(row.get::<_, Option<Vec<u8>>>(0)?.map(Bytes::from));
            let events = newest.query_map([key, sql_limit(events)], read)?;
            let mut history = events.collect::<rusqlite::Result<Option<Vec<_>>>>()?;
            history.iter_mut().for_each(|events| events.reverse());
            Ok(Walked { place: key.cast_unsigned(), stored: stored(row)?, history })
        })?;
        page(rows, Walked::bytes)
    };
    snapshot.finish()?;
    walked
}

pub(super) fn journal(conn: &Connection, after: u64, limit: usize) -> rusqlite::Result<Vec<JournalRow>> {
    let mut select = conn.prepare_cached(
        "SELECT position, topic, key, headers, value FROM journal WHERE position > ?1 ORDER BY position LIMIT ?2",
    )?;
    let rows = select.query_and_then([integer(after), sql_limit(limit)], |row| {
        let position = row.get::<_, i64>(0)?.cast_unsigned();
        Ok(JournalRow {
            position,
            message: Message {
                topic: text(row.get_ref(1)?)?.into(),
                key: journal_key(&text(row.get_ref(2)?)?, position),
                headers: headers(row.get_ref(3)?)?,
                value: bytes(row.get_ref(4)?)?,
            },
        })
    })?;
    page(rows, |row| row.message.value.len())
}

/// The key of a journal row. One that was damaged gets a name of its own: its event is then parked by whoever reads
/// it, and the events behind it go on.
fn journal_key(text: &str, position: u64) -> OrderId {
    OrderId::parse(text).unwrap_or_else(|error| {
        tracing::error!(position, %error, "the key of a journal row is damaged");
        OrderId::from(derive_uuid("damaged key", &[&position.to_string()]))
    })
}

/// Rows until they come to a page.
pub(super) fn page<T>(
    rows: impl Iterator<Item = rusqlite::Result<T>>,
    size: impl Fn(&T) -> usize,
) -> rusqlite::Result<Vec<T>> {
    let (mut page, mut bytes) = (Vec::new(), 0);
    for row in rows {
        let row = row?;
        bytes += size(&row);
        page.push(row);
        if bytes >= PAGE_BYTES {
            break;
        }
    }
    Ok(page)
}

pub(super) fn journal_bounds(conn: &Connection) -> rusqlite::Result<(u64, u64)> {
    conn.prepare_cached("SELECT position, (SELECT min(position) FROM journal) FROM head")?.query_row(
        [],
        |row| {
            let head = row.get::<_, i64>(0)?.cast_unsigned();
            let oldest = row.get::<_, Option<i64>>(1)?.map_or(head + 1, i64::cast_unsigned);
            Ok((oldest, head))
        },
    )
}

pub(super) fn cursors(conn: &Connection) -> rusqlite::Result<Vec<Cursor>> {
    conn.prepare_cached("SELECT source, lane, incarnation, position FROM cursor ORDER BY source, lane")?
        .query_and_then([], |row| {
            Ok(Cursor {
                source: row.get_ref(0)?.as_str()?.into(),
                lane: row.get(1)?,
                incarnation: uuid(row.get_ref(2)?.as_blob()?)?,
                position: row.get::<_, i64>(3)?.cast_unsigned(),
            })
        })?
        .collect()
}

pub(super) fn history(
    conn: &Connection,
    id: &OrderId,
    after: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Bytes>> {
    let mut select = conn.prepare_cached(
        "SELECT coalesce(h.value, (SELECT value FROM journal j WHERE j.position = h.position)), h.position
         FROM history h WHERE h.record = (SELECT key FROM record WHERE id = ?1) AND h.n > ?2
         ORDER BY h.n LIMIT ?3",
    )?;
    let events = select
        .query_and_then(params![id.as_str(), integer(after), sql_limit(limit)], |row| historic(id, row))?;
    page(events, Bytes::len)
}

/// The newest events of an order, oldest first.
pub(super) fn newest(conn: &Connection, id: &OrderId, limit: usize) -> rusqlite::Result<Vec<Bytes>> {
    let mut key = conn.prepare_cached("SELECT key FROM record WHERE id = ?1")?;
    let Some(key) = key.query_row([id.as_str()], |row| row.get::<_, i64>(0)).optional()? else {
        return Ok(vec![]);
    };
    let mut select = conn.prepare_cached(NEWEST)?;
    let events = select.query_and_then([key, sql_limit(limit)], |row| historic(id, row))?;
    let mut events = events.collect::<rusqlite::Result<Vec<_>>>()?;
    events.reverse();
    Ok(events)
}

fn historic(id: &OrderId, row: &Row<'_>) -> rusqlite::Result<Bytes> {
    row.get::<_, Option<Vec<u8>>>(0)?.map(Bytes::from).ok_or_else(|| {
        let position: Option<i64> = row.get(1).unwrap_or_default();
        unreadable(format!("the history of order {id} names journal row {position:?}, which is gone"))
    })
}

pub(super) fn answers(conn: &Connection, keys: &[AnswerKey]) -> rusqlite::Result<Vec<Option<SavedAnswer>>> {
    keys.iter().map(|key| answer(conn, key)).collect()
}

fn answer(conn: &Connection, key: &AnswerKey) -> rusqlite::Result<Option<SavedAnswer>> {
    conn.prepare_cached(
        "SELECT fingerprint, record, saved_at FROM answer WHERE order_id = ?1 AND caller = ?2 AND idempotency = ?3",
    )?
    .query_row([key.order.as_str(), &key.caller, &key.key], |row| {
        Ok(SavedAnswer {
            // A damaged one is that of no request: what was done once is not done again.
            fingerprint: row.get_ref(0)?.as_blob()?.try_into().unwrap_or_default(),
            record: row.get(1)?,
            saved_at: Timestamp::from_micros(row.get(2)?),
        })
    })
    .optional()
}
