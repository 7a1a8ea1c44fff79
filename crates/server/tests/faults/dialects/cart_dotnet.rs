//! `cart-dotnet`: its cart says the whole order at every change, its order service shows what it heard.

use serde_json::{Value, json};

use super::doubles::{
    Golden, Listener, Speaker, ask, beside, get, must_match, only_malformed_is_parked, orders,
    until_all_is_read, waits,
};
use crate::cluster::Cluster;

const ROWS: &str = include_str!("../../all/dialects/kafka/cart-dotnet.jsonl");
const CREATED: &str = "order-created-topic";
const UPDATED: &str = "order-updated-topic";

#[test]
fn the_old_order_service_of_cart_dotnet_hears_the_whole_order_each_time() {
    let (mut cluster, golden) = (beside("cart-dotnet", "back", &[]), Golden::of(ROWS));
    let mut service = Listener::new(&cluster, "order-service-group", &[CREATED, UPDATED]);
    let create = json!({"OrderId": "test", "ItemsNum": 2});
    let answer = ask(&cluster, "POST", "/dialects/cart-dotnet/Order/create-order", &create);
    assert_eq!(answer, (200, json!("Order created successfully")));
    for status in ["shipped", "new"] {
        let update = json!({"orderId": "test", "status": status});
        let answer = ask(&cluster, "PUT", "/dialects/cart-dotnet/Order/update-order", &update);
        assert_eq!(answer, (200, json!("Order updated successfully")));
    }

    let heard = service.until(&mut cluster, 3);
    let (created, updated): (Vec<_>, Vec<_>) = heard.iter().partition(|message| message.topic == CREATED);
    assert_eq!((created.len(), updated.len()), (1, 2), "{heard:#?}");
    let shown = details(&cluster, "test");
    for (message, why, status) in [
        (created[0], "written on create-order {test, 2}: every item", "new"),
        (updated[0], "written on update-order {test, shipped}: the whole order, new status", "shipped"),
        (updated[1], "written on update-order {test, new}: the updated topic, too", "new"),
    ] {
        message.must_be(golden.row(why), "test");
        assert_eq!(message.value, record(&shown, status));
    }
}

#[test]
fn the_old_cart_of_cart_dotnet_is_heard_in_whatever_order() {
    let (mut cluster, golden) = (beside("cart-dotnet", "front", &[]), Golden::of(ROWS));
    let speaker = Speaker::new(&cluster);
    let packed = golden.row("read: early: updated before its created");
    let mut held = packed.clone();
    held["value"]["Status"] = json!("hold");
    speaker.say_all([packed, &held, packed]); // the same word again is news
    cluster.until("what came too early waits", |cluster| waits(cluster, "cart-5"));
    speaker.say(golden.row("read: the created of the early updated"));
    let malformed = golden.malformed(&[CREATED, UPDATED]);
    speaker.say_all(malformed.iter().copied());
    speaker.say(golden.row("read: created, PascalCase as the old producer writes"));
    speaker.say(golden.row("read: duplicate of the created"));
    until_all_is_read(&mut cluster, &[CREATED, UPDATED]);

    only_malformed_is_parked(&cluster, &malformed);
    assert_eq!(orders(&cluster).len(), 2);
    for (topic, id, status) in [(CREATED, "cart-1", "new"), (UPDATED, "cart-5", "packed")] {
        let shown = details(&cluster, id);
        must_match(&expected(id, status), &shown);
        let message = format!("Total orders in topic '{topic}': 1");
        assert_eq!(in_topic(&cluster, topic), (200, json!({"message": message, "orders": [shown]})));
    }
    assert_eq!(in_topic(&cluster, "another"), (400, json!("Invalid topic name.")));
}

/// An order of the golden messages, as the order service shows it.
fn expected(id: &str, status: &str) -> Value {
    let items = json!([{"productId": "Product1", "quantity": 3, "price": 42.0},
        {"productId": "Product2", "quantity": 1, "price": 10.0}]);
    json!({"orderId": id, "customerId": "3f2b8a52-5d0e-4c6f-9a7e-1b2c3d4e5f60", "orderDate": "<time>",
        "items": items, "totalAmount": 136.0, "currency": "USD", "status": status, "shippingCost": 2.72})
}

fn details(cluster: &Cluster, id: &str) -> Value {
    get(cluster, &format!("/dialects/cart-dotnet/order/order-details?orderId={id}"))
}

fn in_topic(cluster: &Cluster, topic: &str) -> (u16, Value) {
    let path = format!("/dialects/cart-dotnet/order/getAllOrderIdsFromTopic?topicName={topic}");
    ask(cluster, "GET", &path, &Value::Null)
}

/// What stands on the topics about an order that is shown so.
fn record(shown: &Value, status: &str) -> Value {
    let item = |item: &Value| {
        let (id, quantity, price) = (&item["productId"], &item["quantity"], &item["price"]);
        json!({"ProductId": id, "Quantity": quantity, "Price": price})
    };
    let items: Vec<Value> = shown["items"].as_array().unwrap().iter().map(item).collect();
    json!({"OrderId": shown["orderId"], "CustomerId": shown["customerId"],
        "OrderDate": invariant(shown["orderDate"].as_str().unwrap()), "Items": items,
        "TotalAmount": shown["totalAmount"], "Currency": shown["currency"], "Status": status})
}

/// `01/18/2024 12:00:00` for `2024-01-18T12:00:00.5Z`
fn invariant(iso: &str) -> String {
    format!("{}/{}/{} {}", &iso[5..7], &iso[8..10], &iso[..4], &iso[11..19])
}
