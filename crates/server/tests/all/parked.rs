//! Parked events: looked at, tried again and discarded by an operator, over HTTP.

use serde_json::{Value, json};

use crate::harness::{Shop, Stack, fields, program, small_with, text, wait_until};

const PARKED: &str = "/v1/admin/parked";

/// A shop in which orders has parked these events; each is a key and a value on the topic of payments.
async fn with_parked(events: &[(&str, &str)]) -> Shop {
    let mut shop = Shop::open().await;
    add(&mut shop, events).await;
    wait_until("all are parked", async || list(&shop, "").await.len() == events.len()).await;
    shop
}

/// Writes events into the topic of payments, as if payments had.
async fn add(shop: &mut Shop, events: &[(&str, &str)]) {
    shop.stop().await;
    shop.publish("payments", events).await;
    shop.restart(&[]).await;
}

fn authorized(order: &str) -> String {
    json!({
        "eventId": format!("01a1fce9-1000-7528-a0f6-{:012x}", order.len()),
        "eventType": "PaymentAuthorizedV1", "eventVersion": 1, "occurredAt": "2026-01-01T00:00:00Z",
        "correlationId": "01a1fce9-1000-7528-a0f6-5a034131eab2", "causationId": null, "source": "payments",
        "sequence": 1, "actor": {"type": "service", "id": "payments"},
        "payload": {"orderId": order, "step": format!("{order}:1"), "outcome": "done", "paymentId": null,
            "reference": "r", "amount": 1000, "currency": "USD"}
    })
    .to_string()
}

async fn list(shop: &Shop, query: &str) -> Vec<Value> {
    shop.get(&format!("{PARKED}{query}")).await.ok(200)["parked"].as_array().unwrap().clone()
}

#[tokio::test]
async fn no_ids_are_not_all_of_them_and_a_list_ends_where_it_ends() {
    let big = format!("not json {}", "x".repeat(120_000));
    let events: Vec<(String, &str)> = (0..60).map(|n| (format!("order {n}"), &*big)).collect();
    let events: Vec<(&str, &str)> = events.iter().map(|(key, value)| (&**key, *value)).collect();
    let mut shop = Shop::open().await;
    add(&mut shop, &events).await;
    let mut seen = 0;
    wait_until("all are parked", async || {
        let gathered =
            shop.post(&format!("{PARKED}/discard"), &json!({"service": "orders", "dryRun": true})).await;
        gathered.ok(200)["events"] == 60
    })
    .await;
    let mut query = "?limit=100".to_owned();
    loop {
        let page = shop.get(&format!("{PARKED}{query}")).await.ok(200);
        seen += page["parked"].as_array().unwrap().len();
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=100&cursor={next}");
    }
    assert_eq!(seen, 60);
    for call in ["discard", "retry"] {
        let none = json!({"service": "orders", "ids": []});
        let problem = shop.post(&format!("{PARKED}/{call}"), &none).await.problem(400);
        assert_eq!(fields(&problem), ["/ids"]);
    }
}

#[tokio::test]
async fn parked_events_are_listed_and_shown_with_all_that_is_known() {
    let shop =
        with_parked(&[("nobody", &authorized("nobody")), ("odd", "not { json"), ("odd", "\u{1}")]).await;
    let all = list(&shop, "").await;
    assert_eq!(all.len(), 3);
    let first = &all[0];
    assert_eq!((&first["service"], &first["order"]), (&json!("orders"), &json!("nobody")));
    assert_eq!((&first["orderKnown"], &first["source"]), (&json!(false), &json!("payments")));
    assert!(text(&first["reason"]).contains("not known"), "{first:#}");
    assert_eq!(first["size"], authorized("nobody").len());
    let shown = shop.get(&format!("{PARKED}/orders/{}", text(&first["id"]))).await.ok(200);
    assert_eq!(shown["value"].to_string(), authorized("nobody").parse::<Value>().unwrap().to_string());
    let odd = shop.get(&format!("{PARKED}/orders/{}", text(&all[1]["id"]))).await.ok(200);
    assert_eq!((&odd["base64"], &odd["value"]), (&json!("bm90IHsganNvbg=="), &Value::Null));
    assert_eq!(list(&shop, "?order=odd").await, all[1..]);
    assert_eq!(list(&shop, "?service=payments").await, [] as [Value; 0]);
    let mut paged = Vec::new();
    let mut next = String::new();
    loop {
        let page = shop.get(&format!("{PARKED}?limit=1{next}")).await.ok(200);
        paged.extend(page["parked"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn a_retry_says_what_it_would_try_and_what_still_can_t_be_applied() {
    let shop = with_parked(&[("nobody", &authorized("nobody")), ("other", &authorized("other"))]).await;
    let before = shop.traces().await;
    let dry = shop.post(&format!("{PARKED}/retry"), &json!({"dryRun": true, "order": "other"})).await.ok(200);
    assert_eq!((&dry["events"], &dry["parked"][0]["order"]), (&json!(1), &json!("other")));
    assert_eq!(shop.traces().await, before, "a dry run changes nothing");
    shop.get(&format!("{PARKED}/retry")).await.problem(404);
    let done = shop.post(&format!("{PARKED}/retry"), &json!({"rate": 1000})).await.ok(200);
    assert_eq!((&done["state"], &done["orders"], &done["left"]), (&json!("finished"), &json!(2), &json!(2)));
    assert!(text(&done["stillParked"][0]["reason"]).contains("not known"), "{done:#}");
    assert_eq!(shop.get(&format!("{PARKED}/retry")).await.ok(200), done);
    assert_eq!(list(&shop, "").await.len(), 2);
}

/// As after an upgrade: what was parked by an older binary can be applied by this one.
#[tokio::test]
async fn a_retry_applies_what_can_be_applied_by_now() {
    let mut shop = Shop::with(&[("workers.paused", "payments")]).await;
    let id = shop.place(&small_with(json!({"id": "late"}))).await;
    shop.stop().await;
    shop.park("orders", "late", "unknown", authorized("late").as_bytes()).await;
    shop.restart(&[("workers.paused", "payments")]).await;
    assert_eq!(shop.order(&id).await["milestone"], "created");
    let chosen = list(&shop, "").await;
    let ids = json!([chosen[0]["id"]]);
    let done = shop.post(&format!("{PARKED}/retry"), &json!({"service": "orders", "ids": ids})).await.ok(200);
    assert_eq!((&done["applied"], &done["left"]), (&json!(1), &json!(0)));
    assert_eq!(list(&shop, "").await, [] as [Value; 0]);
    let order = shop.finish(&id).await;
    assert_eq!(order["status"], "completed");
}

#[tokio::test]
async fn one_parked_event_is_discarded_and_the_order_can_come_without_it() {
    let shop = with_parked(&[("nobody", "junk"), ("nobody", &authorized("nobody"))]).await;
    let all = list(&shop, "").await;
    let path = format!("{PARKED}/orders/{}", text(&all[0]["id"]));
    let gone = shop.send("DELETE", &path, &[], b"").await.ok(200);
    assert_eq!((&gone["discarded"], &gone["left"]), (&json!(1), &json!(1)));
    shop.send("DELETE", &path, &[], b"").await.problem(404);
    assert_eq!(list(&shop, "").await, all[1..]);
    shop.place(&small_with(json!({"id": "nobody"}))).await;
    wait_until("the event behind it was applied", async || list(&shop, "").await.is_empty()).await;
}

#[tokio::test]
async fn the_doctor_warns_of_parked_events() {
    let shop = with_parked(&[("nobody", &authorized("nobody"))]).await;
    let mut command = std::process::Command::new(program());
    let listen = shop.address().to_string();
    command.args(["doctor", "--listen", &listen, "--data"]).arg(shop.dir()).env_remove("CARTWRIGHT_SERVER");
    command.envs(Stack::here().environment(shop.dir()));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("orders could not apply 1") && said.contains("cartwright parked list"), "{said}");
}

#[tokio::test]
async fn many_are_discarded_only_when_their_number_is_confirmed() {
    let shop = with_parked(&[("a", "junk"), ("b", "junk"), ("c", "other { junk")]).await;
    let discard = format!("{PARKED}/discard");
    let problem = shop.post(&discard, &json!({})).await.problem(400);
    assert_eq!(fields(&problem), ["/service"]);
    assert!(text(&problem["detail"]).starts_with("/service is needed"), "{problem}");
    let problem = shop.post(&discard, &json!({"service": "orders"})).await.problem(400);
    assert_eq!(fields(&problem), ["/confirm"]);
    shop.post(&discard, &json!({"service": "orders", "confirm": 2})).await.problem(409);
    let dry = shop.post(&discard, &json!({"service": "orders", "dryRun": true})).await.ok(200);
    assert_eq!((&dry["events"], &dry["orders"]), (&json!(3), &json!(3)));
    assert_eq!(list(&shop, "").await.len(), 3);
    let gone = shop.post(&discard, &json!({"service": "orders", "confirm": 3})).await.ok(200);
    assert_eq!(gone["discarded"], 3);
    assert_eq!(list(&shop, "").await, [] as [Value; 0]);
}

#[tokio::test]
async fn a_paused_service_takes_nothing_up_until_it_is_resumed() {
    let shop = Shop::open().await;
    let set = async |paused: bool| {
        shop.json("PUT", "/v1/admin/services/payments", &[], &json!({"paused": paused})).await.ok(200)
    };
    assert_eq!(set(true).await["paused"], true);
    let ready = shop.get("/health/ready").await.ok(200);
    assert_eq!((&ready["status"], &ready["components"]["payments"]), (&json!("ok"), &json!("paused")));
    let id = shop.place(&small_with(json!({}))).await;
    wait_until("the request waits", async || {
        let services = shop.get("/v1/admin/services").await.ok(200);
        services["services"][1]["reads"][0]["behind"].as_u64() > Some(0)
    })
    .await;
    assert_eq!(shop.order(&id).await["milestone"], "created");
    assert_eq!(set(false).await["paused"], false);
    assert_eq!(shop.finish(&id).await["status"], "completed");
    shop.json("PUT", "/v1/admin/services/orders", &[], &json!({"paused": true})).await.problem(409);
    shop.json("PUT", "/v1/admin/services/none", &[], &json!({"paused": true})).await.problem(404);
}

#[tokio::test]
async fn the_operator_s_calls_can_have_a_listener_of_their_own() {
    let shop = Shop::with(&[("admin.listen", "127.0.0.1:0")]).await;
    shop.get(PARKED).await.problem(404);
    let described = shop.get("/openapi.json").await.ok(200);
    assert!(described["paths"][PARKED].is_null());
    let admin = shop.admin().unwrap();
    let get =
        async |path: &str| reqwest::get(format!("http://{admin}{path}")).await.unwrap().status().as_u16();
    assert_eq!(get(PARKED).await, 200);
    assert_eq!(get("/health/ready").await, 200);
    assert_eq!(get("/v1/orders").await, 404);
    let without = Shop::with(&[("admin.enabled", "false")]).await;
    without.get(PARKED).await.problem(404);
}
