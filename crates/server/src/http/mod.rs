//! HTTP: extract, ask one service, map the answer. Handlers see ports, never adapters.

pub mod admin;
mod described;
pub mod dialects;
mod form;
mod health;
mod hear_out;
mod json;
mod layers;
pub mod problem;
mod search;
pub mod serve;
pub mod starting;
pub mod v1;

use std::sync::{Arc, atomic::AtomicBool};

use axum::{
    Router, extract::DefaultBodyLimit, http::StatusCode, middleware, response::Redirect, routing::get,
};
use cartwright_core::{
    ports::{Clock, Store},
    services::Orders,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use self::problem::Problem;
pub use self::{
    admin::{About, Simulated},
    dialects::settings as dialect_settings,
    health::{Component, KAFKA, State},
};
use crate::{
    control::{Controls, Scenarios},
    search::Search,
    workers::{inbox::Commands, operator::Handle, parked::Retries},
};

/// The largest body, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// What the handlers use.
pub struct Api {
    /// The orders service.
    pub orders: Commands<Orders>,
    /// Its store, for reading.
    pub store: Arc<dyn Store>,
    /// Every topic and whose journal it is.
    pub topics: Vec<(&'static str, Arc<dyn Store>)>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The running services, for operators.
    pub services: Vec<Handle>,
    /// Tries parked events again.
    pub retries: Retries,
    /// What health looks at.
    pub components: Vec<Component>,
    /// Whether there is room on the disk for new orders.
    pub enough_disk: Arc<AtomicBool>,
    /// What this system is.
    pub about: About,
    /// What operators change of the providers.
    pub controls: Controls,
    /// The scenarios that orders may ask for.
    pub scenarios: Scenarios,
    /// How the older systems are spoken for.
    pub dialects: dialect_settings::Settings,
    /// Where orders are searched, if they are here.
    pub search: Option<Search>,
    /// Renders the metrics.
    pub metrics: Option<PrometheusHandle>,
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cartwright",
        description = "Takes orders, has them paid and shipped, and shows at every moment where each one stands."
    ),
    tags((name = "orders"), (name = "events"), (name = "operations"), (name = "admin"))
)]
struct Docs;

/// Which calls a listener answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// All of them.
    All,
    /// All but the operator's.
    Public,
    /// The operator's, and those about the process.
    Admin,
    /// Those about the process only.
    Health,
}

/// The HTTP side of a listener, with the documentation of what it answers.
pub fn router(api: Arc<Api>, serves: Serves) -> Router {
    let state = api.clone();
    let (routes, mut openapi) = calls(serves).with_state(api).split_for_parts();
    described::complete(&mut openapi);
    let search = match serves {
        Serves::All | Serves::Public => search::under("/search").with_state(state.clone()),
        Serves::Admin | Serves::Health => Router::new(),
    };
    let dialects = match serves {
        Serves::All | Serves::Public => dialects::mounted(&state).with_state(state),
        Serves::Admin | Serves::Health => Router::new(),
    };
    let all = routes
        .merge(dialects)
        .merge(search)
        .route("/", get(async || Redirect::to("/docs")))
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi));
    dialects::in_any_case(surrounded(all))
}

/// What listens on a port of an older system, in place of it.
pub fn old_port(api: &Arc<Api>, port: dialects::OldPort) -> Router {
    port.in_any_case(surrounded(port.router(api).with_state(api.clone())))
}

/// What listens on the port of a search server, in place of one.
pub fn search_port(api: &Arc<Api>) -> Router {
    layered(search::routes().with_state(api.clone()))
}

/// What goes around every call, with the answer to calls that there are not.
fn surrounded(router: Router) -> Router {
    let router = router
        .fallback(async || {
            Problem::new(StatusCode::NOT_FOUND, "not-found", "there is nothing under this path")
        })
        .method_not_allowed_fallback(async || {
            let detail = "this path does not take this method; the Allow header names those it takes";
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
        });
    layered(router)
}

/// What goes around every call, the outermost first. In one layer: each one of a router boxes all that is in it, and
/// clones that for every request.
fn layered(router: Router) -> Router {
    router.layer((
        CatchPanicLayer::custom(layers::panicked),
        SetRequestIdLayer::x_request_id(MakeRequestUuid),
        PropagateRequestIdLayer::x_request_id(),
        middleware::from_fn(layers::observe),
        DefaultBodyLimit::max(MAX_BODY),
    ))
}

/// The OpenAPI document of everything.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut openapi = calls(Serves::All).split_for_parts().1;
    described::complete(&mut openapi);
    openapi
}

fn calls(serves: Serves) -> OpenApiRouter<Arc<Api>> {
    let calls = OpenApiRouter::with_openapi(Docs::openapi()).merge(health::routes());
    match serves {
        Serves::All => calls.merge(v1::routes()).merge(admin::routes()),
        Serves::Public => calls.merge(v1::routes()),
        Serves::Admin => calls.merge(admin::routes()),
        Serves::Health => calls,
    }
}
