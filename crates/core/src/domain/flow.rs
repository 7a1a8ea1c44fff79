//! Flows: the steps that an order goes through, as data. A flow is copied onto the order when it is placed, so a
//! changed flow never changes an order that is under way.

use serde::{Deserialize, Serialize};

use super::{order::Milestone, time::Timestamp};

/// How long the `wait` step of the `processing` flow takes.
pub const PROCESSING_MS: u32 = 200;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum StepKind {
    /// *Do*: reserve the money. *Undo*: void.
    Pay,
    /// *Do*: plan a shipment. *Undo*: drop the plan.
    Schedule,
    /// *Do*: hand the goods to the carrier. *Undo*: stop the shipment, unless it is too late.
    Ship,
    /// *Do*: let some time pass. *Undo*: nothing to undo.
    Wait,
}

impl StepKind {
    /// The service that executes such steps.
    pub const fn service(self) -> &'static str {
        match self {
            Self::Pay => "payments",
            Self::Schedule | Self::Ship => "fulfillment",
            Self::Wait => "orders",
        }
    }

    /// What an order has reached when such a step is done.
    pub const fn milestone(self) -> Milestone {
        match self {
            Self::Pay => Milestone::Authorized,
            Self::Schedule => Milestone::Scheduled,
            Self::Ship => Milestone::Shipped,
            Self::Wait => Milestone::Processed,
        }
    }

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Schedule => "schedule",
            Self::Ship => "ship",
            Self::Wait => "wait",
        }
    }
}

/// Who executes a step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// One of our services.
    #[default]
    Us,
    /// A part of an old system that stays. We never execute its steps.
    Neighbour,
}

/// One step of an order's flow, and how far it has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its number in the flow, from 1.
    pub number: u32,
    /// What it does.
    pub kind: StepKind,
    /// Who does it.
    #[serde(default)]
    pub by: By,
    /// How long a `wait` step takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u32>,
    /// Whether its service tells when it begins: news that most can do without.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub announced: bool,
    /// After so many tries that nobody knows the outcome of it is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tries: Option<u32>,
    /// How far it has come.
    pub life: Life,
    /// Whether its *do* is known to have happened, whatever came later.
    #[serde(default)]
    pub did: bool,
    /// When it came to where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// When its service means to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try_at: Option<Timestamp>,
    /// Why it waits, or why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When its service said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_at: Option<Timestamp>,
    /// How often the sweeper has asked again since the last answer.
    #[serde(default)]
    pub asked_again: u32,
}

impl Step {
    fn new(number: u32, kind: StepKind) -> Self {
        Self {
            number,
            kind,
            by: By::Us,
            wait_ms: (kind == StepKind::Wait).then_some(PROCESSING_MS),
            announced: false,
            max_tries: None,
            life: Life::Planned,
            did: false,
            since: None,
            next_try_at: None,
            reason: None,
            said_at: None,
            asked_again: 0,
        }
    }
}

/// The life of a step. It only moves forward: see [`Life::rank`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Life {
    /// Not asked for yet.
    Planned,
    /// Asked for.
    Requested,
    /// Its service has begun.
    Started,
    /// Its service waits for somebody, or means to try again.
    Waiting,
    /// It happened.
    Done,
    /// It did not happen and will not.
    Refused,
    /// Its undo is asked for.
    UndoRequested,
    /// It is undone, or never happened.
    Undone,
    /// It happened and can't be undone.
    NotUndoable,
}

impl Life {
    /// The order of lives: a step never goes to a lower rank, so repeats and late arrivals change nothing.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Planned => 0,
            Self::Requested => 1,
            Self::Started | Self::Waiting => 2,
            Self::Done | Self::Refused => 3,
            Self::UndoRequested => 4,
            Self::Undone | Self::NotUndoable => 5,
        }
    }

    /// Asked for, and no outcome yet.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Requested | Self::Started | Self::Waiting)
    }

    /// Whether its service owes us an answer.
    pub const fn is_awaited(self) -> bool {
        self.is_open() || matches!(self, Self::UndoRequested)
    }
}

/// The names of the flows that a client can choose.
pub const FLOWS: [&str; 5] = ["standard", "scheduled", "ship-only", "processing", "manual"];

/// The flow of an order that names none.
pub const DEFAULT_FLOW: &str = "standard";

/// The flow in which the client sets the milestones, and which never becomes final by itself.
pub const MANUAL_FLOW: &str = "manual";

/// The steps of a flow, `None` if there is no such flow.
pub fn steps_of(flow: &str) -> Option<Vec<Step>> {
    use StepKind::{Pay, Schedule, Ship, Wait};
    let kinds: &[StepKind] = match flow {
        "standard" => &[Pay, Schedule, Ship],
        "scheduled" => &[Pay, Schedule],
        "ship-only" => &[Ship],
        "processing" => &[Wait],
        "manual" => &[],
        _ => return None,
    };
    Some((1..).zip(kinds).map(|(number, kind)| Step::new(number, *kind)).collect())
}

/// The step of a flow that is next for an order at this milestone; `None` when there is none, or no such flow.
pub fn step_after(flow: &str, milestone: Milestone) -> Option<StepKind> {
    let kinds: Vec<StepKind> = steps_of(flow)?.into_iter().map(|step| step.kind).collect();
    let done = kinds.iter().position(|kind| kind.milestone() == milestone).map_or(0, |at| at + 1);
    let at_its_beginning = done > 0 || milestone == Milestone::Created;
    kinds.get(done).copied().filter(|_| at_its_beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_after_a_milestone_is_the_flow_s_next() {
        assert_eq!(step_after("standard", Milestone::Created), Some(StepKind::Pay));
        assert_eq!(step_after("standard", Milestone::Authorized), Some(StepKind::Schedule));
        assert_eq!(step_after("standard", Milestone::Shipped), None);
        assert_eq!(step_after("ship-only", Milestone::Created), Some(StepKind::Ship));
        assert_eq!(step_after("ship-only", Milestone::Authorized), None, "it has no such milestone");
        assert_eq!(
            (step_after("manual", Milestone::Created), step_after("none", Milestone::Created)),
            (None, None)
        );
    }

    #[test]
    fn every_named_flow_has_steps_numbered_from_one() {
        for flow in FLOWS {
            let steps = steps_of(flow).unwrap();
            assert!(steps.iter().zip(1..).all(|(step, n)| step.number == n), "{flow}");
        }
        assert!(steps_of("nonsense").is_none());
    }
}
