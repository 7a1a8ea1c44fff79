//! What must hold, whatever happens. The checks see what clients are told, what is committed and what providers did;
//! the first violation ends the run.

mod answers;
mod end;
mod events;
mod held;
mod records;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use cartwright_core::{
    domain::{fulfillment::Consignment, ids::OrderId, order::Order, payment::Payment},
    ports::Commit,
};

use self::{answers::Told, events::Sequences, records::Operations};
use super::{
    instance::Place,
    plan::{Micros, Shape},
    provider::Held,
    service::Service,
};

pub(super) use self::{answers::Question, end::Left};

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The check that found it.
    pub check: &'static str,
    /// The order concerned, if it is about one.
    pub order: Option<OrderId>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.what)?;
        match &self.order {
            Some(order) => write!(f, " (order {order})"),
            None => Ok(()),
        }
    }
}

/// All checks, and what they know.
pub(super) struct Checks {
    pub violation: Option<Violation>,
    limit: u64,
    /// How far several processes together may pass the limit: by what each of them may admit in one batch.
    slack: u64,
    /// How many orders were open, from when on.
    open: Vec<(Micros, u64)>,
    orders: BTreeMap<OrderId, Known>,
    operations: BTreeMap<(Service, OrderId), Operations>,
    sequences: Sequences,
    told: BTreeMap<OrderId, Told>,
    /// The tasks that must be in the stores.
    tasks: BTreeMap<(Service, String), OrderId>,
    /// What was handed to a service and is settled: by reader, source and lane.
    settled: BTreeMap<(Service, Service, u32), BTreeSet<u64>>,
    handed: BTreeMap<(Service, Service, u32), BTreeSet<u64>>,
}

/// An order as its commits show it.
pub(super) struct Known {
    pub order: Order,
    /// Each version that was committed: what it looked like, and when it was.
    versions: BTreeMap<u64, (records::Glimpse, Micros)>,
    /// The ids of the events in its history.
    history: Vec<uuid::Uuid>,
}

impl Checks {
    pub fn new(shape: &Shape) -> Self {
        Self {
            violation: None,
            limit: shape.max_open_orders,
            slack: if shape.distributed { 24 * (shape.instances as u64 - 1) } else { 0 },
            open: vec![(0, 0)],
            orders: BTreeMap::new(),
            operations: BTreeMap::new(),
            sequences: Sequences::default(),
            told: BTreeMap::new(),
            tasks: BTreeMap::new(),
            settled: BTreeMap::new(),
            handed: BTreeMap::new(),
        }
    }

    /// A commit stands.
    pub fn committed(&mut self, now: Micros, service: Service, commit: &Commit) {
        let events = self.check_journal(service, commit);
        match service {
            Service::Orders => self.check_order(now, commit, &events),
            Service::Payments => self.check_performed::<Payment>(Service::Payments, commit),
            Service::Fulfillment => self.check_performed::<Consignment>(Service::Fulfillment, commit),
        }
        self.check_answers(now, commit);
        for task in &commit.drop_tasks {
            self.tasks.remove(&(service, task.clone()));
        }
        for task in &commit.put_tasks {
            self.tasks.insert((service, task.id.clone()), commit.id.clone());
        }
    }

    /// A delivery is handed to a service.
    pub fn handed(&mut self, reader: Service, place: &Place) {
        self.handed.entry((reader, place.source, place.lane)).or_default().insert(place.position);
    }

    /// Everything that was handed to a service up to here is settled, as its own store has it.
    pub fn read_up_to(&mut self, reader: Service, source: Service, position: u64) {
        let handed = self.handed.entry((reader, source, 0)).or_default();
        let settled = self.settled.entry((reader, source, 0)).or_default();
        settled.extend(handed.range(..=position));
    }

    /// A delivery is settled.
    pub fn delivered(&mut self, reader: Service, place: &Place) {
        self.settled.entry((reader, place.source, place.lane)).or_default().insert(place.position);
    }

    /// What providers hold of an order, after a call.
    pub fn held(&mut self, order: &OrderId, held: Held) {
        self.check_held(order, held);
    }

    /// Whether an order has been placed.
    pub fn knows(&self, order: &OrderId) -> bool {
        self.orders.contains_key(order)
    }

    /// The orders that were placed.
    pub fn orders(&self) -> impl Iterator<Item = &Order> {
        self.orders.values().map(|known| &known.order)
    }

    /// An order as it was committed last.
    pub fn order(&self, id: &OrderId) -> Option<&Order> {
        self.orders.get(id).map(|known| &known.order)
    }

    /// The services that have a task for an order.
    pub fn tasks_of(&self, order: &OrderId) -> impl Iterator<Item = &str> {
        self.tasks.iter().filter(move |(_, owner)| *owner == order).map(|((_, task), _)| task.as_str())
    }

    /// Something must not be.
    pub fn fail(&mut self, check: &'static str, order: Option<&OrderId>, what: String) {
        if self.violation.is_none() {
            self.violation = Some(Violation { check, order: order.cloned(), what });
        }
    }

    /// Fails unless it is so.
    fn must(&mut self, so: bool, check: &'static str, order: &OrderId, what: impl FnOnce() -> String) {
        if !so && self.violation.is_none() {
            let what = what();
            self.fail(check, Some(order), what);
        }
    }
}
