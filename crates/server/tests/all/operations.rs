//! Health, metrics, documentation, limits, and answers outside the calls.

use cartwright_server::http::MAX_BODY;
use serde_json::{Value, json};

use crate::harness::{ORDERS, PAUSED, Shop, path, small, small_with, text, wait_until};

/// Every call of the contract, as OpenAPI spells it.
const CALLS: [(&str, &str); 19] = [
    ("post", "/v1/orders"),
    ("get", "/v1/orders"),
    ("put", "/v1/orders/{id}"),
    ("get", "/v1/orders/{id}"),
    ("patch", "/v1/orders/{id}"),
    ("post", "/v1/orders/{id}/cancel"),
    ("post", "/v1/orders/{id}/hold"),
    ("post", "/v1/orders/{id}/release"),
    ("get", "/v1/orders/{id}/events"),
    ("get", "/v1/events"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/metrics"),
    ("get", "/v1/admin/providers"),
    ("get", "/v1/admin/providers/{provider}"),
    ("put", "/v1/admin/providers/{provider}"),
    ("get", "/v1/admin/simulated"),
    ("get", "/v1/admin/simulated/{provider}"),
    ("put", "/v1/admin/simulated/{provider}"),
];

#[tokio::test]
async fn health_shows_every_component() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/health/live").await.ok(200)["status"], "ok");
    let ready = shop.get("/health/ready").await.ok(200);
    let components = json!({
        "orders": "ok", "payments": "ok", "fulfillment": "ok", "disk": "ok", "payment provider": "ok", "carrier": "ok"
    });
    assert_eq!(ready, json!({"status": "ok", "components": components}));
}

#[tokio::test]
async fn a_nearly_full_disk_refuses_new_orders_only() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    shop.restart(&[PAUSED, ("data.min_free_mb", "1000000000000")]).await;
    let refused = shop.post(ORDERS, &small()).await;
    assert!(text(&refused.problem(503)["detail"]).contains("disk"));
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    shop.command(&id, "hold", &json!({})).await.ok(200);
    let ready = shop.get("/health/ready").await.ok(503);
    assert_eq!((&ready["status"], &ready["components"]["orders"]), (&json!("failing"), &json!("ok")));
    assert!(text(&ready["components"]["disk"]).contains("full"));
    assert_eq!(shop.get("/health/live").await.status, 200);
}

#[tokio::test]
async fn metrics_have_their_names() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    let names = [
        "cartwright_acceptance_seconds",
        "cartwright_created_to_shipped_seconds",
        "cartwright_batch_inputs",
        "cartwright_lag_events",
        "cartwright_open_orders",
        "cartwright_parked_events",
        "cartwright_tasks",
        "cartwright_http_requests_total",
        "cartwright_provider_call_seconds",
        "cartwright_breaker_state",
    ];
    wait_until("every metric is there", async || {
        let text = shop.get("/metrics").await.text();
        names.iter().all(|name| text.contains(&format!("# TYPE {name} ")))
    })
    .await;
    let reply = shop.get("/metrics").await;
    assert!(reply.header("content-type").starts_with("text/plain"));
    let text = reply.text();
    assert!(text.contains("cartwright_acceptance_seconds_bucket{le="), "histograms have buckets");
    assert!(text.contains(r#"route="/v1/orders""#), "{text}");
    assert!(!text.contains(&id), "an id would make a series for each order");
}

#[tokio::test]
async fn the_documentation_is_whole() {
    let shop = Shop::with(&[PAUSED]).await;
    let docs = shop.get("/docs/").await;
    assert_eq!(docs.status, 200);
    assert!(docs.header("content-type").starts_with("text/html"));
    let redirected = shop.get("/docs").await;
    assert_eq!((redirected.status, redirected.text().contains("swagger")), (200, true));
    let openapi = shop.get("/openapi.json").await.ok(200);
    assert!(text(&openapi["openapi"]).starts_with("3.1."));
    for (method, path) in CALLS {
        let call = &openapi["paths"][path][method];
        assert!(call["responses"].is_object(), "{method} {path} is not described");
        assert!(!text(&call["summary"]).is_empty(), "{method} {path} says nothing");
    }
    let described: usize =
        openapi["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(described, CALLS.len(), "the contract and the documentation name the same calls");
    let mut references = Vec::new();
    collect(&openapi, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let found = openapi.pointer(reference.trim_start_matches('#'));
        assert!(found.is_some(), "{reference} leads nowhere");
    }
}

/// Every `$ref` in a document.
fn collect(value: &Value, into: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            into.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
            fields.values().for_each(|value| collect(value, into));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        _ => {}
    }
}

#[tokio::test]
async fn the_documented_example_can_be_placed() {
    let shop = Shop::with(&[PAUSED]).await;
    let openapi = shop.get("/openapi.json").await.ok(200);
    shop.post(ORDERS, &openapi["components"]["schemas"]["NewOrder"]["example"]).await.ok(201);
}

#[tokio::test]
async fn the_documented_order_is_the_order() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    let order = shop.finish(&id).await;
    let openapi = shop.get("/openapi.json").await.ok(200);
    let described = openapi["components"]["schemas"]["Order"]["properties"].as_object().unwrap();
    for key in order.as_object().unwrap().keys() {
        assert!(described.contains_key(key), "{key} is not described");
    }
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let shop = Shop::with(&[PAUSED]).await;
    let (one, two) = (shop.get(ORDERS).await, shop.get("/nothing").await);
    assert!(!one.header("x-request-id").is_empty() && !two.header("x-request-id").is_empty());
    assert_ne!(one.header("x-request-id"), two.header("x-request-id"));
    let named = shop.send("GET", ORDERS, &[("x-request-id", "mine-1")], b"").await;
    assert_eq!(named.header("x-request-id"), "mine-1");
    let refused = shop.json("POST", ORDERS, &[("x-request-id", "mine-2")], &json!({})).await;
    refused.problem(400);
    assert_eq!(refused.header("x-request-id"), "mine-2");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_document() {
    let shop = Shop::with(&[PAUSED]).await;
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/orders/",
        "/v1/orders/a/b",
        "/v1/orders/a/cancel/",
        "/v2/orders",
        "/health",
        "/v1/events/x",
    ] {
        shop.get(path).await.problem(404);
        shop.post(path, &small()).await.problem(404);
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    for (method, at, allowed) in [
        ("DELETE", ORDERS.to_owned(), "GET,HEAD,POST"),
        ("PATCH", ORDERS.to_owned(), "GET,HEAD,POST"),
        ("POST", path(&id), "GET,HEAD,PATCH,PUT"),
        ("DELETE", path(&id), "GET,HEAD,PATCH,PUT"),
        ("GET", format!("{}/cancel", path(&id)), "POST"),
        ("PUT", format!("{}/hold", path(&id)), "POST"),
        ("DELETE", format!("{}/release", path(&id)), "POST"),
        ("POST", format!("{}/events", path(&id)), "GET,HEAD"),
        ("POST", "/v1/events?topic=orders".to_owned(), "GET,HEAD"),
        ("POST", "/health/live".to_owned(), "GET,HEAD"),
        ("DELETE", "/health/ready".to_owned(), "GET,HEAD"),
        ("POST", "/metrics".to_owned(), "GET,HEAD"),
    ] {
        let reply = shop.send(method, &at, &[], b"").await;
        reply.problem(405);
        let mut allow: Vec<&str> = reply.header("allow").split(',').map(str::trim).collect();
        allow.sort_unstable();
        assert_eq!(allow.join(","), allowed, "{method} {at}");
    }
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let before = shop.traces();
    let padded = |size: usize| {
        let body = small().to_string();
        format!("{body}{}", " ".repeat(size - body.len())).into_bytes()
    };
    let json = [("content-type", "application/json")];
    let too_large = padded(MAX_BODY + 1);
    for (method, at) in [
        ("POST", ORDERS.to_owned()),
        ("PUT", path("p")),
        ("PATCH", path(&id)),
        ("POST", format!("{}/cancel", path(&id))),
        ("POST", format!("{}/hold", path(&id))),
        ("POST", format!("{}/release", path(&id))),
    ] {
        let problem = shop.send(method, &at, &json, &too_large).await.problem(413);
        assert!(text(&problem["detail"]).contains(&MAX_BODY.to_string()), "{problem}");
    }
    assert_eq!(shop.traces(), before);
    shop.send("POST", ORDERS, &json, &padded(MAX_BODY)).await.ok(201);
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let before = shop.traces();
    let body = small().to_string();
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
        "json",
        "",
        "multipart/form-data; boundary=x",
    ] {
        shop.send("POST", ORDERS, &[("content-type", kind)], body.as_bytes()).await.problem(415);
        shop.send("PUT", &path("p"), &[("content-type", kind)], body.as_bytes()).await.problem(415);
        shop.send("POST", &format!("{}/hold", path(&id)), &[("content-type", kind)], b"{}")
            .await
            .problem(415);
        shop.send("PATCH", &path(&id), &[("content-type", kind)], b"{}").await.problem(415);
    }
    shop.send("POST", ORDERS, &[], body.as_bytes()).await.problem(415);
    assert_eq!(shop.traces(), before);
    for kind in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.shop+json"] {
        shop.send("POST", ORDERS, &[("content-type", kind)], body.as_bytes()).await.ok(201);
    }
}

#[tokio::test]
async fn the_simulated_provider_charges_what_the_order_says() {
    let shop = Shop::open().await;
    for (currency, price) in [("USD", 999), ("JPY", 1), ("KWD", 1_000_000)] {
        let lines = json!([{"sku": "a", "quantity": 3, "unitPrice": price}]);
        let id = shop.place(&small_with(json!({"currency": currency, "lines": lines}))).await;
        shop.finish(&id).await;
        assert_eq!(shop.reserved(&id), (3 * price, currency.to_owned()));
    }
}
