use std::collections::BTreeMap;

use axum::{Json, Router, extract::Query, http::StatusCode, routing::get};
use cartwright_core::{
    domain::{ids::OrderId, money::Currency},
    ports::{AuthorizeCall, Carrier, PaymentProvider, ShipCall, UndoCall},
};
use clap::Parser;
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::providers::{Ledger, SimulatedCarrier, SimulatedPayments, SimulatedSettings};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    verify: VerifyArgs,
}

/// A server that lists these orders, one on each page.
async fn server(orders: Vec<Value>) -> String {
    let list = move |Query(query): Query<BTreeMap<String, String>>| async move {
        let at: usize = query.get("cursor").map_or(0, |cursor| cursor.parse().unwrap());
        let orders: Vec<_> = orders
            .iter()
            .filter(|order| query.get("status").is_none_or(|is| order["status"] == **is))
            .collect();
        let next = (at + 1 < orders.len()).then(|| (at + 1).to_string());
        Json(json!({"orders": orders.get(at..=at).unwrap_or_default(), "next": next}))
    };
    let missing =
        || async { (StatusCode::NOT_FOUND, Json(json!({"title": "no such order", "status": 404}))) };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/v1/orders", get(list)).route("/v1/orders/{id}", get(missing));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

fn order(id: &str, status: &str) -> Value {
    json!({"id": id, "status": status, "flow": "standard", "milestone": "created", "onHold": false})
}

async fn charge(payments: &SimulatedPayments, id: &str, key: &str) {
    let call = AuthorizeCall {
        key: key.into(),
        order_id: OrderId::parse(id).unwrap(),
        amount: 1,
        currency: Currency::parse("USD").unwrap(),
        scale: None,
        provider: "simulated".into(),
        token: None,
        scenario: None,
        metadata: BTreeMap::new(),
    };
    payments.authorize(&call, false).await;
}

async fn ship(carrier: &SimulatedCarrier, id: &str, key: &str) {
    let order_id = OrderId::parse(id).unwrap();
    let call = ShipCall { key: key.into(), order_id, ship_to: None, lines: Vec::new(), scenario: None };
    carrier.ship(&call, false).await;
}

#[tokio::test]
async fn the_three_sources_are_compared_while_the_ledger_is_in_use() {
    let data = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(data.path().join(ledger::FILE_NAME), Uuid::from_u128(1)).unwrap();
    let payments = SimulatedPayments::new(ledger.clone(), SimulatedSettings::default());
    let carrier = SimulatedCarrier::new(ledger, SimulatedSettings::default());
    for id in ["good", "twice"] {
        charge(&payments, id, &format!("pay-{id}")).await;
        ship(&carrier, id, &format!("ship-{id}")).await;
    }
    charge(&payments, "twice", "pay-twice-again").await;
    charge(&payments, "voided", "pay-voided").await;
    let undo = UndoCall {
        key: "u".into(),
        order_id: OrderId::parse("voided").unwrap(),
        operation: "pay-voided".into(),
    };
    payments.void(&undo, false).await;
    charge(&payments, "ghost", "pay-ghost").await;
    let answered = data.path().join("answered");
    std::fs::write(&answered, "good\ntwice\nlost\nvoided\ntorn").unwrap();
    let url =
        server(vec![order("good", "completed"), order("twice", "completed"), order("voided", "cancelled")])
            .await;
    let line = [
        "verify",
        "--wait",
        "--server",
        &url,
        "--data",
        data.path().to_str().unwrap(),
        "--answered",
        answered.to_str().unwrap(),
    ];
    let Ok(report) = verify(&Cli::try_parse_from(line).unwrap().verify).await else { panic!() };
    let found = |problem| report.problems.get(&problem).map(|finding: &Finding| finding.ids.clone());
    assert_eq!(found(ProblemKind::Lost), Some(vec!["lost".into()]));
    assert_eq!(found(ProblemKind::ChargedTwice), Some(vec!["twice".into()]));
    assert_eq!(found(ProblemKind::UnknownOrder), Some(vec!["ghost".into()]));
    assert_eq!(report.problems.len(), 3, "{report:?}");
    assert_eq!((report.answered, report.stored, report.completed, report.cancelled), (4, 3, 2, 1));
    assert_eq!(exit_code(&report), exit::FAILED);
    let shown = show(&report, &Paint::plain());
    assert!(shown.contains("charged twice:\n  twice"), "{shown}");
}

#[tokio::test]
async fn waiting_ends_at_the_timeout_with_its_own_exit_code() {
    let url = server(vec![order("a", "open")]).await;
    let line = ["verify", "--wait", "--timeout", "0", "--no-ledger", "--server", &url];
    let Ok(report) = verify(&Cli::try_parse_from(line).unwrap().verify).await else { panic!() };
    assert_eq!(exit_code(&report), exit::WAITING);
    assert_eq!(report.waiting_for, BTreeMap::from([("after created".into(), 1)]));
}

#[tokio::test]
async fn orders_that_can_t_be_read_are_not_all_good() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let list = || async { Json(json!({"orders": [], "next": null, "unreadable": 3})) };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/orders", get(list))).await });
    let line = ["verify", "--no-ledger", "--server", &url];
    let Ok(report) = verify(&Cli::try_parse_from(line).unwrap().verify).await else { panic!() };
    assert_eq!(exit_code(&report), exit::FAILED);
    assert!(show(&report, &Paint::plain()).contains("stored, but can't be read"));
}

#[tokio::test]
async fn a_missing_ledger_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let url = server(vec![]).await;
    let line = ["verify", "--data", dir.path().to_str().unwrap(), "--server", &url];
    let result = verify(&Cli::try_parse_from(line).unwrap().verify).await;
    assert!(matches!(result, Err(Failure::File(_, why)) if why.contains("--no-ledger")));
}

#[tokio::test]
async fn what_belongs_to_another_system_is_not_compared() {
    let (ours, theirs) = (Uuid::from_u128(1).to_string(), Uuid::from_u128(2).to_string());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let live = {
        let ours = ours.clone();
        move || async move { Json(json!({"status": "ok", "system": ours})) }
    };
    let none = || async { Json(json!({"orders": [], "next": null})) };
    let routes = Router::new().route("/health/live", get(live)).route("/v1/orders", get(none));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let dir = tempfile::tempdir().unwrap();
    let (foreign, own) = (dir.path().join("foreign"), dir.path().join("own"));
    std::fs::write(&foreign, format!("# cartwright-system: {theirs}\na\n")).unwrap();
    std::fs::write(&own, format!("# cartwright-system: {ours}\n")).unwrap();
    for (ledger, answered, refused) in
        [(1, &own, None), (1, &foreign, Some("answered")), (2, &own, Some("ledger"))]
    {
        let data = tempfile::tempdir().unwrap();
        drop(Ledger::open(data.path().join(ledger::FILE_NAME), Uuid::from_u128(ledger)).unwrap());
        let (data, answered) = (data.path().to_str().unwrap(), answered.to_str().unwrap());
        let line = ["verify", "--server", &url, "--data", data, "--answered", answered];
        match (verify(&Cli::try_parse_from(line).unwrap().verify).await, refused) {
            (Ok(report), None) => assert_eq!((report.answered_files, report.ok), (1, true)),
            (Err(Failure::Others { what, theirs: found, .. }), Some(which)) => {
                assert!(what.contains(which), "{what}");
                assert_eq!(found, theirs);
            }
            (Ok(_), Some(which)) => panic!("{which} was compared"),
            (Err(_), _) => panic!("refused for another reason"),
        }
    }
}

#[test]
fn without_a_file_of_answered_orders_the_report_says_so() {
    let mut report = VerifyReport { ok: true, manual: 2, ..VerifyReport::default() };
    let shown = show(&report, &Paint::plain());
    assert!(shown.contains("no file") && shown.contains("--answered"), "{shown}");
    assert!(shown.lines().any(|line| line.contains("manual, still open") && line.ends_with('2')), "{shown}");
    report.answered_files = 1;
    assert!(!show(&report, &Paint::plain()).contains("no file"));
}

#[test]
fn the_json_names_problems_in_camel_case() {
    let finding = Finding { count: 1, ids: vec!["a".into()] };
    let report = VerifyReport {
        problems: BTreeMap::from([(ProblemKind::ChargedTwice, finding)]),
        ..VerifyReport::default()
    };
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["problems"]["chargedTwice"]["count"], 1);
    assert_eq!(serde_json::from_value::<VerifyReport>(json).unwrap(), report);
}
