//! For whoever runs the system: what it holds, and what it is.

mod about;
mod topics;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;

pub use self::about::About;
use super::Api;

/// The routes with their documentation.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().merge(about::routes()).merge(topics::routes())
}
