//! Providers that are switched off: orders are taken, and their calls wait.

use serde_json::{Value, json};

use super::fake::Fake;
use crate::harness::{Reply, Setting, Shop, fields, small, start, text, wait_until};

const QUICK: Setting = ("providers.held_back_ms", "20");

async fn switch(shop: &Shop, provider: &str, wish: Value) -> Reply {
    shop.json("PUT", &format!("/v1/admin/providers/{provider}"), &[], &wish).await
}

/// Waits until the order says that it is held back, and why.
async fn held_back(shop: &Shop, id: &str, why: &str) {
    let says =
        |order: &Value| order["waitingFor"]["reason"].as_str().is_some_and(|reason| reason.contains(why));
    shop.wait_for(id, "held back", says).await;
}

#[tokio::test]
async fn a_provider_that_is_off_is_not_called_and_stays_off_over_a_restart() {
    let fake = Fake::start().await;
    let settings = fake.settings(&[QUICK]);
    let mut shop = Shop::with(&settings).await;
    let off = switch(&shop, "payments", json!({"enabled": false})).await.ok(200);
    assert_eq!((&off["enabled"], &off["provider"]), (&json!(false), &json!("http")));
    let first = shop.place(&small()).await;
    held_back(&shop, &first, "payments is switched off").await;
    shop.restart(&settings).await;
    assert_eq!(shop.get("/v1/admin/providers").await.ok(200)["payments"]["enabled"], false);
    let health = shop.get("/health/ready").await.ok(200);
    assert!(text(&health["components"]["payment provider"]).contains("off"), "{health}");
    let second = shop.place(&small()).await;
    held_back(&shop, &second, "switched off").await;
    assert!(fake.requests("").is_empty());
    // What waits keeps looking, and nobody is told the same again.
    let version = shop.order(&second).await["version"].clone();
    let before = shop.task_times("payments").await;
    wait_until("both have looked again", async || {
        shop.task_times("payments").await.iter().zip(&before).all(|(now, then)| now > then)
    })
    .await;
    assert_eq!(shop.order(&second).await["version"], version);
    switch(&shop, "payments", json!({"enabled": true, "rate": null})).await.ok(200);
    for id in [&first, &second] {
        assert_eq!(shop.finish(id).await["status"], "completed");
        assert_eq!(fake.effects(id), ["authorize", "ship"]);
    }
}

#[tokio::test]
async fn a_rate_stays_until_another_one_is_stated() {
    let shop = Shop::with(&[("payments.rate", "5"), ("workers.paused", "payments")]).await;
    let rate = |reply: Value| reply["rate"].clone();
    assert_eq!(rate(switch(&shop, "payments", json!({"enabled": false})).await.ok(200)), 5.0);
    assert_eq!(rate(switch(&shop, "payments", json!({"enabled": true})).await.ok(200)), 5.0);
    assert_eq!(rate(switch(&shop, "payments", json!({"enabled": true, "rate": 7})).await.ok(200)), 7.0);
    assert_eq!(rate(switch(&shop, "payments", json!({"enabled": false})).await.ok(200)), 7.0);
    assert_eq!(
        rate(switch(&shop, "payments", json!({"enabled": true, "rate": null})).await.ok(200)),
        Value::Null
    );
}

/// An undo that goes to another provider than the one that took the money is answered, and undoes nothing.
#[tokio::test]
async fn open_orders_keep_the_provider_that_worked_on_them() {
    let fake = Fake::start().await;
    let http = fake.settings(&[QUICK, ("carrier.enabled", "false")]);
    let mut shop = Shop::with(&http).await;
    let id = shop.place(&small()).await;
    held_back(&shop, &id, "carrier is switched off").await;
    shop.stop().await;
    let error = start(shop.dir(), &[]).await.err().expect("nobody could void it").to_string();
    for word in ["1 orders are open", "payments.provider = \"http\"", "providers.json"] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    shop.restart(&fake.settings(&[QUICK])).await;
    assert_eq!(shop.finish(&id).await["status"], "completed");
    shop.restart(&[]).await; // nothing is open any more
    assert_eq!(shop.finish(&shop.place(&small()).await).await["status"], "completed");
}

#[tokio::test]
async fn a_system_may_start_with_its_providers_off() {
    let fake = Fake::start().await;
    let settings = fake.settings(&[QUICK, ("carrier.enabled", "false")]);
    let mut shop = Shop::with(&settings).await;
    let id = shop.place(&small()).await;
    held_back(&shop, &id, "carrier is switched off").await;
    assert_eq!(fake.effects(&id), ["authorize"]);
    switch(&shop, "carrier", json!({"enabled": true})).await.ok(200);
    assert_eq!(shop.finish(&id).await["status"], "completed");
    shop.restart(&settings).await;
    assert_eq!(
        shop.get("/v1/admin/providers/carrier").await.ok(200)["enabled"],
        false,
        "as the setting says"
    );
}

#[tokio::test]
async fn calls_go_out_no_faster_than_their_rate() {
    let fake = Fake::start().await;
    let shop = Shop::with(&fake.settings(&[QUICK])).await;
    // One in an hour.
    switch(&shop, "payments", json!({"enabled": true, "rate": 0.000_278})).await.ok(200);
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(shop.place(&small()).await);
    }
    // Which one it is, nobody says: orders are not in order to each other.
    let first = shop.finish_one(&ids).await;
    for id in ids.iter().filter(|id| **id != first) {
        held_back(&shop, id, "limited to").await;
    }
    assert_eq!(fake.requests("POST authorize").len(), 1);
}

#[tokio::test]
async fn an_order_that_is_held_back_can_be_cancelled_and_ends_when_the_provider_is_on() {
    let fake = Fake::start().await;
    let shop = Shop::with(&fake.settings(&[QUICK, ("payments.enabled", "false")])).await;
    let id = shop.place(&small()).await;
    held_back(&shop, &id, "switched off").await;
    let cancelling = shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
    // Payments has heard of it once it tells that the undo is held back, too; else the call could go out first.
    let version = cancelling["version"].as_u64();
    shop.wait_for(&id, "held back in its undo", |order| order["version"].as_u64() > version).await;
    switch(&shop, "payments", json!({"enabled": true})).await.ok(200);
    assert_eq!(shop.finish(&id).await["status"], "cancelled");
    assert_eq!(fake.effects(&id), ["void"], "only the provider can say that nothing happened");
}

#[tokio::test]
async fn what_can_t_be_switched_is_named() {
    let shop = Shop::open().await;
    switch(&shop, "bank", json!({"enabled": false})).await.problem(404);
    for (wish, field) in [
        (json!({}), "/enabled"),
        (json!({"enabled": "no"}), "/enabled"),
        (json!({"enabled": true, "rate": 0}), "/rate"),
        (json!({"enabled": true, "rate": "fast"}), "/rate"),
        (json!({"enabled": true, "speed": 1}), "/speed"),
    ] {
        let problem = switch(&shop, "payments", wish).await.problem(400);
        assert_eq!(fields(&problem), [field]);
    }
    let problem = switch(&shop, "payments", json!({"enabled": true, "rate": 0})).await.problem(400);
    let detail = text(&problem["detail"]);
    assert!(detail.contains("more than 0") && detail.contains("at most 1000000; null: no limit"), "{detail}");
    switch(&shop, "carrier", json!({"enabled": true, "rate": 0.00028})).await.ok(200);
    let state = shop.get("/v1/admin/providers/payments").await.ok(200);
    assert_eq!((&state["enabled"], &state["provider"]), (&json!(true), &json!("simulated")));
}
