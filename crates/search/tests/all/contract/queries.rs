//! What queries match.

use cartwright_search::{
    SearchIndex,
    query::{Operator, Request, words},
};
use serde_json::{Value, json};

use super::{filled, ids, ordered_ids, orders};

type Cases<'a> = Vec<(Value, &'a [&'a str])>;

async fn all_match(index: &dyn SearchIndex, cases: Cases<'_>) {
    filled(index, &orders()).await;
    for (query, expected) in cases {
        assert_eq!(ids(index, query.clone()).await, expected, "{query}");
    }
}

pub async fn words_match_in_any_case_and_any_order(index: &dyn SearchIndex) {
    let both = |text: &str, rest: Value| {
        let mut inner = json!({"query": text});
        inner.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"match": {"products": inner}})
    };
    let cases: Cases<'_> = vec![
        (json!({"match_all": {}}), &["a", "b", "c", "d"]),
        (json!({"match_none": {}}), &[]),
        (json!({"match": {"status": "FulfillmentScheduled"}}), &["a"]),
        (json!({"match": {"status": "CREATED"}}), &["c", "d"]),
        (both("phone red", json!({})), &["a", "c"]),
        (both("phone red", json!({"operator": "and"})), &["a"]),
        (both("blue phone laptop", json!({"minimum_should_match": 2})), &["a", "b"]),
        (both("blue phone laptop", json!({"minimum_should_match": "100%"})), &[]),
        (both("…", json!({})), &[]),
        (json!({"match_phrase": {"products": "red phone"}}), &["a"]),
        (json!({"match_phrase": {"products": "phone blue"}}), &[]),
        (json!({"match": {"customerEmail": "example.com"}}), &["a", "b"]),
    ];
    all_match(index, cases).await;
}

pub async fn exact_fields_match_as_a_whole(index: &dyn SearchIndex) {
    let cases: Cases<'_> = vec![
        (json!({"term": {"country": "US"}}), &["a", "c"]),
        (json!({"term": {"country": "us"}}), &[]),
        (json!({"match": {"country": "US"}}), &["a", "c"]),
        (json!({"match": {"number": "N"}}), &[]),
        (json!({"term": {"status.keyword": "Created"}}), &["c", "d"]),
        (json!({"match": {"products.keyword": "Red case"}}), &["c"]),
        (json!({"terms": {"country": ["DE", "FR", "XX"]}}), &["b", "d"]),
        (json!({"terms": {"total": [500, "2500", 7]}}), &["b", "c"]),
        (json!({"term": {"skus": "S2"}}), &["a", "b"]),
        (json!({"term": {"onHold": true}}), &["b"]),
        (json!({"match": {"onHold": "false"}}), &["a"]),
        (json!({"term": {"total": {"value": 1000}}}), &["a"]),
        (json!({"term": {"total": 1000.5}}), &[]),
        (json!({"match": {"total": "1000"}}), &["a"]),
        (json!({"term": {"events.type": "OrderCompletedV1"}}), &["a"]),
    ];
    all_match(index, cases).await;
    let long = "x".repeat(300);
    filled(index, &[("long", json!({"status": long}))]).await;
    assert_eq!(ids(index, json!({"term": {"status.keyword": long}})).await, Vec::<String>::new());
}

pub async fn terms_compare_with_the_words_of_a_text(index: &dyn SearchIndex) {
    let cases: Cases<'_> = vec![
        (json!({"term": {"status": "Created"}}), &[]),
        (json!({"term": {"status": "created"}}), &["c", "d"]),
        (json!({"terms": {"products": ["case", "laptop", "Red"]}}), &["a", "b", "c"]),
        (json!({"prefix": {"products": "lap"}}), &["b"]),
        (json!({"range": {"products": {"gte": "laptop", "lt": "phone"}}}), &["b"]),
    ];
    all_match(index, cases).await;
}

pub async fn ranges_end_where_they_say(index: &dyn SearchIndex) {
    let cases: Cases<'_> = vec![
        (json!({"range": {"total": {"gte": 1000, "lte": 2500}}}), &["a", "b"]),
        (json!({"range": {"total": {"gt": 1000, "lt": 2500}}}), &[]),
        (json!({"range": {"total": {"gt": 999.5}}}), &["a", "b"]),
        (json!({"range": {"total": {"lt": "1000"}}}), &["c"]),
        (json!({"range": {"total": {}}}), &["a", "b", "c"]),
        (json!({"range": {"country": {"gt": "DE", "lte": "US"}}}), &["a", "c", "d"]),
        (json!({"range": {"number": {"gte": "N-2"}}}), &["b", "c"]),
        (json!({"range": {"number": {"lt": "N-2"}}}), &["a"]),
    ];
    all_match(index, cases).await;
}

pub async fn dates_are_spans(index: &dyn SearchIndex) {
    let cases: Cases<'_> = vec![
        (json!({"range": {"createdAt": {"gte": "2026-01-20"}}}), &["b", "c", "d"]),
        (json!({"range": {"createdAt": {"gt": "2026-01-20"}}}), &["c", "d"]),
        (json!({"range": {"createdAt": {"lte": "2026-01"}}}), &[]),
        (json!({"range": {"createdAt": {"lt": "2026-02"}}}), &["a", "b"]),
        (json!({"range": {"createdAt": {"lt": "2026-01-20T23:59:59.999Z"}}}), &["a"]),
        (json!({"term": {"createdAt": "2026-01-05"}}), &["a"]),
        (json!({"term": {"createdAt": "2026-04-15T10:30:00Z"}}), &["d"]),
        (json!({"range": {"createdAt": {"gte": 1_769_904_000_000_i64}}}), &["c", "d"]),
        (json!({"range": {"createdAt": {"gte": "2026-02-01||-1M/M", "lt": "2026-02-01||/M"}}}), &["a", "b"]),
        (json!({"range": {"createdAt": {"gt": "now+1000y"}}}), &[]),
        (json!({"range": {"events.at": {"gte": "2026-01-06"}}}), &["a"]),
    ];
    all_match(index, cases).await;
}

pub async fn existence_is_seen_in_fields_and_objects(index: &dyn SearchIndex) {
    let cases: Cases<'_> = vec![
        (json!({"exists": {"field": "total"}}), &["a", "b", "c"]),
        (json!({"exists": {"field": "skus"}}), &["a", "b"]),
        (json!({"exists": {"field": "products"}}), &["a", "b", "c"]),
        (json!({"exists": {"field": "products.keyword"}}), &["a", "b", "c"]),
        (json!({"exists": {"field": "onHold"}}), &["a", "b"]),
        (json!({"exists": {"field": "events"}}), &["a"]),
        (json!({"exists": {"field": "events.type"}}), &["a"]),
        (json!({"exists": {"field": "metadata"}}), &[]),
        (json!({"exists": {"field": "everything"}}), &["a", "b", "c", "d"]),
    ];
    all_match(index, cases).await;
}

pub async fn prefixes_and_ids_are_found(index: &dyn SearchIndex) {
    let cases: Cases<'_> = vec![
        (json!({"prefix": {"number": "N-"}}), &["a", "b", "c"]),
        (json!({"prefix": {"number": {"value": "N-3"}}}), &["c"]),
        (json!({"prefix": {"country": "u"}}), &[]),
        (json!({"prefix": {"customerName.keyword": "A"}}), &["a", "c"]),
        (json!({"ids": {"values": ["b", "d", "x"]}}), &["b", "d"]),
        (json!({"ids": {"values": []}}), &[]),
        (json!({"term": {"_id": "c"}}), &["c"]),
    ];
    all_match(index, cases).await;
}

pub async fn bools_join_their_parts(index: &dyn SearchIndex) {
    let us = json!({"term": {"country": "US"}});
    let created = json!({"match": {"status": "Created"}});
    let phone = json!({"match": {"productType": "phone"}});
    let cases: Cases<'_> = vec![
        (json!({"bool": {}}), &["a", "b", "c", "d"]),
        (json!({"bool": {"must": [us, created]}}), &["c"]),
        (json!({"bool": {"filter": us, "must_not": created}}), &["a"]),
        (json!({"bool": {"must_not": [us]}}), &["b", "d"]),
        (json!({"bool": {"should": [us, created]}}), &["a", "c", "d"]),
        (json!({"bool": {"filter": [us], "should": [created]}}), &["a", "c"]),
        (json!({"bool": {"filter": [us], "should": [created], "minimum_should_match": 1}}), &["c"]),
        (json!({"bool": {"should": [us, created, phone], "minimum_should_match": 2}}), &["a", "c"]),
        (json!({"bool": {"should": [us, created, phone], "minimum_should_match": -1}}), &["a", "c"]),
        (json!({"bool": {"should": [us, created], "minimum_should_match": 3}}), &[]),
        (json!({"bool": {"should": [us, created], "minimum_should_match": 0}}), &["a", "c", "d"]),
        (json!({"bool": {"should": [us], "must_not": [created]}}), &["a"]),
        (json!({"bool": {"must": [{"bool": {"should": [us, created]}}], "must_not": [phone]}}), &["d"]),
    ];
    all_match(index, cases).await;
}

pub async fn free_text_is_found_in_many_fields(index: &dyn SearchIndex) {
    let cases: Cases<'_> = vec![
        (json!({"match": {"everything": "lovelace"}}), &["a"]),
        (json!({"match": {"everything": "s2"}}), &["a", "b"]),
        (json!({"match": {"everything": {"query": "red created", "operator": "and"}}}), &["c"]),
        (json!({"match": {"everything": "TR-9"}}), &["c"]),
        (json!({"match": {"everything": "laptop"}}), &["b"]),
        (json!({"match": {"everything": "hidden"}}), &[]),
        (json!({"prefix": {"everything": "love"}}), &["a"]),
    ];
    all_match(index, cases).await;
}

pub async fn words_of_an_address_are_a_query(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let cases: &[(&str, Operator, &[&str])] = &[
        ("", Operator::Or, &["a", "b", "c", "d"]),
        ("laptop turing", Operator::Or, &["b", "c"]),
        ("red created", Operator::And, &["c"]),
        ("status:Created AND country:US", Operator::Or, &["c"]),
        ("\"red phone\"", Operator::Or, &["a"]),
        ("products:\"red case\"", Operator::Or, &["c"]),
        ("+phone -country:US", Operator::Or, &[]),
        ("NOT country:US", Operator::Or, &["b", "d"]),
        ("total:>=1000", Operator::Or, &["a", "b"]),
        ("onHold:*", Operator::Or, &["a", "b"]),
        ("love*", Operator::Or, &["a"]),
        ("country:(DE OR FR)", Operator::Or, &["b", "d"]),
    ];
    for (text, operator, expected) in cases {
        let request = Request::of(words(text, *operator).unwrap());
        let mut found = ordered_ids(&index.search(&request).await.unwrap());
        found.sort();
        assert_eq!(found, *expected, "{text}");
    }
}

pub async fn what_is_not_mapped_matches_nothing(index: &dyn SearchIndex) {
    filled(index, &[("a", json!({"unknown": "x", "metadata": {"note": "x"}}))]).await;
    for query in [
        json!({"match": {"unknown": "x"}}),
        json!({"term": {"metadata.note": "x"}}),
        json!({"terms": {"unknown": ["x"]}}),
        json!({"range": {"unknown": {"gte": "a"}}}),
        json!({"exists": {"field": "unknown"}}),
        json!({"prefix": {"unknown": "x"}}),
    ] {
        assert_eq!(ids(index, query.clone()).await, Vec::<String>::new(), "{query}");
    }
}
