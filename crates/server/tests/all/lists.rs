//! `GET /v1/orders` and `GET /v1/orders/{id}`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{ORDERS, PAUSED, Shop, path, small, small_with, text};

async fn ids(shop: &Shop, query: &str) -> BTreeSet<String> {
    let page = shop.get(&format!("{ORDERS}?limit=500&{query}")).await.ok(200);
    assert_eq!(page["next"], Value::Null);
    page["orders"].as_array().unwrap().iter().map(|order| text(&order["id"])).collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|id| (*id).to_owned()).collect()
}

#[tokio::test]
async fn an_order_has_an_etag_that_saves_sending_it_again() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let reply = shop.get(&path(&id)).await;
    assert_eq!((reply.status, reply.header("etag")), (200, "\"1\""));
    for tags in ["\"1\"", "W/\"1\"", "*", "\"7\", \"1\""] {
        let same = shop.send("GET", &path(&id), &[("if-none-match", tags)], b"").await;
        assert_eq!((same.status, same.header("etag"), &same.body[..]), (304, "\"1\"", &b""[..]), "{tags}");
    }
    for tags in ["\"2\"", "1", "nonsense"] {
        assert_eq!(shop.send("GET", &path(&id), &[("if-none-match", tags)], b"").await.status, 200, "{tags}");
    }
    shop.command(&id, "hold", &json!({})).await.ok(200);
    let changed = shop.send("GET", &path(&id), &[("if-none-match", "\"1\"")], b"").await;
    assert_eq!((changed.status, changed.header("etag")), (200, "\"2\""));
    let head = shop.send("HEAD", &path(&id), &[], b"").await;
    assert_eq!((head.status, head.header("etag"), head.body.len()), (200, "\"2\"", 0));
}

#[tokio::test]
async fn an_unknown_order_is_not_found() {
    let shop = Shop::with(&[PAUSED]).await;
    for id in ["nobody", "0198c0de-0000-7000-8000-00000000abcd", "a/b", "\n", &"x".repeat(129)] {
        shop.get(&path(id)).await.problem(404);
        shop.get(&format!("{}/events", path(id))).await.problem(404);
        shop.command(id, "cancel", &json!({"reason": "other"})).await.problem(404);
        shop.command(id, "hold", &json!({})).await.problem(404);
        shop.command(id, "release", &json!({})).await.problem(404);
        shop.json("PATCH", &path(id), &[], &json!({"milestone": "shipped"})).await.problem(404);
    }
}

#[tokio::test]
async fn every_filter_filters_and_may_repeat() {
    let shop = Shop::open().await;
    let place = async |id: &str, more: Value| {
        let mut order = small_with(more);
        order["id"] = json!(id);
        shop.place(&order).await
    };
    place("done", json!({"customer": {"id": "anna & co"}, "externalId": "e 1"})).await;
    place("failed", json!({"payment": {"scenario": "decline"}, "externalId": "e+2", "channel": "web"})).await;
    place("manual", json!({"flow": "manual", "customer": {"id": "bob"}})).await;
    place("gone", json!({"flow": "manual", "customer": {"id": "bob"}})).await;
    shop.command("gone", "cancel", &json!({"reason": "stock"})).await.ok(200);
    for id in ["done", "failed"] {
        shop.finish(id).await;
    }
    let all = set(&["done", "failed", "manual", "gone"]);
    assert_eq!(ids(&shop, "").await, all);
    assert_eq!(ids(&shop, "status=open").await, set(&["manual"]));
    assert_eq!(ids(&shop, "status=failed&status=cancelled").await, set(&["failed", "gone"]));
    assert_eq!(ids(&shop, "milestone=shipped").await, set(&["done"]));
    assert_eq!(ids(&shop, "milestone=created&milestone=shipped").await, all);
    assert_eq!(ids(&shop, "customer=anna%20%26+co").await, set(&["done"]));
    assert_eq!(ids(&shop, "customer=bob&customer=c-1").await, set(&["failed", "manual", "gone"]));
    assert_eq!(ids(&shop, "flow=manual").await, set(&["manual", "gone"]));
    assert_eq!(ids(&shop, "flow=manual&flow=standard").await, all);
    assert_eq!(ids(&shop, "externalId=e%201&externalId=e%2B2").await, set(&["done", "failed"]));
    assert_eq!(ids(&shop, "externalId=nothing").await, set(&[]));
    assert_eq!(ids(&shop, "flow=manual&status=open&customer=bob").await, set(&["manual"]), "all must match");
}

#[tokio::test]
async fn numbers_and_times_filter() {
    let shop = Shop::with(&[PAUSED]).await;
    let mut orders = Vec::new();
    for id in ["a", "b", "c"] {
        orders.push(shop.post(ORDERS, &small_with(json!({"id": id, "flow": "manual"}))).await.ok(201));
    }
    let (number, number2) = (text(&orders[0]["number"]), text(&orders[2]["number"]));
    assert_eq!(ids(&shop, &format!("number={number}")).await, set(&["a"]));
    assert_eq!(ids(&shop, &format!("number={number}&number={number2}")).await, set(&["a", "c"]));
    assert_eq!(ids(&shop, "number=18446744073709551615").await, set(&[]));
    let second = text(&orders[1]["createdAt"]);
    assert_eq!(ids(&shop, &format!("createdAfter={second}")).await, set(&["b", "c"]), "at or after");
    assert_eq!(ids(&shop, &format!("createdBefore={second}")).await, set(&["a"]), "before");
    let changed = shop.json("PATCH", &path("a"), &[], &json!({"milestone": "shipped"})).await.ok(200);
    let since = text(&changed["updatedAt"]);
    assert_eq!(ids(&shop, &format!("updatedAfter={since}")).await, set(&["a"]));
    let far = "createdAfter=1970-01-01T01:00:00%2B01:00&createdBefore=9999-12-30T00:00:00Z";
    assert_eq!(ids(&shop, far).await, set(&["a", "b", "c"]));
}

#[tokio::test]
async fn lists_are_sorted_newest_first() {
    let shop = Shop::with(&[PAUSED]).await;
    for id in ["a", "b", "c"] {
        shop.place(&small_with(json!({"id": id, "flow": "manual"}))).await;
    }
    shop.json("PATCH", &path("a"), &[], &json!({"milestone": "shipped"})).await.ok(200);
    let order = async |query: &str| -> Vec<String> {
        let page = shop.get(&format!("{ORDERS}{query}")).await.ok(200);
        page["orders"].as_array().unwrap().iter().map(|order| text(&order["id"])).collect()
    };
    assert_eq!(order("").await, ["c", "b", "a"]);
    assert_eq!(order("?sort=createdAt").await, ["c", "b", "a"]);
    assert_eq!(order("?sort=updatedAt").await, ["a", "c", "b"]);
    assert_eq!(order("?limit=2").await, ["c", "b"]);
    let listed = shop.get(&format!("{ORDERS}?limit=1&sort=updatedAt")).await.ok(200);
    assert_eq!(listed["orders"][0], shop.order("a").await, "a list shows the whole order");
}

#[tokio::test]
async fn paging_has_no_gaps_or_repeats_while_orders_are_placed() {
    let shop = Shop::with(&[PAUSED]).await;
    let mut first = BTreeSet::new();
    for _ in 0..25 {
        first.insert(shop.place(&small_with(json!({"flow": "manual"}))).await);
    }
    for sort in ["createdAt", "updatedAt"] {
        let mut seen = Vec::new();
        let mut cursor = String::new();
        let mut pages = 0;
        loop {
            let page = shop.get(&format!("{ORDERS}?limit=4&sort={sort}{cursor}")).await.ok(200);
            let orders = page["orders"].as_array().unwrap();
            assert!(orders.len() <= 4);
            seen.extend(orders.iter().map(|order| text(&order["id"])));
            pages += 1;
            // Several at once, so that some share their moment.
            let more = small();
            tokio::join!(shop.place(&more), shop.place(&more));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let unique: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(unique.len(), seen.len(), "no repeats by {sort}");
        assert!(first.is_subset(&unique), "no gaps by {sort}");
        assert!(pages >= 7);
        let found = shop.get(&format!("{ORDERS}?limit=500")).await.ok(200);
        first.extend(found["orders"].as_array().unwrap().iter().map(|order| text(&order["id"])));
    }
}

#[tokio::test]
async fn a_full_last_page_is_the_last() {
    let shop = Shop::with(&[PAUSED]).await;
    assert_eq!(shop.get(ORDERS).await.ok(200), json!({"orders": [], "next": null}));
    for _ in 0..4 {
        shop.place(&small()).await;
    }
    let page = shop.get(&format!("{ORDERS}?limit=2")).await.ok(200);
    let page = shop.get(&format!("{ORDERS}?limit=2&cursor={}", text(&page["next"]))).await.ok(200);
    assert_eq!((page["orders"].as_array().unwrap().len(), &page["next"]), (2, &Value::Null));
}

#[tokio::test]
async fn a_cursor_keeps_to_its_filters() {
    let shop = Shop::with(&[PAUSED]).await;
    for i in 0..9 {
        shop.place(&small_with(json!({"customer": {"id": format!("c-{}", i % 3)}}))).await;
    }
    let page = shop.get(&format!("{ORDERS}?customer=c-1&limit=2")).await.ok(200);
    let next = text(&page["next"]);
    let page = shop.get(&format!("{ORDERS}?customer=c-1&limit=2&cursor={next}")).await.ok(200);
    assert_eq!(page["orders"].as_array().unwrap().len(), 1);
    assert_eq!(page["orders"][0]["customer"]["id"], "c-1");
}
