//! What other services report about steps, and what the order asks for next.

use serde::Serialize;
use uuid::Uuid;

use super::{Order, OrderEvent, OrderStatus, Unwinding};
use crate::domain::{
    flow::{Life, MANUAL_FLOW},
    money::Amount,
    time::Timestamp,
};

/// What a service reports about one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// The step's number.
    pub step: u32,
    /// What came of it.
    pub report: Report,
    /// What else became known.
    pub facts: Facts,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Report {
    /// Begun.
    Started,
    /// Waiting or trying again.
    Waiting {
        /// Why.
        reason: String,
        /// When it will be tried again.
        next_try_at: Option<Timestamp>,
        /// When its service said so.
        said_at: Timestamp,
    },
    /// It happened.
    Done,
    /// It will not happen.
    Refused {
        /// Why.
        reason: String,
    },
    /// It is undone, or never happened and never will.
    Undone,
    /// It happened and can't be undone.
    NotUndoable {
        /// Why.
        reason: String,
    },
}

/// What a report says beside the outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum Facts {
    /// Nothing.
    #[default]
    None,
    /// About a payment.
    Payment {
        /// Which.
        id: Uuid,
        /// The provider's name for it.
        reference: Option<String>,
        /// How much is reserved.
        amount: Amount,
    },
    /// About a plan to ship.
    Plan {
        /// Which shipment.
        id: Uuid,
        /// When it should arrive.
        eta: Timestamp,
    },
    /// About a shipment on its way.
    Shipped {
        /// Which.
        id: Uuid,
        /// Who carries it.
        carrier: String,
        /// Under which number.
        tracking_number: String,
        /// Since when.
        at: Timestamp,
    },
}

impl Report {
    /// The life that this outcome leads to.
    pub const fn life(&self) -> Life {
        match self {
            Self::Started => Life::Started,
            Self::Waiting { .. } => Life::Waiting,
            Self::Done => Life::Done,
            Self::Refused { .. } => Life::Refused,
            Self::Undone => Life::Undone,
            Self::NotUndoable { .. } => Life::NotUndoable,
        }
    }
}

impl Order {
    /// What a report changes, before the order asks for what is next: nothing for repeats and late arrivals.
    /// Pure.
    ///
    /// # Errors
    /// A report about a step that this order has never asked for, or that contradicts a final order: it can't be
    /// applied (yet).
    pub fn fold(&self, report: &StepReport) -> Result<Vec<OrderEvent>, String> {
        let step = match self.step(report.step) {
            Some(step) if step.life != Life::Planned => step,
            _ => return Err(format!("step {} was never asked for", report.step)),
        };
        let to = report.report.life();
        let moves = match &report.report {
            // Waiting may change its reason and its time for as long as it lasts, also while an undo is awaited. What
            // was said before the last news is a repeat.
            Report::Waiting { reason, next_try_at, said_at } => {
                step.life.is_awaited()
                    && step.said_at.is_none_or(|last| *said_at > last)
                    && (step.life == Life::Requested
                        || step.life == Life::Started
                        || step.reason.as_ref() != Some(reason)
                        || step.next_try_at != *next_try_at)
            }
            // An outcome of the do while its undo is awaited moves nothing, but its facts are news once.
            Report::Done => to.rank() > step.life.rank() || (step.life == Life::UndoRequested && !step.did),
            Report::Refused { .. } => to.rank() > step.life.rank(),
            Report::Started | Report::Undone | Report::NotUndoable { .. } => to.rank() > step.life.rank(),
        };
        if !moves {
            return Ok(vec![]);
        }
        if self.status != OrderStatus::Open {
            // No service that keeps to the rules says so; an operator must see it.
            return Err(format!(
                "the order is {} and step {} settled otherwise",
                self.status.as_str(),
                step.number
            ));
        }
        let mut events = vec![OrderEvent::StepMoved(report.clone())];
        events.extend(self.consequence(step.life, &report.report));
        Ok(events)
    }

    /// What this order asks for now; `None` when it waits, rests or is final. Called again after each event until
    /// it has nothing more to ask, at the end of every decision, fold and release. Pure.
    pub fn ask_next(&self) -> Option<OrderEvent> {
        if self.status != OrderStatus::Open || self.steps.iter().any(|s| s.life == Life::UndoRequested) {
            return None;
        }
        match &self.unwinding {
            Some(why) => Some(match (self.newest_to_undo(), why) {
                (Some(step), _) => OrderEvent::StepUndoRequested { step: step.number },
                (None, Unwinding::Cancelling) => OrderEvent::Cancelled,
                (None, Unwinding::Failing { reason }) => OrderEvent::Failed { reason: reason.clone() },
            }),
            None if self.placed.flow == MANUAL_FLOW => None,
            None if self.awaited().is_some() => None,
            None => match self.steps.iter().find(|s| s.life == Life::Planned) {
                Some(_) if self.on_hold => None,
                Some(step) => Some(OrderEvent::StepRequested { step: step.number }),
                None => Some(OrderEvent::Completed),
            },
        }
    }

    /// What an outcome means for the order as a whole.
    fn consequence(&self, was: Life, report: &Report) -> Option<OrderEvent> {
        let nothing_undone = !self.steps.iter().any(|s| s.life == Life::Undone);
        match (report, &self.unwinding) {
            (Report::Refused { reason }, None) => Some(OrderEvent::Failing { reason: reason.clone() }),
            (Report::Undone, None) => {
                Some(OrderEvent::Failing { reason: "a step was undone without being asked".into() })
            }
            (Report::NotUndoable { reason }, Some(Unwinding::Cancelling))
                if was == Life::UndoRequested && nothing_undone =>
            {
                Some(OrderEvent::CancellationRefused { reason: reason.clone() })
            }
            (
                Report::Started
                | Report::Waiting { .. }
                | Report::Done
                | Report::Refused { .. }
                | Report::Undone
                | Report::NotUndoable { .. },
                _,
            ) => None,
        }
    }
}
