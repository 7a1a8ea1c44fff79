//! Follows the orders' events beside a load: how long orders take from created to shipped, and which are final.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cartwright_core::domain::time::Timestamp;
use hdrhistogram::Histogram;
use serde::Deserialize;
use tokio::sync::{Semaphore, oneshot};

use super::{
    super::{
        api::{Api, ApiError},
        ids::CompactId,
        style::Paint,
    },
    Failure, MAX_LATENCY_US,
};

/// Events asked for at once, and what is asked for where that is too much.
const PAGE: usize = 1_000;
const SMALL_PAGE: usize = 200;

/// Orders on their way that are measured; more than these are counted, not measured.
const MAX_MEASURED: usize = 1_000_000;

/// Final orders that are remembered until their own answer has come.
const MAX_EARLY: usize = 65_536;

/// How long to wait when there was nothing new, and when the server did not answer.
const QUIET_PAUSE: Duration = Duration::from_millis(5);
const ERROR_PAUSE: Duration = Duration::from_millis(200);

/// Lets only so many orders be placed and not final.
pub struct InFlight {
    free: Semaphore,
    orders: Mutex<OrdersInFlight>,
}

struct OrdersInFlight {
    last_change: Instant,
    placed: HashSet<CompactId>,
    /// Final before their answer came to us; or somebody else's, so only the newest are kept.
    early: HashSet<CompactId>,
    early_order: VecDeque<CompactId>,
}

impl InFlight {
    pub fn new(orders: usize) -> Self {
        let orders_in_flight = OrdersInFlight {
            last_change: Instant::now(),
            placed: HashSet::new(),
            early: HashSet::new(),
            early_order: VecDeque::new(),
        };
        Self { free: Semaphore::new(orders), orders: Mutex::new(orders_in_flight) }
    }

    /// Waits until there is room for one more. `None`: it is over.
    pub async fn admit(&self) -> Option<()> {
        self.free.acquire().await.ok()?.forget();
        Some(())
    }

    /// Gives back room that was not needed.
    pub fn hand_back(&self) {
        self.free.add_permits(1);
    }

    /// Since when nothing has come or gone.
    pub fn idle_for(&self) -> Duration {
        lock(&self.orders).last_change.elapsed()
    }

    pub fn placed(&self, id: &str) {
        let id = CompactId::from(id);
        let mut orders = lock(&self.orders);
        orders.last_change = Instant::now();
        if orders.early.remove(&id) {
            self.free.add_permits(1);
        } else {
            orders.placed.insert(id);
        }
    }

    pub fn stop(&self) {
        self.free.close();
    }

    fn finished(&self, id: CompactId) {
        let mut orders = lock(&self.orders);
        if orders.placed.remove(&id) {
            orders.last_change = Instant::now();
            self.free.add_permits(1);
            return;
        }
        if orders.early.insert(id.clone()) {
            orders.early_order.push_back(id);
        }
        if orders.early_order.len() > MAX_EARLY
            && let Some(oldest) = orders.early_order.pop_front()
        {
            orders.early.remove(&oldest);
        }
    }
}

/// What the events told.
pub struct Followed {
    /// Orders shipped or completed.
    pub shipped: u64,
    /// From created to shipped, in microseconds.
    pub latencies: Histogram<u64>,
    finished: u64,
    first_created: Option<Timestamp>,
    last_shipped: Option<Timestamp>,
    last_event: Instant,
    on_their_way: HashMap<CompactId, OnItsWay>,
}

struct OnItsWay {
    created: Timestamp,
    shipped: bool,
}

impl Followed {
    pub fn new() -> Result<Self, Failure> {
        Ok(Self {
            shipped: 0,
            latencies: Histogram::new_with_max(MAX_LATENCY_US, 3)
                .map_err(|error| Failure::Local(error.to_string()))?,
            finished: 0,
            first_created: None,
            last_shipped: None,
            last_event: Instant::now(),
            on_their_way: HashMap::new(),
        })
    }

    /// From the first order created to the last one shipped.
    pub fn seconds(&self) -> f64 {
        match (self.first_created, self.last_shipped) {
            (Some(first), Some(last)) => last.since(first).as_secs_f64(),
            _ => 0.0,
        }
    }

    fn apply(&mut self, event: &FeedEvent<'_>) {
        let id = CompactId::from(event.payload.order_id.as_ref());
        if event.event_type == "OrderCreatedV1" {
            self.last_event = Instant::now();
            self.first_created.get_or_insert(event.occurred_at);
            if self.on_their_way.len() < MAX_MEASURED {
                let order = OnItsWay { created: event.occurred_at, shipped: false };
                self.on_their_way.entry(id).or_insert(order);
            }
            return;
        }
        let Some(order) = self.on_their_way.get_mut(&id) else { return };
        self.last_event = Instant::now();
        let shipped = event.payload.milestone.as_deref() == Some("shipped");
        if !order.shipped && (shipped || event.event_type == "OrderCompletedV1") {
            order.shipped = true;
            self.shipped += 1;
            self.last_shipped = self.last_shipped.max(Some(event.occurred_at));
            let took = event.occurred_at.since(order.created).as_micros();
            self.latencies.saturating_record(u64::try_from(took).unwrap_or(u64::MAX));
        }
        if event.is_final() {
            self.finished += 1;
            self.on_their_way.remove(&id);
        }
    }
}

/// A thread that reads the feed: parsing it must not hold up the senders.
pub struct Follower {
    followed: Arc<Mutex<Followed>>,
    stopped: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Follower {
    /// Begins behind the newest event.
    pub async fn start(server: String, in_flight: Option<Arc<InFlight>>) -> Result<Self, Failure> {
        let followed = Arc::new(Mutex::new(Followed::new()?));
        let stopped = Arc::new(AtomicBool::new(false));
        let (ready, started) = oneshot::channel();
        let (shared, stop) = (followed.clone(), stopped.clone());
        let work = async move {
            let mut feed = match Feed::open(server).await {
                Ok(feed) => feed,
                Err(error) => return drop(ready.send(Err(error))),
            };
            // Whoever started us waits for this.
            let _ = ready.send(Ok(()));
            let result = feed.follow(&shared, in_flight.as_deref(), &stop).await;
            if let Err(error) = result {
                error.report();
                if let Some(in_flight) = &in_flight {
                    in_flight.stop();
                }
            }
        };
        let local = |error: std::io::Error| Failure::Local(error.to_string());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(local)?;
        let thread = std::thread::Builder::new()
            .name("follow".into())
            .spawn(move || runtime.block_on(work))
            .map_err(local)?;
        match started.await {
            Ok(Ok(())) => Ok(Self { followed, stopped, thread }),
            Ok(Err(error)) => Err(Failure::Refused(format!(
                "the orders' events can't be followed: {}",
                error.text(&Paint::stderr())
            ))),
            Err(_) => Err(Failure::Local("the thread that follows events died".into())),
        }
    }

    /// Waits until as many orders are final as were placed, or `patience` has passed without an event.
    pub async fn finish(self, placed: u64, patience: Duration) -> Arc<Mutex<Followed>> {
        loop {
            {
                let followed = lock(&self.followed);
                if followed.finished >= placed || followed.last_event.elapsed() >= patience {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.stopped.store(true, Ordering::Relaxed);
        // A panic over there has been reported by the panic hook.
        let _ = self.thread.join();
        self.followed
    }
}

struct Feed {
    api: Api,
    after: Option<String>,
    page: usize,
}

#[derive(Deserialize)]
struct FeedPage<'a> {
    #[serde(borrow)]
    events: Vec<FeedEvent<'a>>,
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeedEvent<'a> {
    #[serde(borrow)]
    event_type: Cow<'a, str>,
    occurred_at: Timestamp,
    #[serde(borrow, default)]
    payload: FeedPayload<'a>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeedPayload<'a> {
    #[serde(borrow, default)]
    order_id: Cow<'a, str>,
    #[serde(borrow, default)]
    milestone: Option<Cow<'a, str>>,
}

impl FeedEvent<'_> {
    fn is_final(&self) -> bool {
        matches!(self.event_type.as_ref(), "OrderCompletedV1" | "OrderFailedV1" | "OrderCancelledV1")
    }
}

impl Feed {
    async fn open(server: String) -> Result<Self, ApiError> {
        let mut feed = Self { api: Api::new(server)?, after: Some("latest".into()), page: PAGE };
        let body = match feed.next().await {
            Ok(body) => body,
            // A server without "latest": walk there.
            Err(error) if error.status().is_some() => {
                feed.after = None;
                feed.next().await?
            }
            Err(error) => return Err(error),
        };
        let mut page: FeedPage<'_> = feed.api.read(&body)?;
        feed.after = page.next.take();
        let mut full = page.events.len() >= feed.page;
        while full {
            let body = feed.next().await?;
            let page: FeedPage<'_> = feed.api.read(&body)?;
            full = page.events.len() >= feed.page;
            feed.after = page.next.or(feed.after);
        }
        Ok(feed)
    }

    async fn follow(
        &mut self,
        followed: &Mutex<Followed>,
        in_flight: Option<&InFlight>,
        stop: &AtomicBool,
    ) -> Result<(), ApiError> {
        while !stop.load(Ordering::Relaxed) {
            let body = match self.next().await {
                Ok(body) => body,
                // Refusals stay; everything else passes with the server's restart.
                Err(error) if error.status().is_some_and(|status| status < 429) => return Err(error),
                Err(_) => {
                    tokio::time::sleep(ERROR_PAUSE).await;
                    continue;
                }
            };
            let page: FeedPage<'_> = self.api.read(&body)?;
            {
                let mut followed = lock(followed);
                page.events.iter().for_each(|event| followed.apply(event));
            }
            if let Some(in_flight) = in_flight {
                for event in page.events.iter().filter(|event| event.is_final()) {
                    in_flight.finished(CompactId::from(event.payload.order_id.as_ref()));
                }
            }
            if page.events.len() < self.page / 2 {
                tokio::time::sleep(QUIET_PAUSE).await;
            }
            if let Some(next) = page.next {
                self.after = Some(next);
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<hyper::body::Bytes, ApiError> {
        match self.ask().await {
            Err(error) if error.status() == Some(400) && self.page > SMALL_PAGE => {
                self.page = SMALL_PAGE;
                self.ask().await
            }
            answer => answer,
        }
    }

    async fn ask(&self) -> Result<hyper::body::Bytes, ApiError> {
        let mut query = vec![("topic", "orders".to_owned()), ("limit", self.page.to_string())];
        query.extend(self.after.clone().map(|after| ("after", after)));
        self.api.get_bytes("/v1/events", &query).await
    }
}

/// What the lock guards is whole between any two statements, so a panic elsewhere does not spoil it.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(event_type: &str, id: &str, us: i64, milestone: &str) -> String {
        let at = Timestamp::from_micros(1_700_000_000_000_000 + us);
        format!(
            r#"{{"eventId":"x","eventType":"{event_type}","occurredAt":"{at}","sequence":1,
                 "payload":{{"orderId":"{id}","version":1,"status":"open","milestone":"{milestone}"}}}}"#
        )
    }

    #[test]
    fn an_order_is_measured_once_from_created_to_shipped() {
        let mut followed = Followed::new().unwrap();
        let events = [
            event("OrderProgressedV1", "before-us", 0, "shipped"),
            event("OrderCreatedV1", "a", 0, "created"),
            event("OrderCreatedV1", "b", 0, "created"),
            event("OrderProgressedV1", "a", 5_000, "authorized"),
            event("OrderProgressedV1", "a", 10_000, "shipped"),
            event("OrderCompletedV1", "a", 11_000, "shipped"),
            event("OrderFailedV1", "b", 20_000, "created"),
        ];
        for event in &events {
            followed.apply(&serde_json::from_str(event).unwrap());
        }
        assert_eq!((followed.shipped, followed.finished), (1, 2));
        assert!(followed.on_their_way.is_empty());
        assert!((9_990..=10_010).contains(&followed.latencies.max()));
        assert!((followed.seconds() - 0.010).abs() < 1e-9);
    }

    #[tokio::test]
    async fn room_comes_back_whichever_is_first_the_answer_or_the_end() {
        let in_flight = InFlight::new(2);
        in_flight.admit().await.unwrap();
        in_flight.admit().await.unwrap();
        in_flight.placed("a");
        in_flight.finished("a".into());
        in_flight.finished("b".into());
        in_flight.placed("b");
        in_flight.finished("somebody-elses".into());
        assert_eq!(in_flight.free.available_permits(), 2);
        in_flight.stop();
        assert!(in_flight.admit().await.is_none());
    }
}
