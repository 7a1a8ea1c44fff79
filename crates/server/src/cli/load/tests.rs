use std::{collections::HashMap, sync::Mutex};

use axum::{
    Json, Router,
    extract::Query,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::Parser;
use serde_json::json;

use super::{send::Attempt, *};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: LoadArgs,
}

fn args(server: &str, line: &str) -> LoadArgs {
    let words = ["load", "--server", server].into_iter().chain(line.split_whitespace());
    Cli::try_parse_from(words).unwrap().load
}

/// A server that answers like ours, but first has its bad moments: of every key, the first attempt gets a 503.
async fn moody_server() -> (String, Arc<Mutex<HashMap<String, u32>>>) {
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let counts = seen.clone();
    let place = move |headers: HeaderMap| async move {
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        let mut counts = counts.lock().unwrap();
        let count = counts.entry(key.clone()).or_insert(0);
        *count += 1;
        let answer: Response = if *count == 1 {
            (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response()
        } else {
            (StatusCode::CREATED, Json(json!({"id": key, "lines": [1, 2]}))).into_response()
        };
        answer
    };
    (served(Router::new().route("/v1/orders", post(place))).await, seen)
}

/// Where these routes are served.
async fn served(routes: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

async fn run_load(args: LoadArgs) -> Result<(LoadReport, Option<Failure>), Failure> {
    let (send, receive) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _ = send.send(tokio::task::LocalSet::new().block_on(&runtime, load(args)));
    });
    receive.await.unwrap()
}

#[tokio::test]
async fn every_order_is_repeated_under_its_key_until_answered_and_then_noted() {
    let (server, seen) = moody_server().await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("answered");
    let line = format!("--orders 200 --connections 8 --json --answered {}", file.display());
    let (report, failure) = run_load(args(&server, &line)).await.unwrap();
    assert!(failure.is_none());
    assert_eq!((report.orders, report.retries, report.errors), (200, 200, 0));
    let mut ids = std::collections::HashSet::new();
    read_answered(&file, |id| assert!(ids.insert(id.to_owned()))).unwrap();
    assert_eq!(ids.len(), 200);
    assert!(seen.lock().unwrap().values().all(|count| *count == 2));
}

#[tokio::test]
async fn a_rate_is_kept_and_latency_counts_from_the_due_moment() {
    let (server, _) = moody_server().await;
    let line = "--rate 200 --duration 0.5 --connections 4 --no-answered --json";
    let (report, _) = run_load(args(&server, line)).await.unwrap();
    assert!((60..=100).contains(&report.orders), "{report:?}");
    assert!(report.p50_ms > 0.0 && report.p50_ms <= report.p99_ms);
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = run_load(args(&server, "--no-answered --json")).await.unwrap_err();
    assert!(matches!(failure, Failure::Unreachable(_)));
    let https = run_load(args("https://localhost", "--no-answered")).await.unwrap_err();
    assert!(matches!(https, Failure::Local(_)));
}

#[test]
fn answers_are_told_apart() {
    let of = |status: u16, body: &str| {
        Attempt::of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    };
    assert_eq!(of(201, r#"{"id":"a","x":{}}"#), Attempt::Answered("a".into()));
    assert!(matches!(of(201, "hello"), Attempt::Refused(_)));
    for status in [408, 429, 500, 502, 503, 504] {
        assert!(matches!(of(status, ""), Attempt::Again { .. }), "{status}");
    }
    for status in [400, 404, 409, 413, 422] {
        assert!(matches!(of(status, "{}"), Attempt::Refused(_)), "{status}");
    }
}

#[test]
fn the_report_keeps_the_names_that_others_parse() {
    let report: LoadReport = serde_json::from_value(json!({"orders": 1, "seconds": 1.0, "perSecond": 1.0,
        "errors": 0, "retries": 0, "p50Ms": 1.0, "p90Ms": 1.0, "p99Ms": 1.0, "maxMs": 1.0}))
    .unwrap();
    assert!(!serde_json::to_string(&report).unwrap().contains("shipped"));
}

/// A server whose orders are final at once unless they are manual, with a feed that knows nothing of "latest" and has an old event.
async fn feeding_server() -> String {
    let event = |kind: &str, id: &str, milestone: &str, us: i64| {
        let at = cartwright_core::domain::time::Timestamp::from_micros(1_700_000_000_000_000 + us);
        json!({"eventType": kind, "occurredAt": at, "payload": {"orderId": id, "milestone": milestone}})
    };
    let feed = Arc::new(Mutex::new(vec![event("OrderCreatedV1", "old", "created", 0)]));
    let written = feed.clone();
    let place = move |headers: HeaderMap, Json(order): Json<serde_json::Value>| async move {
        let id = headers["idempotency-key"].to_str().unwrap().to_owned();
        let mut feed = written.lock().unwrap();
        feed.push(event("OrderCreatedV1", &id, "created", 0));
        if order["flow"] != "manual" {
            feed.push(event("OrderCompletedV1", &id, "shipped", 3_000));
        }
        (StatusCode::CREATED, Json(json!({"id": id})))
    };
    let read = move |Query(query): Query<HashMap<String, String>>| async move {
        let Ok(after) = query.get("after").map_or("0", String::as_str).parse::<usize>() else {
            let problem = json!({"title": "bad position", "status": 400});
            return (StatusCode::BAD_REQUEST, Json(problem));
        };
        let feed = feed.lock().unwrap();
        let limit: usize = query["limit"].parse().unwrap();
        let events: Vec<_> = feed.iter().skip(after).take(limit).cloned().collect();
        let next = (after + events.len()).to_string();
        (StatusCode::OK, Json(json!({"events": events, "next": next})))
    };
    served(Router::new().route("/v1/orders", post(place)).route("/v1/events", get(read))).await
}

#[tokio::test]
async fn a_server_that_takes_nothing_is_not_called_missing() {
    let full = || async { (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]) };
    let server = served(Router::new().route("/v1/orders", post(full))).await;
    let (_, failure) = run_load(args(&server, "--orders 1 --give-up 1 --no-answered --json")).await.unwrap();
    let Some(Failure::Busy(why)) = failure else { panic!("{failure:?}") };
    assert!(why.contains("took no order") && why.contains("503"), "{why}");
}

#[tokio::test]
async fn following_measures_to_the_last_order_and_limits_what_is_in_flight() {
    let server = feeding_server().await;
    let line = "--orders 300 --connections 8 --follow --in-flight 4 --no-answered --json";
    let (report, failure) = run_load(args(&server, line)).await.unwrap();
    assert!(failure.is_none());
    assert_eq!((report.orders, report.shipped), (300, Some(300)));
    assert!((2.9..=3.1).contains(&report.created_to_shipped_p50_ms.unwrap()));
}

#[tokio::test]
async fn more_senders_than_room_all_come_to_an_end() {
    let server = feeding_server().await;
    for orders in [1, 3, 10] {
        let line = format!("--orders {orders} --connections 32 --in-flight 2 --no-answered --json");
        let (report, _) = run_load(args(&server, &line)).await.unwrap();
        assert_eq!(report.orders, orders);
    }
}

#[tokio::test]
async fn orders_that_never_become_final_end_the_load_with_a_reason() {
    let server = feeding_server().await;
    let dir = tempfile::tempdir().unwrap();
    let body = dir.path().join("order.json");
    std::fs::write(&body, r#"{"flow":"manual"}"#).unwrap();
    let line =
        format!("--in-flight 2 --give-up 1 --connections 4 --no-answered --json --body {}", body.display());
    let (report, failure) = run_load(args(&server, &line)).await.unwrap();
    assert_eq!(report.orders, 2);
    assert!(matches!(failure, Some(Failure::Local(why)) if why.contains("became final")));
}
