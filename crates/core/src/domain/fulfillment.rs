//! Fulfillment's record: every plan and shipment of one order.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{flow::StepKind, ids::OrderId, operation::Operation, time::Timestamp};
use crate::ports::Shipped;

/// The schema number of the JSON that this code writes.
pub const FULFILLMENT_SCHEMA: u32 = 1;

/// All plans and shipments of one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FulfillmentRecord {
    /// The order.
    pub order_id: OrderId,
    /// Counts the events of this record; the last one's number.
    pub sequence: u64,
    /// Carried unchanged from the order.
    pub correlation_id: Uuid,
    /// One for each `schedule` or `ship` step that was asked for or undone.
    pub steps: Vec<FulfillmentStep>,
}

/// One plan or shipment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FulfillmentStep {
    /// The number of its step in the order's flow.
    pub step: u32,
    /// `schedule` or `ship`; `None` on a tombstone.
    pub kind: Option<StepKind>,
    /// The shipment's id, chosen by the order; `None` on a tombstone.
    pub shipment: Option<Uuid>,
    /// When it should arrive (a plan).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Timestamp>,
    /// How it went (a shipment).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped: Option<Shipped>,
    /// When it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipped_at: Option<Timestamp>,
    /// Its life at the carrier; a plan is settled at once.
    pub operation: Operation,
    /// The event that asked for it: what the outcome names as its cause.
    pub cause: Uuid,
}
