use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::query::{Edge, Minimum, Missing, Order, SortBy, Together};

fn read(body: Value) -> Result<Request, Wrong> {
    search(&body)
}

fn query(query: Value) -> Result<Query, Wrong> {
    read(json!({"query": query})).map(|request| request.query)
}

fn refused(body: Value) -> String {
    let wrong = read(body.clone()).err().unwrap_or_else(|| panic!("{body} is read"));
    format!("{}: {}", wrong.kind(), wrong.reason())
}

#[test]
fn both_searches_of_the_contract_are_read() {
    assert_eq!(json(b"").and_then(|body| search(&body)), Ok(Request::default()));
    let request = Request::read(br#"{"query":{"match":{"status":"FulfillmentScheduled"}}}"#).unwrap();
    let expected = Query::Match {
        field: "status".into(),
        text: json!("FulfillmentScheduled"),
        operator: Operator::Or,
        minimum: None,
    };
    assert_eq!(request, Request::of(expected));
}

#[test]
fn short_and_long_forms_are_the_same() {
    let pairs = [
        (
            json!({"match": {"status": "a b"}}),
            json!({"match": {"status": {"query": "a b", "operator": "OR"}}}),
        ),
        (json!({"term": {"country": "US"}}), json!({"term": {"country": {"value": "US"}}})),
        (json!({"prefix": {"country": "U"}}), json!({"prefix": {"country": {"value": "U"}}})),
        (json!({"bool": {"must": {"match_all": {}}}}), json!({"bool": {"must": [{"match_all": {}}]}})),
        (json!({"terms": {"_id": ["a"]}}), json!({"ids": {"values": ["a"]}})),
    ];
    for (short, long) in pairs {
        assert_eq!(query(short.clone()).unwrap(), query(long).unwrap(), "{short}");
    }
}

#[test]
fn ranges_and_bools_are_read() {
    let range = query(json!({"range": {"total": {"gt": 5, "lte": "9"}}})).unwrap();
    let expected = Query::Range {
        field: "total".into(),
        from: Edge::Excluding(json!(5)),
        to: Edge::Including(json!("9")),
    };
    assert_eq!(range, expected);
    let together = query(
        json!({"bool": {"should": [{"match_all": {}}, {"match_none": {}}], "minimum_should_match": "50%"}}),
    );
    let expected = Together {
        should: vec![Query::MatchAll, Query::MatchNone],
        minimum: Some(Minimum::Percent(50)),
        ..Together::default()
    };
    assert_eq!(together, Ok(Query::Bool(Box::new(expected))));
}

#[test]
fn sorts_are_read_in_all_their_forms() {
    let request = read(json!({"sort": [
        "id",
        {"total": "desc"},
        {"createdAt": {"order": "desc", "missing": "_first"}},
        {"unknown": {"unmapped_type": "long"}},
        "_score",
    ]}));
    let sort = request.unwrap().sort;
    assert_eq!(sort[0], Sort::by("id", Order::Ascending));
    assert_eq!(sort[1], Sort::by("total", Order::Descending));
    assert_eq!(sort[2], Sort { missing: Missing::First, ..Sort::by("createdAt", Order::Descending) });
    assert_eq!(sort[3].unmapped_type.as_deref(), Some("long"));
    assert_eq!((&sort[4].by, sort[4].order), (&SortBy::Score, Order::Descending));
}

#[test]
fn what_is_not_supported_is_refused_by_its_name() {
    let cases = [
        (json!({"query": {"fuzzy": {"status": "a"}}}), "parsing_exception: query [fuzzy]"),
        (json!({"query": {"match": {"status": {"query": "a", "fuzziness": 1}}}}), "[fuzziness]"),
        (json!({"highlight": {}}), "[highlight]"),
        (json!({"version": true}), "[version]"),
        (json!({"aggs": {"a": {"cardinality": {"field": "id"}}}}), "[cardinality]"),
        (json!({"aggs": {"a": {"terms": {"field": "id", "include": "x"}}}}), "[include]"),
        (json!({"aggs": {"a": {"terms": {"field": "id", "order": {"b": "asc"}}}}}), "[b]"),
        (json!({"sort": ["_doc"]}), "[_doc]"),
        (json!({"sort": [{"id": {"mode": "min"}}]}), "[mode]"),
    ];
    for (body, words) in cases {
        let told = refused(body);
        assert!(told.contains(words), "{told}");
    }
}

#[test]
fn what_a_field_can_not_answer_is_refused() {
    let cases = [
        (json!({"sort": ["status"]}), "illegal_argument_exception: Fielddata is disabled on [status]"),
        (json!({"sort": ["status"]}), "[status.keyword]"),
        (json!({"sort": ["unknown"]}), "No mapping found for [unknown] in order to sort on"),
        (json!({"aggs": {"a": {"sum": {"field": "country"}}}}), "Field [country] of type [keyword]"),
        (json!({"aggs": {"a": {"terms": {"field": "status"}}}}), "[status.keyword]"),
        (json!({"query": {"term": {"total": "many"}}}), "query_shard_exception: [total]"),
        (
            json!({"query": {"range": {"createdAt": {"gte": "soon"}}}}),
            "parse_exception: failed to parse date",
        ),
        (json!({"query": {"prefix": {"total": "1"}}}), "prefix queries"),
        (json!({"from": 9_991}), "but was [10001]"),
        (json!({"search_after": [1]}), "Sort must contain"),
        (
            json!({"sort": ["id", "total"], "search_after": ["a"]}),
            "search_after has 1 value(s) but sort has 2",
        ),
        (json!({"size": -1}), "[size] must be a whole number"),
        (json!([]), "parsing_exception"),
    ];
    for (body, words) in cases {
        let told = refused(body);
        assert!(told.contains(words), "{told}");
    }
    assert!(query(json!({"term": {"unknown": "many"}})).is_ok(), "it matches nothing");
}

#[test]
fn everything_has_a_bound() {
    let mut deep = json!({"match_all": {}});
    for _ in 0..30 {
        deep = json!({"bool": {"must": [deep]}});
    }
    assert!(refused(json!({"query": deep})).contains("deep"));
    let many = vec![json!({"match_all": {}}); 1_025];
    assert!(refused(json!({"query": {"bool": {"must": many}}})).contains("1024"));
    let values = vec![json!("a"); 10_001];
    assert!(refused(json!({"query": {"terms": {"id": values}}})).contains("10000"));
    assert!(refused(json!({"aggs": {"a": {"terms": {"field": "id", "size": 10_001}}}})).contains("10000"));
}

#[test]
fn a_count_takes_a_query_and_nothing_else() {
    let request = Request::read_count(br#"{"query":{"match_all":{}}}"#).unwrap();
    assert_eq!((request.size, request.query), (0, Query::MatchAll));
    assert!(Request::read_count(br#"{"sort":["id"]}"#).is_err());
    assert!(Request::read_count(b"{").is_err());
}

#[test]
fn the_full_form_is_read_as_the_same() {
    let request = read(json!({
        "query": {"bool": {
            "must": [{"match": {"status": {"query": "a b", "operator": "and"}}}, {"ids": {"values": ["1"]}}],
            "filter": [{"range": {"total": {"gt": 1, "lte": 2}}}, {"terms": {"country": ["US"]}}, {"prefix": {"id": "a"}}],
            "should": [{"match_phrase": {"products": "red phone"}}, {"exists": {"field": "events"}}],
            "must_not": [{"term": {"onHold": true}}, {"match_none": {}}],
            "minimum_should_match": -1,
        }},
        "sort": [{"total": "desc"}, {"id": {"missing": "_first"}}, "_score"],
        "search_after": [5, "a", 1.5], "size": 3, "track_total_hits": false,
        "_source": {"includes": ["id"], "excludes": ["events.*"]},
        "aggs": {
            "by": {"terms": {"field": "country", "order": {"_key": "asc"}}, "aggs": {"most": {"max": {"field": "total"}}}},
            "days": {"date_histogram": {"field": "createdAt", "calendar_interval": "1d", "min_doc_count": 1}},
            "hours": {"date_histogram": {"field": "createdAt", "fixed_interval": "2h", "order": {"_key": "desc"}}},
        },
    }));
    let request = request.unwrap();
    assert_eq!(Request::from_json(&request.to_json()), Ok(request));
}

fn any_json() -> impl Strategy<Value = Value> {
    let words = "query|match|bool|must|should|term|terms|range|gte|lt|ids|values|sort|order|aggs|field|status|total\
                 |createdAt|date_histogram|calendar_interval|_source|prefix|exists|size|from|search_after";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        words.prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(words, inner, 0..4).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_makes_it_panic(body in any_json()) {
        let _ = read(body.clone());
        let _ = query(body.clone());
        let _ = read(json!({"aggs": {"a": body.clone()}}));
        let _ = read(json!({"sort": body}));
    }

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Request::read(&body);
    }
}
