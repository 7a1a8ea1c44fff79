//! `[kafka]`: where the brokers are, what is ours there, and who we are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Secret;
use crate::bus::kafka::{Create, Kafka};

/// `[kafka]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// Where they are; empty: there is no Kafka.
    pub brokers: String,
    /// What the topics' names begin with.
    pub topic_prefix: String,
    /// What the groups' names begin with.
    pub group: String,
    /// A lasting name of this process; empty: none.
    pub instance: String,
    /// Milliseconds.
    pub session_timeout_ms: u64,
    /// Whether missing topics are made.
    pub create_topics: bool,
    /// Partitions of topics that are made.
    pub partitions: i32,
    /// Brokers that keep each of them.
    pub replication_factor: i32,
    /// Whether connections are encrypted.
    pub tls: Tls,
    /// Whom we trust; empty: whom the system trusts.
    pub ca_file: String,
    /// How we say who we are.
    pub sasl: Sasl,
    /// Who we are.
    pub user: String,
    /// And the proof.
    pub password: Secret,
}

/// How connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Not at all.
    Off,
    /// With certificate and name checked.
    Verify,
}

/// How we say who we are (RFC 4422).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sasl {
    /// We don't.
    None,
    /// RFC 4616.
    Plain,
    /// RFC 5802 with SHA-256 (RFC 7677).
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// The same with SHA-512.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

impl KafkaSettings {
    /// The same for the clients.
    pub fn client(&self) -> Kafka {
        let create = Create { partitions: self.partitions, replication: self.replication_factor };
        Kafka {
            brokers: self.brokers.clone(),
            topic_prefix: self.topic_prefix.clone(),
            group: self.group.clone(),
            instance: Some(self.instance.clone()).filter(|instance| !instance.is_empty()),
            session_timeout: Duration::from_millis(self.session_timeout_ms),
            create: self.create_topics.then_some(create),
            others: vec![],
            needed_of_others: vec![],
            security: self.security(),
        }
    }

    /// In librdkafka's words.
    fn security(&self) -> Vec<(&'static str, String)> {
        let mechanism = match self.sasl {
            Sasl::None => None,
            Sasl::Plain => Some("PLAIN"),
            Sasl::ScramSha256 => Some("SCRAM-SHA-256"),
            Sasl::ScramSha512 => Some("SCRAM-SHA-512"),
        };
        let protocol = match (self.tls, mechanism) {
            (Tls::Off, None) => return vec![],
            (Tls::Off, Some(_)) => "sasl_plaintext",
            (Tls::Verify, None) => "ssl",
            (Tls::Verify, Some(_)) => "sasl_ssl",
        };
        let mut all = vec![("security.protocol", protocol.to_owned())];
        if self.tls == Tls::Verify {
            all.push(("enable.ssl.certificate.verification", "true".to_owned()));
            all.push(("ssl.endpoint.identification.algorithm", "https".to_owned()));
            let trusted = if self.ca_file.is_empty() { "probe" } else { &self.ca_file };
            all.push(("ssl.ca.location", trusted.to_owned()));
        }
        if let Some(mechanism) = mechanism {
            all.push(("sasl.mechanism", mechanism.to_owned()));
            all.push(("sasl.username", self.user.clone()));
            all.push(("sasl.password", self.password.expose().to_owned()));
        }
        all
    }
}
