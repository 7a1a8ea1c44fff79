//! The dialects of older systems. What is asked and what must be answered lies in `tables`, a request a line.

mod pattern;
pub mod table;

use cartwright_server::http::dialects::OldPort;
use serde_json::{Value, json};

use crate::harness::{Setting, Shop, all, text};

/// What each dialect answers, a line each.
pub const TABLES: [(&str, &str); 5] = [
    ("cart-dotnet", include_str!("tables/cart-dotnet.jsonl")),
    ("cart-fastapi", include_str!("tables/cart-fastapi.jsonl")),
    ("order-fulfilment", include_str!("tables/order-fulfilment.jsonl")),
    ("order-processing", include_str!("tables/order-processing.jsonl")),
    ("order-tracking", include_str!("tables/order-tracking.jsonl")),
];

/// Every old port, wherever there is room.
const PORTS: [Setting; 6] = [
    ("dialects.ports", "true"),
    ("dialects.listen.shared", "127.0.0.1:0"),
    ("dialects.listen.cart_dotnet_orders", "127.0.0.1:0"),
    ("dialects.listen.order_fulfilment", "127.0.0.1:0"),
    ("dialects.listen.cart_fastapi", "127.0.0.1:0"),
    ("dialects.listen.cart_fastapi_orders", "127.0.0.1:0"),
];

/// One test for each table, on our own port, and on the old ones where a system has its own.
macro_rules! tables {
    ($($name:ident: $dialect:literal, $table:literal, $run:ident, $settings:expr;)+) => {
        $(#[tokio::test]
        async fn $name() {
            let shop = Shop::with($settings).await;
            table::$run(&shop, $dialect, include_str!(concat!("tables/", $table, ".jsonl"))).await;
        })+
    };
}

/// Carriers that take their time.
const SLOW: &[Setting] =
    &[("simulated.carrier.latency_min_ms", "1500"), ("simulated.carrier.latency_max_ms", "1500")];

tables! {
    order_tracking: "order-tracking", "order-tracking", run, &[];
    order_processing: "order-processing", "order-processing", run, &[];
    order_fulfilment: "order-fulfilment", "order-fulfilment", run, &[];
    cart_dotnet: "cart-dotnet", "cart-dotnet", run, &[];
    cart_fastapi: "cart-fastapi", "cart-fastapi", run, &[];
    order_tracking_that_takes_its_time: "order-tracking", "order-tracking.slow", run,
        &[("dialects.order_tracking.processing_ms", "3000")];
    order_processing_that_takes_its_time: "order-processing", "order-processing.slow", run, SLOW;
    order_processing_with_a_carrier_that_refuses: "order-processing", "order-processing.failing", run,
        &[("simulated.carrier.decline_rate", "1")];
    cart_dotnet_on_its_ports: "cart-dotnet", "cart-dotnet", run_on_ports, &PORTS;
    cart_fastapi_on_its_ports: "cart-fastapi", "cart-fastapi", run_on_ports, &PORTS;
    order_fulfilment_on_its_port: "order-fulfilment", "order-fulfilment", run_on_ports, &PORTS;
    three_systems_on_one_port: "the shared port", "port-5000", run_on_ports, &PORTS;
}

#[tokio::test]
async fn each_system_has_its_document_and_the_shared_port_begins_with_a_page() {
    let shop = Shop::with(&PORTS).await;
    let at = |port, path| {
        let shop = &shop;
        async move { shop.send_to(shop.old(port), reqwest::Method::GET, path, Default::default(), b"").await }
    };
    let page = at(OldPort::Shared, "/").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains("swagger-ui"), "{}", page.text());
    let document = at(OldPort::Shared, "/swagger/v1/swagger.json").await.ok(200);
    assert!(document["paths"]["/api/orders"]["post"].is_object(), "{document:#}");
    let document = at(OldPort::CartFastapi, "/openapi.json").await.ok(200);
    assert!(document["paths"]["/create-order"]["post"].is_object(), "{document:#}");
    for (name, document, path) in [
        ("order-tracking", "swagger/v1/swagger.json", "/api/orders/user/{userId}"),
        ("order-processing", "swagger/v1/swagger.json", "/api/orders/{orderId}/status"),
        ("order-fulfilment", "Swagger/V1/swagger.json", "/orders/{id}"),
        ("cart-dotnet", "swagger/v1/swagger.json", "/Order/create-order"),
        ("cart-fastapi", "openapi.json", "/order-details"),
    ] {
        let document = shop.get(&format!("/dialects/{name}/{document}")).await.ok(200);
        assert!(document["paths"][format!("/dialects/{name}{path}")].is_object(), "{name}: {document:#}");
    }
    let ours = shop.get("/openapi.json").await.ok(200);
    let of_dialects = ours["paths"].as_object().unwrap().keys().filter(|path| path.starts_with("/dialects"));
    assert_eq!(of_dialects.count(), 0, "they have documents of their own");
}

#[tokio::test]
async fn what_is_off_is_not_there_and_a_port_that_is_taken_is_left_out() {
    let kept = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = kept.local_addr().unwrap().to_string();
    let settings = [
        ("dialects.ports", "true"),
        ("dialects.listen.shared", "127.0.0.1:0"),
        ("dialects.listen.cart_dotnet_orders", &*taken.leak()),
        ("dialects.listen.order_fulfilment", ""),
        ("dialects.listen.cart_fastapi", "127.0.0.1:0"),
        ("dialects.listen.cart_fastapi_orders", ""),
        ("dialects.off", "cart-fastapi,order-tracking"),
    ];
    let shop = Shop::with(&settings).await;
    assert_eq!(shop.old_ports(), [OldPort::Shared], "the others are taken, or not wanted, or off");
    for (path, status) in [("cart-fastapi/order-details", 404), ("cart-dotnet/order/order-details", 400)] {
        assert_eq!(shop.get(&format!("/dialects/{path}")).await.status, status, "{path}");
    }
    // Who is left on the shared port has it alone.
    let get =
        |path| shop.send_to(shop.old(OldPort::Shared), reqwest::Method::GET, path, Default::default(), b"");
    assert_eq!(get("/api/orders").await.status, 405);
    assert_eq!(get("/api/orders/nope").await.problem_title(), "Not Found");
}

#[tokio::test]
async fn a_client_over_its_rate_is_told_so() {
    let shop = Shop::with(&[("dialects.order_processing.rate", "1")]).await;
    let path = "/dialects/order-processing/api/orders";
    let order = serde_json::json!({"customerId": "c", "customerName": "n", "items": [{"productId": "p", "quantity": 1}]});
    let replies = all((0..20).map(|_| shop.post(path, &order))).await;
    let refused = replies.iter().find(|reply| reply.status == 429).expect("one is refused");
    assert_eq!((refused.header("retry-after"), &*refused.problem_title()), ("1", "Too Many Requests"));
    assert!(replies.iter().any(|reply| reply.status == 201), "and one is not");
}

#[tokio::test]
async fn of_200_who_create_an_id_at_once_one_succeeds() {
    let shop = Shop::open().await;
    for (path, body) in [
        ("/dialects/cart-dotnet/order/create-order", serde_json::json!({"OrderId": "same", "ItemsNum": 2})),
        ("/dialects/cart-fastapi/create-order", serde_json::json!({"order_id": "777", "number_of_items": 2})),
    ] {
        let replies = all((0..200).map(|_| shop.post(path, &body))).await;
        let with = |status| replies.iter().filter(|reply| reply.status == status).count();
        assert_eq!((with(200), with(409)), (1, 199), "{path}");
    }
}

#[tokio::test]
async fn orders_of_every_dialect_are_visible_through_v1_with_their_history() {
    let shop = Shop::open().await;
    for (number, dialect) in (1..).zip(DIALECTS) {
        let ask = Create::of(dialect, number);
        let reply = shop.post(&ask.path, &ask.body).await;
        assert!(reply.status < 300, "{dialect}: {}", reply.text());
        let id = ask.id_in(&reply.body);
        let order = shop.order(&id).await;
        assert_eq!(order["dialect"], dialect, "{order:#}");
        let history = shop.get(&format!("{}/events", crate::harness::path(&id))).await.ok(200);
        assert!(history.to_string().contains("OrderCreatedV1"), "{dialect}: {history:#}");
    }
}

/// The systems whose requests we understand.
pub const DIALECTS: [&str; 5] =
    ["order-tracking", "order-processing", "order-fulfilment", "cart-dotnet", "cart-fastapi"];

/// A request for the smallest order of a dialect.
pub struct Create {
    pub path: String,
    pub body: Value,
    id: Id,
}

/// Where the order's id is.
enum Id {
    Asked(String),
    AnsweredAt(&'static str),
}

impl Create {
    /// The number tells it from others where the client names the order.
    pub fn of(dialect: &str, number: u64) -> Self {
        let (call, body, id) = match dialect {
            "order-tracking" => (
                "api/orders",
                json!({"userId": 1, "productName": "x", "quantity": 2, "price": 1.5}),
                Id::AnsweredAt("/data/orderId"),
            ),
            "order-processing" => (
                "api/orders",
                json!({"customerId": "c", "customerName": "n", "items": [{"productId": "p", "quantity": 1}]}),
                Id::AnsweredAt("/orderId"),
            ),
            "order-fulfilment" => (
                "orders",
                json!({"customerEmail": "a@b.c", "productType": "Phone", "country": "US", "paymentScenario": "success"}),
                Id::AnsweredAt("/id"),
            ),
            "cart-dotnet" => {
                let id = format!("cart-{number}");
                ("order/create-order", json!({"OrderId": id, "ItemsNum": 2}), Id::Asked(id))
            }
            _ => (
                "create-order",
                json!({"order_id": number.to_string(), "number_of_items": 1}),
                Id::AnsweredAt("/orderId"),
            ),
        };
        Self { path: format!("/dialects/{dialect}/{call}"), body, id }
    }

    /// The order's id, from the answer if that tells it.
    pub fn id_in(&self, answer: &[u8]) -> String {
        match &self.id {
            Id::Asked(id) => id.clone(),
            Id::AnsweredAt(at) => {
                let answer: Value = serde_json::from_slice(answer).unwrap();
                text(answer.pointer(at).unwrap())
            }
        }
    }
}
