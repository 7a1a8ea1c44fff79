//! The operator's side, `/v1/admin/…`: what is stuck and why, and what can be done about it.
//!
//! On the API's listener, or on one of its own (setting `admin.listen`). One file for each kind of thing, with a
//! `pub fn routes()`; [`routes`] names them all.

mod named;
mod providers;
mod simulated;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

use super::Api;

/// All calls of the operator's side, with their documentation.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().merge(providers::routes()).merge(simulated::routes())
}
