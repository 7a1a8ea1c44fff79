//! The index on a real search server.

use std::{future::Future, path::PathBuf};

use cartwright_search::{
    Aim, Document, Error, Progress, SearchIndex, Written,
    elastic::{Elastic, Settings},
    query::{Query, Request},
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::contract::{Fresh, contract};

contract!(Remote::new);

impl Fresh for Remote {
    fn index(&self) -> &dyn SearchIndex {
        &self.index
    }
}

/// A server that is not there is a failure of the test.
pub fn url() -> String {
    std::env::var("CARTWRIGHT_TEST_SEARCH").expect(
        "CARTWRIGHT_TEST_SEARCH names no server: `cargo xtask servers up` starts one, `cargo xtask test` does so itself",
    )
}

/// An index of its own, which is taken away at the end.
pub struct Remote {
    pub index: Elastic,
    settings: Settings,
}

impl Remote {
    pub async fn new() -> Self {
        let settings = Self::settings();
        let index = Elastic::open(&settings).unwrap();
        index.prepare().await.unwrap();
        Self { index, settings }
    }

    /// With nothing made yet.
    pub fn bare() -> Self {
        let settings = Self::settings();
        Self { index: Elastic::open(&settings).unwrap(), settings }
    }

    /// At another address, where certificates in this file are trusted, and no others.
    pub fn behind(url: String, ca_file: PathBuf) -> Self {
        let settings = Settings { urls: vec![url], ca_file: Some(ca_file), ..Self::settings() };
        Self { index: Elastic::open(&settings).unwrap(), settings }
    }

    fn settings() -> Settings {
        let name = format!("test-{}", Uuid::now_v7().simple());
        Settings { shards: Some(1), replicas: Some(0), ..Settings::new(vec![url()], &name) }
    }

    /// As another process sees it.
    pub fn again(&self) -> Elastic {
        Elastic::open(&self.settings).unwrap()
    }

    pub fn alias(&self) -> &str {
        &self.settings.index
    }

    /// Asks the server itself.
    pub async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        ask(method, path, body).await
    }

    /// The indices that there are, without the one of notes.
    pub async fn indices(&self) -> Vec<String> {
        let path = format!("{}-*/_alias", self.alias());
        let all = self.ask(Method::GET, &path, json!({})).await;
        all.as_object().unwrap().keys().cloned().collect()
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let alias = self.alias().to_owned();
        let clean = async move {
            for index in names(&alias).await {
                ask(Method::DELETE, &index, json!({})).await;
            }
            ask(Method::DELETE, &format!("_index_template/{alias}"), json!({})).await;
        };
        // In a thread of its own: the test's runtime waits for us.
        let done = std::thread::spawn(|| run(clean)).join();
        assert!(done.is_ok() || std::thread::panicking(), "the index of the test is left behind");
    }
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work);
}

async fn names(alias: &str) -> Vec<String> {
    let path = format!("{alias}*?expand_wildcards=all");
    let all = ask(Method::GET, &path, json!({})).await;
    all.as_object().map(|all| all.keys().cloned().collect()).unwrap_or_default()
}

async fn ask(method: Method, path: &str, body: Value) -> Value {
    let request = Client::new().request(method.clone(), format!("{}/{path}", url()));
    let request = match method {
        Method::GET | Method::DELETE => request,
        _ => request.json(&body),
    };
    serde_json::from_slice(&request.send().await.unwrap().bytes().await.unwrap()).unwrap()
}

fn document(id: &str, version: u64) -> Document {
    let source = json!({"id": id, "version": version, "status": "Created", "total": 100}).to_string();
    Document { id: id.to_owned(), version, source: source.into_bytes() }
}

fn at(position: u64) -> Progress {
    Progress { incarnation: Uuid::from_u128(7), position }
}

async fn ids(index: &Elastic) -> Vec<String> {
    let found = index.search(&Request::of(Query::MatchAll)).await.unwrap();
    let mut ids: Vec<_> = found.hits.into_iter().map(|hit| hit.id).collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn the_server_says_what_it_is() {
    let server = Remote::bare().index.server().await.unwrap();
    assert!(server["version"]["number"].is_string(), "{server}");
}

#[tokio::test]
async fn what_is_not_mapped_is_kept_and_not_searched() {
    let remote = Remote::new().await;
    let source = json!({"id": "a", "surprise": "found", "metadata": {"note": {"deep": 1}}}).to_string();
    let document = Document { id: "a".to_owned(), version: 1, source: source.clone().into_bytes() };
    remote.index.write(Aim::Live, &[document]).await.unwrap();
    remote.index.commit(Aim::Live, None).await.unwrap();
    let term = Query::Term { field: "surprise".to_owned(), value: json!("found") };
    assert_eq!(remote.index.search(&Request::of(term)).await.unwrap().total, 0);
    assert_eq!(remote.index.get("a").await.unwrap().unwrap().source, source.into_bytes());
    let path = format!("{}/_mapping", remote.alias());
    let mapping = remote.ask(Method::GET, &path, json!({})).await;
    let properties = &mapping.as_object().unwrap().values().next().unwrap()["mappings"]["properties"];
    assert_eq!(properties["surprise"], Value::Null);
    assert_eq!(properties["total"]["type"], "long");
}

#[tokio::test]
async fn an_index_in_the_aliass_place_is_named_and_left_alone() {
    let remote = Remote::bare();
    remote.ask(Method::PUT, remote.alias(), json!({})).await;
    let error = remote.index.prepare().await.unwrap_err();
    assert!(matches!(&error, Error::Refused(reason) if reason.contains("must be an alias")), "{error}");
}

#[tokio::test]
async fn many_that_prepare_at_once_make_one_index() {
    let remote = Remote::bare();
    let others: Vec<_> = (0..6).map(|_| remote.again()).collect();
    let prepared = others.into_iter().map(|other| tokio::spawn(async move { other.prepare().await }));
    for one in prepared.collect::<Vec<_>>() {
        one.await.unwrap().unwrap();
    }
    assert_eq!(remote.indices().await.len(), 1);
}

/// No document is ever lost without being noticed: what was written is gone with its note.
#[tokio::test]
async fn an_index_that_somebody_deletes_is_made_again_and_is_new() {
    let remote = Remote::new().await;
    let index = &remote.index;
    index.progress().await.unwrap();
    index.write(Aim::Live, &[document("a", 1)]).await.unwrap();
    index.commit(Aim::Live, Some(at(5))).await.unwrap();
    assert_eq!(index.progress().await.unwrap(), Some(at(5)));
    for name in remote.indices().await {
        remote.ask(Method::DELETE, &name, json!({})).await;
    }
    let error = index.write(Aim::Live, &[document("b", 1)]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert_eq!(index.progress().await.unwrap(), None);
    assert_eq!(index.write(Aim::Live, &[document("b", 1)]).await.unwrap(), [Written::Stored]);
    index.commit(Aim::Live, Some(at(1))).await.unwrap();
    assert_eq!(ids(index).await, ["b"]);
}

#[tokio::test]
async fn an_index_deleted_between_writing_and_the_commit_is_noticed() {
    let remote = Remote::new().await;
    remote.index.write(Aim::Live, &[document("a", 1)]).await.unwrap();
    for name in remote.indices().await {
        remote.ask(Method::DELETE, &name, json!({})).await;
    }
    remote.again().prepare().await.unwrap();
    assert!(matches!(remote.index.commit(Aim::Live, Some(at(5))).await, Err(Error::Unavailable(_))));
    assert_eq!(remote.index.progress().await.unwrap(), None);
}

/// A rebuild is a process of its own: the indexer notices that another index stands there, and goes on from its note.
#[tokio::test]
async fn a_rebuild_by_another_process_is_noticed() {
    let remote = Remote::new().await;
    let (indexer, rebuild) = (&remote.index, remote.again());
    indexer.progress().await.unwrap();
    indexer.write(Aim::Live, &[document("a", 1)]).await.unwrap();
    indexer.commit(Aim::Live, Some(at(5))).await.unwrap();
    rebuild.begin_next().await.unwrap();
    rebuild.write(Aim::Next, &[document("a", 1)]).await.unwrap();
    indexer.write(Aim::Live, &[document("b", 1)]).await.unwrap();
    indexer.commit(Aim::Live, Some(at(6))).await.unwrap();
    rebuild.commit(Aim::Next, Some(at(5))).await.unwrap();
    assert_eq!(indexer.progress().await.unwrap(), Some(at(6)), "the live one's own");
    rebuild.swap().await.unwrap();
    let error = indexer.write(Aim::Live, &[document("c", 1)]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert_eq!(indexer.progress().await.unwrap(), Some(at(5)));
    indexer.write(Aim::Live, &[document("b", 1), document("c", 1)]).await.unwrap();
    indexer.commit(Aim::Live, Some(at(7))).await.unwrap();
    assert_eq!(ids(indexer).await, ["a", "b", "c"]);
    assert_eq!(remote.indices().await.len(), 1);
}

#[tokio::test]
async fn a_rebuild_throws_away_what_earlier_ones_left_and_nothing_else() {
    let remote = Remote::new().await;
    let backup = format!("{}-backup", remote.alias());
    remote.ask(Method::PUT, &backup, json!({})).await;
    let mut last = remote.again();
    for _ in 0..3 {
        last = remote.again();
        last.begin_next().await.unwrap();
    }
    let indices = remote.indices().await;
    assert_eq!(indices.len(), 3, "the live one, the last next one, the backup: {indices:?}");
    assert!(indices.contains(&backup));
    last.swap().await.unwrap();
    assert_eq!(remote.indices().await.len(), 2);
}

/// One that stood still, and woke up when another had begun anew.
#[tokio::test]
async fn a_half_made_index_of_another_process_is_not_put_into_place() {
    let remote = Remote::new().await;
    remote.index.write(Aim::Live, &[document("a", 1), document("b", 1)]).await.unwrap();
    remote.index.commit(Aim::Live, Some(at(5))).await.unwrap();
    let (frozen, other) = (remote.again(), remote.again());
    frozen.begin_next().await.unwrap();
    frozen.write(Aim::Next, &[document("a", 1), document("b", 1)]).await.unwrap();
    other.begin_next().await.unwrap();
    other.write(Aim::Next, &[document("a", 1)]).await.unwrap();
    for refused in [
        frozen.write(Aim::Next, &[document("b", 1)]).await.map(drop),
        frozen.commit(Aim::Next, Some(at(9))).await,
        frozen.swap().await,
    ] {
        assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    }
    assert_eq!(ids(&remote.index).await, ["a", "b"], "the live one, as it was");
    other.write(Aim::Next, &[document("b", 1)]).await.unwrap();
    other.commit(Aim::Next, Some(at(5))).await.unwrap();
    other.swap().await.unwrap();
    assert_eq!(
        (ids(&other).await, other.progress().await.unwrap()),
        (vec!["a".into(), "b".into()], Some(at(5)))
    );
}

#[tokio::test]
async fn the_next_index_is_not_made_by_writing_to_it() {
    let remote = Remote::new().await;
    let error = remote.index.write(Aim::Next, &[document("a", 1)]).await.unwrap_err();
    assert!(matches!(&error, Error::Refused(reason) if reason.contains("begin the rebuild")), "{error}");
    assert!(matches!(remote.index.swap().await, Err(Error::Refused(_))));
    assert_eq!(remote.indices().await.len(), 1);
}

#[tokio::test]
async fn ids_of_any_signs_are_kept_apart() {
    let remote = Remote::new().await;
    let strange = ["..", "a/b", "a%2Fb", "ä ö", "\"", "a?q=1#x", "_all"];
    let documents: Vec<_> = strange.iter().map(|id| document(id, 1)).collect();
    let written = remote.index.write(Aim::Live, &documents).await.unwrap();
    assert_eq!(written, vec![Written::Stored; strange.len()]);
    for id in strange {
        assert_eq!(remote.index.get(id).await.unwrap().unwrap().id, id);
    }
    assert_eq!(remote.index.get("other").await.unwrap(), None);
}

#[tokio::test]
async fn poison_is_refused_and_its_neighbours_are_stored() {
    let remote = Remote::new().await;
    let wrong = |id: &str, source: Value| Document {
        id: id.to_owned(),
        version: 1,
        source: source.to_string().into_bytes(),
    };
    let documents = [
        document("a", 1),
        wrong("b", json!({"total": "many"})),
        wrong("c", json!({"createdAt": "soon"})),
        wrong("d", json!({"flow": "x".repeat(40_000)})),
        Document { id: "e".to_owned(), version: 1, source: b"{".to_vec() },
        document("f", u64::MAX),
        document("g", 1),
    ];
    let written = remote.index.write(Aim::Live, &documents).await.unwrap();
    let refused: Vec<_> = written.iter().map(|one| matches!(one, Written::Refused(_))).collect();
    assert_eq!(refused, [false, true, true, true, true, true, false], "{written:?}");
}

#[tokio::test]
async fn nothing_that_searches_makes_an_index() {
    let remote = Remote::bare();
    assert!(matches!(remote.index.search(&Request::default()).await, Err(Error::Unavailable(_))));
    assert!(matches!(remote.index.get("a").await, Err(Error::Unavailable(_))));
    assert_eq!(remote.index.progress().await.unwrap(), None);
    assert_eq!(remote.indices().await, Vec::<String>::new());
}
