//! Lists of orders, page by page, as fast on the last page as on the first.
//!
//! A page is found in two steps: first the places of its orders, from indexes, then their records. Where the places
//! come from depends on what is asked:
//!
//! * **Without filters, or by customer:** an index holds them in the list's order ([`places`]).
//! * **By state:** for each *state* (status, milestone and flow) `record_stage` holds them in the order of creation, and
//!   `record_state` in the order of change; the ranges of all states that are asked for are merged. By change, a list
//!   without filters is the merge of all states; only if few were created in a time that is asked for, those are
//!   looked up.
//! * **Sorted by creation, filtered by change:** no index has that order. If few orders match, they are gathered from
//!   `record_state`, which also holds the time of creation, and the newest are kept. If many match, they lie close
//!   together in the list of all, which is walked. If that turns out to be wrong, they are gathered however many they
//!   are ([`Effort`]).
//! * **By number or external id:** whatever has it is looked up; what else is asked narrows it.
//!
//! So a page never ends early, and its cost depends on its length; for what is filtered by change but sorted by
//! creation, on the square root of the number of orders. What remains: a page of one customer's orders that is filtered
//! further, or sorted by change, may cost as much as that customer has orders, and one filtered by change as much as
//! orders changed since. The deadline of long reads is behind all of them.

mod places;
#[cfg(test)]
mod tests;

use cartwright_core::{
    domain::time::Timestamp,
    ports::{DueSweep, Listed, OrderQuery, OrderSort},
};
use rusqlite::{Connection, OptionalExtension};

use self::places::{Place, Places};
use super::{
    codec::{integer, limit as sql_limit, text as text_of},
    commit::{nobody, order_id},
    reader::{page, stored},
};

/// How far one way of finding a page is tried before the other one.
///
/// With a share `f` of `n` orders matching, gathering looks at `n·f` entries of an index and walking at `page/f` rows.
/// They cost about 0.2 and 1 µs each, so at a million orders both take a few milliseconds where they meet.
#[derive(Clone, Copy, Debug)]
struct Effort {
    /// So many times the length of the page is walked to see whether nearly all orders match.
    glance: usize,
    /// If fewer match, they are gathered.
    gather: usize,
    /// So many orders are walked.
    walk: usize,
    /// If fewer were created in a time that is asked for, they are looked up one by one.
    look_up: usize,
}

const EFFORT: Effort = Effort { glance: 4, gather: 15_000, walk: 20_000, look_up: 2_000 };

/// A page of orders, newest first. Sort time and number name a place in the list that stays where it is, whatever
/// is written between two pages.
pub(super) fn orders(conn: &Connection, query: &OrderQuery) -> rusqlite::Result<Vec<Listed>> {
    orders_with(conn, query, EFFORT)
}

/// Orders whose sweep is due, the longest due first.
pub(super) fn due_sweeps(
    conn: &Connection,
    now: Timestamp,
    after: Option<(Timestamp, u64)>,
    limit: usize,
) -> rusqlite::Result<Vec<DueSweep>> {
    let (at, key) = after.map_or((i64::MIN, 0), |(at, key)| (at.as_micros(), integer(key)));
    let mut due = conn.prepare_cached(
        "SELECT id, sweep_at, key FROM record
         WHERE sweep_at <= ?1 AND sweep_at >= ?2 AND (sweep_at, key) > (?2, ?3) ORDER BY sweep_at, key LIMIT ?4",
    )?;
    let found = due.query_and_then([now.as_micros(), at, key, sql_limit(limit)], |row| {
        let place = (Timestamp::from_micros(row.get(1)?), row.get::<_, i64>(2)?.cast_unsigned());
        // An id that was damaged is nobody's; the orders behind it are looked at all the same.
        let order = order_id(&text_of(row.get_ref(0)?)?).unwrap_or_else(|_| nobody("sweep", place.1));
        Ok(DueSweep { order, place })
    })?;
    found.collect()
}

fn orders_with(conn: &Connection, query: &OrderQuery, effort: Effort) -> rusqlite::Result<Vec<Listed>> {
    // One snapshot for all statements.
    let snapshot = conn.unchecked_transaction()?;
    let places = find(&Places::new(&snapshot, query), query, effort)?;
    let listed = read(&snapshot, &places)?;
    snapshot.finish()?;
    Ok(listed)
}

fn find(places: &Places<'_>, query: &OrderQuery, effort: Effort) -> rusqlite::Result<Vec<Place>> {
    if !query.number.is_empty() {
        return places.numbered();
    }
    if !query.external_id.is_empty() {
        return places.external();
    }
    // "No customer" lies in no index.
    let nobody = query.customer.iter().any(String::is_empty);
    if !query.customer.is_empty() && !nobody {
        return match query.sort {
            OrderSort::CreatedAt => places.of_customers(),
            OrderSort::UpdatedAt => places.of_customers_by_change(),
        };
    }
    match query.sort {
        OrderSort::UpdatedAt if places.created_are_fewer(effort.look_up)? => places.by_change_of_created(),
        OrderSort::UpdatedAt => places.by_change(),
        OrderSort::CreatedAt if nobody => Ok(places.walk(usize::MAX)?.0),
        OrderSort::CreatedAt if query.updated_after.is_some() => changed_by_creation(places, query, effort),
        OrderSort::CreatedAt if by_state(query) => places.of_states(),
        OrderSort::CreatedAt => places.by_creation(),
    }
}

/// The list sorted by creation of orders that changed since.
fn changed_by_creation(
    places: &Places<'_>,
    query: &OrderQuery,
    effort: Effort,
) -> rusqlite::Result<Vec<Place>> {
    if let (found, true) = places.walk(query.limit.saturating_mul(effort.glance))? {
        return Ok(found);
    }
    let states = places.states()?;
    if places.are_fewer(&states, effort.gather)? {
        return places.gather(&states);
    }
    match places.walk(effort.walk)? {
        (found, true) => Ok(found),
        (_, false) => places.gather(&states),
    }
}

fn by_state(query: &OrderQuery) -> bool {
    let OrderQuery { status, milestone, flow, .. } = query;
    !status.is_empty() || !milestone.is_empty() || !flow.is_empty()
}

fn read(conn: &Connection, places: &[Place]) -> rusqlite::Result<Vec<Listed>> {
    let mut select =
        conn.prepare_cached("SELECT revision, schema, parked, record FROM record WHERE key = ?1")?;
    let rows = places.iter().filter_map(|place| {
        let stored = select.query_row([place.key], stored).optional().transpose()?;
        let (at, number) = (Timestamp::from_micros(place.at), place.number.cast_unsigned());
        Some(stored.map(|stored| Listed { place: (at, number), stored }))
    });
    page(rows, |listed| listed.stored.record.as_ref().map_or(0, Vec::len))
}
