//! Stored orders that were damaged: a 500 for each of them at most, and for nobody else.

use cartwright_testkit::garbage;
use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::harness::{Cell, ORDERS, PAUSED, Reply, Shop, path, small_with, text};

const ORDERS_EACH: usize = 30;

/// A record that was changed, or other bytes in its place, and its schema.
type Damage = (Result<Vec<garbage::Change>, Vec<u8>>, u32);

#[test]
fn damaged_orders_are_a_problem_of_their_own_only() {
    let damage = (
        prop_oneof![3 => garbage::changes().prop_map(Ok), 1 => garbage::bytes().prop_map(Err)],
        prop_oneof![5 => Just(1_u32), 1 => Just(2)],
    );
    let damages = prop::collection::vec(damage, ORDERS_EACH);
    let config =
        ProptestConfig { source_file: Some(file!()), max_shrink_iters: 50, ..ProptestConfig::with_cases(4) };
    let runtime = Runtime::new().unwrap();
    let checked = TestRunner::new(config).run(&damages, |damages| runtime.block_on(check(&damages)));
    checked.unwrap_or_else(|error| panic!("{error}"));
}

async fn check(damages: &[Damage]) -> Result<(), TestCaseError> {
    let mut shop = Shop::with(&[PAUSED]).await;
    let ids: Vec<String> = (0..damages.len()).map(|n| format!("o{n}")).collect();
    for id in &ids {
        shop.place(&small_with(json!({"id": id}))).await;
    }
    shop.place(&small_with(json!({"id": "beside"}))).await;
    shop.stop().await;
    damage(&shop, damages).await;
    shop.restart(&[PAUSED]).await;

    for id in &ids {
        of_its_own(&shop.get(&path(id)).await, id)?;
        prop_assert_eq!(shop.get(&format!("{}/events", path(id))).await.status, 200);
        of_its_own(&shop.command(id, "hold", &json!({})).await, id)?;
        of_its_own(&shop.json("PUT", &path(id), &[], &small_with(json!({"id": id}))).await, id)?;
        of_its_own(&shop.command(id, "cancel", &json!({"reason": "other"})).await, id)?;
    }
    shop.command("beside", "hold", &json!({})).await.ok(200);
    shop.get(&format!("/v1/events?topic=orders&limit={}", 2 * ids.len())).await.ok(200);
    for query in ["limit=1", "limit=7&sort=updatedAt", "limit=500"] {
        let (listed, unreadable) = walk(&shop, query).await;
        prop_assert_eq!(listed.len() + unreadable, ids.len() + 1, "{}: {:?}", query, listed);
        prop_assert!(listed.contains(&"beside".to_owned()));
    }
    shop.stop().await;
    Ok(())
}

async fn damage(shop: &Shop, damages: &[Damage]) {
    let tables = shop.edit("orders").await;
    for (n, (how, schema)) in damages.iter().enumerate() {
        let id = format!("o{n}");
        let record = match how {
            Ok(changes) => {
                let stored = tables.select("SELECT record FROM record WHERE id = $1", &[(&*id).into()]).await;
                let Cell::Bytes(record) = &stored[0][0] else { panic!("{stored:?}") };
                garbage::spoil(&serde_json::from_slice(record).unwrap(), changes).into_bytes()
            }
            Err(bytes) => bytes.clone(),
        };
        let update = "UPDATE record SET record = $1, schema = $2 WHERE id = $3";
        tables.change(update, &[record.into(), i64::from(*schema).into(), (&*id).into()]).await;
    }
}

/// The one server error that is allowed says which order can't be read.
fn of_its_own(reply: &Reply, id: &str) -> Result<(), TestCaseError> {
    if reply.status >= 400 {
        let problem = reply.problem(reply.status);
        let unreadable = problem["type"] == "urn:cartwright:problem:unreadable" && problem["orderId"] == id;
        prop_assert!(reply.status < 500 || unreadable, "{problem:#}");
    }
    Ok(())
}

/// Every order of a list, and how many can't be read.
async fn walk(shop: &Shop, query: &str) -> (Vec<String>, usize) {
    let (mut listed, mut unreadable) = (Vec::new(), 0);
    let mut cursor = String::new();
    loop {
        let page = shop.get(&format!("{ORDERS}?{query}{cursor}")).await.ok(200);
        // The id of an order that was damaged, yet can be read, may be anything.
        listed.extend(page["orders"].as_array().unwrap().iter().map(|order| text(&order["id"])));
        unreadable += page["unreadable"].as_u64().unwrap_or(0) as usize;
        match &page["next"] {
            Value::String(next) => cursor = format!("&cursor={next}"),
            _ => return (listed, unreadable),
        }
    }
}
