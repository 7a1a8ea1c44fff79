//! Forwards a service's journal to its topic: in order, without gaps, at least once.
//!
//! One process at a time does it for a journal, under a lease. How far it has come is a cursor in the service's own
//! store: everything up to it is acknowledged by all in-sync replicas. Whatever goes wrong, it begins again there.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use cartwright_core::{
    domain::{ids::OrderId, order::Order},
    events,
    failpoint::Failpoint,
    ports::{Clock, Headers, JournalRow, PAGE_BYTES, Store, StoreError, Stored},
};
use cartwright_store::postgres::{PostgresStore, Scope};
use futures_util::FutureExt as _;
use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _, PurgeConfig},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Health, Kafka, MESSAGE_TIMEOUT,
    forms::{Forms, OURS},
    health::Watched,
    topics,
};
use crate::{
    bus::{lanes, progress},
    telemetry::metrics,
};

/// The name under which a store keeps how far its journal is forwarded.
pub const CURSOR: &str = "kafka";

/// What it is called among a journal's readers.
pub const READER: &str = "relay";

/// Journal rows read at once.
const PAGE: usize = 1_024;
/// Of so many of them at once the orders are looked at, where something is to be said elsewhere: records can be large.
const ORDERS: usize = 64;
/// Messages that may wait for their acknowledgement.
const MAX_UNDER_WAY: usize = 16_384;
/// How often it is noted how far it has come: after a crash, so much is sent again.
const NOTE_EVERY: Duration = Duration::from_millis(200);
/// How often it is told how much is unsent.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How long it waits for what is on its way when it is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long it rests after a failure.
const REST: Duration = Duration::from_millis(500);

/// A journal, and what it takes to forward it.
pub struct Relay {
    /// The brokers.
    pub kafka: Kafka,
    /// The topic's short name.
    pub topic: &'static str,
    /// Whose journal it is.
    pub store: Arc<PostgresStore>,
    /// Rings when it has grown.
    pub head: watch::Receiver<u64>,
    /// What is said of its events on topics of others, if anything is.
    pub forms: Option<Arc<dyn Forms>>,
    /// Names this process.
    pub holder: Uuid,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where it notes whether the brokers answer.
    pub health: Health,
}

/// A lease that is held: its epoch, and whether its holder before may not know yet.
type Held = Option<(i64, bool)>;

impl Relay {
    /// Forwards whenever the lease is held here, until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let (to, held) = watch::channel(Held::None);
        let over = CancellationToken::new();
        let hold = |leases: &[cartwright_store::postgres::Lease]| {
            let now = leases.first().map(|lease| (lease.epoch, lease.taken_over));
            to.send_if_modified(|held| {
                let changed = held.map(|(epoch, _)| epoch) != now.map(|(epoch, _)| epoch);
                if changed {
                    *held = now;
                }
                changed
            });
        };
        let keep = lanes::keep(&self.store, Scope::Relay, self.holder, 1, hold, over.clone());
        let forward = async {
            self.forward_while_held(held, &stop).await;
            over.cancel(); // only now may somebody else have it
        };
        tokio::join!(keep, forward);
    }

    async fn forward_while_held(&self, mut held: watch::Receiver<Held>, stop: &CancellationToken) {
        let _ = topics::ready(&self.kafka, &self.health, stop).await; // also while another process has the lease
        loop {
            let taken_over = tokio::select! {
                () = stop.cancelled() => return,
                held = held.wait_for(Option::is_some) => match held.ok().and_then(|held| *held) {
                    Some((_, taken_over)) => taken_over,
                    None => return,
                },
            };
            let work = async {
                if taken_over {
                    // What the one before still had to send has been given up by then.
                    stop.run_until_cancelled(tokio::time::sleep(MESSAGE_TIMEOUT)).await;
                }
                self.forward(stop).await;
            };
            tokio::select! {
                _ = held.changed() => tracing::info!(topic = self.topic, "another process forwards this journal"),
                () = work => {}
                () = self.tell_for_ever() => {}
            }
            metrics::unsent(self.topic, 0, Duration::ZERO); // for others to tell now
        }
    }

    /// Tells how much is not acknowledged, and since when, also while nothing can be sent.
    async fn tell_for_ever(&self) {
        loop {
            match self.unsent().await {
                Ok((events, age)) => metrics::unsent(self.topic, events, age),
                Err(error) => tracing::debug!(topic = self.topic, %error, "can't look what is unsent"),
            }
            tokio::time::sleep(TELL_EVERY).await;
        }
    }

    async fn unsent(&self) -> Result<(u64, Duration), StoreError> {
        let acknowledged = self.acknowledged().await?;
        let unsent = self.store.stats().await?.head.saturating_sub(acknowledged);
        let oldest = self.store.journal(acknowledged, 1).await?.pop();
        let event = oldest.and_then(|row| events::decode(&row.message.value).ok());
        let age = event.map_or(Duration::ZERO, |event| self.clock.now().since(event.occurred_at));
        Ok((unsent, if unsent == 0 { Duration::ZERO } else { age }))
    }

    /// Up to where everything is acknowledged, as the store knows it.
    async fn acknowledged(&self) -> Result<u64, StoreError> {
        progress::read(&*self.store, CURSOR).await
    }

    /// Until told to stop; begins again after every failure.
    async fn forward(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let missing = topics::ready(&self.kafka, &self.health, stop).await;
            let sent = async {
                let mut sending = Sending::begin(self, missing).await?;
                match stop.run_until_cancelled(sending.run()).await {
                    Some(fell) => fell,
                    None => sending.finish().await,
                }
            };
            if let Err(error) = sent.await {
                tracing::warn!(topic = self.topic, %error, "forwarding begins again behind what is acknowledged");
                stop.run_until_cancelled(tokio::time::sleep(REST)).await;
            }
        }
    }
}

/// Why forwarding stopped.
#[derive(Debug, thiserror::Error)]
enum Fall {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("the producer is gone")]
    Gone,
}

/// One go at it, from the cursor on. Dropped, it sends nothing more.
struct Sending<'a> {
    relay: &'a Relay,
    producer: FutureProducer<Watched>,
    head: watch::Receiver<u64>,
    name: String,
    /// Topics of others that are not there.
    missing: Vec<String>,
    /// Everything up to here is acknowledged.
    acknowledged: u64,
    /// The same, as the store knows it.
    noted: (u64, Instant),
    /// Everything up to here is on its way.
    sent: u64,
    under_way: VecDeque<UnderWay>,
}

/// A message on its way.
struct UnderWay {
    /// Once it is acknowledged, so is everything up to here.
    position: u64,
    /// What comes of it.
    sent: DeliveryFuture,
    /// Whether we can do without it.
    dispensable: bool,
}

impl<'a> Sending<'a> {
    async fn begin(relay: &'a Relay, missing: Vec<String>) -> Result<Self, Fall> {
        let acknowledged = relay.acknowledged().await?;
        let producer = relay
            .kafka
            .client()
            .set("enable.idempotence", "true") // and so acks=all
            .set("message.timeout.ms", MESSAGE_TIMEOUT.as_millis().to_string())
            .set("partitioner", "consistent_random")
            .set("linger.ms", "1") // what comes together comes from the journal in one go
            .set("queue.buffering.max.messages", (2 * MAX_UNDER_WAY).to_string())
            .create_with_context(Watched::by(relay.health.clone()))?;
        Ok(Self {
            relay,
            producer,
            head: relay.head.clone(),
            name: relay.kafka.topic(relay.topic),
            missing,
            acknowledged,
            noted: (acknowledged, Instant::now()),
            sent: acknowledged,
            under_way: VecDeque::new(),
        })
    }

    async fn run(&mut self) -> Result<(), Fall> {
        let mut more = true;
        loop {
            let room = self.under_way.len() < MAX_UNDER_WAY;
            if more && room {
                more = self.send_page().await?;
            }
            while let Some(heard) = self.heard().now_or_never() {
                heard?;
            }
            if self.noted.1.elapsed() >= NOTE_EVERY {
                self.note().await?;
            }
            if !more || !room {
                more |= self.wait(room).await?;
            }
        }
    }

    /// Sends the next rows; `true` if there may be more.
    async fn send_page(&mut self) -> Result<bool, Fall> {
        self.head.borrow_and_update();
        let rows = self.relay.store.journal(self.sent, PAGE).await?;
        // A page ends at its rows or at its bytes.
        let bytes: usize = rows.iter().map(|row| row.message.value.len()).sum();
        let more = rows.len() == PAGE || bytes >= PAGE_BYTES;
        let mut rows = rows.into_iter();
        loop {
            let some: Vec<JournalRow> = rows.by_ref().take(ORDERS).collect();
            if some.is_empty() {
                return Ok(more);
            }
            let orders = self.orders_of_dialects(&some).await?;
            for row in some {
                // Before the event itself: once that is acknowledged, so is everything that is said of it.
                if let Some(order) = orders.get(&row.message.key) {
                    self.say(&row, order).await?;
                }
                self.send(row).await?;
            }
        }
    }

    /// The orders of which something is to be said on topics of others.
    async fn orders_of_dialects(&self, rows: &[JournalRow]) -> Result<HashMap<OrderId, Order>, StoreError> {
        if self.relay.forms.is_none() {
            return Ok(HashMap::new());
        }
        let theirs = rows.iter().filter(|row| row.message.headers.get(events::DIALECT).is_some());
        let ids: BTreeSet<OrderId> = theirs.map(|row| row.message.key.clone()).collect();
        let ids: Vec<OrderId> = ids.into_iter().collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let stored = self.relay.store.load(&ids).await?;
        let read = |(id, stored): (OrderId, Stored)| match serde_json::from_slice(&stored.record?) {
            Ok(order) => Some((id, order)),
            Err(error) => {
                tracing::error!(order = %id, %error, "the record can't be read: its neighbours hear nothing");
                None
            }
        };
        Ok(ids.into_iter().zip(stored).filter_map(read).collect())
    }

    /// Says on topics of others what a row is about.
    async fn say(&mut self, row: &JournalRow, order: &Order) -> Result<(), Fall> {
        let Some(forms) = &self.relay.forms else { return Ok(()) };
        let said = match events::decode(&row.message.value) {
            Ok(event) => forms.messages(&event, order),
            Err(_) => vec![], // `cartwright verify` tells of it
        };
        for message in said {
            if self.missing.contains(&message.topic) {
                continue;
            }
            let key = row.message.key.as_str();
            // By this we know our own words again, should we ever listen there.
            let from = Header { key: OURS.0, value: Some(OURS.1) };
            let headers = owned(&message.headers).insert(from);
            let record =
                FutureRecord::to(&message.topic).key(key).payload(&message.value[..]).headers(headers);
            let dispensable = self.relay.kafka.others.contains(&message.topic);
            match self.put(record, self.sent, dispensable).await {
                Err(Fall::Kafka(error)) if dispensable && is_final(&error) => skipped(&error),
                put => put?,
            }
        }
        Ok(())
    }

    /// Notes how far it has come, for the next one not to send it again.
    async fn finish(&mut self) -> Result<(), Fall> {
        let all_heard = async {
            while !self.under_way.is_empty() {
                self.heard().await?;
            }
            Ok::<(), Fall>(())
        };
        if let Ok(heard) = tokio::time::timeout(LAST_WORDS, all_heard).await {
            heard?;
        }
        self.note().await
    }

    /// Until there is more to send (and room for it), or to hear, or to note; `true` if the journal has grown.
    async fn wait(&mut self, room: bool) -> Result<bool, Fall> {
        let note = self.noted.0 < self.acknowledged;
        let mut head = self.head.clone();
        tokio::select! {
            heard = self.heard() => heard.map(|()| false),
            changed = head.changed(), if room => changed.map(|()| true).map_err(|_| Fall::Gone),
            () = tokio::time::sleep(NOTE_EVERY), if note => Ok(false),
        }
    }

    /// Waits until the oldest message on its way is acknowledged; for ever, if there is none.
    async fn heard(&mut self) -> Result<(), Fall> {
        let Some(first) = self.under_way.front_mut() else { return std::future::pending().await };
        match (&mut first.sent).await.map_err(|_| Fall::Gone)? {
            Ok(_) => {}
            Err((error, _)) if first.dispensable && is_final(&error) => skipped(&error),
            Err((error, _)) => return Err(error.into()),
        }
        self.acknowledged = first.position;
        self.under_way.pop_front();
        Ok(())
    }

    async fn send(&mut self, row: JournalRow) -> Result<(), Fall> {
        let message = row.message;
        let name = self.name.clone();
        let record = FutureRecord::to(&name)
            .key(message.key.as_str())
            .payload(&message.value[..])
            .headers(owned(&message.headers));
        self.put(record, row.position, false).await?;
        self.sent = row.position;
        Ok(())
    }

    /// Puts a message on its way; once it is acknowledged, so is everything up to `position`.
    async fn put(
        &mut self,
        record: FutureRecord<'_, str, [u8]>,
        position: u64,
        dispensable: bool,
    ) -> Result<(), Fall> {
        let mut record = record;
        loop {
            match self.producer.send_result(record) {
                Ok(sent) => {
                    self.under_way.push_back(UnderWay { position, sent, dispensable });
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                    record = again;
                    self.heard().await?;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    async fn note(&mut self) -> Result<(), Fall> {
        if self.noted.0 < self.acknowledged {
            Failpoint::RelaySent.reach(self.relay.topic);
            progress::note(&*self.relay.store, CURSOR, self.acknowledged).await?;
            Failpoint::RelayNoted.reach(self.relay.topic);
        }
        self.noted = (self.acknowledged, Instant::now());
        Ok(())
    }
}

/// Whether the same message will be refused for ever.
fn is_final(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        InvalidMessage, MessageSizeTooLarge, PolicyViolation, TopicAuthorizationFailed, UnknownTopic,
        UnknownTopicOrPartition,
    };
    let code = error.rdkafka_error_code();
    code.is_some_and(|code| {
        [
            InvalidMessage,
            MessageSizeTooLarge,
            PolicyViolation,
            TopicAuthorizationFailed,
            UnknownTopic,
            UnknownTopicOrPartition,
        ]
        .contains(&code)
    })
}

/// A topic of an older system must not keep our own events from anybody.
fn skipped(error: &KafkaError) {
    tracing::error!(%error, "a topic of an older system does not take what is said there: it is left out");
}

/// Headers as the client wants them.
fn owned(headers: &Headers) -> OwnedHeaders {
    let all = OwnedHeaders::new_with_capacity(16);
    headers.iter().fold(all, |all, (key, value)| all.insert(Header { key, value: Some(value) }))
}

impl Drop for Sending<'_> {
    /// Whoever takes over must not be disturbed by what we had still to send.
    fn drop(&mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }
}
