//! The operator's side, `/v1/admin/…`: what the system is and holds, what is stuck and why, and what can be done about it.
//!
//! On the API's listener, or on one of its own (setting `admin.listen`). One file for each kind of thing, with a
//! `pub fn routes()`; [`routes`] names them all.

mod about;
mod index;
mod named;
mod parked;
mod providers;
mod query;
mod services;
mod simulated;
mod topics;
mod waiting;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

pub use self::about::{About, Simulated};
use super::Api;

/// All calls of the operator's side, with their documentation.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .merge(about::routes())
        .merge(index::routes())
        .merge(parked::routes())
        .merge(providers::routes())
        .merge(services::routes())
        .merge(simulated::routes())
        .merge(topics::routes())
        .merge(waiting::routes())
}
