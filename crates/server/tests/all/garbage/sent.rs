//! Sending garbage to a real server, and what every answer to it must be like.

use std::cell::RefCell;

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{ORDERS, PAUSED, Reply, Shop, fields, path, small_with, text};

/// A server that runs for all cases, so that a case costs no more than its requests.
pub struct Target {
    pub shop: Shop,
    runtime: Runtime,
}

impl Target {
    /// A server whose orders stay where they are: `m` takes a milestone, `s` a hold, and `h` is on hold.
    pub fn open() -> Self {
        let runtime = Runtime::new().unwrap();
        let shop = runtime.block_on(async {
            let shop = Shop::with(&[PAUSED]).await;
            shop.place(&small_with(json!({"id": "m", "flow": "manual"}))).await;
            for id in ["s", "h"] {
                shop.place(&small_with(json!({"id": id}))).await;
            }
            shop.command("h", "hold", &json!({})).await.ok(200);
            shop.place(&full()).await; // what is spoiled below is good as it is
            shop
        });
        Self { shop, runtime }
    }

    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Sends so many requests. No answer may be a 5xx, a refusal says why, and what was refused leaves no trace.
    pub fn check<S: Strategy>(
        &self,
        cases: u32,
        values: &S,
        send: impl AsyncFn(&Shop, S::Value) -> Result<Reply, TestCaseError>,
    ) {
        let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(cases) };
        let before = RefCell::new(self.run(self.shop.traces()));
        let checked = TestRunner::new(config).run(values, |value| {
            let reply = self.run(send(&self.shop, value))?;
            let traces = self.run(self.shop.traces());
            if reply.status >= 400 {
                prop_assert_eq!(
                    &traces,
                    &*before.borrow(),
                    "what was refused leaves a trace: {}",
                    reply.text()
                );
                refused(&reply)?;
            }
            before.replace(traces);
            Ok(())
        });
        checked.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(self.run(self.shop.get("/health/live")).status, 200);
    }
}

/// A refusal is the client's to mend, and a problem document that says how.
fn refused(reply: &Reply) -> Result<(), TestCaseError> {
    prop_assert!(reply.status < 500, "{} {}", reply.status, reply.text());
    let problem = reply.problem(reply.status);
    for error in problem["errors"].as_array().into_iter().flatten() {
        prop_assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{problem:#}");
    }
    if problem["type"] == "urn:cartwright:problem:invalid-fields" {
        prop_assert_eq!(reply.status, 400);
        prop_assert!(!fields(&problem).is_empty(), "no field is named: {problem:#}");
    }
    Ok(())
}

/// The fields that are named in a refusal lie in the body, or are missing from what lies there.
pub fn names_fields_of(reply: &Reply, body: &Value) -> Result<(), TestCaseError> {
    let problem: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let repeated: Vec<String> = problem["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|error| error["message"].as_str().is_some_and(|message| message.contains("more than once")))
        .map(|error| text(&error["field"]))
        .collect();
    for field in fields(&problem).iter().filter(|field| field.starts_with('/')) {
        let parent = field.rsplit_once('/').map_or("", |(parent, _)| parent);
        // Of a name that stands twice we see one here, and the other may hold what is named.
        let in_a_twin = repeated.iter().any(|twin| field.starts_with(twin.as_str()));
        // Sums are ours where the client states none.
        let there = body.pointer(parent).is_some() || parent == "/totals" || in_a_twin;
        prop_assert!(there, "{field} is nowhere in {body}");
    }
    Ok(())
}

/// An order that was taken can be read back, and is what was sent.
pub async fn stands(shop: &Shop, reply: &Reply, sent: &Value) -> Result<(), TestCaseError> {
    let answered: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let read = shop.get(&path(&text(&answered["id"]))).await;
    prop_assert_eq!(read.status, 200, "{}", read.text());
    prop_assert_eq!(&read.body, &reply.body, "it is read back as it was answered");
    for (name, value) in sent.as_object().into_iter().flatten() {
        // A token is nobody's business; ids are lower-cased where they are UUIDs; a scale is shown where it differs.
        if !matches!(name.as_str(), "payment" | "id" | "correlationId" | "scale") {
            prop_assert!(shows(value, &answered[name]), "{name} is {}, and {value} was sent", answered[name]);
        }
    }
    Ok(())
}

/// Whether an answer holds all that was sent.
fn shows(sent: &Value, answered: &Value) -> bool {
    match (sent, answered) {
        (Value::Null, _) => true,
        (Value::Object(sent), Value::Object(answered)) => {
            sent.iter().all(|(name, value)| answered.get(name).is_some_and(|shown| shows(value, shown)))
        }
        (Value::Array(sent), Value::Array(answered)) => {
            sent.len() == answered.len() && sent.iter().zip(answered).all(|(sent, shown)| shows(sent, shown))
        }
        (Value::Object(sent), Value::Null) => sent.is_empty(),
        (Value::Array(sent), Value::Null) => sent.is_empty(),
        _ => sent == answered,
    }
}

/// An order that states all that can be stated.
pub fn full() -> Value {
    let address = json!({"name": "N", "company": "C", "line1": "1", "line2": "2", "city": "x", "region": "r",
        "postalCode": "p", "country": "DE", "phone": "+1"});
    json!({
        "flow": "manual", "channel": "web", "correlationId": "0198C0DE-0000-7000-8000-00000000000A",
        "customer": {"id": "c-1", "name": "N", "email": "a@b"}, "currency": "USD", "scale": 3,
        "lines": [
            {"id": "1", "sku": "a", "name": "A", "quantity": 2, "unitPrice": 500, "discount": 1, "tax": 2, "total": 1001},
            {"id": "2", "sku": "b", "quantity": 1, "unitPrice": 7},
        ],
        "charges": [{"type": "shipping", "amount": 5, "tax": 1}], "totals": {"lines": 1006},
        "payment": {"provider": "simulated", "token": "t", "scenario": "slow"},
        "shipTo": address, "billTo": address, "metadata": {"a": "b", "c": ""},
    })
}

/// A method and a path that takes a body, and a good body for it.
pub fn calls() -> [(&'static str, String, Value); 6] {
    [
        ("POST", ORDERS.to_owned(), full()),
        ("PUT", path("put"), full()),
        ("PATCH", path("m"), json!({"milestone": "shipped"})),
        ("POST", path("m") + "/cancel", json!({"reason": "other", "note": "n"})),
        ("POST", path("s") + "/hold", json!({"note": "n"})),
        ("POST", path("h") + "/release", json!({"note": "n"})),
    ]
}
