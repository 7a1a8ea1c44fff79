//! Records only move forward: an order's version, the life of its steps, and the operations at the providers.

use std::collections::BTreeMap;

use cartwright_core::{
    domain::{
        flow::Life,
        operation::{Operation, State},
        order::{Milestone, Order, OrderStatus},
        performed::Performed,
    },
    ports::{Commit, HistoryEntry},
};
use serde::de::DeserializeOwned;

use super::{Checks, Known, events::Head};
use crate::sim::{plan::Micros, service::Service};

/// The states of a service's operations for one order, by step, and whether the order asked for their undo.
#[derive(Default)]
pub(super) struct Operations(BTreeMap<u32, Seen>);

#[derive(Clone, Copy)]
struct Seen {
    state: State,
    undo_asked: bool,
    tombstone: bool,
}

/// What a client sees of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Glimpse {
    status: OrderStatus,
    milestone: Milestone,
    on_hold: bool,
    lives: Vec<(Life, bool)>,
}

impl Glimpse {
    pub fn of(order: &Order) -> Self {
        Self {
            status: order.status,
            milestone: order.milestone,
            on_hold: order.on_hold,
            lives: order.steps.iter().map(|step| (step.life, step.did)).collect(),
        }
    }
}

impl Checks {
    pub(super) fn check_order(&mut self, now: Micros, commit: &Commit, events: &[Head]) {
        let Some(json) = commit.row.as_ref().and_then(|row| row.record.as_ref()) else { return };
        let id = &commit.id;
        let order: Order = match serde_json::from_slice(json) {
            Ok(order) => order,
            Err(error) => return self.fail("record", Some(id), format!("can't be read: {error}")),
        };
        let entries = commit.history.iter().filter_map(|entry| match entry {
            HistoryEntry::Own(n) => events.get(*n).map(|head| head.event_id),
            HistoryEntry::Foreign(bytes) => Head::of(bytes).map(|head| head.event_id),
        });
        let entries: Vec<_> = entries.collect();
        let was = self.orders.remove(id);
        self.count_open(now, was.as_ref().map(|known| &known.order), &order);
        let known = match was {
            None => {
                self.must(order.version >= 1, "version", id, || "a new order has none".to_owned());
                Known { order, versions: BTreeMap::new(), history: Vec::new() }
            }
            Some(was) => {
                self.check_forward(&was.order, &order, commit);
                Known { order, ..was }
            }
        };
        let mut known = known;
        for event in entries {
            let again = known.history.contains(&event);
            self.must(!again, "history", id, || format!("event {event} is in it twice"));
            known.history.push(event);
        }
        known.versions.entry(known.order.version).or_insert((Glimpse::of(&known.order), now));
        self.orders.insert(id.clone(), known);
    }

    /// The record of a service that performs steps.
    pub(super) fn check_performed<F: DeserializeOwned>(&mut self, service: Service, commit: &Commit) {
        let Some(json) = commit.row.as_ref().and_then(|row| row.record.as_ref()) else { return };
        match serde_json::from_slice::<Performed<F>>(json) {
            Ok(record) => {
                let operations = record.steps.iter().map(|s| (s.step, &s.operation, s.facts.is_none()));
                self.check_operations(service, commit, operations);
            }
            Err(error) => self.fail("record", Some(&commit.id), format!("can't be read: {error}")),
        }
    }

    /// The tombstones of an order: undos of what was never done.
    pub fn tombstones(&self) -> impl Iterator<Item = &cartwright_core::domain::ids::OrderId> {
        self.operations
            .iter()
            .filter(|(_, all)| all.0.values().any(|seen| seen.tombstone))
            .map(|((_, id), _)| id)
    }

    /// The most orders that were open at any moment since.
    pub(super) fn most_open_since(&self, since: Micros) -> u64 {
        let last = self.open.partition_point(|(at, _)| *at <= since).saturating_sub(1);
        self.open[last..].iter().map(|(_, open)| *open).max().unwrap_or(0)
    }

    /// Orders that are open.
    pub(super) fn open_now(&self) -> u64 {
        self.open.last().map_or(0, |(_, open)| *open)
    }

    fn count_open(&mut self, now: Micros, was: Option<&Order>, is: &Order) {
        let was_open = was.is_some_and(Order::must_end);
        if was_open == is.must_end() {
            return;
        }
        let open = if was_open { self.open_now() - 1 } else { self.open_now() + 1 };
        self.open.push((now, open));
        let most = self.limit.saturating_add(self.slack);
        self.must(was_open || open <= most, "limit of open orders", &is.id, || {
            format!("{open} are open, and {most} may be")
        });
    }

    fn check_forward(&mut self, was: &Order, is: &Order, commit: &Commit) {
        let id = &is.id;
        let pairs = || was.steps.iter().zip(&is.steps);
        let forward = pairs().all(|(was, is)| is.life.rank() >= was.life.rank() && is.did >= was.did);
        self.must(forward, "life of a step", id, || format!("from {:?} to {:?}", was.steps, is.steps));
        self.must(is.version >= was.version, "version", id, || {
            format!("{} after {}", is.version, was.version)
        });
        let same = Glimpse::of(was) == Glimpse::of(is);
        self.must(same || is.version > was.version, "version", id, || {
            format!("the order changed and is still version {}", is.version)
        });
        let ended = was.status != OrderStatus::Open;
        self.must(!ended || same, "final is final", id, || {
            format!("{:?} became {:?}", was.status, is.status)
        });
        let shows = is.version == was.version || !commit.journal.is_empty();
        self.must(shows, "every change shows", id, || format!("version {} has no event", is.version));
        let awaited = is.steps.iter().filter(|step| step.life.is_awaited()).count();
        self.must(awaited <= 1, "one step at a time", id, || format!("{:?}", is.steps));
    }

    fn check_operations<'a>(
        &mut self,
        service: Service,
        commit: &Commit,
        operations: impl Iterator<Item = (u32, &'a Operation, bool)>,
    ) {
        let known = self.operations.entry((service, commit.id.clone())).or_default();
        let mut wrong = None;
        for (step, operation, tombstone) in operations {
            let Operation { state, undo_asked, .. } = *operation;
            let was = known.0.insert(step, Seen { state, undo_asked, tombstone });
            if let Some(was) =
                was.filter(|was| !may_follow(was.state, state) || (was.undo_asked && !undo_asked))
            {
                wrong = Some(format!("step {step} at {}: {state:?} after {:?}", service.name(), was.state));
            }
        }
        if let Some(wrong) = wrong {
            self.fail("life of an operation", Some(&commit.id), wrong);
        }
    }
}

/// Whether an operation may come from one state to the other, within one commit.
fn may_follow(was: State, is: State) -> bool {
    match (was, is) {
        (State::Doing, _) => true,
        // Given up, and then it turned out to be too late to undo: done after all.
        (State::Undoing, to) => to != State::Doing,
        (State::Done, to) => matches!(to, State::Done | State::Undoing | State::Undone | State::NotUndoable),
        (State::Refused, to) => matches!(to, State::Refused | State::Undone),
        (State::Undone | State::NotUndoable, to) => was == to,
    }
}
