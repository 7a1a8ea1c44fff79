//! The forms against golden messages, and against each other.

use cartwright_core::{
    domain::{flow::StepKind, order::Report},
    services::{PlaceOrder, Saying},
};
use serde_json::Value;

use super::*;

mod garbage;
mod lives;
mod round_trip;

/// The same patterns as in the tables of HTTP calls.
#[path = "../../../../tests/all/dialects/pattern.rs"]
#[allow(dead_code, reason = "the tables check sums, too")]
mod pattern;

/// A dialect, its form, and its golden messages.
type Golden = (&'static str, Form, &'static str);

macro_rules! golden {
    ($name:literal, $form:ident) => {
        ($name, $form::FORM, include_str!(concat!("../../../../tests/all/dialects/kafka/", $name, ".jsonl")))
    };
}

const GOLDEN: [Golden; 5] = [
    golden!("cart-dotnet", cart_dotnet),
    golden!("cart-fastapi", cart_fastapi),
    golden!("order-fulfilment", order_fulfilment),
    golden!("order-processing", order_processing),
    golden!("order-tracking", order_tracking),
];

#[test]
fn every_golden_message_is_understood_or_refused() {
    for (name, form, row) in rows("read") {
        let why = format!("{name}: {}", row["why"]);
        let headers = headers(&row);
        let (key, value) = (row["key"].as_str().unwrap(), value(&row));
        let topic = row["topic"].as_str().unwrap();
        let message = Message { key: key.as_bytes(), ..message(topic, &headers, &value) };
        let read = (form.read)(&message);
        if row["malformed"] == true {
            let reason = read.expect_err(&why);
            assert!((10..150).contains(&reason.len()), "{why}: {reason}");
            continue;
        }
        let said = read.unwrap_or_else(|reason| panic!("{why}: {reason}"));
        assert_eq!(
            (said.dialect, said.order.as_str()),
            (name, OrderId::parse(key).unwrap().as_str()),
            "{why}"
        );
        let stated = ["eventId", "EventId", "event_id"].iter().find_map(|id| row["value"][id].as_str());
        if let Some(stated) = stated {
            assert_eq!(said.event_id.to_string(), stated, "{why}");
        }
        assert_eq!(told(&said), expected(topic, &row["value"]), "{why}");
        let again = (form.read)(&Message { key: b"", ..message }).unwrap();
        assert_eq!(again.event_id, said.event_id, "{why}: a repeat, without a key");
        let other = (form.read)(&Message { key: b"f0000000-0000-4000-8000-00000000000f", ..message });
        assert!(other.unwrap_err().starts_with("the key must be"), "{why}");
    }
}

#[test]
fn every_golden_message_is_written() {
    for (name, form, row) in rows("written") {
        let why = format!("{name}: {}", row["why"]);
        let life = lives::of(name, &row);
        let letters = if why.contains("PascalCase") { Letters::Pascal } else { Letters::Camel };
        let written = life.written(form, letters);
        assert_eq!(written.len(), life.messages, "{why}: {written:?}");
        assert!(written.iter().all(|w| form.front.contains(&w.topic) || form.back.contains(&w.topic)));
        let differences: Vec<String> = written.iter().filter_map(|written| differs(&row, written)).collect();
        assert!(differences.len() < written.len(), "{why}: {differences:#?}");
    }
}

#[test]
fn a_worker_s_message_names_what_caused_it() {
    let paid = lives::paid("success").written(order_fulfilment::FORM, Letters::Camel);
    let declined = lives::paid("fail").written(order_fulfilment::FORM, Letters::Camel);
    let field = |written: &Written, name| parsed(written)[name].clone();
    for (effect, cause) in [(&paid[1], &paid[0]), (&paid[2], &paid[1]), (&declined[1], &declined[0])] {
        assert_eq!(field(effect, "causationId"), field(cause, "eventId"));
        assert_eq!(field(effect, "correlationId"), field(cause, "correlationId"));
    }
    let again = lives::paid("success").written(order_fulfilment::FORM, Letters::Camel);
    let ids = |all: &[Written]| all.iter().map(|w| field(w, "eventId")).collect::<Vec<_>>();
    assert_eq!(ids(&paid), ids(&again), "the same facts of the same order");
}

#[test]
fn what_a_neighbour_takes_is_paid_as_its_scenario_wishes() {
    let mut seen = 0;
    for (_, form, row) in rows("read").filter(|(name, ..)| *name == "order-fulfilment") {
        let why = row["why"].as_str().unwrap();
        let wish = match () {
            () if why.ends_with("even code: authorised") => "success",
            () if why.ends_with("odd code: failed") || why.ends_with("empty: failed") => "decline",
            () => continue,
        };
        seen += 1;
        let (headers, value) = (headers(&row), value(&row));
        let place = placed((form.read)(&message("orders.events.v1", &headers, &value)).unwrap());
        assert_eq!(place.intent.scenario.as_deref(), Some(wish), "{why}");
    }
    assert_eq!(seen, 3);
}

#[test]
fn amounts_are_kept_as_they_were_stated() {
    for (_, form, row) in rows("read").filter(|(_, _, row)| row["malformed"] != true) {
        let record = &row["value"];
        let Some(total) = ["/TotalAmount", "/totalAmount", "/order/total_amount"]
            .iter()
            .find_map(|at| record.pointer(at).and_then(Value::as_f64))
        else {
            continue;
        };
        let (headers, value, topic) = (headers(&row), value(&row), row["topic"].as_str().unwrap());
        let said = (form.read)(&message(topic, &headers, &value)).unwrap();
        let Saying::Placed(place) = said.what else { continue };
        let placed = &*place.placed;
        let scale = placed.scale.unwrap_or_else(|| placed.currency.scale());
        let kept = placed.totals.total as f64 / 10_f64.powi(scale.into());
        assert!((kept - total).abs() < 1e-6, "{}: {kept} is not {total}", row["why"]);
    }
}

/// The golden rows of one direction.
fn rows(direction: &'static str) -> impl Iterator<Item = (&'static str, Form, Value)> {
    GOLDEN.into_iter().flat_map(move |(name, form, rows)| {
        let rows = rows.lines().map(|row| serde_json::from_str(row).unwrap());
        rows.filter(move |row: &Value| row["direction"] == direction).map(move |row| (name, form, row))
    })
}

fn headers(row: &Value) -> Headers {
    let headers = row["headers"].as_object().into_iter().flatten();
    headers.map(|(name, value)| (name, value.as_str().unwrap())).collect()
}

/// The bytes of a row: raw ones, or its value.
fn value(row: &Value) -> Vec<u8> {
    match row.get("raw") {
        Some(raw) => raw.as_str().unwrap_or_default().into(),
        None => serde_json::to_vec(&row["value"]).unwrap(),
    }
}

/// A message without a key, at no place in particular.
fn message<'a>(topic: &'a str, headers: &'a Headers, value: &'a [u8]) -> Message<'a> {
    Message { topic, key: b"", headers, value, place: Uuid::nil() }
}

/// What was said, in short.
fn told(said: &Said) -> String {
    match &said.what {
        Saying::Placed(place) => {
            assert_eq!((&place.id, place.put), (&said.order, false));
            assert_eq!(place.placed.dialect.as_deref(), Some(said.dialect));
            assert_eq!(place.placed_by.caller, format!("{} neighbour", said.dialect));
            assert_eq!(place.placed_by.key, Some(said.event_id.to_string()));
            assert!(place.variation.taken);
            format!("placed {} {:?}", place.placed.lines.len(), place.variation.word)
        }
        Saying::Word(word) => format!("word {word}"),
        Saying::Step { kind, report, eta } => format!("{kind:?} {report:?} {}", eta.is_some()),
    }
}

/// The same as the row has it.
fn expected(topic: &str, value: &Value) -> String {
    let value = in_camel(value.clone());
    let items = value["items"].as_array().or(value["order"]["items"].as_array()).map_or(1, Vec::len);
    let kind = value["eventType"].as_str().or(value["event_type"].as_str()).unwrap_or(topic);
    let step = |kind: StepKind, report: Report, eta| format!("{kind:?} {report:?} {eta}");
    match kind {
        "ORDER_CREATED" => format!("placed {items} {:?}", Some(value["order"]["status"].as_str().unwrap())),
        "order-created-topic" => format!("placed {items} {:?}", Some("new")),
        "orders" | "OrderCreated" | "OrderCreatedV1" => format!("placed {items} None"),
        "ORDER_STATUS_UPDATED" | "order-updated-topic" => {
            format!("word {}", value["status"].as_str().unwrap())
        }
        "PaymentAuthorizedV1" => step(StepKind::Pay, Report::Done, false),
        "FulfillmentScheduledV1" => step(StepKind::Schedule, Report::Done, true),
        "PaymentFailedV1" => {
            let reason = value["payload"]["reason"].as_str().unwrap().to_owned();
            step(StepKind::Pay, Report::Refused { reason }, false)
        }
        _ => panic!("{kind} is none of the forms'"),
    }
}

fn in_camel(value: Value) -> Value {
    let lower = |name: String| name[..1].to_ascii_lowercase() + &name[1..];
    match value {
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (lower(name), in_camel(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(in_camel).collect(),
        other => other,
    }
}

fn differs(row: &Value, written: &Written) -> Option<String> {
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes));
    let headers: Value = written.headers.iter().map(|(n, v)| (n.to_owned(), text(v))).collect();
    let found = serde_json::json!({
        "topic": written.topic, "key": written.key, "headers": headers, "value": parsed(written),
    });
    let mut row = row.clone();
    let row = row.as_object_mut().unwrap();
    row.retain(|name, _| matches!(&**name, "topic" | "key" | "headers" | "value"));
    row.entry("headers").or_insert_with(|| serde_json::json!({}));
    pattern::differs(&Value::Object(row.clone()), &found, "")
}

fn parsed(written: &Written) -> Value {
    serde_json::from_slice(&written.value).unwrap()
}

fn placed(said: Said) -> PlaceOrder {
    match said.what {
        Saying::Placed(place) => *place,
        other => panic!("{other:?} places nothing"),
    }
}
