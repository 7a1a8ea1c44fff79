//! The metrics, each named in one place.

use std::time::Duration;

use cartwright_core::ports::Outcome;
pub use metrics::Gauge;
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::control::BreakerState;

/// Time from the arrival of a new order to its answer, in seconds.
pub const ACCEPTANCE: &str = "cartwright_acceptance_seconds";
/// Time from placed to shipped, in seconds.
pub const CREATED_TO_SHIPPED: &str = "cartwright_created_to_shipped_seconds";
/// Inputs per batch, by service.
pub const BATCH: &str = "cartwright_batch_inputs";
/// Journal rows that a reader has not settled yet, by reader and topic.
pub const LAG: &str = "cartwright_lag_events";
/// What a relay has still to do.
pub const UNSENT: &str = "cartwright_unsent_events";
/// Since when.
pub const OLDEST_UNSENT: &str = "cartwright_oldest_unsent_seconds";
/// News of orders that an older system's front refused for good, by dialect.
pub const UNTOLD: &str = "cartwright_untold_reports_total";
/// Orders that the search index did not take.
pub const UNINDEXED: &str = "cartwright_unindexed_orders_total";
/// How long the oldest journal row that a reader has not settled has been waiting, by reader and topic.
pub const OLDEST_UNREAD: &str = "cartwright_oldest_unread_seconds";
/// Orders that are open, by flow and by the step that is next for them.
pub const ORDERS_AT: &str = "cartwright_orders_at_step";
/// How long ago the oldest of them was placed.
pub const OLDEST_AT: &str = "cartwright_oldest_order_seconds";
/// Commits, by service and outcome.
pub const COMMITS: &str = "cartwright_commits_total";
/// How long a batch took to become durable, by service.
pub const STORE_WRITE: &str = "cartwright_store_write_seconds";
/// Whether a service's store can't be written.
pub const FAILING: &str = "cartwright_store_failing";
/// Whether a service takes nothing up.
pub const PAUSED: &str = "cartwright_service_paused";
/// Connections that are open, by listener.
pub const CONNECTIONS: &str = "cartwright_open_connections";
/// Free space for the data.
pub const DISK_FREE: &str = "cartwright_disk_free_bytes";
/// Which version runs.
pub const BUILD: &str = "cartwright_build_info";
/// Orders that are open.
pub const OPEN_ORDERS: &str = "cartwright_open_orders";
/// Events that are parked, by service.
pub const PARKED: &str = "cartwright_parked_events";
/// Tasks in the table, by service.
pub const TASKS: &str = "cartwright_tasks";
/// HTTP requests, by method, route and status.
pub const REQUESTS: &str = "cartwright_http_requests_total";
/// How long a call to a provider took, by provider, call and outcome.
pub const PROVIDER_CALL: &str = "cartwright_provider_call_seconds";
/// What a provider's circuit breaker lets through, by provider.
pub const BREAKER: &str = "cartwright_breaker_state";
/// Tries of tasks after their first, by service.
pub const RETRIES: &str = "cartwright_task_retries_total";

const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0];
const WRITES: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
const INPUTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Starts collecting; the handle renders the Prometheus text. `None` if something else collects already, as in
/// tests that start several servers in one process.
pub fn start() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(BATCH.into()), INPUTS))
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(STORE_WRITE.into()), WRITES))
        .ok()?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    describe_histogram!(ACCEPTANCE, Unit::Seconds, "From the arrival of a new order to its answer.");
    describe_histogram!(CREATED_TO_SHIPPED, Unit::Seconds, "From placed to shipped.");
    describe_histogram!(BATCH, "Inputs per batch, by service.");
    describe_gauge!(LAG, "Journal rows that a reader has not settled yet, by reader and topic.");
    describe_gauge!(UNSENT, "Journal rows that Kafka has not acknowledged yet, by topic.");
    describe_gauge!(OLDEST_UNSENT, Unit::Seconds, "How long the oldest event that was not sent has waited.");
    describe_counter!(UNTOLD, "News of orders that an older system's front refused for good, by dialect.");
    describe_counter!(
        UNINDEXED,
        "Orders that the search index holds by their ids only, since it did not take them."
    );
    describe_gauge!(OPEN_ORDERS, "Orders that are open.");
    describe_gauge!(PARKED, "Events that are parked, by service.");
    describe_gauge!(TASKS, "Tasks in the table, by service.");
    describe_counter!(REQUESTS, "HTTP requests, by method, route and status.");
    describe_histogram!(
        PROVIDER_CALL,
        Unit::Seconds,
        "How long a call to a provider took, by provider, call and outcome (done, refused, pending, unknown)."
    );
    describe_gauge!(
        BREAKER,
        "What a provider's circuit breaker lets through: 0 everything, 1 a single call to see, 2 nothing."
    );
    describe_counter!(RETRIES, "Tries of tasks after their first, by service.");
    describe_gauge!(
        OLDEST_UNREAD,
        Unit::Seconds,
        "How long a reader's oldest unsettled journal row has been waiting."
    );
    describe_gauge!(ORDERS_AT, "Orders that are open, by flow and by the step that is next for them.");
    describe_gauge!(OLDEST_AT, Unit::Seconds, "How long ago the oldest of these orders was placed.");
    describe_counter!(COMMITS, "Commits, by service and outcome (committed, conflict, taken, failed).");
    describe_histogram!(STORE_WRITE, Unit::Seconds, "How long a batch took to become durable, by service.");
    describe_gauge!(FAILING, "Whether a service's store can't be written: 0 or 1.");
    describe_gauge!(PAUSED, "Whether a service takes nothing up: 0 or 1.");
    describe_gauge!(CONNECTIONS, "Connections that are open, by listener.");
    describe_gauge!(DISK_FREE, Unit::Bytes, "Free space for the data.");
    describe_gauge!(BUILD, "Always 1; the label says which version runs.");
    gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Some(handle)
}

/// A provider's answer is there, or nobody waits for it any more.
pub fn provider_call(provider: &'static str, call: &'static str, outcome: &'static str, took: Duration) {
    histogram!(PROVIDER_CALL, "provider" => provider, "call" => call, "outcome" => outcome).record(took);
}

/// Sets what a provider's circuit breaker lets through.
pub fn breaker(provider: &'static str, state: BreakerState) {
    let value = match state {
        BreakerState::Closed => 0.0,
        BreakerState::HalfOpen => 1.0,
        BreakerState::Open => 2.0,
    };
    gauge!(BREAKER, "provider" => provider).set(value);
}

/// A task is tried again.
pub fn retry(service: &'static str) {
    counter!(RETRIES, "service" => service).increment(1);
}

/// A batch was taken.
pub fn batch(service: &'static str, inputs: usize) {
    histogram!(BATCH, "service" => service).record(inputs as f64);
}

/// The logic measured something.
pub fn observe(what: &'static str, took: Duration) {
    if what == cartwright_core::services::CREATED_TO_SHIPPED {
        histogram!(CREATED_TO_SHIPPED).record(took);
    }
}

/// A new order was answered.
pub fn accepted(took: Duration) {
    histogram!(ACCEPTANCE).record(took);
}

/// A request was answered.
pub fn request(method: &'static str, route: &str, status: u16) {
    counter!(REQUESTS, "method" => method, "route" => route.to_owned(), "status" => status.to_string())
        .increment(1);
}

/// Sets the gauges of a service.
pub fn service(service: &'static str, tasks: u64, parked: u64) {
    gauge!(TASKS, "service" => service).set(tasks as f64);
    gauge!(PARKED, "service" => service).set(parked as f64);
}

/// Sets how far a reader is behind.
pub fn lag(reader: &'static str, topic: String, rows: u64) {
    gauge!(LAG, "reader" => reader, "topic" => topic).set(rows as f64);
}

/// Sets how much of a journal Kafka has not acknowledged, and how long the oldest event that was not sent has waited.
pub fn unsent(topic: &'static str, rows: u64, oldest: Duration) {
    gauge!(UNSENT, "topic" => topic).set(rows as f64);
    gauge!(OLDEST_UNSENT, "topic" => topic).set(oldest.as_secs_f64());
}

/// Counts news of an order that an older system's front refused for good.
pub fn left_untold(dialect: &'static str) {
    counter!(UNTOLD, "dialect" => dialect).increment(1);
}

/// Counts orders that the search index did not take; none is counted, too, so that the metric is there.
pub fn unindexed(orders: u64) {
    counter!(UNINDEXED).increment(orders);
}

/// Sets how long the event that a reader reads next has been waiting.
pub fn oldest_unread(reader: &'static str, topic: String, oldest: Duration) {
    gauge!(OLDEST_UNREAD, "reader" => reader, "topic" => topic).set(oldest.as_secs_f64());
}

/// Sets how many orders are open at a step of a flow, and for how long the oldest is.
pub fn orders_at(flow: &str, step: &'static str, orders: u64, oldest: Duration) {
    gauge!(ORDERS_AT, "flow" => flow.to_owned(), "step" => step).set(orders as f64);
    gauge!(OLDEST_AT, "flow" => flow.to_owned(), "step" => step).set(oldest.as_secs_f64());
}

/// A batch was written, or not (`None`).
pub fn written(service: &'static str, outcomes: Option<&[Outcome]>, took: Duration) {
    histogram!(STORE_WRITE, "service" => service).record(took);
    let Some(outcomes) = outcomes else {
        return counter!(COMMITS, "service" => service, "outcome" => "failed").increment(1);
    };
    let [mut committed, mut conflict, mut taken] = [0; 3];
    for outcome in outcomes {
        match outcome {
            Outcome::Committed { .. } => committed += 1,
            Outcome::Conflict => conflict += 1,
            Outcome::Taken { .. } => taken += 1,
        }
    }
    for (word, count) in [("committed", committed), ("conflict", conflict), ("taken", taken)] {
        if count > 0 {
            counter!(COMMITS, "service" => service, "outcome" => word).increment(count);
        }
    }
}

/// Sets whether a service is paused, and whether its store can't be written.
pub fn condition(service: &'static str, paused: bool, failing: bool) {
    gauge!(PAUSED, "service" => service).set(if paused { 1.0 } else { 0.0 });
    gauge!(FAILING, "service" => service).set(if failing { 1.0 } else { 0.0 });
}

/// Connections of a listener.
pub fn connections(listener: &'static str) -> Gauge {
    gauge!(CONNECTIONS, "listener" => listener)
}

/// Sets how much room there is for the data.
pub fn disk_free(bytes: u64) {
    gauge!(DISK_FREE).set(bytes as f64);
}

/// Sets how many orders are open.
pub fn open_orders(open: u64) {
    gauge!(OPEN_ORDERS).set(open as f64);
}
