//! A new index beside the old one, made from the stores, which takes its place when it knows as much.

use std::{sync::atomic::Ordering, time::Instant};

use bytes::Bytes;
use cartwright_core::{
    domain::order::Order,
    failpoint::Failpoint,
    ports::{OrderQuery, StoreError, Walked},
};
use cartwright_search::Aim;

use super::{
    document,
    indexer::{Indexer, Known, READER, ROUND, Trouble, WITHOUT_TIMELINE},
    state::Rebuilding,
};

/// Orders that are read at once.
const PAGE: usize = 128;
/// Orders between two commits: what an index holds uncommitted takes memory.
const COMMIT_EVERY: u64 = 30_000;
/// Rounds of what has changed meanwhile before the old index has to wait.
const MAX_ROUNDS: usize = 1_000;
/// Orders are numbered from the one after this, so the newest number tells about how many there are.
const FIRST_NUMBER: u64 = 1_000;

impl Indexer {
    /// Makes a new index, and puts it in the old one's place. Searches are answered all the while, and changes of orders go
    /// into the old one, too.
    ///
    /// # Errors
    /// The store or the index failed. The old index is as it was.
    pub(super) async fn rebuild(&self) -> Result<(), Trouble> {
        let _one_at_a_time = self.turns.rebuild.lock().await;
        let begun = Instant::now();
        match self.rebuild_from_stores().await {
            Ok(orders) => {
                let took = begun.elapsed();
                tracing::info!(orders, ?took, "the new index is in its place");
                self.state.set_rebuilding(Rebuilding::Done { orders, took });
                Ok(())
            }
            Err(error) => {
                self.state.set_rebuilding(Rebuilding::Failed(error.to_string()));
                Err(error)
            }
        }
    }

    /// How many orders went into it.
    async fn rebuild_from_stores(&self) -> Result<u64, Trouble> {
        self.state.set_rebuilding(Rebuilding::Under { done: 0, of: 0 });
        self.index.prepare().await?;
        self.index.begin_next().await?;
        // What changes from here on is told by the journal.
        let mut position = self.store.stats().await?.head;
        let done = self.write_all().await?;
        self.commit(Aim::Next, position).await?;
        // Orders that come all the while are never caught up with: near is good enough here,
        for _ in 0..MAX_ROUNDS {
            if self.store.stats().await?.head <= position + ROUND as u64 {
                break;
            }
            let Some(next) = self.round(Aim::Next, position).await? else { break };
            position = next;
        }
        // and here, what the old index may know. From here on nothing goes into that one alone.
        let _turn = self.turns.turn.lock().await;
        let head = self.store.stats().await?.head;
        while position < head {
            let Some(next) = self.round(Aim::Next, position).await? else { break };
            position = next;
        }
        Failpoint::IndexFilled.reach(READER);
        self.index.swap().await?;
        Failpoint::IndexSwapped.reach(READER);
        self.turns.swaps.fetch_add(1, Ordering::AcqRel);
        Ok(done)
    }

    /// Each page is read, then its documents are made, then they are written: all three at once, each of another page.
    async fn write_all(&self) -> Result<u64, Trouble> {
        let mut counted = Counted { of: self.about_how_many().await?, ..Counted::default() };
        let mut read = self.page(0).await?;
        let (mut orders, mut documents) = (0, vec![]);
        while read.orders + orders > 0 {
            let (next, made, written) = tokio::join!(
                self.page_behind(&read),
                async { self.documents(&read.known) },
                self.put(Aim::Next, &documents),
            );
            written?;
            if counted.add(orders) {
                self.index.commit(Aim::Next, None).await?;
            }
            self.state.set_rebuilding(Rebuilding::Under { done: counted.done, of: counted.of });
            (orders, documents) = (read.orders, made);
            read = next?;
        }
        Ok(counted.done)
    }

    async fn about_how_many(&self) -> Result<u64, Trouble> {
        let newest = self.store.orders(&OrderQuery { limit: 1, ..OrderQuery::default() }).await?;
        Ok(newest.first().map_or(0, |listed| listed.place.1.saturating_sub(FIRST_NUMBER)))
    }

    /// Nothing, if the page before had nothing.
    async fn page_behind(&self, page: &Page) -> Result<Page, Trouble> {
        if page.orders > 0 { self.page(page.last).await } else { Ok(Page::default()) }
    }

    /// The orders behind this place.
    async fn page(&self, after: u64) -> Result<Page, Trouble> {
        let (orders, histories_are_there) = match self.store.walk(after, PAGE, document::MAX_EVENTS).await {
            Err(StoreError::Corrupt(_)) => (self.store.walk(after, PAGE, 0).await?, false),
            orders => (orders?, true),
        };
        let (count, last) = (orders.len() as u64, orders.last().map_or(after, |walked| walked.place));
        let mut known: Vec<(Known, Vec<Bytes>)> = orders.into_iter().filter_map(known).collect();
        if !histories_are_there {
            // One by one: whichever can't be read leaves its own order without a timeline, and no other.
            known = self.with_histories(known.into_iter().map(|(known, _)| known).collect()).await?;
        }
        Ok(Page { orders: count, last, known })
    }
}

/// Some orders.
#[derive(Default)]
struct Page {
    /// How many.
    orders: u64,
    /// The place behind which the next page begins.
    last: u64,
    /// Those that say who they are, and their events.
    known: Vec<(Known, Vec<Bytes>)>,
}

/// How far it has come.
#[derive(Default)]
struct Counted {
    done: u64,
    uncommitted: u64,
    of: u64,
}

impl Counted {
    /// So many more are written; `true` if it is time for a commit.
    fn add(&mut self, orders: u64) -> bool {
        self.done += orders;
        self.of = self.of.max(self.done);
        self.uncommitted += orders;
        let full = self.uncommitted >= COMMIT_EVERY;
        if full {
            self.uncommitted = 0;
        }
        full
    }
}

/// One whose record can't be read says no id, so it can't be found; `cartwright verify` tells of it.
fn known(walked: Walked) -> Option<(Known, Vec<Bytes>)> {
    let order: Order = serde_json::from_slice(walked.stored.record.as_deref()?).ok()?;
    let history = walked.history.unwrap_or_else(|| {
        tracing::error!(order = %order.id, "its history names events that are gone: {WITHOUT_TIMELINE}");
        vec![]
    });
    Some((Known { id: order.id.clone(), order: Ok(order) }, history))
}
