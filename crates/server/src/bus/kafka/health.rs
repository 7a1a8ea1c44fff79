//! Whether the brokers answer.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{ClientContext, Statistics, config::RDKafkaLogLevel, error::KafkaError};

/// How often clients look.
pub const LOOK: Duration = Duration::from_secs(2);

/// What is wrong with Kafka, as this process sees it. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Mutex<Option<String>>>);

impl Default for Health {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Some("connecting".to_owned()))))
    }
}

impl Health {
    /// What is wrong, if anything is.
    pub fn trouble(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that something is wrong, or nothing any more.
    pub fn note(&self, trouble: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Looks at what a client counts.
    pub fn look(&self, statistics: &Statistics) {
        let up = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.note((!up).then(|| "no broker answers".to_owned()));
    }
}

/// The context of clients that do nothing else with it.
#[derive(Clone, Default)]
pub struct Watched(pub Health);

impl ClientContext for Watched {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.look(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }
}

/// The client's own words: it tries again by itself, and what is wrong for long is seen in health.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(?level, facility, message, "kafka");
}
