//! The services: how they are, and whether they take work up.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Path, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    http::{Api, form::read_body, problem::Problem, v1::headers::json_body},
    workers::operator::Handle,
};

pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(change))
}

/// The services.
#[derive(Serialize, ToSchema)]
struct ServiceList {
    /// Each of them.
    services: Vec<ServiceView>,
}

/// A service.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ServiceView {
    /// Its name.
    name: &'static str,
    /// Whether it takes nothing up: requests wait in its topic, and no call is begun.
    paused: bool,
    /// Whether its store can't be written at present.
    failing: bool,
    /// Tasks in its table.
    tasks: u64,
    /// Events that it could not apply.
    parked: u64,
    /// Topics that it reads.
    reads: Vec<ReadView>,
}

/// How far a service has read a topic.
#[derive(Serialize, ToSchema)]
struct ReadView {
    /// The topic.
    topic: String,
    /// Events that it has not handled yet.
    behind: u64,
}

/// What can be changed of a service.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the documentation; requests are read by Form")]
struct ServiceChange {
    /// Whether it takes nothing up. Until it is changed again, or the process ends: then the setting `workers.paused` counts.
    paused: bool,
}

/// How the services are.
#[utoipa::path(get, path = "/v1/admin/services", tag = "admin", responses((status = 200, body = ServiceList)))]
async fn list(State(api): State<Arc<Api>>) -> Result<Json<ServiceList>, Problem> {
    let mut services = Vec::with_capacity(api.services.len());
    for handle in &api.services {
        services.push(view(&api, handle).await?);
    }
    Ok(Json(ServiceList { services }))
}

/// Pauses payments or fulfillment, or has them go on. What is under way is finished.
#[utoipa::path(put, path = "/v1/admin/services/{name}", tag = "admin", request_body = ServiceChange,
    params(("name" = String, Path, description = "payments or fulfillment")),
    responses((status = 200, body = ServiceView), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem)))]
async fn change(
    State(api): State<Arc<Api>>,
    name: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<ServiceView>, Problem> {
    let none = || {
        let here: Vec<&str> = api.services.iter().map(|handle| handle.name).collect();
        let detail = format!(
            "no such service runs in this process, which has {}: ask a process that has it",
            if here.is_empty() { "none".to_owned() } else { here.join(", ") }
        );
        Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
    };
    let Path(name) = name.map_err(|_| none())?;
    let handle = api.services.iter().find(|handle| handle.name == name).ok_or_else(none)?;
    let paused = read_body(&json_body(&headers, body)?, |form| form.needed_flag("paused"))?;
    let Some(pause) = &handle.paused else {
        let detail = "orders takes commands and can't be paused: payments and fulfillment can";
        return Err(Problem::new(StatusCode::CONFLICT, "not-now", detail));
    };
    if pause.send_replace(paused) != paused {
        tracing::warn!(service = handle.name, paused, "an operator changed whether it takes work up");
    }
    Ok(Json(view(&api, handle).await?))
}

async fn view(api: &Api, handle: &Handle) -> Result<ServiceView, Problem> {
    let stats = handle.store.stats().await?;
    let mut reads = Vec::new();
    for (topic, position) in handle.read_up_to().await? {
        let Some((_, of)) = api.topics.iter().find(|(name, _)| **name == *topic) else { continue };
        let behind = match handle.state.is_behind(&topic) {
            Some(behind) => behind,
            None => of.stats().await?.head.saturating_sub(position),
        };
        reads.push(ReadView { topic: topic.to_string(), behind });
    }
    Ok(ServiceView {
        name: handle.name,
        paused: handle.is_paused(),
        failing: handle.state.is_failing(),
        tasks: stats.tasks,
        parked: stats.parked,
        reads,
    })
}
