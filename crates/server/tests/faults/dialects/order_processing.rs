//! `order-processing`: its worker hears of orders on a topic and reports over HTTP.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::patch,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::doubles::{
    Golden, Listener, Speaker, about, ask, asked_of_us, beside, get, must_match, only_malformed_is_parked,
    order, orders, until_all_is_read,
};
use crate::cluster::Cluster;

const ROWS: &str = include_str!("../../all/dialects/kafka/order-processing.jsonl");
const ORDERS: &str = "/dialects/order-processing/api/orders";
const TOPIC: &str = "order-events";

#[test]
fn the_old_worker_of_order_processing_ships_what_we_take() {
    let (mut cluster, golden) = (beside("order-processing", "back", &[]), Golden::of(ROWS));
    let mut worker = Listener::new(&cluster, "fulfillment-service-group", &[TOPIC]);
    let (shipped, failed) = (place(&cluster), place(&cluster));
    let heard = worker.until(&mut cluster, 2);
    for id in [&shipped, &failed] {
        let message = about(&heard, id);
        // The old worker reads these names and no others.
        message.must_be(
            golden.row("written on POST /api/orders, setting PascalCase (the old worker stays)"),
            id,
        );
        assert_eq!(message.value["OrderId"], **id);
        let correlation = &order(&cluster, id)["correlationId"];
        assert_eq!(message.value["Metadata"]["CorrelationId"], *correlation);
    }

    tell(&cluster, &shipped, &json!({"status": "Processing"}));
    assert_eq!(get(&cluster, &format!("{ORDERS}/{shipped}"))["status"], "Processing");
    let done = json!({"status": "Shipped", "trackingNumber": "TRACK-0123ABCD", "carrier": "DHL",
        "shippedAt": "2025-01-20T21:09:00Z", "errorMessage": null});
    tell(&cluster, &shipped, &done);
    tell(&cluster, &shipped, &json!({"status": "Processing"})); // late: it changes nothing
    let shown = get(&cluster, &format!("{ORDERS}/{shipped}"));
    let fulfillment = json!({"trackingNumber": "TRACK-0123ABCD", "carrier": "DHL",
        "shippedAt": "<match 2025-01-20T21:09:00(\\.0+)?Z>", "errorMessage": null});
    let expected = json!({"orderId": shipped, "status": "Shipped", "fulfillment": fulfillment});
    must_match(&expected, &shown);

    // The old code writes names so, too.
    tell(&cluster, &failed, &json!({"Status": "Failed", "ErrorMessage": "no such address"}));
    let shown = get(&cluster, &format!("{ORDERS}/{failed}"));
    assert_eq!(
        (&shown["status"], &shown["fulfillment"]["errorMessage"]),
        (&json!("Failed"), &json!("no such address"))
    );

    let ours = order(&cluster, &shipped);
    assert_eq!(ours["status"], "completed", "{ours:#}");
    assert_eq!(ours["shipments"].as_array().unwrap().len(), 1, "{ours:#}");
    assert_eq!(ours["shipments"][0]["trackingNumber"], "TRACK-0123ABCD", "{ours:#}");
    for id in [&shipped, &failed] {
        assert_eq!(asked_of_us(&cluster, id), Vec::<Value>::new(), "our carrier is never asked");
    }
    assert_eq!(ours["neighbours"], json!(["ship"]));
    assert_eq!(get(&cluster, "/v1/events?topic=fulfillment")["events"], json!([]));
    cluster.verify(); // our ledger is not expected to show what others shipped
    assert_eq!(worker.heard().len(), 2);
}

#[test]
fn the_old_front_of_order_processing_is_told_until_it_accepts() {
    let forgotten = "a1b2c3d4-0000-4000-8000-000000000006";
    let front = Front::that_refuses_and_forgot(3, forgotten);
    let url = ("dialects.order_processing.front_url", &*front.url);
    let (mut cluster, golden) = (beside("order-processing", "front", &[url]), Golden::of(ROWS));
    let speaker = Speaker::new(&cluster);
    speaker.say_all(golden.rows(&[
        "read: PascalCase as the old code writes: no SchemaVersion, 7 digits",
        "read: duplicate in the other case: one shipment",
        "read: camelCase, the documented form",
        "read: duplicate: one shipment",
    ]));
    speaker.say(golden.row("read: no metadata")); // the one that the front will have forgotten
    let malformed = golden.malformed(&[TOPIC]);
    speaker.say_all(malformed.iter().copied());
    speaker.say(golden.row("read: after malformed ones the next is read"));

    let ids = ["01", "02", "10"].map(|end| format!("a1b2c3d4-0000-4000-8000-0000000000{end}"));
    cluster.until("the old front knows that all are shipped", |_| {
        ids.iter().all(|id| front.told(id).last().is_some_and(|told| told["status"] == "Shipped"))
    });
    cluster.until("the one that nobody there knows is shipped, too", |cluster| {
        get(cluster, &format!("{ORDERS}/{forgotten}"))["status"] == "Shipped"
    });
    cluster.until("what the front refuses for good is counted", |cluster| {
        let metrics = cluster.get("orders", "/metrics").unwrap().1;
        metrics.contains("cartwright_untold_reports_total{dialect=\"order-processing\"}")
    });
    until_all_is_read(&mut cluster, &[TOPIC]);
    for id in &ids {
        let shown = get(&cluster, &format!("{ORDERS}/{id}"));
        assert_eq!(shown["status"], "Shipped", "{shown}");
        let shipments = &order(&cluster, id)["shipments"];
        assert_eq!(shipments.as_array().unwrap().len(), 1, "{shipments:#}");
        assert_eq!(shipments[0]["trackingNumber"], shown["fulfillment"]["trackingNumber"]);
        front_knows(&front.told(id), &shown["fulfillment"]);
    }
    assert_eq!(front.refusals_left(), 0, "it was told again what it had refused");
    assert_eq!(orders(&cluster).len(), ids.len() + 1);
    only_malformed_is_parked(&cluster, &malformed);
    cluster.verify(); // the ledger shows one shipment for each
}

/// Fails unless the front was told what we know, and nothing late.
fn front_knows(told: &[Value], fulfillment: &Value) {
    let first_shipped = told.iter().position(|told| told["status"] == "Shipped").unwrap();
    for earlier in &told[..first_shipped] {
        assert_eq!(earlier["status"], "Processing", "{told:#?}");
        assert_eq!(earlier["trackingNumber"], Value::Null, "{told:#?}");
    }
    let mut expected = fulfillment.clone();
    expected["status"] = json!("Shipped");
    assert!(expected["trackingNumber"].as_str().unwrap().starts_with("TRACK-"), "{expected}");
    for shipped in &told[first_shipped..] {
        assert_eq!(*shipped, expected, "a repeat says the same");
    }
}

fn place(cluster: &Cluster) -> String {
    let body = json!({"customerId": "customer-123", "customerName": "John Doe",
        "items": [{"productId": "product-456", "quantity": 2}]});
    let (status, answer) = ask(cluster, "POST", ORDERS, &body);
    assert_eq!((status, &answer["status"]), (201, &json!("Created")), "{answer}");
    answer["orderId"].as_str().unwrap().to_owned()
}

/// The old worker reports.
fn tell(cluster: &Cluster, id: &str, report: &Value) {
    let (status, answer) = ask(cluster, "PATCH", &format!("{ORDERS}/{id}/status"), report);
    assert_eq!(status, 204, "{report}: {answer}");
}

/// The old order service, as its worker sees it.
struct Front {
    url: String,
    book: Arc<Mutex<Book>>,
}

struct Book {
    /// Calls that it still refuses.
    refusals: usize,
    /// An order that it does not know (any more).
    forgotten: &'static str,
    /// What it was told, by order.
    told: Vec<(String, Value)>,
}

impl Front {
    /// It refuses so many calls at first, and does not know this order.
    fn that_refuses_and_forgot(refusals: usize, forgotten: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let book = Arc::new(Mutex::new(Book { refusals, forgotten, told: vec![] }));
        let routes = Router::new().route("/api/orders/{id}/status", patch(take)).with_state(book.clone());
        thread::spawn(move || {
            Runtime::new().unwrap().block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, routes).await.unwrap();
            });
        });
        Self { url, book }
    }

    fn told(&self, id: &str) -> Vec<Value> {
        let book = self.book.lock().unwrap();
        book.told.iter().filter(|(order, _)| order == id).map(|(_, told)| told.clone()).collect()
    }

    fn refusals_left(&self) -> usize {
        self.book.lock().unwrap().refusals
    }
}

async fn take(
    State(book): State<Arc<Mutex<Book>>>,
    Path(order): Path<String>,
    Json(told): Json<Value>,
) -> StatusCode {
    let mut book = book.lock().unwrap();
    if book.refusals > 0 {
        book.refusals -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if order == book.forgotten {
        return StatusCode::NOT_FOUND;
    }
    book.told.push((order, told));
    StatusCode::NO_CONTENT
}
