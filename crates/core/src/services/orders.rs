//! The orders service: the only one that advances a flow.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Ctx, Logic, TaskDone, Turn,
    turn::{About, Target},
};
use crate::{
    domain::{
        flow::{By, Life, MANUAL_FLOW, Step, StepKind},
        frozen::Frozen,
        ids::{OrderId, StepId, digest},
        order::{
            Actor, Facts, Milestone, ORDER_SCHEMA, Order, OrderCommand, OrderEvent, PaymentIntent, Placed,
            PlacedBy, Report, StepReport,
        },
        time::Timestamp,
    },
    events::{
        self, CancellationRequestedV1, Envelope, FailedV1, HoldV1, OrderCreatedV1, OrderEventV1,
        OrderFailedV1, Payload, ProgressState, StepOutcome, StepRequestedV1, StepUndoRequestedV1, Work,
    },
    ports::{AnswerKey, Delivery, OrderColumns, Row, SavedAnswer, ShipLine, Work as TaskWork},
};

/// How often the sweeper's wait doubles, at most.
const MAX_SWEEP_DOUBLINGS: u32 = 6;

/// Moments for the sweeper lie this many to its patience.
const SWEEP_GRAINS: u32 = 16;

/// The name of the observation of how long an order took from placed to shipped.
pub const CREATED_TO_SHIPPED: &str = "created_to_shipped";

/// A scenario that begins so steers the simulated carrier; any other steers the simulated payment provider.
const SHIP_SCENARIO: &str = "ship-";

/// What is asked of the orders service.
#[derive(Debug)]
pub enum Ask {
    /// A new order.
    Place(PlaceOrder),
    /// Something to be done about an order.
    Change(Request),
}

/// `PlaceOrder`: a new order, checked at the edge.
#[derive(Debug)]
pub struct PlaceOrder {
    /// Its id: the client's, derived from its key, or fresh.
    pub id: OrderId,
    /// What the client stated, added up.
    pub placed: Frozen<Placed>,
    /// How it is to be paid.
    pub intent: PaymentIntent,
    /// By whom, under which key.
    pub placed_by: PlacedBy,
    /// What ties everything about the order together.
    pub correlation_id: Uuid,
    /// Whether an identical order under this id is as good as a new one (`PUT`).
    pub put: bool,
}

/// A command about an order that exists.
#[derive(Debug)]
pub struct Request {
    /// The order.
    pub order: OrderId,
    /// What is asked.
    pub command: OrderCommand,
    /// By whom.
    pub actor: Actor,
    /// Under which key its answer is saved.
    pub key: Option<AnswerKey>,
    /// The version that the caller has seen (`If-Match`).
    pub expected: Option<u64>,
}

/// What the orders service answers.
pub type OrderAnswer = Result<Answered, Rejection>;

/// It is done.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The order as it stands (or stood, in a replay).
    pub order: Arc<Order>,
    /// Whether it was made by this.
    pub created: bool,
    /// Whether this repeats an earlier answer.
    pub replayed: bool,
}

/// Why something was not done. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such order.
    #[error("there is no order {0}")]
    NotFound(OrderId),
    /// Another order has this id.
    #[error("the id {0} is taken by another order")]
    IdTaken(OrderId),
    /// Another order has this external id.
    #[error("the externalId is taken by order {0}")]
    ExternalIdTaken(OrderId),
    /// The key came before with another body.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// Not in this state.
    #[error("{0}")]
    NotNow(String),
    /// The order has changed since the caller looked.
    #[error("the order has version {0} now")]
    Stale(u64),
    /// What is stored of the order is beyond this binary: an operator must look.
    #[error("the record of order {0} can't be read by this version")]
    Unreadable(OrderId),
    /// As many orders are open as we allow.
    #[error("{0} orders are open, and no more are taken until some are through")]
    Full(u64),
}

impl PlaceOrder {
    /// What tells this request from another under the same key: SHA-256 in hex over everything that was asked.
    /// `id` is the id as the client stated it.
    pub fn fingerprint(id: Option<&str>, placed: &Placed, intent: &PaymentIntent) -> String {
        #[derive(Serialize)]
        struct Asked<'a>(Option<&'a str>, &'a Placed, &'a PaymentIntent);
        let asked = serde_json::to_string(&Asked(id, placed, intent)).unwrap_or_default();
        hex(&digest("place", &[&asked]))
    }
}

impl Request {
    fn fingerprint(&self) -> [u8; 32] {
        digest("request", &[self.order.as_str(), &serde_json::to_string(&self.command).unwrap_or_default()])
    }
}

/// The logic of the orders service.
#[derive(Default)]
pub struct Orders;

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
        *delivery.origin.source != *events::ORDERS
    }

    fn read(&self, json: &[u8]) -> Result<Arc<Order>, serde_json::Error> {
        serde_json::from_slice(json)
    }

    fn row(&self, order: &Arc<Order>) -> Row {
        Row {
            schema: ORDER_SCHEMA,
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

fn place_order(
    record: &mut Option<Arc<Order>>,
    place: &PlaceOrder,
    taken_by: Option<&OrderId>,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) -> OrderAnswer {
    if let Some(order) = record {
        return repeat_of(order, place, &ctx.settings.default_provider);
    }
    if let Some(other) = taken_by {
        return Err(Rejection::ExternalIdTaken(other.clone()));
    }
    let counts = place.placed.flow != MANUAL_FLOW;
    if counts && ctx.open_orders >= ctx.settings.max_open_orders {
        return Err(Rejection::Full(ctx.open_orders));
    }
    let number = ctx.numbers.next().unwrap_or_default();
    let mut intent = place.intent.clone();
    intent.provider.get_or_insert_with(|| ctx.settings.default_provider.clone());
    let mut order = Order::place(
        place.id.clone(),
        number,
        place.placed.clone(),
        intent,
        place.placed_by.clone(),
        place.correlation_id,
        ctx.now,
    );
    begin(&mut order, ctx, turn);
    let order = record.insert(Arc::new(order));
    Ok(Answered { order: order.clone(), created: true, replayed: false })
}

/// What a request to place means when its id is there already.
fn repeat_of(order: &Arc<Order>, place: &PlaceOrder, default_provider: &str) -> OrderAnswer {
    let identical = order.placed_by.fingerprint == place.placed_by.fingerprint;
    let same_key = place.placed_by.key.is_some()
        && order.placed_by.key == place.placed_by.key
        && order.placed_by.caller == place.placed_by.caller;
    let found = || Answered { order: order.clone(), created: false, replayed: same_key };
    match (same_key, identical) {
        (true, true) => Ok(found()),
        (true, false) => Err(Rejection::KeyReused),
        (false, _) if place.put && stands(order, place, default_provider) => Ok(found()),
        (false, _) => Err(Rejection::IdTaken(order.id.clone())),
    }
}

fn change_order(
    record: &mut Option<Arc<Order>>,
    request: &Request,
    saved: Option<&SavedAnswer>,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) -> OrderAnswer {
    if let Some(saved) = saved {
        if saved.fingerprint != request.fingerprint() {
            return Err(Rejection::KeyReused);
        }
        // An answer of another version may be beyond us: it was done all the same, and is not done again.
        let then = serde_json::from_slice::<Order>(&saved.record).map(Arc::new);
        let order = then.ok().or_else(|| record.clone());
        let order = order.ok_or_else(|| Rejection::NotFound(request.order.clone()))?;
        return Ok(Answered { order, created: false, replayed: true });
    }
    let order = record.as_mut().ok_or_else(|| Rejection::NotFound(request.order.clone()))?;
    if request.expected.is_some_and(|expected| expected != order.version) {
        return Err(Rejection::Stale(order.version));
    }
    let first = order.decide(&request.command).map_err(|refusal| Rejection::NotNow(refusal.why))?;
    if !first.is_empty() {
        advance(Arc::make_mut(order), first, None, &request.actor, ctx, turn);
    }
    if let Some(key) = &request.key {
        let record = to_json(order);
        turn.save_answer(
            key.clone(),
            SavedAnswer { fingerprint: request.fingerprint(), record, saved_at: ctx.now },
        );
    }
    Ok(Answered { order: order.clone(), created: false, replayed: false })
}

/// Whether an order is what a request asks for, however it came to be.
fn stands(order: &Order, place: &PlaceOrder, default_provider: &str) -> bool {
    let PaymentIntent { provider, token, scenario } = &place.intent;
    let provider = provider.as_deref().unwrap_or(default_provider);
    order.placed == place.placed
        && order.intent.provider.as_deref() == Some(provider)
        && (&order.intent.token, &order.intent.scenario) == (token, scenario)
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
        let ours = asked.filter(|step| step.kind == StepKind::Wait).map(|step| (step.number, step.wait_ms));
        let undo = matches!(event, OrderEvent::StepUndoRequested { .. });
        happened.push(event);
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

/// Puts what happened on the topic and into the history. Every change shows at least one event; what has none of
/// its own shows as progress.
fn publish(
    order: &mut Order,
    happened: &[OrderEvent],
    cause: Option<Uuid>,
    actor: &Actor,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let payloads: Vec<Payload> = happened.iter().filter_map(|event| payload(order, event)).collect();
    if payloads.is_empty() && !happened.is_empty() {
        emit(order, Payload::OrderProgressed(as_it_stands(order)), cause, actor, ctx, turn);
    }
    for payload in payloads {
        emit(order, payload, cause, actor, ctx, turn);
    }
}

fn emit(
    order: &mut Order,
    payload: Payload,
    cause: Option<Uuid>,
    actor: &Actor,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) {
    let about = About { order: &order.id, correlation_id: order.correlation_id, cause, actor: actor.clone() };
    turn.emit(&about, &mut order.sequence, payload, ctx);
    turn.remember_own();
}

fn as_it_stands(order: &Order) -> OrderEventV1 {
    OrderEventV1 {
        order_id: order.id.clone(),
        version: order.version,
        status: order.status,
        milestone: order.milestone,
    }
}

fn payload(order: &Order, event: &OrderEvent) -> Option<Payload> {
    let at = as_it_stands(order);
    match event {
        OrderEvent::StepRequested { step } => {
            let step = order.step(*step)?;
            let work = work(order, step);
            Some(Payload::StepRequested(StepRequestedV1 { at, step: order.step_id(step.number), work }))
        }
        OrderEvent::StepUndoRequested { step } => {
            let step = order.step(*step)?;
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
        },
        StepKind::Schedule => Work::Schedule { shipment_id: order.shipment_id(), lines: lines() },
        StepKind::Ship => Work::Ship {
            shipment_id: order.shipment_id(),
            ship_to: order.placed.ship_to.clone(),
            lines: lines(),
            scenario: scenario.and_then(|word| word.strip_prefix(SHIP_SCENARIO)).map(str::to_owned),
        },
        StepKind::Wait => Work::Wait { wait_ms: step.wait_ms.unwrap_or_default() },
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

/// What another service's event says about which step.
fn read_report(event: &Envelope) -> Option<(&StepId, StepReport)> {
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

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
