//! Searches of anything: they are refused with a reason, or answered; and what is understood means the same when it is
//! written down and read again.

use cartwright_search::{
    SearchIndex,
    embedded::Embedded,
    query::{self, Operator, Request},
};
use cartwright_testkit::garbage;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};

use crate::contract::{filled, orders};

fn good() -> Vec<Value> {
    vec![
        json!({"query": {"match": {"status": "completed"}}, "size": 3, "from": 1}),
        json!({"query": {"bool": {"must": [{"match_phrase": {"products": "gaming laptop"}}],
            "filter": [{"term": {"country": "US"}}], "should": [{"prefix": {"id": "a"}}],
            "must_not": [{"exists": {"field": "carrier"}}], "minimum_should_match": 1}}}),
        json!({"query": {"range": {"createdAt": {"gte": "now-7d/d", "lt": "now"}}}, "sort": [{"createdAt": "desc"}, "id"]}),
        json!({"query": {"match": {"products": {"query": "gaming laptop", "operator": "and"}}}}),
        json!({"size": 0, "aggs": {"by": {"terms": {"field": "country", "size": 2},
            "aggs": {"sum": {"sum": {"field": "total"}}}},
            "days": {"date_histogram": {"field": "createdAt", "calendar_interval": "day"}}}}),
        json!({"query": {"ids": {"values": ["a", "b"]}}, "_source": {"includes": ["id", "events.*"], "excludes": ["metadata"]}}),
        json!({"query": {"match_all": {}}, "search_after": ["x"], "sort": ["id"]}),
        json!({"query": {"terms": {"status": ["open", "failed"]}}, "sort": [{"total": {"order": "asc", "missing": "_first"}}]}),
    ]
}

/// Refused, or answered and written down as what it is.
fn is_well(index: &Embedded, runtime: &tokio::runtime::Runtime, body: &[u8]) -> Result<(), TestCaseError> {
    let request = match Request::read(body) {
        Ok(request) => request,
        Err(wrong) => {
            prop_assert!(!wrong.to_string().is_empty());
            return Ok(());
        }
    };
    let again = Request::from_json(&request.to_json());
    let again = again.map_err(|wrong| TestCaseError::fail(format!("{}: {wrong}", request.to_json())))?;
    prop_assert_eq!(again.to_json(), request.to_json());
    if let Err(error) = runtime.block_on(index.search(&request)) {
        let refused =
            matches!(error, cartwright_search::Error::Refused(_) | cartwright_search::Error::Wrong(_));
        prop_assert!(refused, "{}: {error}", request.to_json());
    }
    Ok(())
}

fn check<S: Strategy>(cases: u32, values: &S, body: impl Fn(S::Value) -> Vec<u8>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let index = runtime.block_on(async {
        let index = Embedded::open(dir.path()).unwrap();
        index.prepare().await.unwrap();
        filled(&index, &orders()).await;
        index
    });
    let config = ProptestConfig { source_file: Some(file!()), ..ProptestConfig::with_cases(cases) };
    let checked = TestRunner::new(config).run(values, |value| is_well(&index, &runtime, &body(value)));
    checked.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn good_searches_are_answered() {
    for body in good() {
        Request::from_json(&body).unwrap_or_else(|wrong| panic!("{body}: {wrong}"));
        check(1, &Just(()), |()| body.to_string().into_bytes());
    }
}

#[test]
fn any_bytes_are_refused_or_a_search() {
    check(2_000, &garbage::bytes(), |bytes| bytes);
}

#[test]
fn a_spoiled_search_is_refused_or_answered() {
    let all = good();
    check(6_000, &(0..all.len(), garbage::changes()), |(n, changes)| {
        garbage::spoil(&all[n], &changes).into_bytes()
    });
}

#[test]
fn words_of_anything_are_refused_or_a_search() {
    let words = prop_oneof!["[ -~]{0,60}", "([a-z]{1,4}(:|\\^|~)?[ ()\"+\\-*?]{0,2}){0,12}", "\\PC{0,40}"];
    check(3_000, &words, |words: String| match query::words(&words, Operator::Or) {
        Ok(query) => Request::of(query).to_json().to_string().into_bytes(),
        Err(_) => b"{}".to_vec(),
    });
}
