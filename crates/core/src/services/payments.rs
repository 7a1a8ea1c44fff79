//! The payments service: has the payment provider reserve money, and give it back.

use super::{
    CallResult, Ctx,
    steps::{self, Came, Performer, Wait},
};
use crate::{
    domain::{
        flow::StepKind,
        ids::StepId,
        money::Currency,
        operation::Answer,
        payment::{PAYMENTS_SCHEMA, Payment},
        performed::PerformedStep,
        time::Timestamp,
    },
    events::{self, FailedV1, Payload, PaymentV1, StepOutcome, Work},
    ports::{AuthorizeCall, CallOutcome, UndoCall, Work as TaskWork},
};

/// The logic of the payments service.
#[derive(Default)]
pub struct Payments;

impl Performer for Payments {
    type Facts = Payment;

    const NAME: &'static str = events::PAYMENTS;
    const SCHEMA: u32 = PAYMENTS_SCHEMA;
    const KINDS: &'static [StepKind] = &[StepKind::Pay];

    fn begin(step: &StepId, work: &Work, _: &Ctx<'_>) -> Option<(Payment, Option<TaskWork>)> {
        let Work::Pay { payment_id, amount, currency, scale, provider, token, scenario, metadata } = work
        else {
            return None;
        };
        let payment = Payment { id: *payment_id, amount: *amount, currency: *currency, reference: None };
        let call = TaskWork::Authorize(AuthorizeCall {
            key: do_key(step),
            order_id: step.order.clone(),
            amount: *amount,
            currency: *currency,
            scale: *scale,
            provider: provider.clone(),
            token: token.clone(),
            scenario: scenario.clone(),
            metadata: metadata.clone(),
        });
        Some((payment, Some(call)))
    }

    fn undo_call(step: &StepId) -> TaskWork {
        TaskWork::Void(UndoCall {
            key: format!("payments/{step}/void/1"),
            order_id: step.order.clone(),
            operation: do_key(step),
        })
    }

    fn undo_needs_call(_: Option<&Payment>) -> bool {
        true
    }

    fn came(
        step: &mut PerformedStep<Payment>,
        result: &CallResult,
        wait: &Wait<'_>,
        now: Timestamp,
    ) -> Option<Came> {
        match result {
            CallResult::Authorize(outcome) => {
                if let (CallOutcome::Done(reference), Some(payment)) = (outcome, &mut step.facts) {
                    payment.reference = Some(reference.clone());
                }
                Some(Came::OfDo(steps::result_of(outcome, wait, now)))
            }
            CallResult::Void(outcome) => Some(Came::OfUndo(steps::result_of(outcome, wait, now))),
            CallResult::Ship(_) | CallResult::Cancel(_) | CallResult::Waited => None,
        }
    }

    fn outcome(step: &StepId, payment: Option<&Payment>, answer: &Answer) -> Option<Payload> {
        let settled = |outcome| PaymentV1 {
            order_id: step.order.clone(),
            step: step.clone(),
            outcome,
            payment_id: payment.map(|payment| payment.id),
            reference: payment.and_then(|payment| payment.reference.clone()),
            amount: payment.map_or(0, |payment| payment.amount),
            currency: payment.map_or(Currency::NONE, |payment| payment.currency),
        };
        match answer {
            Answer::Done => Some(Payload::PaymentAuthorized(settled(StepOutcome::Done))),
            Answer::NotUndoable(_) => Some(Payload::PaymentAuthorized(settled(StepOutcome::NotUndoable))),
            Answer::Undone => Some(Payload::PaymentVoided(settled(StepOutcome::Undone))),
            Answer::Refused(reason) => Some(Payload::PaymentFailed(FailedV1 {
                order_id: step.order.clone(),
                step: step.clone(),
                outcome: StepOutcome::Refused,
                subject: payment.map(|payment| payment.id),
                reason: Some(reason.clone()),
            })),
            Answer::Retrying(..) | Answer::Waiting(..) => None,
        }
    }
}

/// The provider knows the operation by this; the same for every repeat.
fn do_key(step: &StepId) -> String {
    format!("payments/{step}/authorize/1")
}
