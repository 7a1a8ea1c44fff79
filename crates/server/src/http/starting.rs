//! What is answered while the system starts: that it does, and what it waits for.

use axum::{
    Json, Router,
    extract::Request,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::problem::Problem;

/// Answers everything with 503, but that the process runs. `waits_for`: what is not there yet.
pub fn router(waits_for: Option<&str>) -> Router {
    let why = waits_for.unwrap_or("starting").to_owned();
    Router::new().fallback(async move |request: Request| {
        let mut response = answer(request.uri().path(), &why);
        // So that the next request on this connection is answered by whoever answers then.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

fn answer(path: &str, why: &str) -> Response {
    match path {
        "/health/live" => Json(json!({"status": "ok", "components": {}})).into_response(),
        "/health/ready" => {
            let health = json!({"status": "failing", "components": {"start": why}});
            (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response()
        }
        _ => Problem::busy(format!("not ready yet: {why}"), 1).into_response(),
    }
}
