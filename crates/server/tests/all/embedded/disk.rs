//! A disk that fails or is full: new orders are refused, what is there can be read, and it recovers by itself.

use std::sync::Arc;

use cartwright_store::sqlite::SqliteOptions;
use cartwright_testkit::power::{self, Disk};
use serde_json::json;

use super::on_files;
use crate::harness::{Home, ORDERS, Shop, path, small, wait_until};

#[tokio::test]
async fn while_syncs_fail_orders_are_refused_and_read_and_then_all_goes_on() {
    on_files();
    let (shop, disk) = shop().await;
    let placed = shop.place(&small()).await;
    shop.finish(&placed).await;

    disk.fail_syncs("", 0, u64::MAX);
    let unlucky = small(); // whoever meets the trouble first waits to be told what became of his order
    tokio::select! {
        reply = shop.post(ORDERS, &unlucky) => assert_eq!(reply.status, 504, "{}", reply.text()),
        () = wait_until("health says so", async || shop.get("/health/ready").await.status == 503) => {}
    }
    refuses(&shop).await;
    assert_eq!(shop.order(&placed).await["status"], "completed", "what is there can be read");
    shop.get(ORDERS).await.ok(200);

    disk.heal();
    recovers(&shop, &placed).await;
}

#[tokio::test]
async fn on_a_full_disk_orders_are_refused_and_read_and_then_all_goes_on() {
    on_files();
    let (shop, disk) = shop().await;
    let placed = shop.place(&small()).await;
    shop.finish(&placed).await;

    disk.leave_room(0);
    refuses(&shop).await;
    assert_eq!(shop.order(&placed).await["status"], "completed", "what is there can be read");
    let refused = shop.post(ORDERS, &small()).await;
    assert_eq!(refused.problem(503)["type"], "urn:cartwright:problem:unavailable");
    assert!(!refused.header("retry-after").is_empty());

    disk.heal();
    recovers(&shop, &placed).await;
}

async fn shop() -> (Shop, Arc<Disk>) {
    let dir = Home::new();
    let disk = Disk::mount(dir.path(), 1);
    let options = SqliteOptions { vfs: Some(power::vfs().to_owned()), ..SqliteOptions::default() };
    (Shop::on_disk(&options, dir).await, disk)
}

/// New orders are refused, first or last: some may still fit.
async fn refuses(shop: &Shop) {
    wait_until("new orders are refused", async || {
        let body = json!({"customer": {"id": "c"}, "currency": "XXX", "lines": [{"sku": "x".repeat(100), "quantity": 1}]});
        shop.post(ORDERS, &body).await.status == 503
    })
    .await;
}

/// Without anybody's help: the first sign is health, before a new order comes.
async fn recovers(shop: &Shop, placed: &str) {
    wait_until("it is well again", async || shop.get("/health/ready").await.status == 200).await;
    let next = shop.place(&small()).await;
    assert_eq!(shop.finish(&next).await["status"], "completed");
    assert_eq!(shop.order(placed).await["status"], "completed");
    let listed = shop.get(ORDERS).await.ok(200);
    for order in listed["orders"].as_array().unwrap() {
        let id = order["id"].as_str().unwrap();
        assert_eq!(shop.finish(id).await["status"], "completed", "{}", path(id));
    }
}
