//! `POST /v1/orders` and `PUT /v1/orders/{id}`.

use serde_json::{Value, json};

use crate::harness::{ORDERS, PAUSED, Shop, fields, path, small, small_with, text};

/// An order with everything that a client can state.
fn full() -> Value {
    json!({
        "externalId": "shop-7", "channel": "web", "flow": "standard",
        "customer": {"id": "customer-123", "name": "John Doe", "email": "user@example.com"}, "currency": "USD",
        "lines": [
            {"id": "1", "sku": "product-456", "name": "Gaming Laptop", "quantity": 2, "unitPrice": 129_999,
             "discount": 1_000, "tax": 20_000, "total": 278_998},
            {"sku": "mouse", "quantity": 1, "unitPrice": 2_500}
        ],
        "charges": [{"type": "shipping", "amount": 500, "tax": 95}, {"type": "discount", "amount": -100}],
        "totals": {"lines": 261_498, "charges": 400, "tax": 20_095, "total": 281_993},
        "shipTo": {"name": "John Doe", "line1": "1 Main St", "city": "Springfield", "postalCode": "12345",
                   "country": "US"},
        "billTo": {"country": "DE"}, "metadata": {"gift": "yes"},
        "payment": {"provider": "simulated", "token": "tok_1", "scenario": "success"}
    })
}

/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[track_caller]
fn has_keys(value: &Value, expected: &str) {
    let mut expected: Vec<&str> = expected.split_whitespace().collect();
    expected.sort_unstable();
    assert_eq!(keys(value), expected);
}

#[tokio::test]
async fn a_new_order_shows_every_key_and_the_sums() {
    let shop = Shop::with(&[PAUSED]).await;
    let reply = shop.post(ORDERS, &full()).await;
    let order = reply.ok(201);
    assert_eq!(reply.header("etag"), "\"1\"");
    assert_eq!(reply.header("location"), path(&text(&order["id"])));
    assert_eq!(reply.header("content-type"), "application/json");
    has_keys(
        &order,
        "id number externalId channel version flow status milestone onHold customer currency lines charges totals \
         shipTo billTo paymentStatus payments fulfillmentStatus shipments cancellation actions correlationId metadata \
         createdAt updatedAt waitingFor",
    );
    has_keys(&order["lines"][0], "id sku name quantity unitPrice discount tax total quantities");
    has_keys(&order["lines"][0]["quantities"], "cancelled shipped returned");
    has_keys(&order["charges"][0], "type amount tax");
    has_keys(&order["totals"], "lines charges tax total");
    has_keys(&order["shipTo"], "name company line1 line2 city region postalCode country phone");
    has_keys(&order["payments"][0], "id provider status reference authorized captured refunded reason");
    assert_eq!(
        (&order["version"], &order["status"], &order["milestone"]),
        (&json!(1), &json!("open"), &json!("created"))
    );
    assert_eq!((&order["onHold"], &order["cancellation"]), (&json!(false), &Value::Null));
    assert_eq!(
        (&order["paymentStatus"], &order["fulfillmentStatus"]),
        (&json!("pending"), &json!("pending"))
    );
    assert_eq!(order["actions"], json!(["cancel", "hold"]));
    assert_eq!(order["totals"], full()["totals"]);
    assert_eq!((&order["lines"][0]["total"], &order["lines"][1]["total"]), (&json!(278_998), &json!(2_500)));
    assert_eq!(order["lines"][1]["id"], "2", "a line without an id gets its place");
    for same in ["externalId", "channel", "flow", "customer", "currency", "metadata"] {
        assert_eq!(order[same], full()[same], "{same}");
    }
    assert_eq!(order["billTo"]["country"], "DE");
    assert!(text(&order["number"]).parse::<u64>().is_ok());
    assert!(text(&order["createdAt"]).ends_with('Z'));
    for shows in
        [reply.text(), history_of(&shop, &order).await, shop.get("/v1/events?topic=orders").await.text()]
    {
        assert!(!shows.contains("tok_1"), "a token is nobody else's business: {shows}");
    }
    assert_eq!(shop.order(&text(&order["id"])).await, order, "what was answered is what stands");
}

async fn history_of(shop: &Shop, order: &Value) -> String {
    shop.get(&format!("{}/events", path(&text(&order["id"])))).await.text()
}

#[tokio::test]
async fn a_finished_order_shows_its_shipment() {
    let shop = Shop::open().await;
    let id = shop.place(&full()).await;
    let order = shop.finish(&id).await;
    has_keys(&order["shipments"][0], "id status lines eta carrier trackingNumber shippedAt error");
    assert_eq!(
        order["shipments"][0]["lines"],
        json!([{"line": "1", "quantity": 2}, {"line": "2", "quantity": 1}])
    );
    assert_eq!(order["payments"][0]["authorized"], 281_993);
    assert_eq!(order["payments"][0]["provider"], "simulated");
    assert_eq!(order["lines"][0]["quantities"], json!({"cancelled": 0, "shipped": 2, "returned": 0}));
    assert_eq!(shop.reserved(&id), (281_993, "USD".to_owned()));
}

#[tokio::test]
async fn orders_without_prices_and_with_another_scale() {
    let shop = Shop::with(&[PAUSED]).await;
    let free = json!({"customer": {"id": "c"}, "currency": "XXX", "flow": "ship-only", "lines": [{"sku": "a", "quantity": 3}]});
    let order = shop.post(ORDERS, &free).await.ok(201);
    assert_eq!((&order["lines"][0]["unitPrice"], &order["totals"]["total"]), (&Value::Null, &json!(0)));
    assert_eq!((&order["paymentStatus"], order.get("scale")), (&json!("none"), None));
    let order = shop.post(ORDERS, &small_with(json!({"scale": 4}))).await.ok(201);
    assert_eq!(order["scale"], 4);
    let order = shop.post(ORDERS, &small_with(json!({"scale": 2}))).await.ok(201);
    assert_eq!(order.get("scale"), None, "the currency's own scale is not shown");
}

#[tokio::test]
async fn numbers_are_unique_and_rise() {
    let shop = Shop::with(&[PAUSED]).await;
    let mut last = 0;
    for _ in 0..5 {
        let number: u64 = text(&shop.post(ORDERS, &small()).await.ok(201)["number"]).parse().unwrap();
        assert!(number > last, "{number} after {last}");
        last = number;
    }
}

#[tokio::test]
async fn a_taken_id_is_a_conflict_that_names_the_order() {
    let shop = Shop::with(&[PAUSED]).await;
    let order = small_with(json!({"id": "mine"}));
    assert_eq!(shop.place(&order).await, "mine");
    for again in [order, small_with(json!({"id": "mine", "currency": "EUR"}))] {
        let problem = shop.post(ORDERS, &again).await.problem(409);
        assert_eq!(problem["orderId"], "mine");
    }
}

#[tokio::test]
async fn an_external_id_is_unique_in_its_channel() {
    let shop = Shop::with(&[PAUSED]).await;
    let of = |external: &str, channel: Value| small_with(json!({"externalId": external, "channel": channel}));
    let web = shop.place(&of("e", json!("web"))).await;
    let bare = shop.place(&of("e", Value::Null)).await;
    shop.place(&of("e", json!("app"))).await;
    shop.place(&of("f", json!("web"))).await;
    assert_eq!(shop.post(ORDERS, &of("e", json!("web"))).await.problem(409)["orderId"], json!(web));
    assert_eq!(shop.post(ORDERS, &of("e", Value::Null)).await.problem(409)["orderId"], json!(bare));
    let put = shop.json("PUT", &path("other"), &[], &of("e", json!("web"))).await.problem(409);
    assert_eq!(put["orderId"], json!(web));
    shop.get(&path("other")).await.problem(404);
}

#[tokio::test]
async fn put_places_once_and_then_compares() {
    let shop = Shop::with(&[PAUSED]).await;
    let put = async |id: &str, body: &Value| shop.json("PUT", &path(id), &[], body).await;
    let first = put("p-1", &small()).await;
    assert_eq!(
        (first.status, first.header("etag"), first.header("location")),
        (201, "\"1\"", "/v1/orders/p-1")
    );
    let again = put("p-1", &small()).await;
    assert_eq!(again.ok(200), first.ok(201));
    let spelled_out =
        small_with(json!({"id": "p-1", "totals": {"total": 1000}, "externalId": null, "charges": []}));
    assert_eq!(put("p-1", &spelled_out).await.ok(200)["id"], "p-1", "the same said otherwise is the same");
    let other = put("p-1", &small_with(json!({"currency": "EUR"}))).await.problem(409);
    assert_eq!(other["orderId"], "p-1");
    let elsewhere = put("p-2", &small_with(json!({"id": "p-3"}))).await.problem(400);
    assert_eq!(fields(&elsewhere), ["/id"]);
    let empty = shop.post(ORDERS, &small_with(json!({"id": ""}))).await.problem(400);
    assert!(text(&empty["detail"]).starts_with("/id must be text of 1 to 128 bytes"), "{empty}");
    shop.command("p-1", "cancel", &json!({"reason": "other"})).await.ok(200);
    let later = put("p-1", &small()).await.ok(200);
    assert_eq!(later["version"], 2, "it is answered as it stands");
}

#[tokio::test]
async fn an_order_that_was_posted_is_found_identical_by_put() {
    let shop = Shop::with(&[PAUSED]).await;
    let given = shop.place(&small()).await; // its id was ours to choose
    shop.place(&small_with(json!({"id": "both"}))).await;
    for id in ["both", &given] {
        assert_eq!(shop.json("PUT", &path(id), &[], &small()).await.ok(200)["id"], id);
        shop.json("PUT", &path(id), &[], &small_with(json!({"currency": "EUR"}))).await.problem(409);
    }
}

#[tokio::test]
async fn ids_may_be_almost_any_text() {
    let shop = Shop::open().await;
    let longest = "x".repeat(128);
    for id in
        ["ümlaut-✓-𝄞", "a/b/c", "a%2Fb", "with space", "a:1:b", "q?x=1#y", "+&=;", "..x", "\"'<>\\", &longest]
    {
        let reply = shop.post(ORDERS, &small_with(json!({"id": id}))).await;
        assert_eq!(reply.ok(201)["id"], id);
        let found = shop.get(reply.header("location")).await;
        assert_eq!(found.ok(200)["id"], id, "its Location leads to it");
        assert_eq!(shop.finish(id).await["status"], "completed", "{id}");
        assert_eq!(shop.effects(id), ["authorize", "ship"], "{id}");
        assert!(!shop.history(id).await.is_empty());
        shop.command(id, "cancel", &json!({"reason": "other"})).await.problem(409);
    }
    let put = shop.json("PUT", &path("ä/ö"), &[], &small()).await;
    assert_eq!(put.ok(201)["id"], "ä/ö");
}

#[tokio::test]
async fn one_uuid_is_one_order_however_it_is_spelled() {
    let shop = Shop::with(&[PAUSED]).await;
    let (upper, lower) = ("0198C0DE-0000-7000-8000-00000000ABCD", "0198c0de-0000-7000-8000-00000000abcd");
    assert_eq!(shop.place(&small_with(json!({"id": upper}))).await, lower);
    assert_eq!(shop.order(upper).await["id"], lower);
    let problem = shop.post(ORDERS, &small_with(json!({"id": lower}))).await.problem(409);
    assert_eq!(problem["orderId"], lower);
    assert_eq!(shop.json("PUT", &path(upper), &[], &small()).await.ok(200)["id"], lower);
    assert_eq!(shop.place(&small_with(json!({"id": "Not-A-Uuid"}))).await, "Not-A-Uuid");
    shop.get(&path("not-a-uuid")).await.problem(404);
}

#[tokio::test]
async fn what_belongs_together_can_be_named_by_the_client() {
    let shop = Shop::with(&[PAUSED]).await;
    let correlation = "0198c0de-0000-7000-8000-00000000abcd";
    let id = shop.place(&small_with(json!({"correlationId": correlation}))).await;
    assert_eq!(shop.order(&id).await["correlationId"], correlation);
    assert!(shop.history(&id).await.iter().all(|event| event["correlationId"] == correlation));
}

#[tokio::test]
async fn the_largest_order_fits() {
    let shop = Shop::open().await;
    let lines: Vec<Value> = (0..1000)
        .map(|i| json!({"sku": format!("s{i}"), "quantity": 10_000, "unitPrice": 100_000}))
        .collect();
    let metadata: serde_json::Map<String, Value> =
        (0..50).map(|i| (format!("{i:ü<40}"), Value::from("é".repeat(500)))).collect();
    let id = shop.place(&small_with(json!({"lines": lines, "metadata": metadata}))).await;
    let order = shop.finish(&id).await;
    assert_eq!(
        (&order["status"], &order["totals"]["total"]),
        (&json!("completed"), &json!(1_000_000_000_000_i64))
    );
    assert_eq!(order["lines"].as_array().unwrap().len(), 1000);
    assert_eq!(order["lines"][999]["quantities"]["shipped"], 10_000);
}
