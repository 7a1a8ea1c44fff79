//! The search index: how far it is, and having it made anew.

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

use crate::{
    http::{Api, form::read_body, problem::Problem, v1::headers::json_body},
    search::{IndexState, Rebuilding, Search},
};

/// The search index.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct IndexView {
    /// Its name.
    #[schema(value_type = String)]
    name: Arc<str>,
    /// Whether this process is the one that keeps it.
    keeps: bool,
    /// Events of orders that are not in it yet.
    behind: u64,
    /// Orders that it did not take, since the start of this process: it holds them by their ids only, with the reason in
    /// `refused`.
    refused: u64,
    /// Why nothing gets on; null: it does.
    trouble: Option<String>,
    /// How far the making of a new one is.
    rebuild: RebuildView,
}

/// How far the making of a new index is.
#[derive(Default, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RebuildView {
    /// `none`, `asked`, `running`, `done` or `failed`.
    state: &'static str,
    /// Orders that are in the new index.
    done: u64,
    /// Orders that there are, or a little more.
    of: u64,
    /// How long it took.
    took_ms: Option<u64>,
    /// Why it failed.
    error: Option<String>,
}

/// What a rebuild takes: nothing.
#[derive(ToSchema)]
struct Rebuild {}

/// The routes with their documentation.
pub fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new().routes(routes!(show)).routes(routes!(rebuild))
}

/// How far the search index is. Ask a process with the role `indexer`.
#[utoipa::path(get, path = "/v1/admin/index", tag = "admin",
    responses((status = 200, body = IndexView), (status = 409, body = Problem)))]
async fn show(State(api): State<Arc<Api>>) -> Result<Json<IndexView>, Problem> {
    let (search, state) = kept(&api)?;
    Ok(Json(view(search, state)))
}

/// Has a new index made of the stores, which takes the old one's place. Searches are answered all the while. If one is
/// under way already, that is the one.
#[utoipa::path(post, path = "/v1/admin/index/rebuild", tag = "admin", request_body = Option<Rebuild>,
    responses((status = 202, body = IndexView), (status = 400, body = Problem), (status = 409, body = Problem)))]
async fn rebuild(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<IndexView>), Problem> {
    read_body(&json_body(&headers, body)?, |_| Some(()))?;
    let (search, state) = kept(&api)?;
    if !state.keeps() {
        let detail = "another process keeps the index at the moment: ask that one";
        return Err(Problem::new(StatusCode::CONFLICT, "not-here", detail));
    }
    if state.ask() {
        tracing::warn!("an operator has the index made anew");
    }
    Ok((StatusCode::ACCEPTED, Json(view(search, state))))
}

fn kept(api: &Api) -> Result<(&Search, &IndexState), Problem> {
    let kept = api.search.as_ref().and_then(|search| Some((search, &**search.state.as_ref()?)));
    kept.ok_or_else(|| {
        let detail = "this process does not keep the search index: ask one with the role indexer";
        Problem::new(StatusCode::CONFLICT, "not-here", detail)
    })
}

fn view(search: &Search, state: &IndexState) -> IndexView {
    let rebuild = match state.rebuilding() {
        Rebuilding::Not => RebuildView { state: "none", ..RebuildView::default() },
        Rebuilding::Asked => RebuildView { state: "asked", ..RebuildView::default() },
        Rebuilding::Under { done, of } => {
            RebuildView { state: "running", done, of, ..RebuildView::default() }
        }
        Rebuilding::Done { orders, took } => {
            let took_ms = u64::try_from(took.as_millis()).ok();
            RebuildView { state: "done", done: orders, of: orders, took_ms, error: None }
        }
        Rebuilding::Failed(error) => {
            RebuildView { state: "failed", error: Some(error), ..RebuildView::default() }
        }
    };
    IndexView {
        name: search.name.clone(),
        keeps: state.keeps(),
        behind: state.behind(),
        refused: state.refused(),
        trouble: state.trouble(),
        rebuild,
    }
}
