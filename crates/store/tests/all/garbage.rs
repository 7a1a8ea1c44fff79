//! Damaged rows: whatever a column holds, its own order stops at most, and everything else goes on.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use cartwright_core::{
    domain::{flow::PROCESSING_MS, ids::OrderId, order::OrderCommand, time::Timestamp},
    ports::{Delivery, Ids, OrderQuery, Origin, Store},
    services::{Ask, Engine, Input, OrderAnswer, Orders, Rejection, Settings},
};
use cartwright_store::{
    StoreKind,
    sqlite::{SqliteOptions, SqliteStore},
};
use cartwright_testkit::{
    asks::{self, Still},
    build, garbage,
};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use rusqlite::{Connection, params, types::Value};
use serde_json::json;
use tempfile::TempDir;
use uuid::Uuid;

const CASES: u32 = 300;
/// Long after everything is due.
const LATER: Timestamp = Timestamp::from_micros(1_000_000 * 1_000_000);

/// What a column of order `a` holds now.
#[derive(Clone, Debug)]
struct Damage {
    /// Table and column, and which rows belong to the order.
    column: (&'static str, &'static str, &'static str),
    value: Value,
}

const OF_RECORD: &str = "record = (SELECT key FROM record WHERE id = ?2)";
const BLOBS: [(&str, &str, &str); 7] = [
    ("record", "record", "id = ?2"),
    ("answer", "record", "order_id = ?2"),
    ("answer", "fingerprint", "order_id = ?2"),
    ("parked", "headers", OF_RECORD),
    ("parked", "incarnation", OF_RECORD),
    ("parked", "event_id", OF_RECORD),
    ("parked", "value", OF_RECORD),
];
const TEXTS: [(&str, &str, &str); 4] = [
    ("task", "work", "order_id = ?2"),
    ("task", "order_id", "order_id = ?2"),
    ("parked", "source", OF_RECORD),
    ("parked", "reason", OF_RECORD),
];
const NUMBERS: [(&str, &str, &str); 5] = [
    ("record", "schema", "id = ?2"),
    ("task", "attempts", "order_id = ?2"),
    ("answer", "saved_at", "order_id = ?2"),
    ("parked", "lane", OF_RECORD),
    ("parked", "parked_at", OF_RECORD),
];

fn damage() -> impl Strategy<Value = Damage> {
    let work = json!({"do": "authorize", "key": "k", "orderId": "a", "amount": 1, "currency": "USD", "provider": "p"});
    let text = prop_oneof![
        any::<String>(),
        garbage::changes().prop_map(move |changes| garbage::spoil(&work, &changes)),
    ];
    let number = prop_oneof![any::<i64>(), select(vec![-1, 0, 2, i64::MAX, i64::MIN, 1 << 32])];
    prop_oneof![
        7 => (select(&BLOBS[..]), garbage::bytes()).prop_map(|(column, bytes)| (column, Value::Blob(bytes))),
        4 => (select(&TEXTS[..]), text).prop_map(|(column, text)| (column, Value::Text(text))),
        5 => (select(&NUMBERS[..]), number).prop_map(|(column, number)| (column, Value::Integer(number))),
    ]
    .prop_map(|(column, value)| Damage { column, value })
}

#[test]
fn a_damaged_row_stops_its_own_order_at_most() {
    let shop = Shop::open();
    let cases = AtomicU64::new(0);
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(CASES) };
    let damages = prop::collection::vec(damage(), 1..3);
    let checked = TestRunner::new(config).run(&damages, |damages| {
        let case = cases.fetch_add(1, Ordering::Relaxed);
        shop.check(&format!("a{case}"), &format!("beside{case}"), &damages)
    });
    checked.unwrap_or_else(|error| panic!("{error}"));
}

/// A journal is read by everybody: a row that was damaged must not end it.
#[test]
fn a_damaged_journal_row_ends_no_journal() {
    let mut shop = Shop::open();
    shop.step((0..40).map(|n| placing(&format!("o{n}"))).collect());
    let rows = shop.run(shop.store().journal(0, 999)).unwrap();
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(6) };
    let mut runner = TestRunner::new(config);
    let each = || prop::collection::vec((garbage::bytes(), garbage::edits(), any::<String>()), rows.len());
    for _ in 0..6 {
        let spoils = each().new_tree(&mut runner).unwrap().current();
        for (row, (bytes, edits, key)) in rows.iter().zip(spoils) {
            let headers = garbage::edit(row.message.headers.as_bytes(), &edits);
            let update = "UPDATE journal SET headers = ?1, value = ?2, key = ?3 WHERE position = ?4";
            shop.tamper.execute(update, params![headers, bytes, key, row.position.cast_signed()]).unwrap();
        }
        shop.reopen();
        let read = shop.run(shop.store().journal(0, 999)).unwrap();
        assert!(read.iter().map(|row| row.position).eq(rows.iter().map(|row| row.position)), "{read:?}");
    }
}

/// The store of orders, and a way around it.
struct Shop {
    store: Option<Arc<SqliteStore>>,
    tamper: Connection,
    runtime: tokio::runtime::Runtime,
    dir: TempDir,
}

impl Shop {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let store = Some(Arc::new(open(&dir)));
        Self { store, tamper: Connection::open(file(&dir)).unwrap(), runtime, dir }
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Arc::new(open(&self.dir)));
    }

    fn store(&self) -> &Arc<SqliteStore> {
        self.store.as_ref().unwrap()
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// One step of a service that knows nothing by heart.
    #[track_caller]
    fn step(&self, inputs: Vec<Input<Ask>>) -> BTreeMap<u64, OrderAnswer> {
        let settings = Settings { exclusive: true, ..Settings::default() };
        let (store, ids) = (Arc::clone(self.store()), Box::new(Fresh));
        let mut engine = Engine::new(
            Orders::default(),
            store,
            Arc::new(Still(i64::from(PROCESSING_MS))),
            ids,
            settings,
            0,
        );
        let report = self.run(engine.step(inputs, 0));
        report
            .unwrap_or_else(|unfinished| panic!("everything stops: {}", unfinished.error))
            .answers
            .into_iter()
            .collect()
    }

    /// Damages what there is of order `a`, and looks at everybody's.
    fn check(&self, a: &str, beside: &str, damages: &[Damage]) -> Result<(), TestCaseError> {
        self.step(vec![placing(a), placing(beside), hold(1, a), hold(2, beside), junk(a), junk(beside)]);
        for Damage { column: (table, column, whose), value } in damages {
            let sql = format!("UPDATE {table} SET {column} = ?1 WHERE {whose}");
            self.tamper.execute(&sql, params![value, a]).unwrap();
        }
        // The same again is answered as before, and something new is done.
        let inputs = vec![
            hold(1, a),
            hold(2, beside),
            release(3, a),
            release(4, beside),
            junk(a),
            sweep(a),
            sweep(beside),
        ];
        let answers = self.step(inputs);
        prop_assert!(answers[&2].as_ref().is_ok_and(|answered| answered.replayed), "{:?}", answers[&2]);
        prop_assert!(answers[&4].is_ok(), "{:?}", answers[&4]);
        match &answers[&1] {
            Ok(answered) => prop_assert!(answered.replayed),
            Err(Rejection::Unreadable(_) | Rejection::KeyReused) => {}
            Err(other) => prop_assert!(false, "{other:?}"),
        }
        let tasks =
            self.run(self.store().claim_tasks(LATER, LATER.plus(std::time::Duration::MAX), 99)).unwrap();
        prop_assert!(tasks.iter().any(|task| task.order.as_str() == beside), "the other task is handed out");
        prop_assert!(self.run(self.store().due_sweeps(LATER, None, 9)).is_ok());
        let query = OrderQuery { limit: 2, ..OrderQuery::default() };
        prop_assert_eq!(self.run(self.store().orders(&query)).unwrap().len(), 2);
        prop_assert_eq!(self.run(self.store().parked(&build::id(beside))).unwrap().len(), 1);
        Ok(())
    }
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("orders.db")
}

fn open(dir: &TempDir) -> SqliteStore {
    SqliteStore::open(&file(dir), StoreKind::Orders, &SqliteOptions::default()).unwrap()
}

/// An order that waits for nobody but a task of its own.
fn placing(order: &str) -> Input<Ask> {
    asks::place(0, order, "processing")
}

fn hold(token: u64, order: &str) -> Input<Ask> {
    asks::change(token, order, OrderCommand::Hold { note: None }, Some("once"))
}

fn release(token: u64, order: &str) -> Input<Ask> {
    asks::change(token, order, OrderCommand::Release { note: None }, None)
}

/// An event that waits for a binary that can read it.
fn junk(order: &str) -> Input<Ask> {
    // The same position for the same order: what comes again waits already.
    let position = order.bytes().fold(7, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte));
    Input::Delivery(Delivery {
        origin: Origin { source: "payments".into(), lane: 0, position },
        incarnation: Uuid::from_u128(7),
        key: order.to_owned().into(),
        headers: [("eventType", "PaymentTeleportedV9")].into_iter().collect(),
        value: "{}".into(),
    })
}

fn sweep(order: &str) -> Input<Ask> {
    Input::Sweep(OrderId::parse(order).unwrap())
}

struct Fresh;

impl Ids for Fresh {
    fn next(&mut self) -> Uuid {
        Uuid::now_v7()
    }
}
