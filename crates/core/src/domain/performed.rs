//! What a service that does steps keeps of one order.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ids::{OrderId, StepId},
    operation::Operation,
};

/// Everything that a service was asked to do for one order. Keyed by the order, since the order is what is ordered,
/// guarded and parked by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Performed<F> {
    /// The order.
    pub order_id: OrderId,
    /// Counts the events of this record; the last one's number.
    pub sequence: u64,
    /// Carried unchanged from the order.
    pub correlation_id: Uuid,
    /// One for each step that was asked for or undone.
    pub steps: Vec<PerformedStep<F>>,
}

/// One step of an order, as the service that does it sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PerformedStep<F> {
    /// Its number in the order's flow.
    pub step: u32,
    /// Its life outside; a step that needs no call is settled at once.
    pub operation: Operation,
    /// The event that asked last: what the answer names as its cause.
    pub cause: Uuid,
    /// What it is about. `None` on a tombstone: the service was asked to undo what it had never seen.
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    pub facts: Option<F>,
}

impl<F> Performed<F> {
    /// The record of an order that nothing was asked for yet.
    pub fn new(order_id: OrderId, correlation_id: Uuid) -> Self {
        Self { order_id, sequence: 0, correlation_id, steps: vec![] }
    }

    /// Where a step stands in the list.
    pub fn position(&self, step: u32) -> Option<usize> {
        self.steps.iter().position(|performed| performed.step == step)
    }

    /// The id of the step at this place of the list.
    pub fn step_id(&self, i: usize) -> StepId {
        StepId {
            order: self.order_id.clone(),
            number: self.steps.get(i).map_or(0, |performed| performed.step),
        }
    }
}
