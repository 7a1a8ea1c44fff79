//! `GET /v1/orders/{id}/events` and `GET /v1/events`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{ORDERS, PAUSED, Shop, all, small, small_with, text, wait_until};

fn types(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| text(&event["eventType"])).collect()
}

/// Where a disk has damaged one event, the others are shown, in an answer that can be read.
#[tokio::test]
async fn a_damaged_event_is_left_out_and_its_neighbours_are_shown() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let ids = [shop.place(&small()).await, shop.place(&small()).await];
    shop.stop().await;
    let broken = "UPDATE journal SET value = $1 WHERE position IN (1, 4)";
    let value = br#"{"broken"#.to_vec();
    assert_eq!(shop.edit("orders").await.change(broken, &[value.into()]).await, 2);
    shop.restart(&[PAUSED]).await;
    let topic = shop.get("/v1/events?topic=orders&limit=100").await.ok(200);
    assert_eq!(topic["events"].as_array().unwrap().len(), 2, "each order had two");
    for id in &ids {
        let history = shop.get(&format!("/v1/orders/{id}/events")).await.ok(200);
        assert_eq!(history["events"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_history_tells_everything_in_order() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    let order = shop.finish(&id).await;
    let history = shop.history(&id).await;
    assert_eq!(
        types(&history),
        [
            "OrderCreatedV1",
            "StepRequestedV1",
            "PaymentAuthorizedV1",
            "StepRequestedV1",
            "FulfillmentScheduledV1",
            "StepRequestedV1",
            "ShipmentShippedV1",
            "OrderCompletedV1"
        ]
    );
    let mut ids = BTreeSet::new();
    let mut sequences: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = String::new();
    for event in &history {
        assert!(ids.insert(text(&event["eventId"])), "an event id is unique");
        assert_eq!(event["correlationId"], order["correlationId"]);
        assert_eq!(event["eventVersion"], 1);
        let source = text(&event["source"]);
        let sequence = sequences.entry(source.clone()).or_default();
        *sequence += 1;
        assert_eq!(event["sequence"], *sequence, "gapless in {source}");
        let at = text(&event["occurredAt"]);
        assert!(at >= last, "in order");
        last = at;
        assert!(event["payload"].is_object());
        assert_eq!(event["payload"]["orderId"], json!(id));
        assert!(event.as_object().unwrap().contains_key("causationId"));
        let by_us = event["actor"]["type"] == "service";
        let causes = [&event["causationId"]].iter().filter(|cause| !cause.is_null()).count();
        assert_eq!(causes == 1, by_us, "what a service did has a cause, what a client did has none: {event}");
    }
    // Each was brought about by the one before it: the request by the outcome, the outcome by the request.
    for pair in history[1..].windows(2) {
        assert_eq!(pair[1]["causationId"], pair[0]["eventId"], "{} by {}", pair[1], pair[0]);
    }
    assert_eq!(history[0]["actor"], json!({"type": "api", "id": "anonymous"}));
    assert_eq!(history[2]["actor"], json!({"type": "service", "id": "payments"}));
    assert_eq!(history[0]["payload"]["order"]["customer"]["id"], "c-1");
    assert_eq!(history[7]["payload"]["version"], order["version"]);
    assert_eq!(history[7]["payload"]["status"], "completed");
}

#[tokio::test]
async fn a_cancellation_is_told_with_who_and_why() {
    let mut shop = Shop::with(&[("workers.paused", "fulfillment")]).await;
    let id = shop.place(&small()).await;
    shop.wait_for(&id, "paid", |order| order["milestone"] == "authorized").await;
    shop.command(&id, "cancel", &json!({"reason": "stock", "note": "none left"})).await.ok(200);
    shop.restart(&[]).await;
    shop.finish(&id).await;
    let history = shop.history(&id).await;
    assert_eq!(
        types(&history),
        [
            "OrderCreatedV1",
            "StepRequestedV1",
            "PaymentAuthorizedV1",
            "StepRequestedV1",
            "OrderCancellationRequestedV1",
            "StepUndoRequestedV1",
            "FulfillmentScheduledV1",
            "OrderProgressedV1",
            "ShipmentCancelledV1",
            "StepUndoRequestedV1",
            "PaymentVoidedV1",
            "OrderCancelledV1"
        ]
    );
    assert_eq!(history[4]["actor"]["type"], "api");
    assert_eq!(
        (&history[4]["payload"]["reason"], &history[4]["payload"]["note"]),
        (&json!("stock"), &json!("none left"))
    );
}

#[tokio::test]
async fn a_manual_order_shows_each_change() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small_with(json!({"flow": "manual"}))).await;
    shop.json("PATCH", &crate::harness::path(&id), &[], &json!({"milestone": "shipped"})).await.ok(200);
    let history = shop.history(&id).await;
    assert_eq!(types(&history), ["OrderCreatedV1", "OrderProgressedV1"]);
    assert_eq!(
        (&history[1]["payload"]["version"], &history[1]["payload"]["milestone"]),
        (&json!(2), &json!("shipped"))
    );
}

async fn page(shop: &Shop, query: &str) -> (Vec<Value>, String) {
    let page = shop.get(&format!("/v1/events?{query}")).await.ok(200);
    (page["events"].as_array().unwrap().clone(), text(&page["next"]))
}

#[tokio::test]
async fn a_topic_is_read_from_its_beginning_page_by_page() {
    let shop = Shop::open().await;
    let body = small();
    let ids = all((0..10).map(|_| shop.place(&body))).await;
    for id in &ids {
        shop.finish(id).await;
    }
    for (topic, of_each) in [("orders", 5), ("payments", 1), ("fulfillment", 2)] {
        let (everything, end) = page(&shop, &format!("topic={topic}&limit=1000")).await;
        assert_eq!(everything.len(), of_each * ids.len(), "{topic}");
        assert!(everything.iter().all(|event| event["source"] == topic));
        let (default, _) = page(&shop, &format!("topic={topic}")).await;
        assert_eq!(default, everything);
        let (mut read, mut after) = page(&shop, &format!("topic={topic}&limit=3")).await;
        while read.len() < everything.len() {
            let (more, next) = page(&shop, &format!("topic={topic}&limit=3&after={after}")).await;
            assert!((1..=3).contains(&more.len()));
            read.extend(more);
            after = next;
        }
        assert_eq!(read, everything, "{topic}");
        assert_eq!(after, end);
        let (none, next) = page(&shop, &format!("topic={topic}&after={end}")).await;
        assert_eq!((none.len(), next), (0, end), "nothing new: the same position again");
    }
}

#[tokio::test]
async fn a_position_stays_good_and_shows_what_is_new() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let (none, start) = page(&shop, "topic=orders").await;
    assert_eq!(none.len(), 0);
    let id = shop.place(&small()).await;
    let (new, after) = page(&shop, &format!("topic=orders&after={start}")).await;
    assert_eq!(types(&new), ["OrderCreatedV1", "StepRequestedV1"]);
    shop.restart(&[PAUSED]).await;
    shop.command(&id, "hold", &json!({})).await.ok(200);
    let (new, _) = page(&shop, &format!("topic=orders&after={after}")).await;
    assert_eq!(types(&new), ["OrderHeldV1"]);
}

#[tokio::test]
async fn the_topic_and_the_history_show_the_same_bytes() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    let mut all = Vec::new();
    for topic in ["orders", "payments", "fulfillment"] {
        all.extend(page(&shop, &format!("topic={topic}")).await.0);
    }
    let history = shop.history(&id).await;
    assert_eq!(history.len(), all.len());
    assert!(history.iter().all(|event| all.contains(event)));
}

#[tokio::test]
async fn a_position_of_another_journal_or_beyond_the_end_is_gone() {
    let (one, other) = (Shop::with(&[PAUSED]).await, Shop::with(&[PAUSED]).await);
    one.place(&small()).await;
    other.place(&small()).await;
    let (_, foreign) = page(&other, "topic=orders").await;
    let (_, own) = page(&one, "topic=orders").await;
    let beyond = format!("{}-99", own.rsplit_once('-').unwrap().0);
    let (_, of_payments) = page(&one, "topic=payments").await;
    for after in
        [foreign, beyond, of_payments, format!("{}-18446744073709551615", own.rsplit_once('-').unwrap().0)]
    {
        let problem = one.get(&format!("/v1/events?topic=orders&after={after}")).await.problem(410);
        let detail = text(&problem["detail"]);
        let oldest = detail.rsplit_once("after=").unwrap().1;
        let (events, _) = page(&one, &format!("topic=orders&after={oldest}")).await;
        assert_eq!(events.len(), 2, "the position that it names is good");
    }
}

#[tokio::test]
async fn a_reader_that_follows_misses_nothing() {
    let shop = Shop::open().await;
    let body = small();
    let (_, mut after) = page(&shop, "topic=orders").await;
    let placing = all((0..40).map(|_| shop.post(ORDERS, &body)));
    let following = async {
        let mut completed = BTreeSet::new();
        let mut seen = BTreeSet::new();
        while completed.len() < 40 {
            let (events, next) = page(&shop, &format!("topic=orders&limit=7&after={after}")).await;
            after = next;
            for event in events {
                assert!(seen.insert(text(&event["eventId"])), "no repeats");
                if event["eventType"] == "OrderCompletedV1" {
                    completed.insert(text(&event["payload"]["orderId"]));
                }
            }
        }
        seen.len()
    };
    let (placed, seen) =
        tokio::time::timeout(std::time::Duration::from_secs(30), async { tokio::join!(placing, following) })
            .await
            .unwrap();
    assert!(placed.iter().all(|reply| reply.status == 201));
    assert_eq!(seen, 40 * 5);
    wait_until("all are shipped", async || page(&shop, "topic=fulfillment&limit=1000").await.0.len() == 80)
        .await;
}
