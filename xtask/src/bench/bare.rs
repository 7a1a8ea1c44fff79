//! The limit above us: a handler that reads an order into typed structs and answers with the whole order, but decides
//! and stores nothing.

use std::{collections::BTreeMap, net::Ipv4Addr};

use axum::{
    Json, Router,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::{get, post},
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::Failure;

/// Serves on a free port until it is killed; prints its address as the real server does.
///
/// # Errors
/// No port can be had.
#[tokio::main]
pub async fn run() -> Result<bool, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("  API        http://{}/v1/orders", listener.local_addr()?);
    axum::serve(listener, router()).await?;
    Ok(true)
}

fn router() -> Router {
    Router::new()
        .route("/v1/orders", post(place))
        .route("/create-order", post(create))
        .route("/health/ready", get(async || StatusCode::OK))
}

/// The old cart's request, of which nothing is made.
async fn create(Json(asked): Json<NewCart>) -> impl IntoResponse {
    let id = format!("ORD-{}", asked.order_id.trim_start_matches("ORD-"));
    let order: Vec<u32> = (0..asked.number_of_items).collect();
    Json(Created { message: "order created and published successfully", order_id: id, items: order.len() })
}

#[derive(Deserialize)]
struct NewCart {
    order_id: String,
    number_of_items: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    message: &'static str,
    order_id: String,
    items: usize,
}

async fn place(Json(asked): Json<NewOrder>) -> impl IntoResponse {
    let order = OrderView::of(asked);
    let headers =
        [(header::LOCATION, format!("/v1/orders/{}", order.id)), (header::ETAG, "\"1\"".to_owned())];
    (StatusCode::CREATED, headers, Json(order))
}

/// An order as a client states it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewOrder {
    id: Option<String>,
    external_id: Option<String>,
    channel: Option<String>,
    flow: Option<String>,
    correlation_id: Option<Uuid>,
    customer: Customer,
    currency: String,
    #[expect(dead_code, reason = "read as the server reads it")]
    scale: Option<u8>,
    lines: Vec<NewLine>,
    #[serde(default)]
    charges: Vec<Charge>,
    #[expect(dead_code, reason = "read as the server reads it")]
    totals: Option<Totals>,
    ship_to: Option<Address>,
    bill_to: Option<Address>,
    #[expect(dead_code, reason = "read as the server reads it")]
    payment: Option<Intent>,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewLine {
    id: Option<String>,
    sku: String,
    name: Option<String>,
    quantity: u32,
    unit_price: Option<i64>,
    #[serde(default)]
    discount: i64,
    #[serde(default)]
    tax: i64,
    #[expect(dead_code, reason = "read as the server reads it")]
    total: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "read as the server reads it")]
struct Intent {
    provider: Option<String>,
    token: Option<String>,
    scenario: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Customer {
    id: String,
    name: Option<String>,
    email: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Charge {
    #[serde(rename = "type")]
    kind: String,
    amount: i64,
    #[serde(default)]
    tax: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Totals {
    lines: i64,
    charges: i64,
    tax: i64,
    total: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Address {
    name: Option<String>,
    company: Option<String>,
    line1: Option<String>,
    line2: Option<String>,
    city: Option<String>,
    region: Option<String>,
    postal_code: Option<String>,
    country: Option<String>,
    phone: Option<String>,
}

/// An order as the API shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrderView {
    id: String,
    number: String,
    external_id: Option<String>,
    channel: Option<String>,
    version: u64,
    flow: String,
    status: &'static str,
    milestone: &'static str,
    on_hold: bool,
    waiting_for: WaitingFor,
    customer: Customer,
    currency: String,
    lines: Vec<LineView>,
    charges: Vec<Charge>,
    totals: Totals,
    ship_to: Option<Address>,
    bill_to: Option<Address>,
    payment_status: &'static str,
    payments: [Payment; 1],
    fulfillment_status: &'static str,
    shipments: [(); 0],
    cancellation: Option<()>,
    actions: [&'static str; 2],
    correlation_id: Uuid,
    metadata: BTreeMap<String, String>,
    created_at: jiff::Timestamp,
    updated_at: jiff::Timestamp,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WaitingFor {
    step: String,
    kind: &'static str,
    state: &'static str,
    since: jiff::Timestamp,
    reason: Option<()>,
    next_try_at: Option<()>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LineView {
    id: String,
    sku: String,
    name: Option<String>,
    quantity: u32,
    unit_price: Option<i64>,
    discount: i64,
    tax: i64,
    total: i64,
    quantities: Quantities,
}

#[derive(Default, Serialize)]
struct Quantities {
    cancelled: u32,
    shipped: u32,
    returned: u32,
}

#[derive(Serialize)]
struct Payment {
    id: Uuid,
    provider: &'static str,
    status: &'static str,
    reference: Option<()>,
    authorized: i64,
    captured: i64,
    refunded: i64,
    reason: Option<()>,
}

impl OrderView {
    fn of(asked: NewOrder) -> Self {
        let now = jiff::Timestamp::now();
        let id = asked.id.unwrap_or_else(|| Uuid::now_v7().to_string());
        let lines: Vec<LineView> = (1..).zip(asked.lines).map(|(n, line)| LineView::of(n, line)).collect();
        let sum: i64 = lines.iter().map(|line| line.total).sum();
        let charges: i64 = asked.charges.iter().map(|charge| charge.amount + charge.tax).sum();
        let tax =
            lines.iter().map(|line| line.tax).chain(asked.charges.iter().map(|charge| charge.tax)).sum();
        Self {
            number: "1".to_owned(),
            external_id: asked.external_id,
            channel: asked.channel,
            version: 1,
            flow: asked.flow.unwrap_or_else(|| "standard".to_owned()),
            status: "open",
            milestone: "created",
            on_hold: false,
            waiting_for: WaitingFor {
                step: format!("{id}:1"),
                kind: "pay",
                state: "requested",
                since: now,
                reason: None,
                next_try_at: None,
            },
            customer: asked.customer,
            currency: asked.currency,
            lines,
            charges: asked.charges,
            totals: Totals { lines: sum, charges, tax, total: sum + charges },
            ship_to: asked.ship_to,
            bill_to: asked.bill_to,
            payment_status: "pending",
            payments: [Payment {
                id: Uuid::now_v7(),
                provider: "simulated",
                status: "pending",
                reference: None,
                authorized: 0,
                captured: 0,
                refunded: 0,
                reason: None,
            }],
            fulfillment_status: "pending",
            shipments: [],
            cancellation: None,
            actions: ["cancel", "hold"],
            correlation_id: asked.correlation_id.unwrap_or_else(Uuid::now_v7),
            metadata: asked.metadata,
            created_at: now,
            updated_at: now,
            id,
        }
    }
}

impl LineView {
    fn of(n: u32, line: NewLine) -> Self {
        let total = i64::from(line.quantity) * line.unit_price.unwrap_or_default() - line.discount + line.tax;
        Self {
            id: line.id.unwrap_or_else(|| n.to_string()),
            sku: line.sku,
            name: line.name,
            quantity: line.quantity,
            unit_price: line.unit_price,
            discount: line.discount,
            tax: line.tax,
            total,
            quantities: Quantities::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_has_the_shape_of_an_order() {
        let asked = r#"{"customer":{"id":"customer-123"},"currency":"USD",
            "lines":[{"sku":"product-456","quantity":2,"unitPrice":129999}],"charges":[{"type":"shipping","amount":500}]}"#;
        let order = serde_json::to_value(OrderView::of(serde_json::from_str(asked).unwrap())).unwrap();
        assert_eq!(order["totals"]["total"], 260_498);
        assert_eq!(order["lines"][0]["quantities"]["shipped"], 0);
        assert_eq!(order["actions"], serde_json::json!(["cancel", "hold"]));
        assert!(order["createdAt"].is_string() && order["shipments"].as_array().is_some_and(Vec::is_empty));
    }
}
