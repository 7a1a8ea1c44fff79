//! Events on the wire: the envelope, the versioned payloads, and their JSON.
//!
//! A payload's shape never changes once released: a change is a new version with a new type name, and readers keep
//! reading the old one. The golden files under `tests/golden` hold every shape; a test compares them.

mod codec;
mod payloads;

use uuid::Uuid;

pub use self::{
    codec::{DecodeError, decode, encode},
    payloads::{
        CancellationRequestedV1, FailedV1, HoldV1, OrderCreatedV1, OrderEventV1, OrderFailedV1, Payload,
        PaymentV1, PlanV1, ProgressState, ShipmentV1, StepOutcome, StepProgressedV1, StepRequestedV1,
        StepUndoRequestedV1, Work,
    },
};
use crate::{
    domain::{
        flow::StepKind,
        ids::{OrderId, StepId},
        order::Actor,
        time::Timestamp,
    },
    ports::Message,
};

/// The topic of the orders service.
pub const ORDERS: &str = "orders";
/// The topic of the payments service.
pub const PAYMENTS: &str = "payments";
/// The topic of the fulfillment service.
pub const FULFILLMENT: &str = "fulfillment";
/// The header that names the dialect by which an order came.
pub const DIALECT: &str = "dialect";
/// All topics of ours.
pub const TOPICS: [&str; 3] = [ORDERS, PAYMENTS, FULFILLMENT];

/// An event with everything that surrounds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// Unique; a repeat of the same fact is a new event with its own id.
    pub event_id: Uuid,
    /// When it happened, by its service's clock.
    pub occurred_at: Timestamp,
    /// Carried unchanged from the order.
    pub correlation_id: Uuid,
    /// The event that was being handled, if it was one.
    pub causation_id: Option<Uuid>,
    /// The service that says so.
    pub source: String,
    /// Counts the events of the source's record, gapless. It shows gaps; nobody refuses an event by it.
    pub sequence: u64,
    /// Who brought it about.
    pub actor: Actor,
    /// What happened.
    pub payload: Payload,
}

impl Payload {
    /// The order that this is about.
    pub fn order(&self) -> &OrderId {
        match self {
            Self::OrderCreated(event) => &event.at.order_id,
            Self::StepRequested(event) => &event.at.order_id,
            Self::StepUndoRequested(event) => &event.at.order_id,
            Self::OrderProgressed(at) | Self::OrderCompleted(at) | Self::OrderCancelled(at) => &at.order_id,
            Self::OrderHeld(event) | Self::OrderReleased(event) => &event.at.order_id,
            Self::OrderCancellationRequested(event) => &event.at.order_id,
            Self::OrderFailed(event) => &event.at.order_id,
            Self::PaymentAuthorized(event) | Self::PaymentVoided(event) => &event.order_id,
            Self::FulfillmentScheduled(event) => &event.order_id,
            Self::ShipmentShipped(event) => &event.order_id,
            Self::PaymentFailed(event) | Self::FulfillmentFailed(event) | Self::ShipmentCancelled(event) => {
                &event.order_id
            }
            Self::StepProgressed(event) => &event.order_id,
        }
    }

    /// The step that this is about, if it is about one.
    pub fn step(&self) -> Option<&StepId> {
        match self {
            Self::StepRequested(event) => Some(&event.step),
            Self::StepUndoRequested(event) => Some(&event.step),
            Self::PaymentAuthorized(event) | Self::PaymentVoided(event) => Some(&event.step),
            Self::FulfillmentScheduled(event) => Some(&event.step),
            Self::ShipmentShipped(event) => Some(&event.step),
            Self::PaymentFailed(event) | Self::FulfillmentFailed(event) | Self::ShipmentCancelled(event) => {
                Some(&event.step)
            }
            Self::StepProgressed(event) => Some(&event.step),
            Self::OrderCreated(_)
            | Self::OrderProgressed(_)
            | Self::OrderHeld(_)
            | Self::OrderReleased(_)
            | Self::OrderCancellationRequested(_)
            | Self::OrderCompleted(_)
            | Self::OrderFailed(_)
            | Self::OrderCancelled(_) => None,
        }
    }

    /// The kind of step that this asks to do or undo, if it asks.
    pub fn asks_for(&self) -> Option<StepKind> {
        match self {
            Self::StepRequested(asked) => Some(asked.work.kind()),
            Self::StepUndoRequested(asked) => Some(asked.kind),
            _ => None,
        }
    }
}

impl Envelope {
    /// The message of this event on its service's topic, with the headers of DESIGN: CloudEvents attributes in
    /// their Kafka binding, and the two that the old systems know; [`DIALECT`] for an order that came by one.
    pub fn message(&self, topic: &std::sync::Arc<str>, key: &OrderId, dialect: Option<&str>) -> Message {
        let kind = self.payload.event_type();
        let (mut id, mut correlation) = (Uuid::encode_buffer(), Uuid::encode_buffer());
        let source = ["/cartwright/", &self.source].concat();
        let always = [
            ("eventType", kind),
            ("correlationId", &*self.correlation_id.hyphenated().encode_lower(&mut correlation)),
            ("ce_specversion", "1.0"),
            ("ce_id", &*self.event_id.hyphenated().encode_lower(&mut id)),
            ("ce_type", kind),
            ("ce_source", &source),
        ];
        let step = self.payload.asks_for().map(|step| ("stepKind", step.as_str()));
        let dialect = dialect.map(|dialect| (DIALECT, dialect));
        let headers = always.into_iter().chain(step).chain(dialect).collect();
        Message { topic: topic.clone(), key: key.clone(), headers, value: encode(self).into() }
    }
}
