//! How the simulated providers behave.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::named::{Named, find};
use crate::{
    control::{BehaveError, Behaviour, BehaviourWish, Controls, Mode, Steering},
    http::{
        Api,
        form::{Form, read_body},
        problem::Problem,
        v1::headers::json_body,
    },
};

/// How both simulated providers behave; null for one that is real.
#[derive(Serialize, ToSchema)]
struct Simulated {
    /// Who takes the money.
    payments: Option<Behaviour>,
    /// Who carries the goods.
    carrier: Option<Behaviour>,
}

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, put))
}

/// How the simulated providers behave.
#[utoipa::path(get, path = "/v1/admin/simulated", tag = "admin", responses((status = 200, body = Simulated)))]
async fn list(State(api): State<Arc<Api>>) -> Json<Simulated> {
    let behaviour = |steering: &Option<Arc<dyn Steering>>| steering.as_ref().map(|it| it.behaviour());
    let Controls { payments, carrier } = &api.controls;
    Json(Simulated { payments: behaviour(&payments.simulated), carrier: behaviour(&carrier.simulated) })
}

/// How one simulated provider behaves.
#[utoipa::path(get, path = "/v1/admin/simulated/{provider}", tag = "admin",
    params(("provider" = String, Path, description = "`payments` or `carrier`")),
    responses((status = 200, body = Behaviour), (status = 404, body = Problem)))]
async fn get(State(api): State<Arc<Api>>, name: Named) -> Result<Json<Behaviour>, Problem> {
    Ok(Json(steering(&api, &name)?.behaviour()))
}

/// Makes a simulated provider behave otherwise, from the next call on, also after a restart. What is left out follows from the mode and the settings. An order's own scenario counts before all of it, but for the mode `down`.
#[utoipa::path(put, path = "/v1/admin/simulated/{provider}", tag = "admin", request_body = BehaviourWish,
    params(("provider" = String, Path, description = "`payments` or `carrier`")),
    responses((status = 200, body = Behaviour), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)))]
async fn put(
    State(api): State<Arc<Api>>,
    name: Named,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Behaviour>, Problem> {
    let steering = steering(&api, &name)?;
    let wish = read_body(&json_body(&headers, body)?, read_wish)?;
    let behaviour = steering.behave(wish).await.map_err(|error| match error {
        BehaveError::Wrong(why) => Problem::new(StatusCode::BAD_REQUEST, "invalid-behaviour", why),
        BehaveError::NotNoted(why) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-written", why),
    })?;
    Ok(Json(behaviour))
}

fn read_wish(form: &mut Form<'_>) -> Option<BehaviourWish> {
    /// An hour, in milliseconds.
    const MAX_LATENCY: i64 = 3_600_000;
    let mode = form.needed_word("mode", &Mode::ALL);
    let mut latency = |name| form.integer(name, 0, MAX_LATENCY).and_then(|ms| u64::try_from(ms).ok());
    let (latency_min_ms, latency_max_ms) = (latency("latencyMinMs"), latency("latencyMaxMs"));
    if let (Some(min), Some(max)) = (latency_min_ms, latency_max_ms)
        && min > max
    {
        form.bad("latencyMaxMs", "must be at least latencyMinMs");
    }
    let mut rate = |name| form.number(name, 0.0, 1.0, "a number between 0 and 1");
    let (failure_rate, decline_rate) = (rate("failureRate"), rate("declineRate"));
    let timeout_rate = rate("timeoutRate");
    Some(BehaviourWish {
        mode: mode?,
        latency_min_ms,
        latency_max_ms,
        failure_rate,
        decline_rate,
        timeout_rate,
    })
}

fn steering<'a>(api: &'a Api, name: &Named) -> Result<&'a dyn Steering, Problem> {
    let control = find(&api.controls, name)?;
    control.simulated.as_deref().ok_or_else(|| {
        let says = "this provider is not simulated (setting payments.provider or carrier.provider)";
        Problem::new(StatusCode::NOT_FOUND, "not-simulated", says)
    })
}
