//! Commands: which ones an order accepts now, and what they lead to. [`Action::permitted`] is the one table, for
//! deciding as well as for the `actions` that the API shows.

use serde::{Deserialize, Serialize};

use super::{Milestone, Order, OrderEvent, OrderStatus, StepReport, Unwinding};
use crate::domain::flow::{By, MANUAL_FLOW, StepKind};

/// Something asked of an order that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OrderCommand {
    /// Call it off.
    Cancel {
        /// Why.
        reason: CancelReason,
        /// In the caller's words.
        note: Option<String>,
    },
    /// Hold back the next *do*.
    Hold {
        /// In the caller's words.
        note: Option<String>,
    },
    /// Go on.
    Release {
        /// In the caller's words.
        note: Option<String>,
    },
    /// Say how far it is (flow `manual` only).
    SetMilestone(Milestone),
    /// Call its state by a word of the client's own (flow `manual` only).
    SetWord {
        /// The word.
        word: String,
        /// Whether the word that it has already is as good as another one.
        again: bool,
    },
    /// A neighbour reports about a step that it does. About others' steps it changes nothing.
    Report(StepReport),
}

/// Why an order is called off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum CancelReason {
    /// The customer wants it.
    Customer,
    /// It looks fraudulent.
    Fraud,
    /// There is no stock.
    Stock,
    /// Anything else.
    Other,
}

impl CancelReason {
    /// All of them with their words.
    pub const ALL: [(&'static str, Self); 4] = [
        ("customer", Self::Customer),
        ("fraud", Self::Fraud),
        ("stock", Self::Stock),
        ("other", Self::Other),
    ];
}

/// The commands that an order may accept, as the API names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// `POST …/cancel`
    Cancel,
    /// `POST …/hold`
    Hold,
    /// `POST …/release`
    Release,
    /// `PATCH` with a milestone
    SetMilestone,
}

/// Why a command can't be done now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refusal {
    /// In words for the caller.
    pub why: String,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cancel, Self::Hold, Self::Release, Self::SetMilestone];

    /// The table: whether the order accepts this now, and if not, why not.
    ///
    /// # Errors
    /// The reason in words.
    pub fn permitted(self, order: &Order) -> Result<(), Refusal> {
        let no = |why: String| Err(Refusal { why });
        let manual = order.placed.flow == MANUAL_FLOW;
        match (self, order.status, &order.unwinding) {
            (_, OrderStatus::Completed | OrderStatus::Failed | OrderStatus::Cancelled, _) => {
                no(format!("the order is {} already", order.status.as_str()))
            }
            (_, OrderStatus::Open, Some(Unwinding::Cancelling)) => no("the order is being cancelled".into()),
            (_, OrderStatus::Open, Some(Unwinding::Failing { reason })) => {
                no(format!("the order is failing ({reason}), and what was done is being undone"))
            }
            (Self::Cancel, OrderStatus::Open, None)
                if order.awaited().is_some_and(|s| s.by == By::Neighbour && s.kind != StepKind::Wait) =>
            {
                no("somebody else is at work on it, whom nobody can stop".into())
            }
            (Self::Cancel, OrderStatus::Open, None) => match &order.cancellation {
                Some(super::Cancellation { refused: Some(why), .. }) => {
                    no(format!("the order can't be cancelled any more: {why}"))
                }
                _ => Ok(()),
            },
            (Self::Hold, OrderStatus::Open, None) if manual => {
                no("an order of the flow manual has no steps to hold".into())
            }
            (Self::Hold, OrderStatus::Open, None) if order.on_hold => {
                no("the order is on hold already".into())
            }
            (Self::Release, OrderStatus::Open, None) if !order.on_hold => {
                no("the order is not on hold".into())
            }
            (Self::Hold | Self::Release, OrderStatus::Open, None) => Ok(()),
            (Self::SetMilestone, OrderStatus::Open, None) if !manual => no(format!(
                "only orders of the flow manual take a milestone from the client; this one's flow is {}",
                order.placed.flow
            )),
            (Self::SetMilestone, OrderStatus::Open, None) => Ok(()),
        }
    }
}

impl OrderCommand {
    /// What it is called in the table; a report is no wish that could be refused.
    pub const fn action(&self) -> Option<Action> {
        match self {
            Self::Cancel { .. } => Some(Action::Cancel),
            Self::Hold { .. } => Some(Action::Hold),
            Self::Release { .. } => Some(Action::Release),
            Self::SetMilestone(_) | Self::SetWord { .. } => Some(Action::SetMilestone),
            Self::Report(_) => None,
        }
    }
}

impl Order {
    /// What a command leads to, before the order asks for what is next. Pure.
    ///
    /// # Errors
    /// Why it can't be done now.
    pub fn decide(&self, command: &OrderCommand) -> Result<Vec<OrderEvent>, Refusal> {
        if let Some(action) = command.action() {
            action.permitted(self)?;
        }
        Ok(match command {
            OrderCommand::Cancel { reason, note } => {
                vec![OrderEvent::CancellationRequested { reason: *reason, note: note.clone() }]
            }
            OrderCommand::Hold { note } => vec![OrderEvent::Held { note: note.clone() }],
            OrderCommand::Release { note } => vec![OrderEvent::Released { note: note.clone() }],
            OrderCommand::SetMilestone(milestone) if *milestone == self.milestone => vec![],
            OrderCommand::SetMilestone(milestone) => vec![OrderEvent::MilestoneSet(*milestone)],
            OrderCommand::SetWord { word, .. } => vec![OrderEvent::WordSet(word.clone())],
            // Late, early and contradicting ones change nothing.
            OrderCommand::Report(report) => match self.step(report.step) {
                Some(step) if step.by == By::Neighbour => self.fold(report).unwrap_or_default(),
                _ => vec![],
            },
        })
    }

    /// The commands that it would accept now.
    pub fn actions(&self) -> Vec<Action> {
        Action::ALL.into_iter().filter(|action| action.permitted(self).is_ok()).collect()
    }
}
