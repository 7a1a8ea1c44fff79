//! Payments' record: every payment of one order, each an [`Operation`] at the provider.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::OrderId,
    money::{Amount, Currency},
    operation::Operation,
};

/// The schema number of the JSON that this code writes.
pub const PAYMENTS_SCHEMA: u32 = 1;

/// All payments of one order. Keyed by the order, since the order is what is ordered, guarded and parked by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentRecord {
    /// The order.
    pub order_id: OrderId,
    /// Counts the events of this record; the last one's number.
    pub sequence: u64,
    /// Carried unchanged from the order.
    pub correlation_id: Uuid,
    /// One for each `pay` step that was asked for or undone.
    pub payments: Vec<PaymentStep>,
}

/// One payment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentStep {
    /// The number of its step in the order's flow.
    pub step: u32,
    /// The payment's id, chosen by the order; `None` on a tombstone.
    pub id: Option<Uuid>,
    /// How much.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
    /// The provider's name for it, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Its life at the provider.
    pub operation: Operation,
    /// The event that asked for it: what the outcome names as its cause.
    pub cause: Uuid,
}
