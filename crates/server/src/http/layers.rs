//! What surrounds every request: a time limit, counting, and an answer even if a handler panics.

use std::{any::Any, time::Duration};

use axum::{
    extract::{MatchedPath, Request},
    http::{Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};

use super::problem::Problem;
use crate::telemetry::metrics;

/// How long a request may take, its body's arrival included.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Limits a request's time and counts it.
pub async fn observe(request: Request, next: Next) -> Response {
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = tokio::time::timeout(TIME_LIMIT, next.run(request)).await.unwrap_or_else(|_| {
        Problem::unknown("the request took too long; whether it was done is unknown").into_response()
    });
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    metrics::request(method, route, response.status().as_u16());
    response
}

/// Anybody may invent a method; a metric of its own it does not get.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The answer when a handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the layer asks for this form")]
pub fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let what = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    tracing::error!(panic = what.unwrap_or("unknown"), "a handler panicked: please report this");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", "this is a bug of ours; the logs say more")
        .into_response()
}
