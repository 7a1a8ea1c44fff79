//! What payments and fulfillment share: how requests for steps are recognised, and how an operation's next move
//! becomes a task.

use super::{Ctx, Turn};
use crate::{
    domain::{
        flow::StepKind,
        ids::StepId,
        operation::{Next, Result as OpResult},
        time::Timestamp,
    },
    events::{Payload, ProgressState, StepProgressedV1},
    ports::{CallOutcome, Delivery, Work as TaskWork},
};

/// Whether a delivery may ask for one of these kinds of steps, judged by its headers.
pub(super) fn asks_for(delivery: &Delivery, kinds: &[StepKind]) -> bool {
    match delivery.headers.get("eventType") {
        Some("StepRequestedV1" | "StepUndoRequestedV1") | None => {
            delivery.headers.get("stepKind").is_none_or(|kind| kinds.iter().any(|k| k.as_str() == kind))
        }
        Some(kind) => !Payload::TYPES.contains(&kind),
    }
}

/// What came of a call, in the words of an operation.
pub(super) fn result_of<T>(
    outcome: &CallOutcome<T>,
    wait: impl Fn(Option<std::time::Duration>) -> Timestamp,
) -> OpResult {
    match outcome {
        CallOutcome::Done(_) => OpResult::Done,
        CallOutcome::Refused(reason) => OpResult::Refused(reason.clone()),
        CallOutcome::Pending(reason) => OpResult::Pending(reason.clone(), wait(None)),
        CallOutcome::Unknown { reason, retry_after } => OpResult::Unknown(reason.clone(), wait(*retry_after)),
    }
}

/// Turns what an operation wants next into the step's one task: `again` is the call to repeat, `undo` makes the
/// call that takes it back.
pub(super) fn follow(
    step: &StepId,
    next: Next,
    attempts: u32,
    undo: impl FnOnce() -> TaskWork,
    again: Option<&TaskWork>,
    ctx: &Ctx<'_>,
    turn: &mut Turn,
) {
    let id = step.to_string();
    let free = Timestamp::default();
    match (next, again) {
        (Next::Nothing, _) | (Next::Do(_), None) => {}
        (Next::Drop, _) => turn.drop_task(id),
        (Next::Do(at), Some(call)) => turn.put_task(id, &step.order, call.clone(), at, free, attempts),
        (Next::Undo(at), _) => turn.put_task(id, &step.order, undo(), at, free, attempts),
        (Next::UndoAfterCall, _) => {
            // Whoever makes the call under way reports it; this is for the case that it never does. A call that was
            // asked for in this very batch is under way nowhere: nobody would report it.
            let begun = !turn.puts_task(&id);
            let lease = if begun { ctx.now.plus(ctx.settings.lease) } else { free };
            turn.put_task(id, &step.order, undo(), ctx.now, lease, attempts);
        }
    }
}

/// The event of a step that has no outcome yet.
pub(super) fn progressed(step: &StepId, state: ProgressState, reason: &str, next: Timestamp) -> Payload {
    Payload::StepProgressed(StepProgressedV1 {
        order_id: step.order.clone(),
        step: step.clone(),
        state,
        reason: Some(reason.to_owned()),
        next_try_at: Some(next),
    })
}
