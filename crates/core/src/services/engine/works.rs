//! The orders of a round, and what is known and meant to become of each.

use std::collections::HashMap;

use crate::{
    domain::ids::OrderId,
    ports::{Guard, Origin, Parked},
    services::{Turn, Unparked, parking},
};

/// The orders of a round, in the order in which they first came.
pub(super) struct Works<R> {
    pub(super) list: Vec<(OrderId, Working<R>)>,
    pub(super) index: HashMap<OrderId, usize>,
}

/// An order's part of a batch.
pub(super) struct Working<R> {
    pub(super) guard: Guard,
    /// The record is as this process last knew it; another one may have changed it since.
    pub(super) remembered: bool,
    pub(super) counted: bool,
    pub(super) record: Option<R>,
    /// The length of the record's JSON as it was read or written last.
    pub(super) bytes: usize,
    /// Why the record can't be read: nothing is decided about it, and its row stays as it is.
    pub(super) unreadable: Option<String>,
    pub(super) parked: Parking,
    pub(super) turn: Turn,
    pub(super) items: Vec<usize>,
    pub(super) answers: Vec<usize>,
    /// What became of parked events, and who waits to hear it.
    pub(super) unparked: Vec<(u64, Unparked)>,
}

#[derive(Default)]
pub(super) struct Parking {
    pub(super) queue: bool,
    pub(super) park: Vec<Parked>,
    pub(super) unpark: Vec<Origin>,
    pub(super) waiting: Vec<Parked>,
    pub(super) overflowed: usize,
}

impl<R> Works<R> {
    pub(super) fn insert(&mut self, order: OrderId, work: Working<R>) {
        match self.index.get(&order) {
            Some(i) => self.list[*i].1 = work,
            None => {
                self.index.insert(order.clone(), self.list.len());
                self.list.push((order, work));
            }
        }
    }

    pub(super) fn get_mut(&mut self, order: &OrderId) -> Option<&mut Working<R>> {
        let i = *self.index.get(order)?;
        self.list.get_mut(i).map(|(_, work)| work)
    }
}

impl<R> Working<R> {
    pub(super) fn parts(&mut self) -> parking::Parts<'_, R> {
        parking::Parts {
            record: &mut self.record,
            turn: &mut self.turn,
            queue: &mut self.parked.queue,
            park: &mut self.parked.park,
            unpark: &mut self.parked.unpark,
            waiting: &mut self.parked.waiting,
            overflowed: &mut self.parked.overflowed,
        }
    }
}

impl Parking {
    pub(super) fn changed(&self) -> bool {
        !self.park.is_empty() || !self.unpark.is_empty()
    }
}
