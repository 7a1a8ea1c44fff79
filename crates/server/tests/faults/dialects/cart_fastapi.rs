//! `cart-fastapi`: its cart says what was made and how it is called since, its order service shows what it heard.

use serde_json::{Value, json};

use super::doubles::{
    Golden, Heard, Listener, Speaker, ask, beside, get, listened_to, must_match, only_malformed_is_parked,
    orders, until_all_is_read, waits,
};
use crate::cluster::Cluster;

const ROWS: &str = include_str!("../../all/dialects/kafka/cart-fastapi.jsonl");
const TOPIC: &str = "orders.events";

#[test]
fn the_old_order_service_of_cart_fastapi_hears_what_was_made_and_each_status() {
    let (mut cluster, golden) = (beside("cart-fastapi", "back", &[]), Golden::of(ROWS));
    hears_a_cart(&mut cluster, &golden);
}

#[test]
fn both_halves_of_cart_fastapi_may_be_ours_and_its_topic_is_written_all_the_same() {
    let (mut cluster, golden) = (beside("cart-fastapi", "none", &[]), Golden::of(ROWS));
    hears_a_cart(&mut cluster, &golden);
    assert!(!listened_to(&mut cluster).contains(TOPIC), "what we say ourselves we know");
    assert_eq!(ids_in_topic(&cluster), ["ORD-123"; 3]);
    assert_eq!(orders(&cluster).len(), 1);

    // Should an old cart come to stay, we listen from the beginning on, and know our own words again.
    cluster.signal("orders", "TERM");
    cluster.set("dialects.cart_fastapi.stays", "front");
    cluster.restart("orders");
    cluster.wait_until_ready();
    until_all_is_read(&mut cluster, &[TOPIC]);
    assert_eq!(ids_in_topic(&cluster), ["ORD-123"; 3]);
}

#[test]
fn the_old_cart_of_cart_fastapi_is_heard_in_whatever_order() {
    let (mut cluster, golden) = (beside("cart-fastapi", "front", &[]), Golden::of(ROWS));
    assert!(listened_to(&mut cluster).contains(TOPIC));
    let speaker = Speaker::new(&cluster);
    speaker.say(golden.row("read: early: a status before its ORDER_CREATED is kept"));
    cluster.until("what came too early waits", |cluster| waits(cluster, "ORD-2"));
    speaker.say(golden.row("read: the ORDER_CREATED: the early status applies"));
    let malformed = golden.malformed(&[TOPIC]);
    speaker.say_all(malformed.iter().copied());
    speaker.say_all(golden.rows(&[
        "read: ORDER_CREATED",
        "read: duplicate, the same event_id: ignored",
        "read: a second ORDER_CREATED with other contents: ignored",
        "read: ORDER_STATUS_UPDATED",
    ]));
    until_all_is_read(&mut cluster, &[TOPIC]);

    only_malformed_is_parked(&cluster, &malformed);
    assert_eq!(orders(&cluster).len(), 2);
    for id in ["ORD-1", "ORD-2"] {
        must_match(&expected(id, "confirmed"), &details(&cluster, id));
    }
    let ids = ids_in_topic(&cluster);
    let times = |id: &str| ids.iter().filter(|one| *one == id).count();
    assert_eq!((times("ORD-1"), times("ORD-2"), ids.len()), (4, 2, 6), "duplicates count: {ids:?}");
}

/// Makes an order and calls it otherwise twice: an old order service hears just that.
fn hears_a_cart(cluster: &mut Cluster, golden: &Golden) {
    let mut service = Listener::new(cluster, "order-service", &[TOPIC]);
    let create = json!({"order_id": "123", "number_of_items": 3});
    let (status, answer) = ask(cluster, "POST", "/dialects/cart-fastapi/create-order", &create);
    assert_eq!((status, &answer["orderId"]), (200, &json!("ORD-123")), "{answer}");
    for status in ["confirmed", "shipped"] {
        let update = json!({"order_id": "ORD-123", "status": status});
        let (status, answer) = ask(cluster, "PUT", "/dialects/cart-fastapi/update-order", &update);
        assert_eq!(status, 200, "{answer}");
    }
    let heard = service.until(cluster, 3);
    for (message, why) in heard.iter().zip([
        "written on create-order {ORD-123, 3}: every item",
        "written on update-order {123, confirmed}",
        "written on update-order {123, shipped}",
    ]) {
        message.must_be(golden.row(why), "ORD-123");
    }
    let shown = details(cluster, "123");
    assert_eq!(heard[0].value["order"], record(&shown["order"]));
    let mut ids: Vec<&str> = heard.iter().map(event_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((ids.len(), service.heard().len()), (3, 3));
}

fn event_id(message: &Heard) -> &str {
    message.value["event_id"].as_str().unwrap()
}

/// What stands on the topic about an order that is shown so.
fn record(shown: &Value) -> Value {
    let item = |item: &Value| {
        let (id, quantity, price) = (&item["itemId"], &item["quantity"], &item["price"]);
        json!({"item_id": id, "quantity": quantity, "price": price})
    };
    let items: Vec<Value> = shown["items"].as_array().unwrap().iter().map(item).collect();
    json!({"order_id": shown["orderId"], "customer_id": shown["customerId"], "order_date": shown["orderDate"],
        "items": items, "total_amount": shown["total_amount"], "currency": shown["currency"], "status": "new"})
}

/// An order of the golden messages, as the order service shows it.
fn expected(id: &str, status: &str) -> Value {
    let items = json!([{"itemId": "ITEM-007", "quantity": 3, "price": 42.5},
        {"itemId": "ITEM-100", "quantity": 1, "price": 22.5}]);
    json!({"order": {"orderId": id, "customerId": "CUST-00042", "orderDate": "<time>", "items": items,
        "totalAmount": 150.0, "total_amount": 150.0, "currency": "USD", "status": status}, "shippingCost": 3.0})
}

fn details(cluster: &Cluster, id: &str) -> Value {
    get(cluster, &format!("/dialects/cart-fastapi/order-details?orderId={id}"))
}

fn ids_in_topic(cluster: &Cluster) -> Vec<String> {
    let answer = get(cluster, &format!("/dialects/cart-fastapi/getAllOrderIdsFromTopic?topicName={TOPIC}"));
    serde_json::from_value(answer["orderIds"].clone()).unwrap()
}
