//! The bus over Apache Kafka: the [`relay`] forwards journals to topics, the [`consumer`] reads topics for a service.
//!
//! Nothing here decides anything about orders. A topic holds what a journal holds, in its order for each key, at least
//! once; how far a group has read is kept by Kafka, after the service's store has it.

pub mod consumer;
pub mod forms;
mod health;
pub mod relay;
pub mod topics;

use std::{sync::Arc, time::Duration};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

pub use self::health::Health;

/// How long a message may wait for its acknowledgement; then it is given up, and the relay begins again behind the last
/// one that was acknowledged. Whoever takes over from a relay that did not say good-bye waits this long.
pub const MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the brokers, and what is ours there.
#[derive(Clone)]
pub struct Kafka {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// What the topics' names begin with.
    pub topic_prefix: String,
    /// What the consumer groups' names begin with.
    pub group: String,
    /// The name of this process in its groups, if it is to keep its partitions while it restarts.
    pub instance: Option<String>,
    /// How long a member may be unheard before its partitions go to others.
    pub session_timeout: Duration,
    /// How topics are made; `None`: they are made by somebody else.
    pub create: Option<Create>,
    /// Topics of others that we use, by their whole names: they are made, too, but we can do without them.
    pub others: Vec<String>,
    /// Topics of others without which their orders go nowhere.
    pub needed_of_others: Vec<String>,
    /// librdkafka's own properties for encryption and authentication.
    pub security: Vec<(&'static str, String)>,
}

/// How topics are made.
#[derive(Clone, Copy, Debug)]
pub struct Create {
    /// Partitions of each.
    pub partitions: i32,
    /// On how many brokers each is kept; -1: as the brokers are set.
    pub replication: i32,
}

impl Kafka {
    /// The whole name of a topic: ours by their short names; those of others stand behind whose they are, as in
    /// `order-tracking/orders`: a slash is in no name of Kafka's.
    pub fn topic(&self, name: &str) -> String {
        match name.split_once('/') {
            Some((_, theirs)) => theirs.to_owned(),
            None => format!("{}.{name}.v1", self.topic_prefix),
        }
    }

    /// The whole names of all topics that must be there.
    fn needed(&self) -> Vec<String> {
        let ours = cartwright_core::events::TOPICS.iter().map(|topic| self.topic(topic));
        ours.chain(self.needed_of_others.iter().cloned()).chain(self.others.iter().cloned()).collect()
    }

    /// What all clients have in common.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // Otherwise it takes the level of a logger that we don't have, and keeps its errors to itself.
        config.set_log_level(RDKafkaLogLevel::Info);
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "cartwright")
            .set("statistics.interval.ms", health::LOOK.as_millis().to_string())
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000")
            // A topic that is made, or made again, is found soon.
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("allow.auto.create.topics", "false");
        for (name, value) in &self.security {
            config.set(*name, value);
        }
        config
    }
}

/// A topic of ours by its short name, as deliveries name it.
pub type Topic = Arc<str>;
