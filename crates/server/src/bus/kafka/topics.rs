//! Our topics are made at the start, so that the first event of a fresh cluster waits for nothing.

use std::time::{Duration, Instant};

use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};
use tokio_util::sync::CancellationToken;

use super::{Create, Health, Kafka, health::Watched};
use crate::backoff::Backoff;

/// How long the brokers may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long they may take when they are asked what is wrong.
const ASKING: Duration = Duration::from_secs(2);
/// The first wait after a failure.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Waits until all our topics are there, and makes those that are missing if that is ours to do. What is there is taken
/// as it is. Of others' topics says which are missing all the same: nobody can be reading them.
pub async fn ready(kafka: &Kafka, health: &Health, stop: &CancellationToken) -> Vec<String> {
    let mut wait = Backoff::from(FIRST_WAIT);
    loop {
        let looked = async {
            match kafka.create {
                Some(create) => make(kafka, create).await,
                None => look(kafka).await,
            }
        };
        let error = tokio::select! {
            () = stop.cancelled() => return vec![],
            looked = looked => match looked {
                Ok(missing) => {
                    health.note(None);
                    for name in &missing {
                        tracing::warn!(topic = name, "this topic of an older system is missing: nothing is said there");
                    }
                    return missing;
                }
                Err(error) => error,
            },
        };
        let next = wait.next();
        tracing::warn!(%error, "waiting for Kafka's topics (settings [kafka]); next look in {next:?}");
        health.note(Some(error));
        tokio::select! {
            () = stop.cancelled() => return vec![],
            () = tokio::time::sleep(next) => {}
        }
    }
}

async fn make(kafka: &Kafka, create: Create) -> Result<Vec<String>, String> {
    let admin = admin(kafka).map_err(|error| error.to_string())?;
    let names = kafka.needed();
    let replicas = create.replication;
    let topic = |name| NewTopic::new(name, create.partitions, TopicReplication::Fixed(replicas));
    let topics: Vec<NewTopic<'_>> = names.iter().map(|name| topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
    let made = match admin.create_topics(&topics, &options).await {
        Ok(made) => made,
        Err(error) => return Err(unreachable(kafka, &error).await),
    };
    let mut refused = false;
    for result in made {
        match result {
            Ok(name) => tracing::info!(topic = name, partitions = create.partitions, "the topic was made"),
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            // Whoever may not make topics is refused for those that are there, too.
            Err((name, code)) => {
                tracing::warn!(topic = name, %code, "the topic can't be made");
                refused = true;
            }
        }
    }
    if refused { look(kafka).await } else { Ok(vec![]) }
}

async fn look(kafka: &Kafka) -> Result<Vec<String>, String> {
    let missing = missing(kafka).await?;
    match missing.iter().find(|name| !kafka.others.contains(name)) {
        Some(name) => Err(format!("the topic {name} is not there, and was not made (kafka.create_topics)")),
        None => Ok(missing),
    }
}

/// Which topics are not there.
///
/// # Errors
/// The brokers can't be reached, or refuse us: why.
pub async fn missing(kafka: &Kafka) -> Result<Vec<String>, String> {
    let asked = kafka.clone();
    let missing = tokio::task::spawn_blocking(move || {
        let admin = admin(&asked)?;
        let mut missing = Vec::new();
        for name in asked.needed() {
            let found = admin.inner().fetch_metadata(Some(&name), PATIENCE)?;
            if !found.topics().iter().any(|t| t.name() == name && !t.partitions().is_empty()) {
                missing.push(name);
            }
        }
        Ok(missing)
    });
    match missing.await {
        Ok(Ok(missing)) => Ok(missing),
        Ok(Err(error)) => Err(unreachable(kafka, &error).await),
        Err(error) => Err(error.to_string()),
    }
}

fn admin(kafka: &Kafka) -> KafkaResult<AdminClient<Watched>> {
    kafka.client().create_with_context(Watched::default())
}

async fn unreachable(kafka: &Kafka, error: &KafkaError) -> String {
    let why = why(kafka).await.map(|why| format!(": {why}")).unwrap_or_default();
    format!("the brokers can't be reached or refuse us: {error}{why}")
}

/// Why the brokers don't answer, in the words of a client that is asked for them; an admin client keeps them to itself.
async fn why(kafka: &Kafka) -> Option<String> {
    let client = kafka.client();
    let asked = tokio::task::spawn_blocking(move || {
        let context = Watched::default();
        let client: BaseConsumer<Watched> = client.create_with_context(context.clone()).ok()?;
        let _ = client.client().fetch_metadata(None, ASKING);
        let until = Instant::now() + ASKING;
        while context.said().is_none() && Instant::now() < until {
            client.poll(ASKING / 10);
        }
        context.said()
    });
    asked.await.ok().flatten()
}
