//! `order-fulfilment` on Kafka: its front says what was ordered, its workers what they did, all in one envelope.

use std::time::Duration;

use cartwright_core::{
    domain::{
        flow::StepKind,
        ids::{OrderId, derive_uuid},
        order::{Order, Report},
        time::Timestamp,
    },
    events::{Envelope, Payload},
    ports::Headers,
    services::{Said, Saying},
};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    super::order_fulfilment::{self as room, Asked, NAME, SCENARIO},
    Form, Letters, Message, Written, dates,
    fields::{Fields, Names, any_text, count, guid, moment, one_of, order_id, text},
    heard::Taken,
};
use crate::control::DECLINED;

const ORDERS: &str = "orders.events.v1";
const PAYMENTS: &str = "payments.events.v1";
const FULFILLMENT: &str = "fulfillment.events.v1";

const CREATED: &str = "OrderCreatedV1";
const AUTHORIZED: &str = "PaymentAuthorizedV1";
const FAILED: &str = "PaymentFailedV1";
const SCHEDULED: &str = "FulfillmentScheduledV1";

/// How this system's simulated provider puts it.
const CARD_DECLINED: &str = "Card declined (demo)";
/// How far ahead its worker plans.
const AHEAD: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// Characters of a reason, at most.
const MAX_REASON: usize = 1_000;

/// How this system speaks.
pub const FORM: Form = Form { front: &[ORDERS], back: &[PAYMENTS, FULFILLMENT], write, read };

/// What surrounds every event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Enveloped {
    event_id: Uuid,
    event_type: &'static str,
    event_version: u32,
    occurred_at: Timestamp,
    correlation_id: Uuid,
    causation_id: Option<Uuid>,
    payload: Value,
}

fn write(event: &Envelope, order: &Order, _: Letters) -> Vec<Written> {
    let id = order.id.as_str();
    let (topic, kind, cause, payload) = match &event.payload {
        Payload::OrderCreated(_) => (ORDERS, CREATED, None, created(order)),
        // Nothing is to be scheduled before it is paid.
        Payload::StepRequested(asked) if asked.work.kind() == StepKind::Schedule => {
            (PAYMENTS, AUTHORIZED, Some(CREATED), json!({"orderId": id}))
        }
        Payload::OrderFailed(failed) => {
            let reason = if failed.reason == DECLINED { CARD_DECLINED } else { &failed.reason };
            (PAYMENTS, FAILED, Some(CREATED), json!({"orderId": id, "reason": reason}))
        }
        Payload::OrderCompleted(_) => {
            let planned = order.shipments.last().and_then(|shipment| shipment.eta);
            let eta = planned.unwrap_or_else(|| event.occurred_at.plus(AHEAD));
            (FULFILLMENT, SCHEDULED, Some(AUTHORIZED), json!({"orderId": id, "etaUtc": eta}))
        }
        _ => return vec![],
    };
    let enveloped = Enveloped {
        event_id: event_id(order, kind),
        event_type: kind,
        event_version: 1,
        occurred_at: event.occurred_at,
        correlation_id: order.correlation_id,
        causation_id: cause.map(|cause| event_id(order, cause)),
        payload,
    };
    let correlation = order.correlation_id.to_string();
    let headers: Headers = [("eventType", kind), ("correlationId", &*correlation)].into_iter().collect();
    vec![Written { headers, ..Written::about(order, topic, &enveloped) }]
}

fn created(order: &Order) -> Value {
    let view = room::view(order);
    json!({
        "orderId": order.id,
        "customerEmail": view.customer_email,
        "productType": view.product_type,
        "country": view.country,
        "paymentScenario": order.placed.metadata.get(SCENARIO),
    })
}

/// The id of what happened to an order once: its own for an order that a neighbour took, which only those have a key of.
fn event_id(order: &Order, kind: &str) -> Uuid {
    let theirs = order.placed_by.key.as_deref().filter(|_| kind == CREATED);
    theirs
        .and_then(|key| Uuid::try_parse(key).ok())
        .unwrap_or_else(|| derive_uuid(NAME, &[order.id.as_str(), kind]))
}

fn read(message: &Message<'_>) -> Result<Said, String> {
    let fields = Fields::of(message.value, Names::AnyCase)?;
    let event_id = fields.get("eventId", guid())?;
    let kinds: &[&str] = match message.topic {
        ORDERS => &[CREATED],
        PAYMENTS => &[AUTHORIZED, FAILED],
        _ => &[SCHEDULED],
    };
    let kind = fields.get("eventType", one_of(kinds))?;
    fields.get_if_any("eventVersion", count(1))?;
    let occurred_at = fields.get_if_any("occurredAt", moment(dates::iso))?;
    let correlation_id = fields.get_if_any("correlationId", guid())?;
    let payload = fields.object("payload")?;
    // The old workers take no other ids.
    let read_id = |text: &str| Uuid::try_parse(text).ok().map(OrderId::from);
    let order = payload.get("orderId", order_id("a UUID", read_id))?;
    message.has_key_of(&order, read_id)?;
    let (kind, report, eta) = match &*kind {
        AUTHORIZED => (StepKind::Pay, Report::Done, None),
        FAILED => (StepKind::Pay, Report::Refused { reason: payload.get("reason", text(MAX_REASON))? }, None),
        SCHEDULED => (StepKind::Schedule, Report::Done, Some(payload.get("etaUtc", moment(dates::iso))?)),
        _ => return read_created(event_id, order, correlation_id, occurred_at, &payload),
    };
    Ok(Said { event_id, order, dialect: NAME, what: Saying::Step { kind, report, eta } })
}

fn read_created(
    event_id: Uuid,
    order: OrderId,
    correlation_id: Option<Uuid>,
    taken_at: Option<Timestamp>,
    payload: &Fields<'_>,
) -> Result<Said, String> {
    let asked = Asked::of(
        payload.get_if_any("customerEmail", any_text())?,
        payload.get_if_any("productType", any_text())?,
        payload.get_if_any("country", any_text())?,
        payload.get_if_any("paymentScenario", any_text())?,
    )?;
    let intent = asked.intent(&order);
    let placed = room::placed(asked).ok_or("the order must be one that can be held")?;
    Ok(Taken { dialect: NAME, event_id, order, correlation_id, taken_at, placed, intent, word: None }.said())
}
