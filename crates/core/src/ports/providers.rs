//! Those who take the money and carry the goods.

use std::{collections::BTreeMap, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::{
    ids::OrderId,
    money::{Amount, Currency},
    order::Address,
};

/// Asks for an authorization. Shapes as in the provider contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizeCall {
    /// `Idempotency-Key`: the same for every repeat of this operation.
    pub key: String,
    /// The order.
    pub order_id: OrderId,
    /// How much, in units of 10^-scale.
    pub amount: Amount,
    /// The currency.
    pub currency: Currency,
    /// Decimals of `amount`, where they differ from the currency's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<u8>,
    /// Which provider the order asked for.
    pub provider: String,
    /// What stands for the means of payment.
    pub token: Option<String>,
    /// Steers the simulated provider only.
    pub scenario: Option<String>,
    /// The order's own notes, for the provider to keep.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// Takes an operation back by its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UndoCall {
    /// `Idempotency-Key` of this call.
    pub key: String,
    /// The order.
    pub order_id: OrderId,
    /// The key of the operation to undo.
    pub operation: String,
}

/// Hands goods to the carrier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipCall {
    /// `Idempotency-Key`: the same for every repeat of this operation.
    pub key: String,
    /// The order.
    pub order_id: OrderId,
    /// Where to.
    pub ship_to: Option<Address>,
    /// What.
    pub lines: Vec<ShipLine>,
    /// Steers the simulated carrier only.
    pub scenario: Option<String>,
}

/// One line of a shipment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipLine {
    /// The article.
    pub sku: String,
    /// How many.
    pub quantity: u32,
}

/// What came of a call to the outside.
#[derive(Clone, Debug, PartialEq)]
pub enum CallOutcome<T> {
    /// It happened.
    Done(T),
    /// It was refused, finally; nothing happened under this key.
    Refused(String),
    /// This call was turned away, and nothing came of it. It says nothing of an earlier call under the same key.
    TurnedAway(String),
    /// Accepted, but the result comes later: ask again under the same key.
    Pending(String),
    /// Nobody knows: a time-out, a lost connection, a server error. Ask again under the same key.
    Unknown {
        /// What went wrong.
        reason: String,
        /// How long the other side asked us to wait.
        retry_after: Option<Duration>,
    },
    /// We did not call, and will later: it is no try, and says nothing about the tries before.
    HeldBack(HeldBack),
}

/// A call that was not made, because we hold calls back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBack {
    /// Why; the same words for as long as the cause is the same, since each new reason is told to the order.
    pub reason: String,
    /// When to come again: after this.
    pub wait: Duration,
    /// Whether the wait is an operator's wish, by which the deadline moves. It does not move for a provider that is
    /// out of order: then, too, an order is to come to its end.
    pub wished: bool,
}

/// A payment provider. `again`: the call may have reached the provider before, so it is asked first what came of that,
/// if it can be asked.
#[async_trait]
pub trait PaymentProvider: Send + Sync {
    /// Asks for an authorization; `Done` carries the provider's reference.
    async fn authorize(&self, call: &AuthorizeCall, again: bool) -> CallOutcome<String>;
    /// Voids an operation; once `Done`, the provider refuses that operation's key for ever.
    async fn void(&self, call: &UndoCall, again: bool) -> CallOutcome<()>;
}

/// A carrier. `again`: as with a [`PaymentProvider`].
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Hands over the goods.
    async fn ship(&self, call: &ShipCall, again: bool) -> CallOutcome<Shipped>;
    /// Stops a shipment, if it is not too late.
    async fn cancel(&self, call: &UndoCall, again: bool) -> CallOutcome<CancelOutcome>;
}

/// What a carrier answers when it took the goods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Shipped {
    /// Who carries.
    pub carrier: String,
    /// Under which number.
    pub tracking_number: String,
}

/// What came of stopping a shipment.
#[derive(Clone, Debug, PartialEq)]
pub enum CancelOutcome {
    /// It will not go; its key is refused from now on.
    Cancelled,
    /// It has gone already: how.
    TooLate(Shipped),
}
