//! Services in two processes on one schema: what two of them do at the same moment is decided once.

use std::sync::Arc;

use bytes::Bytes;
use cartwright_core::{
    domain::ids::OrderId,
    ports::{Delivery, Ids, Store},
    services::{Engine, Input, OrderAnswer, Orders, Settings, StepReport, Unfinished},
};
use cartwright_store::{
    StoreKind,
    postgres::{PostgresOptions, PostgresStore},
};
use cartwright_testkit::{
    asks::{Still, place},
    build,
};
use serde_json::json;
use uuid::Uuid;

use crate::postgres::{open, options};

const ROUNDS: u64 = 40;

/// Ids as the processes of a real system draw them.
struct Fresh;

impl Ids for Fresh {
    fn next(&mut self) -> Uuid {
        Uuid::now_v7()
    }
}

async fn process(options: &PostgresOptions) -> (Arc<PostgresStore>, Engine<Orders>) {
    let store = Arc::new(open(StoreKind::Orders, options).await);
    let settings = Settings { exclusive: false, ..Settings::default() };
    let engine =
        Engine::new(Orders::default(), store.clone(), Arc::new(Still(1)), Box::new(Fresh), settings, 0);
    (store, engine)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_key_in_two_processes_at_once_places_one_order() {
    let options = options();
    let ((store, mut one), (_, mut other)) = (process(&options).await, process(&options).await);
    for round in 0..ROUNDS {
        let order = format!("order {round}");
        let ask = || vec![place(7, &order, "standard")];
        let (one, other) = tokio::join!(one.step(ask(), 9), other.step(ask(), 9));
        let mut answers = [one, other].map(|report| {
            let answer = done(report).answers.remove(0).1.expect("an answer");
            (answer.created, answer.replayed, answer.order.number)
        });
        answers.sort_unstable();
        let number = answers[0].2;
        assert_eq!(answers, [(false, true, number), (true, false, number)], "round {round}");
    }
    let events = store.journal(0, 1_000).await.unwrap();
    let created = events.iter().filter(|row| row.message.headers.get("eventType") == Some("OrderCreatedV1"));
    assert_eq!(created.count() as u64, ROUNDS);
    assert_eq!(store.stats().await.unwrap().open_orders, ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_and_its_order_meet_whichever_process_is_first() {
    let options = options();
    let ((store, mut one), (_, mut other)) = (process(&options).await, process(&options).await);
    for round in 1..=ROUNDS {
        let order = format!("order {round}");
        let event = vec![Input::Delivery(progress(round, &build::id(&order)))];
        let (placed, arrived) =
            tokio::join!(one.step(vec![place(7, &order, "standard")], 9), other.step(event, 9));
        assert!(done(placed).answers[0].1.is_ok());
        done(arrived);
        let id = build::id(&order);
        assert!(
            store.parked(&id).await.unwrap().is_empty(),
            "it was parked and is forgotten (round {round})"
        );
        assert!(!store.load(std::slice::from_ref(&id)).await.unwrap()[0].has_parked);
        let history = store.history(&id, 0, 100).await.unwrap();
        let applied = history.iter().filter(|event| find(event, b"StepProgressedV1"));
        assert_eq!(applied.count(), 1, "it was applied once (round {round})");
    }
    assert_eq!(store.stats().await.unwrap().parked, 0);
}

fn find(event: &Bytes, word: &[u8]) -> bool {
    event.windows(word.len()).any(|window| window == word)
}

/// Payments tells that it has begun to ask for the money.
fn progress(position: u64, order: &OrderId) -> Delivery {
    let event = json!({
        "eventId": Uuid::now_v7(), "eventType": "StepProgressedV1", "eventVersion": 1, "source": "payments",
        "sequence": 1, "occurredAt": "2026-01-01T00:00:00.000000Z", "correlationId": Uuid::from_u128(9),
        "causationId": Uuid::from_u128(9), "actor": {"type": "service", "id": "payments"},
        "payload": {"orderId": order, "step": format!("{order}:1"), "state": "started"},
    });
    Delivery {
        origin: build::origin(position),
        incarnation: Uuid::from_u128(5),
        key: order.as_str().to_owned().into(),
        headers: [("eventType", "StepProgressedV1")].into_iter().collect(),
        value: event.to_string().into(),
    }
}

#[track_caller]
fn done(step: Result<StepReport<OrderAnswer>, Unfinished<OrderAnswer>>) -> StepReport<OrderAnswer> {
    step.unwrap_or_else(|unfinished| panic!("{}", unfinished.error))
}
