//! What one step promises when something is in the way: a record that can't be read, a store that fails half-way,
//! an order that gets more events than it may park.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use cartwright_core::{
    domain::{
        flow,
        ids::OrderId,
        order::{CancelReason, OrderCommand},
        time::Timestamp,
    },
    ports::{
        AnswerKey, Batch, Cursor, Delivery, DueSweep, Guard, JournalRow, Listed, ListedParked, OpenCount,
        OpenQuery, OrderQuery, Origin, Outcome, Parked, ParkedQuery, SavedAnswer, Store, StoreError,
        StoreStats, Stored, Task, Walked,
    },
    services::{Answered, Ask, Engine, Input, MAX_PARKED, Orders, Rejection, Settings, StepReport},
};
use cartwright_testkit::{
    MemoryStore,
    asks::{self, Counting, Still},
    block_on, build,
};
use uuid::Uuid;

/// A store that can be told to fail after so many loads and commits.
struct Failing {
    inner: MemoryStore,
    calls_left: Mutex<Option<usize>>,
    /// Whether somebody else places order `b` before the next commit.
    intruder: AtomicBool,
}

#[test]
fn an_unreadable_record_stops_its_own_order_and_no_other() {
    let (store, mut engine) = service();
    place(&mut engine, &["a", "b"]);
    let mut newer = build::commit("a");
    newer.guard = Guard::Revision(1);
    newer.row = Some(cartwright_core::ports::Row { schema: 99, ..build::row("a") });
    block_on(store.inner.commit(build::batch([newer]))).unwrap();

    let mut engine = engine_on(&store); // it knows nothing by heart
    let inputs = vec![cancel(0, "a"), cancel(1, "b"), delivery(1, "a"), Input::Sweep(build::id("a"))];
    let report = block_on(engine.step(inputs, 9)).unwrap();
    assert_eq!(report.answers.len(), 2, "each command is answered");
    for (token, answer) in report.answers {
        match token {
            0 => assert_eq!(answer.unwrap_err(), Rejection::Unreadable(build::id("a"))),
            _ => assert!(answer.is_ok(), "its neighbour in the batch is not disturbed"),
        }
    }
    assert_eq!(report.unreadable.len(), 1);
    assert!(report.unreadable[0].1.contains("newer version"), "{}", report.unreadable[0].1);
    assert_eq!(report.parked, 1, "its event waits for a binary that can read the record");
    let stored = block_on(store.inner.load(&[build::id("a")])).unwrap().remove(0);
    assert_eq!((stored.schema, stored.record), (99, build::row("a").record), "the record is as it was");
    assert_eq!(block_on(store.inner.cursors()).unwrap()[0].position, 1, "the source goes on");
}

#[test]
fn what_an_earlier_round_made_durable_is_answered_when_a_later_one_fails() {
    let (store, mut engine) = service();
    store.intruder.store(true, Ordering::Relaxed);
    *store.calls_left.lock().unwrap() = Some(1);
    let inputs = vec![placing(0, "a"), placing(1, "b")];
    let unfinished = block_on(engine.step(inputs, 9)).err().expect("the second round meets a broken store");
    assert!(matches!(unfinished.error, StoreError::Unavailable(_)));
    let tokens: Vec<u64> = unfinished.report.answers.iter().map(|(token, _)| *token).collect();
    assert_eq!(tokens, [0], "order a is durable, and whoever placed it must hear so");
    assert!(unfinished.report.settled.is_empty());
}

#[test]
fn of_two_that_share_a_store_each_decides_by_what_stands_there() {
    let (store, _) = service();
    let (mut one, mut other) = (engine_with(&store, false), engine_with(&store, false));
    place(&mut one, &["a", "b"]);
    let version = |report: StepReport<_>| -> u64 {
        let (_, answer): (u64, Result<Answered, Rejection>) =
            report.answers.into_iter().next().expect("an answer");
        answer.expect("it is done").order.version
    };
    // What the other one changes, this one remembers otherwise: a change of its own meets the guard,
    let ask = |command| asks::change(0, "a", command, None);
    let held = version(block_on(other.step(vec![ask(OrderCommand::Hold { note: None })], 9)).unwrap());
    let released = version(block_on(one.step(vec![ask(OrderCommand::Release { note: None })], 9)).unwrap());
    assert_eq!(released, held + 1, "by what it remembered, there was nothing to release");
    // and what would change nothing is looked at again.
    block_on(other.step(vec![ask(OrderCommand::Hold { note: None })], 9)).unwrap();
    let again = version(block_on(one.step(vec![ask(OrderCommand::Release { note: None })], 9)).unwrap());
    assert_eq!(again, released + 2);
    // Nothing of the sources is settled before that: here, the store fails meanwhile.
    block_on(other.step(vec![ask(OrderCommand::Hold { note: None })], 9)).unwrap();
    *store.calls_left.lock().unwrap() = Some(0);
    let both = vec![ask(OrderCommand::Release { note: None }), delivery(5, "b")];
    block_on(one.step(both, 9)).err().expect("the fresh read fails");
    assert_eq!(block_on(store.inner.cursors()).unwrap(), vec![]);
}

#[test]
fn an_order_parks_so_many_events_and_no_more() {
    let (store, mut engine) = service();
    let many = MAX_PARKED as u64 + 10;
    let inputs = (1..=many).map(|position| delivery(position, "unknown")).collect();
    let report = block_on(engine.step(inputs, 9)).unwrap();
    assert_eq!((report.parked, report.overflowed), (MAX_PARKED, 10));
    assert_eq!(block_on(store.inner.parked(&build::id("unknown"))).unwrap().len(), MAX_PARKED);
    assert_eq!(block_on(store.inner.cursors()).unwrap()[0].position, many, "the source goes on");
}

fn service() -> (Arc<Failing>, Engine<Orders>) {
    let store = Arc::new(Failing {
        inner: MemoryStore::new(Uuid::from_u128(1)),
        calls_left: Mutex::new(None),
        intruder: AtomicBool::new(false),
    });
    let engine = engine_on(&store);
    (store, engine)
}

fn engine_on(store: &Arc<Failing>) -> Engine<Orders> {
    engine_with(store, true)
}

fn engine_with(store: &Arc<Failing>, exclusive: bool) -> Engine<Orders> {
    let settings = Settings { exclusive, ..Settings::default() };
    Engine::new(
        Orders::default(),
        store.clone(),
        Arc::new(Still(1)),
        Box::new(Counting::default()),
        settings,
        0,
    )
}

fn place(engine: &mut Engine<Orders>, orders: &[&str]) {
    let inputs = orders.iter().map(|order| placing(0, order)).collect();
    assert!(block_on(engine.step(inputs, 9)).unwrap().answers.iter().all(|(_, answer)| answer.is_ok()));
}

fn placing(token: u64, order: &str) -> Input<Ask> {
    asks::place(token, order, flow::DEFAULT_FLOW)
}

fn cancel(token: u64, order: &str) -> Input<Ask> {
    asks::change(token, order, OrderCommand::Cancel { reason: CancelReason::Customer, note: None }, None)
}

/// Something from payments that no order can apply.
fn delivery(position: u64, order: &str) -> Input<Ask> {
    Input::Delivery(Delivery {
        origin: Origin { source: "payments".into(), lane: 0, position },
        incarnation: Uuid::from_u128(7),
        key: order.to_owned().into(),
        headers: [("eventType", "PaymentAuthorizedV1")].into_iter().collect(),
        value: Bytes::from_static(b"{}"),
    })
}

impl Failing {
    fn call(&self) -> Result<(), StoreError> {
        match &mut *self.calls_left.lock().unwrap() {
            Some(0) => return Err(StoreError::Unavailable("broken".into())),
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Failing {
    fn incarnation(&self) -> Uuid {
        self.inner.incarnation()
    }

    async fn load(&self, ids: &[OrderId]) -> Result<Vec<Stored>, StoreError> {
        self.call()?;
        self.inner.load(ids).await
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        if self.intruder.swap(false, Ordering::Relaxed) {
            self.inner.commit(build::batch([build::placed("b", build::columns(77, 1))])).await?;
        }
        self.call()?;
        self.inner.commit(batch).await
    }

    async fn journal(&self, after: u64, limit: usize) -> Result<Vec<JournalRow>, StoreError> {
        self.inner.journal(after, limit).await
    }

    async fn journal_bounds(&self) -> Result<(u64, u64), StoreError> {
        self.inner.journal_bounds().await
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        self.inner.cursors().await
    }

    async fn history(&self, id: &OrderId, after: u64, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        self.inner.history(id, after, limit).await
    }

    async fn histories(&self, ids: &[OrderId], limit: usize) -> Result<Vec<Vec<Bytes>>, StoreError> {
        self.inner.histories(ids, limit).await
    }

    async fn claim_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.inner.claim_tasks(now, lease_until, limit).await
    }

    async fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, StoreError> {
        self.inner.answers(keys).await
    }

    async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.purge_answers(before, limit).await
    }

    async fn parked(&self, id: &OrderId) -> Result<Vec<Parked>, StoreError> {
        self.inner.parked(id).await
    }

    async fn parked_page(&self, query: &ParkedQuery) -> Result<Vec<ListedParked>, StoreError> {
        self.inner.parked_page(query).await
    }

    async fn due_sweeps(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: usize,
    ) -> Result<Vec<DueSweep>, StoreError> {
        self.inner.due_sweeps(now, after, limit).await
    }

    async fn open_orders(&self, query: &OpenQuery) -> Result<Vec<Listed>, StoreError> {
        self.inner.open_orders(query).await
    }

    async fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        self.inner.open_counts().await
    }

    async fn orders(&self, query: &OrderQuery) -> Result<Vec<Listed>, StoreError> {
        self.inner.orders(query).await
    }

    async fn walk(&self, after: u64, limit: usize, events: usize) -> Result<Vec<Walked>, StoreError> {
        self.inner.walk(after, limit, events).await
    }

    async fn reserve_numbers(&self, count: u32) -> Result<u64, StoreError> {
        self.inner.reserve_numbers(count).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner.stats().await
    }
}
