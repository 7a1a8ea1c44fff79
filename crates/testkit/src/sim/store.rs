//! The store as a simulated process sees it: every operation stops at a gate, and the scheduler says when it goes on
//! and how. So a crash, an error or another process can come between any two of them.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::Bytes;
use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{
        AnswerKey, Batch, Commit, Cursor, DueSweep, JournalRow, Listed, ListedParked, OpenCount, OpenQuery,
        OrderQuery, Outcome, Parked, ParkedQuery, SavedAnswer, Store, StoreError, StoreStats, Stored, Task,
        Walked,
    },
};
use uuid::Uuid;

use super::{logic::Applying, service::Service};
use crate::block_on;

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gated {
    /// Nothing is read or written yet.
    Before(&'static str),
    /// It is written, but nobody has heard so.
    Written,
}

/// Where a process's operations wait for the scheduler. At most one waits at a time.
#[derive(Default)]
pub(super) struct Gate(Mutex<GateState>);

#[derive(Default)]
struct GateState {
    waiting: Option<Gated>,
    opened: Option<bool>,
}

impl Gate {
    /// What waits here.
    pub fn waiting(&self) -> Option<Gated> {
        lock(&self.0).waiting
    }

    /// Lets the one that waits go on at its next poll, or fail.
    pub fn open(&self, well: bool) {
        let mut state = lock(&self.0);
        state.waiting = None;
        state.opened = Some(well);
    }

    async fn pass(&self, at: Gated) -> Result<(), StoreError> {
        let passing = Passing { gate: self, arriving: Some(at) };
        if passing.await { Ok(()) } else { Err(StoreError::Unavailable("simulated".to_owned())) }
    }
}

struct Passing<'a> {
    gate: &'a Gate,
    arriving: Option<Gated>,
}

impl Future for Passing<'_> {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<bool> {
        let arriving = self.arriving.take();
        let mut state = lock(&self.gate.0);
        if arriving.is_some() {
            state.waiting = arriving;
            state.opened = None;
            return Poll::Pending;
        }
        state.opened.take().map_or(Poll::Pending, Poll::Ready)
    }
}

/// What became of a batch.
pub(super) struct Seen {
    pub instance: usize,
    pub service: Service,
    pub commits: Vec<(Commit, Outcome)>,
    /// Whether it said how far the sources are settled.
    pub settles: bool,
}

/// One process's view of a store.
pub(super) struct SimStore {
    pub instance: usize,
    pub service: Service,
    pub gate: Arc<Gate>,
    pub inner: Arc<dyn Store>,
    pub seen: Arc<Mutex<Vec<Seen>>>,
    /// What the process has decided in the step under way.
    pub applying: Applying,
}

#[async_trait]
impl Store for SimStore {
    fn incarnation(&self) -> Uuid {
        self.inner.incarnation()
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    async fn load(&self, ids: &[OrderId]) -> Result<Vec<Stored>, StoreError> {
        // Whoever reads a record decides by it: what it decided before, by what it remembered, is thrown away.
        lock(&self.applying).retain(|applied| !ids.contains(&applied.order));
        self.gate.pass(Gated::Before("load")).await?;
        block_on(self.inner.load(ids))
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        self.gate.pass(Gated::Before("commit")).await?;
        let (commits, settles) = (batch.commits.clone(), !batch.cursors.is_empty());
        let outcomes = block_on(self.inner.commit(batch))?;
        let commits = commits.into_iter().zip(outcomes.iter().cloned()).collect();
        lock(&self.seen).push(Seen { instance: self.instance, service: self.service, commits, settles });
        self.gate.pass(Gated::Written).await?;
        Ok(outcomes)
    }

    async fn journal(&self, after: u64, limit: usize) -> Result<Vec<JournalRow>, StoreError> {
        self.inner.journal(after, limit).await
    }

    async fn journal_bounds(&self) -> Result<(u64, u64), StoreError> {
        self.inner.journal_bounds().await
    }

    async fn cursors(&self) -> Result<Vec<Cursor>, StoreError> {
        self.inner.cursors().await
    }

    async fn history(&self, id: &OrderId, after: u64, limit: usize) -> Result<Vec<Bytes>, StoreError> {
        self.inner.history(id, after, limit).await
    }

    async fn histories(&self, ids: &[OrderId], limit: usize) -> Result<Vec<Vec<Bytes>>, StoreError> {
        self.inner.histories(ids, limit).await
    }

    async fn claim_tasks(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<Task>, StoreError> {
        self.inner.claim_tasks(now, lease_until, limit).await
    }

    async fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, StoreError> {
        self.gate.pass(Gated::Before("answers")).await?;
        block_on(self.inner.answers(keys))
    }

    async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.purge_answers(before, limit).await
    }

    async fn parked(&self, id: &OrderId) -> Result<Vec<Parked>, StoreError> {
        self.gate.pass(Gated::Before("parked")).await?;
        block_on(self.inner.parked(id))
    }

    async fn parked_page(&self, query: &ParkedQuery) -> Result<Vec<ListedParked>, StoreError> {
        self.inner.parked_page(query).await
    }

    async fn due_sweeps(
        &self,
        now: Timestamp,
        after: Option<(Timestamp, u64)>,
        limit: usize,
    ) -> Result<Vec<DueSweep>, StoreError> {
        self.inner.due_sweeps(now, after, limit).await
    }

    async fn open_orders(&self, query: &OpenQuery) -> Result<Vec<Listed>, StoreError> {
        self.inner.open_orders(query).await
    }

    async fn open_counts(&self) -> Result<Vec<OpenCount>, StoreError> {
        self.inner.open_counts().await
    }

    async fn orders(&self, query: &OrderQuery) -> Result<Vec<Listed>, StoreError> {
        self.inner.orders(query).await
    }

    async fn walk(&self, after: u64, limit: usize, events: usize) -> Result<Vec<Walked>, StoreError> {
        self.inner.walk(after, limit, events).await
    }

    async fn reserve_numbers(&self, count: u32) -> Result<u64, StoreError> {
        self.gate.pass(Gated::Before("numbers")).await?;
        block_on(self.inner.reserve_numbers(count))
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.gate.pass(Gated::Before("stats")).await?;
        block_on(self.inner.stats())
    }
}

/// What a poisoned lock guards is still whole: a simulation that panics is over anyway.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
