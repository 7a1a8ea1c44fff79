//! Orders by way of the older systems, from clients that take an answer that does not come for no answer.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use reqwest::Client;
use serde_json::{Value, json};

use crate::harness::{LIMIT, text};

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it rests after each.
const REST: Duration = Duration::from_millis(15);

/// An order that was answered: its dialect and its id.
type Answered = (&'static str, String);

/// Clients of all five systems.
pub struct Chatter {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Answered>>,
}

impl Chatter {
    /// They begin to ask the system there, whether it is there or not.
    pub fn with(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (url, over) = (url.to_owned(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(talk(&url, &over))
        });
        Self { stop, thread }
    }

    /// They ask no more. Whatever was answered is there, and nothing of it is stuck.
    pub fn end(self, url: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let answered = self.thread.join().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = Client::new();
            for dialect in DIALECTS {
                assert!(
                    answered.iter().any(|(name, _)| *name == dialect),
                    "nothing came by way of {dialect}"
                );
            }
            for (dialect, id) in answered {
                until_it_rests(&client, url, dialect, &id).await;
            }
        });
    }
}

const DIALECTS: [&str; 5] =
    ["order-tracking", "order-processing", "order-fulfilment", "cart-dotnet", "cart-fastapi"];

/// A request, and where the answer has the id, if it has it.
fn request(dialect: &str, number: u64) -> (&'static str, Value, Option<&'static str>) {
    match dialect {
        "order-tracking" => (
            "order-tracking/api/orders",
            json!({"userId": 1, "productName": "x", "quantity": 2, "price": 1.5}),
            Some("/data/orderId"),
        ),
        "order-processing" => (
            "order-processing/api/orders",
            json!({"customerId": "c", "customerName": "n", "items": [{"productId": "p", "quantity": 1}]}),
            Some("/orderId"),
        ),
        "order-fulfilment" => (
            "order-fulfilment/orders",
            json!({"customerEmail": "a@b.c", "productType": "Phone", "country": "US", "paymentScenario": "success"}),
            Some("/id"),
        ),
        "cart-dotnet" => (
            "cart-dotnet/order/create-order",
            json!({"OrderId": format!("cart-{number}"), "ItemsNum": 2}),
            None,
        ),
        _ => (
            "cart-fastapi/create-order",
            json!({"order_id": number.to_string(), "number_of_items": 1}),
            Some("/orderId"),
        ),
    }
}

async fn talk(url: &str, over: &AtomicBool) -> Vec<Answered> {
    let client = Client::builder().timeout(PATIENCE).build().unwrap();
    let mut answered = vec![];
    for (number, dialect) in (1..).zip(DIALECTS.into_iter().cycle()) {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let (path, body, id_at) = request(dialect, number);
        let reply = client.post(format!("{url}/dialects/{path}")).json(&body).send().await;
        // What is half answered is not answered.
        if let Ok(reply) = reply
            && reply.status().is_success()
            && let Ok(body) = reply.text().await
        {
            let found: Value = serde_json::from_str(&body).unwrap_or_default();
            let id = id_at.map_or(format!("cart-{number}"), |at| text(found.pointer(at).unwrap()));
            answered.push((dialect, id));
        }
        tokio::time::sleep(REST).await;
    }
    answered
}

/// Carts are left as they are; all others go on by themselves.
async fn until_it_rests(client: &Client, url: &str, dialect: &str, id: &str) {
    let until = std::time::Instant::now() + 4 * LIMIT;
    loop {
        let reply = client.get(format!("{url}/v1/orders/{id}")).send().await.unwrap();
        let (status, order) = (reply.status(), reply.json::<Value>().await.unwrap());
        if status != 503 {
            assert_eq!(status, 200, "{dialect} order {id} was answered, and is not there: {order:#}");
            assert_eq!(order["dialect"], dialect, "{order:#}");
            let rests = dialect.starts_with("cart-") || order["milestone"] == "scheduled";
            if rests || order["status"] != "open" {
                return;
            }
        }
        assert!(std::time::Instant::now() < until, "it is stuck, or the server does not start: {order:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
