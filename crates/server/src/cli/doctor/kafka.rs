//! The brokers, and the topics that a start needs.

use super::Check;
use crate::bus::kafka::{Kafka, topics};

/// Looks whether the brokers answer, and at the topics.
pub async fn check(kafka: &Kafka) -> Check {
    let brokers = &kafka.brokers;
    match topics::missing(kafka).await {
        Ok(missing) if missing.is_empty() => {
            Check::ok("kafka", format!("{brokers} answers, and has all topics"))
        }
        Ok(missing) if kafka.create.is_some() => {
            Check::ok("kafka", format!("{brokers} answers; the start makes {} topics", missing.len()))
        }
        Ok(missing) => {
            let found = format!("{brokers} answers, and lacks the topics {}", missing.join(", "));
            Check::fail("kafka", found, "make them, or let the start make them: kafka.create_topics = true")
        }
        Err(error) => {
            let advice = "check the settings [kafka], and whether a broker runs there; orders are taken \
                meanwhile, and nobody works on them";
            Check::fail("kafka", format!("{brokers}: {error}"), advice)
        }
    }
}
