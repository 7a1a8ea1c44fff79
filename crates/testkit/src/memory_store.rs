//! The `Store` port in memory: a model to test against and to simulate with, not to be fast.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use cartwright_core::{
    domain::{ids::OrderId, order::OrderStatus, time::Timestamp},
    ports::{
        AnswerKey, Batch, Commit, Cursor, DueSweep, Guard, HistoryEntry, JournalRow, Listed, ListedParked,
        OpenCount, OpenQuery, OrderColumns, OrderQuery, OrderSort, Outcome, Parked, ParkedQuery, Row,
        SavedAnswer, Stage, Store, StoreError, StoreStats, Stored, Task, TaskId, Walked,
    },
};
use uuid::Uuid;

/// A store in memory. Clones share what they hold, so a test that "crashes" keeps one.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    incarnation: Uuid,
    state: Arc<Mutex<State>>,
}

impl MemoryStore {
    /// An empty store with this incarnation.
    pub fn new(incarnation: Uuid) -> Self {
        Self { incarnation, state: Arc::default() }
    }

    /// As a store that is opened again: all leases end.
    pub fn end_leases(&self) {
        for task in self.state().tasks.values_mut() {
            task.lease_until = Timestamp::default();
        }
    }

    /// Forgets what it holds, and holds what another does.
    pub fn become_like(&self, other: &Self) {
        let state = other.state().clone();
        *self.state() = state;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    records: BTreeMap<OrderId, (u64, Row)>,
    /// In the order in which they came.
    order: Vec<OrderId>,
    journal: Vec<JournalRow>,
    history: HashMap<OrderId, Vec<Bytes>>,
    tasks: BTreeMap<TaskId, Task>,
    answers: HashMap<AnswerKey, SavedAnswer>,
    /// With the order and the number of its arrival.
    parked: Vec<(OrderId, Parked, u64)>,
    arrivals: u64,
    cursors: BTreeMap<(Arc<str>, u32), Cursor>,
    last_number: u64,
}

impl State {
    fn stored(&self, id: &OrderId) -> Stored {
        self.records.get(id).map_or_else(Stored::default, |(revision, row)| Stored {
            revision: *revision,
            schema: row.schema,
            record: row.record.clone(),
            has_parked: self.parked.iter().any(|(order, ..)| order == id),
        })
    }

    fn newest(&self, id: &OrderId, limit: usize) -> Vec<Bytes> {
        let events = self.history.get(id).map(Vec::as_slice).unwrap_or_default();
        events[events.len().saturating_sub(limit)..].to_vec()
    }

    fn listed(&self) -> impl Iterator<Item = (&OrderId, &OrderColumns)> {
        self.records
            .iter()
            .filter(|(_, (_, row))| row.record.is_some())
            .filter_map(|(id, (_, row))| Some((id, row.columns.as_ref()?)))
    }

    fn commit(&mut self, commit: Commit) -> Outcome {
        let revision = self.records.get(&commit.id).map(|(revision, _)| *revision);
        match (commit.guard, revision) {
            (Guard::Absent, None) => {}
            (Guard::Revision(expected), Some(found)) if expected == found => {}
            _ => return Outcome::Conflict,
        }
        if let Some(outcome) = self.obstacle(&commit) {
            return outcome;
        }
        let Commit { id, row, journal, history, put_tasks, drop_tasks, answers, park, unpark, .. } = commit;
        let entries = history.into_iter().map(|entry| match entry {
            HistoryEntry::Own(n) => journal[n].value.clone(),
            HistoryEntry::Foreign(value) => value,
        });
        self.history.entry(id.clone()).or_default().extend(entries);
        let position = if journal.is_empty() { 0 } else { (self.journal.len() + journal.len()) as u64 };
        for message in journal {
            self.journal.push(JournalRow { position: self.journal.len() as u64 + 1, message });
        }
        for task in drop_tasks {
            self.tasks.remove(&task);
        }
        self.tasks.extend(put_tasks.into_iter().map(|task| (task.id.clone(), task)));
        self.answers.extend(answers);
        for origin in unpark {
            let found =
                self.parked.iter().position(|(order, p, _)| *order == id && p.delivery.origin == origin);
            if let Some(n) = found {
                self.parked.remove(n);
            }
        }
        for event in park {
            if !self.parked.iter().any(|(order, p, _)| *order == id && is_same_event(p, &event)) {
                self.arrivals += 1;
                self.parked.push((id.clone(), event, self.arrivals));
            }
        }
        if revision.is_none() {
            self.order.push(id.clone());
        }
        let (revision, stored) = self.records.entry(id).or_default();
        *revision += 1;
        if let Some(row) = row {
            *stored = row;
        }
        Outcome::Committed { position }
    }

    /// What keeps a commit from being written although its guard holds: another order has what must be unique.
    fn obstacle(&self, commit: &Commit) -> Option<Outcome> {
        let new = commit.row.as_ref().filter(|row| row.record.is_some())?.columns.as_ref()?;
        let others = || self.listed().filter(|(id, _)| **id != commit.id);
        let by = others().find(|(_, c)| {
            new.external_id.is_some() && (&c.channel, &c.external_id) == (&new.channel, &new.external_id)
        });
        match by {
            Some((by, _)) => Some(Outcome::Taken { by: by.clone() }),
            None => others().any(|(_, c)| c.number == new.number).then_some(Outcome::Conflict),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    async fn load(&self, ids: &[OrderId]) -> Result<Vec<Stored>, StoreError> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.stored(id)).collect())
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        let mut state = self.state();
        if batch.commits.iter().any(|commit| commit.row.is_none() && commit.guard == Guard::Absent) {
            return Err(StoreError::Corrupt("there is no row that it could leave as it is".to_owned()));
        }
        let outcomes: Vec<Outcome> = batch.commits.into_iter().map(|c| state.commit(c)).collect();
        if outcomes.iter().all(|o| matches!(o, Outcome::Committed { .. })) {
            let cursors = batch.cursors.into_iter().map(|c| ((Arc::clone(&c.source), c.lane), c));
            state.cursors.extend(cursors);
        }
        Ok(outcomes)
    }

    async fn journal(&self, after: u64, limit: usize) -> Result<Vec<JournalRow>, StoreError> {
        Ok(self.state().journal.iter().filter(|row| row.position > after).take(limit).cloned().collect())
    }

    async fn journal_bounds(&self) -> Result<(u64, u64), StoreError> {
        Ok((1, self.state().journal.len() as u64))
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        Ok(self.state().cursors.values().cloned().collect())
    }

    async fn history(&self, id: &OrderId, after: u64, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        let state = self.state();
        let events = state.history.get(id).map(Vec::as_slice).unwrap_or_default();
        Ok(events.iter().skip(usize::try_from(after).unwrap_or(usize::MAX)).take(limit).cloned().collect())
    }

    async fn histories(&self, ids: &[OrderId], limit: usize) -> Result<Vec<Vec<Bytes>>, StoreError> {
        let state = self.state();
        Ok(ids.iter().map(|id| state.newest(id, limit)).collect())
    }

    async fn claim_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        let mut state = self.state();
        let mut ready: Vec<&mut Task> =
            state.tasks.values_mut().filter(|t| t.due_at.max(t.lease_until) <= now).collect();
        ready.sort_by_key(|t| (t.due_at.max(t.lease_until), t.id.clone()));
        Ok(ready
            .into_iter()
            .take(limit)
            .map(|task| {
                task.lease_until = lease_until;
                task.clone()
            })
            .collect())
    }

    async fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, StoreError> {
        let state = self.state();
        Ok(keys.iter().map(|key| state.answers.get(key).cloned()).collect())
    }

    async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let mut state = self.state();
        let mut old: Vec<(Timestamp, AnswerKey)> = state
            .answers
            .iter()
            .filter(|(_, answer)| answer.saved_at < before)
            .map(|(key, answer)| (answer.saved_at, key.clone()))
            .collect();
        old.sort_by_key(|(saved_at, _)| *saved_at);
        old.truncate(limit);
        for (_, key) in &old {
            state.answers.remove(key);
        }
        Ok(old.len())
    }

    async fn parked(&self, id: &OrderId) -> Result<Vec<Parked>, StoreError> {
        Ok(self.state().parked.iter().filter(|(order, ..)| order == id).map(|(_, p, _)| p.clone()).collect())
    }

    async fn parked_page(&self, query: &ParkedQuery) -> Result<Vec<ListedParked>, StoreError> {
        let state = self.state();
        let of = |order: &OrderId| query.order.as_ref().is_none_or(|wanted| wanted == order);
        let asked = state.parked.iter().filter(|(order, _, arrival)| of(order) && *arrival > query.after);
        Ok(asked
            .take(query.limit)
            .map(|(order, parked, arrival)| ListedParked {
                arrival: *arrival,
                order: order.clone(),
                known: state.stored(order).record.is_some(),
                parked: parked.clone(),
            })
            .collect())
    }

    async fn due_sweeps(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: usize,
    ) -> Result<Vec<DueSweep>, StoreError> {
        let state = self.state();
        let mut due: Vec<DueSweep> = state
            .listed()
            .filter_map(|(id, c)| Some(DueSweep { order: id.clone(), place: (c.sweep_at?, c.number) }))
            .filter(|due| due.place.0 <= now && after.is_none_or(|after| due.place > after))
            .collect();
        due.sort_by(|a, b| (a.place, &a.order).cmp(&(b.place, &b.order)));
        due.truncate(limit);
        Ok(due)
    }

    async fn open_orders(&self, query: &OpenQuery) -> Result<Vec<Listed>, StoreError> {
        let state = self.state();
        let place = |c: &OrderColumns| (c.created_at, c.number);
        let mut found: Vec<(&OrderId, &OrderColumns)> = state
            .listed()
            .filter(|(_, c)| c.status == OrderStatus::Open && stage(c) == query.stage)
            .filter(|(_, c)| query.placed_before.is_none_or(|moment| c.created_at < moment))
            .filter(|(_, c)| query.after.is_none_or(|after| place(c) > after))
            .collect();
        found.sort_by_key(|(_, c)| place(c));
        let listed = |(id, c)| Listed { place: place(c), stored: state.stored(id) };
        Ok(found.into_iter().take(query.limit).map(listed).collect())
    }

    async fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        let mut stages = BTreeMap::<Stage, (u64, Timestamp)>::new();
        for (_, c) in self.state().listed().filter(|(_, c)| c.counted) {
            let (orders, oldest) = stages.entry(stage(c)).or_insert((0, c.created_at));
            (*orders, *oldest) = (*orders + 1, (*oldest).min(c.created_at));
        }
        let count = |(stage, (orders, oldest))| OpenCount { stage, orders, oldest };
        Ok(stages.into_iter().map(count).collect())
    }

    async fn orders(&self, query: &OrderQuery) -> Result<Vec<Listed>, StoreError> {
        let state = self.state();
        let place = |c: &OrderColumns| match query.sort {
            OrderSort::CreatedAt => (c.created_at, c.number),
            OrderSort::UpdatedAt => (c.updated_at, c.number),
        };
        let mut found: Vec<(&OrderId, &OrderColumns)> = state
            .listed()
            .filter(|(_, c)| matches(query, c))
            .filter(|(_, c)| query.after.is_none_or(|after| place(c) < after))
            .collect();
        found.sort_by_key(|(_, c)| Reverse(place(c)));
        let listed = |(id, c)| Listed { place: place(c), stored: state.stored(id) };
        Ok(found.into_iter().take(query.limit).map(listed).collect())
    }

    async fn walk(&self, after: u64, limit: usize, events: usize) -> Result<Vec<Walked>, StoreError> {
        let state = self.state();
        let is_order = |id: &OrderId| {
            let found = state.records.get(id);
            found.is_some_and(|(_, row)| row.record.is_some() && row.columns.is_some())
        };
        let all = (1..).zip(&state.order).filter(|(place, id)| *place > after && is_order(id));
        let walked =
            |(place, id)| Walked { place, stored: state.stored(id), history: Some(state.newest(id, events)) };
        Ok(all.take(limit).map(walked).collect())
    }

    async fn reserve_numbers(&self, count: u32) -> Result<u64, StoreError> {
        let mut state = self.state();
        let first = state.last_number + 1;
        state.last_number += u64::from(count);
        Ok(first)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let state = self.state();
        Ok(StoreStats {
            open_orders: state.listed().filter(|(_, c)| c.counted).count() as u64,
            tasks: state.tasks.len() as u64,
            parked: state.parked.len() as u64,
            head: state.journal.len() as u64,
        })
    }
}

fn stage(columns: &OrderColumns) -> Stage {
    Stage { flow: columns.flow.clone(), milestone: columns.milestone.clone() }
}

fn is_same_event(a: &Parked, b: &Parked) -> bool {
    match (a.event_id, b.event_id) {
        (Some(a), Some(b)) => a == b,
        (None, None) => {
            (&a.delivery.origin, a.delivery.incarnation) == (&b.delivery.origin, b.delivery.incarnation)
        }
        _ => false,
    }
}

fn matches(query: &OrderQuery, c: &OrderColumns) -> bool {
    fn any<T: PartialEq>(wanted: &[T], value: &T) -> bool {
        wanted.is_empty() || wanted.contains(value)
    }
    any(&query.status, &c.status)
        && any(&query.milestone, &c.milestone)
        && any(&query.customer, &c.customer)
        && any(&query.flow, &c.flow)
        && any(&query.number, &c.number)
        && (query.external_id.is_empty()
            || c.external_id.as_ref().is_some_and(|external_id| query.external_id.contains(external_id)))
        && query.created_after.is_none_or(|moment| c.created_at >= moment)
        && query.created_before.is_none_or(|moment| c.created_at < moment)
        && query.updated_after.is_none_or(|moment| c.updated_at >= moment)
}
