//! What happened to an order, as events on its topic and in its history.

use uuid::Uuid;

use crate::{
    domain::{
        flow::{By, Step, StepKind},
        order::{Actor, Order, OrderEvent},
    },
    events::{
        CancellationRequestedV1, HoldV1, OrderEventV1, OrderFailedV1, Payload, StepRequestedV1,
        StepUndoRequestedV1, Work,
    },
    ports::ShipLine,
    services::{Ctx, Turn, turn::About},
};

/// A scenario that begins so steers the simulated carrier; any other steers the simulated payment provider.
pub const SHIP_SCENARIO: &str = "ship-";

/// Puts what happened on the topic and into the history. Every change shows at least one event; what has none of
/// its own shows as progress.
pub(super) fn publish(
    order: &mut Order,
    happened: &[OrderEvent],
    cause: Option<Uuid>,
    actor: &Actor,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let payloads: Vec<Payload> = happened.iter().filter_map(|event| payload(order, event)).collect();
    if payloads.is_empty() && !happened.is_empty() && order.version > 1 {
        emit(order, Payload::OrderProgressed(as_it_stands(order)), cause, actor, ctx, turn);
    }
    for payload in payloads {
        emit(order, payload, cause, actor, ctx, turn);
    }
}

pub(super) fn emit(
    order: &mut Order,
    payload: Payload,
    cause: Option<Uuid>,
    actor: &Actor,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let about = About {
        order: &order.id,
        correlation_id: order.correlation_id,
        dialect: order.placed.dialect.as_deref(),
        cause,
        actor: actor.clone(),
    };
    turn.emit(&about, &mut order.sequence, payload, ctx);
    turn.remember_own();
}

pub(super) fn as_it_stands(order: &Order) -> OrderEventV1 {
    OrderEventV1 {
        order_id: order.id.clone(),
        version: order.version,
        status: order.status,
        word: order.word.clone(),
        milestone: order.milestone,
    }
}

fn payload(order: &Order, event: &OrderEvent) -> Option<Payload> {
    let at = as_it_stands(order);
    match event {
        OrderEvent::StepRequested { step } => {
            let step = order.step(*step).filter(|step| step.by == By::Us)?; // nobody else may carry out a neighbour's
            let work = work(order, step);
            Some(Payload::StepRequested(StepRequestedV1 { at, step: order.step_id(step.number), work }))
        }
        OrderEvent::StepUndoRequested { step } => {
            let step = order.step(*step).filter(|step| step.by == By::Us)?;
            let id = order.step_id(step.number);
            Some(Payload::StepUndoRequested(StepUndoRequestedV1 { at, step: id, kind: step.kind }))
        }
        OrderEvent::Held { note } => Some(Payload::OrderHeld(HoldV1 { at, note: note.clone() })),
        OrderEvent::Released { note } => Some(Payload::OrderReleased(HoldV1 { at, note: note.clone() })),
        OrderEvent::CancellationRequested { reason, note } => {
            let requested = CancellationRequestedV1 { at, reason: *reason, note: note.clone() };
            Some(Payload::OrderCancellationRequested(requested))
        }
        OrderEvent::Completed => Some(Payload::OrderCompleted(at)),
        OrderEvent::Failed { reason } => {
            Some(Payload::OrderFailed(OrderFailedV1 { at, reason: reason.clone() }))
        }
        OrderEvent::Cancelled => Some(Payload::OrderCancelled(at)),
        OrderEvent::StepMoved(_)
        | OrderEvent::MilestoneSet(_)
        | OrderEvent::WordSet(_)
        | OrderEvent::CancellationRefused { .. }
        | OrderEvent::Failing { .. } => None,
    }
}

/// All that a step's service needs to know.
fn work(order: &Order, step: &Step) -> Work {
    let lines =
        || order.placed.lines.iter().map(|l| ShipLine { sku: l.sku.clone(), quantity: l.quantity }).collect();
    let scenario = order.intent.scenario.as_deref();
    match step.kind {
        StepKind::Pay => Work::Pay {
            payment_id: order.payment_id(step.number),
            amount: order.placed.totals.total,
            currency: order.placed.currency,
            scale: order.placed.scale,
            provider: order.intent.provider.clone().unwrap_or_default(),
            token: order.intent.token.clone(),
            scenario: scenario.filter(|word| !word.starts_with(SHIP_SCENARIO)).map(str::to_owned),
            metadata: order.placed.metadata.clone(),
        },
        StepKind::Schedule => Work::Schedule { shipment_id: order.shipment_id(), lines: lines() },
        StepKind::Ship => Work::Ship {
            shipment_id: order.shipment_id(),
            ship_to: order.placed.ship_to.clone(),
            lines: lines(),
            scenario: scenario.and_then(|word| word.strip_prefix(SHIP_SCENARIO)).map(str::to_owned),
            announced: step.announced,
            max_tries: step.max_tries,
        },
        StepKind::Wait => Work::Wait { wait_ms: step.wait_ms.unwrap_or_default() },
    }
}
