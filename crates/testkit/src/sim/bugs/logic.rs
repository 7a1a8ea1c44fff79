//! Bugs of decisions: each hook changes a record just before or after the real logic looks at it.

use std::{collections::BTreeMap, sync::Arc};

use cartwright_core::{
    domain::{
        flow::{Life, StepKind},
        operation::State,
        order::{Actor, Order},
        payment::{Payment, PaymentRecord},
        performed::PerformedStep,
        time::Timestamp,
    },
    events::{self, Envelope, FailedV1, Payload, StepOutcome, Work},
    ports::{AuthorizeCall, CallOutcome, Work as TaskWork},
    services::{CallResult, Ctx, Fulfillment, Logic, Orders, Payments, TaskDone, Turn},
};

use super::Bug;
use crate::sim::logic::Simulated;

/// Logic that a bug can be planted in.
pub(in crate::sim) trait Spoiled: Simulated {
    /// Before an event is applied.
    fn before_event(
        &mut self,
        _: Bug,
        _: &mut Option<Self::Record>,
        _: &Envelope,
        _: &mut Ctx<'_>,
        _: &mut Turn,
    ) {
    }

    /// Before the result of a task is applied.
    fn before_task(&mut self, _: Bug, _: &mut Option<Self::Record>, _: &TaskDone) {}

    /// After a command was decided.
    fn after_command(&mut self, _: Bug, _: &mut Option<Self::Record>, _: &mut Ctx<'_>, _: &mut Turn) {}
}

impl Spoiled for Fulfillment {}

impl Spoiled for Orders {
    fn after_command(
        &mut self,
        bug: Bug,
        record: &mut Option<Arc<Order>>,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) {
        let Some(order) = record.as_ref().filter(|_| bug == Bug::CancelRacesShip) else { return };
        let racing = order.steps.iter().find(|s| s.kind == StepKind::Ship && s.life == Life::UndoRequested);
        let Some(step) = racing.map(|step| order.step_id(step.number)) else { return };
        let payload = Payload::ShipmentCancelled(FailedV1 {
            order_id: order.id.clone(),
            step,
            outcome: StepOutcome::Undone,
            subject: None,
            reason: None,
        });
        let event = Envelope {
            event_id: ctx.ids.next(),
            occurred_at: ctx.now,
            correlation_id: order.correlation_id,
            causation_id: None,
            source: events::FULFILLMENT.to_owned(),
            sequence: 0,
            actor: Actor::service(events::FULFILLMENT),
            payload,
        };
        let bytes = events::encode(&event).into();
        let _ = self.event(record, &event, &bytes, ctx, turn); // what it can't apply it leaves alone
    }
}

impl Spoiled for Payments {
    fn before_event(
        &mut self,
        bug: Bug,
        record: &mut Option<PaymentRecord>,
        event: &Envelope,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) {
        match (&event.payload, bug) {
            (Payload::StepUndoRequested(asked), Bug::UndoWhileUnknown) => {
                settle(record, asked.step.number, State::Doing);
            }
            (Payload::StepUndoRequested(asked), Bug::UndoForgotten) => {
                settle(record, asked.step.number, State::Done);
            }
            (Payload::StepRequested(asked), Bug::SweepTwice) => {
                let doing =
                    payment(record, asked.step.number).is_some_and(|p| p.operation.state == State::Doing);
                let Work::Pay { amount, currency, scale, provider, token, .. } = &asked.work else { return };
                if doing {
                    let call = TaskWork::Authorize(AuthorizeCall {
                        key: format!("payments/{}/authorize/{}", asked.step, event.event_id),
                        order_id: asked.step.order.clone(),
                        amount: *amount,
                        currency: *currency,
                        scale: *scale,
                        provider: provider.clone(),
                        token: token.clone(),
                        scenario: None,
                        metadata: BTreeMap::new(),
                    });
                    let id = asked.step.to_string();
                    turn.put_task(id, &asked.step.order, call, ctx.now, Timestamp::default(), 0);
                }
            }
            _ => {}
        }
    }

    fn before_task(&mut self, bug: Bug, record: &mut Option<PaymentRecord>, done: &TaskDone) {
        let succeeded = matches!(&done.result, CallResult::Authorize(CallOutcome::Done(_)));
        if bug == Bug::LateOutcome && succeeded {
            for payment in record.iter_mut().flat_map(|record| &mut record.steps) {
                payment.operation.state = State::Doing;
                payment.operation.undo_asked = false;
            }
        }
    }
}

/// Makes the logic believe that there is nothing to undo.
fn settle(record: &mut Option<PaymentRecord>, step: u32, from: State) {
    if let Some(payment) = payment(record, step).filter(|payment| payment.operation.state == from) {
        payment.operation.state = State::Refused;
    }
}

fn payment(record: &mut Option<PaymentRecord>, step: u32) -> Option<&mut PerformedStep<Payment>> {
    record.as_mut()?.steps.iter_mut().find(|payment| payment.step == step)
}
