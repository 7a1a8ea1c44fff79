//! What the adapter makes of a search server that does not do what it should.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use cartwright_search::{
    Aim, Document, Error, Progress, SearchIndex, Written,
    elastic::{Elastic, Settings},
    query::Request,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::remote_server::{Asked, FakeServer, Reply};

/// Longer than a test waits for anything else.
const PATIENT: Duration = Duration::from_secs(20);

fn documents(ids: &[&str]) -> Vec<Document> {
    ids.iter().map(|id| Document { id: (*id).to_owned(), version: 1, source: b"{}".to_vec() }).collect()
}

fn index(servers: &[&FakeServer]) -> Elastic {
    let urls = servers.iter().map(|server| server.url.clone()).collect();
    Elastic::open(&Settings { timeout: PATIENT, ..Settings::new(urls, "orders") }).unwrap()
}

fn refusal(kind: &str, reason: &str, status: u16) -> Value {
    let cause = json!({"type": kind, "reason": reason});
    json!({"error": {"root_cause": [cause], "type": kind, "reason": reason}, "status": status})
}

/// A bulk answer in which each document has this status.
fn bulk(asked: &Asked, place: &str, status: impl Fn(&str) -> u16) -> Reply {
    let item = |id: String| {
        let status = status(&id);
        let error =
            (status >= 300).then(|| json!({"type": "x_exception", "reason": format!("{id} is {status}")}));
        json!({"index": {"_index": place, "status": status, "error": error}})
    };
    let items: Vec<_> = asked.ids().into_iter().map(item).collect();
    Reply::Json(200, json!({"errors": true, "items": items}))
}

async fn nothing_found() -> FakeServer {
    let found = json!({"hits": {"total": {"value": 0, "relation": "eq"}, "max_score": null, "hits": []}});
    FakeServer::start(move |_| Reply::Json(200, found.clone())).await
}

#[tokio::test]
async fn too_much_to_do_is_told_at_once_and_no_other_node_is_asked() {
    let [busy, other] = [busy().await, busy().await];
    let error = index(&[&busy, &other]).write(Aim::Live, &documents(&["a"])).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(reason) if reason.contains("queue is full")), "{error}");
    assert_eq!(busy.asked().len() + other.asked().len(), 1);
}

async fn busy() -> FakeServer {
    let full = refusal("rejected_execution_exception", "queue is full", 429);
    FakeServer::start(move |_| Reply::Json(429, full.clone())).await
}

#[tokio::test]
async fn another_node_answers_for_one_that_does_not_and_that_one_is_left_alone() {
    let broken = FakeServer::start(|_| Reply::Text(503, "starting".to_owned())).await;
    let (cut, well) = (FakeServer::start(|_| Reply::Cut).await, nothing_found().await);
    let index = index(&[&broken, &cut, &well]);
    for _ in 0..5 {
        assert_eq!(index.search(&Request::default()).await.unwrap().total, 0);
    }
    assert_eq!((broken.asked().len(), cut.asked().len(), well.asked().len()), (1, 1, 5));
}

#[tokio::test]
async fn a_node_that_nobody_runs_is_passed_over() {
    let gone = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let well = nothing_found().await;
    let alone = Elastic::open(&Settings::new(vec![gone.clone()], "orders")).unwrap();
    let error = alone.search(&Request::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(reason) if reason.contains(&gone)), "{error}");
    let both = Elastic::open(&Settings::new(vec![gone, well.url.clone()], "orders")).unwrap();
    both.search(&Request::default()).await.unwrap();
}

#[tokio::test]
async fn a_node_that_hangs_costs_no_more_than_the_time_limit() {
    let hanging = FakeServer::start(|_| Reply::Hang).await;
    let settings = Settings::new(vec![hanging.url.clone()], "orders");
    let index = Elastic::open(&Settings { timeout: Duration::from_millis(200), ..settings }).unwrap();
    let began = Instant::now();
    let error = index.get("a").await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(reason) if reason.contains("in time")), "{error}");
    assert!(began.elapsed() < PATIENT);
}

#[tokio::test]
async fn wrong_credentials_are_refused_with_what_to_check_and_are_not_shown() {
    let denied = refusal("security_exception", "unable to authenticate user", 401);
    let server = FakeServer::start(move |_| Reply::Json(401, denied.clone())).await;
    let settings = Settings::new(vec![server.url.clone()], "orders");
    let [user, password] = ["me", "geheim"].map(str::to_owned);
    let index = Elastic::open(&Settings { user, password, ..settings }).unwrap();
    for error in [
        index.prepare().await.unwrap_err(),
        index.search(&Request::default()).await.unwrap_err(),
        index.write(Aim::Live, &documents(&["a"])).await.unwrap_err(),
    ] {
        let told = error.to_string();
        assert!(matches!(error, Error::Refused(_)) && told.contains("check the user"), "{told}");
        assert!(!told.contains("geheim"), "{told}");
    }
    assert!(server.asked().iter().all(|asked| asked.headers.contains("Basic bWU6Z2VoZWlt")));
}

#[tokio::test]
async fn one_document_that_can_not_be_taken_now_makes_all_be_tried_again() {
    for status in [429, 503] {
        let server = FakeServer::start(move |asked| {
            bulk(asked, "orders-1", |id| if id == "b" { status } else { 201 })
        })
        .await;
        let error = index(&[&server]).write(Aim::Live, &documents(&["a", "b", "c"])).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable(reason) if reason.contains("b is")), "{error}");
    }
}

#[tokio::test]
async fn poison_is_refused_alone_and_what_is_older_is_no_trouble() {
    let status = |id: &str| match id {
        "poison" => 400,
        "older" => 409,
        _ => 201,
    };
    let server = FakeServer::start(move |asked| bulk(asked, "orders-1", status)).await;
    let written =
        index(&[&server]).write(Aim::Live, &documents(&["a", "poison", "older", "b"])).await.unwrap();
    let refused = Written::Refused("x_exception: poison is 400".to_owned());
    assert_eq!(written, [Written::Stored, refused, Written::Older, Written::Stored]);
}

#[tokio::test]
async fn requests_are_halved_until_they_are_small_enough() {
    let server = FakeServer::start(|asked| match asked.ids() {
        ids if ids.len() > 2 || ids.contains(&"huge".to_owned()) => Reply::Text(413, "too large".to_owned()),
        _ => bulk(asked, "orders-1", |id| if id == "e" { 409 } else { 201 }),
    })
    .await;
    let written = index(&[&server])
        .write(Aim::Live, &documents(&["a", "b", "c", "huge", "d", "e", "f"]))
        .await
        .unwrap();
    let refused: Vec<_> = written.iter().map(|one| matches!(one, Written::Refused(_))).collect();
    assert_eq!(refused, [false, false, false, true, false, false, false]);
    assert_eq!(written[5], Written::Older);
}

#[tokio::test]
async fn many_documents_are_sent_in_requests_of_bounded_size() {
    let server = FakeServer::start(|asked| bulk(asked, "orders-1", |_| 201)).await;
    let source = json!({"note": "x".repeat(1_000_000)}).to_string().into_bytes();
    let many: Vec<_> =
        (0..12).map(|id| Document { id: id.to_string(), version: 1, source: source.clone() }).collect();
    let written = index(&[&server]).write(Aim::Live, &many).await.unwrap();
    assert_eq!(written, vec![Written::Stored; 12]);
    let asked = server.asked();
    assert!(asked.iter().all(|asked| asked.body.len() <= 5 * 1024 * 1024));
    let ids: Vec<_> = asked.iter().flat_map(Asked::ids).collect();
    assert_eq!(ids, (0..12).map(|id| id.to_string()).collect::<Vec<_>>());
}

/// Somebody exchanged the index while we wrote: what we noted of the old one does not hold for this one.
#[tokio::test]
async fn documents_that_land_in_another_index_than_before_are_an_error_until_progress_is_asked() {
    static PLACE: AtomicUsize = AtomicUsize::new(1);
    let server = FakeServer::start(|asked| {
        let place = format!("orders-{}", PLACE.load(SeqCst));
        match asked.what.as_str() {
            "GET /_alias/orders" => Reply::Json(200, json!({place: {"aliases": {"orders": {}}}})),
            what if what.contains("_bulk") => bulk(asked, &place, |_| 201),
            _ => Reply::Json(404, json!({"found": false})),
        }
    })
    .await;
    let index = index(&[&server]);
    assert_eq!(index.progress().await.unwrap(), None);
    index.write(Aim::Live, &documents(&["a"])).await.unwrap();
    PLACE.store(2, SeqCst);
    let error = index.write(Aim::Live, &documents(&["b"])).await.unwrap_err();
    assert!(matches!(&error, Error::Unavailable(reason) if reason.contains("another index")), "{error}");
    assert_eq!(index.progress().await.unwrap(), None);
    index.write(Aim::Live, &documents(&["b"])).await.unwrap();
}

#[tokio::test]
async fn a_refresh_of_a_part_only_is_no_commit() {
    let server = FakeServer::start(|asked| match asked.what.as_str() {
        "GET /_alias/orders" => Reply::Json(200, json!({"orders-1": {"aliases": {"orders": {}}}})),
        _ => Reply::Json(200, json!({"_shards": {"total": 2, "successful": 1, "failed": 1}})),
    })
    .await;
    let progress = Progress { incarnation: Uuid::nil(), position: 1 };
    let error = index(&[&server]).commit(Aim::Live, Some(progress)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)));
    assert!(!server.asked().iter().any(|asked| asked.what.contains("_progress")));
}

#[tokio::test]
async fn answers_that_are_no_json_are_not_taken_for_any() {
    let server = FakeServer::start(|_| Reply::Text(200, "<html>a login page</html>".to_owned())).await;
    let index = index(&[&server]);
    for error in [
        index.search(&Request::default()).await.unwrap_err(),
        index.get("a").await.unwrap_err(),
        index.progress().await.unwrap_err(),
        index.write(Aim::Live, &documents(&["a"])).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::Unavailable(reason) if reason.contains("not understood")), "{error}");
    }
}

/// OpenSearch answers 503 for it, which means something else everywhere else.
#[tokio::test]
async fn too_many_buckets_are_the_requests_fault() {
    let cause = json!({"type": "too_many_buckets_exception", "reason": "Trying to create too many buckets"});
    let body =
        json!({"error": {"root_cause": [], "type": "search_phase_execution_exception", "caused_by": cause}});
    let server = FakeServer::start(move |_| Reply::Json(503, body.clone())).await;
    let error = index(&[&server]).search(&Request::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Wrong(wrong) if wrong.kind() == "too_many_buckets_exception"), "{error}");
}

/// It would be merged with others by a server that makes indices for whoever writes.
#[tokio::test]
async fn documents_are_only_ever_written_through_an_alias() {
    let server = FakeServer::start(|asked| bulk(asked, "orders-1", |_| 201)).await;
    let index = index(&[&server]);
    index.write(Aim::Live, &documents(&["a"])).await.unwrap();
    index.write(Aim::Next, &documents(&["a"])).await.expect_err("none was begun");
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.what).collect();
    for (what, alias) in asked.iter().zip(["orders", "orders-next"]) {
        assert!(what.starts_with(&format!("POST /{alias}/_bulk?require_alias=true")), "{what}");
    }
    assert_eq!(asked.len(), 2, "{asked:?}");
}

/// The exchange is done, and nobody hears so.
#[tokio::test]
async fn a_swap_whose_answer_is_lost_is_done_all_the_same() {
    let made = Mutex::new(None::<String>);
    let swapped = AtomicUsize::new(0);
    let server = FakeServer::start(move |asked| {
        let alias = |index: &str, alias: &str| json!({index: {"aliases": {alias: {}}}});
        let made = &mut *made.lock().unwrap();
        match asked.what.split_once(" /").unwrap() {
            ("PUT", path) if path.starts_with("orders-") => *made = Some(path.to_owned()),
            ("GET", "_alias/orders-next") => {
                return Reply::Json(200, alias(made.as_deref().unwrap(), "orders-next"));
            }
            ("GET", "_alias/orders") => {
                let live = if swapped.load(SeqCst) > 0 { made.as_deref().unwrap() } else { "orders-old" };
                return Reply::Json(200, alias(live, "orders"));
            }
            ("POST", "_aliases") => {
                swapped.fetch_add(1, SeqCst);
                return Reply::Cut;
            }
            _ => {}
        }
        Reply::Json(200, json!({}))
    })
    .await;
    let index = index(&[&server]);
    index.begin_next().await.unwrap();
    index.swap().await.unwrap();
    let dropped = server.asked().iter().any(|asked| asked.what == "DELETE /orders-old");
    assert!(dropped, "the old one is thrown away: {:?}", server.asked());
}
