//! Looks whether all is quiet, and what is wrong when it never becomes so or when it does.

use std::collections::BTreeSet;

use cartwright_core::{
    domain::{ids::OrderId, order::OrderStatus},
    ports::Store,
};

use crate::block_on;

use super::{
    checks::Left,
    plan::{Item, SECOND},
    service::Service,
    world::{Event, World},
};

impl World<'_> {
    /// Somebody looks: whoever is on hold is released, and later somebody looks again.
    pub fn look(&mut self) {
        let held: Vec<usize> = self
            .checks
            .orders()
            .filter(|order| order.on_hold && order.status == OrderStatus::Open && order.unwinding.is_none())
            .filter(|order| !self.poisoned.contains(&order.id))
            .filter_map(|order| self.ids.get(&order.id).copied())
            .collect();
        for order in held {
            self.release(order);
        }
        let since_calm = self.now - self.plan.calm_at;
        self.push((2 * SECOND).max(since_calm / 20), &[60], Event::Look);
    }

    /// Whether nothing is left to be done.
    pub fn is_quiet(&mut self) -> bool {
        self.left().is_none()
    }

    /// All is quiet: the last checks.
    pub fn end(&mut self) {
        let stores: Vec<_> = Service::ALL.into_iter().map(|service| (service, self.store(service))).collect();
        let orders = stores[0].1.clone();
        self.checks.durable(&*orders);
        let borrowed: Vec<(Service, &dyn Store)> =
            stores.iter().map(|(service, store)| (*service, &**store)).collect();
        self.checks.stores(&borrowed);
        let misreads: BTreeSet<(Service, OrderId)> = self
            .plan
            .items
            .iter()
            .filter_map(|item| match item {
                Item::Misread { order, service, .. } => Some((*service, self.id(*order))),
                _ => None,
            })
            .collect();
        for id in self.ids.keys().cloned().collect::<Vec<_>>() {
            if !self.poisoned.contains(&id) {
                let held = self.provider.held(&id);
                self.checks.ended(&id, held);
            }
            self.checks.history(&id, &*orders);
            for (service, store) in &borrowed {
                let parked = block_on(store.parked(&id)).map_or(0, |parked| parked.len());
                // What was not understood is tried again before the next event of its order. After the last one
                // there is none: it concerned nothing that was still open.
                let over = self.checks.order(&id).is_none_or(|order| order.status != OrderStatus::Open);
                let misread = over && misreads.contains(&(*service, id.clone()));
                let explained = self.poisoned.contains(&id) || !self.checks.knows(&id) || misread;
                self.checks.parked(&id, *service, parked, explained);
            }
        }
        self.coverage.tombstones += self.checks.tombstones_are_explained(&self.poisoned);
        self.check_delivered();
        for order in self.checks.orders() {
            match order.status {
                OrderStatus::Completed => self.coverage.completed += 1,
                OrderStatus::Failed => self.coverage.failed += 1,
                OrderStatus::Cancelled => self.coverage.cancelled += 1,
                OrderStatus::Open => {}
            }
            let refused = order.cancellation.as_ref().is_some_and(|c| c.refused.is_some());
            self.coverage.cancels_refused += u64::from(refused);
        }
    }

    /// It never becomes quiet: says what is left.
    pub fn stuck(&mut self) {
        let left = self.left().unwrap_or_else(|| Left {
            check: "every run ends",
            order: None,
            what: "too many events".to_owned(),
        });
        self.checks.fail(left.check, left.order.as_ref(), left.what);
    }

    /// Nobody waits for an answer with nothing under way that could bring it: else an event was lost, and only the
    /// sweeper hides it. Looked at when an order has waited for long although the faults are over.
    pub fn check_stranded(&mut self, id: &OrderId) {
        let recent = self.now < self.plan.calm_at + 30 * SECOND;
        // What came to a topic that has forgotten something may have an offset that its readers have passed.
        let lane = self.broker.lane(id);
        let bereft = self.broker.forgetful.iter().any(|(_, forgetful)| *forgetful == lane);
        if !self.calm || recent || bereft || self.poisoned.contains(id) {
            return;
        }
        let due = self.checks.order(id).is_some_and(|order| order.awaited().is_some());
        if due && self.checks.tasks_of(id).next().is_none() && !self.is_under_way(id) {
            self.checks.fail(
                "nothing is passed over",
                Some(id),
                "it waits, and nothing is under way".to_owned(),
            );
        }
    }

    fn is_under_way(&self, id: &OrderId) -> bool {
        let at_instance = self.instances.iter().filter_map(|instance| instance.alive.as_ref()).any(|alive| {
            let key = id.as_str().as_bytes();
            alive.inbox.deliveries.iter().any(|(_, delivery)| delivery.key == key)
        });
        let parked = Service::ALL
            .into_iter()
            .any(|service| block_on(self.store(service).parked(id)).is_ok_and(|parked| !parked.is_empty()));
        at_instance || parked || self.unread().is_some()
    }

    fn left(&self) -> Option<Left> {
        let left = |check, what: String| Some(Left { check, order: None, what });
        if self.hosts.iter().any(|host| !host.up) || self.stores.iter().any(Option::is_none) {
            return left("every run ends", "a process is down".to_owned());
        }
        if let Some(request) = self.requests.iter().find(|request| !request.over) {
            let what = "a client never gets an answer".to_owned();
            return Some(Left { check: "every request is answered", order: Some(request.id.clone()), what });
        }
        if let Some(left) = self.checks.left(&self.poisoned) {
            return Some(left);
        }
        let held = self.checks.orders().find(|order| order.on_hold && order.status == OrderStatus::Open);
        if let Some(order) = held.filter(|order| !self.poisoned.contains(&order.id)) {
            let what = "it is still on hold".to_owned();
            return Some(Left { check: "every order ends", order: Some(order.id.clone()), what });
        }
        if let Some(unread) = self.unread() {
            return left("nothing is passed over", unread);
        }
        (self.busy > 0 && self.poisoned.is_empty()).then(|| Left {
            check: "every run ends",
            order: None,
            what: "events are under way".to_owned(),
        })
    }

    /// Something that a reader has not read, in words.
    fn unread(&self) -> Option<String> {
        for instance in &self.instances {
            let Some(alive) = &instance.alive else { continue };
            if alive.stepping.is_some() || !alive.inbox.deliveries.is_empty() {
                return Some(format!("{} has work to do", instance.service.name()));
            }
        }
        for reader in Service::ALL {
            for source in reader.sources() {
                if !self.plan.shape.distributed {
                    let head = self.heads[source.index()];
                    let mut readings =
                        self.instances.iter().filter(|i| i.service == reader).filter_map(|i| {
                            i.alive.as_ref()?.reading.get(&(*source, 0)).map(|reading| reading.next)
                        });
                    if readings.any(|next| next < head) {
                        return Some(format!("{} has not read all of {}", reader.name(), source.name()));
                    }
                    continue;
                }
                for (lane, topic) in (0..).zip(&self.broker.topics[source.index()]) {
                    let stored = self.groups[reader.index()].stored.get(&(*source, lane)).copied();
                    if stored.unwrap_or(0) < topic.len() as u64 {
                        return Some(format!("{} has not settled all of {}", reader.name(), source.name()));
                    }
                }
                if !self.relayed(*source) {
                    return Some(format!("not all of {} has come to its topic", source.name()));
                }
            }
        }
        None
    }

    fn check_delivered(&mut self) {
        for reader in Service::ALL {
            for source in reader.sources() {
                if !self.plan.shape.distributed {
                    let head = self.heads[source.index()];
                    self.checks.all_delivered(reader, *source, 0, 1..=head);
                    continue;
                }
                for lane in 0..self.plan.shape.partitions {
                    if !self.broker.forgetful.contains(&(*source, lane)) {
                        let end = self.broker.topics[source.index()][lane as usize].len() as u64;
                        self.checks.all_delivered(reader, *source, lane, 0..end);
                    }
                }
            }
        }
        for service in Service::ALL.into_iter().filter(|_| self.plan.shape.distributed) {
            let missing = (1..=self.heads[service.index()])
                .find(|position| !self.broker.arrived[service.index()].contains(position));
            if let Some(missing) = missing {
                let what = format!("position {missing} of {} never came to its topic", service.name());
                self.checks.fail("nothing is passed over", None, what);
            }
        }
    }
}
