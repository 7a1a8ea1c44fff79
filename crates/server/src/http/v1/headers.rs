//! The headers that `/v1` understands.

use axum::{
    body::Bytes,
    extract::{
        Path,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
};
use cartwright_core::{
    domain::{
        ids::{BadId, OrderId},
        order::Order,
    },
    ports::AnswerKey,
};

use super::CALLER;
use crate::http::{MAX_BODY, problem::Problem};

/// Characters of an `Idempotency-Key`, at most.
const MAX_KEY: usize = 255;

/// The `Idempotency-Key`, if there is one.
pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = the_one(headers, "Idempotency-Key")? else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=MAX_KEY).contains(&key.len()) => Ok(Some(key)),
        _ => {
            Err(Problem::field("Idempotency-Key", format!("must be 1 to {MAX_KEY} visible ASCII characters")))
        }
    }
}

/// The key of the answer to save for a command about an order.
pub fn answer_key(headers: &HeaderMap, order: &OrderId) -> Result<Option<AnswerKey>, Problem> {
    let key = idempotency_key(headers)?;
    Ok(key.map(|key| AnswerKey { order: order.clone(), caller: CALLER.to_owned(), key: key.to_owned() }))
}

/// The version in `If-Match`, if there is one; `*` matches any.
pub fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = the_one(headers, "If-Match")? else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    match text {
        "*" => Ok(None),
        tag => match tag.strip_prefix('"').and_then(|t| t.strip_suffix('"')).and_then(|t| t.parse().ok()) {
            Some(version) => Ok(Some(version)),
            None => Err(Problem::field("If-Match", "must be one ETag of this order, such as \"3\", or *")),
        },
    }
}

/// Placing never changes an order that is there, so there is no version that it could be meant for.
pub fn no_if_match(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key("If-Match") {
        false => Ok(()),
        true => Err(Problem::field(
            "If-Match",
            "has no meaning here: placing never changes an order that is there; leave it out, or use PATCH, cancel, hold \
             or release",
        )),
    }
}

/// The value of a header that may be given once: which of several would count is nobody's guess to make.
fn the_one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(Problem::field(name, "must be given once")),
    }
}

/// Whether the client has this version already.
pub fn not_modified(headers: &HeaderMap, order: &Order) -> bool {
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let current = etag(order);
    tags.flat_map(|list| list.split(',')).any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == current
    })
}

/// The ETag of an order: its version.
pub fn etag(order: &Order) -> String {
    format!("\"{}\"", order.version)
}

/// The id in a path, if its bytes are text at all.
pub type PathId = Result<Path<String>, PathRejection>;

/// The id of a path as an order's.
pub fn read_id(id: &PathId) -> Result<OrderId, BadId> {
    id.as_ref().map_err(|_| BadId).and_then(|id| OrderId::parse(id))
}

/// The id of an order that must exist.
pub fn path_id(id: &PathId) -> Result<OrderId, Problem> {
    read_id(id).map_err(|_| {
        Problem::new(StatusCode::NOT_FOUND, "no-such-order", "there is no order with such an id")
    })
}

/// The body, if it is JSON and not too large.
pub fn json_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || (essence.len() > 5 && essence.to_ascii_lowercase().ends_with("+json"));
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body-too-large",
            format!("the body is larger than {MAX_BODY} bytes"),
        ),
        _ => Problem::new(StatusCode::BAD_REQUEST, "body-unreadable", "the body did not arrive whole"),
    })?;
    let absent = body.is_empty() && kind.is_empty();
    if !is_json && !absent {
        let detail = "the body must be JSON, with the header Content-Type: application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", detail));
    }
    Ok(body)
}

/// A call whose body may be left out.
pub fn or_empty(body: Bytes) -> Bytes {
    if body.is_empty() { Bytes::from_static(b"{}") } else { body }
}
