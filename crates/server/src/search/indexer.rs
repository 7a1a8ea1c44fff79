//! The indexer: follows the journal of orders, and writes each order that it names into the index as it stands now.
//!
//! An event only says that its order has changed. What is written is the order with its history, whole, under the number
//! of its last event; so an event that comes late, twice or out of order does no harm, and how far the journal was followed
//! is kept with the index itself: an index that is lost, or from another history, is noticed and made anew.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use cartwright_core::{
    domain::{ids::OrderId, order::Order},
    events,
    failpoint::Failpoint,
    ports::{JournalRow, Store, StoreError, Stored},
};
use cartwright_search::{Aim, Document, Error, Progress, SearchIndex, Written};
use serde::Deserialize;
use tokio::{
    sync::{Mutex, watch},
    time::timeout,
};

use super::{document, state::IndexState};
use crate::{backoff::Backoff, telemetry::metrics};

/// Journal rows that are read at once.
const PAGE: usize = 512;
/// Journal rows that may go into one commit.
pub(super) const ROUND: usize = 4_096;
/// An empty index is filled by following the journal if that has no more rows than this; else from the stores.
const FEW_ROWS: u64 = 10_000;
/// Indexing rests so many times as long as it took, so that it never takes more than its part of a busy machine,
const REST: u32 = 6;
/// but no shorter than this, since many changes of an order come at once,
const SHORTEST_REST: Duration = Duration::from_millis(60);
/// and no longer than this.
const LONGEST_REST: Duration = Duration::from_millis(700);
/// An index at rest is looked at after so long.
const LOOK_AFTER: Duration = Duration::from_secs(3);
/// The first wait when the index, or the store, does not do what it is asked.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// What the indexer works with.
pub struct Indexer {
    /// The store of the orders.
    pub store: Arc<dyn Store>,
    /// Rings when its journal has grown.
    pub head: watch::Receiver<u64>,
    /// The index.
    pub index: Arc<dyn SearchIndex>,
    /// What operators see.
    pub state: Arc<IndexState>,
    pub(super) turns: Turns,
}

/// A new index takes the old one's place between two rounds of following, which then looks again where it is.
#[derive(Default)]
pub(super) struct Turns {
    /// Whoever writes into the live index, or puts another one in its place.
    pub(super) turn: Mutex<()>,
    /// How often another one was put in its place.
    pub(super) swaps: AtomicU64,
    /// One rebuild at a time.
    pub(super) rebuild: Mutex<()>,
}

/// An order as it was read, to be written.
pub(super) struct Known {
    pub(super) id: OrderId,
    /// Or why its record can't be read.
    pub(super) order: Result<Order, Unreadable>,
}

/// A record that can't be read, such as one that a newer version has written.
pub(super) struct Unreadable {
    /// Its document's version, as far as that can be told: another one would keep out what is written of it later.
    version: u64,
    why: serde_json::Error,
}

impl Known {
    /// `None` for what is no order yet: the placeholder of parked events.
    fn of(id: OrderId, stored: &Stored) -> Option<Self> {
        let record = stored.record.as_deref()?;
        let order = serde_json::from_slice(record).map_err(|why| {
            #[derive(Deserialize)]
            struct Numbered {
                sequence: u64,
            }
            let version = serde_json::from_slice(record).map_or(1, |Numbered { sequence }| sequence);
            Unreadable { version, why }
        });
        Some(Self { id, order })
    }
}

/// Why a round came to nothing. It is begun again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Index(#[from] Error),
}

impl Indexer {
    /// Nothing is done before [`run`](Self::run).
    pub fn new(
        store: Arc<dyn Store>,
        head: watch::Receiver<u64>,
        index: Arc<dyn SearchIndex>,
        state: Arc<IndexState>,
    ) -> Self {
        Self { store, head, index, state, turns: Turns::default() }
    }

    /// Follows, and makes a new index whenever one is asked for. For ever; whoever drops it stops it, and nothing is
    /// lost by that.
    pub async fn run(&self) {
        metrics::unindexed(0);
        self.state.begin_to_keep();
        let _keeps = Keeps(&self.state);
        tokio::join!(self.follow_for_ever(), self.rebuild_when_asked());
    }

    async fn follow_for_ever(&self) {
        let mut wait = Backoff::from(FIRST_WAIT);
        loop {
            let Err(error) = self.follow(&mut wait).await else { continue };
            let next = wait.next();
            tracing::warn!(%error, "orders can't be indexed; trying again in {next:?}");
            self.state.set_trouble(Some(error.to_string()));
            let _ = self.look(self.state.position()).await; // if the store can't be read, either, that says enough
            tokio::time::sleep(next).await;
        }
    }

    /// Returns to begin anew.
    async fn follow(&self, wait: &mut Backoff) -> Result<(), Trouble> {
        self.index.prepare().await?;
        let mut head = self.head.clone();
        let Some(mut position) = self.begin().await? else { return self.rebuild().await };
        let swaps = self.turns.swaps.load(Ordering::Acquire);
        loop {
            head.borrow_and_update();
            let begun = Instant::now();
            let next = {
                let _turn = self.turns.turn.lock().await;
                if self.turns.swaps.load(Ordering::Acquire) != swaps {
                    return Ok(()); // the new index says where to go on
                }
                self.round(Aim::Live, position).await?
            };
            self.look(next.unwrap_or(position)).await?;
            self.state.set_trouble(None);
            *wait = Backoff::from(FIRST_WAIT);
            if let Some(next) = next {
                position = next;
                tokio::time::sleep((begun.elapsed() * REST).clamp(SHORTEST_REST, LONGEST_REST)).await;
                continue;
            }
            match timeout(LOOK_AFTER, head.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => std::future::pending().await, // we are stopping
                // Whoever took the index away, or put another one there, did not tell us.
                Err(_) if self.begin().await? != Some(position) => return Ok(()),
                Err(_) => {}
            }
        }
    }

    /// Where following begins: where the index says, if it is of this journal. `None`: it must be made from the stores.
    async fn begin(&self) -> Result<Option<u64>, Trouble> {
        let (oldest, head) = self.store.journal_bounds().await?;
        let Some(known) = self.index.progress().await? else {
            return Ok((oldest <= 1 && head <= FEW_ROWS).then_some(0));
        };
        let ours = known.incarnation == self.store.incarnation();
        Ok((ours && known.position + 1 >= oldest && known.position <= head).then_some(known.position))
    }

    /// Writes what the journal tells of after `position`, as far as one commit takes; up to where that was. `None`: there is
    /// nothing more.
    pub(super) async fn round(&self, aim: Aim, position: u64) -> Result<Option<u64>, Trouble> {
        let mut end = position;
        let mut dirty = BTreeSet::new();
        let mut rows = 0;
        while rows < ROUND {
            let page = self.store.journal(end, PAGE).await?;
            let Some(last) = page.last() else { break };
            (end, rows) = (last.position, rows + page.len());
            dirty.extend(page.iter().map(|row: &JournalRow| row.message.key.clone()));
        }
        if end == position {
            return Ok(None);
        }
        let dirty: Vec<OrderId> = dirty.into_iter().collect();
        for ids in dirty.chunks(PAGE) {
            let stored = self.store.load(ids).await?;
            let known = ids.iter().zip(&stored).filter_map(|(id, stored)| Known::of(id.clone(), stored));
            self.write(aim, known.collect()).await?;
        }
        self.commit(aim, end).await?;
        Ok(Some(end))
    }

    /// Writes these orders as they stand.
    pub(super) async fn write(&self, aim: Aim, orders: Vec<Known>) -> Result<(), Trouble> {
        let documents = self.documents(&self.with_histories(orders).await?);
        self.put(aim, &documents).await
    }

    /// These orders and their events.
    pub(super) async fn with_histories(
        &self,
        orders: Vec<Known>,
    ) -> Result<Vec<(Known, Vec<Bytes>)>, Trouble> {
        // After the records: a history may know more than its record, and never less.
        let ids: Vec<OrderId> = orders.iter().map(|known| known.id.clone()).collect();
        let histories = self.histories(&ids).await?;
        Ok(orders.into_iter().zip(histories).collect())
    }

    /// Their documents.
    pub(super) fn documents(&self, orders: &[(Known, Vec<Bytes>)]) -> Vec<Document> {
        let document = |(known, history): &(Known, Vec<Bytes>)| match &known.order {
            Ok(order) => document::of(order, history),
            Err(Unreadable { version, why }) => {
                self.say_refused(&known.id, why);
                document::instead(&known.id, *version, &format!("its record can't be read: {why}"))
            }
        };
        orders.iter().map(document).collect()
    }

    /// A history that can't be read leaves its own order without a timeline, and no other.
    async fn histories(&self, ids: &[OrderId]) -> Result<Vec<Vec<Bytes>>, Trouble> {
        match self.store.histories(ids, document::MAX_EVENTS).await {
            Err(StoreError::Corrupt(_)) => {}
            histories => return Ok(histories?),
        }
        let mut histories = Vec::with_capacity(ids.len());
        for id in ids {
            histories.push(
                match self.store.histories(std::slice::from_ref(id), document::MAX_EVENTS).await {
                    Err(StoreError::Corrupt(why)) => {
                        tracing::error!(order = %id, why, "{WITHOUT_TIMELINE}");
                        vec![]
                    }
                    history => history?.pop().unwrap_or_default(),
                },
            );
        }
        Ok(histories)
    }

    /// Writes documents; what the index does not take, it gets as an id and a reason.
    pub(super) async fn put(&self, aim: Aim, documents: &[Document]) -> Result<(), Trouble> {
        let written = self.index.write(aim, documents).await?;
        let refused = documents.iter().zip(written).filter_map(|(document, written)| match written {
            Written::Refused(reason) => Some((document, reason)),
            Written::Stored | Written::Older => None,
        });
        let mut instead = Vec::new();
        for (document, reason) in refused {
            let Ok(id) = OrderId::parse(&document.id) else { continue };
            self.say_refused(&id, &reason);
            instead.push(document::instead(&id, document.version, &reason));
        }
        if !instead.is_empty() {
            // What is refused once more is left out: nobody waits for it.
            self.index.write(aim, &instead).await?;
        }
        Ok(())
    }

    pub(super) async fn commit(&self, aim: Aim, position: u64) -> Result<(), Trouble> {
        let incarnation = self.store.incarnation();
        Failpoint::IndexWritten.reach(READER);
        self.index.commit(aim, Some(Progress { incarnation, position })).await?;
        Failpoint::IndexCommitted.reach(READER);
        Ok(())
    }

    fn say_refused(&self, id: &OrderId, reason: &dyn std::fmt::Display) {
        tracing::error!(order = %id, %reason, "the index holds this order by its id only, until it changes");
        self.state.count_refused();
        metrics::unindexed(1);
    }

    async fn look(&self, position: u64) -> Result<(), Trouble> {
        let behind = self.store.stats().await?.head.saturating_sub(position);
        self.state.set_position(position, behind);
        metrics::lag(READER, events::ORDERS.to_owned(), behind);
        Ok(())
    }

    async fn rebuild_when_asked(&self) {
        loop {
            self.state.asked().await;
            if let Err(error) = self.rebuild().await {
                tracing::warn!(%error, "the new index was given up");
            }
        }
    }
}

/// What is said of an order whose events can't be read.
pub(super) const WITHOUT_TIMELINE: &str = "the order is indexed without its timeline";

/// Its name among the readers of the journal.
pub(super) const READER: &str = "indexer";

/// As long as this process is the one that keeps the index.
struct Keeps<'a>(&'a IndexState);

impl Drop for Keeps<'_> {
    fn drop(&mut self) {
        self.0.no_longer_keep();
    }
}
