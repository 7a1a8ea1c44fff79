//! Tells an old order service over HTTP how far its orders are: those that came by a dialect's topic, while their front
//! stays.
//!
//! It follows the journal of orders under a lease, as the relay does, and asks for each event how the order stands now.
//! What it says is repeated until it is accepted; a repeat changes nothing there.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use cartwright_core::{
    domain::{ids::OrderId, order::Order},
    events,
    ports::{JournalRow, Store, StoreError},
};
use cartwright_store::postgres::{PostgresStore, Scope};
use futures_util::{StreamExt as _, stream};
use reqwest::{Client, StatusCode, redirect};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{lanes, progress};
use crate::{backoff::Backoff, telemetry::metrics};

/// Journal rows read at once.
const PAGE: usize = 256;
/// Orders that are told of at once.
const AT_ONCE: usize = 16;
/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first wait after a call that was not accepted.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// How often something that it refuses is said before it is left out: it may not have written the order down yet.
const REFUSALS: u32 = 5;
/// How often something over which it fails is: that may be its own trouble, and pass.
const FAILURES: u32 = 20;
/// How often it is noted at most how far it has come.
const NOTE_EVERY: Duration = Duration::from_millis(200);

/// What is told, of whom, and to whom.
pub struct Reports {
    /// The dialect.
    pub dialect: &'static str,
    /// Where the old order service is.
    pub url: String,
    /// The path and the JSON by which it is told how an order stands; `None`: there is nothing to tell.
    pub tell: fn(&Order) -> Option<(String, serde_json::Value)>,
    /// The store of the orders.
    pub store: Arc<PostgresStore>,
    /// Rings when its journal has grown.
    pub head: watch::Receiver<u64>,
    /// Names this process.
    pub holder: Uuid,
}

impl Reports {
    /// Tells whenever the lease is held here, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        lanes::while_held(&self.store, Scope::Reports, self.holder, || self.tell_for_ever(), stop).await;
    }

    async fn tell_for_ever(&self) {
        let mut wait = Backoff::from(FIRST_WAIT);
        loop {
            if let Err(error) = self.follow(&mut wait).await {
                let next = wait.next();
                tracing::warn!(dialect = self.dialect, %error, "telling begins again in {next:?}");
                tokio::time::sleep(next).await;
            }
        }
    }

    async fn follow(&self, wait: &mut Backoff) -> Result<(), StoreError> {
        // A redirect would make something else of a PATCH.
        let client = Client::builder().timeout(PATIENCE).redirect(redirect::Policy::none()).build();
        let client = client.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let mut head = self.head.clone();
        let mut position = progress::read(&*self.store, self.dialect).await?;
        let mut noted = (position, Instant::now());
        loop {
            head.borrow_and_update();
            let rows = self.store.journal(position, PAGE).await?;
            let Some(last) = rows.last().map(|row| row.position) else {
                if noted.0 < position {
                    progress::note(&*self.store, self.dialect, position).await?;
                    noted = (position, Instant::now());
                }
                if head.changed().await.is_err() {
                    return std::future::pending().await; // we are stopping
                }
                continue;
            };
            let orders = self.concerned(&rows);
            stream::iter(orders).for_each_concurrent(AT_ONCE, |order| self.tell_of(&client, order)).await;
            position = last;
            *wait = Backoff::from(FIRST_WAIT);
            if noted.1.elapsed() >= NOTE_EVERY {
                progress::note(&*self.store, self.dialect, position).await?;
                noted = (position, Instant::now());
            }
        }
    }

    fn concerned(&self, rows: &[JournalRow]) -> BTreeSet<OrderId> {
        let theirs = |row: &&JournalRow| row.message.headers.get(events::DIALECT) == Some(self.dialect);
        rows.iter().filter(theirs).map(|row| row.message.key.clone()).collect()
    }

    /// Tells how an order stands until that is accepted. What is refused again and again is left out, so that one order
    /// keeps nobody from hearing of the others; while the old service as a whole does not answer, all wait.
    async fn tell_of(&self, client: &Client, id: OrderId) {
        let (mut wait, mut refused, mut failed) = (Backoff::from(FIRST_WAIT), 0, 0);
        while let Err(why) = self.try_to_tell(client, &id).await {
            match why {
                NotTold::Refused(_) => refused += 1,
                NotTold::Failed(_) => failed += 1,
                NotTold::Store(_) | NotTold::Silent(_) | NotTold::Away(_) => {}
            }
            if refused >= REFUSALS || failed >= FAILURES {
                tracing::error!(order = %id, dialect = self.dialect, %why, "it does not take what it is told: left out");
                return metrics::left_untold(self.dialect);
            }
            let next = wait.next();
            tracing::warn!(order = %id, dialect = self.dialect, %why, "it will be told again in {next:?}");
            tokio::time::sleep(next).await;
        }
    }

    async fn try_to_tell(&self, client: &Client, id: &OrderId) -> Result<(), NotTold> {
        // As it stands now: an older state would be late news.
        let stored = self.store.load(std::slice::from_ref(id)).await?;
        let Some(record) = stored.into_iter().next().and_then(|stored| stored.record) else { return Ok(()) };
        let Ok(order) = serde_json::from_slice::<Order>(&record) else { return Ok(()) }; // `cartwright verify` tells
        let Some((path, body)) = (self.tell)(&order) else { return Ok(()) };
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        match client.patch(url).json(&body).send().await?.status() {
            status if status.is_success() => Ok(()),
            status @ (StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => Err(NotTold::Away(status)),
            status if status.is_server_error() => Err(NotTold::Failed(status)),
            status => Err(NotTold::Refused(status)),
        }
    }
}

/// Why it was not told.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it does not answer: {0}")]
    Silent(#[from] reqwest::Error),
    #[error("it answers {0}")]
    Away(StatusCode),
    #[error("it fails with {0}")]
    Failed(StatusCode),
    /// This order, or this word: others may fare better.
    #[error("it answers {0}")]
    Refused(StatusCode),
}
