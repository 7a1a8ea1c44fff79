//! What other services' events say about steps.

use crate::{
    domain::{
        ids::StepId,
        order::{Facts, Report, StepReport},
    },
    events::{Envelope, FailedV1, Payload, ProgressState, StepOutcome},
};

/// What another service's event says about which step.
pub(super) fn read_report(event: &Envelope) -> Option<(&StepId, StepReport)> {
    let (step, report, facts) = match &event.payload {
        Payload::PaymentAuthorized(p) | Payload::PaymentVoided(p) => {
            let facts = match p.payment_id {
                Some(id) => Facts::Payment { id, reference: p.reference.clone(), amount: p.amount },
                None => Facts::None,
            };
            (&p.step, outcome(p.outcome, None), facts)
        }
        Payload::PaymentFailed(f) | Payload::FulfillmentFailed(f) | Payload::ShipmentCancelled(f) => {
            failed(f)
        }
        Payload::FulfillmentScheduled(p) => {
            (&p.step, outcome(p.outcome, None), Facts::Plan { id: p.shipment_id, eta: p.eta_utc })
        }
        Payload::ShipmentShipped(s) => (
            &s.step,
            outcome(s.outcome, Some("it has been shipped already")),
            Facts::Shipped {
                id: s.shipment_id,
                carrier: s.carrier.clone(),
                tracking_number: s.tracking_number.clone(),
                at: s.shipped_at,
            },
        ),
        Payload::StepProgressed(p) => {
            let report = match p.state {
                ProgressState::Started => Report::Started,
                ProgressState::Waiting | ProgressState::Retrying => Report::Waiting {
                    reason: p.reason.clone().unwrap_or_default(),
                    next_try_at: p.next_try_at,
                    said_at: event.occurred_at,
                },
            };
            (&p.step, report, Facts::None)
        }
        Payload::OrderCreated(_)
        | Payload::StepRequested(_)
        | Payload::StepUndoRequested(_)
        | Payload::OrderProgressed(_)
        | Payload::OrderHeld(_)
        | Payload::OrderReleased(_)
        | Payload::OrderCancellationRequested(_)
        | Payload::OrderCompleted(_)
        | Payload::OrderFailed(_)
        | Payload::OrderCancelled(_) => return None,
    };
    Some((step, StepReport { step: step.number, report, facts }))
}

fn failed(failed: &FailedV1) -> (&StepId, Report, Facts) {
    (&failed.step, outcome(failed.outcome, failed.reason.as_deref()), Facts::None)
}

fn outcome(outcome: StepOutcome, reason: Option<&str>) -> Report {
    let reason = || reason.unwrap_or("no reason given").to_owned();
    match outcome {
        StepOutcome::Done => Report::Done,
        StepOutcome::Refused => Report::Refused { reason: reason() },
        StepOutcome::Undone => Report::Undone,
        StepOutcome::NotUndoable => Report::NotUndoable { reason: reason() },
    }
}
