//! The fulfillment service: plans shipments and hands goods to the carrier.

use super::{
    CallResult, Ctx,
    steps::{self, Came, Performer, Wait},
};
use crate::{
    domain::{
        flow::StepKind,
        fulfillment::{Consignment, FULFILLMENT_SCHEMA},
        ids::StepId,
        operation::{Answer, Result as OpResult, State},
        performed::{Performed, PerformedStep},
        time::Timestamp,
    },
    events::{self, FailedV1, Payload, PlanV1, ShipmentV1, StepOutcome, Work},
    ports::{CallOutcome, CancelOutcome, ShipCall, UndoCall, Work as TaskWork},
};

/// The logic of the fulfillment service.
#[derive(Default)]
pub struct Fulfillment;

impl Performer for Fulfillment {
    type Facts = Consignment;

    const NAME: &'static str = events::FULFILLMENT;
    const SCHEMA: u32 = FULFILLMENT_SCHEMA;
    const KINDS: &'static [StepKind] = &[StepKind::Schedule, StepKind::Ship];

    fn begin(step: &StepId, work: &Work, ctx: &Ctx<'_>) -> Option<(Consignment, Option<TaskWork>)> {
        match work {
            Work::Schedule { shipment_id, .. } => {
                let eta = ctx.now.plus(ctx.settings.eta);
                Some((Consignment::Plan { shipment: *shipment_id, eta }, None))
            }
            Work::Ship { shipment_id, ship_to, lines, scenario, .. } => {
                let call = TaskWork::Ship(ShipCall {
                    key: do_key(step),
                    order_id: step.order.clone(),
                    ship_to: ship_to.clone(),
                    lines: lines.clone(),
                    scenario: scenario.clone(),
                });
                Some((Consignment::Shipment { shipment: *shipment_id, shipped: None }, Some(call)))
            }
            Work::Pay { .. } | Work::Wait { .. } => None,
        }
    }

    fn undo_call(step: &StepId) -> TaskWork {
        TaskWork::CancelShipment(UndoCall {
            key: format!("fulfillment/{step}/cancel/1"),
            order_id: step.order.clone(),
            operation: do_key(step),
        })
    }

    fn undo_needs_call(consignment: Option<&Consignment>) -> bool {
        matches!(consignment, Some(Consignment::Shipment { .. }))
    }

    fn came(
        step: &mut PerformedStep<Consignment>,
        result: &CallResult,
        wait: &Wait<'_>,
        now: Timestamp,
    ) -> Option<Came> {
        let doing = step.operation.state == State::Doing;
        match (result, &mut step.facts) {
            (CallResult::Ship(outcome), consignment) => {
                if let (CallOutcome::Done(how), Some(consignment), true) = (outcome, consignment, doing) {
                    consignment.note_shipped(how, now);
                }
                Some(Came::OfDo(steps::result_of(outcome, wait, now)))
            }
            (CallResult::Cancel(CallOutcome::Done(CancelOutcome::TooLate(how))), consignment) => {
                if let Some(consignment) = consignment {
                    consignment.note_shipped(how, now);
                }
                Some(Came::OfUndo(OpResult::TooLate))
            }
            (CallResult::Cancel(outcome), _) => Some(Came::OfUndo(steps::result_of(outcome, wait, now))),
            (CallResult::Authorize(_) | CallResult::Void(_) | CallResult::Waited, _) => None,
        }
    }

    fn outcome(step: &StepId, consignment: Option<&Consignment>, answer: &Answer) -> Option<Payload> {
        let without = |outcome, reason: Option<String>| FailedV1 {
            order_id: step.order.clone(),
            step: step.clone(),
            outcome,
            subject: consignment.map(Consignment::shipment),
            reason,
        };
        match answer {
            Answer::Done => done(step, consignment?, StepOutcome::Done),
            Answer::NotUndoable(_) => done(step, consignment?, StepOutcome::NotUndoable),
            Answer::Undone => Some(Payload::ShipmentCancelled(without(StepOutcome::Undone, None))),
            Answer::Refused(why) => {
                Some(Payload::FulfillmentFailed(without(StepOutcome::Refused, Some(why.clone()))))
            }
            Answer::Retrying(..) | Answer::Waiting(..) => None,
        }
    }

    fn is_live(record: &Performed<Consignment>) -> bool {
        // A plan without a shipment will be asked to ship soon.
        record.steps.last().is_some_and(|step| match step.facts {
            Some(Consignment::Plan { .. }) => step.operation.state == State::Done,
            _ => matches!(step.operation.state, State::Doing | State::Undoing),
        })
    }
}

fn done(step: &StepId, consignment: &Consignment, outcome: StepOutcome) -> Option<Payload> {
    let (order_id, step) = (step.order.clone(), step.clone());
    match consignment {
        Consignment::Plan { shipment, eta } => Some(Payload::FulfillmentScheduled(PlanV1 {
            order_id,
            step,
            outcome,
            shipment_id: *shipment,
            eta_utc: *eta,
        })),
        Consignment::Shipment { shipment, shipped } => {
            let (how, at) = shipped.as_ref()?;
            Some(Payload::ShipmentShipped(ShipmentV1 {
                order_id,
                step,
                outcome,
                shipment_id: *shipment,
                carrier: how.carrier.clone(),
                tracking_number: how.tracking_number.clone(),
                shipped_at: *at,
            }))
        }
    }
}

/// The carrier knows the operation by this; the same for every repeat.
fn do_key(step: &StepId) -> String {
    format!("fulfillment/{step}/ship/1")
}
