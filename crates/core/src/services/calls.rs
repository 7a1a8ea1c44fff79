//! Carrying out a task: the one place where providers are called.

use std::sync::Arc;

use crate::ports::{CallOutcome, CancelOutcome, Carrier, PaymentProvider, Shipped, Task, Work};

/// The outside world.
#[derive(Clone)]
pub struct Providers {
    /// Takes the money.
    pub payments: Arc<dyn PaymentProvider>,
    /// Carries the goods.
    pub carrier: Arc<dyn Carrier>,
}

/// A task that was carried out, and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskDone {
    /// The task as it was when it was begun.
    pub task: Task,
    /// What came of it.
    pub result: CallResult,
    /// Whether the same call may have been made before: then a refusal of this one does not settle that one.
    pub again: bool,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq)]
pub enum CallResult {
    /// Of asking for an authorization.
    Authorize(CallOutcome<String>),
    /// Of voiding.
    Void(CallOutcome<()>),
    /// Of shipping.
    Ship(CallOutcome<Shipped>),
    /// Of stopping a shipment.
    Cancel(CallOutcome<CancelOutcome>),
    /// The time has passed.
    Waited,
}

impl CallResult {
    /// Whether no call was made.
    pub const fn is_held_back(&self) -> bool {
        matches!(
            self,
            Self::Authorize(CallOutcome::HeldBack(_))
                | Self::Void(CallOutcome::HeldBack(_))
                | Self::Ship(CallOutcome::HeldBack(_))
                | Self::Cancel(CallOutcome::HeldBack(_))
        )
    }
}

impl TaskDone {
    /// A call whose outcome nobody knows.
    pub fn unknown(task: Task, reason: &str, again: bool) -> Self {
        fn lost<T>(reason: &str) -> CallOutcome<T> {
            CallOutcome::Unknown { reason: reason.to_owned(), retry_after: None }
        }
        let result = match &task.work {
            Work::Authorize(_) => CallResult::Authorize(lost(reason)),
            Work::Void(_) => CallResult::Void(lost(reason)),
            Work::Ship(_) => CallResult::Ship(lost(reason)),
            Work::CancelShipment(_) => CallResult::Cancel(lost(reason)),
            Work::Wait => CallResult::Waited,
        };
        Self { task, result, again }
    }
}

impl CallResult {
    /// What came of it in a word, for logs.
    pub const fn word(&self) -> &'static str {
        const fn word<T>(outcome: &CallOutcome<T>) -> &'static str {
            match outcome {
                CallOutcome::Done(_) => "done",
                CallOutcome::Refused(_) | CallOutcome::TurnedAway(_) => "refused",
                CallOutcome::Pending(_) => "pending",
                CallOutcome::Unknown { .. } => "unknown",
                CallOutcome::HeldBack(_) => "held back",
            }
        }
        match self {
            Self::Authorize(outcome) => word(outcome),
            Self::Void(outcome) => word(outcome),
            Self::Ship(outcome) => word(outcome),
            Self::Cancel(outcome) => word(outcome),
            Self::Waited => "waited",
        }
    }
}

impl Providers {
    /// Carries out a task. Never inside a transaction; whatever happens, the result goes back to the service.
    /// `again`: the call may have been made before, in a try or by a process that has died since.
    pub async fn carry_out(&self, task: Task, again: bool) -> TaskDone {
        let result = match &task.work {
            Work::Authorize(call) => CallResult::Authorize(self.payments.authorize(call, again).await),
            Work::Void(call) => CallResult::Void(self.payments.void(call, again).await),
            Work::Ship(call) => CallResult::Ship(self.carrier.ship(call, again).await),
            Work::CancelShipment(call) => CallResult::Cancel(self.carrier.cancel(call, again).await),
            Work::Wait => CallResult::Waited,
        };
        TaskDone { task, result, again }
    }
}
