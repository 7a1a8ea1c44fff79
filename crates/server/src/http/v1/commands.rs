//! Placing orders, and asking something of them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use axum::{
    body::{Body, Bytes},
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use cartwright_core::{
    domain::{
        ids::OrderId,
        order::{Actor, CancelReason, Milestone, OrderCommand},
    },
    services::{Answered, Ask, Request},
};
use uuid::Uuid;

use super::{
    Asked, CALLER, docs,
    headers::{self, PathId},
    place::read_order,
    view::OrderView,
};
use crate::{
    http::{
        Api,
        form::{Form, read_body},
        problem::Problem,
    },
    telemetry::metrics,
};

/// Characters of a note, at most.
const MAX_NOTE: usize = 1_000;

type Body_ = Result<Bytes, BytesRejection>;

/// Places an order. When it answers 201, the order is durable.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", request_body = docs::NewOrder,
    params(("Idempotency-Key" = Option<String>, Header, description = "Protects a new order from being placed twice, for ever.")),
    responses((status = 201, body = OrderView), (status = 400, body = Problem), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem), (status = 503, body = Problem)))]
pub async fn place(
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body_,
) -> Result<Response, Problem> {
    place_or_put(&api, &headers, body, None).await
}

/// Places an order under this id; answers 200 if it stands there identical.
#[utoipa::path(put, path = "/v1/orders/{id}", tag = "orders", request_body = docs::NewOrder,
    params(("id" = String, Path)),
    responses((status = 201, body = OrderView), (status = 200, body = OrderView), (status = 400, body = Problem),
        (status = 409, body = Problem), (status = 503, body = Problem)))]
pub async fn put(
    State(api): State<Arc<Api>>,
    id: PathId,
    headers: HeaderMap,
    body: Body_,
) -> Result<Response, Problem> {
    let id = headers::read_id(&id).map_err(|error| Problem::field("id", error.to_string()))?;
    place_or_put(&api, &headers, body, Some(&id)).await
}

/// Calls an order off: what was done is undone.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders", request_body = docs::Cancel,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = OrderView), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 412, body = Problem)))]
pub async fn cancel(
    State(api): State<Arc<Api>>,
    id: PathId,
    headers: HeaderMap,
    body: Body_,
) -> Result<Response, Problem> {
    let read = |form: &mut Form<'_>| {
        let reason = form.needed_word("reason", &CancelReason::ALL);
        let note = form.text("note", 0, MAX_NOTE);
        Some(OrderCommand::Cancel { reason: reason?, note })
    };
    change(&api, &id, &headers, headers::json_body(&headers, body), read).await
}

/// Holds back the next step; open steps finish.
#[utoipa::path(post, path = "/v1/orders/{id}/hold", tag = "orders", request_body = Option<docs::Note>,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = OrderView), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn hold(
    State(api): State<Arc<Api>>,
    id: PathId,
    headers: HeaderMap,
    body: Body_,
) -> Result<Response, Problem> {
    let read = |form: &mut Form<'_>| Some(OrderCommand::Hold { note: form.text("note", 0, MAX_NOTE) });
    change(&api, &id, &headers, headers::json_body(&headers, body).map(headers::or_empty), read).await
}

/// Lets an order on hold go on.
#[utoipa::path(post, path = "/v1/orders/{id}/release", tag = "orders", request_body = Option<docs::Note>,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = OrderView), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn release(
    State(api): State<Arc<Api>>,
    id: PathId,
    headers: HeaderMap,
    body: Body_,
) -> Result<Response, Problem> {
    let read = |form: &mut Form<'_>| Some(OrderCommand::Release { note: form.text("note", 0, MAX_NOTE) });
    change(&api, &id, &headers, headers::json_body(&headers, body).map(headers::or_empty), read).await
}

/// Sets the milestone of an order of the flow `manual`.
#[utoipa::path(patch, path = "/v1/orders/{id}", tag = "orders", request_body = docs::Patch,
    params(("id" = String, Path), ("If-Match" = Option<String>, Header), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = OrderView), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn patch(
    State(api): State<Arc<Api>>,
    id: PathId,
    headers: HeaderMap,
    body: Body_,
) -> Result<Response, Problem> {
    let words = Milestone::ALL.map(|milestone| (milestone.as_str(), milestone));
    let read = |form: &mut Form<'_>| form.needed_word("milestone", &words).map(OrderCommand::SetMilestone);
    change(&api, &id, &headers, headers::json_body(&headers, body), read).await
}

async fn place_or_put(
    api: &Api,
    headers: &HeaderMap,
    body: Body_,
    path_id: Option<&OrderId>,
) -> Result<Response, Problem> {
    let arrived = Instant::now();
    headers::no_if_match(headers)?;
    let key = headers::idempotency_key(headers)?;
    let body = headers::json_body(headers, body)?;
    let asked = Asked { caller: CALLER, key, path_id, scenarios: &api.scenarios };
    let order = read_order(&body, &asked, Uuid::now_v7)?;
    if !api.enough_disk.load(Ordering::Relaxed) {
        return Err(Problem::busy("the disk is nearly full: no new orders are taken", 30));
    }
    let answered = api.orders.ask(Ask::Place(order), body.len()).await??;
    metrics::accepted(arrived.elapsed());
    let status = if answered.created || answered.replayed { StatusCode::CREATED } else { StatusCode::OK };
    answer(status, &answered)
}

async fn change(
    api: &Api,
    id: &PathId,
    headers: &HeaderMap,
    body: Result<Bytes, Problem>,
    read: impl FnOnce(&mut Form<'_>) -> Option<OrderCommand>,
) -> Result<Response, Problem> {
    let order = headers::path_id(id)?;
    let expected = headers::if_match(headers)?;
    let key = headers::answer_key(headers, &order)?;
    let body = body?;
    let command = read_body(&body, read)?;
    let request = Request { order, command, actor: Actor::api(CALLER), key, expected };
    let answered = api.orders.ask(Ask::Change(request), body.len()).await??;
    answer(StatusCode::OK, &answered)
}

fn answer(status: StatusCode, answered: &Answered) -> Result<Response, Problem> {
    let order = &*answered.order;
    let mut response = Response::new(Body::from(OrderView::json(order)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Ok(tag) = HeaderValue::from_str(&headers::etag(order)) {
        headers.insert(header::ETAG, tag);
    }
    if status == StatusCode::CREATED {
        let place = format!("/v1/orders/{}", percent_encode(order.id.as_str()));
        if let Ok(place) = HeaderValue::from_str(&place) {
            headers.insert(header::LOCATION, place);
        }
    }
    if answered.replayed {
        headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// A path segment (RFC 3986): everything but unreserved characters is escaped.
fn percent_encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
