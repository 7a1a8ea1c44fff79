//! What becomes of orders: each flow, each mood of the providers, and cancelling at every point.

use serde_json::{Value, json};

use crate::harness::{ORDERS, PAUSED, Setting, Shop, Stack, all, path, small, small_with, text, wait_until};

fn paying(scenario: &str) -> Value {
    small_with(json!({"payment": {"scenario": scenario}}))
}

fn states(order: &Value) -> [String; 4] {
    ["status", "milestone", "paymentStatus", "fulfillmentStatus"].map(|key| text(&order[key]))
}

#[tokio::test]
async fn every_flow_ends_as_it_says() {
    let shop = Shop::open().await;
    for (flow, ends, effects) in [
        ("standard", ["completed", "shipped", "authorized", "shipped"], &["authorize", "ship"][..]),
        ("scheduled", ["completed", "scheduled", "authorized", "scheduled"], &["authorize"]),
        ("ship-only", ["completed", "shipped", "none", "shipped"], &["ship"]),
        ("processing", ["completed", "processed", "none", "none"], &[]),
    ] {
        let id = shop.place(&small_with(json!({"flow": flow}))).await;
        let order = shop.finish(&id).await;
        assert_eq!(states(&order), ends, "{flow}");
        assert_eq!(shop.effects(&id), effects, "{flow}");
        assert_eq!((&order["actions"], &order["waitingFor"]), (&json!([]), &Value::Null), "{flow}");
        assert!(text(&order["updatedAt"]) >= text(&order["createdAt"]));
    }
}

#[tokio::test]
async fn a_completed_order_shows_payment_and_shipment() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    let order = shop.finish(&id).await;
    let payment = &order["payments"][0];
    assert_eq!(
        (&payment["status"], &payment["authorized"], &payment["captured"]),
        (&json!("authorized"), &json!(1000), &json!(0))
    );
    assert!(text(&payment["reference"]).starts_with("sim_"));
    let shipment = &order["shipments"][0];
    assert_eq!((&shipment["status"], &shipment["error"]), (&json!("shipped"), &Value::Null));
    for key in ["carrier", "trackingNumber", "shippedAt", "eta"] {
        assert!(shipment[key].is_string(), "{key}: {shipment}");
    }
    assert_eq!(shop.reserved(&id), (1000, "USD".to_owned()));
}

#[tokio::test]
async fn a_declined_payment_fails_the_order() {
    let shop = Shop::open().await;
    let id = shop.place(&paying("decline")).await;
    let order = shop.finish(&id).await;
    assert_eq!(states(&order), ["failed", "created", "declined", "pending"]);
    assert!(!text(&order["payments"][0]["reason"]).is_empty());
    assert_eq!(shop.effects(&id), ["decline"]);
    let last = shop.history(&id).await.pop().unwrap();
    assert_eq!((&last["eventType"], &last["payload"]["status"]), (&json!("OrderFailedV1"), &json!("failed")));
    assert!(!text(&last["payload"]["reason"]).is_empty());
}

#[tokio::test]
async fn a_rejected_shipment_gives_the_money_back() {
    let shop = Shop::open().await;
    let id = shop.place(&paying("ship-decline")).await;
    let order = shop.finish(&id).await;
    assert_eq!((&order["status"], &order["paymentStatus"]), (&json!("failed"), &json!("voided")));
    assert_eq!(order["payments"][0]["authorized"], 0);
    assert_eq!(order["fulfillmentStatus"], "failed");
    assert!(!text(&order["shipments"][0]["error"]).is_empty());
    assert_eq!(order["lines"][0]["quantities"]["shipped"], 0);
    assert_eq!(shop.effects(&id), ["authorize", "reject", "void"]);
    let history = shop.history(&id).await;
    let undone: Vec<&Value> =
        history.iter().filter(|event| event["eventType"] == "StepUndoRequestedV1").collect();
    let kinds: Vec<&Value> = undone.iter().map(|event| &event["payload"]["kind"]).collect();
    assert_eq!(kinds, ["schedule", "pay"], "newest first");
}

#[tokio::test]
async fn trouble_with_the_provider_ends_well_and_charges_once() {
    let shop = Shop::open().await;
    for scenario in ["success", "timeout", "error", "pending", "ship-timeout", "ship-error", "ship-pending"] {
        let id = shop.place(&paying(scenario)).await;
        let order = shop.finish(&id).await;
        assert_eq!(states(&order), ["completed", "shipped", "authorized", "shipped"], "{scenario}");
        assert_eq!(shop.effects(&id), ["authorize", "ship"], "{scenario}");
        assert_eq!(
            (&order["payments"][0]["reason"], &order["shipments"][0]["error"]),
            (&Value::Null, &Value::Null)
        );
    }
}

#[tokio::test]
async fn an_order_shows_what_it_waits_for() {
    let shop = Shop::with(&[
        ("providers.retry.quick_tries", "1"),
        ("providers.retry.long_wait_ms", "3600000"),
        ("providers.retry.max_wait_ms", "3600000"),
    ])
    .await;
    for (scenario, kind, key) in
        [("error", "pay", "payments"), ("pending", "pay", "payments"), ("ship-error", "ship", "shipments")]
    {
        let id = shop.place(&paying(scenario)).await;
        let order = shop.wait_for(&id, "waiting", |order| order["waitingFor"]["nextTryAt"].is_string()).await;
        assert_eq!(
            (&order["waitingFor"]["kind"], &order["waitingFor"]["state"]),
            (&json!(kind), &json!("waiting"))
        );
        assert!(!text(&order["waitingFor"]["reason"]).is_empty());
        assert!(text(&order["waitingFor"]["nextTryAt"]) > text(&order["updatedAt"]));
        let shown = &order[key][0];
        assert!(shown["reason"].is_string() || shown["error"].is_string(), "{shown}");
        // It can be called off while it waits, and nothing stays charged.
        shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
        assert_eq!(shop.finish(&id).await["status"], "cancelled", "{scenario}");
        nothing_charged(&shop, &id, scenario);
    }
}

/// What was reserved is given back, and nothing went.
#[track_caller]
fn nothing_charged(shop: &Shop, id: &str, why: &str) {
    let effects = shop.effects(id);
    let count = |kind: &str| effects.iter().filter(|effect| *effect == kind).count();
    assert!(count("authorize") <= 1 && count("void") <= 1, "{why}: {effects:?}");
    assert!(count("void") >= count("authorize"), "{why}: {effects:?}");
    assert!(count("cancel") >= count("ship"), "{why}: {effects:?}");
}

#[track_caller]
fn cancelled(order: &Value) {
    assert_eq!(order["status"], "cancelled", "{order:#}");
    assert!(order["cancellation"]["doneAt"].is_string(), "{order:#}");
    assert_eq!(order["lines"][0]["quantities"], json!({"cancelled": 2, "shipped": 0, "returned": 0}));
    assert!(
        ["voided", "pending", "declined", "none"].contains(&order["paymentStatus"].as_str().unwrap()),
        "{order:#}"
    );
    for payment in order["payments"].as_array().unwrap() {
        assert_eq!(payment["authorized"], 0, "{order:#}");
    }
}

#[tokio::test]
async fn cancelling_before_anybody_paid() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let order = shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
    assert_eq!(order["status"], "open", "the open step must be settled first");
    shop.restart(&[]).await;
    cancelled(&shop.finish(&id).await);
    nothing_charged(&shop, &id, "before anybody paid");
}

#[tokio::test]
async fn cancelling_before_anybody_shipped() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small_with(json!({"flow": "ship-only"}))).await;
    shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
    shop.restart(&[]).await;
    let order = shop.finish(&id).await;
    if Stack::here() == Stack::Kafka && order["status"] == "completed" {
        // Message by message: the goods may go before anybody reads that they should not.
        assert_eq!(order["cancellation"]["refused"], "it has been shipped already", "{order:#}");
        return assert_eq!(shop.effects(&id), ["ship"]);
    }
    cancelled(&order);
    nothing_charged(&shop, &id, "before anybody shipped");
}

#[tokio::test]
async fn cancelling_at_any_moment_ends_one_way_or_the_other() {
    let shop = Shop::open().await;
    let (plain, slower) = (small(), paying("ship-pending"));
    let why = json!({"reason": "customer"});
    let one = async |i: usize| {
        let id = shop.place(if i.is_multiple_of(2) { &plain } else { &slower }).await;
        // Later and later: as many looks at the order as it has moments to be called off in.
        for _ in 0..i / 4 {
            shop.order(&id).await;
        }
        (shop.command(&id, "cancel", &why).await.status, id)
    };
    for (status, id) in all((0..48).map(one)).await {
        let order = shop.finish(&id).await;
        if order["status"] == "cancelled" {
            cancelled(&order);
            nothing_charged(&shop, &id, "at any moment");
            assert_eq!(status, 200);
        } else {
            assert_eq!(states(&order), ["completed", "shipped", "authorized", "shipped"]);
            assert_eq!(shop.effects(&id), ["authorize", "ship"]);
            assert!(status == 409 || !order["cancellation"]["refused"].is_null());
        }
    }
}

#[tokio::test]
async fn cancelling_while_a_payment_is_under_way() {
    let shop = Shop::with(&[("simulated.payments.slow_ms", "600")]).await;
    let id = shop.place(&paying("slow")).await;
    shop.command(&id, "hold", &json!({})).await.ok(200); // so that nothing follows, however fast it is
    wait_until("the call has its effect", async || !shop.effects(&id).is_empty()).await;
    shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
    cancelled(&shop.finish(&id).await);
    assert_eq!(shop.effects(&id), ["authorize", "void"]);
}

#[tokio::test]
async fn cancelling_right_after_placing() {
    let shop = Shop::with(&[("simulated.payments.slow_ms", "200")]).await;
    for scenario in ["slow", "pending", "timeout", "error", "decline"] {
        let id = shop.place(&paying(scenario)).await;
        let reply = shop.command(&id, "cancel", &json!({"reason": "customer"})).await;
        let order = shop.finish(&id).await;
        match reply.status {
            200 => {
                assert_eq!(order["status"], "cancelled", "{scenario}");
                nothing_charged(&shop, &id, scenario);
            }
            _ => assert_eq!((reply.status, order["status"] == "cancelled"), (409, false), "{scenario}"),
        }
    }
}

#[tokio::test]
async fn cancelling_when_paid() {
    let shop = Shop::with(&[("simulated.payments.slow_ms", "200")]).await;
    let id = shop.place(&paying("slow")).await;
    shop.command(&id, "hold", &json!({})).await.ok(200);
    shop.wait_for(&id, "paid", |order| order["paymentStatus"] == "authorized").await;
    let order = shop.order(&id).await;
    assert_eq!((&order["waitingFor"], &order["actions"]), (&Value::Null, &json!(["cancel", "release"])));
    shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
    let order = shop.finish(&id).await;
    cancelled(&order);
    assert_eq!((&order["onHold"], &order["fulfillmentStatus"]), (&json!(false), &json!("cancelled")));
    assert_eq!(shop.effects(&id), ["authorize", "void"]);
}

#[tokio::test]
async fn cancelling_while_the_plan_is_awaited() {
    let mut shop = Shop::with(&[("workers.paused", "fulfillment")]).await;
    let id = shop.place(&small()).await;
    shop.wait_for(&id, "paid", |order| order["waitingFor"]["kind"] == "schedule").await;
    shop.command(&id, "cancel", &json!({"reason": "stock"})).await.ok(200);
    shop.restart(&[]).await;
    let order = shop.finish(&id).await;
    cancelled(&order);
    assert_eq!(order["fulfillmentStatus"], "cancelled");
    assert_eq!(shop.effects(&id), ["authorize", "void"]);
}

/// An order whose goods are with the carrier just now, but its answer is not here yet.
async fn being_shipped(settings: &[Setting]) -> (Shop, String) {
    let mut all = vec![("simulated.carrier.slow_ms", "3000")];
    all.extend_from_slice(settings);
    let shop = Shop::with(&all).await;
    let id = shop.place(&paying("ship-slow")).await;
    wait_until("the goods went", async || shop.effects(&id).contains(&"ship".to_owned())).await;
    (shop, id)
}

#[tokio::test]
async fn cancelling_what_is_being_shipped_comes_too_late() {
    let (shop, id) = being_shipped(&[]).await;
    shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
    let order = shop.finish(&id).await;
    assert_eq!(states(&order), ["completed", "shipped", "authorized", "shipped"]);
    assert_eq!(order["cancellation"]["doneAt"], Value::Null);
    assert!(!text(&order["cancellation"]["refused"]).is_empty());
    assert_eq!(shop.effects(&id), ["authorize", "ship"]);
    let problem = shop.command(&id, "cancel", &json!({"reason": "customer"})).await.problem(409);
    assert!(text(&problem["detail"]).contains("completed"));
}

#[tokio::test]
async fn cancelling_what_is_being_shipped_stops_it_while_the_carrier_can() {
    let (shop, id) = being_shipped(&[("simulated.carrier.cancel_window_ms", "3600000")]).await;
    shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
    let order = shop.finish(&id).await;
    cancelled(&order);
    assert_eq!(states(&order)[2..], ["voided", "cancelled"]);
    assert_eq!(shop.effects(&id), ["authorize", "ship", "cancel", "void"]);
}

#[tokio::test]
async fn what_was_shipped_cannot_be_cancelled() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    let order = shop.finish(&id).await;
    let problem = shop.command(&id, "cancel", &json!({"reason": "customer"})).await.problem(409);
    assert!(text(&problem["detail"]).contains("completed"), "{problem}");
    assert_eq!(shop.order(&id).await, order);
    assert_eq!(shop.effects(&id), ["authorize", "ship"]);
}

#[tokio::test]
async fn cancelling_while_processing() {
    let shop = Shop::open().await;
    let id = shop.place(&small_with(json!({"flow": "processing"}))).await;
    let reply = shop.command(&id, "cancel", &json!({"reason": "customer"})).await;
    let order = shop.finish(&id).await;
    match reply.status {
        200 => cancelled(&order),
        _ => assert_eq!(order["status"], "completed"),
    }
}

#[tokio::test]
async fn a_refusal_while_being_cancelled_is_a_cancellation() {
    let shop = Shop::with(&[
        ("simulated.payments.latency_min_ms", "400"),
        ("simulated.payments.latency_max_ms", "400"),
    ])
    .await;
    let id = shop.place(&small_with(json!({"flow": "scheduled"}))).await;
    shop.command(&id, "cancel", &json!({"reason": "fraud"})).await.ok(200);
    cancelled(&shop.finish(&id).await);
    nothing_charged(&shop, &id, "while calls take their time");
}

#[tokio::test]
async fn hold_keeps_the_next_step_back_until_release() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    shop.command(&id, "hold", &json!({})).await.ok(200);
    shop.restart(&[]).await;
    let order = shop.wait_for(&id, "paid", |order| order["milestone"] == "authorized").await;
    assert_eq!(
        (&order["status"], &order["onHold"], &order["waitingFor"]),
        (&json!("open"), &json!(true), &Value::Null)
    );
    shop.restart(&[]).await;
    assert_eq!(shop.order(&id).await, order, "nothing moves while it is held, also over a restart");
    shop.command(&id, "release", &json!({})).await.ok(200);
    assert_eq!(shop.finish(&id).await["status"], "completed");
    assert_eq!(shop.effects(&id), ["authorize", "ship"]);
}

#[tokio::test]
async fn a_held_order_that_is_declined_still_fails() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&paying("decline")).await;
    shop.command(&id, "hold", &json!({})).await.ok(200);
    shop.restart(&[]).await;
    assert_eq!(shop.finish(&id).await["status"], "failed");
}

#[tokio::test]
async fn manual_orders_do_not_count_as_open() {
    let shop = Shop::with(&[PAUSED, ("orders.max_open", "1")]).await;
    for _ in 0..3 {
        shop.place(&small_with(json!({"flow": "manual"}))).await;
    }
    let id = shop.place(&small()).await;
    let full = shop.post(ORDERS, &small()).await;
    assert!(text(&full.problem(503)["detail"]).contains('1'));
    assert_eq!(full.header("retry-after"), "10");
    let put = shop.json("PUT", &path("p"), &[], &small()).await;
    put.problem(503);
    shop.get(&path("p")).await.problem(404);
    assert!(!id.is_empty());
}

#[tokio::test]
async fn room_comes_back_when_orders_are_through() {
    let shop = Shop::with(&[("orders.max_open", "3")]).await;
    for scenario in ["success", "decline", "ship-decline", "timeout", "success", "decline"] {
        let id = shop.place(&paying(scenario)).await;
        shop.finish(&id).await;
    }
}
