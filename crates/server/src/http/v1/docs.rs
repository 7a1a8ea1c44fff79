//! Shapes that exist for the documentation: bodies are read field by field, so that all bad fields are named at once.
#![expect(dead_code, reason = "these are only described, never made")]

use std::collections::BTreeMap;

use cartwright_core::domain::order::{Actor, Address, CancelReason, Charge, Customer, Milestone, Totals};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::OrderView;

/// A new order. Needed: `customer.id`, `currency`, `lines`.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({
    "customer": {"id": "customer-123", "name": "John Doe"}, "currency": "USD",
    "lines": [{"sku": "product-456", "quantity": 2, "unitPrice": 129_999}]
}))]
pub struct NewOrder {
    /// 1–128 bytes without control characters; ours if left out.
    id: Option<String>,
    /// Your own id for it, unique in its channel.
    external_id: Option<String>,
    /// The sales channel.
    channel: Option<String>,
    /// `standard` (pay, schedule, ship), `scheduled`, `ship-only`, `processing` or `manual`.
    flow: Option<String>,
    /// Who orders.
    customer: Customer,
    /// ISO 4217; `XXX` for orders without prices.
    currency: String,
    /// Decimals of the amounts, where they differ from the currency's own.
    scale: Option<u8>,
    /// 1 to 1000 lines.
    lines: Vec<NewLine>,
    /// What is added.
    charges: Option<Vec<Charge>>,
    /// If stated, they are checked exactly.
    totals: Option<Totals>,
    /// Where to.
    ship_to: Option<Address>,
    /// Who pays.
    bill_to: Option<Address>,
    /// How it is paid.
    payment: Option<NewPayment>,
    /// What ties everything about the order together; ours if left out.
    correlation_id: Option<Uuid>,
    /// Your own notes: at most 50 keys of 40 characters with values of 500.
    metadata: Option<BTreeMap<String, String>>,
}

/// A line of a new order.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NewLine {
    /// Unique in its order; its place, from 1, if left out.
    id: Option<String>,
    /// The article.
    sku: String,
    /// What it is called.
    name: Option<String>,
    /// 1 to 10000.
    quantity: u32,
    /// What one costs; left out when the currency is XXX.
    unit_price: Option<i64>,
    /// Taken off the line.
    discount: Option<i64>,
    /// The line's tax.
    tax: Option<i64>,
    /// If stated: quantity · unitPrice − discount + tax.
    total: Option<i64>,
}

/// How a new order is paid.
#[derive(ToSchema)]
pub struct NewPayment {
    /// Which provider.
    provider: Option<String>,
    /// What stands for the means of payment.
    token: Option<String>,
    /// Steers the simulated payment provider (`success`, `decline`, `timeout`, `pending`, `error`, `slow`) or the simulated
    /// carrier (`ship-success`, `ship-decline`, `ship-timeout`, `ship-pending`, `ship-error`, `ship-slow`); real ones heed
    /// none.
    scenario: Option<String>,
}

/// Why an order is called off.
#[derive(ToSchema)]
pub struct Cancel {
    /// Why.
    reason: CancelReason,
    /// In your own words.
    note: Option<String>,
}

/// A note.
#[derive(ToSchema)]
pub struct Note {
    /// In your own words.
    note: Option<String>,
}

/// What can be changed of an order.
#[derive(ToSchema)]
pub struct Patch {
    /// How far it is (flow `manual` only).
    milestone: Milestone,
}

/// A page of orders.
#[derive(ToSchema)]
pub struct OrderList<'a> {
    /// The orders.
    orders: Vec<OrderView<'a>>,
    /// Give this as `cursor` for the next page; null on the last one.
    next: Option<String>,
}

/// A page of events.
#[derive(ToSchema)]
pub struct EventList {
    /// The events, oldest first.
    events: Vec<Event>,
    /// Give this as `after` to go on (topics only).
    next: Option<String>,
}

/// An event.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Event {
    /// Unique.
    event_id: Uuid,
    /// Such as `OrderCreatedV1`.
    event_type: String,
    /// The payload's version.
    event_version: u32,
    /// RFC 3339, UTC.
    occurred_at: String,
    /// Carried unchanged from the order.
    correlation_id: Uuid,
    /// The event that brought this about.
    causation_id: Option<Uuid>,
    /// The service that says so.
    source: String,
    /// Counts the events of the source about this order.
    sequence: u64,
    /// Who brought it about.
    actor: Actor,
    /// What happened.
    #[schema(value_type = Object)]
    payload: (),
}
