//! The payloads, version 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    domain::{
        flow::StepKind,
        frozen::Frozen,
        ids::{OrderId, StepId},
        money::{Amount, Currency},
        order::{Address, CancelReason, Milestone, OrderStatus, Placed},
        time::Timestamp,
    },
    ports::ShipLine,
};

/// What happened: one variant for each event type.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// orders: an order was placed.
    OrderCreated(OrderCreatedV1),
    /// orders: a step is asked for.
    StepRequested(StepRequestedV1),
    /// orders: a step's undo is asked for.
    StepUndoRequested(StepUndoRequestedV1),
    /// orders: something about the order changed that has no event of its own.
    OrderProgressed(OrderEventV1),
    /// orders: the next step is held back.
    OrderHeld(HoldV1),
    /// orders: it goes on.
    OrderReleased(HoldV1),
    /// orders: somebody called it off.
    OrderCancellationRequested(CancellationRequestedV1),
    /// orders, final: every step is done.
    OrderCompleted(OrderEventV1),
    /// orders, final: a step was refused, and everything is undone.
    OrderFailed(OrderFailedV1),
    /// orders, final: called off, and everything is undone.
    OrderCancelled(OrderEventV1),
    /// payments: the money is reserved.
    PaymentAuthorized(PaymentV1),
    /// payments: it will not be.
    PaymentFailed(FailedV1),
    /// payments: it is released again, or was never reserved and never will be.
    PaymentVoided(PaymentV1),
    /// fulfillment: a shipment is planned.
    FulfillmentScheduled(PlanV1),
    /// fulfillment: the goods are with the carrier.
    ShipmentShipped(ShipmentV1),
    /// fulfillment: it can't be shipped.
    FulfillmentFailed(FailedV1),
    /// fulfillment: stopped, or never to go.
    ShipmentCancelled(FailedV1),
    /// payments, fulfillment: how a step goes that has no outcome yet.
    StepProgressed(StepProgressedV1),
}

/// What every event of the orders topic carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderEventV1 {
    /// The order.
    pub order_id: OrderId,
    /// Its version after this change.
    pub version: u64,
    /// Its status after this change.
    pub status: OrderStatus,
    /// What its client calls its state after this change, in a dialect whose clients do so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// Its milestone after this change.
    pub milestone: Milestone,
}

/// `OrderCreatedV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreatedV1 {
    /// The order as it stands.
    #[serde(flatten)]
    pub at: OrderEventV1,
    /// Our short number.
    pub number: u64,
    /// Everything the client stated, but for the means of payment.
    pub order: Frozen<Placed>,
}

/// `StepRequestedV1`: all the facts that the step needs, since its service asks nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRequestedV1 {
    /// The order as it stands.
    #[serde(flatten)]
    pub at: OrderEventV1,
    /// The step.
    pub step: StepId,
    /// What is to be done.
    pub work: Work,
}

/// The facts of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Work {
    /// Reserve the money.
    Pay {
        /// The id for the payment.
        payment_id: Uuid,
        /// How much.
        amount: Amount,
        /// In which currency.
        currency: Currency,
        /// Decimals of `amount`, where they differ from the currency's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scale: Option<u8>,
        /// At which provider.
        provider: String,
        /// What stands for the means of payment.
        token: Option<String>,
        /// Steers the simulated provider.
        scenario: Option<String>,
        /// The order's own notes, for the provider to keep.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        metadata: BTreeMap<String, String>,
    },
    /// Plan a shipment.
    Schedule {
        /// The id for the shipment.
        shipment_id: Uuid,
        /// What is to go.
        lines: Vec<ShipLine>,
    },
    /// Hand the goods to the carrier.
    Ship {
        /// The id for the shipment.
        shipment_id: Uuid,
        /// Where to.
        ship_to: Option<Address>,
        /// What.
        lines: Vec<ShipLine>,
        /// Steers the simulated carrier.
        scenario: Option<String>,
        /// Whether to tell when it begins.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        announced: bool,
        /// After so many tries that nobody knows the outcome of it is given up.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_tries: Option<u32>,
    },
    /// Wait; done by orders itself.
    Wait {
        /// How long, in milliseconds.
        wait_ms: u32,
    },
}

impl Work {
    /// Which kind of step it is.
    pub const fn kind(&self) -> StepKind {
        match self {
            Self::Pay { .. } => StepKind::Pay,
            Self::Schedule { .. } => StepKind::Schedule,
            Self::Ship { .. } => StepKind::Ship,
            Self::Wait { .. } => StepKind::Wait,
        }
    }
}

/// `StepUndoRequestedV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepUndoRequestedV1 {
    /// The order as it stands.
    #[serde(flatten)]
    pub at: OrderEventV1,
    /// The step.
    pub step: StepId,
    /// What kind of step it is, which says whose it is.
    pub kind: StepKind,
}

/// `OrderHeldV1`, `OrderReleasedV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HoldV1 {
    /// The order as it stands.
    #[serde(flatten)]
    pub at: OrderEventV1,
    /// In the caller's words.
    pub note: Option<String>,
}

/// `OrderCancellationRequestedV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancellationRequestedV1 {
    /// The order as it stands.
    #[serde(flatten)]
    pub at: OrderEventV1,
    /// Why.
    pub reason: CancelReason,
    /// In the caller's words.
    pub note: Option<String>,
}

/// `OrderFailedV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderFailedV1 {
    /// The order as it stands.
    #[serde(flatten)]
    pub at: OrderEventV1,
    /// Why.
    pub reason: String,
}

/// The outcome of a step, as its service reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepOutcome {
    /// It happened.
    Done,
    /// It will not happen.
    Refused,
    /// It is undone, or never happened and never will.
    Undone,
    /// It happened and can't be undone.
    NotUndoable,
}

/// `PaymentAuthorizedV1`, `PaymentVoidedV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentV1 {
    /// The order.
    pub order_id: OrderId,
    /// The step that this settles.
    pub step: StepId,
    /// How.
    pub outcome: StepOutcome,
    /// The payment; absent where it was never asked for.
    pub payment_id: Option<Uuid>,
    /// The provider's name for it.
    pub reference: Option<String>,
    /// How much.
    pub amount: Amount,
    /// In which currency.
    pub currency: Currency,
}

/// `PaymentFailedV1`, `FulfillmentFailedV1`, `ShipmentCancelledV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedV1 {
    /// The order.
    pub order_id: OrderId,
    /// The step that this settles.
    pub step: StepId,
    /// How.
    pub outcome: StepOutcome,
    /// The payment or shipment; absent where it was never asked for.
    pub subject: Option<Uuid>,
    /// Why.
    pub reason: Option<String>,
}

/// `FulfillmentScheduledV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanV1 {
    /// The order.
    pub order_id: OrderId,
    /// The step that this settles.
    pub step: StepId,
    /// How.
    pub outcome: StepOutcome,
    /// The shipment.
    pub shipment_id: Uuid,
    /// When it should arrive.
    pub eta_utc: Timestamp,
}

/// `ShipmentShippedV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipmentV1 {
    /// The order.
    pub order_id: OrderId,
    /// The step that this settles.
    pub step: StepId,
    /// How: `done`, or `notUndoable` as the answer to an undo that came too late.
    pub outcome: StepOutcome,
    /// The shipment.
    pub shipment_id: Uuid,
    /// Who carries it.
    pub carrier: String,
    /// Under which number.
    pub tracking_number: String,
    /// Since when.
    pub shipped_at: Timestamp,
}

/// `StepProgressedV1`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepProgressedV1 {
    /// The order.
    pub order_id: OrderId,
    /// The step.
    pub step: StepId,
    /// How it goes.
    pub state: ProgressState,
    /// Why it is not through.
    pub reason: Option<String>,
    /// When it will be tried again.
    pub next_try_at: Option<Timestamp>,
}

/// How a step goes that has no outcome yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProgressState {
    /// Begun.
    Started,
    /// The other side wants time.
    Waiting,
    /// It did not work; it will be tried again.
    Retrying,
}
