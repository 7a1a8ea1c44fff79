//! `order-tracking`: its background consumer hears of orders and keeps to itself what became of them.

use serde_json::{Value, json};

use super::doubles::{
    Golden, Listener, Speaker, ask, asked_of_us, beside, get, must_match, only_malformed_is_parked, order,
    orders, until_all_is_read,
};

const ROWS: &str = include_str!("../../all/dialects/kafka/order-tracking.jsonl");
const ORDERS: &str = "/dialects/order-tracking/api/orders";
const TOPIC: &str = "orders";

#[test]
fn the_old_consumer_of_order_tracking_works_on_what_we_take() {
    // If we waited, too, it would be over at once.
    let at_once = ("dialects.order_tracking.processing_ms", "0");
    let (mut cluster, golden) = (beside("order-tracking", "back", &[at_once]), Golden::of(ROWS));
    let mut consumer = Listener::new(&cluster, "order-consumer-group", &[TOPIC]);
    let body = json!({"userId": 1, "productName": "Gaming Laptop", "quantity": 2, "price": 1299.99});
    let (status, placed) = ask(&cluster, "POST", ORDERS, &body);
    assert_eq!((status, &placed["data"]["status"]), (200, &json!("PLACED")), "{placed}");
    let id = placed["data"]["orderId"].as_str().unwrap();
    let heard = consumer.until(&mut cluster, 1);
    heard[0].must_be(golden.row("written on POST /api/orders"), id);
    assert_eq!(heard[0].value["OrderId"], id);
    assert_eq!(heard[0].value["CreatedAt"], placed["data"]["createdAt"]);

    // One of our own, placed later, which takes longer: by its end the other one would have ended, too.
    let body = json!({"customer": {"id": "c-1"}, "currency": "USD", "flow": "processing",
        "lines": [{"sku": "a", "quantity": 1, "unitPrice": 500}]});
    let (status, own) = ask(&cluster, "POST", "/v1/orders", &body);
    assert_eq!(status, 201, "{own}");
    let own = own["id"].as_str().unwrap();
    cluster.until("our own order is completed", |cluster| order(cluster, own)["status"] == "completed");

    let ours = order(&cluster, id);
    assert_eq!((&ours["status"], &ours["waitingFor"]["kind"]), (&json!("open"), &json!("wait")), "{ours:#}");
    assert_eq!(ours["neighbours"], json!(["wait"]));
    let waiting = get(&cluster, "/v1/admin/waiting?service=neighbour");
    assert_eq!(waiting["waiting"].as_array().unwrap().len(), 1, "{waiting:#}");
    assert_eq!(waiting["waiting"][0]["order"], id);
    assert_eq!(asked_of_us(&cluster, id), Vec::<Value>::new());
    assert_eq!(asked_of_us(&cluster, own).len(), 1, "of our own step we tell");
    let shown = get(&cluster, &format!("{ORDERS}/{id}"));
    assert_eq!(shown["data"], placed["data"], "what became of it only its consumer knows");
    assert_eq!(consumer.heard().len(), 1);
}

#[test]
fn orders_of_the_old_front_of_order_tracking_are_completed_once() {
    let (mut cluster, golden) = (beside("order-tracking", "front", &[]), Golden::of(ROWS));
    let speaker = Speaker::new(&cluster);
    speaker.say_all(golden.rows(&[
        "read: PascalCase as the old producer writes",
        "read: duplicate: processed once",
        "read: camelCase",
        "read: duplicate in the other case: processed once",
    ]));
    let malformed = golden.malformed(&[TOPIC]);
    speaker.say_all(malformed.iter().copied());
    speaker.say(golden.row("read: after malformed ones the next is read"));

    let ids = ["01", "02", "10"].map(|end| format!("b1b2c3d4-0000-4000-8000-0000000000{end}"));
    cluster.until("all are completed", |cluster| {
        get(cluster, &format!("{ORDERS}/status/completed"))["message"]
            == "Retrieved 3 orders with status 'completed'"
    });
    until_all_is_read(&mut cluster, &[TOPIC]);
    assert_eq!(orders(&cluster).len(), ids.len());
    for id in &ids {
        let expected = json!({"orderId": id, "userId": 1, "productName": "Gaming Laptop", "quantity": 2,
            "price": 1299.99, "totalAmount": 2599.98, "status": "COMPLETED", "createdAt": "<time>",
            "processedAt": "<time>"});
        must_match(&expected, &get(&cluster, &format!("{ORDERS}/{id}"))["data"]);
        assert_eq!(asked_of_us(&cluster, id).len(), 1, "a duplicate is no second order");
    }
    only_malformed_is_parked(&cluster, &malformed);
    cluster.verify();
}
