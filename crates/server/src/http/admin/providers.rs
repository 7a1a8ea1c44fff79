//! Whether the providers are called, and how fast.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::HeaderMap,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::named::{Named, find};
use crate::{
    control::{Controls, MAX_RATE, ProviderState, SwitchWish},
    http::{Api, form::read_body, problem::Problem, v1::headers::json_body},
};

/// The slowest rate that a provider may be limited to, in calls per second: one in an hour.
const MIN_RATE: f64 = 1.0 / 3_600.0;

/// How both providers stand.
#[derive(Serialize, ToSchema)]
struct Providers {
    /// Who takes the money.
    payments: ProviderState,
    /// Who carries the goods.
    carrier: ProviderState,
}

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put))
}

/// How the providers stand: what they are, whether they are called, how fast, and whether they answer.
#[utoipa::path(get, path = "/v1/admin/providers", tag = "admin", responses((status = 200, body = Providers)))]
async fn list(State(api): State<Arc<Api>>) -> Json<Providers> {
    let Controls { payments, carrier } = &api.controls;
    Json(Providers { payments: payments.switch.state(), carrier: carrier.switch.state() })
}

/// How one provider stands.
#[utoipa::path(get, path = "/v1/admin/providers/{provider}", tag = "admin",
    params(("provider" = String, Path, description = "`payments` or `carrier`")),
    responses((status = 200, body = ProviderState), (status = 404, body = Problem)))]
async fn get(State(api): State<Arc<Api>>, name: Named) -> Result<Json<ProviderState>, Problem> {
    Ok(Json(find(&api.controls, &name)?.switch.state()))
}

/// Switches a provider off, on, or on at a rate. Off, orders are taken as ever and their calls wait, which uses up neither
/// tries nor their deadline; calls under way end. It lasts, also over a restart.
#[utoipa::path(put, path = "/v1/admin/providers/{provider}", tag = "admin", request_body = SwitchWish,
    params(("provider" = String, Path, description = "`payments` or `carrier`")),
    responses((status = 200, body = ProviderState), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)))]
async fn put(
    State(api): State<Arc<Api>>,
    name: Named,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ProviderState>, Problem> {
    let control = find(&api.controls, &name)?;
    let wish = read_body(&json_body(&headers, body)?, |form| {
        let enabled = form.needed_flag("enabled");
        let stated = form.has("rate");
        let must = format!(
            "a number of calls per second, more than 0 (at least 0.00028, one in an hour) and at most {MAX_RATE}; null: \
             no limit; left out: as before. 0 is refused: \"enabled\": false lets no call through"
        );
        let rate = form.number("rate", MIN_RATE, MAX_RATE, &must);
        Some(SwitchWish { enabled: enabled?, rate: stated.then_some(rate) })
    })?;
    match control.switch.set(wish).await {
        Ok(state) => Ok(Json(state)),
        Err(error) => {
            tracing::error!(error, "the switch could not be written; it stays as it was");
            Err(Problem::busy(format!("it could not be made durable and stays as it was: {error}"), 5))
        }
    }
}
