//! Answers and errors as Elasticsearch's clients expect them.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use cartwright_search::{Error, Found, query::Wrong};
use serde_json::{Map, Value, json};

/// By this header the official clients know that they speak with Elasticsearch.
const PRODUCT: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-elastic-product"), HeaderValue::from_static("Elasticsearch"));
/// The media type of clients that want the answers of version 8.
const VERSION_8: &str = "application/vnd.elasticsearch+json;compatible-with=8";
/// What is said to whoever would write.
const READ_ONLY: &str = ": this index can only be read, it follows the orders by itself";
const JSON: &str = "application/json; charset=UTF-8";
/// Seconds after which an index that did not answer may be asked again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

/// How the answer to a call is to be written.
#[derive(Clone, Copy)]
pub struct Form {
    kind: &'static str,
    /// For people.
    pub pretty: bool,
}

impl Form {
    /// In the media type that the client asks for.
    pub fn of(headers: &HeaderMap) -> Self {
        let wants = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let of_8 = |kind: &str| kind.contains("vnd.elasticsearch+json");
        let kind = wants(header::ACCEPT).filter(|kind| *kind != "*/*").or(wants(header::CONTENT_TYPE));
        Self { kind: if kind.is_some_and(of_8) { VERSION_8 } else { JSON }, pretty: false }
    }

    /// An answer.
    pub fn answer(self, status: StatusCode, body: &Value) -> Response {
        let written = if self.pretty { serde_json::to_vec_pretty(body) } else { serde_json::to_vec(body) };
        // A tree of JSON has text keys only: writing it has no way to fail.
        let mut written = written.unwrap_or_default();
        if self.pretty {
            written.push(b'\n');
        }
        let kind = (header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        (status, [PRODUCT, kind], written).into_response()
    }

    /// An error.
    pub fn error(self, status: StatusCode, kind: &str, reason: &str, more: Value) -> Response {
        let mut cause = Map::from_iter([
            ("type".to_owned(), Value::from(kind)),
            ("reason".to_owned(), Value::from(reason)),
        ]);
        if let Value::Object(more) = more {
            cause.extend(more);
        }
        let mut error = Map::from_iter([("root_cause".to_owned(), json!([cause.clone()]))]);
        error.extend(cause);
        self.answer(status, &json!({"error": error, "status": status.as_u16()}))
    }

    /// What was asked can't be answered.
    pub fn wrong(self, wrong: &Wrong) -> Response {
        let status = StatusCode::from_u16(Wrong::STATUS).unwrap_or(StatusCode::BAD_REQUEST);
        self.answer(status, &wrong.to_json())
    }

    /// The index did not answer.
    pub fn failed(self, error: &Error) -> Response {
        match error {
            Error::Unavailable(_) => {
                let (status, kind) = (StatusCode::SERVICE_UNAVAILABLE, "unavailable_shards_exception");
                let mut response = self.error(status, kind, &error.to_string(), Value::Null);
                response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
                response
            }
            Error::Wrong(wrong) => self.wrong(wrong),
            Error::Refused(_) => {
                let (status, kind) = (StatusCode::BAD_GATEWAY, "search_phase_execution_exception");
                self.error(status, kind, &error.to_string(), Value::Null)
            }
        }
    }

    /// There is no such index.
    pub fn no_such_index(self, name: &str) -> Response {
        let more = json!({"resource.type": "index_or_alias", "resource.id": name, "index_uuid": "_na_", "index": name});
        let reason = format!("no such index [{name}]");
        self.error(StatusCode::NOT_FOUND, "index_not_found_exception", &reason, more)
    }
}

/// What a search found, as Elasticsearch says it.
pub fn found(index: &str, found: Found, took: u64, with_total: bool) -> Value {
    let hits: Vec<Value> = found
        .hits
        .into_iter()
        .map(|hit| {
            let mut shown = Map::new();
            shown.insert("_index".to_owned(), index.into());
            shown.insert("_id".to_owned(), hit.id.into());
            shown.insert("_score".to_owned(), hit.score.map_or(Value::Null, Value::from));
            shown.extend(hit.source.map(|source| ("_source".to_owned(), source)));
            if !hit.sort.is_empty() {
                shown.insert("sort".to_owned(), Value::Array(hit.sort));
            }
            Value::Object(shown)
        })
        .collect();
    let mut shown = Map::new();
    if with_total {
        shown.insert("total".to_owned(), json!({"value": found.total, "relation": "eq"}));
    }
    shown.insert("max_score".to_owned(), found.max_score.map_or(Value::Null, Value::from));
    shown.insert("hits".to_owned(), hits.into());
    let mut answer = json!({"took": took, "timed_out": false, "_shards": shards(), "hits": shown});
    if let Some(aggregations) = found.aggregations {
        answer["aggregations"] = aggregations;
    }
    answer
}

/// What stands for the parts of an index in every answer.
pub fn shards() -> Value {
    json!({"total": 1, "successful": 1, "skipped": 0, "failed": 0})
}

/// A path that is none of ours.
pub async fn no_such_call(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let mut error = format!("no handler found for uri [{}] and method [{method}]", uri.path());
    if !method.is_safe() {
        error.push_str(READ_ONLY);
    }
    Form::of(&headers).answer(StatusCode::BAD_REQUEST, &json!({"error": error}))
}

/// A method that a path does not take: documents are written by nobody but the indexer.
pub async fn no_such_method(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let error = format!("Incorrect HTTP method for uri [{}] and method [{method}]{READ_ONLY}", uri.path());
    Form::of(&headers).answer(StatusCode::METHOD_NOT_ALLOWED, &json!({"error": error, "status": 405}))
}
