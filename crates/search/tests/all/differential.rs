//! Generated documents and searches, on the embedded index and on a real search server: the same answers.
//!
//! The server gets each search as a client would send it, not as we read it; so reading is compared, too. `CARTWRIGHT_SEED`
//! repeats a failure, `CARTWRIGHT_SEARCHES` asks for more of them than usual.

use std::collections::BTreeSet;

use cartwright_search::{
    Aim, Error, Found, SearchIndex,
    embedded::Embedded,
    query::{Operator, Order, Parameters, Query, Request, Sort},
};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    differential_documents::{Dice, documents},
    differential_requests as requests,
    remote::Remote,
};

const DOCUMENTS: usize = 300;

const SEARCHES: usize = 600;

/// How many differences are told.
const TOLD: usize = 8;

/// Both, with the same documents.
struct Both {
    embedded: Embedded,
    remote: Remote,
    _dir: TempDir,
}

impl Both {
    async fn filled(dice: &mut Dice) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let both =
            Self { embedded: Embedded::open(dir.path()).unwrap(), remote: Remote::new().await, _dir: dir };
        let documents = documents(dice, DOCUMENTS);
        let indices: [&dyn SearchIndex; 2] = [&both.embedded, &both.remote.index];
        let mut outcomes = Vec::new();
        for index in indices {
            outcomes.push(index.write(Aim::Live, &documents).await.unwrap());
            index.commit(Aim::Live, None).await.unwrap();
        }
        let [embedded, remote] = [&outcomes[0], &outcomes[1]];
        for (document, (ours, theirs)) in documents.iter().zip(embedded.iter().zip(remote)) {
            let same = std::mem::discriminant(ours) == std::mem::discriminant(theirs);
            let source = String::from_utf8_lossy(&document.source);
            assert!(same, "embedded: {ours:?}, server: {theirs:?}: {source}");
        }
        both
    }

    /// What differs about a `_search` with this body.
    async fn compare(&self, body: &Value) -> Option<String> {
        let path = format!("{}/_search", self.remote.alias());
        let mut theirs = self.remote.ask(Method::POST, &path, counted(body)).await;
        let has_small = body.to_string().contains("min_doc_count");
        drop_estimates(&mut theirs, has_small);
        let shown = |found: &Found| {
            let mut shown = shown(found);
            drop_estimates(&mut shown, has_small);
            shown
        };
        let request = match Request::from_json(body) {
            Ok(request) => request,
            Err(_) if theirs["error"].is_object() => return None,
            Err(wrong) => return Some(format!("embedded refuses: {wrong}; the server does not")),
        };
        let ours = self.embedded.search(&request).await;
        if let Some(difference) = compare(ours.map(|found| shown(&found)), &theirs, request.sort.is_empty()) {
            return Some(difference);
        }
        let adapter = self.remote.index.search(&request).await;
        compare(adapter.map(|found| shown(&found)), &theirs, request.sort.is_empty())
            .map(|difference| format!("the adapter: {difference}"))
    }

    /// What differs about `?q=`.
    async fn compare_words(&self, text: &str, operator: Operator) -> Option<String> {
        let mut query = form(text);
        let mut parameters = Parameters::default();
        parameters.take("q", text).unwrap();
        if operator == Operator::And {
            parameters.take("default_operator", "AND").unwrap();
            query.push_str("&default_operator=AND");
        }
        let path = format!("{}/_search?q={query}&size={DOCUMENTS}&sort=id", self.remote.alias());
        let theirs = self.remote.ask(Method::GET, &path, json!({})).await;
        let request = Request {
            size: DOCUMENTS,
            sort: vec![Sort::by("id", Order::Ascending)],
            ..Request::of(Query::MatchAll)
        };
        match parameters.apply(request) {
            Ok(request) => {
                compare(self.embedded.search(&request).await.map(|found| shown(&found)), &theirs, false)
                    .map(|difference| format!("{difference}\n  read as {}", request.to_json()["query"]))
            }
            Err(_) if theirs["error"].is_object() => None,
            Err(wrong) => Some(format!("embedded refuses: {wrong}; the server does not")),
        }
    }
}

#[tokio::test]
async fn searches_find_the_same() {
    let (seed, count) = chosen();
    let mut dice = Dice::new(seed);
    let both = Both::filled(&mut dice).await;
    let mut different = Vec::new();
    for _ in 0..count {
        let body = requests::body(&mut dice, DOCUMENTS);
        if let Some(difference) = both.compare(&body).await {
            different.push(format!("{body}\n  {difference}"));
        }
    }
    tell(seed, count, &different);
}

#[tokio::test]
async fn words_find_the_same() {
    let (seed, count) = chosen();
    let mut dice = Dice::new(seed);
    let both = Both::filled(&mut dice).await;
    let mut different = Vec::new();
    for _ in 0..count {
        let text = requests::words(&mut dice);
        let operator = if dice.chance(30) { Operator::And } else { Operator::Or };
        if let Some(difference) = both.compare_words(&text, operator).await {
            different.push(format!("{text} ({operator:?})\n  {difference}"));
        }
    }
    tell(seed, count, &different);
}

/// Page after page by `search_after`, each hit once.
#[tokio::test]
async fn pages_are_the_same() {
    let (seed, _) = chosen();
    let mut dice = Dice::new(seed);
    let both = Both::filled(&mut dice).await;
    let sorts = [
        json!([{"total": "desc"}, {"id": "asc"}]),
        json!([{"createdAt": {"order": "asc", "missing": "_first"}}, {"id": "desc"}]),
        json!([{"carrier": "asc"}, {"productType.keyword": "desc"}, {"id": "asc"}]),
        json!([{"version": "desc"}, {"events.at": "asc"}, {"id": "asc"}]),
    ];
    let mut different = Vec::new();
    for sort in sorts {
        let mut body = json!({"sort": sort, "size": 37});
        let mut seen = BTreeSet::new();
        loop {
            if let Some(difference) = both.compare(&body).await {
                different.push(format!("{body}\n  {difference}"));
                break;
            }
            let page = both.embedded.search(&Request::from_json(&body).unwrap()).await.unwrap();
            let Some(last) = page.hits.last() else { break };
            body["search_after"] = json!(last.sort);
            assert!(page.hits.iter().all(|hit| seen.insert(hit.id.clone())), "a hit comes twice: {body}");
        }
        assert!(!different.is_empty() || seen.len() == DOCUMENTS, "{} of {DOCUMENTS}: {body}", seen.len());
    }
    tell(seed, 4, &different);
}

fn chosen() -> (u64, usize) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let count = number("CARTWRIGHT_SEARCHES").and_then(|count| usize::try_from(count).ok());
    (number("CARTWRIGHT_SEED").unwrap_or(1), count.unwrap_or(SEARCHES))
}

fn tell(seed: u64, count: usize, different: &[String]) {
    let told: Vec<_> = different.iter().take(TOLD).map(String::as_str).collect();
    let number = different.len();
    assert!(
        different.is_empty(),
        "CARTWRIGHT_SEED={seed}: {number} of {count} differ:\n{}",
        told.join("\n\n")
    );
}

/// Elasticsearch stops counting at 10,000 unless it is told not to; we never do.
fn counted(body: &Value) -> Value {
    let mut body = body.clone();
    body["track_total_hits"] = json!(true);
    body
}

/// A server adds up what its parts estimate, of small buckets some and not others; we count.
fn drop_estimates(answer: &mut Value, has_small: bool) {
    match answer {
        Value::Object(object) => {
            object.remove("doc_count_error_upper_bound");
            if has_small {
                object.remove("sum_other_doc_count");
            }
            object.values_mut().for_each(|value| drop_estimates(value, has_small));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| drop_estimates(value, has_small)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn form(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// In the form of the server's answer.
fn shown(found: &Found) -> Value {
    let hits = found.hits.iter().map(|hit| {
        let mut shown = json!({"_id": hit.id, "_score": hit.score});
        if let Some(source) = &hit.source {
            shown["_source"] = source.clone();
        }
        if !hit.sort.is_empty() {
            shown["sort"] = json!(hit.sort);
        }
        shown
    });
    let hits: Value = hits.collect();
    let mut shown = json!({"hits": {"total": {"value": found.total}, "hits": hits}});
    if let Some(aggregations) = &found.aggregations {
        shown["aggregations"] = aggregations.clone();
    }
    shown
}

fn compare(ours: Result<Value, Error>, theirs: &Value, unsorted: bool) -> Option<String> {
    let refused = theirs.get("error");
    let ours = match (ours, refused) {
        (Err(_), Some(_)) => return None,
        // A server counts buckets that it does not give, too.
        (Ok(_), Some(error)) if error.to_string().contains("too_many_buckets") => return None,
        (Err(error), None) => return Some(format!("embedded: {error}; the server answers")),
        (Ok(_), Some(error)) => return Some(format!("the server refuses: {error}; embedded answers")),
        (Ok(ours), None) => ours,
    };
    let total = |of: &Value| of["hits"]["total"]["value"].clone();
    if total(&ours) != total(theirs) {
        let (ours_only, theirs_only) = (ids_beside(&ours, theirs), ids_beside(theirs, &ours));
        let (ours, theirs) = (total(&ours), total(theirs));
        return Some(format!(
            "found {ours}, server {theirs}; only here {ours_only}, only there {theirs_only}"
        ));
    }
    let (mine, other) = (hits(&ours, unsorted), hits(theirs, unsorted));
    let other: Vec<_> = other.into_iter().map(missing).collect();
    let mine: Vec<_> = mine.into_iter().map(missing).collect();
    if let Some((mine, other)) = mine.iter().zip(&other).find(|(mine, other)| mine != other) {
        return Some(format!("hit {mine}\n  server {other}"));
    }
    if mine.len() != other.len() {
        return Some(format!("{} hits, server {}", mine.len(), other.len()));
    }
    different("aggregations", ours.get("aggregations"), theirs.get("aggregations"))
}

/// Where only their scores sort them, by id: those of equal scores come in any order.
fn hits(of: &Value, unsorted: bool) -> Vec<Value> {
    let hits = of["hits"]["hits"].as_array().cloned().unwrap_or_default().into_iter();
    let mut hits: Vec<_> = hits
        .map(|hit| json!({"_id": hit["_id"], "_source": hit.get("_source"), "sort": hit.get("sort")}))
        .collect();
    if unsorted {
        hits.sort_by_key(|hit| hit["_id"].to_string());
    }
    hits
}

/// OpenSearch shows a missing yes or no as the largest or smallest number of 32 bits, Elasticsearch 8 and we of 64.
fn missing(mut hit: Value) -> Value {
    for value in hit["sort"].as_array_mut().into_iter().flatten() {
        *value = match value.as_i64() {
            Some(i64::MAX) => json!(i32::MAX),
            Some(i64::MIN) => json!(i32::MIN),
            _ => continue,
        };
    }
    hit
}

fn ids_beside(of: &Value, other: &Value) -> String {
    let ids = |of: &Value| hits(of, false).iter().map(|hit| hit["_id"].to_string()).collect::<BTreeSet<_>>();
    ids(of).difference(&ids(other)).take(6).cloned().collect::<Vec<_>>().join(" ")
}

fn different(path: &str, ours: Option<&Value>, theirs: Option<&Value>) -> Option<String> {
    match (ours, theirs) {
        (Some(Value::Object(ours)), Some(Value::Object(theirs))) => {
            let keys: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
            keys.into_iter()
                .find_map(|key| different(&format!("{path}.{key}"), ours.get(key), theirs.get(key)))
        }
        (Some(Value::Array(ours)), Some(Value::Array(theirs))) if ours.len() == theirs.len() => {
            let pairs = ours.iter().zip(theirs).enumerate();
            pairs.into_iter().find_map(|(index, (ours, theirs))| {
                different(&format!("{path}[{index}]"), Some(ours), Some(theirs))
            })
        }
        (Some(Value::Number(ours)), Some(Value::Number(theirs))) => {
            let (mine, other) = (ours.as_f64().unwrap(), theirs.as_f64().unwrap());
            let close = (mine - other).abs() <= 1e-9 * mine.abs().max(other.abs());
            (!close).then(|| format!("{path}: {ours}, server {theirs}"))
        }
        (ours, theirs) if ours == theirs => None,
        (ours, theirs) => {
            let text = |of: Option<&Value>| of.map_or_else(|| "nothing".to_owned(), Value::to_string);
            Some(format!("{path}: {}\n  server {}", text(ours), text(theirs)))
        }
    }
}
