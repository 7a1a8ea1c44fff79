//! Garbage on the bus: what can't be applied is parked with its bytes, and nobody else notices.

use cartwright_core::{
    domain::ids::{OrderId, derive_uuid},
    events::{self, Payload},
    ports::{Delivery, Headers, Parked, Store},
    services::{Ask, Fulfillment, Input, Logic, NoCommand, Orders, Payments, TaskDone},
};
use cartwright_testkit::{block_on, build, garbage};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::Value;

use super::world::{World, commands, delivery, event, golden, placing, raw_delivery};

/// A service that gets garbage.
trait Subject: Logic + Default {
    /// Whose topics it reads.
    const SOURCES: &'static [&'static str];
    /// What makes it know an order, if an event alone does not.
    fn placing(order: &str) -> Vec<Input<Self::Command>>;
    /// What may be asked of an order.
    fn commands(order: &str) -> Vec<Input<Self::Command>>;
    /// An event that it applies to a new order.
    fn good(order: &str) -> Value;
}

impl Subject for Orders {
    const SOURCES: &'static [&'static str] = &["payments", "fulfillment"];

    fn placing(order: &str) -> Vec<Input<Ask>> {
        vec![placing(order, "standard")]
    }

    fn commands(order: &str) -> Vec<Input<Ask>> {
        commands(order).collect()
    }

    fn good(order: &str) -> Value {
        event("PaymentAuthorizedV1", "pay", order)
    }
}

impl Subject for Payments {
    const SOURCES: &'static [&'static str] = &["orders"];

    fn placing(_: &str) -> Vec<Input<NoCommand>> {
        vec![]
    }

    fn commands(_: &str) -> Vec<Input<NoCommand>> {
        vec![]
    }

    fn good(order: &str) -> Value {
        event("StepRequestedV1", "pay", order)
    }
}

impl Subject for Fulfillment {
    const SOURCES: &'static [&'static str] = &["orders"];

    fn placing(_: &str) -> Vec<Input<NoCommand>> {
        vec![]
    }

    fn commands(_: &str) -> Vec<Input<NoCommand>> {
        vec![]
    }

    fn good(order: &str) -> Value {
        event("StepRequestedV1", "ship", order)
    }
}

/// What comes in place of a good delivery.
#[derive(Clone, Debug)]
struct Junk {
    source: Index,
    key: Vec<u8>,
    /// `None`: as the sender of the value would have set them.
    headers: Option<Headers>,
    value: Vec<u8>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn orders_parks_what_it_cannot_apply_and_goes_on(junk in vec(junk(), 1..12), at in any::<Index>()) {
        goes_on::<Orders>(&junk, at)?;
    }

    #[test]
    fn payments_parks_what_it_cannot_apply_and_goes_on(junk in vec(junk(), 1..12), at in any::<Index>()) {
        goes_on::<Payments>(&junk, at)?;
    }

    #[test]
    fn fulfillment_parks_what_it_cannot_apply_and_goes_on(junk in vec(junk(), 1..12), at in any::<Index>()) {
        goes_on::<Fulfillment>(&junk, at)?;
    }
}

/// An event under the key of another order belongs to nobody: neither order may be changed by it.
#[test]
fn an_event_under_the_key_of_another_order_is_parked() {
    fn check<L: Subject>() {
        let mut world = World::<L>::new();
        world.step(L::placing("a").into_iter().chain(L::placing("b")).collect());
        let before = (world.stored("a").record, world.stored("b").record);
        let mut foreign = delivery(1, L::SOURCES[0], &L::good("b"));
        foreign.key = "a".into();
        let report = world.step(vec![Input::Delivery(foreign)]);
        assert_eq!((report.parked, report.tasks.len()), (1, 0), "{}", L::NAME);
        assert_eq!((world.stored("a").record, world.stored("b").record), before, "{}", L::NAME);
    }
    check::<Orders>();
    check::<Payments>();
    check::<Fulfillment>();
}

fn goes_on<L: Subject>(junk: &[Junk], at: Index) -> Result<(), TestCaseError> {
    let mut world = World::<L>::new();
    world.step(L::placing("a").into_iter().chain(L::placing("beside")).collect());
    let revision = world.stored("beside").revision;
    let deliveries = deliveries::<L>(junk, at);

    let report = world.step(deliveries.iter().cloned().map(Input::Delivery).collect());
    prop_assert_eq!(report.settled.len(), deliveries.len());
    let beside = world.stored("beside");
    prop_assert_eq!(
        (beside.revision, beside.has_parked),
        (revision + 1, false),
        "the order beside it goes on"
    );
    for cursor in block_on(world.store.cursors()).unwrap() {
        let last = deliveries.iter().rfind(|delivery| delivery.origin.source == cursor.source);
        prop_assert_eq!(Some(cursor.position), last.map(|last| last.origin.position));
    }
    for lost in deliveries.iter().filter(|delivery| is_unreadable::<L>(delivery)) {
        let kept = parked(&world, lost);
        prop_assert!(kept.iter().any(|parked| parked.delivery == *lost), "{lost:?} is not among {kept:?}");
    }

    // Whatever was begun by it has an outcome; it comes again; somebody asks for something.
    let done =
        report.tasks.into_iter().map(|task| Input::Task(TaskDone::unknown(task, "nobody knows", false)));
    world.step(done.collect());
    world.step(L::commands("a"));
    world.step(deliveries.iter().cloned().map(Input::Delivery).collect());
    world.step(["a", "beside", "unknown"].map(|order| Input::Sweep(build::id(order))).into());
    for lost in deliveries.iter().filter(|delivery| is_unreadable::<L>(delivery)) {
        let kept = parked(&world, lost);
        let waiting = kept.iter().filter(|parked| parked.delivery == *lost).count();
        prop_assert_eq!(waiting, 1, "what waits already is not parked twice");
    }
    Ok(())
}

/// The junk, with one good delivery among it.
fn deliveries<L: Subject>(junk: &[Junk], at: Index) -> Vec<Delivery> {
    let mut deliveries: Vec<Delivery> = junk
        .iter()
        .map(|junk| {
            let source = junk.source.get(L::SOURCES);
            let headers = junk.headers.clone().unwrap_or_else(|| headers_of(&junk.value));
            raw_delivery(0, source, junk.key.clone().into(), headers, junk.value.clone().into())
        })
        .collect();
    deliveries.insert(at.index(junk.len() + 1), delivery(0, L::SOURCES[0], &L::good("beside")));
    for (delivery, position) in deliveries.iter_mut().zip(1..) {
        delivery.origin.position = position;
    }
    deliveries
}

/// Whether it concerns the service, and nobody can read it.
fn is_unreadable<L: Subject>(delivery: &Delivery) -> bool {
    L::default().wants(delivery) && events::decode(&delivery.value).is_err()
}

fn parked<L: Subject>(world: &World<L>, delivery: &Delivery) -> Vec<Parked> {
    let key = std::str::from_utf8(&delivery.key).ok().and_then(|key| OrderId::parse(key).ok());
    let order = key.unwrap_or_else(|| {
        let origin = &delivery.origin;
        let (lane, position) = (origin.lane.to_string(), origin.position.to_string());
        OrderId::from(derive_uuid("unreadable key", &[&origin.source, &lane, &position]))
    });
    block_on(world.store.parked(&order)).unwrap()
}

fn junk() -> impl Strategy<Value = Junk> {
    let key = prop_oneof![
        4 => Just(b"a".to_vec()),
        1 => Just(b"unknown".to_vec()),
        1 => vec(any::<u8>(), 0..20),
        1 => Just(vec![b'x'; 129]),
    ];
    let any_event = || any::<Index>().prop_map(|which| which.get(golden()).clone());
    let value = prop_oneof![
        1 => garbage::bytes(),
        1 => any_event().prop_map(|event| event.to_string().into_bytes()),
        4 => (any_event(), garbage::changes())
            .prop_map(|(event, changes)| garbage::spoil(&event, &changes).into_bytes()),
        2 => (any_event(), garbage::edits())
            .prop_map(|(event, edits)| garbage::edit(event.to_string().as_bytes(), &edits)),
    ];
    let kind = prop_oneof![prop::sample::select(Payload::TYPES).prop_map(str::to_owned), any::<String>()];
    let step = prop_oneof!["pay|schedule|ship|wait", any::<String>()];
    let headers = prop_oneof![
        4 => Just(None),
        1 => (kind, prop::option::of(step)).prop_map(|(kind, step)| {
            let step = step.into_iter().map(|step| ("stepKind", step));
            Some([("eventType", kind)].into_iter().chain(step).collect())
        }),
        1 => vec((any::<String>(), vec(any::<u8>(), 0..9)), 0..4)
            .prop_map(|pairs| Some(pairs.into_iter().collect())),
    ];
    (any::<Index>(), key, headers, value).prop_map(|(source, key, headers, value)| Junk {
        source,
        key,
        headers,
        value,
    })
}

fn headers_of(value: &[u8]) -> Headers {
    match serde_json::from_slice::<Value>(value) {
        Ok(event) if event["eventType"].is_string() && event["payload"]["orderId"].is_string() => {
            delivery(0, "", &event).headers
        }
        _ => Headers::default(),
    }
}
