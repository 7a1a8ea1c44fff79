//! Scenarios steer simulated providers, and nobody else.

use serde_json::{Value, json};

use super::fake::Fake;
use crate::harness::{ORDERS, Shop, fields, path, small_with, text};

fn asking(scenario: &str) -> Value {
    small_with(json!({"payment": {"scenario": scenario}}))
}

#[tokio::test]
async fn an_unknown_scenario_is_refused_with_those_that_there_are() {
    let shop = Shop::open().await;
    for scenario in ["declined", "ship-declined", "ship-", "Decline"] {
        let problem = shop.post(ORDERS, &asking(scenario)).await.problem(400);
        assert_eq!(fields(&problem), ["/payment/scenario"]);
        let says = text(&problem["errors"][0]["message"]);
        assert!(says.contains("decline, ") && says.contains("ship-decline, "), "{says}");
        shop.json("PUT", &path("one"), &[], &asking(scenario)).await.problem(400);
    }
    for scenario in ["success", "ship-success"] {
        shop.place(&asking(scenario)).await;
    }
}

#[tokio::test]
async fn a_real_provider_heeds_no_scenario() {
    let fake = Fake::start().await;
    let shop = Shop::with(&fake.settings(&[("carrier.provider", "simulated")])).await;
    let order = shop.finish(&shop.place(&asking("whatever")).await).await;
    assert_eq!(order["status"], "completed");
    shop.post(ORDERS, &asking("ship-whatever")).await.problem(400);
}
