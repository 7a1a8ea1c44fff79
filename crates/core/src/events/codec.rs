//! JSON in and out. The payload's type is named beside it, so it is read in two steps.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Envelope, Payload};
use crate::domain::{order::Actor, time::Timestamp};

/// Why bytes are not an event that we can apply.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not our envelope at all.
    #[error("not an event envelope: {0}")]
    Envelope(#[source] serde_json::Error),
    /// A type that this binary does not know.
    #[error("unknown event type {0:?}: it may come from a newer version")]
    UnknownType(String),
    /// A known type with another shape.
    #[error("not a valid {kind}: {source}")]
    Payload {
        /// The type it claims to be.
        kind: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

/// An event as JSON.
pub fn encode(event: &Envelope) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1024);
    let wire = WireOut {
        event_id: event.event_id,
        event_type: event.payload.event_type(),
        event_version: 1,
        occurred_at: event.occurred_at,
        correlation_id: event.correlation_id,
        causation_id: event.causation_id,
        source: &event.source,
        sequence: event.sequence,
        actor: &event.actor,
        payload: &event.payload,
    };
    // Writing plain structs with string keys into memory has no way to fail.
    serde_json::to_writer(&mut bytes, &wire).unwrap_or_default();
    bytes
}

/// Reads an event.
///
/// # Errors
/// [`DecodeError`] says what is wrong; such an event is parked, never dropped.
pub fn decode(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    let wire: WireIn<'_> = serde_json::from_slice(bytes).map_err(DecodeError::Envelope)?;
    let payload = Payload::read(&wire.event_type, wire.payload)?;
    Ok(Envelope {
        event_id: wire.event_id,
        occurred_at: wire.occurred_at,
        correlation_id: wire.correlation_id,
        causation_id: wire.causation_id,
        source: wire.source.into_owned(),
        sequence: wire.sequence,
        actor: wire.actor,
        payload,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireOut<'a> {
    event_id: Uuid,
    event_type: &'static str,
    event_version: u32,
    occurred_at: Timestamp,
    correlation_id: Uuid,
    causation_id: Option<Uuid>,
    source: &'a str,
    sequence: u64,
    actor: &'a Actor,
    payload: &'a Payload,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireIn<'a> {
    event_id: Uuid,
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    occurred_at: Timestamp,
    correlation_id: Uuid,
    causation_id: Option<Uuid>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    sequence: u64,
    actor: Actor,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// One row for each event type keeps names, writing and reading together.
macro_rules! event_types {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        impl Payload {
            /// Every event type.
            pub const TYPES: &'static [&'static str] = &[$($name),+];

            /// The type's name on the wire.
            pub const fn event_type(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name),+ }
            }

            fn read(kind: &str, json: &RawValue) -> Result<Self, DecodeError> {
                match kind {
                    $($name => typed(kind, json).map(Self::$variant),)+
                    _ => Err(DecodeError::UnknownType(kind.to_owned())),
                }
            }
        }

        impl Serialize for Payload {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$variant(payload) => payload.serialize(to)),+ }
            }
        }
    };
}

event_types! {
    OrderCreated = "OrderCreatedV1",
    StepRequested = "StepRequestedV1",
    StepUndoRequested = "StepUndoRequestedV1",
    OrderProgressed = "OrderProgressedV1",
    OrderHeld = "OrderHeldV1",
    OrderReleased = "OrderReleasedV1",
    OrderCancellationRequested = "OrderCancellationRequestedV1",
    OrderCompleted = "OrderCompletedV1",
    OrderFailed = "OrderFailedV1",
    OrderCancelled = "OrderCancelledV1",
    PaymentAuthorized = "PaymentAuthorizedV1",
    PaymentFailed = "PaymentFailedV1",
    PaymentVoided = "PaymentVoidedV1",
    FulfillmentScheduled = "FulfillmentScheduledV1",
    ShipmentShipped = "ShipmentShippedV1",
    FulfillmentFailed = "FulfillmentFailedV1",
    ShipmentCancelled = "ShipmentCancelledV1",
    StepProgressed = "StepProgressedV1",
}

fn typed<T: DeserializeOwned>(kind: &str, json: &RawValue) -> Result<T, DecodeError> {
    serde_json::from_str(json.get()).map_err(|source| DecodeError::Payload { kind: kind.to_owned(), source })
}
