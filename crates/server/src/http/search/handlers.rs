//! The calls.

use std::{sync::Arc, time::Instant};

use axum::{
    body::Bytes,
    extract::{OriginalUri, Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use cartwright_search::{
    Found, fields,
    query::{Request, Wrong},
};
use serde_json::{Value, json};

use super::{
    address::{self, Address},
    form::{self, Form},
};
use crate::{http::Api, search::Search};

/// The version of Elasticsearch whose API this is a part of.
const SPEAKS: &str = "8.15.0";

/// A call that is understood so far.
struct Call<'a> {
    search: &'a Search,
    form: Form,
    address: Address,
    /// Whether the index that was named is ours; a pattern may name none.
    named: bool,
}

impl<'a> Call<'a> {
    fn of(
        api: &'a Api,
        OriginalUri(uri): &OriginalUri,
        headers: &HeaderMap,
        index: Option<&str>,
    ) -> Result<Self, Response> {
        let mut form = Form::of(headers);
        let address = Address::read(uri.path(), uri.query()).map_err(|wrong| form.wrong(&wrong))?;
        form.pretty = address.pretty;
        let Some(search) = &api.search else {
            let reason = "there is no search index here: it is switched off (setting search.enabled), or it is that of \
                another process; several processes share one on a search server (setting search.url)";
            let (status, kind) = (StatusCode::SERVICE_UNAVAILABLE, "unavailable_shards_exception");
            return Err(form.error(status, kind, reason, Value::Null));
        };
        let named = address::names(&search.name, index.unwrap_or("_all"));
        let passed_over = |name: String| match address.ignore_unavailable {
            true => Ok(index
                .unwrap_or_default()
                .split(',')
                .any(|name| address::names(&search.name, name) == Ok(true))),
            false => Err(form.no_such_index(&name)),
        };
        let named = named.or_else(passed_over)?;
        Ok(Self { search, form, address, named })
    }

    fn ok(&self, body: &Value) -> Response {
        self.form.answer(StatusCode::OK, body)
    }

    /// The same, where the index that was named must be ours.
    fn one(api: &'a Api, uri: &OriginalUri, headers: &HeaderMap, index: &str) -> Result<Self, Response> {
        let call = Self::of(api, uri, headers, Some(index))?;
        if call.named { Ok(call) } else { Err(call.form.no_such_index(index)) }
    }

    async fn find(&self, request: &Request) -> Result<Found, Response> {
        if !self.named {
            return Ok(Found::default());
        }
        self.search.index.search(request).await.map_err(|error| self.form.failed(&error))
    }
}

fn body_of(form: Form, body: Result<Bytes, BytesRejection>) -> Result<Bytes, Response> {
    body.map_err(|error| {
        let kind = "content_too_long_exception";
        form.error(error.status(), kind, &error.body_text(), Value::Null)
    })
}

/// What this is. Clients ask for it first.
pub async fn about(
    State(api): State<Arc<Api>>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let mut form = Form::of(&headers);
    form.pretty = Address::read("/", uri.query()).is_ok_and(|address| address.pretty);
    Ok(form.answer(
        StatusCode::OK,
        &json!({
            "name": "cartwright",
            "cluster_name": "cartwright",
            "cluster_uuid": api.about.system,
            "version": {
                "number": SPEAKS,
                "build_flavor": "default",
                "build_type": "cartwright",
                "build_hash": env!("CARGO_PKG_VERSION"),
                "build_date": "2026-01-01T00:00:00Z",
                "build_snapshot": false,
                "lucene_version": "9.11.1",
                "minimum_wire_compatibility_version": "7.17.0",
                "minimum_index_compatibility_version": "7.0.0",
            },
            "tagline": "You Know, for Search",
        }),
    ))
}

/// Searches an index, or whatever index there is.
pub async fn search(
    State(api): State<Arc<Api>>,
    index: Option<Path<String>>,
    uri: OriginalUri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    let begun = Instant::now();
    let mut call = Call::of(&api, &uri, &headers, name_of(index.as_ref()))?;
    let body = body_of(call.form, body)?;
    let parameters = std::mem::take(&mut call.address.search);
    let request = Request::read(&body).and_then(|request| parameters.apply(request));
    let request = request.map_err(|wrong: Wrong| call.form.wrong(&wrong))?;
    let found = call.find(&request).await?;
    let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(call.ok(&form::found(&call.search.name, found, took, request.track_total_hits)))
}

/// Counts what matches in an index, or in whatever index there is.
pub async fn count(
    State(api): State<Arc<Api>>,
    index: Option<Path<String>>,
    uri: OriginalUri,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    let mut call = Call::of(&api, &uri, &headers, name_of(index.as_ref()))?;
    let body = body_of(call.form, body)?;
    let parameters = std::mem::take(&mut call.address.search);
    let request = Request::read_count(&body).and_then(|request| parameters.apply(request));
    let request = Request { size: 0, ..request.map_err(|wrong| call.form.wrong(&wrong))? };
    let found = call.find(&request).await?;
    Ok(call.ok(&json!({"count": found.total, "_shards": form::shards()})))
}

fn name_of(index: Option<&Path<String>>) -> Option<&str> {
    index.map(|Path(name)| name.as_str())
}

/// One document.
pub async fn document(
    State(api): State<Arc<Api>>,
    Path((index, id)): Path<(String, String)>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let call = Call::one(&api, &uri, &headers, &index)?;
    let document = call.search.index.get(&id).await.map_err(|error| call.form.failed(&error))?;
    let Some(document) = document else {
        let none = json!({"_index": &*call.search.name, "_id": id, "found": false});
        return Ok(call.form.answer(StatusCode::NOT_FOUND, &none));
    };
    let source: Value = serde_json::from_slice(&document.source).unwrap_or_default();
    let mut shown = json!({"_index": &*call.search.name, "_id": document.id, "_version": document.version,
        "_seq_no": document.version, "_primary_term": 1, "found": true});
    if let Some(source) = call.address.search.filter().unwrap_or_default().apply(source) {
        shown["_source"] = source;
    }
    Ok(call.ok(&shown))
}

/// One document without anything around it.
pub async fn source(
    State(api): State<Arc<Api>>,
    Path((index, id)): Path<(String, String)>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let call = Call::one(&api, &uri, &headers, &index)?;
    let document = call.search.index.get(&id).await.map_err(|error| call.form.failed(&error))?;
    let Some(document) = document else {
        let (reason, kind) = (format!("Document not found [{index}]/[{id}]"), "resource_not_found_exception");
        return Ok(call.form.error(StatusCode::NOT_FOUND, kind, &reason, Value::Null));
    };
    let source: Value = serde_json::from_slice(&document.source).unwrap_or_default();
    Ok(call.ok(&call.address.search.filter().unwrap_or_default().apply(source).unwrap_or_default()))
}

/// What can be searched.
pub async fn mapping_of_all(
    State(api): State<Arc<Api>>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let call = Call::of(&api, &uri, &headers, None)?;
    Ok(call.ok(&json!({&*call.search.name: {"mappings": fields::mapping()}})))
}

/// What can be searched in an index.
pub async fn mapping(
    State(api): State<Arc<Api>>,
    Path(index): Path<String>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let call = Call::one(&api, &uri, &headers, &index)?;
    Ok(call.ok(&json!({&*call.search.name: {"mappings": fields::mapping()}})))
}

/// An index.
pub async fn index(
    State(api): State<Arc<Api>>,
    Path(index): Path<String>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let call = Call::one(&api, &uri, &headers, &index)?;
    let shown = json!({"aliases": {}, "mappings": fields::mapping(), "settings": fields::settings()});
    Ok(call.ok(&json!({&*call.search.name: shown})))
}

/// Whether the index can be searched.
pub async fn health(
    State(api): State<Arc<Api>>,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Response> {
    let call = Call::of(&api, &uri, &headers, None)?;
    let none = Request { size: 0, ..Request::default() };
    call.search.index.search(&none).await.map_err(|error| call.form.failed(&error))?;
    Ok(call.ok(&json!({
        "cluster_name": "cartwright", "status": "green", "timed_out": false, "number_of_nodes": 1,
        "number_of_data_nodes": 1, "active_primary_shards": 1, "active_shards": 1, "relocating_shards": 0,
        "initializing_shards": 0, "unassigned_shards": 0, "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0, "task_max_waiting_in_queue_millis": 0,
        "active_shards_percent_as_number": 100.0,
    })))
}
