//! An order as the API shows it.

use std::collections::BTreeMap;

use cartwright_core::domain::{
    flow::{By, Life, StepKind},
    order::{
        Action, Address, Cancellation, Charge, Customer, FulfillmentStatus, Line, Milestone, Order,
        OrderStatus, Payment, PaymentStatus, Quantities, Shipment, Totals,
    },
    time::Timestamp,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::dialects;

/// An order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Order)]
pub struct OrderView<'a> {
    /// Its id.
    #[schema(value_type = String)]
    pub id: &'a str,
    /// Our short number: unique, rising, gaps allowed.
    pub number: String,
    /// The client's own id, unique in its channel.
    pub external_id: Option<&'a str>,
    /// The dialect of an older system by which it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<&'a str>,
    /// What its client calls its state, in a dialect whose clients do so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_status: Option<&'a str>,
    /// How it stands in the word of its dialect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect_status: Option<&'a str>,
    /// The sales channel.
    pub channel: Option<&'a str>,
    /// Rises by one with every change.
    pub version: u64,
    /// The name of its flow.
    pub flow: &'a str,
    /// Where it stands; anything but `open` is final.
    pub status: OrderStatus,
    /// The last milestone reached.
    pub milestone: Milestone,
    /// Whether the next step is held back.
    pub on_hold: bool,
    /// What it waits for, while it is open.
    pub waiting_for: Option<WaitingFor<'a>>,
    /// The steps that a part of an older system does, which stays beside us.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<StepKind>,
    /// Who ordered.
    pub customer: &'a Customer,
    /// ISO 4217.
    #[schema(value_type = String)]
    pub currency: &'static str,
    /// Decimals of the amounts, where they differ from the currency's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
    /// What was ordered.
    pub lines: Vec<LineView<'a>>,
    /// What is added.
    pub charges: &'a [Charge],
    /// The sums.
    pub totals: Totals,
    /// Where to.
    pub ship_to: Option<&'a Address>,
    /// Who pays.
    pub bill_to: Option<&'a Address>,
    /// All payments together.
    pub payment_status: PaymentStatus,
    /// The payments.
    pub payments: &'a [Payment],
    /// All shipments together.
    pub fulfillment_status: FulfillmentStatus,
    /// The shipments.
    pub shipments: &'a [Shipment],
    /// The last cancellation asked for.
    pub cancellation: Option<&'a Cancellation>,
    /// The commands that the order would accept now.
    pub actions: Vec<Action>,
    /// Ties together everything about this order.
    pub correlation_id: Uuid,
    /// The client's own notes.
    pub metadata: &'a BTreeMap<String, String>,
    /// When it was placed.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
}

/// A line of an order.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Line)]
pub struct LineView<'a> {
    /// Unique in its order.
    #[schema(value_type = String)]
    pub id: &'a str,
    /// The article.
    #[schema(value_type = String)]
    pub sku: &'a str,
    /// What it is called.
    pub name: Option<&'a str>,
    /// How many.
    pub quantity: u32,
    /// What one costs; null for orders without prices.
    pub unit_price: Option<i64>,
    /// Taken off the line.
    pub discount: i64,
    /// The line's tax.
    pub tax: i64,
    /// quantity · unitPrice − discount + tax.
    pub total: i64,
    /// What has happened to the quantity.
    pub quantities: Quantities,
}

/// The step whose answer an order waits for.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingFor<'a> {
    /// The step's id.
    pub step: String,
    /// What it does.
    pub kind: StepKind,
    /// How far it is.
    pub state: Life,
    /// Since when.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// Why it is not through.
    pub reason: Option<&'a str>,
    /// When it will be tried again.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_try_at: Option<Timestamp>,
}

impl<'a> OrderView<'a> {
    /// The order as the API shows it.
    pub fn of(order: &'a Order) -> Self {
        let placed = &*order.placed;
        Self {
            id: order.id.as_str(),
            number: order.number.to_string(),
            external_id: placed.external_id.as_deref(),
            dialect: placed.dialect.as_deref(),
            client_status: order.word.as_deref(),
            dialect_status: placed.dialect.is_some().then(|| dialects::word(order)),
            channel: placed.channel.as_deref(),
            version: order.version,
            flow: &placed.flow,
            status: order.status,
            milestone: order.milestone,
            on_hold: order.on_hold,
            waiting_for: order.awaited().map(|step| WaitingFor {
                step: order.step_id(step.number).to_string(),
                kind: step.kind,
                state: step.life,
                since: step.since,
                reason: step.reason.as_deref(),
                next_try_at: step.next_try_at,
            }),
            neighbours: order
                .steps
                .iter()
                .filter(|step| step.by == By::Neighbour)
                .map(|step| step.kind)
                .collect(),
            customer: &placed.customer,
            currency: placed.currency.code(),
            scale: placed.scale,
            lines: placed
                .lines
                .iter()
                .zip(&order.quantities)
                .map(|(line, q)| LineView::of(line, *q))
                .collect(),
            charges: &placed.charges,
            totals: placed.totals,
            ship_to: placed.ship_to.as_ref(),
            bill_to: placed.bill_to.as_ref(),
            payment_status: order.payment_status(),
            payments: &order.payments,
            fulfillment_status: order.fulfillment_status(),
            shipments: &order.shipments,
            cancellation: order.cancellation.as_ref(),
            actions: order.actions(),
            correlation_id: order.correlation_id,
            metadata: &placed.metadata,
            created_at: order.created_at,
            updated_at: order.updated_at,
        }
    }

    /// The order's JSON.
    pub fn json(order: &Order) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2048);
        // Plain structs with text keys: writing them into memory has no way to fail.
        serde_json::to_writer(&mut bytes, &OrderView::of(order)).unwrap_or_default();
        bytes
    }
}

impl<'a> LineView<'a> {
    fn of(line: &'a Line, quantities: Quantities) -> Self {
        Self {
            id: &line.id,
            sku: &line.sku,
            name: line.name.as_deref(),
            quantity: line.quantity,
            unit_price: line.unit_price,
            discount: line.discount,
            tax: line.tax,
            total: line.total,
            quantities,
        }
    }
}
