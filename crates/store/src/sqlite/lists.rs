//! Lists of orders, page by page.

use std::fmt::Write;

use cartwright_core::{
    domain::time::Timestamp,
    ports::{DueSweep, Listed, OrderQuery, OrderSort},
};
use rusqlite::{Connection, params_from_iter, types::Value};

use super::{
    codec::{integer, limit as sql_limit, text as text_of},
    commit::{nobody, order_id},
    reader::stored,
};

/// A page of orders, newest first. Sort time and number name a place in the list that stays where it is, whatever
/// is written between two pages.
pub(super) fn orders(conn: &Connection, query: &OrderQuery) -> rusqlite::Result<Vec<Listed>> {
    let page = select(query);
    let mut statement = conn.prepare_cached(&page.sql)?;
    let rows = statement.query_map(params_from_iter(page.values), |row| {
        let place = (Timestamp::from_micros(row.get(4)?), row.get::<_, i64>(5)?.cast_unsigned());
        Ok(Listed { place, stored: stored(row)? })
    })?;
    super::reader::page(rows, |listed| listed.stored.record.as_ref().map_or(0, Vec::len))
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

fn select(query: &OrderQuery) -> Select {
    let time = match query.sort {
        OrderSort::CreatedAt => "created_at",
        OrderSort::UpdatedAt => "updated_at",
    };
    let mut page = Select::new(&format!(
        "SELECT revision, schema, parked, record, {time}, number FROM record WHERE number IS NOT NULL"
    ));
    page.any("status", query.status.iter().map(|s| text(s.as_str())));
    page.any("milestone", query.milestone.iter().map(text));
    page.any("flow", query.flow.iter().map(text));
    // "No customer" lies as NULL, which equals nothing.
    if query.customer.iter().any(String::is_empty) {
        page.any("ifnull(customer, '')", query.customer.iter().map(text));
    } else {
        page.any("customer", query.customer.iter().map(text));
    }
    page.any("number", query.number.iter().map(|n| Value::Integer(integer(*n))));
    page.any("external_id", query.external_id.iter().map(text));
    page.compare("created_at >=", query.created_after);
    page.compare("created_at <", query.created_before);
    page.compare("updated_at >=", query.updated_after);
    if let Some((at, number)) = query.after {
        page.sql.push_str(" AND (");
        page.sql.push_str(time);
        page.sql.push_str(", number) < (?, ?)");
        page.values.extend([Value::Integer(at.as_micros()), Value::Integer(integer(number))]);
    }
    // Writing into a String can't fail.
    let _ = write!(page.sql, " ORDER BY {time} DESC, number DESC LIMIT ?");
    page.values.push(Value::Integer(sql_limit(query.limit)));
    page
}

struct Select {
    sql: String,
    values: Vec<Value>,
}

impl Select {
    fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    /// Keeps rows whose column has any of the values; all rows if there are none.
    fn any(&mut self, column: &str, values: impl ExactSizeIterator<Item = Value>) {
        match values.len() {
            0 => return,
            1 => {
                let _ = write!(self.sql, " AND {column} = ?");
            }
            n => {
                let _ = write!(self.sql, " AND {column} IN (?{})", ", ?".repeat(n - 1));
            }
        }
        self.values.extend(values);
    }

    fn compare(&mut self, comparison: &str, moment: Option<Timestamp>) {
        if let Some(moment) = moment {
            let _ = write!(self.sql, " AND {comparison} ?");
            self.values.push(Value::Integer(moment.as_micros()));
        }
    }
}

fn text(text: impl AsRef<str>) -> Value {
    Value::Text(text.as_ref().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreKind, sqlite::SqliteOptions};

    /// A page must cost as much as it is long, not as much as the table.
    #[test]
    fn pages_come_from_an_index_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let options = SqliteOptions::default();
        let path = dir.path().join("orders.db");
        let conn = crate::sqlite::open::prepare(&path, StoreKind::Orders, &options).unwrap().conn;
        let after = Some((Timestamp::default(), 1));
        let updated = OrderQuery { sort: OrderSort::UpdatedAt, ..OrderQuery::default() };
        let one = || vec!["a".to_owned()];
        for (query, index) in [
            (OrderQuery::default(), "record_created"),
            (OrderQuery { after, ..OrderQuery::default() }, "record_created"),
            (
                OrderQuery {
                    flow: one(),
                    created_after: Some(Timestamp::default()),
                    ..OrderQuery::default()
                },
                "record_created",
            ),
            (updated.clone(), "record_updated"),
            (OrderQuery { after, milestone: one(), ..updated }, "record_updated"),
            (OrderQuery { customer: one(), ..OrderQuery::default() }, "record_customer"),
            (OrderQuery { after, customer: one(), ..OrderQuery::default() }, "record_customer"),
        ] {
            let plan = plan(&conn, &query);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{query:?}: {plan}");
        }
        let number = OrderQuery { number: vec![1, 2], ..OrderQuery::default() };
        assert!(plan(&conn, &number).contains("record_number"));
        let external = OrderQuery { external_id: one(), ..OrderQuery::default() };
        assert!(plan(&conn, &external).contains("record_external"));
    }

    fn plan(conn: &Connection, query: &OrderQuery) -> String {
        let page = select(query);
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {}", page.sql)).unwrap();
        let steps = explain.query_map(params_from_iter(page.values), |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }
}
