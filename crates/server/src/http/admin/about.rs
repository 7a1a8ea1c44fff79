//! What this system is.

use std::sync::Arc;

use axum::{Json, extract::State};
use cartwright_core::domain::flow::FLOWS;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::http::Api;

/// What is known about the system when it starts.
#[derive(Clone, Debug)]
pub struct About {
    /// Its identity: made with its first store, and kept by everything that was made with it.
    pub system: Uuid,
    /// Which providers are simulated.
    pub simulated: Simulated,
}

/// Which providers are simulated: then no money moves, or nothing is shipped.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Simulated {
    /// The payment provider.
    pub payments: bool,
    /// The carrier.
    pub carrier: bool,
}

/// What this system is.
#[derive(Serialize, ToSchema)]
struct AboutView {
    /// Its identity. The providers' ledger and the files of answered orders name it, too.
    system: Uuid,
    /// The version of the program.
    version: &'static str,
    /// The flows that an order can have.
    flows: [&'static str; 5],
    /// Which providers are simulated.
    simulated: Simulated,
}

/// The routes with their documentation.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(about))
}

/// What this system is: its identity, its version, its flows, and whether its providers are simulated.
#[utoipa::path(get, path = "/v1/admin/about", tag = "admin", responses((status = 200, body = AboutView)))]
async fn about(State(api): State<Arc<Api>>) -> Json<AboutView> {
    let About { system, simulated } = api.about;
    Json(AboutView { system, version: env!("CARGO_PKG_VERSION"), flows: FLOWS, simulated })
}
