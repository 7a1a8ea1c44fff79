//! What a form writes of a new order, it reads as the same order.

use cartwright_core::{
    domain::{
        frozen::Frozen,
        order::{Actor, PaymentIntent, Placed, PlacedBy},
        time::Timestamp,
    },
    events::{OrderCreatedV1, OrderEventV1, Payload},
};
use proptest::prelude::*;
use uuid::Uuid;

use super::{
    super::super::{
        carts,
        decimal::Decimal,
        goods::Item,
        order_fulfilment::{self as fulfilment, Asked},
        order_tracking as tracking,
    },
    *,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_new_order_is_read_as_it_was_written(
        id in any::<u128>(),
        name in "[a-zA-Z\"üλ\\\\]([ -~]{0,40}[a-z])?",
        quantity in 1..=1_000_u32,
        price in "[1-9][0-9]{0,4}(\\.[0-9]{1,6})?",
        items in 1..5_usize,
    ) {
        let id = Uuid::from_u128(id);
        let exact = Decimal::parse(&price).unwrap();
        let item = |n| Item { sku: format!("{name}{n}"), name: None, quantity, price: Some(exact) };
        let items: Vec<Item> = (0..items).map(item).collect();
        let dollars = cartwright_core::domain::money::Currency::parse("USD").unwrap();
        let n = items.len();
        for (form, id, placed, word) in [
            (order_tracking::FORM, id.to_string(), tracking::placed(7, name.clone(), quantity, exact).ok(), None),
            (cart_dotnet::FORM, name.clone(), carts::placed("cart-dotnet", name.clone(), dollars, items), Some("new")),
            (cart_fastapi::FORM, "ORD-77".into(),
                Some(lives::goods("cart-fastapi", "manual", &name, (&name, &price), n)), Some("pending")),
            (order_fulfilment::FORM, id.to_string(), asked(&name), None),
        ] {
            for letters in [Letters::Camel, Letters::Pascal] {
                check(form, &id, placed.clone().unwrap(), word, letters);
            }
        }
    }
}

#[test]
fn an_order_without_prices_is_read_in_either_spelling() {
    let (form, place) = first_taken("order-processing");
    for letters in [Letters::Camel, Letters::Pascal] {
        check(form, place.id.as_str(), (*place.placed).clone(), None, letters);
    }
}

#[test]
fn an_order_keeps_the_date_on_which_its_neighbour_took_it() {
    for (system, date) in [
        ("cart-dotnet", "2024-01-18T12:00:00Z"),
        ("cart-fastapi", "2024-01-18T12:00:00Z"),
        ("order-tracking", "2025-01-20T21:09:00Z"),
        ("order-processing", "2025-01-20T21:09:00Z"),
    ] {
        let (_, place) = first_taken(system);
        assert_eq!(place.placed.taken_at, Timestamp::parse(date), "{system}");
    }
}

#[test]
fn an_order_of_a_neighbour_is_told_under_the_neighbour_s_id() {
    let order = order("0198c0de-0000-7000-8000-000000000004", asked("x").unwrap(), None);
    let (form, no_headers) = (order_fulfilment::FORM, Headers::default());
    let first = (form.write)(&created(&order), &order, Letters::Camel).remove(0);
    let mut changed = parsed(&first);
    changed["eventId"] = Uuid::from_u128(77).to_string().into();
    let value = serde_json::to_vec(&changed).unwrap();
    let place = placed((form.read)(&message(first.topic, &no_headers, &value)).unwrap());
    let taken = Order { placed_by: place.placed_by, ..order };
    let second = (form.write)(&created(&taken), &taken, Letters::Camel).remove(0);
    assert_eq!(parsed(&second)["eventId"], changed["eventId"]);
}

/// The order that a system's first golden message tells of.
fn first_taken(system: &str) -> (Form, PlaceOrder) {
    let (_, form, row) = rows("read").find(|(name, ..)| *name == system).unwrap();
    let (no_headers, value) = (Headers::default(), value(&row));
    (form, placed((form.read)(&message(form.front[0], &no_headers, &value)).unwrap()))
}

fn asked(name: &str) -> Option<Placed> {
    let text = |text: &str| Some(text.to_owned());
    let asked = Asked::of(text("user@example.com"), text(name), text("de"), text("fail"));
    fulfilment::placed(asked.ok()?)
}

fn check(form: Form, id: &str, placed: Placed, word: Option<&str>, letters: Letters) {
    let order = order(id, placed, word);
    let event = created(&order);
    let written = (form.write)(&event, &order, letters);
    let [written] = &written[..] else { panic!("one message, not {written:?}") };
    assert_eq!(written.key, order.id);
    let key = written.key.as_str().as_bytes();
    let message = Message { key, ..message(written.topic, &written.headers, &written.value) };
    let place = super::placed((form.read)(&message).unwrap());
    // With the date on which it was taken.
    let taken_at = Some(order.placed.taken_at.unwrap_or(order.created_at));
    let placed = Placed { taken_at, ..(*order.placed).clone() };
    assert_eq!((&place.id, &*place.placed, &place.variation.word), (&order.id, &placed, &order.word));
}

fn order(id: &str, placed: Placed, word: Option<&str>) -> Order {
    let placed_by = PlacedBy { caller: "test".into(), key: None, fingerprint: "f".into() };
    let (id, intent, now) =
        (OrderId::parse(id).unwrap(), PaymentIntent::default(), Timestamp::from_micros(1_000_000));
    let order = Order::place(id, 1, Frozen::new(placed), intent, placed_by, Uuid::from_u128(9), now);
    Order { word: word.map(str::to_owned), ..order }
}

fn created(order: &Order) -> Envelope {
    let at = OrderEventV1 {
        order_id: order.id.clone(),
        version: order.version,
        status: order.status,
        word: order.word.clone(),
        milestone: order.milestone,
    };
    Envelope {
        event_id: Uuid::from_u128(1),
        occurred_at: order.created_at,
        correlation_id: order.correlation_id,
        causation_id: None,
        source: "orders".to_owned(),
        sequence: 1,
        actor: Actor::api("test"),
        payload: Payload::OrderCreated(OrderCreatedV1 { at, number: 1, order: order.placed.clone() }),
    }
}
