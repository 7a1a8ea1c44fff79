//! When all is quiet: every order has ended, money and goods are where they belong, and nothing is left over.

use std::collections::BTreeSet;

use cartwright_core::{
    domain::{
        flow::StepKind,
        ids::OrderId,
        money::Amount,
        order::{Order, OrderStatus},
    },
    ports::Store,
};

use super::{Checks, events::Head};
use crate::{
    block_on,
    sim::{provider::Held, service::Service},
};

/// What is still to be done, if anything is.
pub(in crate::sim) struct Left {
    /// The check that this would violate at the end.
    pub check: &'static str,
    /// Whose it is.
    pub order: Option<OrderId>,
    /// What.
    pub what: String,
}

impl Checks {
    /// What the records say is still to be done. Orders that are held back by a poisonous event don't count.
    pub fn left(&self, poisoned: &BTreeSet<OrderId>) -> Option<Left> {
        let open = self.orders().find(|order| order.must_end() && !poisoned.contains(&order.id));
        if let Some(order) = open {
            let what = format!("it never ends: {:?}, {:?}", order.unwinding, order.steps);
            return Some(Left { check: "every order ends", order: Some(order.id.clone()), what });
        }
        let task = self.tasks.iter().find(|(_, order)| !poisoned.contains(*order));
        task.map(|((service, task), order)| Left {
            check: "nothing left over",
            order: Some(order.clone()),
            what: format!("{} has task {task}", service.name()),
        })
    }

    /// An order that has ended: its money and its goods.
    pub fn ended(&mut self, id: &OrderId, held: Held) {
        let Some(order) = self.order(id).cloned() else {
            return self.must(held == Held::default(), "conservation of money", id, || {
                format!("nobody knows the order, and the providers have {held:?}")
            });
        };
        let has = |kind| usize::from(order.steps.iter().any(|step| step.kind == kind));
        let total = order.placed.totals.total;
        let (charges, charged, shipments): (usize, Amount, usize) = match order.status {
            OrderStatus::Completed => {
                let pays = has(StepKind::Pay);
                (pays, if pays > 0 { total } else { 0 }, has(StepKind::Ship))
            }
            OrderStatus::Failed | OrderStatus::Cancelled => (0, 0, 0),
            OrderStatus::Open => return,
        };
        let status = order.status.as_str();
        self.must((held.charges, held.charged) == (charges, charged), "conservation of money", id, || {
            format!("the order of {total} is {status}, and the providers have {held:?}")
        });
        self.must(held.shipments == shipments, "conservation of goods", id, || {
            format!("the order is {status}, and the carrier has {held:?}")
        });
    }

    /// The stores themselves: their counts are those of their records, and the histories are whole.
    pub fn stores(&mut self, stores: &[(Service, &dyn Store)]) {
        for (service, store) in stores {
            let Ok(stats) = block_on(store.stats()) else { continue };
            let tasks = self.tasks.keys().filter(|(of, _)| of == service).count() as u64;
            if stats.tasks != tasks {
                let what = format!("{} has {} tasks instead of {tasks}", service.name(), stats.tasks);
                self.fail("nothing left over", None, what);
            }
            if *service == Service::Orders && stats.open_orders != self.open_now() {
                let what =
                    format!("{} orders are counted open instead of {}", stats.open_orders, self.open_now());
                self.fail("nothing left over", None, what);
            }
        }
    }

    /// The history of an order is what its commits have put there.
    pub fn history(&mut self, id: &OrderId, orders: &dyn Store) {
        let Some(known) = self.orders.get(id) else { return };
        let Ok(kept) = block_on(orders.history(id, 0, usize::MAX >> 1)) else { return };
        let kept: Vec<_> =
            kept.iter().filter_map(|bytes| Head::of(bytes)).map(|head| head.event_id).collect();
        let same = kept == known.history;
        let (kept, expected) = (kept.len(), known.history.len());
        self.must(same, "history", id, || format!("it has {kept} events, other than the {expected} written"));
    }

    /// The events of an order that are parked in the end: there must be a reason.
    pub fn parked(&mut self, id: &OrderId, service: Service, count: usize, explained: bool) {
        self.must(count == 0 || explained, "every parked event is explained", id, || {
            format!("{count} are parked at {} for no reason", service.name())
        });
    }

    /// Tombstones stand only where an order was called off or failed.
    pub fn tombstones_are_explained(&mut self, poisoned: &BTreeSet<OrderId>) -> u64 {
        let ids: Vec<OrderId> = self.tombstones().cloned().collect();
        for id in &ids {
            let ended = self.order(id).map(|order: &Order| order.status);
            let off = matches!(ended, Some(OrderStatus::Cancelled | OrderStatus::Failed));
            self.must(off || poisoned.contains(id), "nothing left over", id, || {
                format!("a tombstone, and the order is {ended:?}")
            });
        }
        ids.len() as u64
    }

    /// Every event of a source was handed to its reader and settled.
    pub fn all_delivered(
        &mut self,
        reader: Service,
        source: Service,
        lane: u32,
        positions: impl Iterator<Item = u64>,
    ) {
        let settled = self.settled.entry((reader, source, lane)).or_default();
        let missing: Vec<u64> = positions.filter(|position| !settled.contains(position)).collect();
        if !missing.is_empty() {
            let what = format!("{} never settled {missing:?} of {} ({lane})", reader.name(), source.name());
            self.fail("nothing is passed over", None, what);
        }
    }
}
