//! Which hits are given, in which order, and what of them.

use cartwright_search::SearchIndex;
use serde_json::{Value, json};

use super::{filled, ordered_ids, orders, search};

async fn sorted(index: &dyn SearchIndex, sort: Value) -> Vec<String> {
    ordered_ids(&search(index, json!({"sort": sort})).await)
}

pub async fn hits_are_sorted_with_missing_values_where_asked(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let cases = [
        (json!(["total"]), ["c", "a", "b", "d"]),
        (json!([{"total": "desc"}]), ["b", "a", "c", "d"]),
        (json!([{"total": {"order": "desc", "missing": "_first"}}]), ["d", "b", "a", "c"]),
        (json!([{"createdAt": "desc"}]), ["d", "c", "b", "a"]),
        (json!(["country", {"id": "desc"}]), ["b", "d", "c", "a"]),
        (json!([{"country": "desc"}, {"total": "asc"}]), ["c", "a", "d", "b"]),
        (json!(["status.keyword", "id"]), ["c", "d", "a", "b"]),
        (json!([{"onHold": "desc"}, "id"]), ["b", "a", "c", "d"]),
        (json!([{"skus": "asc"}, "id"]), ["a", "b", "c", "d"]),
        (json!([{"skus": {"order": "desc", "missing": "_first"}}, "id"]), ["c", "d", "a", "b"]),
        (json!([{"unknown": {"unmapped_type": "long"}}, {"id": "desc"}]), ["d", "c", "b", "a"]),
    ];
    for (sort, expected) in cases {
        assert_eq!(sorted(index, sort.clone()).await, expected, "{sort}");
    }
}

pub async fn pages_follow_one_another(index: &dyn SearchIndex) {
    let many: Vec<_> =
        (0..25).map(|i| (format!("id-{i:02}"), json!({"total": i % 3, "status": "Same"}))).collect();
    let many: Vec<_> = many.iter().map(|(id, source)| (id.as_str(), source.clone())).collect();
    filled(index, &many).await;
    for sort in [json!([]), json!([{"total": "desc"}])] {
        let mut seen = Vec::new();
        for from in [0, 10, 20, 30] {
            let body =
                json!({"query": {"match": {"status": "same"}}, "from": from, "size": 10, "sort": sort});
            let found = search(index, body).await;
            assert_eq!(found.total, 25);
            seen.extend(ordered_ids(&found));
        }
        seen.sort();
        let all: Vec<_> = many.iter().map(|(id, _)| (*id).to_owned()).collect();
        assert_eq!(seen, all, "{sort}");
    }
    let counted = search(index, json!({"size": 0})).await;
    assert_eq!((counted.total, counted.hits.len(), counted.max_score), (25, 0, None));
}

pub async fn search_after_goes_on_behind_a_hit(index: &dyn SearchIndex) {
    let mut sources: Vec<_> = (0..25)
        .map(|i| (format!("o{i:02}"), json!({"id": format!("o{i:02}"), "total": i % 4, "country": "DE"})))
        .collect();
    // Some without a value, which stand at the end and are passed like all others.
    sources.extend((25..30).map(|i| (format!("o{i:02}"), json!({"id": format!("o{i:02}")}))));
    let borrowed: Vec<_> = sources.iter().map(|(id, source)| (id.as_str(), source.clone())).collect();
    filled(index, &borrowed).await;
    for sort in [
        json!(["total", "id"]),
        json!([{"total": "desc"}, {"id": "desc"}]),
        json!([{"country": {"order": "desc", "missing": "_last"}}, "id"]),
    ] {
        let all = ordered_ids(&search(index, json!({"sort": sort, "size": 100})).await);
        assert_eq!(all.len(), 30);
        let mut seen = Vec::new();
        let mut after: Option<Vec<Value>> = None;
        loop {
            let mut body = json!({"sort": sort, "size": 7});
            if let Some(after) = &after {
                body["search_after"] = json!(after);
            }
            let found = search(index, body).await;
            assert_eq!(found.total, 30, "the total is that of all pages");
            seen.extend(ordered_ids(&found));
            match found.hits.last() {
                Some(last) => after = Some(last.sort.clone()),
                None => break,
            }
        }
        assert_eq!(seen, all, "{sort}");
    }
    let between = json!({"sort": ["id"], "search_after": ["o05x"], "size": 1});
    assert_eq!(ordered_ids(&search(index, between).await), ["o06"]);
    let behind = json!({"sort": ["id"], "search_after": ["z"], "size": 1});
    assert_eq!(ordered_ids(&search(index, behind).await), Vec::<String>::new());
}

pub async fn sources_are_filtered(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let cases = [
        (json!(false), None),
        (json!("total"), Some(json!({"total": 1000}))),
        (json!(["id", "metadata.*"]), Some(json!({"id": "a", "metadata": {"note": "hidden"}}))),
        (
            json!({"includes": ["events"], "excludes": ["*.at"]}),
            Some(json!({"events": [{"type": "OrderCreatedV1"}, {"type": "OrderCompletedV1"}]})),
        ),
    ];
    for (filter, expected) in cases {
        let found = search(index, json!({"query": {"ids": {"values": ["a"]}}, "_source": filter})).await;
        assert_eq!(found.hits[0].source, expected, "{filter}");
    }
    let found = search(index, json!({"query": {"ids": {"values": ["a"]}}})).await;
    assert_eq!(found.hits[0].source.as_ref(), Some(&orders()[0].1));
}

pub async fn the_best_match_comes_first(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let query = json!({"match": {"products": "red phone"}});
    let found = search(index, json!({"query": query})).await;
    assert_eq!(ordered_ids(&found), ["a", "c"]);
    assert_eq!(found.max_score, found.hits[0].score);
    assert!(found.hits[0].score > found.hits[1].score, "{:?}", found.hits);
    let worst_first = search(index, json!({"query": query, "sort": [{"_score": "asc"}]})).await;
    assert_eq!(ordered_ids(&worst_first), ["c", "a"]);
    let by_field = search(index, json!({"query": query, "sort": ["total"]})).await;
    assert_eq!(by_field.hits[0].score, None);
    assert_eq!(by_field.max_score, None);
    let flat = search(index, json!({"query": {"bool": {"filter": [query]}}})).await;
    assert_eq!(flat.max_score, Some(0.0));
    assert_eq!(search(index, json!({})).await.max_score, Some(1.0));
}

pub async fn an_empty_index_answers(index: &dyn SearchIndex) {
    for body in [json!({}), json!({"sort": ["total", "id"]}), json!({"query": {"match": {"status": "a"}}})] {
        let found = search(index, body.clone()).await;
        assert_eq!((found.total, found.hits.len(), found.max_score), (0, 0, None), "{body}");
    }
    assert_eq!(index.get("a").await.unwrap(), None);
}

pub async fn sort_values_are_shown(index: &dyn SearchIndex) {
    filled(index, &orders()).await;
    let sort = json!(["createdAt", "country", {"total": "desc"}, {"number": "desc"}, "onHold"]);
    let found = search(index, json!({"sort": sort})).await;
    let first = json!([1_767_607_200_000_i64, "US", 1000, "N-1"]);
    let last = json!([1_776_249_000_000_i64, "FR", i64::MIN, null]);
    assert_eq!(json!(found.hits[0].sort[..4]), first);
    assert_eq!(json!(found.hits[3].sort[..4]), last);
}
