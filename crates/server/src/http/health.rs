//! Health and metrics.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Api;

/// A part whose state health shows.
pub struct Component {
    /// What it is called.
    pub name: String,
    /// Whether orders can't be taken without it.
    pub needed: bool,
    /// `None` while it is well, else what is wrong.
    pub check: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// How the system is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `failing`.
    status: &'static str,
    /// The identity of the system: the providers' ledger and files of answered orders name it, too.
    system: Uuid,
    /// Each part: `ok`, or what is wrong.
    components: BTreeMap<String, String>,
}

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(metrics))
}

/// Whether the process runs.
#[utoipa::path(get, path = "/health/live", tag = "operations", responses((status = 200, body = Health)))]
async fn live(State(api): State<Arc<Api>>) -> Json<Health> {
    Json(Health { status: "ok", system: api.about.system, components: BTreeMap::new() })
}

/// Whether it can take orders.
#[utoipa::path(get, path = "/health/ready", tag = "operations",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
async fn ready(State(api): State<Arc<Api>>) -> Response {
    let states: Vec<_> = api.components.iter().map(|component| (component, (component.check)())).collect();
    let well = states.iter().all(|(component, trouble)| !component.needed || trouble.is_none());
    let said = |trouble: Option<String>| trouble.unwrap_or_else(|| "ok".to_owned());
    let components = states.into_iter().map(|(part, trouble)| (part.name.clone(), said(trouble))).collect();
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = Health { status: if well { "ok" } else { "failing" }, system: api.about.system, components };
    (status, Json(health)).into_response()
}

/// The metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, content_type = "text/plain")))]
async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let text = api.metrics.as_ref().map(|metrics| metrics.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
