//! What is read, but for lists.

use bytes::Bytes;
use cartwright_core::{
    domain::{
        ids::{OrderId, derive_uuid},
        time::Timestamp,
    },
    ports::{
        AnswerKey, Cursor, Delivery, JournalRow, ListedParked, Message, Origin, Parked, ParkedQuery,
        SavedAnswer, Stored, Task, Work,
    },
};
use deadpool_postgres::Client;
use tokio_postgres::{Error, Row};

use super::codec::{clean, headers, integer, limit as sql_limit, page, small, stored};

pub(super) async fn load(client: &Client, ids: &[OrderId]) -> Result<Vec<Stored>, Error> {
    let ids: Vec<&str> = ids.iter().map(OrderId::as_str).collect();
    let select = client
        .prepare_cached(
            "SELECT u.i, r.revision, r.schema, r.parked, r.record FROM unnest($1::text[]) WITH ORDINALITY u(id, i)
             JOIN record r ON r.id = u.id",
        )
        .await?;
    let mut records = vec![Stored::default(); ids.len()];
    for row in client.query(&select, &[&ids]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(0)? - 1).ok();
        if let Some(record) = place.and_then(|place| records.get_mut(place)) {
            *record = stored(&row, 1)?;
        }
    }
    Ok(records)
}

pub(super) async fn journal(client: &Client, after: u64, limit: usize) -> Result<Vec<JournalRow>, Error> {
    // The size of a row is known before it is sent, so a page costs no more memory here than it holds.
    let select = client
        .prepare_cached(
            "SELECT position, topic, key, headers, value FROM (
                SELECT *, sum(length(value)) OVER (ORDER BY position) - length(value) AS before FROM (
                    SELECT * FROM journal WHERE position > $1 ORDER BY position LIMIT $2) next) sized
             WHERE before < $3 ORDER BY position",
        )
        .await?;
    let bytes = sql_limit(cartwright_core::ports::PAGE_BYTES);
    let rows = client.query(&select, &[&integer(after), &sql_limit(limit), &bytes]).await?;
    let read = |row: &Row| {
        let position = row.try_get::<_, i64>(0)?.cast_unsigned();
        Ok(JournalRow {
            position,
            message: Message {
                topic: row.try_get::<_, &str>(1)?.into(),
                key: journal_key(row.try_get(2)?, position),
                headers: headers(row.try_get(3)?),
                value: Bytes::from(row.try_get::<_, Vec<u8>>(4)?),
            },
        })
    };
    page(&rows, read, |row| row.message.value.len())
}

/// The key of a journal row. One that was damaged gets a name of its own: its event is then parked by whoever reads
/// it, and the events behind it go on.
fn journal_key(text: &str, position: u64) -> OrderId {
    OrderId::parse(text).unwrap_or_else(|error| {
        tracing::error!(position, %error, "the key of a journal row is damaged");
        OrderId::from(derive_uuid("damaged key", &[&position.to_string()]))
    })
}

pub(super) async fn journal_bounds(client: &Client) -> Result<(u64, u64), Error> {
    let select =
        client.prepare_cached("SELECT position, (SELECT min(position) FROM journal) FROM head").await?;
    let row = client.query_one(&select, &[]).await?;
    let head = row.try_get::<_, i64>(0)?.cast_unsigned();
    let oldest = row.try_get::<_, Option<i64>>(1)?.map_or(head + 1, i64::cast_unsigned);
    Ok((oldest, head))
}

pub(super) async fn cursors(client: &Client) -> Result<Vec<Cursor>, Error> {
    let select = client
        .prepare_cached("SELECT source, lane, incarnation, position FROM cursor ORDER BY source, lane")
        .await?;
    let rows = client.query(&select, &[]).await?;
    let read = |row: &Row| {
        Ok(Cursor {
            source: row.try_get::<_, &str>(0)?.into(),
            lane: small(row.try_get(1)?).unwrap_or(u32::MAX),
            incarnation: row.try_get(2)?,
            position: row.try_get::<_, i64>(3)?.cast_unsigned(),
        })
    };
    rows.iter().map(read).collect()
}

/// An entry whose journal row is gone is an error that names it.
pub(super) async fn history(
    client: &Client,
    id: &OrderId,
    after: u64,
    limit: usize,
) -> Result<Result<Vec<Bytes>, String>, Error> {
    let select = client
        .prepare_cached(
            "SELECT coalesce(h.value, j.value), h.position FROM history h LEFT JOIN journal j ON j.position = h.position
             WHERE h.record = (SELECT key FROM record WHERE id = $1) AND h.n > $2 ORDER BY h.n LIMIT $3",
        )
        .await?;
    let rows = client.query(&select, &[&id.as_str(), &integer(after), &sql_limit(limit)]).await?;
    let read = |row: &Row| Ok((row.try_get::<_, Option<Vec<u8>>>(0)?, row.try_get::<_, Option<i64>>(1)?));
    let rows = page(&rows, read, |(value, _)| value.as_ref().map_or(0, Vec::len))?;
    let found = rows
        .into_iter()
        .map(|(value, position)| value.map(Bytes::from).ok_or_else(|| names_what_is_gone(id, position)));
    Ok(found.collect())
}

/// The newest events of each of these orders, oldest first; errors as with [`history`].
pub(super) async fn histories(
    client: &Client,
    ids: &[OrderId],
    limit: usize,
) -> Result<Result<Vec<Vec<Bytes>>, String>, Error> {
    let select = client
        .prepare_cached(
            "SELECT u.i, e.value, e.position FROM unnest($1::text[]) WITH ORDINALITY u(id, i)
             JOIN record r ON r.id = u.id CROSS JOIN LATERAL (
                SELECT h.n, coalesce(h.value, j.value) AS value, h.position
                FROM history h LEFT JOIN journal j ON j.position = h.position
                WHERE h.record = r.key ORDER BY h.n DESC LIMIT $2) e
             ORDER BY u.i, e.n",
        )
        .await?;
    let names: Vec<&str> = ids.iter().map(OrderId::as_str).collect();
    let mut histories = vec![Vec::new(); ids.len()];
    for row in client.query(&select, &[&names, &sql_limit(limit)]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
        let (Some(history), Some(id)) = (histories.get_mut(place), ids.get(place)) else { continue };
        match row.try_get::<_, Option<Vec<u8>>>(1)? {
            Some(value) => history.push(Bytes::from(value)),
            None => return Ok(Err(names_what_is_gone(id, row.try_get(2)?))),
        }
    }
    Ok(Ok(histories))
}

fn names_what_is_gone(id: &OrderId, position: Option<i64>) -> String {
    format!("the history of order {id} names journal row {position:?}, which is gone")
}

pub(super) async fn answers(client: &Client, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, Error> {
    let select = client
        .prepare_cached(
            "SELECT u.i, a.fingerprint, a.record, a.saved_at
             FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY u(order_id, caller, key, i)
             JOIN answer a ON a.order_id = u.order_id AND a.caller = u.caller AND a.idempotency = u.key",
        )
        .await?;
    let orders: Vec<&str> = keys.iter().map(|key| key.order.as_str()).collect();
    let callers: Vec<_> = keys.iter().map(|key| clean(&key.caller)).collect();
    let names: Vec<_> = keys.iter().map(|key| clean(&key.key)).collect();
    let mut answers = vec![None; keys.len()];
    for row in client.query(&select, &[&orders, &callers, &names]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(0)? - 1).ok();
        if let Some(answer) = place.and_then(|place| answers.get_mut(place)) {
            *answer = Some(SavedAnswer {
                // A damaged one is that of no request: what was done once is not done again.
                fingerprint: row.try_get::<_, &[u8]>(1)?.try_into().unwrap_or_default(),
                record: row.try_get(2)?,
                saved_at: Timestamp::from_micros(row.try_get(3)?),
            });
        }
    }
    Ok(answers)
}

/// Leases the tasks that are ready, the longest waiting first. Those that another process is just taking are its.
pub(super) async fn claim(
    client: &Client,
    now: Timestamp,
    lease_until: Timestamp,
    limit: usize,
) -> Result<Vec<Task>, Error> {
    let claim = client
        .prepare_cached(
            "WITH ready AS (
                SELECT id, ready_at AS since FROM task WHERE ready_at <= $1 ORDER BY ready_at, id LIMIT $2
                FOR UPDATE SKIP LOCKED
             ), taken AS (
                UPDATE task t SET ready_at = greatest(t.due_at, $3) FROM ready WHERE t.id = ready.id
                RETURNING t.id, t.order_id, t.due_at, t.attempts, t.work, ready.since
             )
             SELECT id, order_id, due_at, attempts, work FROM taken ORDER BY since, id",
        )
        .await?;
    let rows = client.query(&claim, &[&now.as_micros(), &sql_limit(limit), &lease_until.as_micros()]).await?;
    let mut tasks = Vec::with_capacity(rows.len());
    for row in &rows {
        match task(row, lease_until)? {
            Ok(task) => tasks.push(task),
            // A newer binary's work, or damage. It is leased and left for one that knows it; the others must not wait
            // for it.
            Err(error) => {
                let id: &str = row.try_get(0)?;
                tracing::error!(task = id, %error, "a task can't be read and is left alone");
            }
        }
    }
    Ok(tasks)
}

/// Ends leases, as far as they are still the ones that the tasks say.
pub(super) async fn give_back(client: &Client, tasks: &[Task]) -> Result<(), Error> {
    let give_back = client
        .prepare_cached(
            "UPDATE task t SET ready_at = t.due_at FROM unnest($1::text[], $2::bigint[]) u(id, until)
             WHERE t.id = u.id AND t.ready_at = u.until",
        )
        .await?;
    let ids: Vec<&str> = tasks.iter().map(|task| &*task.id).collect();
    let until: Vec<i64> = tasks.iter().map(|task| task.due_at.max(task.lease_until).as_micros()).collect();
    client.execute(&give_back, &[&ids, &until]).await.map(drop)
}

fn task(row: &Row, lease_until: Timestamp) -> Result<Result<Task, String>, Error> {
    let order = OrderId::parse(row.try_get(1)?).map_err(|error| error.to_string());
    let work = serde_json::from_str::<Work>(row.try_get(4)?).map_err(|error| error.to_string());
    let attempts = small(row.try_get(3)?).ok_or_else(|| "its tries are no number".to_owned());
    let id: String = row.try_get(0)?;
    let due_at = Timestamp::from_micros(row.try_get(2)?);
    Ok((|| Ok(Task { id, order: order?, work: work?, due_at, lease_until, attempts: attempts? }))())
}

/// The parked events of an order in the order of their arrival.
pub(super) async fn parked(client: &Client, id: &OrderId) -> Result<Vec<Parked>, Error> {
    let select = client
        .prepare_cached(
            "SELECT source, lane, position, incarnation, key, headers, event_id, reason, parked_at, value
             FROM parked WHERE record = (SELECT key FROM record WHERE id = $1) ORDER BY arrival",
        )
        .await?;
    client.query(&select, &[&id.as_str()]).await?.iter().map(parked_event).collect()
}

/// Parked events of all orders, or of one, in the order of their arrival.
pub(super) async fn parked_page(client: &Client, query: &ParkedQuery) -> Result<Vec<ListedParked>, Error> {
    let select = client
        .prepare_cached(
            "SELECT source, lane, position, incarnation, p.key, headers, event_id, reason, parked_at, value,
                p.arrival, r.id, r.record IS NOT NULL
             FROM parked p LEFT JOIN record r ON r.key = p.record
             WHERE ($1::text IS NULL OR p.record = (SELECT key FROM record WHERE id = $1)) AND p.arrival > $2
             ORDER BY p.arrival LIMIT $3",
        )
        .await?;
    let order = query.order.as_ref().map(OrderId::as_str);
    let rows = client.query(&select, &[&order, &integer(query.after), &sql_limit(query.limit)]).await?;
    let read = |row: &Row| {
        let arrival = row.try_get::<_, i64>(10)?.cast_unsigned();
        let order = row.try_get::<_, Option<&str>>(11)?.and_then(|id| OrderId::parse(id).ok());
        let nobody = || OrderId::from(derive_uuid("damaged id", &["parked", &arrival.to_string()]));
        let parked = parked_event(row)?;
        Ok(ListedParked { arrival, order: order.unwrap_or_else(nobody), known: row.try_get(12)?, parked })
    };
    page(&rows, read, |listed| listed.parked.delivery.value.len())
}

fn parked_event(row: &Row) -> Result<Parked, Error> {
    Ok(Parked {
        delivery: Delivery {
            origin: Origin {
                source: row.try_get::<_, &str>(0)?.into(),
                lane: small(row.try_get(1)?).unwrap_or(u32::MAX),
                position: row.try_get::<_, i64>(2)?.cast_unsigned(),
            },
            incarnation: row.try_get(3)?,
            key: Bytes::from(row.try_get::<_, Vec<u8>>(4)?),
            headers: headers(row.try_get(5)?),
            value: Bytes::from(row.try_get::<_, Vec<u8>>(9)?),
        },
        event_id: row.try_get(6)?,
        reason: row.try_get(7)?,
        parked_at: Timestamp::from_micros(row.try_get(8)?),
    })
}
