//! Reads topics for a service, on a thread of its own, as a member of the service's consumer group.
//!
//! An offset is stored once everything before it is settled in the service's store; Kafka commits what is stored. After
//! a batch that was not written, reading begins anew behind what is settled. So an event is delivered at least once, and
//! those of a partition in their order.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use cartwright_core::{
    domain::ids::derive_uuid,
    failpoint::Failpoint,
    ports::{Delivery, Headers, Origin},
};
use rdkafka::{
    ClientContext, Message as _, Offset, Statistics, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext, Rebalance},
    error::{KafkaError, KafkaResult},
    message::{BorrowedMessage, Headers as _},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Health, Kafka, Topic, health, topics};
use crate::{
    bus::journal::{Paused, Read},
    telemetry::metrics,
    workers::{inbox::Deliveries, service::ServiceState},
};

/// How long the thread waits for a message, or for room, before it looks at everything else.
const POLL: Duration = Duration::from_millis(50);
/// How often it is looked again for room in the inbox, and after what time each,
const PATIENCE: u32 = 250;
/// before partitions are paused: what was read ahead of them has to be read again.
const NAP: Duration = Duration::from_millis(2);
/// How long the store may fail before others had better read.
const HOPELESS: Duration = Duration::from_secs(10);
/// How long the brokers may take to let us read from elsewhere.
const SEEK: Duration = Duration::from_secs(5);

/// What is read for whom.
pub struct Reader {
    /// The service.
    pub service: &'static str,
    /// The topics, by their short names.
    pub topics: Vec<Topic>,
    /// Begins anew whenever this changes.
    pub reading: watch::Receiver<u64>,
    /// What the service has settled, batch by batch.
    pub settled: mpsc::UnboundedReceiver<Vec<Origin>>,
    /// Rests meanwhile.
    pub paused: Paused,
    /// Where deliveries go.
    pub to: Deliveries,
    /// Where it notes how far it is behind.
    pub state: Arc<ServiceState>,
    /// Where it notes whether the brokers answer.
    pub health: Health,
}

/// Reads until told to stop.
pub async fn follow(kafka: Kafka, reader: Reader, stop: CancellationToken) {
    topics::ready(&kafka, &reader.health, &stop).await;
    if stop.is_cancelled() {
        return;
    }
    // The thread ends with this future, also when that is dropped.
    let over = stop.child_token();
    let _guard = over.clone().drop_guard();
    let (ended, end) = oneshot::channel();
    let health = reader.health.clone();
    let thread = std::thread::Builder::new().name(format!("read-{}", reader.service)).spawn(move || {
        match Reading::begin(&kafka, reader) {
            Ok(reading) => reading.run(&over),
            Err(error) => {
                tracing::error!(%error, "the consumer can't be made: check the settings [kafka]");
                health.note(Some(error.to_string()));
            }
        }
        let _ = ended.send(()); // nobody waits for it any more
    });
    match thread {
        Ok(_) => assert!(end.await.is_ok(), "the thread that reads from Kafka panicked"),
        Err(error) => tracing::error!(%error, "no thread can be had to read from Kafka"),
    }
}

/// A partition by its topic's short name.
type Place = (Topic, i32);

/// A partition that was read from.
struct Partition {
    /// The first offset that is not settled.
    settled: i64,
}

struct Reading {
    consumer: BaseConsumer<Watch>,
    names: BTreeMap<String, Topic>,
    incarnations: BTreeMap<Topic, Uuid>,
    reader: Reader,
    /// The reading that deliveries belong to now.
    number: u64,
    places: BTreeMap<Place, Partition>,
    /// What has been read and found no room yet.
    waiting: VecDeque<Read>,
    /// Whether we asked for no more until there is room, or until we are told to go on.
    resting: bool,
    /// Since when the store fails.
    failing_since: Option<Instant>,
    /// Whether we have left the group for that.
    away: bool,
}

impl Reading {
    fn begin(kafka: &Kafka, reader: Reader) -> KafkaResult<Self> {
        let watch = Watch {
            service: reader.service,
            names: reader.topics.iter().map(|topic| (kafka.topic(topic), topic.clone())).collect(),
            gone: Mutex::default(),
            state: reader.state.clone(),
            health: reader.health.clone(),
        };
        let names = watch.names.clone();
        let mut config = kafka.client();
        config
            .set("group.id", format!("{}.{}", kafka.group, reader.service))
            .set("session.timeout.ms", kafka.session_timeout.as_millis().to_string())
            .set("heartbeat.interval.ms", (kafka.session_timeout.as_millis() / 4).to_string())
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("group.protocol", "classic")
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100")
            // So much is read ahead at most; one message is read however large it is.
            .set("queued.max.messages.kbytes", "16384")
            .set("queued.min.messages", "5000");
        if let Some(instance) = &kafka.instance {
            config.set("group.instance.id", format!("{instance}.{}", reader.service));
        }
        let consumer: BaseConsumer<Watch> = config.create_with_context(watch)?;
        let cluster = consumer.client().fetch_cluster_id(SEEK).unwrap_or_default();
        let incarnations = names
            .iter()
            .map(|(name, topic)| (topic.clone(), derive_uuid("topic", &[&cluster, name])))
            .collect();
        subscribe(&consumer, &names)?;
        let number = *reader.reading.borrow();
        Ok(Self {
            consumer,
            names,
            incarnations,
            reader,
            number,
            places: BTreeMap::new(),
            waiting: VecDeque::new(),
            resting: false,
            failing_since: None,
            away: false,
        })
    }

    fn run(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            self.note_settled();
            self.come_or_go();
            self.begin_anew();
            self.hand_on(stop);
            let rests = !self.waiting.is_empty() || *self.reader.paused.borrow();
            self.rest(rests);
            // Also while it rests: whoever does not poll is taken for dead.
            let polled = self.consumer.poll(POLL);
            let read = match polled {
                None => None,
                Some(Ok(message)) => self.read(&message),
                Some(Err(error)) => {
                    tracing::debug!(service = self.reader.service, %error, "can't read from Kafka; trying again");
                    None
                }
            };
            self.forget_gone();
            if let Some(read) = read {
                let Origin { source, lane, position } = &read.delivery.origin;
                let begun = Partition { settled: position.cast_signed() };
                self.places.entry((source.clone(), lane.cast_signed())).or_insert(begun);
                self.waiting.push_back(read);
            }
        }
        self.note_settled();
    }

    /// A process whose store fails for long leaves its partitions to others, whose stores may be well, and comes back once
    /// its own is. It would go on reading for ever what it can't write, and nobody else could.
    fn come_or_go(&mut self) {
        if !self.reader.state.is_failing() {
            self.failing_since = None;
            if self.away {
                match subscribe(&self.consumer, &self.names) {
                    Ok(()) => self.away = false,
                    Err(error) => tracing::warn!(%error, "can't read again; trying again"),
                }
            }
            return;
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if !self.away && since.elapsed() >= HOPELESS {
            tracing::warn!(
                service = self.reader.service,
                "its store has failed for long: others may read instead"
            );
            self.consumer.unsubscribe();
            self.waiting.clear();
            self.places.clear();
            self.away = true;
        }
    }

    fn read(&self, message: &BorrowedMessage<'_>) -> Option<Read> {
        let topic = self.names.get(message.topic())?;
        let mut headers = Vec::new();
        if let Some(all) = message.headers() {
            headers.extend(all.iter().map(|header| (header.key, header.value.unwrap_or_default())));
        }
        let delivery = Delivery {
            origin: Origin {
                source: topic.clone(),
                lane: message.partition().cast_unsigned(),
                position: message.offset().cast_unsigned(),
            },
            incarnation: self.incarnations.get(topic).copied().unwrap_or_default(),
            key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
            headers: Headers::from_iter(headers),
            value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        };
        Some(Read { reading: self.number, delivery })
    }

    /// Hands on what waits, as far as there is room, for which it waits a little.
    fn hand_on(&mut self, stop: &CancellationToken) {
        let mut patience = PATIENCE;
        while let Some(read) = self.waiting.pop_front() {
            if *self.reader.paused.borrow() {
                return self.waiting.push_front(read);
            }
            if let Err(read) = self.reader.to.try_send(read) {
                self.waiting.push_front(read);
                patience = patience.saturating_sub(1);
                if patience == 0 || stop.is_cancelled() {
                    return;
                }
                std::thread::sleep(NAP);
            }
        }
    }

    /// Stores the offsets of what is settled.
    fn note_settled(&mut self) {
        let mut ends = BTreeMap::new();
        while let Ok(origins) = self.reader.settled.try_recv() {
            for Origin { source, lane, position } in origins {
                ends.insert((source, lane.cast_signed()), position.cast_signed() + 1);
            }
        }
        if !ends.is_empty() {
            Failpoint::OffsetsBehind.reach(self.reader.service);
        }
        for (place, end) in ends {
            let Some(partition) = self.places.get_mut(&place) else { continue }; // somebody else's by now
            partition.settled = end;
            let name = self.name(&place.0);
            if let Err(error) = self.consumer.store_offset(name, place.1, end - 1) {
                tracing::debug!(topic = name, partition = place.1, %error, "the offset is not stored");
            }
        }
    }

    /// After a batch that was not written: back to what is settled.
    fn begin_anew(&mut self) {
        let number = *self.reader.reading.borrow();
        if number == self.number {
            return;
        }
        let mut back = TopicPartitionList::new();
        for ((topic, partition), place) in &self.places {
            let offset = Offset::Offset(place.settled);
            if let Err(error) = back.add_partition_offset(self.name(topic), *partition, offset) {
                tracing::warn!(%error, %topic, partition, "can't read anew");
            }
        }
        match self.consumer.seek_partitions(back, SEEK) {
            Ok(_) => {
                self.waiting.clear();
                self.number = number;
            }
            Err(error) => tracing::warn!(%error, "can't read anew; trying again"),
        }
    }

    /// Asks for no more, or for more again.
    fn rest(&mut self, rests: bool) {
        if !rests && !self.resting {
            return;
        }
        // Again each time while it rests: partitions may have come since.
        let assigned = self.consumer.assignment();
        let asked = assigned
            .and_then(|all| if rests { self.consumer.pause(&all) } else { self.consumer.resume(&all) });
        match asked {
            Ok(()) => self.resting = rests,
            Err(error) => tracing::debug!(%error, "can't pause or resume reading"),
        }
    }

    /// Forgets partitions that were taken from us.
    fn forget_gone(&mut self) {
        let gone = self.consumer.context().take_gone();
        for place in gone {
            self.places.remove(&place);
            self.waiting.retain(|read| {
                let origin = &read.delivery.origin;
                (&origin.source, origin.lane.cast_signed()) != (&place.0, place.1)
            });
        }
    }

    fn name(&self, topic: &Topic) -> &str {
        self.names.iter().find(|(_, short)| *short == topic).map_or("", |(name, _)| name)
    }
}

/// Joins the group, for all topics.
fn subscribe(consumer: &BaseConsumer<Watch>, names: &BTreeMap<String, Topic>) -> KafkaResult<()> {
    let topics: Vec<&str> = names.keys().map(String::as_str).collect();
    consumer.subscribe(&topics)
}

/// Hears what the client tells by itself.
struct Watch {
    service: &'static str,
    names: BTreeMap<String, Topic>,
    gone: Mutex<Vec<Place>>,
    state: Arc<ServiceState>,
    health: Health,
}

impl Watch {
    fn take_gone(&self) -> Vec<Place> {
        std::mem::take(&mut *self.gone.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        health::log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.health.look(&statistics);
        for (name, topic) in &self.names {
            let Some(counted) = statistics.topics.get(name) else { continue };
            let behind = counted
                .partitions
                .values()
                .map(|partition| partition.consumer_lag_stored.max(0))
                .sum::<i64>();
            self.state.behind(topic, behind.cast_unsigned());
            metrics::lag(self.service, topic.to_string(), behind.cast_unsigned());
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(service = self.service, %error, reason, "kafka");
    }
}

impl ConsumerContext for Watch {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
            for element in list.elements() {
                if let Some(topic) = self.names.get(element.topic()) {
                    gone.push((topic.clone(), element.partition()));
                }
            }
        }
        tracing::debug!(service = self.service, ?rebalance, "partitions go from one process to another");
    }
}
