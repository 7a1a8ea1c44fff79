//! What goes wrong on purpose, and how it ends.

use std::{sync::atomic::Ordering, time::Duration};

use cartwright_core::{
    domain::{
        ids::{OrderId, StepId},
        order::Actor,
    },
    events::{Envelope, Payload, ProgressState, StepProgressedV1},
    ports::{Batch, Clock as _, Commit, Guard, Headers, Message, Outcome, Row},
};
use uuid::Uuid;

use crate::block_on;

use super::{
    plan::{Item, MILLI, SECOND},
    service::Service,
    store::lock,
    world::{Event, World},
};

impl World<'_> {
    /// Something planned happens.
    pub fn item(&mut self, number: usize) {
        if self.calm {
            return;
        }
        let item = self.plan.items[number].clone();
        self.trace.say(self.now, None, || format!("plan: {item:?}"));
        match item {
            Item::Crash { host, down, .. } => self.crash(host, down),
            Item::Restart { .. } => {
                for host in 0..self.hosts.len() {
                    self.crash(host, SECOND);
                }
            }
            Item::Freeze { host, lasts, .. } => {
                if self.hosts[host].up {
                    self.hosts[host].frozen_until = self.now + lasts;
                    // A moment before whatever it held up, so that this counts as held up.
                    self.push(lasts.saturating_sub(1), &[50, host as u64], Event::Thaw { host });
                    for service in Service::ALL.into_iter().filter(|_| self.plan.shape.distributed) {
                        self.push(6 * SECOND, &[51, host as u64], Event::Rebalance { service });
                    }
                }
            }
            Item::Jump { host, by, .. } => self.jump(host, by),
            Item::Rewind { service, by, .. } => self.rewind(service, by),
            Item::Outage { service, lasts, .. } => self.outages[service.index()] = self.now + lasts,
            Item::LostTail { service, lane, count, .. } => self.lose_tail(service, lane, count),
            Item::LeaseLost { service, .. } => self.lose_lease(service),
            Item::Poison { order, from, .. } => self.poison(number, order, from),
            Item::Early { order, count, .. } => self.early(number, order, count),
            Item::Place { .. }
            | Item::Change { .. }
            | Item::StoreFails { .. }
            | Item::Provider { .. }
            | Item::Misread { .. } => {}
        }
    }

    /// The faults stop: clocks are set, processes come back, versions are brought up to date, orders are released.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.trace.say(self.now, None, || "the faults stop".to_owned());
        self.outages = [0; 3];
        lock(&self.watch).misread.clear();
        for host in 0..self.hosts.len() {
            self.hosts[host].clock.off.store(0, Ordering::Relaxed);
            if self.hosts[host].frozen_until > self.now {
                self.hosts[host].frozen_until = self.now;
                self.thaw(host);
            }
        }
        for i in 0..self.instances.len() {
            let life = self.instances[i].life;
            self.due(i, life); // by the clock as it is now
            self.read_all(i);
        }
        self.push(SECOND, &[52], Event::Look);
    }

    fn jump(&mut self, host: usize, by: i64) {
        self.hosts[host].clock.off.fetch_add(by, Ordering::Relaxed);
        for i in 0..self.instances.len() {
            if self.instances[i].host == host {
                if let Some(alive) = &mut self.instances[i].alive {
                    alive.due = None;
                }
                let life = self.instances[i].life;
                self.due(i, life);
            }
        }
    }

    /// Puts bytes under an order's key that are no event.
    fn poison(&mut self, number: usize, order: usize, from: Service) {
        let id = self.id(order);
        let headers = Headers::from_iter([("eventType", "SomethingNewV9")]);
        let value = format!(r#"{{"item":{number}}}"#).into();
        self.poisoned.insert(id.clone());
        self.forge(number, from, vec![Message { topic: from.name().into(), key: id, headers, value }]);
    }

    /// Reports about an order's first step, before the order is there.
    fn early(&mut self, number: usize, order: usize, count: u64) {
        let id = self.id(order);
        if self.checks.knows(&id) {
            return;
        }
        let topic = Service::Payments.name().into();
        let messages = (1..=count).map(|n| {
            let progress = StepProgressedV1 {
                order_id: id.clone(),
                step: StepId { order: id.clone(), number: 1 },
                state: ProgressState::Waiting,
                reason: Some(format!("early {n}")),
                next_try_at: None,
            };
            let event = Envelope {
                event_id: Uuid::from_u64_pair(number as u64 + 1, n),
                occurred_at: self.hosts[0].clock.now().plus(Duration::from_micros(n)),
                correlation_id: Uuid::nil(),
                causation_id: None,
                source: format!("early-{number}"),
                sequence: n,
                actor: Actor::service(Service::Payments.name()),
                payload: Payload::StepProgressed(progress),
            };
            event.message(&topic, &id, None)
        });
        let messages = messages.collect();
        self.forge(number, Service::Payments, messages);
    }

    /// Writes messages to a journal that no service has decided.
    fn forge(&mut self, number: usize, service: Service, journal: Vec<Message>) {
        let Some(store) = self.stores[service.index()].clone() else {
            return self.push(100 * MILLI, &[53, number as u64], Event::Item(number)); // it is down: a little later
        };
        let nobody = format!("forged-{number}");
        let id = OrderId::parse(&nobody).expect("a short word is an id");
        let placeholder = Row { schema: 1, ..Row::default() };
        let commit = Commit { journal, ..Commit::new(id, Guard::Absent, Some(placeholder)) };
        let written = block_on(store.commit(Batch { commits: vec![commit], cursors: Vec::new() }));
        if let Ok([Outcome::Committed { position }]) = written.as_deref() {
            self.heads[service.index()] = *position;
            self.grown(service);
        }
    }
}
