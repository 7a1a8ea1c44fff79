//! The orders service: the only one that advances a flow.
//!
//! * `asks` … what is asked of it and answered; `commands` … how that is decided.
//! * `reports` … what other services' events say; here: how an order goes on from either.
//! * `neighbours` … what other systems say, which do a part of the work for orders of a dialect.
//! * `publish` … what happened, as events.

mod asks;
mod commands;
mod neighbours;
mod publish;
mod reports;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use uuid::Uuid;

pub use self::{
    asks::{Answered, Ask, OrderAnswer, PlaceOrder, Rejection, Request, Variation},
    neighbours::{Neighbours, Said, Saying},
    publish::SHIP_SCENARIO,
};
use self::{
    commands::{change_order, place_order},
    publish::{as_it_stands, emit, publish},
    reports::read_report,
};

use super::{Ctx, Logic, TaskDone, Turn, turn::Target};
use crate::{
    domain::{
        flow::{By, Life, Step, StepKind},
        ids::{OrderId, StepId},
        order::{Actor, Facts, Milestone, ORDER_SCHEMA, Order, OrderEvent, Report, StepReport},
        time::Timestamp,
    },
    events::{self, Envelope, OrderCreatedV1, Payload},
    ports::{Delivery, OrderColumns, Row, SavedAnswer, Work as TaskWork},
};

/// How often the sweeper's wait doubles, at most.
const MAX_SWEEP_DOUBLINGS: u32 = 6;

/// Moments for the sweeper lie this many to its patience.
const SWEEP_GRAINS: u32 = 16;

/// The name of the observation of how long an order took from placed to shipped.
pub const CREATED_TO_SHIPPED: &str = "created_to_shipped";

/// The logic of the orders service.
#[derive(Default)]
pub struct Orders {
    /// Who understands the topics of neighbours, if we listen to some.
    pub neighbours: Option<Arc<dyn Neighbours>>,
}

impl Logic for Orders {
    type Record = Arc<Order>;
    type Command = Ask;
    type Answer = OrderAnswer;

    const NAME: &'static str = events::ORDERS;
    const SCHEMA: u32 = ORDER_SCHEMA;

    fn target<'a>(&self, command: &'a Ask) -> Target<'a> {
        match command {
            Ask::Place(place) => Target { order: &place.id, creates: true, answer: None },
            Ask::Change(request) => {
                Target { order: &request.order, creates: false, answer: request.key.as_ref() }
            }
        }
    }

    fn wants(&self, delivery: &Delivery) -> bool {
        let ours = self.neighbours.as_ref().is_some_and(|neighbours| neighbours.is_ours(delivery));
        *delivery.origin.source != *events::ORDERS && !ours
    }

    fn read(&self, json: &[u8]) -> Result<Arc<Order>, serde_json::Error> {
        serde_json::from_slice(json)
    }

    fn row(&self, order: &Arc<Order>) -> Row {
        Row {
            schema: order.schema(),
            record: Some(to_json(order)),
            columns: Some(OrderColumns {
                number: order.number,
                channel: order.placed.channel.clone().unwrap_or_default(),
                external_id: order.placed.external_id.clone(),
                status: order.status,
                milestone: order.milestone.as_str().to_owned(),
                flow: order.placed.flow.clone(),
                customer: order.placed.customer.id.clone(),
                created_at: order.created_at,
                updated_at: order.updated_at,
                sweep_at: order.sweep_at,
                counted: order.must_end(),
            }),
        }
    }

    fn unreadable(&self, order: &OrderId) -> OrderAnswer {
        Err(Rejection::Unreadable(order.clone()))
    }

    fn is_live(&self, order: &Arc<Order>) -> bool {
        order.must_end()
    }

    fn counts(&self, order: &Arc<Order>) -> bool {
        order.must_end()
    }

    fn command(
        &mut self,
        record: &mut Option<Arc<Order>>,
        command: &Ask,
        saved: Option<&SavedAnswer>,
        taken_by: Option<&OrderId>,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> OrderAnswer {
        match command {
            Ask::Place(place) => place_order(record, place, taken_by, ctx, turn),
            Ask::Change(request) => change_order(record, request, saved, ctx, turn),
        }
    }

    fn event(
        &mut self,
        record: &mut Option<Arc<Order>>,
        event: &Envelope,
        bytes: &Bytes,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Result<(), String> {
        let Some((step, report)) = read_report(event) else { return Ok(()) };
        let Some(order) = record else {
            return Err(format!("order {} is not known (yet)", step.order));
        };
        if step.order != order.id {
            return Err(format!(
                "the event's key is order {}, but its step belongs to order {}",
                order.id, step.order
            ));
        }
        let first = order.fold(&report)?;
        if !first.is_empty() {
            turn.remember_foreign(bytes);
            advance(
                Arc::make_mut(order),
                first,
                Some(event.event_id),
                &Actor::service(events::ORDERS),
                ctx,
                turn,
            );
        }
        Ok(())
    }

    fn hear(&self, delivery: &Delivery) -> Option<Result<Said, String>> {
        self.neighbours.as_ref()?.hear(delivery)
    }

    fn said(
        &mut self,
        record: &mut Option<Arc<Order>>,
        said: &Said,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Result<(), String> {
        neighbours::take(record, said, ctx, turn)
    }

    fn task(&mut self, record: &mut Option<Arc<Order>>, done: &TaskDone, ctx: &mut Ctx<'_>, turn: &mut Turn) {
        turn.drop_task(done.task.id.clone());
        let Some(order) = record else { return };
        let waited = order.steps.iter().find(|step| wait_task(order, step.number) == done.task.id);
        let Some(step) = waited.map(|step| step.number) else { return };
        let report = StepReport { step, report: Report::Done, facts: Facts::None };
        if let Ok(first) = order.fold(&report)
            && !first.is_empty()
        {
            advance(Arc::make_mut(order), first, None, &Actor::service(events::ORDERS), ctx, turn);
        }
    }

    fn sweep(&mut self, record: &mut Option<Arc<Order>>, ctx: &mut Ctx<'_>, turn: &mut Turn) {
        let Some(order) = record else { return };
        if order.sweep_at.is_none_or(|at| at > ctx.now) {
            return;
        }
        let Some((number, life)) = order.awaited().map(|step| (step.number, step.life)) else { return };
        let order = Arc::make_mut(order);
        if let Some(step) = order.steps.iter_mut().find(|step| step.number == number) {
            step.asked_again = step.asked_again.saturating_add(1);
        }
        let ask = match life {
            Life::UndoRequested => OrderEvent::StepUndoRequested { step: number },
            _ => OrderEvent::StepRequested { step: number },
        };
        order.sweep_at = next_sweep(order, ctx);
        publish(order, &[ask], None, &Actor::service(events::ORDERS), ctx, turn);
        turn.changed = true;
    }
}

/// An order's record as JSON.
fn to_json(order: &Order) -> Vec<u8> {
    let mut json = Vec::with_capacity(2_048);
    // Plain structs with text keys: writing them into memory has no way to fail.
    serde_json::to_writer(&mut json, order).unwrap_or_default();
    json
}

/// The first events of a new order.
fn begin(order: &mut Order, ctx: &mut Ctx<'_>, turn: &mut Turn) {
    let actor = order.placed_by_actor();
    let mut happened = Vec::new();
    ask_on(order, &mut happened, ctx, turn);
    order.sweep_at = next_sweep(order, ctx);
    let created = Payload::OrderCreated(OrderCreatedV1 {
        at: as_it_stands(order),
        number: order.number,
        order: order.placed.clone(),
    });
    emit(order, created, None, &actor, ctx, turn);
    publish(order, &happened, None, &actor, ctx, turn);
}

/// One change of an order: what happened first, what follows from it, and what the order asks for next.
fn advance(
    order: &mut Order,
    first: Vec<OrderEvent>,
    cause: Option<Uuid>,
    actor: &Actor,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    order.version = order.version.saturating_add(1);
    let was_shipped = order.milestone == Milestone::Shipped;
    let mut happened = first;
    for event in &happened {
        order.apply(event, ctx.now);
    }
    ask_on(order, &mut happened, ctx, turn);
    order.sweep_at = next_sweep(order, ctx);
    publish(order, &happened, cause, actor, ctx, turn);
    if !was_shipped && order.milestone == Milestone::Shipped {
        turn.observe(CREATED_TO_SHIPPED, ctx.now.since(order.created_at));
    }
}

/// Asks for what comes next until there is nothing more to ask. Steps that are ours are begun here.
fn ask_on(order: &mut Order, happened: &mut Vec<OrderEvent>, ctx: &mut Ctx<'_>, turn: &mut Turn) {
    while let Some(event) = order.ask_next() {
        order.apply(&event, ctx.now);
        let asked = match event {
            OrderEvent::StepRequested { step } | OrderEvent::StepUndoRequested { step } => order.step(step),
            _ => None,
        };
        let waits = |step: &&Step| step.kind == StepKind::Wait && step.by == By::Us;
        let ours = asked.filter(waits).map(|step| (step.number, step.wait_ms));
        let undo = matches!(event, OrderEvent::StepUndoRequested { .. });
        let theirs = asked.filter(|step| undo && step.by == By::Neighbour).map(|s| (s.number, s.kind));
        happened.push(event);
        if let Some((step, kind)) = theirs {
            let reason = "somebody else does it, whom nobody can stop".to_owned();
            let nothing_done = kind == StepKind::Wait;
            let report = if nothing_done { Report::Undone } else { Report::NotUndoable { reason } };
            let kept = StepReport { step, report, facts: Facts::None };
            let consequences = order.fold(&kept).unwrap_or_default();
            for event in consequences {
                order.apply(&event, ctx.now);
                happened.push(event);
            }
        }
        if let Some((number, wait_ms)) = ours {
            if undo {
                turn.drop_task(wait_task(order, number));
                let undone = StepReport { step: number, report: Report::Undone, facts: Facts::None };
                let undone = OrderEvent::StepMoved(undone);
                order.apply(&undone, ctx.now);
                happened.push(undone);
            } else {
                let due = ctx.now.plus(Duration::from_millis(wait_ms.unwrap_or_default().into()));
                let id = wait_task(order, number);
                turn.put_task(id, &order.id, TaskWork::Wait, due, Timestamp::default(), 0);
            }
        }
    }
}

/// When to ask again for a step without an answer: not before its service means to try, and never a neighbour.
fn next_sweep(order: &Order, ctx: &Ctx<'_>) -> Option<Timestamp> {
    let step = order.awaited().filter(|step| step.by == By::Us && step.kind != StepKind::Wait)?;
    let patience = ctx.settings.sweep_after.saturating_mul(1 << step.asked_again.min(MAX_SWEEP_DOUBLINGS));
    let at = step.next_try_at.unwrap_or(ctx.now).max(ctx.now).plus(patience);
    // Rounded up, so that most changes of an order leave its moment, and the index over it, as they are.
    Some(at.round_up(ctx.settings.sweep_after / SWEEP_GRAINS))
}

fn wait_task(order: &Order, step: u32) -> String {
    StepId { order: order.id.clone(), number: step }.to_string()
}
