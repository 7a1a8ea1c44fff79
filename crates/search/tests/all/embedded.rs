//! The embedded index: the contract, and what is about its files.

use std::{fs, path::Path};

use cartwright_search::{Aim, Error, SearchIndex, embedded::Embedded};
use serde_json::json;
use tempfile::TempDir;

use crate::contract::{Fresh, contract, document, filled, ids, progress, search};

struct InDirectory {
    index: Embedded,
    dir: TempDir,
}

impl Fresh for InDirectory {
    fn index(&self) -> &dyn SearchIndex {
        &self.index
    }
}

async fn fresh() -> InDirectory {
    let dir = tempfile::tempdir().unwrap();
    let index = Embedded::open(dir.path()).unwrap();
    index.prepare().await.unwrap();
    InDirectory { index, dir }
}

contract!(fresh);

impl InDirectory {
    /// Closes it and opens it once more, as the next start does.
    async fn reopened(self, meanwhile: impl FnOnce(&Path)) -> Self {
        let Self { index, dir } = self;
        drop(index);
        meanwhile(dir.path());
        let index = Embedded::open(dir.path()).unwrap();
        index.prepare().await.unwrap();
        Self { index, dir }
    }
}

async fn with_one() -> InDirectory {
    let fresh = fresh().await;
    filled(&fresh.index, &[("a", json!({"status": "Created"}))]).await;
    fresh.index.commit(Aim::Live, Some(progress(5))).await.unwrap();
    fresh
}

/// The directories of indexes.
fn indexes(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.is_dir()).collect()
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart_and_nothing_else() {
    let fresh = with_one().await;
    fresh.index.write(Aim::Live, &[document("b", 1, json!({}))]).await.unwrap();
    let fresh = fresh.reopened(|_| {}).await;
    assert_eq!(ids(&fresh.index, json!({"match_all": {}})).await, ["a"]);
    assert_eq!(fresh.index.progress().await.unwrap(), Some(progress(5)));
    let again = [document("a", 1, json!({})), document("b", 1, json!({}))];
    let written = fresh.index.write(Aim::Live, &again).await.unwrap();
    assert_eq!(format!("{written:?}"), "[Older, Stored]");
}

#[tokio::test]
async fn a_next_index_that_was_not_finished_is_gone_after_a_restart() {
    let fresh = with_one().await;
    fresh.index.begin_next().await.unwrap();
    fresh.index.write(Aim::Next, &[document("b", 1, json!({}))]).await.unwrap();
    fresh.index.commit(Aim::Next, None).await.unwrap();
    let fresh = fresh.reopened(|dir| assert_eq!(indexes(dir).len(), 2)).await;
    assert_eq!(indexes(fresh.dir.path()).len(), 1);
    assert_eq!(ids(&fresh.index, json!({"match_all": {}})).await, ["a"]);
}

#[tokio::test]
async fn a_swap_is_there_after_a_restart() {
    let fresh = with_one().await;
    fresh.index.begin_next().await.unwrap();
    fresh.index.write(Aim::Next, &[document("b", 1, json!({}))]).await.unwrap();
    fresh.index.commit(Aim::Next, Some(progress(9))).await.unwrap();
    fresh.index.swap().await.unwrap();
    assert_eq!(indexes(fresh.dir.path()).len(), 1, "the old one is gone");
    let fresh = fresh.reopened(|_| {}).await;
    assert_eq!(ids(&fresh.index, json!({"match_all": {}})).await, ["b"]);
    assert_eq!(fresh.index.progress().await.unwrap(), Some(progress(9)));
}

type Damage<'a> = &'a dyn Fn(&Path);

#[tokio::test]
async fn a_damaged_index_is_made_anew() {
    let pointer = |dir: &Path| dir.join("current.json");
    let damages: [(&str, Damage<'_>); 6] = [
        ("the pointer is cut off", &|dir| fs::write(pointer(dir), b"{\"form").unwrap()),
        ("the pointer is of another format", &|dir| {
            let text = fs::read_to_string(pointer(dir)).unwrap().replace("\"format\":", "\"format\":9");
            fs::write(pointer(dir), text).unwrap();
        }),
        ("the index is gone", &|dir| fs::remove_dir_all(&indexes(dir)[0]).unwrap()),
        ("its list of parts is cut off", &|dir| fs::write(indexes(dir)[0].join("meta.json"), b"{").unwrap()),
        ("its parts are cut off", &|dir| {
            for entry in fs::read_dir(&indexes(dir)[0]).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|ending| ending != "json" && ending != "lock") {
                    fs::write(path, b"").unwrap();
                }
            }
        }),
        ("it has other fields", &|dir| {
            let path = indexes(dir)[0].join("meta.json");
            let text = fs::read_to_string(&path).unwrap().replace("\"country\"", "\"land\"");
            fs::write(path, text).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let fresh = with_one().await.reopened(damage).await;
        assert_eq!(fresh.index.progress().await.unwrap(), None, "{what}");
        assert_eq!(search(&fresh.index, json!({})).await.total, 0, "{what}");
        filled(&fresh.index, &[("b", json!({}))]).await;
        let fresh = fresh.reopened(|_| {}).await;
        assert_eq!(ids(&fresh.index, json!({"match_all": {}})).await, ["b"], "{what}");
    }
}

#[tokio::test]
async fn a_second_process_is_told_that_it_is_in_use() {
    let fresh = with_one().await;
    let Err(Error::Unavailable(reason)) = Embedded::open(fresh.dir.path()) else { panic!("it opens twice") };
    assert!(reason.contains("another process"), "{reason}");
    assert_eq!(ids(&fresh.index, json!({"match_all": {}})).await, ["a"], "nothing was thrown away");
}

#[tokio::test]
async fn too_many_buckets_are_refused() {
    let fresh = fresh().await;
    let sources = [("a", json!({"createdAt": "1970-01-01"})), ("b", json!({"createdAt": "2026-01-01"}))];
    filled(&fresh.index, &sources).await;
    let body = json!({"aggs": {"a": {"date_histogram": {"field": "createdAt", "fixed_interval": "1s"}}}});
    let request = cartwright_search::query::Request::from_json(&body).unwrap();
    let Err(Error::Wrong(wrong)) = fresh.index.search(&request).await else { panic!("it answers") };
    assert_eq!(wrong.kind(), "too_many_buckets_exception");
}
