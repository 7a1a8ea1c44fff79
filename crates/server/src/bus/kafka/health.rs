//! Whether the brokers answer.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rdkafka::{
    ClientContext, Statistics,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

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
pub struct Watched {
    health: Health,
    said: Arc<Mutex<Option<String>>>,
}

impl Watched {
    /// A client whose brokers' health is noted in `health`.
    pub fn by(health: Health) -> Self {
        Self { health, said: Arc::default() }
    }

    /// What the client last told as an error, in its own words: why a connection failed. It tells when it is polled.
    pub fn said(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Watched {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.health.look(&statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
        // That no broker is left says less than why they went, which came before.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Watched {}

/// The client's own words: it tries again by itself, and what is wrong for long is seen in health.
pub fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    tracing::debug!(?level, facility, message, "kafka");
}
