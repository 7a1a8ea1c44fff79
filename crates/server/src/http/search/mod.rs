//! Orders as documents: the part of Elasticsearch's API that reads, on its own port and under `/search` of ours.
//!
//! * [`handlers`]: the calls. [`address`]: what stands in their addresses.
//! * [`form`]: answers and errors as Elasticsearch's clients expect them.
//!
//! What a search may hold, and what of it is refused, is decided in `cartwright-search`.

mod address;
mod form;
mod handlers;

use std::sync::Arc;

use axum::{Router, routing::get};

use self::handlers as call;
use super::Api;

/// The calls behind a prefix.
pub fn under(prefix: &str) -> Router<Arc<Api>> {
    // Clients that are given a path put a slash behind it.
    Router::new().nest(prefix, routes()).route(&format!("{prefix}/"), get(call::about))
}

/// The calls, as they are on a port of their own.
pub fn routes() -> Router<Arc<Api>> {
    Router::new()
        .route("/", get(call::about))
        .route("/_search", get(call::search).post(call::search))
        .route("/_count", get(call::count).post(call::count))
        .route("/_mapping", get(call::mapping_of_all))
        .route("/_cluster/health", get(call::health))
        .route("/{index}", get(call::index))
        .route("/{index}/_search", get(call::search).post(call::search))
        .route("/{index}/_count", get(call::count).post(call::count))
        .route("/{index}/_mapping", get(call::mapping))
        .route("/{index}/_doc/{id}", get(call::document))
        .route("/{index}/_source/{id}", get(call::source))
        .fallback(form::no_such_call)
        .method_not_allowed_fallback(form::no_such_method)
}
