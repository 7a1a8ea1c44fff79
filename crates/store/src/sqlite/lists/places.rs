//! Where the orders of a page are: the statements on the indexes, and the merge of what they find.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    fmt::Write,
};

use cartwright_core::{
    domain::time::Timestamp,
    ports::{OrderQuery, OrderSort},
};
use rusqlite::{
    Connection, OptionalExtension, Row, ToSql, params_from_iter,
    types::{ToSqlOutput, ValueRef},
};

use super::super::codec::{integer, limit as sql_limit};

/// Rows that one range of a merge reads at once, at least.
const MIN_CHUNK: usize = 8;

/// The state of an order is one of so many at most; each step of each flow has one.
const MAX_STATES: usize = 1_000;

/// An order in a list. The greatest comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// What the list is sorted by.
    pub(super) at: i64,
    pub(super) number: i64,
    /// The row.
    pub(super) key: i64,
}

/// What is looked for.
pub(super) struct Places<'a> {
    conn: &'a Connection,
    query: &'a OrderQuery,
    /// The page begins below this time and number, ...
    upper: (i64, i64),
    /// and the list ends at this time.
    lower: i64,
}

/// A column's text as it lies in the file, also if it is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word(Vec<u8>);

/// Status, milestone and flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State([Word; 3]);

impl<'a> Places<'a> {
    pub(super) fn new(conn: &'a Connection, query: &'a OrderQuery) -> Self {
        let (lower, below) = match query.sort {
            OrderSort::CreatedAt => (query.created_after, query.created_before),
            OrderSort::UpdatedAt => (query.updated_after, None),
        };
        let below = below.map_or((i64::MAX, i64::MAX), |moment| (moment.as_micros(), i64::MIN));
        let after = query.after.map_or(below, |(at, number)| (at.as_micros(), integer(number)));
        Self { conn, query, upper: after.min(below), lower: lower.map_or(i64::MIN, Timestamp::as_micros) }
    }

    /// All of them, newest first.
    pub(super) fn by_creation(&self) -> rusqlite::Result<Vec<Place>> {
        self.merged(&self.ordered("record_created", &[]), vec![vec![]])
    }

    /// By creation, of the states that are asked for.
    pub(super) fn of_states(&self) -> rusqlite::Result<Vec<Place>> {
        self.merged(&self.ordered("record_stage", STATE), self.state_ranges()?)
    }

    /// By change, of all states that are asked for.
    pub(super) fn by_change(&self) -> rusqlite::Result<Vec<Place>> {
        let mut select = self.ordered("record_state", STATE);
        self.of_them(&mut select);
        self.created_between(&mut select);
        self.merged(&select, self.state_ranges()?)
    }

    /// By change, of all that were created in the time that is asked for: all of them are looked at.
    pub(super) fn by_change_of_created(&self) -> rusqlite::Result<Vec<Place>> {
        self.sorted("record_created", "created_at", vec![])
    }

    /// Whether fewer orders than `limit` were created in the time that is asked for.
    pub(super) fn created_are_fewer(&self, limit: usize) -> rusqlite::Result<bool> {
        let OrderQuery { created_after: None, created_before: None, .. } = self.query else {
            let mut select =
                Select::new("SELECT 1 FROM record INDEXED BY record_created WHERE number IS NOT NULL");
            self.created_between(&mut select);
            select.push(" LIMIT ?");
            select.values.push(sql_limit(limit).into());
            let mut count = self.conn.prepare_cached(&format!("SELECT count(*) FROM ({})", select.sql))?;
            let found: i64 = count.query_row(params_from_iter(&select.values), |row| row.get(0))?;
            return Ok(found < sql_limit(limit));
        };
        Ok(false)
    }

    /// The customers', newest first.
    pub(super) fn of_customers(&self) -> rusqlite::Result<Vec<Place>> {
        let mut select = self.ordered("record_customer", &["customer"]);
        self.in_states(&mut select);
        self.changed_since(&mut select);
        let mut customers = self.query.customer.clone();
        customers.sort_unstable();
        customers.dedup();
        self.merged(&select, customers.into_iter().map(|customer| vec![text(customer)]).collect())
    }

    /// The customers', the last changed first: all of theirs are looked at.
    pub(super) fn of_customers_by_change(&self) -> rusqlite::Result<Vec<Place>> {
        self.sorted("record_customer", "customer", self.query.customer.iter().map(text).collect())
    }

    /// What has these numbers.
    pub(super) fn numbered(&self) -> rusqlite::Result<Vec<Place>> {
        let numbers = self.query.number.iter().map(|number| Bound::from(integer(*number))).collect();
        self.sorted("record_number", "number", numbers)
    }

    /// What has these external ids, in any channel.
    pub(super) fn external(&self) -> rusqlite::Result<Vec<Place>> {
        self.sorted("record_external", "external_id", self.query.external_id.iter().map(text).collect())
    }

    /// The states that are asked for and that there are.
    pub(super) fn states(&self) -> rusqlite::Result<Vec<State>> {
        let mut next = self.conn.prepare_cached(NEXT_STATE)?;
        let (mut states, mut last) = (Vec::new(), [const { Word(Vec::new()) }; 3]);
        for _ in 0..MAX_STATES {
            let found = next
                .query_row(params_from_iter(&last), |row| Ok([word(row, 0)?, word(row, 1)?, word(row, 2)?]))
                .optional()?;
            let Some(state) = found else { break };
            last.clone_from(&state);
            if self.has(&state) {
                states.push(State(state));
            }
        }
        Ok(states)
    }

    fn state_ranges(&self) -> rusqlite::Result<Vec<Vec<Bound>>> {
        Ok(self.states()?.into_iter().map(|State(words)| Vec::from(words.map(Bound::from))).collect())
    }

    fn has(&self, [status, milestone, flow]: &[Word; 3]) -> bool {
        let query = self.query;
        let any =
            |wanted: &[String], is: &Word| wanted.is_empty() || wanted.iter().any(|w| w.as_bytes() == is.0);
        (query.status.is_empty() || query.status.iter().any(|s| s.as_str().as_bytes() == status.0))
            && any(&query.milestone, milestone)
            && any(&query.flow, flow)
    }

    /// Whether fewer orders than `limit` are in these states, and changed since what is asked for.
    pub(super) fn are_fewer(&self, states: &[State], limit: usize) -> rusqlite::Result<bool> {
        let mut count = self.conn.prepare_cached(COUNT)?;
        let since = self.query.updated_after.map_or(i64::MIN, Timestamp::as_micros);
        let mut left = sql_limit(limit);
        for State([status, milestone, flow]) in states {
            let params: [&dyn ToSql; 5] = [status, milestone, flow, &since, &left];
            left -= count.query_row(&params[..], |row| row.get::<_, i64>(0))?;
        }
        Ok(left > 0)
    }

    /// The newest of all orders in these states, whatever it takes to look at them.
    ///
    /// They come as they changed, the last one first, so nearly always the newest first: few of those that come later
    /// push out an earlier one. SQLite would read them the other way round, and sort all of them.
    pub(super) fn gather(&self, states: &[State]) -> rusqlite::Result<Vec<Place>> {
        let mut statement = self.conn.prepare_cached(GATHER)?;
        let since = self.query.updated_after.map_or(i64::MIN, Timestamp::as_micros);
        let mut newest = BinaryHeap::new();
        for State(state) in states {
            let words = state.clone().map(Bound::from).into_iter();
            let values = words.chain([since.into()]).chain(self.bounds(self.upper));
            let mut rows = statement.query(params_from_iter(values))?;
            while let Some(row) = rows.next()? {
                let place = Reverse(place(row)?);
                if newest.len() < self.query.limit {
                    newest.push(place);
                } else if newest.peek().is_some_and(|oldest| place < *oldest) {
                    newest.pop();
                    newest.push(place);
                }
            }
        }
        Ok(newest.into_sorted_vec().into_iter().map(|Reverse(place)| place).collect())
    }

    /// Looks at `limit` orders, newest first, for those that match, and says whether that was enough.
    pub(super) fn walk(&self, limit: usize) -> rusqlite::Result<(Vec<Place>, bool)> {
        let select = self.walking();
        let mut statement = self.conn.prepare_cached(&select.sql)?;
        let mut rows = statement.query(params_from_iter(&select.values))?;
        let mut found = Vec::new();
        for _ in 0..limit {
            if found.len() >= self.query.limit {
                break;
            }
            let Some(row) = rows.next()? else { return Ok((found, true)) };
            if row.get::<_, Option<bool>>(3)?.unwrap_or_default() {
                found.push(place(row)?);
            }
        }
        let full = found.len() >= self.query.limit;
        Ok((found, full))
    }

    /// Rows in the list's order from an index that has it once `fixed` columns are given.
    fn ordered(&self, index: &str, fixed: &[&str]) -> Select {
        let mut select = Select::new(&format!(
            "SELECT {time}, number, key FROM record INDEXED BY {index} WHERE number IS NOT NULL",
            time = self.time()
        ));
        for column in fixed {
            select.push(&format!(" AND {column} = ?"));
        }
        select.push(&format!(" AND ({time}, number) < (?, ?) AND {time} >= ?", time = self.time()));
        select
    }

    /// The rows that have one of the values, sorted.
    fn sorted(&self, index: &str, column: &str, values: Vec<Bound>) -> rusqlite::Result<Vec<Place>> {
        let mut select = Select::new(&format!(
            "SELECT {time}, number, key FROM record INDEXED BY {index} WHERE number IS NOT NULL",
            time = self.time()
        ));
        select.any(column, values);
        if column != "customer" {
            self.of_them(&mut select);
        }
        if column != "external_id" {
            select.any("external_id", self.query.external_id.iter().map(text).collect());
        }
        // The plus keeps SQLite from thinking that another index would do.
        select.push(&format!(" AND (+{time}, number) < (?, ?) AND +{time} >= ?", time = self.time()));
        select.values.extend(self.bounds(self.upper));
        self.in_states(&mut select);
        self.created_between(&mut select);
        self.changed_since(&mut select);
        select.end(self.query);
        let mut statement = self.conn.prepare_cached(&select.sql)?;
        statement.query_map(params_from_iter(&select.values), place)?.collect()
    }

    fn walking(&self) -> Select {
        let mut select = Select::new("SELECT created_at, number, key, (1");
        self.in_states(&mut select);
        self.of_them(&mut select);
        self.changed_since(&mut select);
        select.push(
            ") FROM record INDEXED BY record_created WHERE number IS NOT NULL AND (created_at, number) < (?, ?)
             AND created_at >= ? ORDER BY created_at DESC, number DESC",
        );
        select.values.extend(self.bounds(self.upper));
        select
    }

    /// The merge of ranges that lie in the list's order; each is the statement with other values for its columns.
    fn merged(&self, select: &Select, fixed: Vec<Vec<Bound>>) -> rusqlite::Result<Vec<Place>> {
        let mut select = select.clone();
        select.end(self.query);
        let mut statement = self.conn.prepare_cached(&select.sql)?;
        // Of many ranges each gives a few; one that gives more is read again.
        let chunk = (2 * self.query.limit / fixed.len().max(1)).max(MIN_CHUNK).min(self.query.limit);
        let mut read = |fixed: &[Bound], upper: (i64, i64)| {
            let mut values = fixed.to_vec();
            values.extend(self.bounds(upper));
            values.extend_from_slice(&select.values[..select.values.len() - 1]);
            values.push(sql_limit(chunk).into());
            statement.query_map(params_from_iter(values), place)?.collect::<rusqlite::Result<VecDeque<_>>>()
        };
        let mut ranges = Vec::with_capacity(fixed.len());
        for fixed in fixed {
            let rows = read(&fixed, self.upper)?;
            ranges.push((fixed, rows));
        }
        let mut merged = Vec::new();
        while merged.len() < self.query.limit {
            let newest =
                ranges.iter_mut().filter(|(_, rows)| !rows.is_empty()).max_by_key(|(_, rows)| rows[0]);
            let Some((fixed, rows)) = newest else { break };
            merged.extend(rows.pop_front());
            if let (true, Some(last)) = (rows.is_empty(), merged.last()) {
                *rows = read(fixed, (last.at, last.number))?;
            }
        }
        Ok(merged)
    }

    fn time(&self) -> &'static str {
        match self.query.sort {
            OrderSort::CreatedAt => "created_at",
            OrderSort::UpdatedAt => "updated_at",
        }
    }

    fn bounds(&self, (at, number): (i64, i64)) -> [Bound; 3] {
        [at.into(), number.into(), self.lower.into()]
    }

    fn in_states(&self, select: &mut Select) {
        select.any("status", self.query.status.iter().map(|status| text(status.as_str())).collect());
        select.any("milestone", self.query.milestone.iter().map(text).collect());
        select.any("flow", self.query.flow.iter().map(text).collect());
    }

    /// "No customer" lies as NULL, which equals nothing.
    fn of_them(&self, select: &mut Select) {
        select.any("ifnull(customer, '')", self.query.customer.iter().map(text).collect());
    }

    fn created_between(&self, select: &mut Select) {
        select.compare("created_at >=", self.query.created_after);
        select.compare("created_at <", self.query.created_before);
    }

    fn changed_since(&self, select: &mut Select) {
        select.compare("updated_at >=", self.query.updated_after);
    }
}

const STATE: &[&str] = &["status", "milestone", "flow"];

/// SQLite seeks to what is equal first: the greatest time leaps over all orders of the state before.
const NEXT_STATE: &str =
    "SELECT status, milestone, flow FROM record INDEXED BY record_state WHERE number IS NOT NULL
    AND (status, milestone, flow, updated_at) > (?, ?, ?, 9223372036854775807)
    ORDER BY status, milestone, flow, updated_at LIMIT 1";

const COUNT: &str =
    "SELECT count(*) FROM (SELECT 1 FROM record INDEXED BY record_state WHERE number IS NOT NULL
    AND status = ? AND milestone = ? AND flow = ? AND updated_at >= ? LIMIT ?)";

const GATHER: &str =
    "SELECT created_at, number, key FROM record INDEXED BY record_state WHERE number IS NOT NULL
    AND status = ? AND milestone = ? AND flow = ? AND updated_at >= ? AND (created_at, number) < (?, ?)
    AND created_at >= ? ORDER BY updated_at DESC, number DESC";

fn word(row: &Row<'_>, column: usize) -> rusqlite::Result<Word> {
    Ok(Word(row.get_ref(column)?.as_bytes()?.to_vec()))
}

fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    Ok(Place { at: row.get(0)?, number: row.get(1)?, key: row.get(2)? })
}

/// A statement under way, with the values of its placeholders.
#[derive(Clone)]
struct Select {
    sql: String,
    values: Vec<Bound>,
}

impl Select {
    fn new(sql: &str) -> Self {
        Self { sql: sql.to_owned(), values: Vec::new() }
    }

    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Keeps rows whose column has any of the values; all rows if there are none.
    fn any(&mut self, column: &str, values: Vec<Bound>) {
        match values.len() {
            0 => return,
            1 => self.push(&format!(" AND {column} = ?")),
            n => self.push(&format!(" AND {column} IN (?{})", ", ?".repeat(n - 1))),
        }
        self.values.extend(values);
    }

    fn compare(&mut self, comparison: &str, moment: Option<Timestamp>) {
        if let Some(moment) = moment {
            // Writing into a String can't fail.
            let _ = write!(self.sql, " AND {comparison} ?");
            self.values.push(moment.as_micros().into());
        }
    }

    fn end(&mut self, query: &OrderQuery) {
        let time = match query.sort {
            OrderSort::CreatedAt => "created_at",
            OrderSort::UpdatedAt => "updated_at",
        };
        let _ = write!(self.sql, " ORDER BY {time} DESC, number DESC LIMIT ?");
        self.values.push(sql_limit(query.limit).into());
    }
}

/// The value of a placeholder.
#[derive(Clone, Debug)]
enum Bound {
    Number(i64),
    Word(Word),
}

impl From<i64> for Bound {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<Word> for Bound {
    fn from(word: Word) -> Self {
        Self::Word(word)
    }
}

impl ToSql for Bound {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self {
            Self::Number(number) => number.to_sql(),
            Self::Word(word) => word.to_sql(),
        }
    }
}

impl ToSql for Word {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(&self.0)))
    }
}

fn text(text: impl AsRef<str>) -> Bound {
    Bound::Word(Word(text.as_ref().as_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StoreKind, sqlite::SqliteOptions};

    fn plan(conn: &Connection, sql: &str) -> String {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let unbound = explain.parameter_count();
        let nothing = (0..unbound).map(|_| rusqlite::types::Null);
        let steps = explain.query_map(params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("; ")
    }

    /// `INDEXED BY` makes a statement fail that could not use its index; it must also be in the list's order.
    #[test]
    fn ordered_pages_are_read_from_an_index_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.db");
        let conn =
            crate::sqlite::open::prepare(&path, StoreKind::Orders, &SqliteOptions::default()).unwrap().conn;
        let created = OrderQuery::default();
        let changed = OrderQuery { sort: OrderSort::UpdatedAt, ..OrderQuery::default() };
        let (by_creation, by_change) = (Places::new(&conn, &created), Places::new(&conn, &changed));
        let pages = [
            (by_creation.ordered("record_created", &[]), &created, "COVERING INDEX record_created"),
            (
                by_creation.ordered("record_customer", &["customer"]),
                &created,
                "COVERING INDEX record_customer (customer=?",
            ),
            (
                by_creation.ordered("record_stage", STATE),
                &created,
                "COVERING INDEX record_stage (status=? AND milestone=? AND flow=? AND created_at>? AND (created_at,number)<(?,?))",
            ),
            (
                by_change.ordered("record_state", STATE),
                &changed,
                "COVERING INDEX record_state (status=? AND milestone=? AND flow=? AND updated_at>? AND (updated_at,number)<(?,?))",
            ),
        ];
        for (mut select, query, index) in pages {
            select.end(query);
            let plan = plan(&conn, &select.sql);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
        }
        let states = "COVERING INDEX record_state (status=? AND milestone=? AND flow=?";
        for (sql, index) in
            [(GATHER, states), (COUNT, states), (NEXT_STATE, "COVERING INDEX record_state ((")]
        {
            let plan = plan(&conn, sql);
            assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{plan}");
        }
        conn.prepare(&by_creation.walking().sql).unwrap();
    }
}
