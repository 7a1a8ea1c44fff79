//! Reads a request and refuses by name what is outside of the subset.

mod aggregations;
mod queries;
mod sorts;

use serde_json::{Map, Value};

use super::{Operator, Query, Request, Sort, SourceFilter, Wrong, check, values};

/// Those keys of a body that change no answer of ours.
const NO_MATTER: &[&str] = &["timeout"];

/// Those that ask for nothing more while they say `false`.
const ONLY_FALSE: &[&str] = &["explain", "profile", "seq_no_primary_term", "track_scores", "version"];

pub(super) fn json(body: &[u8]) -> Result<Value, Wrong> {
    if body.trim_ascii().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    serde_json::from_slice(body).map_err(|error| Wrong::Malformed {
        kind: "x_content_parse_exception",
        reason: format!("the body is not JSON: {error}"),
    })
}

pub(super) fn search(body: &Value) -> Result<Request, Wrong> {
    let mut keys = Keys::of("search", body)?;
    let mut request = Request::default();
    if let Some(query) = keys.take("query") {
        request.query = queries::read(query)?;
    }
    if let Some(from) = keys.take("from") {
        request.from = count_of("from", from)?;
    }
    if let Some(size) = keys.take("size") {
        request.size = count_of("size", size)?;
    }
    if let Some(sort) = keys.take("sort") {
        request.sort = sorts::read(sort)?;
    }
    if let Some(after) = keys.take("search_after") {
        request.search_after = Some(sorts::after(after)?);
    }
    if let Some(source) = keys.take("_source") {
        request.source = source_filter(source)?;
    }
    if let Some(track) = keys.take("track_total_hits") {
        request.track_total_hits = track_total_hits(track)?;
    }
    for name in ["aggs", "aggregations"] {
        if let Some(aggregations) = keys.take(name) {
            request.aggregations = aggregations::read(aggregations)?;
        }
    }
    for name in NO_MATTER {
        keys.take(name);
    }
    for name in ONLY_FALSE {
        if keys.value(name) == Some(&Value::Bool(false)) {
            keys.take(name);
        }
    }
    keys.end()?;
    check::request(&request)?;
    Ok(request)
}

pub(super) fn count(body: &Value) -> Result<Request, Wrong> {
    let mut keys = Keys::of("count", body)?;
    let query = keys.take("query").map_or(Ok(Query::MatchAll), queries::read)?;
    keys.end()?;
    Ok(Request { size: 0, ..Request::of(query) })
}

/// Sorts as an address has them: `createdAt:desc,id`.
pub(super) fn sorts_text(text: &str) -> Result<Vec<Sort>, Wrong> {
    sorts::text(text)
}

/// Which operator a word names.
pub(super) fn operator(text: &str) -> Result<Operator, Wrong> {
    match text.to_ascii_lowercase().as_str() {
        "or" => Ok(Operator::Or),
        "and" => Ok(Operator::And),
        _ => Err(Wrong::argument(format!("operator must be [or] or [and], but was [{text}]"))),
    }
}

/// A number of hits as an address has it.
pub(super) fn count_text(name: &str, text: &str) -> Result<usize, Wrong> {
    text.parse::<u32>().ok().and_then(|count| usize::try_from(count).ok()).ok_or_else(|| {
        Wrong::argument(format!("[{name}] must be a whole number from 0 on, but was [{text}]"))
    })
}

fn count_of(name: &str, value: &Value) -> Result<usize, Wrong> {
    let text = values::text(value).unwrap_or_else(|| value.to_string());
    count_text(name, &text)
}

fn track_total_hits(value: &Value) -> Result<bool, Wrong> {
    match value {
        Value::Bool(yes) => Ok(*yes),
        // "Count at least so many": all are counted.
        Value::Number(number) if number.as_u64().is_some() => Ok(true),
        _ => Err(Wrong::argument("[track_total_hits] must be true, false or a whole number")),
    }
}

fn source_filter(value: &Value) -> Result<SourceFilter, Wrong> {
    match value {
        Value::Bool(true) => Ok(SourceFilter::All),
        Value::Bool(false) => Ok(SourceFilter::Nothing),
        Value::String(_) | Value::Array(_) => {
            Ok(SourceFilter::Paths { includes: paths(value)?, excludes: Vec::new() })
        }
        Value::Object(_) => {
            let mut keys = Keys::of("_source", value)?;
            let mut list =
                |long, short| keys.take(long).or_else(|| keys.take(short)).map_or(Ok(Vec::new()), paths);
            let filter = SourceFilter::Paths {
                includes: list("includes", "include")?,
                excludes: list("excludes", "exclude")?,
            };
            keys.end()?;
            Ok(filter)
        }
        Value::Null | Value::Number(_) => {
            Err(Wrong::parsing("[_source] must be true, false, a path, a list of paths, or an object"))
        }
    }
}

fn paths(value: &Value) -> Result<Vec<String>, Wrong> {
    let path = |value: &Value| {
        value.as_str().map(str::to_owned).ok_or_else(|| Wrong::parsing("[_source] takes paths as text"))
    };
    match value {
        Value::Array(items) => items.iter().map(path).collect(),
        one => Ok(vec![path(one)?]),
    }
}

/// The keys of an object, each of which is to be taken by somebody who knows it.
struct Keys<'a> {
    /// Whose they are.
    name: &'a str,
    left: Vec<(&'a str, &'a Value)>,
}

impl<'a> Keys<'a> {
    fn of(name: &'a str, value: &'a Value) -> Result<Self, Wrong> {
        let object = value
            .as_object()
            .ok_or_else(|| Wrong::parsing(format!("[{name}] must be an object, but is {value}")))?;
        Ok(Self { name, left: object.iter().map(|(key, value)| (key.as_str(), value)).collect() })
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.left.iter().find(|(known, _)| *known == key).map(|(_, value)| *value)
    }

    fn take(&mut self, key: &str) -> Option<&'a Value> {
        let at = self.left.iter().position(|(known, _)| *known == key)?;
        Some(self.left.swap_remove(at).1)
    }

    /// One that must be there.
    fn need(&mut self, key: &str) -> Result<&'a Value, Wrong> {
        self.take(key).ok_or_else(|| Wrong::parsing(format!("[{}] needs [{key}]", self.name)))
    }

    fn need_text(&mut self, key: &str) -> Result<String, Wrong> {
        let value = self.need(key)?;
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| Wrong::parsing(format!("[{key}] of [{}] must be text", self.name)))
    }

    /// Nothing may be left.
    fn end(self) -> Result<(), Wrong> {
        match self.left.first() {
            None => Ok(()),
            Some((key, _)) => {
                Err(Wrong::unsupported(format!("[{}] does not support [{key}] here", self.name)))
            }
        }
    }
}

/// The one key of an object and what it holds: the kind of a query, or its field.
fn only<'a>(name: &str, value: &'a Value) -> Result<(&'a str, &'a Value), Wrong> {
    let object = value.as_object().ok_or_else(|| Wrong::parsing(format!("[{name}] must be an object")))?;
    let mut entries = object.iter();
    match (entries.next(), entries.next()) {
        (Some((key, value)), None) => Ok((key, value)),
        (None, _) => Err(Wrong::argument(format!("[{name}] is empty"))),
        (Some(_), Some((key, _))) => {
            Err(Wrong::parsing(format!("[{name}] must hold one key, but there is also [{key}]")))
        }
    }
}

#[cfg(test)]
mod tests;
