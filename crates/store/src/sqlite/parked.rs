//! Parked events.

use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{Commit, Delivery, ListedParked, Origin, Parked, ParkedQuery},
};
use rusqlite::{Connection, Row, params};

use super::{
    codec::{bytes, headers, integer, limit as sql_limit, small, text, uuid},
    commit::{nobody, order_id},
    open::Head,
};

/// Takes the commit's unparked events away and adds its parked ones. In this order, so that an event that is in
/// both stays.
pub(super) fn change(
    conn: &Connection,
    head: &mut Head,
    record: i64,
    commit: &Commit,
) -> rusqlite::Result<()> {
    let mut gone = 0;
    for origin in &commit.unpark {
        // The oldest of this origin only: a source that began anew may have used the same position again.
        gone += conn
            .prepare_cached(
                "DELETE FROM parked WHERE arrival = (SELECT arrival FROM parked
                 WHERE record = ?1 AND source = ?2 AND lane = ?3 AND position = ?4 ORDER BY arrival LIMIT 1)",
            )?
            .execute(params![record, &*origin.source, origin.lane, origin.position.cast_signed()])?;
    }
    let mut added = 0;
    for event in &commit.park {
        let Delivery { origin, incarnation, key, headers, value } = &event.delivery;
        added += conn
            .prepare_cached(
                "INSERT INTO parked (record, source, lane, position, incarnation, key, headers, event_id, reason,
                    parked_at, value)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                record,
                &*origin.source,
                origin.lane,
                origin.position.cast_signed(),
                incarnation.as_bytes().as_slice(),
                &**key,
                headers.as_bytes(),
                event.event_id.as_ref().map(|id| id.as_bytes().as_slice()),
                event.reason,
                event.parked_at.as_micros(),
                &**value,
            ])?;
    }
    if gone != added {
        conn.prepare_cached("UPDATE record SET parked = parked + ?2 - ?3 WHERE key = ?1")?
            .execute(params![record, added as i64, gone as i64])?;
    }
    head.parked = (head.parked + added as u64).saturating_sub(gone as u64);
    Ok(())
}

/// The parked events of an order in the order of their arrival.
pub(super) fn list(conn: &Connection, id: &OrderId) -> rusqlite::Result<Vec<Parked>> {
    conn.prepare_cached(
        "SELECT source, lane, position, incarnation, key, headers, event_id, reason, parked_at, value
         FROM parked WHERE record = (SELECT key FROM record WHERE id = ?1) ORDER BY arrival",
    )?
    .query_and_then([id.as_str()], read)?
    .collect()
}

/// Parked events of all orders, or of one, in the order of their arrival.
pub(super) fn page(conn: &Connection, query: &ParkedQuery) -> rusqlite::Result<Vec<ListedParked>> {
    let (of, order) = match &query.order {
        Some(order) => ("p.record = (SELECT key FROM record WHERE id = ?1)", order.as_str()),
        None => ("?1 = ''", ""),
    };
    let mut select = conn.prepare_cached(&format!(
        "SELECT source, lane, position, incarnation, p.key, headers, event_id, reason, parked_at, value,
            p.arrival, r.id, r.record IS NOT NULL
         FROM parked p LEFT JOIN record r ON r.key = p.record
         WHERE {of} AND p.arrival > ?2 ORDER BY p.arrival LIMIT ?3"
    ))?;
    let rows =
        select.query_and_then(params![order, integer(query.after), sql_limit(query.limit)], |row| {
            let arrival = row.get::<_, i64>(10)?.cast_unsigned();
            let order = row.get_ref(11)?.as_str_or_null().ok().flatten().and_then(|id| order_id(id).ok());
            Ok(ListedParked {
                arrival,
                order: order.unwrap_or_else(|| nobody("parked", arrival)),
                known: row.get(12)?,
                parked: read(row)?,
            })
        })?;
    super::reader::page(rows, |listed| listed.parked.delivery.value.len())
}

/// What was damaged around an event is left out: its value decides what becomes of it, and an error here would stop
/// all that is in one batch with its order.
fn read(row: &Row<'_>) -> rusqlite::Result<Parked> {
    Ok(Parked {
        delivery: Delivery {
            origin: Origin {
                source: text(row.get_ref(0)?)?.into(),
                lane: small(row.get_ref(1)?).unwrap_or(u32::MAX),
                position: row.get::<_, i64>(2)?.cast_unsigned(),
            },
            incarnation: uuid(row.get_ref(3)?.as_blob()?).unwrap_or_default(),
            key: bytes(row.get_ref(4)?)?,
            headers: headers(row.get_ref(5)?)?,
            value: bytes(row.get_ref(9)?)?,
        },
        event_id: row.get_ref(6)?.as_blob_or_null()?.and_then(|id| uuid(id).ok()),
        reason: text(row.get_ref(7)?)?,
        parked_at: Timestamp::from_micros(row.get(8)?),
    })
}
