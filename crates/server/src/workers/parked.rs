//! What operators do about parked events: pick some of all services, try them again, give them up.
//!
//! Each change is an input of the service that the events belong to. Here they are only looked for, and handed on at
//! a bounded rate.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cartwright_core::{
    domain::{
        ids::{OrderId, derive_uuid},
        time::Timestamp,
    },
    ports::{Clock, ListedParked, ParkedQuery, StoreError},
    services::{Unpark, Unparked},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{inbox::NotTaken, operator::Handle};

/// Events read at once.
const PAGE: usize = 256;
/// Events that one selection looks at.
pub const MAX_LOOKED_AT: usize = 100_000;
/// Orders tried by one retry.
pub const MAX_RETRIED: usize = 10_000;
/// Orders tried a second, at most.
pub const MAX_RATE: u32 = 1_000;
/// Events discarded by one call.
pub const MAX_DISCARDED: usize = 1_000;
/// Orders whose reason a retry keeps.
const KEPT_REASONS: usize = 20;
/// After so long, what a service does about an order is taken for unknown.
const PATIENCE: Duration = Duration::from_secs(20);

/// Names a parked event of a service: its place in the list, and a check, because places are given again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedId {
    arrival: u64,
    check: String,
}

/// Which parked events.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Of this service only.
    pub service: Option<String>,
    /// Of this order only.
    pub order: Option<OrderId>,
    /// With these words in their reason.
    pub reason: Option<String>,
    /// Exactly these; they are the service's that is named.
    pub ids: Vec<ParkedId>,
}

/// A parked event, and whose it is.
pub struct Found {
    /// The service.
    pub handle: Handle,
    /// The event.
    pub listed: ListedParked,
}

impl ParkedId {
    /// The name of an event.
    pub fn of(listed: &ListedParked) -> Self {
        let name = listed.parked.name();
        let parts = [
            listed.order.as_str(),
            &name.origin.source,
            &format!("{}/{}/{}", name.origin.lane, name.origin.position, name.incarnation),
            &name.event_id.map(|id| id.to_string()).unwrap_or_default(),
        ];
        let mut check = derive_uuid("parked event", &parts).simple().to_string();
        check.truncate(8);
        Self { arrival: listed.arrival, check }
    }

    /// Reads what [`Display`](std::fmt::Display) wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (arrival, check) = text.split_once('-')?;
        let is_check =
            check.len() == 8 && check.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        is_check.then_some(Self { arrival: arrival.parse().ok()?, check: check.to_owned() })
    }
}

impl std::fmt::Display for ParkedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.arrival, self.check)
    }
}

/// One parked event.
///
/// # Errors
/// The store can't be read.
pub async fn one(handle: &Handle, id: &ParkedId) -> Result<Option<ListedParked>, StoreError> {
    let query = ParkedQuery { order: None, after: id.arrival.saturating_sub(1), limit: 1 };
    let found = handle.store.parked_page(&query).await?.pop();
    Ok(found.filter(|listed| ParkedId::of(listed) == *id))
}

/// Walks through what is selected, page by page.
pub struct Walk {
    selection: Selection,
    services: Vec<Handle>,
    after: u64,
    ids: std::vec::IntoIter<ParkedId>,
    looked_at: usize,
}

impl Walk {
    /// A walk through these services.
    pub fn new(selection: Selection, services: &[Handle]) -> Self {
        let wanted = |handle: &&Handle| selection.service.as_deref().is_none_or(|name| name == handle.name);
        let mut services: Vec<Handle> = services.iter().filter(wanted).cloned().collect();
        services.reverse();
        let ids = selection.ids.clone().into_iter();
        Self { selection, services, after: 0, ids, looked_at: 0 }
    }

    /// The next ones; `None` at the end, or once [`MAX_LOOKED_AT`] were looked at.
    ///
    /// # Errors
    /// A store can't be read.
    pub async fn next(&mut self) -> Result<Option<Vec<Found>>, StoreError> {
        if !self.selection.ids.is_empty() {
            return self.next_named().await;
        }
        let Some(handle) = self.services.last().cloned() else { return Ok(None) };
        if self.looked_at >= MAX_LOOKED_AT {
            return Ok(None);
        }
        let order = self.selection.order.clone();
        let page = handle.store.parked_page(&ParkedQuery { order, after: self.after, limit: PAGE }).await?;
        self.looked_at += page.len();
        match page.last() {
            Some(last) => self.after = last.arrival,
            None => {
                self.services.pop();
                self.after = 0;
            }
        }
        let found = page.into_iter().map(|listed| Found { handle: handle.clone(), listed });
        Ok(Some(found.filter(|found| self.is_selected(found)).collect()))
    }

    /// Whether it ended before its end.
    pub fn is_cut(&self) -> bool {
        self.looked_at >= MAX_LOOKED_AT && !self.services.is_empty()
    }

    async fn next_named(&mut self) -> Result<Option<Vec<Found>>, StoreError> {
        let (Some(handle), Some(id)) = (self.services.last().cloned(), self.ids.next()) else {
            return Ok(None);
        };
        let found = one(&handle, &id).await?.map(|listed| Found { handle, listed });
        Ok(Some(found.into_iter().filter(|found| self.is_selected(found)).collect()))
    }

    fn is_selected(&self, found: &Found) -> bool {
        let Selection { order, reason, .. } = &self.selection;
        order.as_ref().is_none_or(|order| *order == found.listed.order)
            && reason.as_ref().is_none_or(|words| found.listed.parked.reason.contains(words.as_str()))
    }
}

/// How a retry goes.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it goes on.
    pub ended_at: Option<Timestamp>,
    /// Why it ended before its time.
    pub ended_early: Option<String>,
    /// Orders that were tried.
    pub orders: usize,
    /// Events that were applied.
    pub applied: usize,
    /// Events of these orders that still wait.
    pub left: usize,
    /// Why, for the first of the orders that have some.
    pub reasons: Vec<StillParked>,
}

/// An order whose events still wait.
#[derive(Clone, Debug)]
pub struct StillParked {
    /// The service.
    pub service: &'static str,
    /// The order.
    pub order: OrderId,
    /// Why the first of them can't be applied.
    pub why: String,
}

/// Tries parked events again, in the background; one retry at a time.
#[derive(Clone)]
pub struct Retries {
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    last: Arc<Mutex<Option<Progress>>>,
    ended: Arc<watch::Sender<u64>>,
}

/// Another retry goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a retry goes on already; GET /v1/admin/parked/retry shows how far it is")]
pub struct Busy;

impl Retries {
    /// Nothing was retried yet. What goes on ends when told to `stop`.
    pub fn new(clock: Arc<dyn Clock>, stop: CancellationToken) -> Self {
        Self { clock, stop, last: Arc::default(), ended: Arc::new(watch::Sender::new(0)) }
    }

    /// How the last retry went, or goes.
    pub fn progress(&self) -> Option<Progress> {
        self.last().clone()
    }

    /// Begins a retry of what is selected, so many orders a second and at most `limit`.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn start(&self, walk: Walk, rate: u32, limit: usize) -> Result<(), Busy> {
        {
            let mut last = self.last();
            if last.as_ref().is_some_and(|progress| progress.ended_at.is_none()) {
                return Err(Busy);
            }
            *last = Some(Progress { started_at: self.clock.now(), ..Progress::default() });
        }
        tracing::info!(selection = ?walk.selection, rate, limit, "an operator has parked events tried again");
        let retries = self.clone();
        tokio::spawn(async move {
            let early = tokio::select! {
                early = retries.run(walk, rate, limit) => early,
                () = retries.stop.cancelled() => Some("the system stopped".to_owned()),
            };
            let now = retries.clock.now();
            retries.note(|progress| (progress.ended_at, progress.ended_early) = (Some(now), early));
            retries.ended.send_modify(|ended| *ended += 1);
        });
        Ok(())
    }

    /// Waits until the retry under way has ended, at most so long.
    pub async fn wait(&self, limit: Duration) {
        let mut ended = self.ended.subscribe();
        let over = || self.last().as_ref().is_none_or(|progress| progress.ended_at.is_some());
        let _ = tokio::time::timeout(limit, ended.wait_for(|_| over())).await;
    }

    async fn run(&self, mut walk: Walk, rate: u32, limit: usize) -> Option<String> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.clamp(1, MAX_RATE));
        let (mut tried, mut orders) = (HashSet::new(), HashSet::new());
        loop {
            let found = match walk.next().await {
                Ok(Some(found)) => found,
                Ok(None) if walk.is_cut() => {
                    return Some(format!(
                        "{MAX_LOOKED_AT} events were looked at; the rest takes another retry"
                    ));
                }
                Ok(None) => return None,
                Err(error) => return Some(error.to_string()),
            };
            for Found { handle, listed } in found {
                if !tried.insert((handle.name, listed.order.clone())) {
                    continue;
                }
                // One that has parked events in several services is one order.
                let is_new = orders.insert(listed.order.clone());
                if orders.len() > limit {
                    return Some(format!("{limit} orders were tried; the rest takes another retry"));
                }
                ticks.tick().await;
                match unpark(&handle, listed.order.clone(), Unpark::Retry).await {
                    Ok(unparked) => self.note(|progress| {
                        progress.orders += usize::from(is_new);
                        progress.add(&handle, listed.order, unparked);
                    }),
                    Err(why) => return Some(why.to_string()),
                }
            }
        }
    }

    fn note(&self, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.last().as_mut() {
            change(progress);
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<Progress>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn add(&mut self, handle: &Handle, order: OrderId, unparked: Unparked) {
        self.applied += unparked.applied;
        self.left += unparked.left;
        if let Some(why) = unparked.why
            && self.reasons.len() < KEPT_REASONS
        {
            self.reasons.push(StillParked { service: handle.name, order, why });
        }
    }
}

/// What came of discarding.
#[derive(Debug, Default)]
pub struct Discarded {
    /// Events that are gone.
    pub discarded: usize,
    /// Events behind them that were applied.
    pub applied: usize,
    /// Events of these orders that still wait.
    pub left: usize,
}

/// Gives these events up for good; their orders go on. Ends at the first that can't be given up.
///
/// # Errors
/// What was discarded before, and why it ended.
pub async fn discard(found: Vec<Found>) -> Result<Discarded, (Discarded, NotTaken)> {
    let mut orders = BTreeMap::<_, (Handle, Vec<_>)>::new();
    for Found { handle, listed } in found {
        let name = listed.parked.name();
        orders.entry((handle.name, listed.order)).or_insert_with(|| (handle, vec![])).1.push(name);
    }
    let mut sum = Discarded::default();
    for ((_, order), (handle, names)) in orders {
        match unpark(&handle, order, Unpark::Discard(names)).await {
            Ok(unparked) => {
                sum.discarded += unparked.discarded.len();
                sum.applied += unparked.applied;
                sum.left += unparked.left;
            }
            Err(why) => return Err((sum, why)),
        }
    }
    Ok(sum)
}

async fn unpark(handle: &Handle, order: OrderId, what: Unpark) -> Result<Unparked, NotTaken> {
    tokio::time::timeout(PATIENCE, handle.unpark(order, what)).await.unwrap_or(Err(NotTaken::Unknown))
}
