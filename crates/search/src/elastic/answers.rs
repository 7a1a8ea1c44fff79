//! What a search server finds, read into what the port speaks of.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    bulk::NOT_FOUND,
    nodes::{Answer, TOO_MANY_BUCKETS},
};
use crate::{
    port::{Document, Error, Found, Hit, Progress},
    query::Wrong,
};

#[derive(Deserialize)]
struct Searched {
    hits: Hits,
    aggregations: Option<Value>,
}

#[derive(Deserialize)]
struct Hits {
    /// Missing where it was not asked for.
    total: Option<Total>,
    max_score: Option<f32>,
    hits: Vec<OneHit>,
}

#[derive(Deserialize)]
struct Total {
    value: u64,
}

#[derive(Deserialize)]
struct OneHit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_score")]
    score: Option<f32>,
    #[serde(rename = "_source")]
    source: Option<Value>,
    #[serde(default)]
    sort: Vec<Value>,
}

/// What a `_search` found.
pub(super) fn found(answer: &Answer) -> Result<Found, Error> {
    if !answer.status.is_success() {
        return Err(refused(answer));
    }
    let searched: Searched = serde_json::from_slice(&answer.body).map_err(|error| not_understood(&error))?;
    let hit = |hit: OneHit| Hit { id: hit.id, score: hit.score, source: hit.source, sort: hit.sort };
    Ok(Found {
        total: searched.hits.total.map_or(0, |total| total.value),
        max_score: searched.hits.max_score,
        hits: searched.hits.hits.into_iter().map(hit).collect(),
        aggregations: searched.aggregations,
    })
}

/// A search that was read as one that can be answered, and is not.
fn refused(answer: &Answer) -> Error {
    let wrong = |kind| Error::Wrong(Wrong::Malformed { kind, reason: answer.reason() });
    match (answer.status.as_u16(), answer.kind().as_deref()) {
        (_, Some(TOO_MANY_BUCKETS)) => wrong(TOO_MANY_BUCKETS),
        (404, Some(NOT_FOUND)) => missing(&answer.reason()),
        (400, _) => wrong("search_phase_execution_exception"),
        _ => answer.error(),
    }
}

#[derive(Deserialize)]
struct Many<'a> {
    #[serde(borrow)]
    docs: Vec<One<'a>>,
}

#[derive(Deserialize)]
struct One<'a> {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version")]
    version: Option<u64>,
    #[serde(rename = "_source", borrow)]
    source: Option<&'a RawValue>,
    #[serde(default)]
    found: bool,
    error: Option<Value>,
}

/// What an `_mget` of one id found.
pub(super) fn document(answer: &Answer) -> Result<Option<Document>, Error> {
    if !answer.status.is_success() {
        return Err(answer.error());
    }
    let many: Many = serde_json::from_slice(&answer.body).map_err(|error| not_understood(&error))?;
    let Some(one) = many.docs.into_iter().next() else { return Ok(None) };
    if let Some(error) = one.error {
        return Err(missing(&super::nodes::said(&error).unwrap_or_default()));
    }
    Ok(one.source.zip(one.version).filter(|_| one.found).map(|(source, version)| Document {
        id: one.id,
        version,
        source: source.get().as_bytes().to_vec(),
    }))
}

/// The note of how far an index goes.
pub(super) fn progress(answer: &Answer) -> Result<Option<Progress>, Error> {
    if answer.status.as_u16() == 404 {
        return Ok(None);
    }
    let note = answer.json()?;
    let part = |key| note.pointer(&format!("/_source/{key}"));
    let incarnation = part("incarnation").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let position = part("position").and_then(Value::as_str).and_then(|text| text.parse().ok());
    // A note that can't be read is none: all is written anew.
    Ok(incarnation.zip(position).map(|(incarnation, position)| Progress { incarnation, position }))
}

/// Which indices each index of an answer to `_alias` is called by.
pub(super) fn aliases(answer: &Answer) -> Result<HashMap<String, Vec<String>>, Error> {
    if answer.status.as_u16() == 404 {
        return Ok(HashMap::new());
    }
    #[derive(Deserialize)]
    struct Aliases {
        aliases: HashMap<String, Value>,
    }
    let read: HashMap<String, Aliases> =
        serde_json::from_value(answer.json()?).map_err(|error| not_understood(&error))?;
    Ok(read.into_iter().map(|(index, of)| (index, of.aliases.into_keys().collect())).collect())
}

fn missing(reason: &str) -> Error {
    Error::Unavailable(format!("{reason}; the indexer makes the index when it starts"))
}

fn not_understood(error: &serde_json::Error) -> Error {
    Error::Unavailable(format!("its answer is not understood: {error}"))
}
