//! The fulfillment service: plans shipments and hands goods to the carrier. Acts on requests alone.

use bytes::Bytes;

use super::{
    CallResult, Ctx, Logic, NoCommand, TaskDone, Turn, steps,
    turn::{About, Target},
};
use crate::{
    domain::{
        flow::StepKind,
        fulfillment::{FULFILLMENT_SCHEMA, FulfillmentRecord, FulfillmentStep},
        ids::{OrderId, StepId},
        operation::{Answer, Next, Operation, Result as OpResult, State},
        order::Actor,
        time::Timestamp,
    },
    events::{
        self, Envelope, FailedV1, Payload, PlanV1, ProgressState, ShipmentV1, StepOutcome, StepRequestedV1,
        StepUndoRequestedV1, Work,
    },
    ports::{
        CallOutcome, CancelOutcome, Delivery, Row, SavedAnswer, ShipCall, Shipped, UndoCall, Work as TaskWork,
    },
};

const KINDS: [StepKind; 2] = [StepKind::Schedule, StepKind::Ship];

/// The logic of the fulfillment service.
#[derive(Default)]
pub struct Fulfillment;

impl Logic for Fulfillment {
    type Record = FulfillmentRecord;
    type Command = NoCommand;
    type Answer = ();

    const NAME: &'static str = events::FULFILLMENT;
    const SCHEMA: u32 = FULFILLMENT_SCHEMA;

    fn target<'a>(&self, command: &'a NoCommand) -> Target<'a> {
        match *command {}
    }

    fn wants(&self, delivery: &Delivery) -> bool {
        steps::asks_for(delivery, &KINDS)
    }

    fn read(&self, json: &[u8]) -> Result<FulfillmentRecord, serde_json::Error> {
        serde_json::from_slice(json)
    }

    fn row(&self, record: &FulfillmentRecord) -> Row {
        Row {
            schema: FULFILLMENT_SCHEMA,
            record: Some(serde_json::to_vec(record).unwrap_or_default()),
            columns: None,
        }
    }

    fn unreadable(&self, _: &OrderId) {}

    fn is_live(&self, record: &FulfillmentRecord) -> bool {
        // A plan without a shipment will be asked to ship soon.
        record.steps.last().is_some_and(|step| match step.kind {
            Some(StepKind::Schedule) => step.operation.state == State::Done,
            _ => matches!(step.operation.state, State::Doing | State::Undoing),
        })
    }

    fn counts(&self, _: &FulfillmentRecord) -> bool {
        false
    }

    fn command(
        &mut self,
        _: &mut Option<FulfillmentRecord>,
        command: &NoCommand,
        _: Option<&SavedAnswer>,
        _: Option<&OrderId>,
        _: &mut Ctx<'_>,
        _: &mut Turn,
    ) {
        match *command {}
    }

    fn event(
        &mut self,
        record: &mut Option<FulfillmentRecord>,
        event: &Envelope,
        _: &Bytes,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Result<(), String> {
        match &event.payload {
            Payload::StepRequested(asked) if KINDS.contains(&asked.work.kind()) => {
                request(record, asked, event, ctx, turn);
            }
            Payload::StepUndoRequested(asked) if KINDS.contains(&asked.kind) => {
                undo(record, asked, event, ctx, turn)
            }
            _ => {}
        }
        Ok(())
    }

    fn task(
        &mut self,
        record: &mut Option<FulfillmentRecord>,
        done: &TaskDone,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) {
        let Some(record) = record else { return turn.drop_task(done.task.id.clone()) };
        let task = &done.task.id;
        let Some(i) = record.steps.iter().position(|s| step_id(record, s.step).to_string() == *task) else {
            return turn.drop_task(task.clone());
        };
        turn.changed = true; // also where nothing follows from it, what it told is kept
        let step = &mut record.steps[i];
        let failed = step.operation.attempts + 1;
        let wait = |asked| ctx.settings.retry.next_try(ctx.now, task, failed, asked);
        let (answers, next) = match &done.result {
            CallResult::Ship(outcome) => {
                if let (CallOutcome::Done(shipped), State::Doing) = (outcome, step.operation.state) {
                    step.note_shipped(shipped, ctx.now);
                }
                step.operation.did(steps::result_of(outcome, wait), ctx.now)
            }
            CallResult::Cancel(outcome) => {
                let result = match outcome {
                    CallOutcome::Done(CancelOutcome::TooLate(shipped)) => {
                        step.note_shipped(shipped, ctx.now);
                        OpResult::TooLate
                    }
                    other => steps::result_of(other, wait),
                };
                step.operation.undid(result, wait(None))
            }
            CallResult::Authorize(_) | CallResult::Void(_) | CallResult::Waited => return,
        };
        turn.changed = true;
        follow(record, i, next, Some(&done.task.work), ctx, turn);
        for answer in answers {
            tell(record, i, answer, ctx, turn);
        }
    }

    fn sweep(&mut self, _: &mut Option<FulfillmentRecord>, _: &mut Ctx<'_>, _: &mut Turn) {}
}

impl FulfillmentStep {
    fn note_shipped(&mut self, shipped: &Shipped, now: Timestamp) {
        if self.shipped.is_none() {
            self.shipped = Some(shipped.clone());
            self.shipped_at = Some(now);
        }
    }

    fn needs_call(&self) -> bool {
        self.kind == Some(StepKind::Ship)
    }
}

fn request(
    record: &mut Option<FulfillmentRecord>,
    asked: &StepRequestedV1,
    event: &Envelope,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let record = record.get_or_insert_with(|| new_record(&asked.step, event));
    if let Some(i) = record.steps.iter().position(|s| s.step == asked.step.number) {
        if let Some(answer) = record.steps[i].operation.repeat() {
            tell(record, i, answer, ctx, turn);
        }
        return;
    }
    let i = record.steps.len();
    match &asked.work {
        Work::Schedule { shipment_id, .. } => {
            record.steps.push(FulfillmentStep {
                step: asked.step.number,
                kind: Some(StepKind::Schedule),
                shipment: Some(*shipment_id),
                eta: Some(ctx.now.plus(ctx.settings.eta)),
                shipped: None,
                shipped_at: None,
                operation: Operation::settled(State::Done),
                cause: event.event_id,
            });
            tell(record, i, Answer::Done, ctx, turn);
        }
        Work::Ship { shipment_id, ship_to, lines, scenario } => {
            let (operation, next) = Operation::begin(ctx.now, ctx.now.plus(ctx.settings.deadline));
            record.steps.push(FulfillmentStep {
                step: asked.step.number,
                kind: Some(StepKind::Ship),
                shipment: Some(*shipment_id),
                eta: None,
                shipped: None,
                shipped_at: None,
                operation,
                cause: event.event_id,
            });
            let call = TaskWork::Ship(ShipCall {
                key: do_key(&asked.step),
                order_id: asked.step.order.clone(),
                ship_to: ship_to.clone(),
                lines: lines.clone(),
                scenario: scenario.clone(),
            });
            follow(record, i, next, Some(&call), ctx, turn);
        }
        Work::Pay { .. } | Work::Wait { .. } => {}
    }
}

fn undo(
    record: &mut Option<FulfillmentRecord>,
    asked: &StepUndoRequestedV1,
    event: &Envelope,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let record = record.get_or_insert_with(|| new_record(&asked.step, event));
    let i = match record.steps.iter().position(|s| s.step == asked.step.number) {
        Some(i) => i,
        None => {
            // Never seen: a tombstone, so that a request that comes later starts nothing.
            record.steps.push(FulfillmentStep {
                step: asked.step.number,
                kind: None,
                shipment: None,
                eta: None,
                shipped: None,
                shipped_at: None,
                operation: Operation::settled(State::Undone),
                cause: event.event_id,
            });
            record.steps.len() - 1
        }
    };
    let step = &mut record.steps[i];
    step.cause = event.event_id;
    let needs_call = step.needs_call();
    let (answer, next) = step.operation.undo(ctx.now, needs_call);
    turn.changed = true;
    follow(record, i, next, None, ctx, turn);
    if let Some(answer) = answer {
        tell(record, i, answer, ctx, turn);
    }
}

/// Turns what an operation wants next into a task; `again` is the call to make or to repeat.
fn follow(
    record: &FulfillmentRecord,
    i: usize,
    next: Next,
    again: Option<&TaskWork>,
    ctx: &Ctx<'_>,
    turn: &mut Turn,
) {
    let step = step_id(record, record.steps[i].step);
    let undo = || {
        let key = do_key(&step);
        TaskWork::CancelShipment(UndoCall {
            key: undo_key(&step),
            order_id: record.order_id.clone(),
            operation: key,
        })
    };
    steps::follow(&step, next, record.steps[i].operation.attempts, undo, again, ctx, turn);
}

/// Reports to the order.
fn tell(record: &mut FulfillmentRecord, i: usize, answer: Answer, ctx: &mut Ctx<'_>, turn: &mut Turn) {
    let entry = &record.steps[i];
    let step = step_id(record, entry.step);
    let order_id = record.order_id.clone();
    let without = |outcome, reason: Option<String>| FailedV1 {
        order_id: record.order_id.clone(),
        step: step.clone(),
        outcome,
        subject: entry.shipment,
        reason,
    };
    let shipped = |outcome| match (&entry.shipped, entry.shipment) {
        (Some(shipped), Some(shipment_id)) => Some(Payload::ShipmentShipped(ShipmentV1 {
            order_id: record.order_id.clone(),
            step: step.clone(),
            outcome,
            shipment_id,
            carrier: shipped.carrier.clone(),
            tracking_number: shipped.tracking_number.clone(),
            shipped_at: entry.shipped_at.unwrap_or(ctx.now),
        })),
        _ => None,
    };
    let payload = match (&answer, entry.kind) {
        (Answer::Done, Some(StepKind::Schedule)) => {
            entry.shipment.zip(entry.eta).map(|(shipment_id, eta_utc)| {
                let outcome = StepOutcome::Done;
                Payload::FulfillmentScheduled(PlanV1 {
                    order_id,
                    step: step.clone(),
                    outcome,
                    shipment_id,
                    eta_utc,
                })
            })
        }
        (Answer::Done, _) => shipped(StepOutcome::Done),
        (Answer::NotUndoable(_), _) => shipped(StepOutcome::NotUndoable),
        (Answer::Undone, _) => Some(Payload::ShipmentCancelled(without(StepOutcome::Undone, None))),
        (Answer::Refused(why), _) => {
            Some(Payload::FulfillmentFailed(without(StepOutcome::Refused, Some(why.clone()))))
        }
        (Answer::Retrying(why, at), _) => Some(steps::progressed(&step, ProgressState::Retrying, why, *at)),
        (Answer::Waiting(why, at), _) => Some(steps::progressed(&step, ProgressState::Waiting, why, *at)),
    };
    let Some(payload) = payload else { return };
    let about = About {
        order: &record.order_id,
        correlation_id: record.correlation_id,
        cause: Some(entry.cause),
        actor: Actor::service(events::FULFILLMENT),
    };
    turn.emit(&about, &mut record.sequence, payload, ctx);
}

fn new_record(step: &StepId, event: &Envelope) -> FulfillmentRecord {
    FulfillmentRecord {
        order_id: step.order.clone(),
        sequence: 0,
        correlation_id: event.correlation_id,
        steps: vec![],
    }
}

fn step_id(record: &FulfillmentRecord, number: u32) -> StepId {
    StepId { order: record.order_id.clone(), number }
}

/// The carrier knows the operation by this; the same for every repeat.
fn do_key(step: &StepId) -> String {
    format!("fulfillment/{step}/ship/1")
}

fn undo_key(step: &StepId) -> String {
    format!("fulfillment/{step}/cancel/1")
}
