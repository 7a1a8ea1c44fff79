//! Cancel, hold, release and `PATCH`.

use serde_json::{Value, json};

use crate::harness::{PAUSED, Shop, all, path, small, small_with, text};

#[tokio::test]
async fn a_stale_if_match_changes_nothing() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small_with(json!({"flow": "manual"}))).await;
    let patch = async |tag: &str, milestone: &str| {
        shop.json("PATCH", &path(&id), &[("if-match", tag)], &json!({"milestone": milestone})).await
    };
    let first = patch("\"1\"", "shipped").await;
    assert_eq!((&first.ok(200)["version"], first.header("etag")), (&json!(2), "\"2\""));
    let stale = patch("\"1\"", "delivered").await.problem(412);
    assert!(text(&stale["detail"]).contains("version 2"), "{stale}");
    assert_eq!(shop.order(&id).await["milestone"], "shipped");
    patch("*", "delivered").await.ok(200);
    patch("\"3\"", "processed").await.ok(200);
    for (call, body) in [("cancel", json!({"reason": "other"})), ("hold", json!({})), ("release", json!({}))]
    {
        let at = format!("{}/{call}", path(&id));
        shop.json("POST", &at, &[("if-match", "\"1\"")], &body).await.problem(412);
    }
    let at = format!("{}/cancel", path(&id));
    shop.json("POST", &at, &[("if-match", "\"4\"")], &json!({"reason": "other"})).await.ok(200);
}

#[tokio::test]
async fn of_two_who_saw_the_same_version_one_wins() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let at = format!("{}/hold", path(&id));
    let nothing = json!({});
    let calls = (0..20).map(|_| shop.json("POST", &at, &[("if-match", "\"1\"")], &nothing));
    let replies: Vec<u16> = all(calls).await.iter().map(|reply| reply.status).collect();
    assert_eq!(replies.iter().filter(|status| **status == 200).count(), 1, "{replies:?}");
    assert!(replies.iter().all(|status| [200, 412].contains(status)), "{replies:?}");
    assert_eq!(shop.order(&id).await["version"], 2);
}

#[tokio::test]
async fn hold_and_release() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let held = shop.command(&id, "hold", &json!({"note": "check the address"})).await;
    let order = held.ok(200);
    assert_eq!(
        (&order["onHold"], &order["version"], held.header("etag")),
        (&json!(true), &json!(2), "\"2\"")
    );
    assert_eq!(order["actions"], json!(["cancel", "release"]));
    let again = shop.command(&id, "hold", &json!({})).await.problem(409);
    assert!(text(&again["detail"]).contains("on hold already"));
    let order = shop.command(&id, "release", &json!({"note": "fine"})).await.ok(200);
    assert_eq!((&order["onHold"], &order["version"]), (&json!(false), &json!(3)));
    let again = shop.command(&id, "release", &json!({})).await.problem(409);
    assert!(text(&again["detail"]).contains("not on hold"));
    let notes: Vec<Value> =
        shop.history(&id).await.iter().map(|event| event["payload"]["note"].clone()).collect();
    assert!(notes.contains(&json!("check the address")) && notes.contains(&json!("fine")), "{notes:?}");
}

#[tokio::test]
async fn hold_and_release_need_no_body() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    for call in ["hold", "release"] {
        let at = format!("{}/{call}", path(&id));
        let reply = shop.send("POST", &at, &[], b"").await;
        assert_eq!(reply.ok(200)["onHold"], call == "hold");
    }
    let at = format!("{}/hold", path(&id));
    assert_eq!(
        shop.send("POST", &at, &[("content-type", "application/json")], b"").await.ok(200)["onHold"],
        true
    );
}

#[tokio::test]
async fn a_cancellation_says_why_and_when() {
    let shop = Shop::open().await;
    for reason in ["customer", "fraud", "stock", "other"] {
        let id = shop.place(&small_with(json!({"flow": "manual"}))).await;
        let order = shop.command(&id, "cancel", &json!({"reason": reason, "note": "ü\nfull"})).await.ok(200);
        assert_eq!(order["status"], "cancelled", "nothing was to be undone");
        let cancellation = &order["cancellation"];
        assert_eq!((&cancellation["reason"], &cancellation["note"]), (&json!(reason), &json!("ü\nfull")));
        assert_eq!(cancellation["requestedAt"], cancellation["doneAt"]);
        assert_eq!(order["actions"], json!([]));
        assert_eq!(order["lines"][0]["quantities"]["cancelled"], 2);
    }
}

#[tokio::test]
async fn an_order_being_cancelled_takes_no_more_commands() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let order = shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
    assert_eq!((&order["status"], &order["cancellation"]["doneAt"]), (&json!("open"), &Value::Null));
    assert_eq!(order["actions"], json!([]));
    for (call, body) in [("cancel", json!({"reason": "other"})), ("hold", json!({})), ("release", json!({}))]
    {
        let problem = shop.command(&id, call, &body).await.problem(409);
        assert!(text(&problem["detail"]).contains("being cancelled"), "{problem}");
    }
}

#[tokio::test]
async fn what_is_final_stays_so_and_says_why() {
    let shop = Shop::open().await;
    let completed = shop.place(&small()).await;
    let failed = shop.place(&small_with(json!({"payment": {"scenario": "decline"}}))).await;
    let cancelled = shop.place(&small_with(json!({"flow": "manual"}))).await;
    shop.command(&cancelled, "cancel", &json!({"reason": "other"})).await.ok(200);
    for (id, word) in [(completed, "completed"), (failed, "failed"), (cancelled, "cancelled")] {
        let order = shop.finish(&id).await;
        assert_eq!((&order["status"], &order["actions"]), (&json!(word), &json!([])));
        for (call, body) in
            [("cancel", json!({"reason": "other"})), ("hold", json!({})), ("release", json!({}))]
        {
            let problem = shop.command(&id, call, &body).await.problem(409);
            assert!(text(&problem["detail"]).contains(word), "{problem}");
        }
        shop.json("PATCH", &path(&id), &[], &json!({"milestone": "shipped"})).await.problem(409);
        assert_eq!(shop.order(&id).await, order, "nothing changed");
    }
}

#[tokio::test]
async fn only_manual_orders_take_a_milestone() {
    let shop = Shop::open().await;
    let id = shop.place(&small_with(json!({"flow": "manual"}))).await;
    let order = shop.order(&id).await;
    assert_eq!(order["actions"], json!(["cancel", "setMilestone"]));
    assert_eq!((&order["paymentStatus"], &order["fulfillmentStatus"]), (&json!("none"), &json!("none")));
    let mut version = 1;
    for milestone in ["authorized", "scheduled", "shipped", "delivered", "processed", "created"] {
        let reply = shop.json("PATCH", &path(&id), &[], &json!({"milestone": milestone})).await;
        version += 1;
        let order = reply.ok(200);
        assert_eq!((&order["milestone"], &order["version"]), (&json!(milestone), &json!(version)));
        assert_eq!(order["status"], "open", "never final");
    }
    let same = shop.json("PATCH", &path(&id), &[], &json!({"milestone": "created"})).await.ok(200);
    assert_eq!(same["version"], version, "no change, no new version");
    shop.command(&id, "hold", &json!({})).await.problem(409);
    for flow in ["standard", "scheduled", "ship-only", "processing"] {
        let id = shop.place(&small_with(json!({"flow": flow}))).await;
        let problem =
            shop.json("PATCH", &path(&id), &[], &json!({"milestone": "shipped"})).await.problem(409);
        assert!(!text(&problem["detail"]).is_empty());
    }
}
