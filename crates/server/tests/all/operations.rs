//! Health, metrics, documentation, limits, and answers outside the calls.

use cartwright_server::http::MAX_BODY;
use serde_json::{Value, json};

use crate::harness::{ORDERS, PAUSED, Shop, Stack, path, small, small_with, text, wait_until};

/// Every call of the contract, as OpenAPI spells it.
const CALLS: [(&str, &str); 32] = [
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
    ("get", "/v1/admin/parked"),
    ("get", "/v1/admin/parked/{service}/{id}"),
    ("delete", "/v1/admin/parked/{service}/{id}"),
    ("post", "/v1/admin/parked/retry"),
    ("get", "/v1/admin/parked/retry"),
    ("post", "/v1/admin/parked/discard"),
    ("get", "/v1/admin/services"),
    ("put", "/v1/admin/services/{name}"),
    ("get", "/v1/admin/waiting"),
    ("get", "/health/live"),
    ("get", "/health/ready"),
    ("get", "/metrics"),
    ("get", "/v1/admin/about"),
    ("get", "/v1/admin/topics"),
    ("get", "/v1/admin/providers"),
    ("get", "/v1/admin/providers/{provider}"),
    ("put", "/v1/admin/providers/{provider}"),
    ("get", "/v1/admin/simulated"),
    ("get", "/v1/admin/simulated/{provider}"),
    ("put", "/v1/admin/simulated/{provider}"),
    ("get", "/v1/admin/index"),
    ("post", "/v1/admin/index/rebuild"),
];

#[tokio::test]
async fn health_shows_every_component() {
    let shop = Shop::open().await;
    assert_eq!(shop.get("/health/live").await.ok(200)["status"], "ok");
    let connected = async || !shop.get("/health/ready").await.text().contains("connecting");
    wait_until("the brokers have answered, where there are any", connected).await;
    let mut ready = shop.get("/health/ready").await.ok(200);
    assert!(ready.as_object_mut().unwrap().remove("system").is_some_and(|system| system.is_string()));
    let mut components = json!({"orders": "ok", "payments": "ok", "fulfillment": "ok", "disk": "ok", "carrier": "ok",
        "payment provider": "ok", "search": "ok"});
    if Stack::here() == Stack::Kafka {
        components["kafka"] = json!("ok");
    }
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
async fn metrics_are_text_with_buckets_and_without_ids() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
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

#[tokio::test]
async fn the_documentation_says_what_every_call_may_answer_and_what_every_parameter_means() {
    let shop = Shop::with(&[PAUSED]).await;
    let openapi = shop.get("/openapi.json").await.ok(200);
    for (method, path) in CALLS {
        let call = &openapi["paths"][path][method];
        let answers = |statuses: &[&str]| {
            for status in statuses {
                let problem = &call["responses"][status]["content"];
                assert!(problem.is_object(), "{method} {path} does not say that it may answer {status}");
            }
        };
        if call["requestBody"].is_object() {
            answers(&["400", "408", "413", "415"]);
        }
        for parameter in call["parameters"].as_array().into_iter().flatten() {
            let said = parameter["description"].as_str().is_some_and(|text| !text.is_empty());
            assert!(said, "{method} {path}: {} is not described", parameter["name"]);
            if parameter["name"] == "If-Match" {
                answers(&["400", "412"]);
            } else if parameter["in"] == "query" {
                answers(&["400"]);
            }
        }
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
        "/nothing",
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

/// Every call, with an order's id where it takes one: method, path, whether it takes a body.
fn calls(id: &str) -> Vec<(String, String, bool)> {
    let with_id = |at: &str| {
        at.replace("{id}", id)
            .replace("{provider}", "payments")
            .replace("{service}", "payments")
            .replace("{name}", "payments")
    };
    CALLS
        .iter()
        .map(|(method, at)| (method.to_uppercase(), with_id(at), matches!(*method, "post" | "put" | "patch")))
        .collect()
}

#[tokio::test]
async fn every_call_refuses_other_content_types_other_methods_and_longer_paths() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let before = shop.traces().await;
    let calls = calls(&id);
    for (method, at, has_body) in &calls {
        if *has_body {
            for kind in ["text/plain", "application/xml", "application/x-www-form-urlencoded"] {
                shop.send(method, at, &[("content-type", kind)], b"{}").await.problem(415);
            }
        }
        let taken: Vec<&str> =
            calls.iter().filter(|(_, path, _)| path == at).map(|(method, ..)| method.as_str()).collect();
        for other in ["GET", "POST", "PUT", "PATCH", "DELETE", "LINK"] {
            if taken.contains(&other) {
                continue;
            }
            let reply = shop.send(other, at, &[], b"").await;
            reply.problem(405);
            let allowed: Vec<&str> = reply.header("allow").split(',').map(str::trim).collect();
            for method in &taken {
                assert!(allowed.contains(method), "{other} {at} allows {allowed:?}, not {method}");
            }
        }
        shop.send(method, &format!("{at}/x/y"), &[("content-type", "application/json")], b"{}")
            .await
            .problem(404);
    }
    assert_eq!(shop.traces().await, before);
}

#[tokio::test]
async fn the_root_leads_to_the_documentation() {
    let shop = Shop::with(&[PAUSED]).await;
    let page = shop.get("/").await; // redirects are followed
    assert_eq!((page.status, page.text().contains("swagger")), (200, true));
    shop.post("/", &small()).await.problem(405);
}

#[tokio::test]
async fn the_system_says_what_it_is_and_stays_who_it_is() {
    let mut shop = Shop::open().await;
    let about = shop.get("/v1/admin/about").await.ok(200);
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(about["simulated"], json!({"payments": true, "carrier": true}));
    assert!(about["flows"].as_array().unwrap().contains(&json!("standard")));
    let system = text(&about["system"]);
    assert_eq!(shop.get("/health/live").await.ok(200)["system"], system.as_str());
    assert_eq!(shop.get("/health/ready").await.ok(200)["system"], system.as_str());
    shop.restart(&[]).await;
    assert_eq!(shop.get("/v1/admin/about").await.ok(200)["system"], system.as_str());
    let other = Shop::open().await;
    assert_ne!(other.get("/v1/admin/about").await.ok(200)["system"], system.as_str());
}

#[tokio::test]
async fn topics_show_what_they_hold_and_how_far_each_reader_is() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    let readers = |topic: &Value| topic["readers"].as_array().unwrap().clone();
    wait_until("every topic has a reader", async || {
        let topics = shop.get("/v1/admin/topics").await.ok(200);
        topics["topics"].as_array().unwrap().iter().all(|topic| !readers(topic).is_empty())
    })
    .await;
    let topics = shop.get("/v1/admin/topics").await.ok(200);
    let names: Vec<(String, Vec<String>)> = topics["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| {
            (text(&topic["name"]), readers(topic).iter().map(|reader| text(&reader["name"])).collect())
        })
        .collect();
    let reads = |topic: &str, readers: &[&str]| {
        (topic.to_owned(), readers.iter().map(|name| (*name).to_owned()).collect())
    };
    let expected = match Stack::here() {
        Stack::Kafka => ["orders", "payments", "fulfillment"].map(|topic| reads(topic, &["relay"])),
        _ => [
            reads("orders", &["payments", "fulfillment"]),
            reads("payments", &["orders"]),
            reads("fulfillment", &["orders"]),
        ],
    };
    assert_eq!(names, expected);
    for topic in topics["topics"].as_array().unwrap() {
        for reader in readers(topic) {
            let (position, lag) = (reader["position"].as_u64().unwrap(), reader["lag"].as_u64().unwrap());
            assert_eq!(Some(position + lag), topic["newest"].as_u64(), "{topic}");
            // The order is final, so what concerned the reader is settled.
            assert!(position > 0, "{topic}");
        }
    }
    let orders = &topics["topics"][0];
    let history = shop.history(&id).await;
    let own = history.iter().filter(|event| event["source"] == "orders").count();
    assert_eq!((&orders["name"], &orders["events"]), (&json!("orders"), &json!(own)));
    assert_eq!((&orders["oldest"], &orders["newest"]), (&json!(1), &json!(own)));
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
    let before = shop.traces().await;
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
    assert_eq!(shop.traces().await, before);
    shop.send("POST", ORDERS, &json, &padded(MAX_BODY)).await.ok(201);
}

/// Whoever sends far too much is still told why, and does not only find the connection closed.
#[tokio::test]
async fn a_client_that_is_still_sending_hears_why_it_is_refused() {
    let shop = Shop::with(&[PAUSED]).await;
    let huge = vec![b' '; 8 * MAX_BODY];
    for _ in 0..20 {
        for (at, status) in
            [(ORDERS, 413), ("/v1/orders/a/hold", 413), ("/nothing", 404), ("/health/live", 405)]
        {
            shop.send("POST", at, &[("content-type", "application/json")], &huge).await.problem(status);
        }
    }
}

#[tokio::test]
async fn a_body_must_say_that_it_is_json() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let before = shop.traces().await;
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
    assert_eq!(shop.traces().await, before);
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
