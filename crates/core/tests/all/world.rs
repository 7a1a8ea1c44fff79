//! All three services on model stores, with everything between them going wrong: no sequence of commands, deliveries
//! (repeated, late, from old offsets), crashes and unknown outcomes charges or ships twice, or loses an order or money.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use cartwright_core::{
    domain::{
        flow::{self, MANUAL_FLOW},
        frozen::Frozen,
        ids::OrderId,
        order::{Actor, CancelReason, Order, OrderCommand, OrderStatus, PaymentIntent, PlacedBy},
        time::Timestamp,
    },
    ports::{CallOutcome, CancelOutcome, Clock, Delivery, Ids, Origin, Shipped, Store, Task, UndoCall, Work},
    services::{
        Ask, CallResult, Engine, Fulfillment, Input, Logic, Orders, Payments, PlaceOrder, Request, Schedule,
        Settings, StepReport, TaskDone,
    },
};
use cartwright_testkit::MemoryStore;
use proptest::prelude::*;
use uuid::Uuid;

use crate::sample;

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_charged_shipped_or_lost_twice(actions in prop::collection::vec(action(), 1..160)) {
        let mut world = World::new();
        for action in &actions {
            world.act(action);
            world.check_safety()?;
        }
        world.quiet_down();
        world.check_safety()?;
        world.check_end()?;
    }
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Act {
    Place { flow: &'static str },
    PlaceAgain { order: usize },
    Command { order: usize, kind: u8 },
    Deliver { service: u8, count: usize },
    Rewind { service: u8, by: u64 },
    Call { service: u8, dice: u8 },
    LateResult { dice: usize },
    Crash { service: u8 },
    Pass { seconds: i64 },
    Sweep,
}

fn action() -> impl Strategy<Value = Act> {
    let flows = prop::sample::select(flow::FLOWS.to_vec());
    prop_oneof![
        3 => flows.prop_map(|flow| Act::Place { flow }),
        1 => (0..20_usize).prop_map(|order| Act::PlaceAgain { order }),
        3 => (0..20_usize, 0..3_u8).prop_map(|(order, kind)| Act::Command { order, kind }),
        12 => (0..3_u8, 1..8_usize).prop_map(|(service, count)| Act::Deliver { service, count }),
        1 => (0..3_u8, 1..10_u64).prop_map(|(service, by)| Act::Rewind { service, by }),
        8 => (0..3_u8, any::<u8>()).prop_map(|(service, dice)| Act::Call { service, dice }),
        2 => (0..20_usize).prop_map(|dice| Act::LateResult { dice }),
        1 => (0..3_u8).prop_map(|service| Act::Crash { service }),
        2 => (1..400_i64).prop_map(|seconds| Act::Pass { seconds }),
        1 => Just(Act::Sweep),
    ]
}

/// One service with what surrounds it in its process.
struct Process<L: Logic> {
    engine: Engine<L>,
    store: Arc<MemoryStore>,
    schedule: Schedule,
    /// How far each source has been read by this process.
    read: BTreeMap<&'static str, u64>,
}

struct World {
    clock: Arc<TestClock>,
    orders: Process<Orders>,
    payments: Process<Payments>,
    fulfillment: Process<Fulfillment>,
    placed: Vec<(OrderId, &'static str)>,
    provider: Provider,
    /// Results of calls that come back later than anybody waits for them.
    late: Vec<(u8, TaskDone)>,
}

/// What the outside world did; the judge.
#[derive(Default)]
struct Provider {
    done: BTreeMap<String, Shipped>,
    refused: BTreeSet<String>,
    undone: BTreeSet<String>,
    by_order: BTreeMap<String, Vec<String>>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(1)));
        Self {
            orders: Process::new(Orders, &clock, 1),
            payments: Process::new(Payments, &clock, 2),
            fulfillment: Process::new(Fulfillment, &clock, 3),
            clock,
            placed: vec![],
            provider: Provider::default(),
            late: vec![],
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Place { flow } => {
                let id = OrderId::parse(&format!("order-{}", self.placed.len())).unwrap();
                self.placed.push((id.clone(), flow));
                let report = self.orders.step(vec![command(place(&id, flow))]);
                assert!(report.answers[0].1.as_ref().is_ok_and(|answer| answer.created));
            }
            Act::PlaceAgain { order } => {
                if let Some((id, flow)) = self.pick(order) {
                    let report = self.orders.step(vec![command(place(&id, flow))]);
                    assert!(report.answers[0].1.as_ref().is_ok_and(|answer| answer.replayed));
                }
            }
            Act::Command { order, kind } => {
                let command_ = match kind {
                    0 => OrderCommand::Cancel { reason: CancelReason::Customer, note: None },
                    1 => OrderCommand::Hold { note: None },
                    _ => OrderCommand::Release { note: None },
                };
                if let Some((id, _)) = self.pick(order) {
                    self.orders.step(vec![command(change(&id, command_))]);
                }
            }
            Act::Deliver { service, count } => {
                self.deliver(service, count);
            }
            Act::Rewind { service, by } => match service {
                0 => self.orders.rewind(by),
                1 => self.payments.rewind(by),
                _ => self.fulfillment.rewind(by),
            },
            Act::Call { service, dice } => {
                self.call(service, dice);
            }
            Act::LateResult { dice } => {
                if !self.late.is_empty() {
                    let (service, done) = self.late.swap_remove(dice % self.late.len());
                    self.result(service, done);
                }
            }
            Act::Crash { service } => match service {
                0 => self.orders.crash(Orders, &self.clock),
                1 => self.payments.crash(Payments, &self.clock),
                _ => self.fulfillment.crash(Fulfillment, &self.clock),
            },
            Act::Pass { seconds } => self.clock.pass(seconds),
            Act::Sweep => self.sweep(),
        }
    }

    fn pick(&self, dice: usize) -> Option<(OrderId, &'static str)> {
        (!self.placed.is_empty()).then(|| self.placed[dice % self.placed.len()].clone())
    }

    fn deliver(&mut self, service: u8, count: usize) -> bool {
        let orders = self.orders.store.clone();
        match service {
            0 => {
                let (payments, fulfillment) = (self.payments.store.clone(), self.fulfillment.store.clone());
                let first = self.orders.deliver("payments", &payments, count);
                self.orders.deliver("fulfillment", &fulfillment, count) || first
            }
            1 => self.payments.deliver("orders", &orders, count),
            _ => self.fulfillment.deliver("orders", &orders, count),
        }
    }

    /// Carries out one due task of a service; the dice decide what the outside world does.
    fn call(&mut self, service: u8, dice: u8) -> bool {
        let now = self.clock.now();
        let task = match service {
            0 => self.orders.due(now),
            1 => self.payments.due(now),
            _ => self.fulfillment.due(now),
        };
        let Some(task) = task else { return false };
        let done = self.provider.carry_out(task, dice);
        if dice % 16 == 15 {
            self.late.push((service, done)); // whoever waited has gone; the lease will run out
        } else {
            self.result(service, done);
        }
        true
    }

    fn result(&mut self, service: u8, done: TaskDone) {
        match service {
            0 => drop(self.orders.step(vec![Input::Task(done)])),
            1 => drop(self.payments.step(vec![Input::Task(done)])),
            _ => drop(self.fulfillment.step(vec![Input::Task(done)])),
        }
    }

    fn sweep(&mut self) {
        let due = block_on(self.orders.store.due_sweeps(self.clock.now(), 100)).unwrap();
        self.orders.step(due.into_iter().map(Input::Sweep).collect());
    }

    /// The faults stop; everything must come to its end.
    fn quiet_down(&mut self) {
        for (id, _) in self.placed.clone() {
            self.orders.step(vec![command(change(&id, OrderCommand::Release { note: None }))]);
        }
        let mut idle = 0;
        for _ in 0..100_000 {
            let mut busy = false;
            for service in 0..3 {
                busy |= self.deliver(service, 50);
                busy |= self.call(service, 0);
            }
            if busy {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle > 60 {
                return;
            }
            self.clock.pass(700);
            self.sweep();
        }
        panic!("it never becomes quiet");
    }

    fn check_safety(&self) -> Result<(), TestCaseError> {
        for (id, _) in &self.placed {
            for service in ["payments", "fulfillment"] {
                let live = self.provider.live(id, service);
                prop_assert!(live <= 1, "{id} has {live} effects at {service}");
            }
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), TestCaseError> {
        for (id, flow) in &self.placed {
            let order = self.load(id);
            let (charges, shipments) =
                (self.provider.live(id, "payments"), self.provider.live(id, "fulfillment"));
            match order.status {
                OrderStatus::Open => {
                    prop_assert_eq!(*flow, MANUAL_FLOW, "{} is stuck: {:#?}", id, order.steps)
                }
                OrderStatus::Completed => {
                    let pays = ["standard", "scheduled"].contains(flow);
                    let ships = ["standard", "ship-only"].contains(flow);
                    prop_assert_eq!((charges, shipments), (usize::from(pays), usize::from(ships)), "{}", id);
                }
                OrderStatus::Failed | OrderStatus::Cancelled => {
                    prop_assert_eq!((charges, shipments), (0, 0), "{} kept something: {:#?}", id, order);
                }
            }
        }
        for store in [&self.orders.store, &self.payments.store, &self.fulfillment.store] {
            let stats = block_on(store.stats()).unwrap();
            prop_assert_eq!(
                (stats.tasks, stats.parked, stats.open_orders),
                (0, 0, 0),
                "something is left over"
            );
        }
        Ok(())
    }

    fn load(&self, id: &OrderId) -> Order {
        let stored = block_on(self.orders.store.load(std::slice::from_ref(id))).unwrap();
        serde_json::from_slice(stored[0].record.as_ref().expect("an answered order is there")).unwrap()
    }
}

impl<L: Logic> Process<L> {
    fn new(logic: L, clock: &Arc<TestClock>, seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new(Uuid::from_u128(seed.into())));
        let engine = engine(logic, &store, clock, seed);
        Self { engine, store, schedule: Schedule::default(), read: BTreeMap::new() }
    }

    fn step(&mut self, inputs: Vec<Input<L::Command>>) -> StepReport<L::Answer> {
        let mut report = block_on(self.engine.step(inputs, 1_000)).unwrap();
        for id in report.dropped.drain(..) {
            self.schedule.drop(&id);
        }
        for task in report.tasks.drain(..) {
            self.schedule.put(task);
        }
        for task in report.instead.drain(..) {
            self.schedule.put_instead(task, Timestamp::default());
        }
        report
    }

    /// Reads on in a source's journal.
    fn deliver(&mut self, source: &'static str, from: &Arc<MemoryStore>, count: usize) -> bool {
        let read = self.read.entry(source).or_default();
        let rows = block_on(from.journal(*read, count)).unwrap();
        let Some(last) = rows.last() else { return false };
        *read = last.position;
        let deliveries = rows.into_iter().map(|row| {
            Input::Delivery(Delivery {
                origin: Origin { source: source.into(), lane: 0, position: row.position },
                incarnation: from.incarnation(),
                key: row.message.key.as_str().to_owned().into(),
                headers: row.message.headers,
                value: row.message.value,
            })
        });
        let deliveries = deliveries.collect();
        self.step(deliveries);
        true
    }

    fn rewind(&mut self, by: u64) {
        self.read.values_mut().for_each(|read| *read = read.saturating_sub(by));
    }

    /// The process dies and starts again: only the store is left.
    fn crash(&mut self, logic: L, clock: &Arc<TestClock>) {
        let seed =
            self.store.incarnation().as_u128() as u64 + 100 * clock.0.fetch_add(1, Ordering::Relaxed) as u64;
        self.engine = engine(logic, &self.store, clock, seed);
        self.schedule = Schedule::default();
        self.store.end_leases();
        self.read.clear();
        for cursor in block_on(self.store.cursors()).unwrap() {
            let source =
                ["orders", "payments", "fulfillment"].into_iter().find(|s| **s == *cursor.source).unwrap();
            self.read.insert(source, cursor.position);
        }
    }

    fn due(&mut self, now: Timestamp) -> Option<Task> {
        if let Some(task) = self.schedule.pop_due(now) {
            return Some(task);
        }
        let lease = now.plus(Duration::from_secs(60));
        block_on(self.store.claim_tasks(now, lease, 1)).unwrap().pop()
    }
}

impl Provider {
    fn carry_out(&mut self, task: Task, dice: u8) -> TaskDone {
        let result = match &task.work {
            Work::Authorize(call) => {
                CallResult::Authorize(match self.operate(&call.key, &call.order_id, dice) {
                    CallOutcome::Done(_) => CallOutcome::Done("ref".to_owned()),
                    other => rename(other),
                })
            }
            Work::Ship(call) => CallResult::Ship(self.operate(&call.key, &call.order_id, dice)),
            Work::Void(call) => CallResult::Void(match self.undo(call, dice, true) {
                CallOutcome::Done(_) => CallOutcome::Done(()),
                other => rename(other),
            }),
            Work::CancelShipment(call) => CallResult::Cancel(self.undo(call, dice, dice.is_multiple_of(2))),
            Work::Wait => CallResult::Waited,
        };
        TaskDone { task, result }
    }

    fn operate(&mut self, key: &str, order: &OrderId, dice: u8) -> CallOutcome<Shipped> {
        if self.undone.contains(key) || self.refused.contains(key) {
            return CallOutcome::Refused("this operation is refused".into());
        }
        if let Some(shipped) = self.done.get(key) {
            return CallOutcome::Done(shipped.clone());
        }
        match dice % 8 {
            1 => return unknown(),
            2 => {
                self.refused.insert(key.to_owned());
                return CallOutcome::Refused("no".into());
            }
            3 => return CallOutcome::Pending("under review".into()),
            _ => {}
        }
        let shipped = Shipped { carrier: "DHL".into(), tracking_number: "T".into() };
        self.done.insert(key.to_owned(), shipped.clone());
        self.by_order.entry(order.to_string()).or_default().push(key.to_owned());
        // It happened, but the caller may not learn so.
        if dice % 8 == 4 { unknown() } else { CallOutcome::Done(shipped) }
    }

    fn undo(&mut self, call: &UndoCall, dice: u8, in_time: bool) -> CallOutcome<CancelOutcome> {
        if dice % 8 == 1 {
            return unknown();
        }
        // A repeat of an undo that happened is the same undo.
        let again = self.undone.contains(&call.operation);
        match self.done.get(&call.operation) {
            Some(shipped) if !in_time && !again => {
                return CallOutcome::Done(CancelOutcome::TooLate(shipped.clone()));
            }
            _ => self.undone.insert(call.operation.clone()),
        };
        if dice % 8 == 4 { unknown() } else { CallOutcome::Done(CancelOutcome::Cancelled) }
    }

    /// Effects of an order at a service that are not undone.
    fn live(&self, order: &OrderId, service: &str) -> usize {
        let keys = self.by_order.get(order.as_str()).into_iter().flatten();
        keys.filter(|key| key.starts_with(service) && !self.undone.contains(*key)).count()
    }
}

fn unknown<T>() -> CallOutcome<T> {
    CallOutcome::Unknown { reason: "timed out".into(), retry_after: None }
}

fn rename<A, B>(outcome: CallOutcome<A>) -> CallOutcome<B> {
    match outcome {
        CallOutcome::Done(_) => unreachable!("handled by the caller"),
        CallOutcome::Refused(reason) => CallOutcome::Refused(reason),
        CallOutcome::Pending(reason) => CallOutcome::Pending(reason),
        CallOutcome::Unknown { reason, retry_after } => CallOutcome::Unknown { reason, retry_after },
    }
}

fn engine<L: Logic>(logic: L, store: &Arc<MemoryStore>, clock: &Arc<TestClock>, seed: u64) -> Engine<L> {
    let settings = Settings { exclusive: true, deadline: Duration::from_secs(3_600), ..Settings::default() };
    Engine::new(logic, store.clone(), clock.clone(), Box::new(TestIds { seed, last: 0 }), settings, 0)
}

fn command(ask: Ask) -> Input<Ask> {
    Input::Command { token: 0, command: Arc::new(ask) }
}

fn place(id: &OrderId, flow: &str) -> Ask {
    Ask::Place(PlaceOrder {
        id: id.clone(),
        placed: Frozen::new(sample::placed(flow)),
        intent: PaymentIntent::default(),
        placed_by: PlacedBy { caller: "test".into(), key: Some("key".into()), fingerprint: flow.to_owned() },
        correlation_id: Uuid::from_u128(9),
        put: false,
    })
}

fn change(order: &OrderId, command: OrderCommand) -> Ask {
    Ask::Change(Request {
        order: order.clone(),
        command,
        actor: Actor::api("test"),
        key: None,
        expected: None,
    })
}

struct TestClock(AtomicI64);

impl TestClock {
    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

struct TestIds {
    seed: u64,
    last: u64,
}

impl Ids for TestIds {
    fn next(&mut self) -> Uuid {
        self.last += 1;
        Uuid::from_u64_pair(self.seed, self.last)
    }
}

/// The model store is always ready.
pub fn block_on<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the model store is always ready"),
    }
}
