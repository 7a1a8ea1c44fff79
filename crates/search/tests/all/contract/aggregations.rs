//! What is reckoned over all that match.

use cartwright_search::SearchIndex;
use serde_json::{Value, json};

use super::{filled, orders, search};

async fn reckoned(index: &dyn SearchIndex, query: Value, aggs: Value) -> Value {
    let found = search(index, json!({"query": query, "size": 0, "aggs": aggs})).await;
    found.aggregations.unwrap()
}

fn all() -> Value {
    json!({"match_all": {}})
}

/// The keys and the counts of buckets.
fn counts(aggregation: &Value) -> Vec<(Value, u64)> {
    let buckets = aggregation["buckets"].as_array().unwrap();
    buckets.iter().map(|bucket| (bucket["key"].clone(), bucket["doc_count"].as_u64().unwrap())).collect()
}

pub async fn values_are_counted(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let aggs = json!({
        "countries": {"terms": {"field": "country"}},
        "two": {"terms": {"field": "country", "size": 1}},
        "by_key": {"terms": {"field": "country", "order": {"_key": "desc"}}},
        "often": {"terms": {"field": "country", "min_doc_count": 2}},
        "skus": {"terms": {"field": "skus"}},
        "totals": {"terms": {"field": "total", "order": {"_key": "asc"}}},
        "held": {"terms": {"field": "onHold"}},
        "unknown": {"terms": {"field": "unknown"}},
    });
    let found = reckoned(index, all(), aggs).await;
    assert_eq!(counts(&found["countries"]), [(json!("US"), 2), (json!("DE"), 1), (json!("FR"), 1)]);
    assert_eq!(found["countries"]["doc_count_error_upper_bound"], 0);
    assert_eq!(counts(&found["two"]), [(json!("US"), 2)]);
    assert_eq!(found["two"]["sum_other_doc_count"], 2);
    assert_eq!(counts(&found["by_key"]), [(json!("US"), 2), (json!("FR"), 1), (json!("DE"), 1)]);
    assert_eq!(counts(&found["often"]), [(json!("US"), 2)]);
    assert_eq!(counts(&found["skus"]), [(json!("S2"), 2), (json!("S1"), 1)]);
    assert_eq!(counts(&found["totals"]), [(json!(500), 1), (json!(1000), 1), (json!(2500), 1)]);
    assert_eq!(counts(&found["held"]), [(json!(0), 1), (json!(1), 1)]);
    assert_eq!(found["held"]["buckets"][1]["key_as_string"], "true");
    assert_eq!(counts(&found["unknown"]), []);
}

pub async fn values_are_counted_over_many_commits(index: &dyn SearchIndex) {
    for round in 0..6 {
        let source =
            |i: usize| json!({"carrier": [format!("c{i}"), "all"], "skus": [format!("{round}-{i}"), ""]});
        let ids: Vec<_> = (0..=round).map(|i| format!("{round}-{i}")).collect();
        let sources: Vec<_> = ids.iter().enumerate().map(|(i, id)| (id.as_str(), source(i))).collect();
        filled(index, &sources).await;
    }
    filled(index, &[("none", json!({"country": "DE"}))]).await;
    let aggs = json!({
        "often": {"terms": {"field": "carrier", "size": 3}},
        "skus": {"terms": {"field": "skus", "size": 2, "order": {"_key": "asc"}}},
        "seldom": {"terms": {"field": "carrier", "size": 2, "order": [{"_count": "asc"}, {"_key": "desc"}]}},
        "enough": {"terms": {"field": "carrier", "min_doc_count": 5, "order": {"_key": "asc"}}},
        "within": {"terms": {"field": "carrier", "size": 2}, "aggs": {"count": {"value_count": {"field": "skus"}}}},
    });
    let found = reckoned(index, all(), aggs).await;
    assert_eq!(counts(&found["often"]), [(json!("all"), 21), (json!("c0"), 6), (json!("c1"), 5)]);
    assert_eq!(found["often"]["sum_other_doc_count"], 4 + 3 + 2 + 1);
    assert_eq!(counts(&found["skus"]), [(json!(""), 21), (json!("0-0"), 1)]);
    assert_eq!(counts(&found["seldom"]), [(json!("c5"), 1), (json!("c4"), 2)]);
    assert_eq!(counts(&found["enough"]), [(json!("all"), 21), (json!("c0"), 6), (json!("c1"), 5)]);
    assert_eq!(counts(&found["within"]), [(json!("all"), 21), (json!("c0"), 6)]);
    assert_eq!(found["within"]["buckets"][0]["count"]["value"], 42);
}

pub async fn times_are_counted_by_the_calendar(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let histogram = |interval: &str, rest: Value| {
        let mut inner = json!({"field": "createdAt", "calendar_interval": interval});
        inner.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        json!({"date_histogram": inner})
    };
    let aggs = json!({
        "months": histogram("month", json!({})),
        "full": histogram("1M", json!({"min_doc_count": 1, "order": {"_key": "desc"}})),
        "quarters": histogram("quarter", json!({})),
        "weeks": histogram("week", json!({"min_doc_count": 1})),
        "years": histogram("year", json!({})),
    });
    let found = reckoned(index, all(), aggs).await;
    let texts = |name: &str| -> Vec<(String, u64)> {
        let buckets = found[name]["buckets"].as_array().unwrap();
        let text = |bucket: &Value| bucket["key_as_string"].as_str().unwrap()[..10].to_owned();
        buckets.iter().map(|bucket| (text(bucket), bucket["doc_count"].as_u64().unwrap())).collect()
    };
    let is = |name: &str, expected: &[(&str, u64)]| {
        let expected: Vec<_> = expected.iter().map(|(key, count)| ((*key).to_owned(), *count)).collect();
        assert_eq!(texts(name), expected, "{name}");
    };
    is("months", &[("2026-01-01", 2), ("2026-02-01", 1), ("2026-03-01", 0), ("2026-04-01", 1)]);
    is("full", &[("2026-04-01", 1), ("2026-02-01", 1), ("2026-01-01", 2)]);
    is("quarters", &[("2026-01-01", 3), ("2026-04-01", 1)]);
    is("weeks", &[("2026-01-05", 1), ("2026-01-19", 1), ("2026-01-26", 1), ("2026-04-13", 1)]);
    is("years", &[("2026-01-01", 4)]);
    assert_eq!(found["months"]["buckets"][0]["key"], 1_767_225_600_000_i64);
    assert_eq!(found["months"]["buckets"][0]["key_as_string"], "2026-01-01T00:00:00.000Z");
}

pub async fn times_are_counted_by_fixed_spans(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let aggs = json!({"spans": {"date_histogram": {"field": "events.at", "fixed_interval": "12h"}}});
    let found = reckoned(index, all(), aggs).await;
    let day = 1_767_571_200_000_i64;
    let half = 43_200_000;
    assert_eq!(
        counts(&found["spans"]),
        [(json!(day), 1), (json!(day + half), 0), (json!(day + 2 * half), 1)]
    );
}

pub async fn numbers_are_reckoned_in_buckets(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let aggs = json!({
        "sum": {"sum": {"field": "total"}},
        "count": {"value_count": {"field": "skus"}},
        "first": {"min": {"field": "createdAt"}},
        "countries": {
            "terms": {"field": "country"},
            "aggs": {
                "sum": {"sum": {"field": "total"}}, "avg": {"avg": {"field": "total"}},
                "min": {"min": {"field": "total"}}, "max": {"max": {"field": "total"}},
                "months": {"date_histogram": {"field": "createdAt", "calendar_interval": "month"}},
            },
        },
    });
    let found = reckoned(index, all(), aggs).await;
    assert_eq!(found["sum"]["value"], 4000.0);
    assert_eq!(found["count"]["value"], 3);
    assert_eq!(found["first"]["value_as_string"], "2026-01-05T10:00:00.000Z");
    let us = &found["countries"]["buckets"][0];
    let values: Vec<_> = ["sum", "avg", "min", "max"].iter().map(|name| us[name]["value"].as_f64()).collect();
    assert_eq!(values, [Some(1500.0), Some(750.0), Some(500.0), Some(1000.0)]);
    assert_eq!(us["months"]["buckets"].as_array().map(Vec::len), Some(2));
    let france = &found["countries"]["buckets"][2];
    assert_eq!((&france["sum"]["value"], &france["avg"]["value"]), (&json!(0.0), &Value::Null));
}

pub async fn nothing_reckons_to_nothing(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let aggs = json!({
        "a": {"terms": {"field": "country"}}, "b": {"avg": {"field": "total"}}, "c": {"sum": {"field": "total"}},
        "d": {"date_histogram": {"field": "createdAt", "calendar_interval": "day"}},
        "e": {"value_count": {"field": "total"}}, "f": {"max": {"field": "unknown"}},
    });
    let found = reckoned(index, json!({"match_none": {}}), aggs).await;
    assert_eq!((counts(&found["a"]), counts(&found["d"])), (vec![], vec![]));
    assert_eq!(found["b"]["value"], Value::Null);
    assert_eq!(found["c"]["value"], 0.0);
    assert_eq!(found["e"]["value"], 0);
    assert_eq!(found["f"]["value"], Value::Null);
}
