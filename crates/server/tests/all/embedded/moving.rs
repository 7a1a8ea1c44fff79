//! A system moves from its files into a database.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cli::{cartwright, good, json_of, run, said},
    harness::{PAUSED, Setting, Shop, database, small, small_with, text, wait_until},
};

/// It begins on files, whatever the other tests run on.
const FILES: Setting = ("database.url", "");

/// The settings for schemas of its own.
fn in_database() -> [Setting; 2] {
    let schema = format!("moved_{}", Uuid::now_v7().simple());
    [("database.url", database().leak()), ("database.schema", schema.leak())]
}

async fn carrier(shop: &Shop, mode: &str) {
    shop.json("PUT", "/v1/admin/simulated/carrier", &[], &json!({"mode": mode})).await.ok(200);
}

/// A payment of an order that nobody has placed, in the topic of payments.
fn strange_event(shop: &Shop) {
    let store = rusqlite::Connection::open(shop.dir().join("payments.db")).unwrap();
    store.execute("UPDATE head SET position = position + 1", []).unwrap();
    let insert = "INSERT INTO journal SELECT position, 'payments', 'odd', x'', ?1 FROM head";
    store.execute(insert, [b"not { json".as_slice()]).unwrap();
}

async fn parked(shop: &Shop) -> Vec<Value> {
    shop.get("/v1/admin/parked").await.ok(200)["parked"].as_array().unwrap().clone()
}

async fn copy(shop: &Shop, [url, schema]: &[Setting; 2], more: &[&str]) -> std::process::Output {
    let dir = shop.dir().to_str().unwrap();
    let mut command = cartwright(&["copy", "--from", dir]);
    command.args(more).env("CARTWRIGHT__DATABASE__URL", url.1).env("CARTWRIGHT__DATABASE__SCHEMA", schema.1);
    command.output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_moves_into_a_database_and_goes_on_as_itself() {
    let mut shop = Shop::with(&[FILES]).await;
    let completed = shop.place(&small()).await;
    shop.finish(&completed).await;
    let failed = shop.place(&small_with(json!({"payment": {"scenario": "decline"}}))).await;
    assert_eq!(shop.finish(&failed).await["status"], "failed");
    let manual = shop.place(&small_with(json!({"flow": "manual"}))).await;
    let cancelled = shop.place(&small_with(json!({"flow": "manual"}))).await;
    let cancel = async |shop: &Shop| {
        let (path, key) = (format!("/v1/orders/{cancelled}/cancel"), [("idempotency-key", "once")]);
        let reply = shop.json("POST", &path, &key, &json!({"reason": "customer"})).await;
        (reply.ok(200), reply.header("idempotency-replayed").to_owned())
    };
    let cancellation = cancel(&shop).await.0;
    shop.finish(&cancelled).await;
    carrier(&shop, "down").await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(shop.place(&small()).await);
    }
    for id in &open {
        shop.wait_for(id, "scheduled", |order| order["milestone"] == "scheduled").await;
    }
    wait_until("the carrier is tried again later", async || {
        shop.task_times("fulfillment").await.len() == open.len()
    })
    .await;
    shop.stop().await;
    strange_event(&shop);
    shop.restart(&[FILES, PAUSED]).await;
    wait_until("it is parked", async || parked(&shop).await.len() == 1).await;
    // Nobody has worked on these yet: payments and fulfillment are paused.
    for _ in 0..4 {
        open.push(shop.place(&small()).await);
    }
    let before = (shop.order(&completed).await, shop.history(&completed).await, parked(&shop).await);
    let events = shop.get("/v1/events?topic=orders&limit=1000").await.ok(200);

    let switch = async |shop: &Shop, on: bool| {
        shop.json("PUT", "/v1/admin/providers/payments", &[], &json!({"enabled": on})).await.ok(200)
    };
    switch(&shop, false).await;
    let to = in_database();
    let running = copy(&shop, &to, &[]).await;
    assert_eq!(running.status.code(), Some(1));
    assert!(said(&running).contains("is in use by another cartwright process"), "{}", said(&running));
    shop.stop().await;
    let copied = json_of(&copy(&shop, &to, &["--json"]).await);
    let tables = copied["tables"].as_array().unwrap();
    assert!(copied["ok"] == true && tables.len() == 30, "{copied:#}");
    assert!(tables.iter().all(|table| table["same"] == true && table["from"] == table["to"]), "{copied:#}");
    let again = copy(&shop, &to, &[]).await;
    assert_eq!(again.status.code(), Some(1));
    let orders = tables.iter().find(|table| table["table"] == "record").unwrap()["to"]["rows"].clone();
    assert!(
        said(&again).contains(&format!("_orders is not empty (it holds {orders} orders)")),
        "{}",
        said(&again)
    );

    shop.restart(&to).await;
    let providers = shop.get("/v1/admin/providers").await.ok(200);
    assert_eq!(
        providers["payments"]["enabled"], false,
        "what an operator switched off stays off: {providers:#}"
    );
    switch(&shop, true).await;
    assert_eq!((shop.order(&completed).await, shop.history(&completed).await, parked(&shop).await), before);
    let next = shop.get("/v1/events?topic=orders&limit=1000").await.ok(200);
    let common = events["events"].as_array().unwrap();
    assert_eq!(&next["events"].as_array().unwrap()[..common.len()], &common[..], "the topic is the same one");
    shop.get(&format!("/v1/events?topic=orders&after={}", text(&events["next"]))).await.ok(200);
    assert_eq!(
        cancel(&shop).await,
        (cancellation, "true".to_owned()),
        "a repeated request hears the answer of then"
    );
    carrier(&shop, "up").await;
    for id in &open {
        assert_eq!(shop.finish(id).await["status"], "completed");
        assert_eq!(shop.effects(id), ["authorize", "ship"]);
    }
    shop.command(&manual, "cancel", &json!({"reason": "customer"})).await.ok(200);
    assert_eq!(shop.finish(&manual).await["status"], "cancelled");
    let (fresh, last) = (shop.place(&small()).await, open.last().unwrap());
    let number = async |id: &str| text(&shop.order(id).await["number"]).parse::<u64>().unwrap();
    assert!(number(&fresh).await > number(last).await, "no number is given twice");
    shop.finish(&fresh).await;
    let dir = shop.dir().to_str().unwrap();
    let verified = json_of(&run(&shop, &["verify", "--wait", "--data", dir, "--json"]).await);
    assert_eq!(verified["problems"], json!({}), "{verified:#}");
}

#[tokio::test]
async fn a_copy_says_what_was_compared_and_what_stays() {
    let mut shop = Shop::with(&[FILES]).await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    shop.stop().await;
    let said = good(&copy(&shop, &in_database(), &[]).await);
    for part in [
        "STORE",
        "orders       record",
        "the same",
        "ledger.db",
        "providers.json",
        "Never start on the files again",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test]
async fn a_copy_without_a_database_or_without_data_says_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("shop");
    let dir = dir.to_str().unwrap();
    let nowhere = cartwright(&["copy", "--from", dir]).output().await.unwrap();
    assert!(said(&nowhere).contains("--to postgres://"), "{}", said(&nowhere));
    let (schema, url) = (in_database(), database());
    let nothing = cartwright(&["copy", "--from", dir, "--to", &url])
        .env("CARTWRIGHT__DATABASE__SCHEMA", schema[1].1)
        .output()
        .await
        .unwrap();
    assert_eq!(nothing.status.code(), Some(2));
    assert!(
        said(&nothing).contains("holds no data of cartwright (orders.db is not there)"),
        "{}",
        said(&nothing)
    );
    assert!(!home.path().join("shop").exists(), "nothing is made");
}
