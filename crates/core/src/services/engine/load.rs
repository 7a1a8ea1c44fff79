//! What a round needs to know before it decides.

use std::collections::{HashMap, HashSet};

use super::{
    Engine, Input, Item,
    works::{Parking, Working, Works},
};
use crate::{
    domain::ids::OrderId,
    ports::{AnswerKey, Guard, StoreError, Stored},
    services::{Logic, Turn},
};

impl<L: Logic> Engine<L> {
    /// The records of the pending inputs: from memory, from the store, or taken as absent where an insert is the check.
    pub(super) async fn load(
        &mut self,
        items: &mut [Item<L::Command>],
        pending: &[usize],
        conflicted: &HashSet<OrderId>,
    ) -> Result<Works<L::Record>, StoreError> {
        let mut works =
            Works { list: Vec::with_capacity(pending.len()), index: HashMap::with_capacity(pending.len()) };
        // When not all of them may come in, the insert is no check: a repeat is no new order, and is never refused.
        let creating = pending.iter().filter(|i| items[**i].creates).count() as u64;
        let full = self.open_orders.saturating_add(creating) > self.settings.max_open_orders;
        let mut missing = Vec::new();
        for &i in pending {
            let item = &items[i];
            if works.index.contains_key(&item.order) {
                continue;
            }
            // Taken out rather than copied; what stands or stays as it was is put back.
            let known = self.cache.pop(&item.order).filter(|_| !conflicted.contains(&item.order));
            let work = match known {
                Some(known) => Working {
                    bytes: known.bytes,
                    remembered: !self.settings.exclusive,
                    ..self.working(Guard::Revision(known.revision), Some(known.record))
                },
                None => {
                    if !item.creates || full || conflicted.contains(&item.order) {
                        missing.push(item.order.clone());
                    }
                    self.working(Guard::Absent, None)
                }
            };
            works.insert(item.order.clone(), work);
        }
        if !missing.is_empty() {
            let loaded = self.store.load(&missing).await?;
            for (order, stored) in missing.into_iter().zip(loaded) {
                let work = self.read(&order, stored).await?;
                works.insert(order, work);
            }
        }
        // Only now: an answer that another process saves in between is either found here, or its commit moves the
        // record on from what was loaded.
        self.load_answers(items, pending).await?;
        Ok(works)
    }

    /// The answers that earlier commands with the same keys were given.
    async fn load_answers(
        &self,
        items: &mut [Item<L::Command>],
        pending: &[usize],
    ) -> Result<(), StoreError> {
        let key = |i: &usize| match &items[*i].input {
            Input::Command { command, .. } => Some((*i, self.logic.target(command).answer?.clone())),
            _ => None,
        };
        let (keyed, keys): (Vec<usize>, Vec<AnswerKey>) = pending.iter().filter_map(key).unzip();
        if keys.is_empty() {
            return Ok(());
        }
        for (i, saved) in keyed.into_iter().zip(self.store.answers(&keys).await?) {
            items[i].saved = saved;
        }
        Ok(())
    }

    fn working(&self, guard: Guard, record: Option<L::Record>) -> Working<L::Record> {
        Working {
            guard,
            remembered: false,
            counted: record.as_ref().is_some_and(|record| self.logic.counts(record)),
            record,
            bytes: 0,
            unreadable: None,
            parked: Parking::default(),
            turn: Turn::default(),
            items: vec![],
            answers: vec![],
            unparked: vec![],
        }
    }

    async fn read(&self, order: &OrderId, stored: Stored) -> Result<Working<L::Record>, StoreError> {
        let (record, unreadable) = match stored.record.as_deref().map(|json| self.parse(json, stored.schema))
        {
            Some(Ok(record)) => (Some(record), None),
            Some(Err(reason)) => (None, Some(reason)),
            None => (None, None),
        };
        let bytes = stored.record.as_ref().map_or(0, Vec::len);
        let guard = if stored.revision == 0 { Guard::Absent } else { Guard::Revision(stored.revision) };
        let mut work = Working { bytes, unreadable, ..self.working(guard, record) };
        if stored.has_parked {
            work.parked.queue = true;
            work.parked.waiting = self.store.parked(order).await?;
        }
        Ok(work)
    }

    fn parse(&self, json: &[u8], schema: u32) -> Result<L::Record, String> {
        if schema > L::SCHEMA {
            // Its new fields would be lost by writing it.
            return Err(format!(
                "it was written by a newer version: shape {schema}, known up to {}",
                L::SCHEMA
            ));
        }
        self.logic.read(json).map_err(|error| error.to_string())
    }
}
