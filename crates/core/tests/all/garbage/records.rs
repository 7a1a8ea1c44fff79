//! Records that were damaged, are older, or newer: their own order stops, at most.

use cartwright_core::{
    domain::order::{ORDER_SCHEMA, Order},
    ports::{Commit, Guard, Row, Store},
    services::{Fulfillment, Input, Logic, Orders, Payments, Rejection, TaskDone},
};
use cartwright_testkit::{block_on, build, garbage};
use proptest::prelude::*;
use serde_json::Value;

use super::world::{World, commands, delivery, event, placing};

/// Order `a` as far as it has come, in the store of each service.
fn orders((flow, answers): Journey) -> World<Orders> {
    let mut world = World::<Orders>::new();
    world.step(vec![placing("a", flow), placing("beside", flow)]);
    for (position, (kind, number)) in (1..).zip(answers) {
        let mut event = event(kind, "", "a");
        event["payload"]["step"] = format!("a:{number}").into();
        world.step(vec![Input::Delivery(delivery(position, "payments", &event))]);
    }
    world
}

fn asked<L: Logic + Default>(step: &str) -> World<L> {
    let mut world = World::<L>::new();
    let asked = |position, order| {
        Input::Delivery(delivery(position, "orders", &event("StepRequestedV1", step, order)))
    };
    let report = world.step(vec![asked(1, "a"), asked(2, "beside")]);
    world.step(
        report.tasks.into_iter().map(|task| Input::Task(TaskDone::unknown(task, "lost", false))).collect(),
    );
    world
}

/// The same store with another record in the row of order `a`, and a service that knows nothing by heart.
fn with_record<L: Logic + Default>(world: World<L>, schema: u32, record: &[u8]) -> World<L> {
    let guard = Guard::Revision(world.stored("a").revision);
    let row = Some(Row { schema, record: Some(record.to_vec()), columns: None });
    block_on(world.store.commit(build::batch([Commit { guard, row, ..build::commit("a") }]))).unwrap();
    World::on(world.store)
}

/// The flow of an order, and the answers that it got: what came of which step.
type Journey = (&'static str, &'static [(&'static str, &'static str)]);

const JOURNEYS: [Journey; 6] = [
    ("standard", &[]),
    ("standard", &[("PaymentAuthorizedV1", "1")]),
    ("standard", &[("PaymentAuthorizedV1", "1"), ("FulfillmentScheduledV1", "2")]),
    ("standard", &[("PaymentAuthorizedV1", "1"), ("FulfillmentFailedV1", "2")]),
    ("processing", &[]),
    ("manual", &[]),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_order_stops_itself_at_most(
        journey in prop::sample::select(&JOURNEYS[..]), damage in damage(),
    ) {
        let world = orders(journey);
        let record = damage.apply(&world.record("a"));
        let mut world = with_record(world, 1, &record);
        let readable = serde_json::from_slice::<Order>(&record).is_ok();
        let was = world.stored("beside").revision;

        let inputs = commands("a").chain(commands("beside")).collect();
        let report = world.step(inputs);
        prop_assert_eq!(report.unreadable.len(), usize::from(!readable));
        prop_assert_eq!(report.answers.len(), 8);
        for (_, answer) in &report.answers[..4] {
            let says_so = matches!(answer, Err(Rejection::Unreadable(order)) if order.as_str() == "a");
            prop_assert_eq!(says_so, !readable);
        }
        prop_assert!(world.stored("beside").revision > was, "the order beside it goes on");

        world.step(report.tasks.into_iter().map(|task| Input::Task(TaskDone::unknown(task, "", false))).collect());
        let events = ["PaymentAuthorizedV1", "PaymentVoidedV1", "FulfillmentScheduledV1", "ShipmentShippedV1"];
        let come = |(kind, position)| Input::Delivery(delivery(position, "payments", &event(kind, "", "a")));
        world.step(events.into_iter().zip(5..).map(come).collect());
        world.step(vec![placing("a", "standard"), Input::Sweep(build::id("a"))]);
        if !readable {
            prop_assert_eq!(world.stored("a").record, Some(record), "its record is left as it is");
        }
    }

    #[test]
    fn a_damaged_payment_stops_itself_at_most(damage in damage()) {
        stops_itself_at_most::<Payments>("pay", &damage)?;
    }

    #[test]
    fn a_damaged_shipment_stops_itself_at_most(damage in damage()) {
        stops_itself_at_most::<Fulfillment>("ship", &damage)?;
    }
}

fn stops_itself_at_most<L: Logic + Default>(step: &str, damage: &Damage) -> Result<(), TestCaseError> {
    let world = asked::<L>(step);
    let record = damage.apply(&world.record("a"));
    let mut world = with_record(world, 1, &record);
    let was = world.stored("beside").revision;
    let undo = |position, order| {
        let mut undo = event("StepUndoRequestedV1", "", order);
        undo["payload"]["kind"] = step.into();
        Input::Delivery(delivery(position, "orders", &undo))
    };
    let again = Input::Delivery(delivery(3, "orders", &event("StepRequestedV1", step, "a")));
    let report = world.step(vec![again, undo(4, "a"), undo(5, "beside")]);
    prop_assert!(world.stored("beside").revision > was, "the order beside it goes on");
    world
        .step(report.tasks.into_iter().map(|task| Input::Task(TaskDone::unknown(task, "", false))).collect());
    world.step(vec![Input::Sweep(build::id("a"))]);
    if L::default().read(&record).is_err() {
        prop_assert_eq!(world.stored("a").record, Some(record), "its record is left as it is");
        prop_assert_eq!(block_on(world.store.parked(&build::id("a"))).unwrap().len(), 2, "its events wait");
    }
    Ok(())
}

/// What happened to a stored record.
#[derive(Clone, Debug)]
enum Damage {
    Other(Vec<u8>),
    Spoiled(Vec<garbage::Change>),
    Edited(Vec<garbage::Edit>),
}

impl Damage {
    fn apply(&self, record: &Value) -> Vec<u8> {
        match self {
            Self::Other(bytes) => bytes.clone(),
            Self::Spoiled(changes) => garbage::spoil(record, changes).into_bytes(),
            Self::Edited(edits) => garbage::edit(record.to_string().as_bytes(), edits),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        1 => garbage::bytes().prop_map(Damage::Other),
        6 => garbage::changes().prop_map(Damage::Spoiled),
        2 => garbage::edits().prop_map(Damage::Edited),
    ]
}

/// Fields that were added to the records of schema 1 after it was first written.
const LATER: [&str; 6] = ["by", "did", "askedAgain", "undoAsked", "gaveUp", "attempts"];

#[test]
fn a_record_without_what_was_added_later_reads() {
    fn check<L: Logic + Default>(world: &World<L>) {
        let record = world.record("a");
        let older = serde_json::to_vec(&older(&record)).unwrap();
        let read =
            L::default().read(&older).unwrap_or_else(|error| panic!("{}: {error}: {record:#}", L::NAME));
        let written = L::default().row(&read).record.unwrap();
        let again = L::default().row(&L::default().read(&written).unwrap()).record.unwrap();
        assert_eq!(written, again, "{}", L::NAME);
    }
    for journey in JOURNEYS {
        check(&orders(journey));
    }
    check(&asked::<Payments>("pay"));
    check(&asked::<Fulfillment>("ship"));
}

/// The record without its nulls and without what was added later.
fn older(record: &Value) -> Value {
    match record {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, value)| !value.is_null() && !LATER.contains(&name.as_str()))
            .map(|(name, value)| (name.clone(), older(value)))
            .collect(),
        Value::Array(items) => items.iter().map(older).collect(),
        other => other.clone(),
    }
}

#[test]
fn a_record_of_a_newer_schema_is_not_written_over() {
    let world = orders(JOURNEYS[0]);
    let record = world.record("a").to_string();
    let newer = ORDER_SCHEMA + 1;
    let mut world = with_record(world, newer, record.as_bytes());
    let report = world.step(commands("a").collect());
    assert!(report.answers.iter().all(|(_, answer)| matches!(answer, Err(Rejection::Unreadable(_)))));
    let stored = world.stored("a");
    assert_eq!((stored.schema, stored.record), (newer, Some(record.into_bytes())));
}
