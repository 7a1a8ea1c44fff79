//! An adapter between Cartwright and a payment API: copy it, and put your API where `bank` is.
//!
//! ```sh
//! cargo run --example payment_adapter
//! CARTWRIGHT__PAYMENTS__PROVIDER=http CARTWRIGHT__PAYMENTS__URL=http://127.0.0.1:9090 cartwright up
//! ```
//!
//! In a package of your own it needs `cargo add axum serde_json` and `cargo add tokio --features macros,net,rt-multi-thread`.
//!
//! It answers the calls of docs/providers.md. What it has to get right is one thing: a key is one operation, however often
//! it comes, and a key that was voided is refused from then on. This one remembers keys in memory, so it forgets them when
//! it stops; a real one keeps them in a database, and writes the key down *before* it calls the API, or hands
//! Cartwright's key on to an API that has idempotency keys itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::{Value, json};

/// What was answered under each key. An entry is never taken out.
type Operations = Arc<Mutex<HashMap<String, Value>>>;
type Answer = (StatusCode, Json<Value>);

#[tokio::main]
#[allow(dead_code, reason = "a test runs the adapter inside itself")]
async fn main() -> std::io::Result<()> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9090".to_owned());
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("the payment adapter listens on http://{}", listener.local_addr()?);
    axum::serve(listener, adapter()).await
}

pub fn adapter() -> Router {
    Router::new()
        .route("/authorize", post(authorize))
        .route("/void", post(void))
        .route("/operations/{key}", get(operation))
        .with_state(Operations::default())
}

/// Reserves money, once for each key.
async fn authorize(
    State(operations): State<Operations>,
    headers: HeaderMap,
    Json(order): Json<Value>,
) -> Answer {
    let Some(key) = key_of(&headers) else { return refuse("the header Idempotency-Key is missing") };
    let mut operations = operations.lock().expect("nobody panics while holding it");
    if let Some(answer) = operations.get(&key) {
        return match answer["status"].as_str() {
            Some("voided") => refuse("this operation was voided"),
            _ => (StatusCode::OK, Json(answer.clone())),
        };
    }
    let answer = match bank::reserve(&order) {
        Ok(reference) => json!({"status": "approved", "reference": reference, "reason": null}),
        Err(reason) => json!({"status": "declined", "reference": null, "reason": reason}),
    };
    operations.insert(key, answer.clone());
    (StatusCode::OK, Json(answer))
}

/// Gives the money back, if there is any, and refuses the operation's key from now on, seen or not.
async fn void(State(operations): State<Operations>, Json(asked): Json<Value>) -> Answer {
    let Some(key) = asked["operation"].as_str() else { return refuse("the field operation is missing") };
    let voided = json!({"status": "voided"});
    let before =
        operations.lock().expect("nobody panics while holding it").insert(key.to_owned(), voided.clone());
    if let Some(reference) = before.as_ref().and_then(|answer| answer["reference"].as_str()) {
        bank::give_back(reference);
    }
    (StatusCode::OK, Json(voided))
}

/// What came of an operation. 404 says only that it has not been seen yet.
async fn operation(State(operations): State<Operations>, Path(key): Path<String>) -> Answer {
    match operations.lock().expect("nobody panics while holding it").get(&key) {
        Some(answer) => (StatusCode::OK, Json(answer.clone())),
        None => (StatusCode::NOT_FOUND, Json(json!({"reason": "not seen yet"}))),
    }
}

fn key_of(headers: &HeaderMap) -> Option<String> {
    headers.get("idempotency-key")?.to_str().ok().map(str::to_owned)
}

/// 4xx is final: the order fails. What may pass by itself is 5xx, or 429 with `Retry-After`.
fn refuse(reason: &str) -> Answer {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"reason": reason})))
}

/// The imaginary payment API.
mod bank {
    use serde_json::Value;

    /// The most that it reserves.
    const LIMIT: i64 = 1_000_000;

    /// Reserves the money; says under which reference.
    pub fn reserve(order: &Value) -> Result<String, &'static str> {
        match order["amount"].as_i64() {
            Some(amount) if amount <= LIMIT => {
                Ok(format!("bank-{}", order["orderId"].as_str().unwrap_or("?")))
            }
            Some(_) => Err("over the limit"),
            None => Err("no amount"),
        }
    }

    /// Gives it back.
    pub fn give_back(reference: &str) {
        println!("given back: {reference}");
    }
}
