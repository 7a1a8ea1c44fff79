//! Draws a plan. Not every kind of fault is in every plan: what hides behind one fault shows when it is absent.

use cartwright_core::domain::flow::FLOWS;

use super::{Asked, Does, Item, MILLI, Micros, Plan, SECOND, Shape, Stated, Style, When};
use crate::sim::{dice::Stream, service::Service};

/// Open orders without a limit worth the name.
const MANY: u64 = 1_000_000;

pub(super) fn plan(seed: u64, distributed: Option<bool>) -> Plan {
    let mut dice = Stream::new(seed);
    let either = dice.chance(50);
    let shape = shape(&mut dice, distributed.unwrap_or(either));
    let calm_at = dice.between(20, 90) * SECOND;
    let orders: Vec<Stated> = (0..dice.between(6, 28)).map(|_| stated(&mut dice)).collect();
    let mut drawing = Drawing { dice, shape, calm_at, orders, items: Vec::new() };
    drawing.clients();
    drawing.providers();
    drawing.processes();
    drawing.bus();
    drawing.odd_events();
    let Drawing { shape, calm_at, orders, items, .. } = drawing;
    Plan { shape, orders, items, calm_at }
}

fn shape(dice: &mut Stream, distributed: bool) -> Shape {
    let instances = if distributed { dice.between(2, 3) as usize } else { 1 };
    Shape {
        distributed,
        instances,
        together: !distributed && dice.chance(50),
        partitions: dice.between(1, 4) as u32,
        max_open_orders: if dice.chance(25) { dice.between(2, 8).unsigned_abs() } else { MANY },
        room: dice.pick(&[1_000, 1_000, 2, 0]),
        sweep_after: dice.pick(&[10, 20, 60]),
        deadline: dice.pick(&[30, 120, 3_600]),
    }
}

fn stated(dice: &mut Stream) -> Stated {
    let flow = if dice.chance(60) { "standard" } else { dice.pick(&FLOWS) };
    let style = dice.pick(&[
        Style::Key,
        Style::Key,
        Style::Id,
        Style::IdAndKey,
        Style::Put,
        Style::External,
        Style::Fresh,
    ]);
    Stated { flow, style }
}

struct Drawing {
    dice: Stream,
    shape: Shape,
    calm_at: Micros,
    orders: Vec<Stated>,
    items: Vec<Item>,
}

impl Drawing {
    fn time(&mut self) -> Micros {
        self.dice.between(0, self.calm_at)
    }

    fn patience(&mut self) -> Micros {
        if self.dice.chance(25) {
            self.dice.between(1, 60) * MILLI // hangs up before it can be answered
        } else {
            self.dice.between(2, 10) * SECOND
        }
    }

    fn clients(&mut self) {
        // Some come together, so that they share batches.
        let rush = self.time() / 2;
        let changes = self.dice.pick(&[20, 60, 100]);
        for order in 0..self.orders.len() {
            let at = if self.dice.chance(40) {
                rush + self.dice.between(0, 20) * MILLI
            } else {
                self.dice.between(0, self.calm_at * 3 / 4)
            };
            let patience = self.patience();
            self.items.push(Item::Place { order, at, patience });
            if self.dice.chance(15) {
                let (at, patience) = (at + self.dice.between(0, 5 * SECOND), self.patience());
                self.items.push(Item::Place { order, at, patience });
            }
            while self.dice.chance(changes / 2) {
                self.change(order, at);
            }
        }
    }

    fn change(&mut self, order: usize, placed: Micros) {
        let ask = match self.orders[order].flow {
            "manual" => self.dice.pick(&[Asked::Milestone, Asked::Milestone, Asked::Cancel]),
            _ => self.dice.pick(&[Asked::Cancel, Asked::Cancel, Asked::Hold, Asked::Release]),
        };
        // Most of an order's life is short after it was placed.
        let later = self.dice.pick(&[300 * MILLI, 300 * MILLI, 1_500 * MILLI, 60 * SECOND]);
        let at = placed + self.dice.between(0, later);
        let (key, patience) = (self.dice.chance(60), self.patience());
        self.items.push(Item::Change { order, ask, key, at, patience });
    }

    fn providers(&mut self) {
        let trouble = self.dice.pick(&[0, 10, 40, 80]);
        for order in 0..self.orders.len() {
            for service in [Service::Payments, Service::Fulfillment] {
                for undo in [false, true] {
                    for call in 0..4 {
                        if self.dice.chance(trouble) {
                            let does = self.does(service, undo);
                            self.items.push(Item::Provider { order, service, undo, call, does });
                        }
                    }
                }
            }
        }
    }

    fn does(&mut self, service: Service, undo: bool) -> Does {
        let slow = self.dice.between(200, 20_000) as u32;
        let late = self.dice.between(40_000, 70_000) as u32;
        if undo && service == Service::Fulfillment && self.dice.chance(40) {
            return Does::TooLate;
        }
        match (self.dice.below(10), undo) {
            (0, _) => Does::Slow(slow),
            (1, _) => Does::Slow(late),
            (2, _) => Does::Late(late),
            (3, _) => Does::LosesCall,
            (4 | 5, _) => Does::LosesAnswer,
            (6, _) => Does::Waits,
            (7, _) => Does::Hangs,
            // No draw of its own, so that the plans of other seeds stay as they were.
            (8, false) if slow.is_multiple_of(2) => Does::TurnsAway,
            (8, false) => Does::Refuses,
            (9, _) => Does::HeldBack(slow),
            _ => Does::Slow(slow / 10),
        }
    }

    fn processes(&mut self) {
        let hosts = self.shape.hosts() as u64;
        let instances = 3 * self.shape.instances as u64;
        for _ in 0..self.often(6) {
            let host = self.dice.below(hosts) as usize;
            let when = if self.dice.chance(30) {
                When::At(self.time())
            } else {
                let instance = self.dice.below(instances) as usize;
                let (number, written) = (self.dice.below(160), self.dice.chance(50));
                When::Operation { instance, number, written }
            };
            let host =
                if let When::Operation { instance, .. } = when { self.shape.host(instance) } else { host };
            let down = self.dice.between(MILLI, 8 * SECOND);
            self.items.push(Item::Crash { host, when, down });
        }
        for _ in 0..self.often(6) {
            let (instance, written) = (self.dice.below(instances) as usize, self.dice.chance(50));
            let operation = self.dice.below(160);
            self.items.push(Item::StoreFails { instance, operation, written });
        }
        for _ in 0..self.often(4) {
            let (host, at) = (self.dice.below(hosts) as usize, self.time());
            let lasts = self.dice.pick(&[2, 15, 70]) * SECOND;
            self.items.push(Item::Freeze { host, at, lasts });
        }
        for _ in 0..self.often(4) {
            let (host, at) = (self.dice.below(hosts) as usize, self.time());
            let by = self.dice.between(-90, 90) * SECOND;
            self.items.push(Item::Jump { host, at, by });
        }
        if self.dice.chance(15) {
            let at = self.time();
            self.items.push(Item::Restart { at });
        }
    }

    fn bus(&mut self) {
        for _ in 0..self.often(5) {
            let (service, at) = (self.dice.pick(&Service::ALL), self.time());
            let by = 1 + self.dice.below(12);
            self.items.push(Item::Rewind { service, at, by });
        }
        for _ in 0..self.often(3) {
            let (service, at) = (self.dice.pick(&Service::ALL), self.time());
            let lasts = self.dice.between(1, 40) * SECOND;
            self.items.push(Item::Outage { service, at, lasts });
        }
        if !self.shape.distributed {
            return;
        }
        for _ in 0..self.often(3) {
            let (service, at) = (self.dice.pick(&Service::ALL), self.time());
            let lane = self.dice.below(self.shape.partitions.into()) as u32;
            let count = 1 + self.dice.below(6) as usize;
            self.items.push(Item::LostTail { service, lane, at, count });
        }
        for _ in 0..self.often(5) {
            let (service, at) = (self.dice.pick(&Service::ALL), self.time());
            self.items.push(Item::LeaseLost { service, at });
        }
    }

    fn odd_events(&mut self) {
        let orders = self.orders.len() as u64;
        for _ in 0..self.often(3) {
            let (order, at) = (self.dice.below(orders) as usize, self.time());
            let from = self.dice.pick(&Service::ALL);
            self.items.push(Item::Poison { order, from, at });
        }
        for _ in 0..self.often(6) {
            let (order, service) = (self.dice.below(orders) as usize, self.dice.pick(&Service::ALL));
            let which = self.dice.below(4) as usize;
            self.items.push(Item::Misread { order, service, which });
        }
        for _ in 0..self.often(3) {
            let order = self.dice.below(orders) as usize;
            if self.orders[order].flow != "manual" {
                let at = self.dice.between(0, self.calm_at / 4);
                let count = 1 + self.dice.below(4);
                self.items.push(Item::Early { order, count, at });
            }
        }
    }

    /// How often a kind of fault comes: in a third of the plans not at all.
    fn often(&mut self, most: i64) -> i64 {
        if self.dice.chance(33) { 0 } else { self.dice.between(1, most) }
    }
}

impl Shape {
    /// How many processes there are.
    pub(in crate::sim) const fn hosts(&self) -> usize {
        if self.together { 1 } else { 3 * self.instances }
    }

    /// The process of an instance.
    pub(in crate::sim) const fn host(&self, instance: usize) -> usize {
        if self.together { 0 } else { instance }
    }
}
