//! The world of one run: virtual time, a heap of events, and everything that takes part.

use std::{
    cmp::Ordering as Order,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use cartwright_core::{
    domain::ids::OrderId,
    ports::{JournalRow, Store},
};

use super::{
    Open,
    bugs::Bug,
    bus::{Broker, Group, Relay},
    calls::Call,
    checks::Checks,
    clients::{Reply, Request},
    coverage::Coverage,
    dice::{Dice, Of},
    instance::{HostClock, Instance},
    logic::Watch,
    plan::{Item, Micros, Plan, SECOND, When},
    provider::Provider,
    service::Service,
    store::Seen,
    trace::Trace,
};

/// How long a run may go on after the faults have stopped. The sweeper's longest wait fits in several times.
const PATIENCE: Micros = 8 * 3600 * SECOND;

/// More events than any run needs: one that goes round in circles ends.
const MAX_EVENTS: u64 = 3_000_000;

/// Something that is going to happen.
pub(super) enum Event {
    /// A client sends a request.
    Send { request: usize },
    /// It arrives at an instance of orders.
    Arrive { request: usize, attempt: u32, instance: usize },
    /// The answer is back at the client.
    Back { request: usize, attempt: u32, reply: Reply },
    /// The client waits no longer.
    HangUp { request: usize, attempt: u32 },
    /// A step begins with what is in the inbox.
    Begin { instance: usize, life: u64 },
    /// An operation on the store goes on.
    Gate { instance: usize, life: u64 },
    /// An instance reads on.
    Read { instance: usize, life: u64, source: Service, lane: u32 },
    /// The schedule of tasks is looked at.
    Due { instance: usize, life: u64 },
    /// A call reaches its provider.
    Reach { call: usize },
    /// The answer of a provider is back.
    Answer { call: usize },
    /// Nobody waits for a call any more.
    GiveUp { call: usize },
    /// What a process does now and then.
    Tick { instance: usize, life: u64 },
    /// A message reaches its topic.
    Append { from: Service, epoch: u64, row: Box<JournalRow> },
    /// A consumer's offsets reach the broker.
    Offset { instance: usize, life: u64, source: Service, lane: u32 },
    /// A consumer group shares out its partitions.
    Rebalance { service: Service },
    /// A part of the plan.
    Item(usize),
    /// A process starts.
    Start { host: usize },
    /// A frozen process goes on.
    Thaw { host: usize },
    /// The faults stop.
    Calm,
    /// Somebody looks whether all is quiet.
    Look,
}

struct Entry {
    at: Micros,
    tie: u64,
    number: u64,
    event: Event,
}

/// A process.
#[derive(Default)]
pub(super) struct Host {
    pub up: bool,
    pub frozen_until: Micros,
    pub clock: HostClock,
}

pub(super) struct World<'a> {
    pub seed: u64,
    pub dice: Dice,
    pub plan: &'a Plan,
    pub bug: Option<Bug>,
    pub open: Open<'a>,
    pub now: Micros,
    pub time: Arc<AtomicI64>,
    heap: BinaryHeap<Entry>,
    pushed: u64,
    /// Events in the heap that are no mere routine.
    pub busy: usize,
    /// The faults have stopped.
    pub calm: bool,
    pub hosts: Vec<Host>,
    pub instances: Vec<Instance>,
    /// The stores themselves, by service; `None` while a file is closed.
    pub stores: [Option<Arc<dyn Store>>; 3],
    pub parts: Arc<AtomicU64>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    pub watch: Arc<Mutex<Watch>>,
    pub heads: [u64; 3],
    pub relays: [Relay; 3],
    pub broker: Broker,
    pub groups: [Group; 3],
    pub outages: [Micros; 3],
    pub provider: Provider,
    pub calls: Vec<Call>,
    pub called: BTreeMap<(OrderId, Service, bool), u64>,
    pub requests: Vec<Request>,
    /// The orders of the plan by id.
    pub ids: BTreeMap<OrderId, usize>,
    /// Orders that a poisonous event holds back for good.
    pub poisoned: BTreeSet<OrderId>,
    /// Where the plan intervenes in an instance's operations.
    pub at_operation: BTreeMap<(usize, u64, bool), usize>,
    pub behaviours: BTreeMap<(OrderId, Service, bool, u64), super::plan::Does>,
    pub checks: Checks,
    pub coverage: Coverage,
    pub trace: Trace,
}

impl<'a> World<'a> {
    /// A world in which nothing has happened yet.
    pub fn new(seed: u64, plan: &'a Plan, bug: Option<Bug>, open: Open<'a>, trace: Trace) -> Self {
        let time = Arc::new(AtomicI64::new(0));
        let shape = &plan.shape;
        let host =
            || Host { clock: HostClock { world: time.clone(), off: Arc::default() }, ..Host::default() };
        let hosts = (0..shape.hosts()).map(|_| host()).collect();
        let instances = (0..3 * shape.instances)
            .map(|i| Instance {
                service: Service::ALL[i / shape.instances],
                host: shape.host(i),
                life: 0,
                alive: None,
                operations: 0,
            })
            .collect();
        let mut world = Self {
            seed,
            dice: Dice::new(seed),
            plan,
            bug,
            open,
            now: 0,
            time,
            heap: BinaryHeap::new(),
            pushed: 0,
            busy: 0,
            calm: false,
            hosts,
            instances,
            stores: [const { None }; 3],
            parts: Arc::default(),
            seen: Arc::default(),
            watch: Arc::default(),
            heads: [0; 3],
            relays: Default::default(),
            broker: Broker::new(shape.partitions),
            groups: Default::default(),
            outages: [0; 3],
            provider: Provider::default(),
            calls: Vec::new(),
            called: BTreeMap::new(),
            requests: Vec::new(),
            ids: BTreeMap::new(),
            poisoned: BTreeSet::new(),
            at_operation: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            checks: Checks::new(shape),
            coverage: Coverage::default(),
            trace,
        };
        world.prepare();
        world
    }

    /// Lets everything happen, until all is quiet or a check fails.
    pub fn run(&mut self) {
        let end = self.plan.calm_at + PATIENCE;
        let mut events = 0;
        while let Some(entry) = self.heap.pop() {
            events += 1;
            if let Some(until) = self.frozen(&entry.event).filter(|until| *until > entry.at) {
                self.heap.push(Entry { at: until, ..entry });
                continue;
            }
            self.now = entry.at;
            self.time.store(entry.at, Ordering::Relaxed);
            self.busy -= usize::from(!entry.event.is_routine());
            let looked = matches!(entry.event, Event::Look);
            self.handle(entry.event);
            if self.checks.violation.is_some() {
                return;
            }
            if looked && self.is_quiet() {
                self.end();
                return;
            }
            if self.now > end || events > MAX_EVENTS {
                self.stuck();
                return;
            }
        }
    }

    /// Plans an event.
    pub fn push(&mut self, after: Micros, thing: &[u64], event: Event) {
        self.pushed += 1;
        self.busy += usize::from(!event.is_routine());
        let tie = self.dice.throw(Of::Tie, thing);
        self.heap.push(Entry { at: self.now + after.max(0), tie, number: self.pushed, event });
    }

    /// The store of a service.
    pub fn store(&self, service: Service) -> Arc<dyn Store> {
        self.stores[service.index()].clone().expect("a store is open while anybody is there to ask for it")
    }

    /// The id of an order of the plan.
    pub fn id(&self, order: usize) -> OrderId {
        super::clients::id_of(self.seed, self.plan, order)
    }

    fn prepare(&mut self) {
        for order in 0..self.plan.orders.len() {
            self.ids.insert(self.id(order), order);
        }
        for (i, item) in self.plan.items.iter().enumerate() {
            match item {
                Item::Place { at, .. } | Item::Change { at, .. } => {
                    let request = Request::new(self.seed, self.plan, i, item);
                    self.requests.push(request);
                    let request = self.requests.len() - 1;
                    self.push(*at, &[1, i as u64], Event::Send { request });
                }
                Item::Crash { when: When::Operation { instance, number, written }, .. } => {
                    self.at_operation.insert((*instance, *number, *written), i);
                }
                Item::StoreFails { instance, operation, written } => {
                    self.at_operation.insert((*instance, *operation, *written), i);
                }
                Item::Provider { order, service, undo, call, does } => {
                    self.behaviours.insert((self.id(*order), *service, *undo, *call), *does);
                }
                Item::Misread { order, service, which } => {
                    let key = (*service, self.id(*order));
                    super::store::lock(&self.watch).misread.entry(key).or_default().push(*which);
                }
                Item::Crash { when: When::At(at), .. }
                | Item::Restart { at }
                | Item::Freeze { at, .. }
                | Item::Jump { at, .. }
                | Item::Rewind { at, .. }
                | Item::Outage { at, .. }
                | Item::LostTail { at, .. }
                | Item::LeaseLost { at, .. }
                | Item::Poison { at, .. }
                | Item::Early { at, .. } => self.push(*at, &[2, i as u64], Event::Item(i)),
            }
        }
        for host in 0..self.hosts.len() {
            self.start(host);
        }
        self.push(self.plan.calm_at, &[3], Event::Calm);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Send { request } => self.send(request),
            Event::Arrive { request, attempt, instance } => self.arrive(request, attempt, instance),
            Event::Back { request, attempt, reply } => self.back(request, attempt, reply),
            Event::HangUp { request, attempt } => self.hang_up(request, attempt),
            Event::Begin { instance, life } => self.begin(instance, life),
            Event::Gate { instance, life } => self.gate(instance, life),
            Event::Read { instance, life, source, lane } => self.read(instance, life, source, lane),
            Event::Due { instance, life } => self.due(instance, life),
            Event::Reach { call } => self.reach(call),
            Event::Answer { call } => self.answer(call),
            Event::GiveUp { call } => self.give_up(call),
            Event::Tick { instance, life } => self.tick(instance, life),
            Event::Append { from, epoch, row } => self.append(from, epoch, *row),
            Event::Offset { instance, life, source, lane } => self.offset(instance, life, source, lane),
            Event::Rebalance { service } => self.rebalance(service),
            Event::Item(item) => self.item(item),
            Event::Start { host } => self.start(host),
            Event::Thaw { host } => self.thaw(host),
            Event::Calm => self.calm_down(),
            Event::Look => self.look(),
        }
    }

    /// Until when nothing happens where this event is to happen.
    fn frozen(&self, event: &Event) -> Option<Micros> {
        let instance = match event {
            Event::Arrive { instance, .. }
            | Event::Begin { instance, .. }
            | Event::Gate { instance, .. }
            | Event::Read { instance, .. }
            | Event::Due { instance, .. }
            | Event::Tick { instance, .. } => *instance,
            Event::Answer { call } | Event::GiveUp { call } => self.calls[*call].instance,
            _ => return None,
        };
        Some(self.hosts[self.instances[instance].host].frozen_until)
    }
}

impl Event {
    /// Whether it comes again and again, whatever happens.
    const fn is_routine(&self) -> bool {
        matches!(
            self,
            Self::Tick { .. }
                | Self::Look
                | Self::Calm
                | Self::Item(_)
                | Self::HangUp { .. }
                | Self::Due { .. }
        )
    }
}

impl Ord for Entry {
    /// The earliest is the greatest, for the heap.
    fn cmp(&self, other: &Self) -> Order {
        (other.at, other.tie, other.number).cmp(&(self.at, self.tie, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}

impl Eq for Entry {}
