//! The real logic of a service, watched: what it applies is noted, and now and then it is made a version too old to
//! understand an event.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use cartwright_core::{
    domain::ids::OrderId,
    events::{Envelope, Payload},
    ports::{Delivery, Row, SavedAnswer},
    services::{
        Ask, Ctx, Fulfillment, Input, Logic, NoCommand, OrderAnswer, Orders, Payments, Target, TaskDone, Turn,
    },
};
use uuid::Uuid;

use super::{
    bugs::{Bug, Spoiled},
    service::Service,
    store::lock,
};

/// What services can't understand for now.
#[derive(Default)]
pub(super) struct Watch {
    /// Which of an order's events a service does not understand, counted from 0 as they come.
    pub misread: BTreeMap<(Service, OrderId), Vec<usize>>,
    /// The events that came for the orders in `misread`.
    met: BTreeMap<(Service, OrderId), Vec<Uuid>>,
    /// How many were not understood.
    pub misreads: u64,
}

/// What an instance has applied in the step under way.
pub(super) type Applying = Arc<Mutex<Vec<Applied>>>;

/// An event that a service applied.
pub(super) struct Applied {
    pub service: Service,
    pub order: OrderId,
    pub source: String,
    pub sequence: u64,
}

impl Watch {
    fn misreads(&mut self, service: Service, order: &OrderId, event: Uuid) -> bool {
        let key = (service, order.clone());
        let Some(which) = self.misread.get(&key) else { return false };
        let met = self.met.entry(key).or_default();
        let number = met.iter().position(|id| *id == event).unwrap_or_else(|| {
            met.push(event);
            met.len() - 1
        });
        let misread = which.contains(&number);
        self.misreads += u64::from(misread);
        misread
    }
}

/// A service's logic under watch.
pub(super) struct Watched<L> {
    pub inner: L,
    pub watch: Arc<Mutex<Watch>>,
    pub applying: Applying,
    pub bug: Option<Bug>,
}

impl<L: Spoiled> Logic for Watched<L> {
    type Record = L::Record;
    type Command = L::Command;
    type Answer = L::Answer;

    const NAME: &'static str = L::NAME;
    const SCHEMA: u32 = L::SCHEMA;

    fn target<'a>(&self, command: &'a L::Command) -> Target<'a> {
        self.inner.target(command)
    }

    fn wants(&self, delivery: &Delivery) -> bool {
        self.inner.wants(delivery)
    }

    fn read(&self, json: &[u8]) -> Result<L::Record, serde_json::Error> {
        self.inner.read(json)
    }

    fn row(&self, record: &L::Record) -> Row {
        self.inner.row(record)
    }

    fn unreadable(&self, order: &OrderId) -> L::Answer {
        self.inner.unreadable(order)
    }

    fn is_live(&self, record: &L::Record) -> bool {
        self.inner.is_live(record)
    }

    fn counts(&self, record: &L::Record) -> bool {
        self.inner.counts(record)
    }

    fn command(
        &mut self,
        record: &mut Option<L::Record>,
        command: &L::Command,
        saved: Option<&SavedAnswer>,
        taken_by: Option<&OrderId>,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> L::Answer {
        let answer = self.inner.command(record, command, saved, taken_by, ctx, turn);
        if let Some(bug) = self.bug {
            self.inner.after_command(bug, record, ctx, turn);
        }
        answer
    }

    fn event(
        &mut self,
        record: &mut Option<L::Record>,
        event: &Envelope,
        bytes: &Bytes,
        ctx: &mut Ctx<'_>,
        turn: &mut Turn,
    ) -> Result<(), String> {
        let order = order_of(&event.payload);
        if lock(&self.watch).misreads(L::SERVICE, order, event.event_id) {
            return Err("this version does not understand it".to_owned());
        }
        if let Some(bug) = self.bug {
            self.inner.before_event(bug, record, event, ctx, turn);
        }
        self.inner.event(record, event, bytes, ctx, turn)?;
        lock(&self.applying).push(Applied {
            service: L::SERVICE,
            order: order.clone(),
            source: event.source.clone(),
            sequence: event.sequence,
        });
        Ok(())
    }

    fn task(&mut self, record: &mut Option<L::Record>, done: &TaskDone, ctx: &mut Ctx<'_>, turn: &mut Turn) {
        if let Some(bug) = self.bug {
            self.inner.before_task(bug, record, done);
        }
        self.inner.task(record, done, ctx, turn);
    }

    fn sweep(&mut self, record: &mut Option<L::Record>, ctx: &mut Ctx<'_>, turn: &mut Turn) {
        self.inner.sweep(record, ctx, turn);
    }
}

/// A service that the simulator can run: its inputs and answers in one form for all.
pub(super) trait Simulated: Logic + Default + 'static {
    /// Which one.
    const SERVICE: Service;

    /// An input of this service; `None` for a command that it does not take.
    fn input(input: Input<Ask>) -> Option<Input<Self::Command>>;

    /// Its answers.
    fn answers(answers: Vec<(u64, Self::Answer)>) -> Vec<(u64, OrderAnswer)>;
}

impl Simulated for Orders {
    const SERVICE: Service = Service::Orders;

    fn input(input: Input<Ask>) -> Option<Input<Ask>> {
        Some(input)
    }

    fn answers(answers: Vec<(u64, OrderAnswer)>) -> Vec<(u64, OrderAnswer)> {
        answers
    }
}

impl Simulated for Payments {
    const SERVICE: Service = Service::Payments;

    fn input(input: Input<Ask>) -> Option<Input<NoCommand>> {
        without_command(input)
    }

    fn answers(_: Vec<(u64, ())>) -> Vec<(u64, OrderAnswer)> {
        Vec::new()
    }
}

impl Simulated for Fulfillment {
    const SERVICE: Service = Service::Fulfillment;

    fn input(input: Input<Ask>) -> Option<Input<NoCommand>> {
        without_command(input)
    }

    fn answers(_: Vec<(u64, ())>) -> Vec<(u64, OrderAnswer)> {
        Vec::new()
    }
}

fn without_command(input: Input<Ask>) -> Option<Input<NoCommand>> {
    match input {
        Input::Command { .. } => None,
        Input::Delivery(delivery) => Some(Input::Delivery(delivery)),
        Input::Task(done) => Some(Input::Task(done)),
        Input::Sweep(order) => Some(Input::Sweep(order)),
        Input::Unpark { token, order, what } => Some(Input::Unpark { token, order, what }),
    }
}

/// The order that an event is about.
pub(super) fn order_of(payload: &Payload) -> &OrderId {
    match payload {
        Payload::OrderCreated(e) => &e.at.order_id,
        Payload::StepRequested(e) => &e.at.order_id,
        Payload::StepUndoRequested(e) => &e.at.order_id,
        Payload::OrderProgressed(e) | Payload::OrderCompleted(e) | Payload::OrderCancelled(e) => &e.order_id,
        Payload::OrderHeld(e) | Payload::OrderReleased(e) => &e.at.order_id,
        Payload::OrderCancellationRequested(e) => &e.at.order_id,
        Payload::OrderFailed(e) => &e.at.order_id,
        Payload::PaymentAuthorized(e) | Payload::PaymentVoided(e) => &e.order_id,
        Payload::PaymentFailed(e) | Payload::FulfillmentFailed(e) | Payload::ShipmentCancelled(e) => {
            &e.order_id
        }
        Payload::FulfillmentScheduled(e) => &e.order_id,
        Payload::ShipmentShipped(e) => &e.order_id,
        Payload::StepProgressed(e) => &e.order_id,
    }
}
