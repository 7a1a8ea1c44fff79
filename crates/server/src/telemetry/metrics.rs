//! The metrics, each named in one place.

use std::time::Duration;

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
const INPUTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// Starts collecting; the handle renders the Prometheus text. `None` if something else collects already, as in
/// tests that start several servers in one process.
pub fn start() -> Option<PrometheusHandle> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full(BATCH.into()), INPUTS))
        .ok()?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    describe_histogram!(ACCEPTANCE, Unit::Seconds, "From the arrival of a new order to its answer.");
    describe_histogram!(CREATED_TO_SHIPPED, Unit::Seconds, "From placed to shipped.");
    describe_histogram!(BATCH, "Inputs per batch, by service.");
    describe_gauge!(LAG, "Journal rows that a reader has not settled yet, by reader and topic.");
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

/// Sets how many orders are open.
pub fn open_orders(open: u64) {
    gauge!(OPEN_ORDERS).set(open as f64);
}
