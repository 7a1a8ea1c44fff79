//! The order: its record, what may be done to it, and what follows.
//!
//! * [`place`]: what a client states about a new order.
//! * [`decide`](Order::decide): a command becomes events, or a refusal that says why.
//! * [`fold`](Order::fold): what another service reports about a step becomes events.
//! * [`ask_next`](Order::ask_next): what the order asks for now; it ends every decision and every fold.
//! * [`apply`](Order::apply): the only thing that changes a record.

mod apply;
mod decide;
mod fold;
mod place;
mod status;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use uuid::Uuid;

pub use self::{
    decide::{Action, CancelReason, OrderCommand, Refusal},
    fold::{Facts, Report, StepReport},
    place::{
        Charge, ChargeType, Customer, Discrepancy, Line, MAX_CHARGES, MAX_LINES, MAX_QUANTITY, PaymentIntent,
        Placed, PlacedBy, Totals,
    },
    status::{
        Actor, ActorKind, Address, FulfillmentStatus, Milestone, OrderStatus, Payment, PaymentStatus,
        Shipment, ShipmentLine,
    },
};
use super::{
    flow::{By, Life, MANUAL_FLOW, Step, StepKind},
    frozen::Frozen,
    ids::{OrderId, StepId, derive_uuid},
    time::Timestamp,
};

/// The schema number of the JSON that this code writes.
pub const ORDER_SCHEMA: u32 = 2;
/// The shape of orders that came by our own API: versions that know no dialects read it, too.
const WITHOUT_DIALECT: u32 = 1;

/// The current state of one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Our short number.
    pub number: u64,
    /// Counts changes, from 1.
    pub version: u64,
    /// Counts the events of this record; the last one's number.
    pub sequence: u64,
    /// What the client stated; never changes.
    pub placed: Frozen<Placed>,
    /// How it is to be paid. Apart from `placed`, since a token is nobody else's business.
    pub intent: PaymentIntent,
    /// Who placed it, under which key.
    pub placed_by: PlacedBy,
    /// Where it stands.
    pub status: OrderStatus,
    /// What the client calls its state, in a dialect whose clients do so themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<String>,
    /// The last milestone.
    pub milestone: Milestone,
    /// Whether the next *do* is held back.
    pub on_hold: bool,
    /// Its flow's steps, numbered from 1 without gaps.
    #[serde(deserialize_with = "numbered")]
    pub steps: Vec<Step>,
    /// What of each line has been cancelled, shipped and returned; as long as `placed.lines`.
    pub quantities: Vec<Quantities>,
    /// Payments.
    pub payments: Vec<Payment>,
    /// Shipments.
    pub shipments: Vec<Shipment>,
    /// The way back, once it is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwinding: Option<Unwinding>,
    /// The last cancellation asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancellation: Option<Cancellation>,
    /// Ties together everything about this order, across services.
    pub correlation_id: Uuid,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the sweeper looks at it next, if it waits for an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep_at: Option<Timestamp>,
}

/// Steps are found by their numbers: with others, an order would ask for the same step for ever.
fn numbered<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Step>, D::Error> {
    let steps = Vec::<Step>::deserialize(from)?;
    match (1..).zip(&steps).all(|(number, step)| step.number == number) {
        true => Ok(steps),
        false => Err(D::Error::custom("the steps are not numbered from 1 without gaps")),
    }
}

/// What has happened to a line's quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Quantities {
    /// Called off.
    pub cancelled: u32,
    /// On its way or delivered.
    pub shipped: u32,
    /// Sent back.
    pub returned: u32,
}

/// Why an order takes everything back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unwinding {
    /// A step was refused.
    Failing {
        /// Why.
        reason: String,
    },
    /// Somebody called it off.
    Cancelling,
}

/// A cancellation that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Cancellation {
    /// Why.
    pub reason: CancelReason,
    /// In the caller's words.
    pub note: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When everything was undone; null while it is under way, or when it came too late.
    pub done_at: Option<Timestamp>,
    /// Why it could not be done after all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// Something that happened to an order.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderEvent {
    /// A step is asked for.
    StepRequested {
        /// Its number.
        step: u32,
    },
    /// A step's undo is asked for.
    StepUndoRequested {
        /// Its number.
        step: u32,
    },
    /// A step came further, or its facts became known.
    StepMoved(StepReport),
    /// The client set a milestone.
    MilestoneSet(Milestone),
    /// The client calls its state by another word.
    WordSet(String),
    /// The next *do* is held back.
    Held {
        /// In the caller's words.
        note: Option<String>,
    },
    /// It goes on.
    Released {
        /// In the caller's words.
        note: Option<String>,
    },
    /// Somebody called it off.
    CancellationRequested {
        /// Why.
        reason: CancelReason,
        /// In the caller's words.
        note: Option<String>,
    },
    /// The step that was to be undone first had happened for good: the order goes on.
    CancellationRefused {
        /// Why.
        reason: String,
    },
    /// Everything done is being taken back because a step was refused.
    Failing {
        /// Why.
        reason: String,
    },
    /// Every step is done.
    Completed,
    /// A step was refused, and everything is undone.
    Failed {
        /// Why.
        reason: String,
    },
    /// It was called off, and everything is undone.
    Cancelled,
}

impl Order {
    /// A step by its number.
    pub fn step(&self, number: u32) -> Option<&Step> {
        self.steps.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// The id of a step.
    pub fn step_id(&self, number: u32) -> StepId {
        StepId { order: self.id.clone(), number }
    }

    /// The id of the payment that a step makes.
    pub fn payment_id(&self, step: u32) -> Uuid {
        derive_uuid("payment", &[self.id.as_str(), &step.to_string()])
    }

    /// The id of the order's shipment.
    pub fn shipment_id(&self) -> Uuid {
        derive_uuid("shipment", &[self.id.as_str()])
    }

    /// The shape that its record has. A version that knows no dialects would lose them by writing it.
    pub fn schema(&self) -> u32 {
        if self.placed.dialect.is_some() { ORDER_SCHEMA } else { WITHOUT_DIALECT }
    }

    /// Whether it counts against the limit of open orders and must come to an end by itself.
    pub fn must_end(&self) -> bool {
        // Nobody knows when a neighbour will be done, or whether it will say so.
        let theirs = self.awaited().is_some_and(|step| step.by == By::Neighbour);
        self.status == OrderStatus::Open && self.placed.flow != MANUAL_FLOW && !theirs
    }

    /// The step whose answer the order waits for.
    pub fn awaited(&self) -> Option<&Step> {
        self.steps.iter().find(|step| step.life.is_awaited())
    }

    /// The payments taken together.
    pub fn payment_status(&self) -> PaymentStatus {
        if !self.steps.iter().any(|s| s.kind == StepKind::Pay) {
            return PaymentStatus::None;
        }
        self.payments.last().map_or(PaymentStatus::Pending, |payment| payment.status)
    }

    /// The shipments taken together.
    pub fn fulfillment_status(&self) -> FulfillmentStatus {
        if !self.steps.iter().any(|s| matches!(s.kind, StepKind::Ship | StepKind::Schedule)) {
            return FulfillmentStatus::None;
        }
        match self.shipments.last() {
            Some(shipment) => shipment.status,
            None if self.status == OrderStatus::Cancelled => FulfillmentStatus::Cancelled,
            None => FulfillmentStatus::Pending,
        }
    }

    fn step_mut(&mut self, number: u32) -> Option<&mut Step> {
        self.steps.get_mut(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// The last step that may have had an effect and is not undone yet.
    fn newest_to_undo(&self) -> Option<&Step> {
        self.steps.iter().rev().find(|s| s.life.is_open() || s.life == Life::Done)
    }
}
