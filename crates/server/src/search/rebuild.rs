//! A new index beside the old one, made from the stores, which takes its place when it knows as much.

use std::{sync::atomic::Ordering, time::Instant};

use bytes::Bytes;
use cartwright_core::{
    domain::{order::Order, time::Timestamp},
    ports::{Listed, OrderQuery},
};
use cartwright_search::Aim;

use super::{
    indexer::{Indexer, Known, Trouble},
    state::Rebuilding,
};

/// Orders that are read at once.
const PAGE: usize = 384;
/// Orders between two commits: what an index holds uncommitted takes memory.
const COMMIT_EVERY: u64 = 30_000;
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
        while let Some(next) = self.round(Aim::Next, position).await? {
            position = next;
        }
        // From here on nothing goes into the old index alone.
        let _turn = self.turns.turn.lock().await;
        while let Some(next) = self.round(Aim::Next, position).await? {
            position = next;
        }
        self.index.swap().await?;
        self.turns.swaps.fetch_add(1, Ordering::AcqRel);
        Ok(done)
    }

    /// Writes a page while it makes the documents of the next and reads the one behind that.
    async fn write_all(&self) -> Result<u64, Trouble> {
        let (mut done, mut uncommitted, mut of) = (0, 0, 0);
        let mut read = self.page(None).await?;
        let (mut orders, mut documents) = (0, vec![]);
        while read.orders + orders > 0 {
            of = of.max(read.newest.saturating_sub(FIRST_NUMBER));
            let (written, next, made) =
                tokio::join!(self.put(Aim::Next, &documents), self.page_behind(&read), async {
                    self.documents(&read.known)
                });
            written?;
            (done, uncommitted) = (done + orders, uncommitted + orders);
            if uncommitted >= COMMIT_EVERY {
                self.index.commit(Aim::Next, None).await?;
                uncommitted = 0;
            }
            self.state.set_rebuilding(Rebuilding::Under { done, of: of.max(done) });
            (orders, documents) = (read.orders, made);
            read = next?;
        }
        Ok(done)
    }

    async fn page_behind(&self, page: &Page) -> Result<Page, Trouble> {
        match page.last {
            Some(last) => self.page(Some(last)).await,
            None => Ok(Page::default()),
        }
    }

    /// The orders behind this place, newest first.
    async fn page(&self, after: Option<(Timestamp, u64)>) -> Result<Page, Trouble> {
        let query = OrderQuery { after, limit: PAGE, ..OrderQuery::default() };
        let orders = self.store.orders(&query).await?;
        Ok(Page {
            orders: orders.len() as u64,
            last: orders.last().map(|listed| listed.place),
            newest: orders.first().map_or(0, |listed| listed.place.1),
            // Oldest first: so their histories are read in the direction in which disks read ahead.
            known: self.with_histories(orders.iter().rev().filter_map(known).collect()).await?,
        })
    }
}

/// Some orders.
#[derive(Default)]
struct Page {
    /// How many.
    orders: u64,
    /// The place behind which the next page begins; `None`: there was nothing.
    last: Option<(Timestamp, u64)>,
    /// The highest number among them.
    newest: u64,
    /// Those that say who they are, and their events.
    known: Vec<(Known, Vec<Bytes>)>,
}

/// One whose record can't be read says no id, so it can't be found; `cartwright verify` tells of it.
fn known(listed: &Listed) -> Option<Known> {
    let order: Order = serde_json::from_slice(listed.stored.record.as_deref()?).ok()?;
    Some(Known { id: order.id.clone(), order: Ok(order) })
}
