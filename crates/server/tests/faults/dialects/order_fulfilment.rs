//! `order-fulfilment`: its front and its two workers hear each other on three topics.

use serde_json::{Value, json};
use uuid::Uuid;

use super::doubles::{
    Golden, Heard, Listener, Speaker, about, ask, asked_of_us, beside, get, listened_to,
    only_malformed_is_parked, order, orders, parked, until_all_is_read, waits,
};
use crate::cluster::Cluster;

const ROWS: &str = include_str!("../../all/dialects/kafka/order-fulfilment.jsonl");
const ORDERS: &str = "orders.events.v1";
const PAYMENTS: &str = "payments.events.v1";
const FULFILLMENT: &str = "fulfillment.events.v1";
/// Three days from when the old fulfilment worker lives.
const ETA: &str = "2025-01-23T21:09:00";

#[test]
fn the_old_workers_of_order_fulfilment_pay_and_schedule_what_we_take() {
    let (mut cluster, golden) = (beside("order-fulfilment", "back", &[]), Golden::of(ROWS));
    let speaker = Speaker::new(&cluster);
    let mut payments = Listener::new(&cluster, "payment-worker-v1", &[ORDERS]);
    let mut fulfilment = Listener::new(&cluster, "fulfillment-worker-v1", &[PAYMENTS]);
    let (paid, early) = (place(&cluster, "success"), place(&cluster, "success"));
    let declined = place(&cluster, "fail");
    let heard = payments.until(&mut cluster, 3);
    for id in [&paid, &early] {
        about(&heard, id).must_be(golden.row("written on POST /orders, scenario success"), id);
        says_whose_it_is(&cluster, about(&heard, id));
    }
    says_whose_it_is(&cluster, about(&heard, &declined));

    let created = about(&heard, &paid);
    for _ in 0..2 {
        speaker.say(&event(created, PAYMENTS, "PaymentAuthorizedV1", json!({})));
    }
    let why = json!({"reason": "Card declined (demo)"});
    speaker.say(&event(about(&heard, &declined), PAYMENTS, "PaymentFailedV1", why));
    for outcome in fulfilment.until(&mut cluster, 3) {
        // It never acts twice on one event, but these are two.
        if outcome.value["eventType"] == "PaymentAuthorizedV1" {
            speaker.say(&scheduled(&outcome));
        }
    }
    cluster.until("one is scheduled", |cluster| status(cluster, &paid) == "FulfillmentScheduled");
    cluster.until("one has failed", |cluster| status(cluster, &declined) == "PaymentFailed");

    let created = about(&heard, &early);
    speaker.say(&scheduled(created));
    cluster.until("what came too early waits", |cluster| waits(cluster, &early));
    assert_eq!(status(&cluster, &early), "Created");
    speaker.say(&event(created, PAYMENTS, "PaymentAuthorizedV1", json!({})));
    cluster.until("it waits no more", |cluster| status(cluster, &early) == "FulfillmentScheduled");

    until_all_is_read(&mut cluster, &[PAYMENTS, FULFILLMENT]);
    assert_eq!(parked(&cluster), Vec::<Value>::new());
    for (id, outcome) in [(&paid, "completed"), (&early, "completed"), (&declined, "failed")] {
        assert_eq!(order(&cluster, id)["status"], outcome);
        assert_eq!(asked_of_us(&cluster, id), Vec::<Value>::new());
    }
    cluster.verify(); // our ledger is not expected to show what others did
    for id in [&paid, &early] {
        let shipments = &order(&cluster, id)["shipments"];
        assert_eq!(shipments.as_array().unwrap().len(), 1, "{shipments:#}");
        assert!(shipments[0]["eta"].as_str().unwrap().starts_with(ETA), "{shipments:#}");
    }
    assert_eq!(payments.heard().len(), 3);
}

#[test]
fn the_old_front_of_order_fulfilment_hears_what_became_of_its_orders() {
    let (mut cluster, golden) = (beside("order-fulfilment", "front", &[]), Golden::of(ROWS));
    let mut front = Listener::new(&cluster, "front", &[PAYMENTS, FULFILLMENT]);
    let speaker = Speaker::new(&cluster);
    let (success, fail) = (
        golden.row("read: OrderCreatedV1 as the old order service writes"),
        golden.row("read: OrderCreatedV1, no headers"),
    );
    speaker.say(success);
    speaker.say_all(golden.rows(&[
        "read: duplicate, the same eventId: paid once",
        "read: the same order under another eventId: paid once",
    ]));
    let malformed = golden.malformed(&[ORDERS]);
    speaker.say_all(malformed.iter().copied());
    speaker.say(fail);

    let heard = front.until(&mut cluster, 3);
    until_all_is_read(&mut cluster, &[ORDERS]);
    went_well(&heard, &golden, &success["value"]);
    was_declined(&heard, &golden, &fail["value"]);
    assert_eq!(orders(&cluster).len(), 2);
    only_malformed_is_parked(&cluster, &malformed);
    cluster.verify(); // one charge, and none
    assert_eq!(front.heard().len(), 3, "each is said once");
}

#[test]
fn both_halves_of_order_fulfilment_may_be_ours_and_its_topics_are_written_all_the_same() {
    let (mut cluster, golden) = (beside("order-fulfilment", "none", &[]), Golden::of(ROWS));
    let mut anybody = Listener::new(&cluster, "anybody", &[ORDERS, PAYMENTS, FULFILLMENT]);
    let (good, bad) = (place(&cluster, "success"), place(&cluster, "fail"));
    let heard = anybody.until(&mut cluster, 5);
    let created = |id: &str| heard.iter().find(|one| one.key == id && one.topic == ORDERS).unwrap();
    created(&good).must_be(golden.row("written on POST /orders, scenario success"), &good);
    says_whose_it_is(&cluster, created(&good));
    went_well(&heard, &golden, &created(&good).value);
    was_declined(&heard, &golden, &created(&bad).value);
    cluster.until("one is scheduled", |cluster| status(cluster, &good) == "FulfillmentScheduled");
    cluster.until("one has failed", |cluster| status(cluster, &bad) == "PaymentFailed");

    let listened_to = listened_to(&mut cluster);
    for topic in [ORDERS, PAYMENTS, FULFILLMENT] {
        assert!(!listened_to.contains(topic), "what we say ourselves we know: {listened_to}");
    }
    assert_eq!(orders(&cluster).len(), 2);
    cluster.verify();
    assert_eq!(anybody.heard().len(), 5, "each is said once");
}

/// Fails unless an order was paid and scheduled, each event because of the one before it.
fn went_well(heard: &[Heard], golden: &Golden, created: &Value) {
    let id = created["payload"]["orderId"].as_str().unwrap();
    let (paid, scheduled) = (said(heard, PAYMENTS, id), said(heard, FULFILLMENT, id));
    paid.must_be(golden.row("written when we authorise"), id);
    scheduled.must_be(golden.row("written when we schedule; etaUtc three days ahead"), id);
    follows(paid, created);
    follows(scheduled, &paid.value);
    assert_ne!(paid.value["eventId"], scheduled.value["eventId"]);
    let moment = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let ahead = moment(&scheduled.value["payload"]["etaUtc"]) - moment(&scheduled.value["occurredAt"]);
    let hours = ahead.total(jiff::Unit::Hour).unwrap().round();
    assert!((71.0..=73.0).contains(&hours), "three days ahead, not {hours} hours");
}

/// Fails unless an order was declined, and nothing came of it.
fn was_declined(heard: &[Heard], golden: &Golden, created: &Value) {
    let id = created["payload"]["orderId"].as_str().unwrap();
    let failed = said(heard, PAYMENTS, id);
    failed.must_be(golden.row("written when we decline"), id);
    follows(failed, created);
    assert!(!heard.iter().any(|one| one.key == id && one.topic == FULFILLMENT), "{heard:#?}");
}

/// What was said of an order on a topic, once.
fn said<'a>(heard: &'a [Heard], topic: &str, id: &str) -> &'a Heard {
    let all: Vec<&Heard> = heard.iter().filter(|one| one.topic == topic && one.key == id).collect();
    assert_eq!(all.len(), 1, "on {topic} of {id}: {heard:#?}");
    all[0]
}

/// Fails unless an event was caused by this one, and belongs to the same order.
fn follows(event: &Heard, cause: &Value) {
    assert_eq!(event.value["causationId"], cause["eventId"], "{event:#?}");
    assert_eq!(event.value["correlationId"], cause["correlationId"], "{event:#?}");
    assert_eq!(event.value["payload"]["orderId"], event.key, "{event:#?}");
    carries_its_headers(event);
}

/// Fails unless a new order is said with the ids that its client was answered.
fn says_whose_it_is(cluster: &Cluster, created: &Heard) {
    assert_eq!(created.value["payload"]["orderId"], created.key);
    assert_eq!(created.value["correlationId"], order(cluster, &created.key)["correlationId"]);
    carries_its_headers(created);
}

fn carries_its_headers(event: &Heard) {
    for name in ["eventType", "correlationId"] {
        assert_eq!(event.value[name], event.headers[name], "{event:#?}");
    }
}

fn place(cluster: &Cluster, scenario: &str) -> String {
    let body = json!({"customerEmail": "user@example.com", "productType": "Phone", "country": "us",
        "paymentScenario": scenario});
    let (status, answer) = ask(cluster, "POST", "/dialects/order-fulfilment/orders", &body);
    assert_eq!(status, 201, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

fn status(cluster: &Cluster, id: &str) -> Value {
    get(cluster, &format!("/dialects/order-fulfilment/orders/{id}"))["status"].clone()
}

/// What an old worker says, because of this event.
fn event(cause: &Heard, topic: &str, kind: &str, facts: Value) -> Value {
    let mut payload = json!({"orderId": cause.key});
    payload.as_object_mut().unwrap().extend(facts.as_object().unwrap().clone());
    let correlation = &cause.value["correlationId"];
    let value = json!({"eventId": Uuid::now_v7(), "eventType": kind, "eventVersion": 1,
        "occurredAt": "2025-01-20T21:09:00.1234567+00:00", "correlationId": correlation,
        "causationId": cause.value["eventId"], "payload": payload});
    let headers = json!({"eventType": kind, "correlationId": correlation});
    json!({"topic": topic, "key": cause.key, "headers": headers, "value": value})
}

fn scheduled(cause: &Heard) -> Value {
    event(cause, FULFILLMENT, "FulfillmentScheduledV1", json!({"etaUtc": format!("{ETA}.1234567+00:00")}))
}
