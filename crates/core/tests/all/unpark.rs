//! An operator's word on parked events passes through the service like anything else.

use std::sync::Arc;

use bytes::Bytes;
use cartwright_core::{
    domain::flow,
    ports::{Commit, Delivery, Guard, Row, Store},
    services::{Ask, Engine, Input, Orders, Settings, Unpark, Unparked},
};
use cartwright_testkit::{
    MemoryStore,
    asks::{self, Counting, Still},
    block_on, build,
};
use uuid::Uuid;

fn engine(store: &MemoryStore) -> Engine<Orders> {
    let settings = Settings { exclusive: true, ..Settings::default() };
    Engine::new(
        Orders::default(),
        Arc::new(store.clone()),
        Arc::new(Still(1)),
        Box::new(Counting::default()),
        settings,
        0,
    )
}

/// Junk from payments about an order, at a position of an incarnation.
fn junk(position: u64, incarnation: u128, order: &str) -> Input<Ask> {
    Input::Delivery(Delivery {
        origin: build::origin(position),
        incarnation: Uuid::from_u128(incarnation),
        key: order.to_owned().into(),
        headers: [("eventType", "PaymentAuthorizedV1")].into_iter().collect(),
        value: Bytes::from(format!("junk {position} {incarnation}")),
    })
}

fn say(engine: &mut Engine<Orders>, order: &str, what: Unpark) -> Unparked {
    let input = Input::Unpark { token: 5, order: build::id(order), what };
    let mut report = block_on(engine.step(vec![input], 9)).unwrap();
    assert_eq!(report.unparked.len(), 1);
    let (token, unparked) = report.unparked.remove(0);
    assert_eq!(token, 5);
    unparked
}

fn waiting(store: &MemoryStore, order: &str) -> usize {
    block_on(store.parked(&build::id(order))).unwrap().len()
}

#[test]
fn what_is_discarded_is_gone_and_told_whole_while_the_rest_waits() {
    let store = MemoryStore::new(Uuid::from_u128(1));
    let mut engine = engine(&store);
    block_on(engine.step(vec![junk(1, 7, "a"), junk(2, 7, "a")], 9)).unwrap();
    let parked = block_on(store.parked(&build::id("a"))).unwrap();
    let unparked = say(&mut engine, "a", Unpark::Discard(vec![parked[0].name()]));
    assert_eq!((unparked.discarded, unparked.left), (vec![parked[0].clone()], 1));
    assert!(unparked.why.is_some(), "the other is still junk");
    assert_eq!(block_on(store.parked(&build::id("a"))).unwrap(), parked[1..]);
    let again = say(&mut engine, "a", Unpark::Discard(vec![parked[0].name()]));
    assert_eq!(again.discarded, [], "it is not there any more");
    let last = say(&mut engine, "a", Unpark::Discard(vec![parked[1].name()]));
    assert_eq!((last.discarded.len(), last.left, last.why), (1, 0, None));
    block_on(engine.step(vec![asks::place(0, "a", flow::DEFAULT_FLOW)], 9)).unwrap();
    let stored = block_on(store.load(&[build::id("a")])).unwrap().remove(0);
    assert!(stored.record.is_some() && !stored.has_parked, "the order can come all the same");
}

#[test]
fn a_retry_of_nothing_writes_nothing() {
    let store = MemoryStore::new(Uuid::from_u128(1));
    let mut engine = engine(&store);
    assert_eq!(say(&mut engine, "nobody", Unpark::Retry), Unparked::default());
    assert_eq!(block_on(store.load(&[build::id("nobody")])).unwrap().remove(0).revision, 0);
    block_on(engine.step(vec![junk(1, 7, "a")], 9)).unwrap();
    let unparked = say(&mut engine, "a", Unpark::Retry);
    assert_eq!((unparked.applied, unparked.left), (0, 1));
    assert_eq!(block_on(store.load(&[build::id("a")])).unwrap().remove(0).revision, 1, "nothing was written");
}

/// A store takes away the oldest event of an origin: discarding the newer one would hit the older.
#[test]
fn of_two_events_of_one_origin_the_older_goes_first() {
    let store = MemoryStore::new(Uuid::from_u128(1));
    let mut engine = engine(&store);
    block_on(engine.step(vec![junk(1, 7, "a"), junk(1, 8, "a")], 9)).unwrap();
    let parked = block_on(store.parked(&build::id("a"))).unwrap();
    assert_eq!(parked.len(), 2);
    assert_eq!(say(&mut engine, "a", Unpark::Discard(vec![parked[1].name()])).discarded, []);
    let both = parked.iter().map(cartwright_core::ports::Parked::name).collect();
    assert_eq!(say(&mut engine, "a", Unpark::Discard(both)).discarded, parked);
    assert_eq!(waiting(&store, "a"), 0);
}

#[test]
fn events_beside_an_unreadable_record_can_be_discarded_and_leave_it_alone() {
    let store = MemoryStore::new(Uuid::from_u128(1));
    let newer = Row { schema: 99, ..build::row("a") };
    block_on(store.commit(build::batch([Commit { row: Some(newer), ..build::commit("a") }]))).unwrap();
    let mut engine = engine(&store);
    block_on(engine.step(vec![junk(1, 7, "a")], 9)).unwrap();
    let retried = say(&mut engine, "a", Unpark::Retry);
    assert!(retried.why.unwrap().contains("newer version"));
    let parked = block_on(store.parked(&build::id("a"))).unwrap();
    assert_eq!(say(&mut engine, "a", Unpark::Discard(vec![parked[0].name()])).discarded, parked);
    let stored = block_on(store.load(&[build::id("a")])).unwrap().remove(0);
    assert_eq!((stored.schema, stored.record), (99, build::row("a").record));
}

#[test]
fn a_word_is_decided_again_when_somebody_else_was_faster() {
    let store = MemoryStore::new(Uuid::from_u128(1));
    let mut engine = engine(&store);
    block_on(engine.step(vec![asks::place(0, "a", flow::DEFAULT_FLOW)], 9)).unwrap();
    // Another process writes the record and parks something: what this one knows by heart is old.
    let parked = build::parked("a", 1, None);
    let beside = Commit { guard: Guard::Revision(1), row: None, park: vec![parked], ..build::commit("a") };
    block_on(store.commit(build::batch([beside]))).unwrap();
    let inputs = vec![
        junk(2, 7, "a"),
        Input::Unpark {
            token: 0,
            order: build::id("a"),
            what: Unpark::Discard(vec![build::parked("a", 1, None).name()]),
        },
    ];
    let report = block_on(engine.step(inputs, 9)).unwrap();
    assert_eq!(report.unparked.len(), 1, "it is answered once");
    assert_eq!(report.unparked[0].1.discarded.len(), 1, "on what is there now");
    assert_eq!(waiting(&store, "a"), 1);
}
