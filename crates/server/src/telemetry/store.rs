//! A service's store as it is watched: what it writes is counted, timed and told.

use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use bytes::Bytes;
use cartwright_core::{
    domain::{ids::OrderId, time::Timestamp},
    ports::{
        AnswerKey, Batch, Commit, Cursor, DueSweep, JournalRow, Listed, ListedParked, Message, OpenCount,
        OpenQuery, OrderQuery, Outcome, Parked, ParkedQuery, SavedAnswer, Store, StoreError, StoreStats,
        Stored, Task, Walked,
    },
};
use uuid::Uuid;

use super::metrics;

/// Parked events of one batch that get a line of their own.
const TOLD: usize = 10;

/// A store that is watched.
pub struct Watched {
    /// Whose store it is.
    pub service: &'static str,
    /// The store.
    pub inner: Arc<dyn Store>,
}

/// What there is to tell of a commit once it stands.
struct Story {
    events: Vec<Message>,
    parked: Vec<Parked>,
}

impl Story {
    /// Next to nothing is copied unless somebody wants to hear it: parking is rare, and events are told to `debug` only.
    fn of(commit: &Commit, in_detail: bool) -> Self {
        Self { events: if in_detail { commit.journal.clone() } else { vec![] }, parked: commit.park.clone() }
    }
}

impl Watched {
    fn tell(&self, stories: Vec<Story>, outcomes: &[Outcome]) {
        let stood = stories.into_iter().zip(outcomes);
        let stood = stood.filter(|(_, outcome)| matches!(outcome, Outcome::Committed { .. }));
        let mut parked = 0;
        for (story, _) in stood {
            for event in &story.events {
                tracing::debug!(
                    service = self.service,
                    order = %event.key,
                    correlation_id = event.headers.get("correlationId"),
                    event = event.headers.get("eventType"),
                    step = event.headers.get("stepKind"),
                    "an event was written"
                );
            }
            for event in &story.parked {
                parked += 1;
                if parked <= TOLD {
                    self.tell_parked(event);
                }
            }
        }
        if parked > TOLD {
            tracing::warn!(service = self.service, more = parked - TOLD, "more events were parked");
        }
    }

    fn tell_parked(&self, parked: &Parked) {
        let delivery = &parked.delivery;
        tracing::warn!(
            service = self.service,
            order = %String::from_utf8_lossy(&delivery.key),
            correlation_id = delivery.headers.get("correlationId"),
            event = delivery.headers.get("eventType"),
            event_id = parked.event_id.map(tracing::field::display),
            reason = parked.reason,
            "an event was parked; `cartwright parked list` shows it"
        );
    }
}

#[async_trait]
impl Store for Watched {
    fn incarnation(&self) -> Uuid {
        self.inner.incarnation()
    }

    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    async fn load(&self, ids: &[OrderId]) -> Result<Vec<Stored>, StoreError> {
        self.inner.load(ids).await
    }

    async fn commit(&self, batch: Batch) -> Result<Vec<Outcome>, StoreError> {
        let in_detail = tracing::enabled!(tracing::Level::DEBUG);
        let worth_telling = in_detail || batch.commits.iter().any(|commit| !commit.park.is_empty());
        let stories: Vec<Story> = match worth_telling {
            true => batch.commits.iter().map(|commit| Story::of(commit, in_detail)).collect(),
            false => vec![],
        };
        let begun = Instant::now();
        let written = self.inner.commit(batch).await;
        metrics::written(self.service, written.as_deref().ok(), begun.elapsed());
        let outcomes = written?;
        self.tell(stories, &outcomes);
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

    async fn give_back(&self, tasks: &[Task]) -> Result<(), StoreError> {
        self.inner.give_back(tasks).await
    }

    async fn answers(&self, keys: &[AnswerKey]) -> Result<Vec<Option<SavedAnswer>>, StoreError> {
        self.inner.answers(keys).await
    }

    async fn purge_answers(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.inner.purge_answers(before, limit).await
    }

    async fn parked(&self, id: &OrderId) -> Result<Vec<Parked>, StoreError> {
        self.inner.parked(id).await
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
