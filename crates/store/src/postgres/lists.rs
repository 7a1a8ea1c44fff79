//! Lists of orders: pages, due sweeps, open orders by where they stand.

use bytes::Bytes;
use cartwright_core::{
    domain::{
        ids::{OrderId, derive_uuid},
        time::Timestamp,
    },
    ports::{DueSweep, Listed, OpenCount, OpenQuery, OrderQuery, OrderSort, Stage, Walked},
};
use deadpool_postgres::Client;
use tokio_postgres::{Error, Row};

use super::{
    batch::Param,
    codec::{clean, integer, limit as sql_limit, page, stored},
};

/// A page of orders, newest first. Sort time and number name a place in the list that stays where it is, whatever is
/// written between two pages.
pub(super) async fn orders(client: &Client, query: &OrderQuery) -> Result<Vec<Listed>, Error> {
    let (time, number) = match query.sort {
        // By `record` also where orders are picked by their stage: its indexes are in the order of creation.
        OrderSort::CreatedAt => ("r.created_at", "r.number"),
        OrderSort::UpdatedAt => ("s.updated_at", "s.number"),
    };
    let from = if by_stage(query) { "record r JOIN stage s ON s.key = r.key" } else { "record r" };
    let texts = |texts: &[String]| texts.iter().map(|text| clean(text).into_owned()).collect::<Vec<_>>();
    let statuses: Vec<&str> = query.status.iter().map(|status| status.as_str()).collect();
    let (milestones, flows) = (texts(&query.milestone), texts(&query.flow));
    let (customers, externals) = (texts(&query.customer), texts(&query.external_id));
    let numbers: Vec<i64> = query.number.iter().map(|number| integer(*number)).collect();
    let [created_after, created_before, updated_after] =
        [query.created_after, query.created_before, query.updated_after].map(|t| t.map(Timestamp::as_micros));
    let after = query.after.map(|(at, number)| (at.as_micros(), integer(number)));
    let mut select = Select::new();
    // "No customer" lies as NULL, which equals nothing.
    let nobody = customers.iter().any(String::is_empty);
    let customer = if nobody { "coalesce(r.customer, '')" } else { "r.customer" };
    select.any("s.status", &statuses, statuses.is_empty());
    select.any("s.milestone", &milestones, milestones.is_empty());
    select.any("s.flow", &flows, flows.is_empty());
    select.any(customer, &customers, customers.is_empty());
    select.any("r.external_id", &externals, externals.is_empty());
    select.any("r.number", &numbers, numbers.is_empty());
    select.compare("r.created_at >=", created_after.as_ref());
    select.compare("r.created_at <", created_before.as_ref());
    select.compare("s.updated_at >=", updated_after.as_ref());
    if let Some((at, behind)) = &after {
        let (a, b) = (select.value(at), select.value(behind));
        select.sql += &format!(" AND ({time}, {number}) < ({a}, {b})");
    }
    let limit = sql_limit(query.limit);
    let most = select.value(&limit);
    let sql = format!(
        "SELECT {time}, {number}, r.revision, r.schema, r.parked, r.record FROM {from}
         WHERE r.number IS NOT NULL{} ORDER BY {time} DESC, {number} DESC LIMIT {most}",
        select.sql
    );
    let statement = client.prepare_cached(&sql).await?;
    listed(&client.query(&statement, &select.values).await?)
}

/// Whether a list is narrowed down or sorted by where orders stand.
const fn by_stage(query: &OrderQuery) -> bool {
    matches!(query.sort, OrderSort::UpdatedAt)
        || !query.status.is_empty()
        || !query.milestone.is_empty()
        || !query.flow.is_empty()
        || query.updated_after.is_some()
}

/// Orders in the order in which they lie, with their newest events.
pub(super) async fn walk(
    client: &Client,
    after: u64,
    limit: usize,
    events: usize,
) -> Result<Vec<Walked>, Error> {
    let select = client
        .prepare_cached(
            "SELECT r.key, r.revision, r.schema, r.parked, r.record, ARRAY(
                SELECT coalesce(e.value, j.value) FROM (
                    SELECT h.n, h.value, h.position FROM history h WHERE h.record = r.key ORDER BY h.n DESC LIMIT $3) e
                LEFT JOIN journal j ON j.position = e.position ORDER BY e.n)
             FROM record r WHERE r.key > $1 AND r.number IS NOT NULL ORDER BY r.key LIMIT $2",
        )
        .await?;
    let rows = client.query(&select, &[&integer(after), &sql_limit(limit), &sql_limit(events)]).await?;
    let read = |row: &Row| {
        let history: Vec<Option<Vec<u8>>> = row.try_get(5)?;
        Ok(Walked {
            place: row.try_get::<_, i64>(0)?.cast_unsigned(),
            stored: stored(row, 1)?,
            history: history.into_iter().map(|event| event.map(Bytes::from)).collect(),
        })
    };
    page(&rows, read, Walked::bytes)
}

/// Orders whose sweep is due, the longest due first.
pub(super) async fn due_sweeps(
    client: &Client,
    now: Timestamp,
    after: Option<(Timestamp, u64)>,
    limit: usize,
) -> Result<Vec<DueSweep>, Error> {
    let (at, key) = after.map_or((i64::MIN, 0), |(at, key)| (at.as_micros(), integer(key)));
    let select = client
        .prepare_cached(
            "SELECT r.id, s.sweep_at, s.key FROM stage s JOIN record r ON r.key = s.key
             WHERE s.sweep_at <= $1 AND (s.sweep_at, s.key) > ($2, $3) ORDER BY s.sweep_at, s.key LIMIT $4",
        )
        .await?;
    let rows = client.query(&select, &[&now.as_micros(), &at, &key, &sql_limit(limit)]).await?;
    let read = |row: &Row| {
        let place = (Timestamp::from_micros(row.try_get(1)?), row.try_get::<_, i64>(2)?.cast_unsigned());
        // An id that was damaged is nobody's; the orders behind it are looked at all the same.
        let nobody = |_| OrderId::from(derive_uuid("damaged id", &["sweep", &place.1.to_string()]));
        Ok(DueSweep { order: OrderId::parse(row.try_get(0)?).unwrap_or_else(nobody), place })
    };
    rows.iter().map(read).collect()
}

/// Open orders of one stage, the oldest first.
pub(super) async fn open_orders(client: &Client, query: &OpenQuery) -> Result<Vec<Listed>, Error> {
    let select = client
        .prepare_cached(
            "SELECT s.created_at, s.number, r.revision, r.schema, r.parked, r.record
             FROM stage s JOIN record r ON r.key = s.key
             WHERE s.status = 'open' AND s.milestone = $1 AND s.flow = $2
                AND s.created_at < $3 AND (s.created_at, s.number) > ($4, $5)
             ORDER BY s.created_at, s.number LIMIT $6",
        )
        .await?;
    let before = query.placed_before.map_or(i64::MAX, Timestamp::as_micros);
    let (at, number) = query.after.map_or((i64::MIN, 0), |(at, number)| (at.as_micros(), integer(number)));
    let (milestone, flow) = (clean(&query.stage.milestone), clean(&query.stage.flow));
    let values: [&Param<'_>; 6] = [&milestone, &flow, &before, &at, &number, &sql_limit(query.limit)];
    listed(&client.query(&select, &values).await?)
}

/// How many are open at each stage.
pub(super) async fn open_counts(client: &Client) -> Result<Vec<OpenCount>, Error> {
    let select = client
        .prepare_cached(
            "SELECT flow, milestone, count(*), min(created_at) FROM stage
             WHERE status = 'open' AND counted GROUP BY milestone, flow",
        )
        .await?;
    let read = |row: &Row| {
        Ok(OpenCount {
            stage: Stage { flow: row.try_get(0)?, milestone: row.try_get(1)? },
            orders: row.try_get::<_, i64>(2)?.cast_unsigned(),
            oldest: Timestamp::from_micros(row.try_get(3)?),
        })
    };
    client.query(&select, &[]).await?.iter().map(read).collect()
}

fn listed(rows: &[Row]) -> Result<Vec<Listed>, Error> {
    let read = |row: &Row| {
        let place = (Timestamp::from_micros(row.try_get(0)?), row.try_get::<_, i64>(1)?.cast_unsigned());
        Ok(Listed { place, stored: stored(row, 2)? })
    };
    page(rows, read, |listed| listed.stored.record.as_ref().map_or(0, Vec::len))
}

/// Conditions under way, with the values of their placeholders.
struct Select<'a> {
    sql: String,
    values: Vec<&'a Param<'a>>,
}

impl<'a> Select<'a> {
    const fn new() -> Self {
        Self { sql: String::new(), values: Vec::new() }
    }

    /// Keeps rows whose column has any of the values.
    fn any(&mut self, column: &str, values: &'a Param<'a>, none: bool) {
        if !none {
            let place = self.value(values);
            self.sql += &format!(" AND {column} = ANY({place})");
        }
    }

    fn compare(&mut self, comparison: &str, value: Option<&'a i64>) {
        if let Some(value) = value {
            let place = self.value(value);
            self.sql += &format!(" AND {comparison} {place}");
        }
    }

    fn value(&mut self, value: &'a Param<'a>) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }
}
