//! `Idempotency-Key`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{ORDERS, PAUSED, Reply, Shop, all, path, small, small_with, text, wait_until};

async fn place(shop: &Shop, key: &str, body: &Value) -> Reply {
    shop.json("POST", ORDERS, &[("idempotency-key", key)], body).await
}

async fn command(shop: &Shop, id: &str, call: &str, key: &str, body: &Value) -> Reply {
    shop.json("POST", &format!("{}/{call}", path(id)), &[("idempotency-key", key)], body).await
}

fn replayed(reply: &Reply) -> bool {
    reply.header("idempotency-replayed") == "true"
}

async fn orders(shop: &Shop) -> usize {
    let page = shop.get(&format!("{ORDERS}?limit=500")).await.ok(200);
    page["orders"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_repeated_place_answers_with_the_same_order() {
    let shop = Shop::with(&[PAUSED]).await;
    let first = place(&shop, "k", &small()).await;
    let again = place(&shop, "k", &small()).await;
    assert_eq!(first.ok(201), again.ok(201));
    assert_eq!((replayed(&first), replayed(&again)), (false, true));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(again.header("etag"), "\"1\"");
    place(&shop, "k", &small_with(json!({"currency": "EUR"}))).await.problem(422);
    let other = place(&shop, "K", &small()).await;
    assert_ne!(other.ok(201)["id"], first.ok(201)["id"], "keys are told apart by their case");
}

#[tokio::test]
async fn the_same_said_otherwise_is_the_same_body() {
    let shop = Shop::with(&[PAUSED]).await;
    let first = place(&shop, "k", &small()).await.ok(201);
    let spelled_out =
        small_with(json!({"flow": "standard", "externalId": null, "charges": [], "totals": {"total": 1000}}));
    assert_eq!(place(&shop, "k", &spelled_out).await.ok(201), first);
}

#[tokio::test]
async fn a_key_for_placing_answers_with_the_order_as_it_stands() {
    let mut shop = Shop::open().await;
    let id = text(&place(&shop, "k", &small()).await.ok(201)["id"]);
    let finished = shop.finish(&id).await;
    let again = place(&shop, "k", &small()).await;
    assert_eq!(again.ok(201), finished);
    assert!(replayed(&again));
    shop.restart(&[]).await;
    let again = place(&shop, "k", &small()).await;
    assert_eq!(again.ok(201), finished);
    place(&shop, "k", &small_with(json!({"metadata": {"a": "b"}}))).await.problem(422);
    assert_eq!(shop.effects(&id), ["authorize", "ship"]);
}

#[tokio::test]
async fn fifty_at_once_under_one_key_are_one_order() {
    let shop = Shop::open().await;
    let body = small();
    let replies = all((0..50).map(|_| place(&shop, "k", &body))).await;
    let ids: BTreeSet<String> = replies.iter().map(|reply| text(&reply.ok(201)["id"])).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(replies.iter().filter(|reply| !replayed(reply)).count(), 1, "one of them was the first");
    assert_eq!(orders(&shop).await, 1);
    let id = ids.first().unwrap();
    shop.finish(id).await;
    assert_eq!(shop.effects(id), ["authorize", "ship"]);
}

#[tokio::test]
async fn fifty_at_once_with_other_bodies_are_one_order() {
    let shop = Shop::with(&[PAUSED]).await;
    let bodies: Vec<Value> = (0..50).map(|i| small_with(json!({"metadata": {"i": i.to_string()}}))).collect();
    let replies = all(bodies.iter().map(|body| place(&shop, "k", body))).await;
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 422).count(), 49, "{statuses:?}");
    assert_eq!(orders(&shop).await, 1);
}

#[tokio::test]
async fn fifty_puts_at_once_are_one_order() {
    let shop = Shop::with(&[PAUSED]).await;
    let body = small();
    let at = path("p");
    let replies = all((0..50).map(|_| shop.json("PUT", &at, &[], &body))).await;
    assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
    assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 49);
    assert_eq!(orders(&shop).await, 1);
}

#[tokio::test]
async fn a_key_beside_an_explicit_id_is_kept_with_the_order() {
    let shop = Shop::with(&[PAUSED]).await;
    let mine = small_with(json!({"id": "mine"}));
    assert!(!replayed(&place(&shop, "k", &mine).await));
    let again = place(&shop, "k", &mine).await;
    assert_eq!(again.ok(201)["id"], "mine");
    assert!(replayed(&again));
    place(&shop, "k", &small_with(json!({"id": "mine", "currency": "EUR"}))).await.problem(422);
    assert_eq!(place(&shop, "other key", &mine).await.problem(409)["orderId"], "mine");
    assert_eq!(shop.post(ORDERS, &mine).await.problem(409)["orderId"], "mine");
    assert_eq!(orders(&shop).await, 1);
}

#[tokio::test]
async fn a_replay_of_a_command_shows_the_answer_of_then() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let held = command(&shop, &id, "hold", "h", &json!({"note": "n"})).await;
    command(&shop, &id, "release", "r", &json!({})).await.ok(200);
    let cancelled = command(&shop, &id, "cancel", "c", &json!({"reason": "fraud"})).await;
    for _ in 0..2 {
        let again = command(&shop, &id, "hold", "h", &json!({"note": "n"})).await;
        assert_eq!(again.ok(200), held.ok(200));
        assert!(replayed(&again));
        assert_eq!(again.header("etag"), "\"2\"");
        let again = command(&shop, &id, "cancel", "c", &json!({"reason": "fraud"})).await;
        assert_eq!(again.ok(200), cancelled.ok(200), "as it was answered, not as it stands");
        assert!(replayed(&again));
        shop.restart(&[]).await;
        assert_eq!(shop.finish(&id).await["status"], "cancelled");
    }
    command(&shop, &id, "cancel", "c", &json!({"reason": "other"})).await.problem(422);
    command(&shop, &id, "release", "h", &json!({"note": "n"})).await.problem(422);
}

#[tokio::test]
async fn a_replay_does_not_look_at_if_match_again() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small_with(json!({"flow": "manual"}))).await;
    let headers = [("idempotency-key", "k"), ("if-match", "\"1\"")];
    let body = json!({"milestone": "shipped"});
    let first = shop.json("PATCH", &path(&id), &headers, &body).await.ok(200);
    let again = shop.json("PATCH", &path(&id), &headers, &body).await;
    assert_eq!(again.ok(200), first);
    assert!(replayed(&again));
    assert_eq!(shop.order(&id).await["version"], 2);
}

#[tokio::test]
async fn commands_at_once_under_one_key_happen_once() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let body = json!({});
    let replies = all((0..50).map(|_| command(&shop, &id, "hold", "k", &body))).await;
    let first = replies[0].ok(200);
    assert!(replies.iter().all(|reply| reply.ok(200) == first));
    assert_eq!(replies.iter().filter(|reply| !replayed(reply)).count(), 1);
    assert_eq!(shop.order(&id).await["version"], 2);
}

#[tokio::test]
async fn keys_of_commands_belong_to_their_order() {
    let shop = Shop::with(&[PAUSED]).await;
    for _ in 0..2 {
        let id = text(&place(&shop, &format!("{}", orders(&shop).await), &small()).await.ok(201)["id"]);
        let held = command(&shop, &id, "hold", "k", &json!({})).await;
        assert!(!replayed(&held));
        assert_eq!(held.ok(200)["id"], json!(id));
    }
}

#[tokio::test]
async fn a_request_without_effect_may_be_repeated_with_its_key() {
    let shop = Shop::with(&[PAUSED]).await;
    place(&shop, "a", &small_with(json!({"lines": []}))).await.problem(400);
    assert!(!replayed(&place(&shop, "a", &small()).await));
    shop.place(&small_with(json!({"externalId": "taken"}))).await;
    place(&shop, "b", &small_with(json!({"externalId": "taken"}))).await.problem(409);
    let free = place(&shop, "b", &small_with(json!({"externalId": "free"}))).await;
    assert_eq!((free.status, replayed(&free)), (201, false));
    let id = text(&free.ok(201)["id"]);
    command(&shop, &id, "release", "c", &json!({})).await.problem(409);
    command(&shop, &id, "hold", "d", &json!({})).await.ok(200);
    assert_eq!(command(&shop, &id, "release", "c", &json!({})).await.ok(200)["onHold"], false);
    let stale = [("idempotency-key", "e"), ("if-match", "\"1\"")];
    let at = format!("{}/hold", path(&id));
    shop.json("POST", &at, &stale, &json!({})).await.problem(412);
    let fresh = [("idempotency-key", "e"), ("if-match", "\"3\"")];
    assert!(!replayed(&shop.json("POST", &at, &fresh, &json!({})).await));
    command(&shop, "later", "hold", "f", &json!({})).await.problem(404);
    shop.place(&small_with(json!({"id": "later"}))).await;
    assert!(!replayed(&command(&shop, "later", "hold", "f", &json!({})).await));
}

#[tokio::test]
async fn a_full_shop_still_knows_what_it_took() {
    let mut shop = Shop::with(&[("orders.max_open", "2")]).await;
    let id = text(&place(&shop, "k", &small()).await.ok(201)["id"]);
    shop.finish(&id).await;
    let put = shop.json("PUT", &path("p"), &[], &small()).await;
    assert_eq!(put.status, 201);
    shop.finish("p").await;
    shop.restart(&[("orders.max_open", "2"), PAUSED]).await;
    shop.place(&small()).await;
    shop.place(&small_with(json!({"id": "taken"}))).await;
    let refused = shop.post(ORDERS, &small()).await;
    refused.problem(503);
    assert_eq!(refused.header("retry-after"), "10");
    let again = place(&shop, "k", &small()).await;
    assert_eq!(again.ok(201)["id"], json!(id), "a repeat is no new order");
    assert!(replayed(&again));
    assert_eq!(shop.json("PUT", &path("p"), &[], &small()).await.ok(200)["id"], "p");
    assert_eq!(shop.post(ORDERS, &small_with(json!({"id": "p"}))).await.problem(409)["orderId"], "p");
    assert_eq!(shop.post(ORDERS, &small_with(json!({"id": "taken"}))).await.problem(409)["orderId"], "taken");
    // A request that was refused because the shop was full may be repeated with its key.
    place(&shop, "new", &small()).await.problem(503);
    shop.command("taken", "cancel", &json!({"reason": "other"})).await.ok(200);
    shop.restart(&[("orders.max_open", "2")]).await;
    shop.finish("taken").await;
    assert!(!replayed(&place(&shop, "new", &small()).await));
}

#[tokio::test]
async fn answers_are_forgotten_in_time_but_placing_is_protected_for_ever() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let id = text(&place(&shop, "p", &small_with(json!({"flow": "manual"}))).await.ok(201)["id"]);
    let headers = [("idempotency-key", "k")];
    let patch = async |shop: &Shop, milestone: &str| {
        shop.json("PATCH", &path(&id), &headers, &json!({"milestone": milestone})).await
    };
    patch(&shop, "shipped").await.ok(200);
    patch(&shop, "delivered").await.problem(422);
    shop.restart(&[("idempotency.retention_days", "0")]).await;
    wait_until("the answer is forgotten", async || shop.traces().await[0].3 == 0).await;
    assert!(!replayed(&patch(&shop, "delivered").await));
    assert_eq!(shop.order(&id).await["version"], 3);
    assert!(replayed(&place(&shop, "p", &small_with(json!({"flow": "manual"}))).await));
}
