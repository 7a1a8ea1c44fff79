//! Pages hold what they should however they are found, and cost as much as they are long.

use std::{
    cmp::Reverse,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cartwright_core::domain::order::OrderStatus;
use rusqlite::params;
use tempfile::TempDir;

use super::*;
use crate::{StoreKind, sqlite::SqliteOptions};

/// An order's columns.
#[derive(Clone, Debug)]
struct Order {
    number: u64,
    status: OrderStatus,
    milestone: &'static str,
    flow: &'static str,
    customer: String,
    created_at: i64,
    updated_at: i64,
}

const MILESTONES: [&str; 3] = ["created", "authorized", "shipped"];
const FLOWS: [&str; 3] = ["standard", "scheduled", "manual"];

/// Numbers that a seed decides.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    /// Often none, sometimes one, sometimes two.
    fn some_of<T: Clone>(&mut self, all: &[T]) -> Vec<T> {
        (0..self.below(5).saturating_sub(2)).map(|_| self.one_of(all)).collect()
    }
}

fn store(orders: &[Order]) -> (TempDir, Connection) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("orders.db");
    let conn =
        crate::sqlite::open::prepare(&path, StoreKind::Orders, &SqliteOptions::default()).unwrap().conn;
    conn.execute_batch("BEGIN").unwrap();
    for order in orders {
        let external = order.number.is_multiple_of(5).then(|| format!("e{}", order.number % 20));
        conn.prepare_cached(
            "INSERT INTO record (id, revision, schema, history, parked, counted, number, channel, external_id, status,
                milestone, flow, customer, created_at, updated_at, record)
             VALUES (?1, 1, 1, 0, 0, 0, ?1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, x'00')",
        )
        .unwrap()
        .execute(params![
            order.number.to_string(),
            external,
            order.status.as_str(),
            order.milestone,
            order.flow,
            Some(&order.customer).filter(|customer| !customer.is_empty()),
            order.created_at,
            order.updated_at,
        ])
        .unwrap();
    }
    conn.execute_batch("COMMIT").unwrap();
    (dir, conn)
}

fn drawn(dice: &mut Dice, n: u64) -> Vec<Order> {
    let order = |number| {
        let created_at = 1_000 + (dice.below(n) as i64) / 3;
        Order {
            number,
            status: dice.one_of(&OrderStatus::ALL),
            milestone: dice.one_of(&MILESTONES),
            flow: dice.one_of(&FLOWS),
            customer: dice.one_of(&["", "ann", "bob", "cleo"]).to_owned(),
            created_at,
            updated_at: created_at + (dice.below(n / 2) as i64),
        }
    };
    (1..=n).map(order).collect()
}

fn asked(dice: &mut Dice, n: u64) -> OrderQuery {
    let moment = |dice: &mut Dice| {
        (dice.below(4) == 0).then(|| Timestamp::from_micros(1_000 + dice.below(n) as i64 / 2))
    };
    let text = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let rarely = |dice: &mut Dice| dice.below(8) == 0;
    OrderQuery {
        status: dice.some_of(&OrderStatus::ALL),
        milestone: text(dice.some_of(&MILESTONES)),
        flow: text(dice.some_of(&FLOWS)),
        customer: text(dice.some_of(&["ann", "bob", "nobody else", ""])),
        number: if rarely(dice) { (1..n / 3).collect() } else { vec![] },
        external_id: if rarely(dice) { vec!["e0".to_owned(), "e5".to_owned()] } else { vec![] },
        created_after: moment(dice),
        created_before: moment(dice),
        updated_after: moment(dice),
        sort: dice.one_of(&[OrderSort::CreatedAt, OrderSort::UpdatedAt]),
        after: None,
        limit: dice.one_of(&[3, 20, 500]),
    }
}

/// What a query finds, said anew and plainly.
fn expected(orders: &[Order], query: &OrderQuery) -> Vec<u64> {
    fn any<T: PartialEq>(wanted: &[T], is: &T) -> bool {
        wanted.is_empty() || wanted.contains(is)
    }
    let at = Timestamp::from_micros;
    let external = |order: &Order| format!("e{}", order.number % 20);
    let mut found: Vec<&Order> = orders
        .iter()
        .filter(|o| any(&query.status, &o.status))
        .filter(|o| any(&query.milestone, &o.milestone.to_owned()) && any(&query.flow, &o.flow.to_owned()))
        .filter(|o| any(&query.customer, &o.customer) && any(&query.number, &o.number))
        .filter(|o| {
            query.external_id.is_empty() || (o.number % 5 == 0 && query.external_id.contains(&external(o)))
        })
        .filter(|o| query.created_after.is_none_or(|moment| at(o.created_at) >= moment))
        .filter(|o| query.created_before.is_none_or(|moment| at(o.created_at) < moment))
        .filter(|o| query.updated_after.is_none_or(|moment| at(o.updated_at) >= moment))
        .collect();
    found.sort_by_key(|o| match query.sort {
        OrderSort::CreatedAt => Reverse((o.created_at, o.number)),
        OrderSort::UpdatedAt => Reverse((o.updated_at, o.number)),
    });
    found.into_iter().map(|o| o.number).collect()
}

#[test]
fn every_way_to_find_a_page_finds_the_same() {
    const ORDERS: u64 = 300;
    let mut dice = Dice(7);
    let orders = drawn(&mut dice, ORDERS);
    let (_dir, conn) = store(&orders);
    let efforts = [
        EFFORT,
        Effort { glance: 0, gather: 0, walk: usize::MAX, look_up: 0 },
        Effort { glance: 2, gather: 0, walk: 40, look_up: 100 },
        Effort { glance: 0, gather: 50, walk: 0, look_up: 0 },
    ];
    let mut longest = 0;
    for _ in 0..200 {
        let query = asked(&mut dice, ORDERS);
        let expected = expected(&orders, &query);
        for effort in efforts {
            let (mut found, mut after) = (Vec::new(), None);
            loop {
                let page = orders_with(&conn, &OrderQuery { after, ..query.clone() }, effort).unwrap();
                assert!(page.len() <= query.limit);
                let Some(last) = page.last() else { break };
                after = Some(last.place);
                found.extend(page.iter().map(|listed| listed.place.1));
            }
            assert_eq!(found, expected, "{query:?} with {effort:?}");
        }
        longest = longest.max(expected.len());
    }
    assert!(longest as u64 > ORDERS / 2, "most queries should find something: {longest}");
}

/// Steps of SQLite's machine for one page.
fn steps(conn: &mut Connection, query: &OrderQuery) -> u64 {
    let counted = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&counted);
    conn.progress_handler(10, Some(move || count.fetch_add(10, Ordering::Relaxed) == u64::MAX)).unwrap();
    orders(conn, query).unwrap();
    conn.progress_handler(0, None::<fn() -> bool>).unwrap();
    counted.load(Ordering::Relaxed)
}

/// Where a list ends.
fn last_page(all: &[Order], query: &OrderQuery) -> OrderQuery {
    let numbers = expected(all, query);
    let last = numbers.len().saturating_sub(query.limit + 1);
    let order = numbers.get(last).map(|number| &all[(*number - 1) as usize]);
    let after = order.map(|order| match query.sort {
        OrderSort::CreatedAt => (Timestamp::from_micros(order.created_at), order.number),
        OrderSort::UpdatedAt => (Timestamp::from_micros(order.updated_at), order.number),
    });
    OrderQuery { after, ..query.clone() }
}

/// 97 of 100 orders are completed, the newest and every hundredth are open, the others failed or were cancelled.
fn usual(n: u64) -> Vec<Order> {
    let order = |number| {
        let (status, milestone) = match number % 100 {
            0 => (OrderStatus::Open, "authorized"),
            1 => (OrderStatus::Failed, "created"),
            2 => (OrderStatus::Cancelled, "created"),
            _ if number + 20 > n => (OrderStatus::Open, "created"),
            _ => (OrderStatus::Completed, "shipped"),
        };
        let flow = if number % 1_000 == 100 { "manual" } else { "standard" };
        let created_at = number as i64 * 1_000;
        let customer = format!("c{}", number % 2_000);
        Order { number, status, milestone, flow, customer, created_at, updated_at: created_at + 500 }
    };
    (1..=n).map(order).collect()
}

#[test]
fn a_page_costs_as_much_as_it_is_long_on_the_first_and_on_the_last_page() {
    const ORDERS: u64 = 40_000;
    let all = usual(ORDERS);
    let (_dir, mut conn) = store(&all);
    let one = |text: &str| vec![text.to_owned()];
    let any = || OrderQuery { limit: 51, ..OrderQuery::default() };
    let late = Some(Timestamp::from_micros((ORDERS as i64 - 300) * 1_000));
    let mut queries = vec![
        any(),
        OrderQuery { customer: one("c7"), ..any() },
        OrderQuery {
            customer: vec!["c7".into(), "c8".into()],
            status: vec![OrderStatus::Completed],
            ..any()
        },
        OrderQuery { milestone: one("shipped"), ..any() },
        OrderQuery { milestone: one("processed"), ..any() },
        OrderQuery { flow: one("manual"), ..any() },
        OrderQuery { flow: one("standard"), ..any() },
        OrderQuery { status: vec![OrderStatus::Open], flow: one("manual"), ..any() },
        OrderQuery { status: vec![OrderStatus::Failed], milestone: one("shipped"), ..any() },
        OrderQuery { number: vec![4, 39_000], ..any() },
        OrderQuery { external_id: one("e nobody has"), ..any() },
        OrderQuery { created_after: late, ..any() },
        OrderQuery { created_before: Some(Timestamp::from_micros(300_000)), ..any() },
        OrderQuery { updated_after: late, ..any() },
    ];
    queries.extend(OrderStatus::ALL.map(|status| OrderQuery { status: vec![status], ..any() }));
    // A page may look at as many entries of an index as there are rare orders, each some ten steps; all orders would be
    // more than ten times as many.
    let most = 60_000;
    for query in queries {
        for sort in [OrderSort::CreatedAt, OrderSort::UpdatedAt] {
            let first = OrderQuery { sort, ..query.clone() };
            let (begin, end) = (steps(&mut conn, &first), steps(&mut conn, &last_page(&all, &first)));
            assert!(begin < most && end < most, "{begin} and {end} steps for {first:?}");
        }
    }
}
