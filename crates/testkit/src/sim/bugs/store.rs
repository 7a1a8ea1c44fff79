//! Bugs of a store, around a store that has none.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bytes::Bytes;
use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{
        AnswerKey, Batch, Commit, Cursor, DueSweep, Guard, JournalRow, Listed, ListedParked, OpenCount,
        OpenQuery, OrderQuery, Outcome, Parked, ParkedQuery, Row, SavedAnswer, Store, StoreError, StoreStats,
        Stored, Task, Walked,
    },
};
use uuid::Uuid;

use super::Bug;
use crate::sim::store::lock;

/// A store with a bug.
pub(in crate::sim) struct BuggyStore {
    inner: Arc<dyn Store>,
    bug: Bug,
    /// What is to be written a little later, and is lost in a crash.
    later: Mutex<Vec<Commit>>,
    parts: Arc<AtomicU64>,
}

/// Rows that only a bug writes begin so.
const APART: &str = "apart-";

impl BuggyStore {
    /// `parts` counts across all processes what was written apart.
    pub fn new(inner: Arc<dyn Store>, bug: Bug, parts: Arc<AtomicU64>) -> Self {
        Self { inner, bug, later: Mutex::default(), parts }
    }

    /// Writes what was put off.
    async fn catch_up(&self) -> Result<(), StoreError> {
        let later = std::mem::take(&mut *lock(&self.later));
        self.inner.commit(Batch { commits: later, cursors: Vec::new() }).await?;
        Ok(())
    }

    /// Puts off a part of a commit: it comes in a row of its own, after the commit, if it comes at all.
    fn put_off(&self, part: Commit) {
        if part.put_tasks.is_empty() && part.answers.is_empty() {
            return;
        }
        let mut later = lock(&self.later);
        let number = self.parts.fetch_add(1, Ordering::Relaxed);
        if let Ok(id) = OrderId::parse(&format!("{APART}{number}")) {
            later.push(Commit { id, guard: Guard::Absent, ..part });
        }
    }
}

fn without_all(of: &Commit) -> Commit {
    Commit::new(of.id.clone(), of.guard, Some(Row::default()))
}

#[async_trait]
impl Store for BuggyStore {
    fn incarnation(&self) -> Uuid {
        self.inner.incarnation()
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    async fn load(&self, ids: &[OrderId]) -> Result<Vec<Stored>, StoreError> {
        self.inner.load(ids).await
    }

    async fn commit(&self, mut batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        let mut apart = Vec::new();
        match self.bug {
            Bug::NoGuard => {
                for commit in &mut batch.commits {
                    let now = self.inner.load(std::slice::from_ref(&commit.id)).await?.remove(0);
                    if let (Guard::Revision(_), 1..) = (commit.guard, now.revision) {
                        commit.guard = Guard::Revision(now.revision);
                    }
                }
            }
            Bug::TaskApart => {
                self.catch_up().await?;
                for (i, commit) in batch.commits.iter_mut().enumerate() {
                    let put_tasks = std::mem::take(&mut commit.put_tasks);
                    apart.push((i, Commit { put_tasks, ..without_all(commit) }));
                }
            }
            Bug::AnswerLate => {
                self.catch_up().await?;
                for (i, commit) in batch.commits.iter_mut().enumerate() {
                    let answers = std::mem::take(&mut commit.answers);
                    apart.push((i, Commit { answers, ..without_all(commit) }));
                }
            }
            Bug::LeaseForever => {
                let tasks = batch.commits.iter_mut().flat_map(|commit| &mut commit.put_tasks);
                for task in tasks.filter(|task| task.lease_until > task.due_at) {
                    task.lease_until = Timestamp::LAST;
                }
            }
            _ => {}
        }
        let mut outcomes = self.inner.commit(batch).await?;
        for (i, part) in apart {
            if matches!(outcomes[i], Outcome::Committed { .. }) {
                self.put_off(part);
            }
        }
        if self.bug == Bug::OffsetPastConflict {
            for outcome in &mut outcomes {
                if *outcome == Outcome::Conflict {
                    *outcome = Outcome::Committed { position: 0 };
                }
            }
        }
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
        if self.bug == Bug::TaskApart {
            self.catch_up().await?;
        }
        let lease_until = if self.bug == Bug::LeaseForever { Timestamp::LAST } else { lease_until };
        self.inner.claim_tasks(now, lease_until, limit).await
    }

    async fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, StoreError> {
        self.inner.answers(keys).await
    }

    async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.purge_answers(before, limit).await
    }

    async fn parked(&self, id: &OrderId) -> Result<Vec<Parked>, StoreError> {
        let mut parked = self.inner.parked(id).await?;
        if self.bug == Bug::ParkedReordered {
            parked.reverse();
        }
        Ok(parked)
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
        self.inner.reserve_numbers(count).await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner.stats().await
    }
}
