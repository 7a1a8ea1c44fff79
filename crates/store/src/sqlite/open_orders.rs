//! Open orders by where they stand.

use cartwright_core::{
    domain::time::Timestamp,
    ports::{Listed, OpenCount, OpenQuery, Stage},
};
use rusqlite::{Connection, params};

use super::{
    codec::{integer, limit as sql_limit, text},
    reader::{page, stored},
};

const PAGE: &str = "SELECT revision, schema, parked, record, created_at, number
    FROM record INDEXED BY record_stage WHERE number IS NOT NULL AND status = 'open' AND flow = ?1 AND milestone = ?2
    AND created_at < ?3 AND (created_at, number) > (?4, ?5)
    ORDER BY created_at, number LIMIT ?6";

const COUNTS: &str = "SELECT flow, milestone, count(*), min(created_at) FROM record INDEXED BY record_stage
    WHERE number IS NOT NULL AND status = 'open' AND counted = 1 GROUP BY milestone, flow";

/// Open orders of one stage, the oldest first.
pub(super) fn list(conn: &Connection, query: &OpenQuery) -> rusqlite::Result<Vec<Listed>> {
    let before = query.placed_before.map_or(i64::MAX, Timestamp::as_micros);
    let (at, number) = query.after.map_or((i64::MIN, 0), |(at, n)| (at.as_micros(), integer(n)));
    let mut select = conn.prepare_cached(PAGE)?;
    let stage = &query.stage;
    let values = params![stage.flow, stage.milestone, before, at, number, sql_limit(query.limit)];
    let rows = select.query_map(values, |row| {
        let place = (Timestamp::from_micros(row.get(4)?), row.get::<_, i64>(5)?.cast_unsigned());
        Ok(Listed { place, stored: stored(row)? })
    })?;
    page(rows, |listed| listed.stored.record.as_ref().map_or(0, Vec::len))
}

/// How many are open at each stage. Reads the index alone, and of that the open ones.
pub(super) fn counts(conn: &Connection) -> rusqlite::Result<Vec<OpenCount>> {
    let mut select = conn.prepare_cached(COUNTS)?;
    let counts = select.query_map([], |row| {
        Ok(OpenCount {
            stage: Stage { flow: text(row.get_ref(0)?)?, milestone: text(row.get_ref(1)?)? },
            orders: row.get::<_, i64>(2)?.cast_unsigned(),
            oldest: Timestamp::from_micros(row.get(3)?),
        })
    })?;
    counts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreKind, sqlite::SqliteOptions};

    #[test]
    fn open_orders_come_from_an_index_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.db");
        let conn =
            crate::sqlite::open::prepare(&path, StoreKind::Orders, &SqliteOptions::default()).unwrap().conn;
        for (sql, wanted) in [
            (PAGE, "INDEX record_stage (status=? AND milestone=? AND flow=?"),
            (COUNTS, "COVERING INDEX record_stage (status=?"),
        ] {
            let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let values: Vec<i64> = vec![0; explain.parameter_count()];
            let steps =
                explain.query_map(rusqlite::params_from_iter(values), |row| row.get::<_, String>(3)).unwrap();
            let plan = steps.map(Result::unwrap).collect::<Vec<_>>().join("; ");
            assert!(plan.contains(wanted) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
