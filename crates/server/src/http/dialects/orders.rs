//! The orders of a dialect: placing, finding and listing them.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use cartwright_core::{
    domain::{
        frozen::Frozen,
        ids::OrderId,
        order::{Actor, Order, OrderCommand, PaymentIntent, Placed, PlacedBy},
        time::Timestamp,
    },
    ports::{OrderQuery, PAGE_BYTES, StoreError},
    services::{Answered, Ask, PlaceOrder, Rejection, Request, Variation},
};
use futures_util::stream::try_unfold;
use uuid::Uuid;

use crate::{
    http::{Api, problem::Problem},
    telemetry::metrics,
    workers::inbox::NotTaken,
};

/// Orders read at once for a list.
const PAGE: usize = 200;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// The order says no.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Nobody could be asked.
    #[error(transparent)]
    NotTaken(#[from] NotTaken),
    /// The store can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its sums are more than an order can hold.
    #[error("the order is worth more than an order can hold")]
    TooMuch,
    /// There is no room on the disk.
    #[error("the disk is nearly full: no new orders are taken")]
    DiskFull,
}

/// A new order as a dialect states it.
pub struct New {
    /// Its id; `None`: a fresh one.
    pub id: Option<OrderId>,
    /// What was ordered, added up.
    pub placed: Placed,
    /// How it is to be paid.
    pub intent: PaymentIntent,
    /// What of its flow goes otherwise.
    pub variation: Variation,
}

/// Places an order. `bytes`: how long the request was.
///
/// # Errors
/// Why it was not taken.
pub async fn place(api: &Api, new: New, bytes: usize) -> Result<Answered, NotDone> {
    let arrived = std::time::Instant::now();
    let caller = new.placed.dialect.clone().unwrap_or_default();
    let stated = new.id.as_ref().map(OrderId::as_str);
    let placed = Frozen::new(new.placed);
    let fingerprint = PlaceOrder::fingerprint(stated, &placed, &new.intent);
    let order = PlaceOrder {
        id: new.id.unwrap_or_else(|| OrderId::from(Uuid::now_v7())),
        placed,
        intent: new.intent,
        placed_by: PlacedBy { caller, key: None, fingerprint },
        correlation_id: Uuid::now_v7(),
        put: false,
        variation: new.variation,
    };
    if !api.enough_disk.load(Ordering::Relaxed) {
        return Err(NotDone::DiskFull);
    }
    let answered = api.orders.ask(Ask::Place(order), bytes).await??;
    metrics::accepted(arrived.elapsed());
    Ok(answered)
}

/// Asks something of an order of this dialect; `None`: it has no such order.
///
/// # Errors
/// Why it was not done.
pub async fn change(
    api: &Api,
    dialect: &str,
    id: &OrderId,
    command: OrderCommand,
) -> Result<Option<Answered>, NotDone> {
    if find(api, dialect, id).await?.is_none() {
        return Ok(None);
    }
    ask(api, dialect, id, command).await.map(Some)
}

/// The same of an order that was found to be of this dialect: an order never changes its dialect.
///
/// # Errors
/// Why it was not done.
pub async fn ask(api: &Api, dialect: &str, id: &OrderId, command: OrderCommand) -> Result<Answered, NotDone> {
    let request =
        Request { order: id.clone(), command, actor: Actor::api(dialect), key: None, expected: None };
    Ok(api.orders.ask(Ask::Change(request), id.as_str().len()).await??)
}

/// An order of this dialect.
///
/// # Errors
/// The store can't be read.
pub async fn find(api: &Api, dialect: &str, id: &OrderId) -> Result<Option<Order>, NotDone> {
    let stored = api.store.load(std::slice::from_ref(id)).await?.pop().unwrap_or_default();
    let Some(record) = stored.record else { return Ok(None) };
    let order: Order = serde_json::from_slice(&record).map_err(|error| {
        tracing::error!(order = %id, %error, "the order's record can't be read");
        Rejection::Unreadable(id.clone())
    })?;
    Ok(Some(order).filter(|order| order.placed.dialect.as_deref() == Some(dialect)))
}

/// The same by the id as it was sent; what is no id is nobody's.
///
/// # Errors
/// The store can't be read.
pub async fn find_text(api: &Api, dialect: &str, id: &str) -> Result<Option<Order>, NotDone> {
    match OrderId::parse(id) {
        Ok(id) => find(api, dialect, &id).await,
        Err(_) => Ok(None),
    }
}

/// When it was taken: by us, or by the older system before.
pub fn taken_at(order: &Order) -> Timestamp {
    order.placed.taken_at.unwrap_or(order.created_at)
}

/// How many decimals the amounts of an order have.
pub fn scale(placed: &Placed) -> u8 {
    placed.scale.unwrap_or_else(|| placed.currency.scale())
}

/// Writes one order of a list.
pub type Write = Arc<dyn Fn(&Order) -> Option<Vec<u8>> + Send + Sync>;

/// A list as a body, in constant memory: `begin`, all orders that `query` finds and `write` writes, with commas between,
/// and `end`, which hears how many there were. An error after the first page breaks the body off.
///
/// # Errors
/// The first page can't be read.
pub async fn stream(
    api: &Arc<Api>,
    dialect: &'static str,
    query: OrderQuery,
    begin: String,
    write: Write,
    end: impl Fn(u64) -> String + Send + Sync + 'static,
) -> Result<Body, NotDone> {
    let list = List::new(api, dialect, query, write);
    list.body(begin, end).await
}

/// The same; nothing, if there is no such order.
///
/// # Errors
/// The store can't be read.
pub async fn stream_some(
    api: &Arc<Api>,
    dialect: &'static str,
    query: OrderQuery,
    begin: String,
    write: Write,
    end: impl Fn(u64) -> String + Send + Sync + 'static,
) -> Result<Option<Body>, NotDone> {
    let mut looked = List::new(api, dialect, query.clone(), write.clone());
    while looked.more && looked.written == 0 {
        looked.next().await?;
    }
    if looked.written == 0 {
        return Ok(None);
    }
    List::new(api, dialect, query, write).body(begin, end).await.map(Some)
}

impl List {
    fn new(api: &Arc<Api>, dialect: &'static str, query: OrderQuery, write: Write) -> Self {
        let query = OrderQuery { limit: PAGE, ..query };
        Self { api: api.clone(), dialect, query, write, written: 0, more: true }
    }

    async fn body(
        mut self,
        begin: String,
        end: impl Fn(u64) -> String + Send + Sync + 'static,
    ) -> Result<Body, NotDone> {
        let mut first = begin.into_bytes();
        first.extend(self.next().await?);
        let state = (Some(first), self, Some(end));
        let pages = try_unfold(state, async |(first, mut list, end)| {
            if let Some(first) = first {
                return Ok::<_, NotDone>(Some((Bytes::from(first), (None, list, end))));
            }
            if list.more {
                let page = list.next().await?;
                return Ok(Some((Bytes::from(page), (None, list, end))));
            }
            let last = end.map(|end| Bytes::from(end(list.written)));
            Ok(last.map(|last| (last, (None, list, None))))
        });
        Ok(Body::from_stream(pages))
    }
}

struct List {
    api: Arc<Api>,
    dialect: &'static str,
    query: OrderQuery,
    write: Write,
    written: u64,
    more: bool,
}

impl List {
    /// The next page.
    async fn next(&mut self) -> Result<Vec<u8>, StoreError> {
        let found = self.api.store.orders(&self.query).await?;
        let bytes: usize = found.iter().map(|listed| listed.stored.record.as_ref().map_or(0, Vec::len)).sum();
        self.more = found.len() >= self.query.limit || bytes >= PAGE_BYTES;
        let mut page = Vec::with_capacity(bytes / 2);
        for listed in &found {
            self.query.after = Some(listed.place);
            let Ok(order) =
                serde_json::from_slice::<Order>(listed.stored.record.as_deref().unwrap_or_default())
            else {
                continue; // `cartwright verify` tells of it
            };
            if order.placed.dialect.as_deref() != Some(self.dialect) {
                continue;
            }
            if let Some(written) = (self.write)(&order) {
                if self.written > 0 {
                    page.push(b',');
                }
                page.extend(written);
                self.written += 1;
            }
        }
        Ok(page)
    }
}

/// The answer where a dialect has no words of its own for it.
pub fn unavailable(why: NotDone) -> Response {
    match why {
        NotDone::Rejected(rejection) => Problem::from(rejection).into_response(),
        NotDone::NotTaken(why) => Problem::from(why).into_response(),
        NotDone::Store(error) => Problem::from(error).into_response(),
        NotDone::TooMuch => {
            Problem::new(StatusCode::BAD_REQUEST, "too-much", why.to_string()).into_response()
        }
        NotDone::DiskFull => Problem::busy(why.to_string(), 30).into_response(),
    }
}
