//! Writing, progress, and indexes that take each other's place.

use std::sync::atomic::{AtomicBool, Ordering};

use cartwright_search::{Aim, Error, SearchIndex, Written};
use serde_json::json;

use super::{document, filled, ids, progress, search};

pub async fn a_document_is_found_after_the_commit(index: &dyn SearchIndex) {
    filled(index, &[("a", json!({"status": "Created"}))]).await;
    assert_eq!(ids(index, json!({"match": {"status": "created"}})).await, ["a"]);
}

pub async fn an_older_or_repeated_version_is_not_written(index: &dyn SearchIndex) {
    let write = async |version, status: &str| {
        let documents = [document("a", version, json!({"status": status}))];
        index.write(Aim::Live, &documents).await.unwrap()
    };
    assert_eq!(write(2, "Second").await, [Written::Stored]);
    assert_eq!(write(2, "Repeated").await, [Written::Older], "before the commit");
    assert_eq!(write(1, "First").await, [Written::Older]);
    index.commit(Aim::Live, None).await.unwrap();
    assert_eq!(write(1, "First").await, [Written::Older], "after the commit");
    assert_eq!(write(2, "Repeated").await, [Written::Older]);
    index.commit(Aim::Live, None).await.unwrap();
    assert_eq!(ids(index, json!({"match_all": {}})).await, ["a"]);
    assert_eq!(ids(index, json!({"match": {"status": "second"}})).await, ["a"]);
}

pub async fn a_newer_version_takes_the_place_between_commits_and_within_one(index: &dyn SearchIndex) {
    let documents: Vec<_> =
        (1..=3).map(|version| document("a", version, json!({"total": version}))).collect();
    assert_eq!(index.write(Aim::Live, &documents).await.unwrap(), vec![Written::Stored; 3]);
    index.commit(Aim::Live, None).await.unwrap();
    assert_eq!(ids(index, json!({"term": {"total": 3}})).await, ["a"]);
    index.write(Aim::Live, &[document("a", 4, json!({"total": 4}))]).await.unwrap();
    index.commit(Aim::Live, None).await.unwrap();
    assert_eq!(ids(index, json!({"match_all": {}})).await, ["a"], "there is one for each order");
    assert_eq!(ids(index, json!({"term": {"total": 4}})).await, ["a"]);
    assert_eq!(index.get("a").await.unwrap().map(|found| found.version), Some(4));
}

pub async fn what_no_field_can_hold_is_refused_and_nothing_else(index: &dyn SearchIndex) {
    let documents = [
        document("a", 1, json!({"total": "many"})),
        document(
            "b",
            1,
            json!({"total": 1, "unknown": {"anything": [1, "x"]}, "metadata": {"total": "many"}}),
        ),
        document("c", 1, json!({"createdAt": "soon"})),
    ];
    let written = index.write(Aim::Live, &documents).await.unwrap();
    assert!(matches!(&written[0], Written::Refused(reason) if reason.contains("total")), "{written:?}");
    assert_eq!(written[1], Written::Stored);
    assert!(matches!(&written[2], Written::Refused(reason) if reason.contains("createdAt")), "{written:?}");
    index.commit(Aim::Live, None).await.unwrap();
    assert_eq!(ids(index, json!({"match_all": {}})).await, ["b"]);
}

pub async fn progress_is_kept_with_the_commit(index: &dyn SearchIndex) {
    assert_eq!(index.progress().await.unwrap(), None);
    index.commit(Aim::Live, Some(progress(5))).await.unwrap();
    assert_eq!(index.progress().await.unwrap(), Some(progress(5)));
    filled(index, &[("a", json!({}))]).await;
    assert_eq!(index.progress().await.unwrap(), Some(progress(5)), "a commit without one leaves it");
    index.commit(Aim::Live, Some(progress(9))).await.unwrap();
    assert_eq!(index.progress().await.unwrap(), Some(progress(9)));
}

pub async fn a_document_is_given_back_as_it_was_written(index: &dyn SearchIndex) {
    let written = document("a", 7, json!({"id": "a", "metadata": {"x": [1, null, {"y": "ä"}]}, "total": 5}));
    index.write(Aim::Live, std::slice::from_ref(&written)).await.unwrap();
    index.commit(Aim::Live, None).await.unwrap();
    let found = index.get("a").await.unwrap().unwrap();
    assert_eq!((found.id.as_str(), found.version), ("a", 7));
    let json = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
    assert_eq!(json(&found.source), json(&written.source));
    assert_eq!(index.get("b").await.unwrap(), None);
}

pub async fn a_next_index_takes_the_place_of_the_live_one(index: &dyn SearchIndex) {
    assert!(matches!(index.swap().await, Err(Error::Refused(_))), "there is none");
    filled(index, &[("old", json!({})), ("both", json!({"total": 1}))]).await;
    index.commit(Aim::Live, Some(progress(3))).await.unwrap();
    index.begin_next().await.unwrap();
    let documents = [document("both", 2, json!({"total": 2})), document("new", 1, json!({}))];
    assert_eq!(index.write(Aim::Next, &documents).await.unwrap(), vec![Written::Stored; 2]);
    index.commit(Aim::Next, Some(progress(8))).await.unwrap();
    assert_eq!(ids(index, json!({"match_all": {}})).await, ["both", "old"], "nothing is seen of it yet");
    assert_eq!(index.progress().await.unwrap(), Some(progress(3)));
    index.swap().await.unwrap();
    assert_eq!(ids(index, json!({"match_all": {}})).await, ["both", "new"]);
    assert_eq!(index.progress().await.unwrap(), Some(progress(8)));
    assert_eq!(index.write(Aim::Live, &documents).await.unwrap(), vec![Written::Older; 2]);
    filled(index, &[("later", json!({}))]).await;
    assert_eq!(ids(index, json!({"match_all": {}})).await, ["both", "later", "new"]);
    assert!(matches!(index.swap().await, Err(Error::Refused(_))), "it is swapped once");
}

pub async fn a_second_attempt_begins_the_next_index_anew(index: &dyn SearchIndex) {
    index.begin_next().await.unwrap();
    index.write(Aim::Next, &[document("broken-off", 1, json!({}))]).await.unwrap();
    index.commit(Aim::Next, None).await.unwrap();
    index.begin_next().await.unwrap();
    index.write(Aim::Next, &[document("a", 1, json!({}))]).await.unwrap();
    index.commit(Aim::Next, None).await.unwrap();
    index.swap().await.unwrap();
    assert_eq!(ids(index, json!({"match_all": {}})).await, ["a"]);
}

pub async fn searches_go_on_while_indexes_are_swapped(index: &dyn SearchIndex) {
    filled(index, &[("a", json!({"total": 1})), ("b", json!({"total": 1}))]).await;
    let done = AtomicBool::new(false);
    let swapping = async {
        for round in 0..3 {
            index.begin_next().await.unwrap();
            let documents =
                [document("a", 1, json!({"total": round})), document("b", 1, json!({"total": round}))];
            index.write(Aim::Next, &documents).await.unwrap();
            index.commit(Aim::Next, None).await.unwrap();
            index.swap().await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
    };
    let searching = async {
        while !done.load(Ordering::Relaxed) {
            let found = search(index, json!({})).await;
            assert_eq!((found.total, found.hits.len()), (2, 2));
            let totals: Vec<_> =
                found.hits.iter().map(|hit| hit.source.as_ref().unwrap()["total"].clone()).collect();
            assert_eq!(totals[0], totals[1], "both are of one index");
        }
    };
    tokio::join!(swapping, searching);
}
