//! What a process does: it starts, takes batches, steps from one store operation to the next, and dies.

use std::{sync::Arc, time::Duration};

use cartwright_core::{
    domain::ids::OrderId,
    ports::{Clock as _, Commit, Outcome, Store, StoreError},
    services::{Engine, Fulfillment, Input, Orders, Payments, RetryPolicy, Settings, Unfinished},
};

use crate::block_on;

use super::{
    bugs::{BuggyStore, Spoiled},
    clients::Reply,
    dice::Of,
    instance::{Alive, HostIds, Inbox, Instance, Machine, Place, Report, Stepping},
    logic::{Applied, Applying, Watched, order_of},
    plan::{Item, MILLI, Micros, SECOND},
    service::Service,
    store::{Gate, Gated, Seen, SimStore, lock},
    world::{Event, World},
};

/// How long a service rests after its store failed.
const REST: Micros = 500 * MILLI;
/// How often orders look for those that wait.
const SWEEP_EVERY: Micros = 5 * SECOND;
/// Orders of one look, and tasks of one claim.
const AT_ONCE: usize = 16;

impl World<'_> {
    /// A process starts with what its stores hold.
    pub fn start(&mut self, host: usize) {
        if std::mem::replace(&mut self.hosts[host].up, true) {
            return;
        }
        self.trace.say(self.now, None, || format!("process {host} starts"));
        for i in 0..self.instances.len() {
            if self.instances[i].host == host {
                self.start_instance(i);
            }
        }
    }

    /// A process dies: what it holds in memory is gone, and whoever waits for it notices.
    pub fn crash(&mut self, host: usize, down: Micros) {
        if !std::mem::replace(&mut self.hosts[host].up, false) {
            return;
        }
        self.coverage.crashes += 1;
        self.trace.say(self.now, None, || format!("process {host} dies"));
        self.hosts[host].frozen_until = self.now;
        for i in 0..self.instances.len() {
            if self.instances[i].host != host {
                continue;
            }
            self.instances[i].life += 1;
            let Some(dead) = self.instances[i].alive.take() else { continue };
            for (request, attempt) in dead.waiting.into_values() {
                self.push(MILLI, &[10, request as u64], Event::Back { request, attempt, reply: Reply::Gone });
            }
            let service = self.instances[i].service;
            if self.plan.shape.distributed {
                self.relay_died(service, i);
                self.push(SECOND, &[11, i as u64], Event::Rebalance { service });
            } else {
                drop(dead.engine);
                self.stores[service.index()] = None;
            }
        }
        self.push(down, &[12, host as u64], Event::Start { host });
    }

    /// A frozen process goes on.
    pub fn thaw(&mut self, host: usize) {
        for i in 0..self.instances.len() {
            let Instance { service, host: mine, alive: Some(alive), .. } = &mut self.instances[i] else {
                continue;
            };
            if *mine == host {
                let service = *service;
                alive.trouble = self.now;
                if self.plan.shape.distributed {
                    self.push(3 * SECOND, &[13, i as u64], Event::Rebalance { service });
                }
            }
        }
    }

    /// Has an instance look into its inbox.
    pub fn call(&mut self, i: usize, after: Micros) {
        let life = self.instances[i].life;
        if let Some(alive) = &mut self.instances[i].alive
            && alive.stepping.is_none()
            && !std::mem::replace(&mut alive.called, true)
        {
            self.push(after, &[14, i as u64], Event::Begin { instance: i, life });
        }
    }

    /// Takes a batch.
    pub fn begin(&mut self, i: usize, life: u64) {
        let thing = [i as u64, self.instances[i].operations, self.now.unsigned_abs()];
        let limit = self.dice.between(Of::Batch, &thing, 1, 24) as usize;
        let room = self.plan.shape.room;
        if self.instances[i].life != life {
            return;
        }
        let Self { instances, checks, .. } = self;
        let Instance { service, alive: Some(alive), .. } = &mut instances[i] else { return };
        let service = *service;
        alive.called = false;
        if alive.stepping.is_some() || alive.inbox.is_empty() {
            return;
        }
        let room = room.saturating_sub(alive.schedule.len() + alive.under_way.len());
        let (inputs, places) = alive.inbox.take(limit);
        for place in &places {
            checks.handed(service, place);
        }
        alive.stepping = Some(places);
        alive.settling = Input::tasks(&inputs);
        alive.engine.begin(inputs, room);
        self.drive(i);
    }

    /// An operation on the store goes on, or fails, or its process dies here.
    pub fn gate(&mut self, i: usize, life: u64) {
        let Some(at) = self.alive(i, life).and_then(|alive| alive.gate.waiting()) else { return };
        let written = at == Gated::Written;
        let number = self.instances[i].operations - u64::from(written);
        self.instances[i].operations += u64::from(!written);
        let planned = self.at_operation.get(&(i, number, written)).filter(|_| !self.calm).copied();
        let well = match planned.map(|item| &self.plan.items[item]) {
            Some(Item::Crash { host, down, .. }) => {
                self.coverage.crashes_after_write += u64::from(written);
                return self.crash(*host, *down);
            }
            Some(Item::StoreFails { .. }) => {
                self.coverage.store_errors += 1;
                let service = self.instances[i].service;
                self.trace
                    .say(self.now, None, || format!("{} {i}: the store fails at {at:?}", service.name()));
                false
            }
            _ => true,
        };
        if let Some(alive) = &self.instances[i].alive {
            alive.gate.open(well);
        }
        self.drive(i);
    }

    /// What a process does now and then: take tasks from the table, look for orders that wait, read on.
    pub fn tick(&mut self, i: usize, life: u64) {
        if self.alive(i, life).is_none() {
            return;
        }
        self.claim(i);
        if self.instances[i].service == Service::Orders {
            self.sweep(i);
            self.open.sync();
        }
        if self.plan.shape.distributed {
            self.relay(i);
        }
        self.read_all(i);
        // Once the faults are over, nobody needs to look at every second of a long wait.
        let since_calm = if self.calm { self.now - self.plan.calm_at } else { 0 };
        let spread = self.dice.between(Of::Tick, &[i as u64, self.now.unsigned_abs()], 0, 200) * MILLI;
        let every = SECOND.max(since_calm / 30);
        self.push(every + spread, &[15, i as u64], Event::Tick { instance: i, life });
    }

    /// Takes in what the stores and the logic have been seen doing.
    pub fn observe(&mut self) {
        let seen = std::mem::take(&mut *lock(&self.seen));
        for Seen { instance, service, commits, settles } in seen {
            for (commit, outcome) in &commits {
                self.applied(instance, Some(&commit.id), is_committed(outcome));
                self.decided(service, commit, outcome);
            }
            if settles && commits.iter().all(|(_, outcome)| is_committed(outcome)) {
                // The cursors stand with it, and so what changed nothing, even if nobody hears of the commit. Without
                // them, what changed nothing may be decided again: it stands when the step is done.
                self.applied(instance, None, true);
            }
        }
    }

    fn decided(&mut self, service: Service, commit: &Commit, outcome: &Outcome) {
        let Outcome::Committed { position } = outcome else {
            self.coverage.conflicts += u64::from(*outcome == Outcome::Conflict);
            self.trace.say(self.now, Some(&commit.id), || {
                format!("{}: {} meets {outcome:?}", service.name(), commit.id)
            });
            return;
        };
        self.coverage.commits += 1;
        self.coverage.parked += commit.park.len() as u64;
        self.coverage.unparked += commit.unpark.len() as u64;
        self.trace.say(self.now, Some(&commit.id), || story_of(commit, service));
        self.checks.committed(self.now, service, commit);
        if *position > 0 {
            let head = &mut self.heads[service.index()];
            *head = (*position).max(*head);
            self.grown(service);
        }
    }

    /// What was applied stands, or is forgotten: of one order, or all that is left at the end of a step.
    fn applied(&mut self, i: usize, order: Option<&OrderId>, stands: bool) {
        let Some(alive) = &self.instances[i].alive else { return };
        let about = |applied: &mut Applied| order.is_none_or(|order| applied.order == *order);
        let applied: Vec<Applied> = lock(&alive.applying).extract_if(.., about).collect();
        for applied in applied.iter().filter(|_| stands) {
            // Where a topic has forgotten something, a reader may come upon the rest much later.
            let lane = self.broker.lane(&applied.order);
            if !self.broker.forgetful.iter().any(|(_, forgetful)| *forgetful == lane) {
                self.checks.applied(applied);
            }
        }
    }

    pub fn alive(&mut self, i: usize, life: u64) -> Option<&mut Alive> {
        let instance = &mut self.instances[i];
        if instance.life == life { instance.alive.as_mut() } else { None }
    }

    fn start_instance(&mut self, i: usize) {
        let service = self.instances[i].service;
        if self.stores[service.index()].is_none() {
            self.stores[service.index()] = Some(self.open.open(service));
        }
        let store = self.store(service);
        let stats = block_on(store.stats()).expect("a store that was just opened can be read");
        if service == Service::Orders {
            self.checks.durable(&*store);
        }
        let gate = Arc::new(Gate::default());
        let applying = Applying::default();
        let engine: Box<dyn Stepping> = match service {
            Service::Orders => self.engine(i, Orders::default(), &gate, &applying, stats.open_orders),
            Service::Payments => self.engine(i, Payments, &gate, &applying, stats.open_orders),
            Service::Fulfillment => self.engine(i, Fulfillment, &gate, &applying, stats.open_orders),
        };
        let now = self.now;
        self.instances[i].alive = Some(Alive {
            engine,
            gate,
            applying,
            schedule: Default::default(),
            claimed: Default::default(),
            under_way: Default::default(),
            inbox: Inbox::default(),
            stepping: None,
            settling: Vec::new(),
            late: Vec::new(),
            called: false,
            reading: Default::default(),
            generation: 0,
            waiting: Default::default(),
            last_token: 0,
            due: None,
            swept: now,
            trouble: now,
        });
        let life = self.instances[i].life;
        let after = self.dice.between(Of::Restart, &[i as u64, life], 1, 1_000) * MILLI;
        self.push(after, &[16, i as u64], Event::Tick { instance: i, life });
        if self.plan.shape.distributed {
            self.push(MILLI, &[17, i as u64], Event::Rebalance { service });
        } else {
            self.read_from_cursors(i);
            self.read_all(i);
        }
    }

    fn engine<L: Spoiled>(
        &self,
        i: usize,
        logic: L,
        gate: &Arc<Gate>,
        applying: &Applying,
        open: u64,
    ) -> Box<dyn Stepping> {
        let instance = &self.instances[i];
        let shape = &self.plan.shape;
        let store = SimStore {
            instance: i,
            service: L::SERVICE,
            gate: gate.clone(),
            inner: self.buggy(L::SERVICE),
            seen: self.seen.clone(),
            applying: applying.clone(),
        };
        let settings = Settings {
            max_open_orders: shape.max_open_orders,
            sweep_after: Duration::from_secs(shape.sweep_after),
            deadline: Duration::from_secs(shape.deadline),
            retry: RetryPolicy { max_wait: Duration::from_secs(60), ..RetryPolicy::default() },
            exclusive: !shape.distributed,
            ..Settings::default()
        };
        let ids = HostIds { dice: self.dice, instance: i as u64, life: instance.life, last: 0 };
        let logic =
            Watched { inner: logic, watch: self.watch.clone(), applying: applying.clone(), bug: self.bug };
        let clock = Arc::new(self.hosts[instance.host].clock.clone());
        let engine = Engine::new(logic, Arc::new(store), clock, Box::new(ids), settings, open);
        Box::new(Machine::Idle(Box::new(engine)))
    }

    /// A service's store with the planted bug, if there is one.
    fn buggy(&self, service: Service) -> Arc<dyn Store> {
        let store = self.store(service);
        match self.bug.filter(|bug| bug.is_in_store()) {
            Some(bug) => Arc::new(BuggyStore::new(store, bug, self.parts.clone())),
            None => store,
        }
    }

    /// Goes on with a step, as far as it goes without its store.
    fn drive(&mut self, i: usize) {
        let life = self.instances[i].life;
        let Some(alive) = &mut self.instances[i].alive else { return };
        let result = alive.engine.poll();
        let at = alive.gate.waiting();
        self.observe();
        match result {
            Some(Ok(report)) => {
                self.applied(i, None, true);
                self.settle(i, report);
            }
            Some(Err(Unfinished { report, error })) => {
                self.applied(i, None, false);
                let places =
                    self.instances[i].alive.as_mut().and_then(|alive| alive.stepping.replace(Vec::new()));
                debug_assert!(places.is_some());
                self.settle(i, report); // what an earlier round made durable
                self.failed(i, &error);
            }
            None => {
                let thing = [i as u64, self.instances[i].operations, u64::from(at == Some(Gated::Written))];
                let after = self.dice.between(Of::Latency, &thing, 100, 12_000);
                let slow = self.dice.chance(Of::Latency, &[thing[0], thing[1]], 2);
                self.push(if slow { 30 * after } else { after }, &thing, Event::Gate { instance: i, life });
            }
        }
    }

    fn settle(&mut self, i: usize, report: Report) {
        let life = self.instances[i].life;
        let now = self.hosts[self.instances[i].host].clock.now();
        let Some(alive) = &mut self.instances[i].alive else { return };
        let places = alive.stepping.take().unwrap_or_default();
        for id in alive.settling.drain(..) {
            match alive.late.iter().position(|late| *late == id) {
                Some(late) => drop(alive.late.swap_remove(late)),
                None => alive.schedule.settled(&id),
            }
        }
        for id in report.dropped {
            alive.claimed.remove(&id);
            alive.schedule.drop(&id);
        }
        for task in report.tasks {
            alive.schedule.put(task);
        }
        for task in report.instead {
            alive.schedule.put_instead(task, now);
        }
        let trouble = alive.trouble;
        let answered: Vec<_> = report
            .answers
            .into_iter()
            .filter_map(|(token, answer)| Some((alive.waiting.remove(&token)?, answer)))
            .collect();
        for ((request, attempt), answer) in answered {
            self.answered(request, attempt, trouble, answer);
        }
        self.settled(i, &places);
        self.due(i, life);
        self.call_if_any(i, 50);
    }

    /// The store failed: nobody is answered, and the sources are read again.
    fn failed(&mut self, i: usize, error: &StoreError) {
        let service = self.instances[i].service;
        self.trace.say(self.now, None, || format!("{} {i}: a step failed: {error}", service.name()));
        let now = self.now;
        let Some(alive) = &mut self.instances[i].alive else { return };
        alive.stepping = None;
        alive.trouble = now + REST;
        alive.inbox.deliveries.clear();
        let queued: Vec<u64> = alive.inbox.commands.iter().map(|(token, _)| *token).collect();
        let lost: Vec<_> = alive.waiting.extract_if(.., |token, _| !queued.contains(token)).collect();
        for (_, (request, attempt)) in lost {
            self.push(MILLI, &[18, request as u64], Event::Back { request, attempt, reply: Reply::Unknown });
        }
        self.read_again(i);
        self.call(i, REST);
    }

    fn call_if_any(&mut self, i: usize, after: Micros) {
        if self.instances[i].alive.as_ref().is_some_and(|alive| !alive.inbox.is_empty()) {
            self.call(i, after);
        }
    }

    fn claim(&mut self, i: usize) {
        let host = self.instances[i].host;
        let now = self.hosts[host].clock.now();
        let store = self.buggy(self.instances[i].service);
        let room = self.plan.shape.room.max(1);
        let Some(alive) = &mut self.instances[i].alive else { return };
        let room = room.saturating_sub(alive.schedule.len() + alive.under_way.len()).min(AT_ONCE);
        if room == 0 {
            return;
        }
        let lease = now.plus(Settings::default().lease);
        let tasks = block_on(store.claim_tasks(now, lease, room)).unwrap_or_default();
        self.coverage.claimed += tasks.len() as u64;
        for task in tasks {
            let id = task.id.clone();
            if alive.schedule.put_claimed(task) {
                alive.claimed.insert(id);
            }
        }
        self.due(i, self.instances[i].life);
    }

    fn sweep(&mut self, i: usize) {
        let now = self.now;
        let clock = self.hosts[self.instances[i].host].clock.now();
        let store = self.store(Service::Orders);
        let Some(alive) = self.instances[i].alive.as_mut().filter(|alive| now - alive.swept >= SWEEP_EVERY)
        else {
            return;
        };
        alive.swept = now;
        let due = block_on(store.due_sweeps(clock, None, AT_ONCE)).unwrap_or_default();
        let due: Vec<OrderId> = due.into_iter().map(|due| due.order).collect();
        self.coverage.sweeps += due.len() as u64;
        alive.inbox.sweeps.extend(due.iter().cloned());
        for order in &due {
            self.trace.say(now, Some(order), || format!("orders {i}: {order} has waited for long"));
            self.check_stranded(order);
        }
        self.call_if_any(i, 50);
    }
}

impl Place {
    pub const fn of(source: Service, lane: u32, position: u64) -> Self {
        Self { source, lane, position }
    }
}

/// A commit in one line.
fn is_committed(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Committed { .. })
}

fn story_of(commit: &Commit, service: Service) -> String {
    let mut text = format!("{}: {} {:?}", service.name(), commit.id, commit.guard);
    for message in &commit.journal {
        if let Ok(event) = cartwright_core::events::decode(&message.value) {
            debug_assert_eq!(order_of(&event.payload), &commit.id);
            text += &format!(" +{}", event.payload.event_type());
        }
    }
    for task in &commit.put_tasks {
        text += &format!(" task {}@{}", task.id, task.attempts);
    }
    for task in &commit.drop_tasks {
        text += &format!(" no task {task}");
    }
    if !commit.park.is_empty() || !commit.unpark.is_empty() {
        text += &format!(" parked {} unparked {}", commit.park.len(), commit.unpark.len());
    }
    text
}
