//! Health and metrics.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, extract,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::Api;

/// The part that is Kafka.
pub const KAFKA: &str = "kafka";

/// A part whose state health shows.
pub struct Component {
    /// What it is called.
    pub name: String,
    /// How it is.
    pub check: Box<dyn Fn() -> State + Send + Sync>,
}

/// How a part is.
pub enum State {
    /// Well.
    Well,
    /// Well, but there is something to know: it is paused, say.
    Note(String),
    /// Not well, and why.
    Failing(String),
}

impl State {
    /// Well, unless something is wrong.
    pub fn unless(wrong: bool, why: &str) -> Self {
        if wrong { Self::Failing(why.to_owned()) } else { Self::Well }
    }
}

/// How the system is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `failing`.
    status: &'static str,
    /// The identity of the system: the providers' ledger and files of answered orders name it, too.
    system: Uuid,
    /// Each part: `ok`, what is wrong, or what else there is to know.
    components: BTreeMap<String, String>,
}

/// Whether every part is well.
pub fn is_well(api: &Api) -> bool {
    !api.components.iter().any(|component| matches!((component.check)(), State::Failing(_)))
}

/// Whether Kafka's brokers answer, if there are any.
pub fn broker_is_well(api: &Api) -> bool {
    let kafka = api.components.iter().find(|component| component.name == KAFKA);
    kafka.is_none_or(|kafka| matches!((kafka.check)(), State::Well))
}

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready)).routes(routes!(metrics))
}

/// Whether the process runs.
#[utoipa::path(get, path = "/health/live", tag = "operations", responses((status = 200, body = Health)))]
async fn live(extract::State(api): extract::State<Arc<Api>>) -> Json<Health> {
    Json(Health { status: "ok", system: api.about.system, components: BTreeMap::new() })
}

/// Whether it can take orders.
#[utoipa::path(get, path = "/health/ready", tag = "operations",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
async fn ready(extract::State(api): extract::State<Arc<Api>>) -> Response {
    let mut well = true;
    let mut components = BTreeMap::new();
    for component in &api.components {
        let says = match (component.check)() {
            State::Well => "ok".to_owned(),
            State::Note(note) => note,
            State::Failing(why) => {
                well = false;
                why
            }
        };
        components.insert(component.name.clone(), says);
    }
    let status = if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let health = Health { status: if well { "ok" } else { "failing" }, system: api.about.system, components };
    (status, Json(health)).into_response()
}

/// The metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operations", responses((status = 200, content_type = "text/plain")))]
async fn metrics(extract::State(api): extract::State<Arc<Api>>) -> impl IntoResponse {
    let text = api.metrics.as_ref().map(|metrics| metrics.render()).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
