//! The payments service: acts on requests alone and knows nothing of flows.

use bytes::Bytes;

use super::{
    CallResult, Ctx, Logic, NoCommand, TaskDone, Turn, steps,
    turn::{About, Target},
};
use crate::{
    domain::{
        flow::StepKind,
        ids::{OrderId, StepId},
        money::Currency,
        operation::{Answer, Next, Operation, State},
        order::Actor,
        payment::{PAYMENTS_SCHEMA, PaymentRecord, PaymentStep},
    },
    events::{
        self, Envelope, FailedV1, Payload, PaymentV1, ProgressState, StepOutcome, StepRequestedV1,
        StepUndoRequestedV1, Work,
    },
    ports::{AuthorizeCall, CallOutcome, Delivery, Row, SavedAnswer, UndoCall, Work as TaskWork},
};

/// The logic of the payments service.
#[derive(Default)]
pub struct Payments;

impl Logic for Payments {
    type Record = PaymentRecord;
    type Command = NoCommand;
    type Answer = ();

    const NAME: &'static str = events::PAYMENTS;
    const SCHEMA: u32 = PAYMENTS_SCHEMA;

    fn target<'a>(&self, command: &'a NoCommand) -> Target<'a> {
        match *command {}
    }

    fn wants(&self, delivery: &Delivery) -> bool {
        steps::asks_for(delivery, &[StepKind::Pay])
    }

    fn read(&self, json: &[u8]) -> Result<PaymentRecord, serde_json::Error> {
        serde_json::from_slice(json)
    }

    fn row(&self, record: &PaymentRecord) -> Row {
        Row {
            schema: PAYMENTS_SCHEMA,
            record: Some(serde_json::to_vec(record).unwrap_or_default()),
            columns: None,
        }
    }

    fn unreadable(&self, _: &OrderId) {}

    fn is_live(&self, record: &PaymentRecord) -> bool {
        record.payments.iter().any(|p| matches!(p.operation.state, State::Doing | State::Undoing))
    }

    fn counts(&self, _: &PaymentRecord) -> bool {
        false
    }

    fn command(
        &mut self,
        _: &mut Option<PaymentRecord>,
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
        record: &mut Option<PaymentRecord>,
        event: &Envelope,
        _: &Bytes,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Result<(), String> {
        match &event.payload {
            Payload::StepRequested(asked) => request(record, asked, event, ctx, turn),
            Payload::StepUndoRequested(asked) if asked.kind == StepKind::Pay => {
                undo(record, asked, event, ctx, turn)
            }
            _ => {}
        }
        Ok(())
    }

    fn task(
        &mut self,
        record: &mut Option<PaymentRecord>,
        done: &TaskDone,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) {
        let Some(record) = record else { return turn.drop_task(done.task.id.clone()) };
        let task = &done.task.id;
        let Some(i) = record.payments.iter().position(|p| step_id(record, p.step).to_string() == *task)
        else {
            return turn.drop_task(task.clone());
        };
        turn.changed = true; // also where nothing follows from it, what it told is kept
        let payment = &mut record.payments[i];
        let failed = payment.operation.attempts + 1;
        let wait = |asked| ctx.settings.retry.next_try(ctx.now, task, failed, asked);
        let (answers, next) = match &done.result {
            CallResult::Authorize(outcome) => {
                if let CallOutcome::Done(reference) = outcome {
                    payment.reference = Some(reference.clone());
                }
                payment.operation.did(steps::result_of(outcome, wait), ctx.now)
            }
            CallResult::Void(outcome) => payment.operation.undid(steps::result_of(outcome, wait), wait(None)),
            CallResult::Ship(_) | CallResult::Cancel(_) | CallResult::Waited => return,
        };
        follow(record, i, next, Some(&done.task.work), ctx, turn);
        for answer in answers {
            tell(record, i, answer, ctx, turn);
        }
    }

    fn sweep(&mut self, _: &mut Option<PaymentRecord>, _: &mut Ctx<'_>, _: &mut Turn) {}
}

fn request(
    record: &mut Option<PaymentRecord>,
    asked: &StepRequestedV1,
    event: &Envelope,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let Work::Pay { payment_id, amount, currency, scale, provider, token, scenario } = &asked.work else {
        return;
    };
    let record = record.get_or_insert_with(|| new_record(&asked.step, event));
    if let Some(i) = record.payments.iter().position(|p| p.step == asked.step.number) {
        if let Some(answer) = record.payments[i].operation.repeat() {
            tell(record, i, answer, ctx, turn);
        }
        return;
    }
    let (operation, next) = Operation::begin(ctx.now, ctx.now.plus(ctx.settings.deadline));
    record.payments.push(PaymentStep {
        step: asked.step.number,
        id: Some(*payment_id),
        amount: *amount,
        currency: *currency,
        reference: None,
        operation,
        cause: event.event_id,
    });
    let call = TaskWork::Authorize(AuthorizeCall {
        key: do_key(&asked.step),
        order_id: asked.step.order.clone(),
        amount: *amount,
        currency: *currency,
        scale: *scale,
        provider: provider.clone(),
        token: token.clone(),
        scenario: scenario.clone(),
    });
    let i = record.payments.len() - 1;
    follow(record, i, next, Some(&call), ctx, turn);
}

fn undo(
    record: &mut Option<PaymentRecord>,
    asked: &StepUndoRequestedV1,
    event: &Envelope,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let record = record.get_or_insert_with(|| new_record(&asked.step, event));
    let i = match record.payments.iter().position(|p| p.step == asked.step.number) {
        Some(i) => i,
        None => {
            // Never seen: a tombstone, so that a request that comes later starts nothing.
            record.payments.push(PaymentStep {
                step: asked.step.number,
                id: None,
                amount: 0,
                currency: Currency::NONE,
                reference: None,
                operation: Operation::settled(State::Undone),
                cause: event.event_id,
            });
            record.payments.len() - 1
        }
    };
    record.payments[i].cause = event.event_id;
    let (answer, next) = record.payments[i].operation.undo(ctx.now, true);
    turn.changed = true;
    follow(record, i, next, None, ctx, turn);
    if let Some(answer) = answer {
        tell(record, i, answer, ctx, turn);
    }
}

/// Turns what an operation wants next into a task; `again` is the call to repeat.
fn follow(
    record: &PaymentRecord,
    i: usize,
    next: Next,
    again: Option<&TaskWork>,
    ctx: &Ctx<'_>,
    turn: &mut Turn,
) {
    let payment = &record.payments[i];
    let step = step_id(record, payment.step);
    let undo = || {
        let key = do_key(&step);
        TaskWork::Void(UndoCall { key: undo_key(&step), order_id: record.order_id.clone(), operation: key })
    };
    steps::follow(&step, next, payment.operation.attempts, undo, again, ctx, turn);
}

/// Reports to the order.
fn tell(record: &mut PaymentRecord, i: usize, answer: Answer, ctx: &mut Ctx<'_>, turn: &mut Turn) {
    let payment = &record.payments[i];
    let step = step_id(record, payment.step);
    let order_id = record.order_id.clone();
    let settled = |outcome| PaymentV1 {
        order_id: record.order_id.clone(),
        step: step.clone(),
        outcome,
        payment_id: payment.id,
        reference: payment.reference.clone(),
        amount: payment.amount,
        currency: payment.currency,
    };
    let payload = match &answer {
        Answer::Done => Payload::PaymentAuthorized(settled(StepOutcome::Done)),
        Answer::NotUndoable(_) => Payload::PaymentAuthorized(settled(StepOutcome::NotUndoable)),
        Answer::Undone => Payload::PaymentVoided(settled(StepOutcome::Undone)),
        Answer::Refused(reason) => Payload::PaymentFailed(FailedV1 {
            order_id,
            step: step.clone(),
            outcome: StepOutcome::Refused,
            subject: payment.id,
            reason: Some(reason.clone()),
        }),
        Answer::Retrying(reason, at) => steps::progressed(&step, ProgressState::Retrying, reason, *at),
        Answer::Waiting(reason, at) => steps::progressed(&step, ProgressState::Waiting, reason, *at),
    };
    let about = About {
        order: &record.order_id,
        correlation_id: record.correlation_id,
        cause: Some(payment.cause),
        actor: Actor::service(events::PAYMENTS),
    };
    turn.emit(&about, &mut record.sequence, payload, ctx);
}

fn new_record(step: &StepId, event: &Envelope) -> PaymentRecord {
    PaymentRecord {
        order_id: step.order.clone(),
        sequence: 0,
        correlation_id: event.correlation_id,
        payments: vec![],
    }
}

fn step_id(record: &PaymentRecord, number: u32) -> StepId {
    StepId { order: record.order_id.clone(), number }
}

/// The provider knows the operation by this; the same for every repeat.
fn do_key(step: &StepId) -> String {
    format!("payments/{step}/authorize/1")
}

fn undo_key(step: &StepId) -> String {
    format!("payments/{step}/void/1")
}
