//! Stopping, starting again, and what is in the way of starting.

use serde_json::{Value, json};

use crate::harness::{Home, ORDERS, PAUSED, Shop, Stack, all, small, small_with, start, text, wait_until};

#[tokio::test]
async fn pending_work_is_finished_after_a_restart() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let body = small();
    let mut ids = all((0..30).map(|_| shop.place(&body))).await;
    shop.restart(&[("workers.paused", "fulfillment")]).await;
    for id in &ids {
        shop.wait_for(id, "paid", |order| order["milestone"] == "authorized").await;
    }
    shop.restart(&[]).await;
    ids.push(shop.place(&body).await);
    for id in &ids {
        assert_eq!(shop.finish(id).await["status"], "completed");
        assert_eq!(shop.effects(id), ["authorize", "ship"]);
    }
}

#[tokio::test]
async fn stopping_in_the_middle_loses_and_repeats_nothing() {
    let slow: &[(&str, &str)] = &[
        ("simulated.payments.slow_ms", "60"),
        ("simulated.carrier.slow_ms", "60"),
        ("providers.retry.quick_wait_ms", "60"),
    ];
    let mut shop = Shop::with(slow).await;
    let mut ids = Vec::new();
    for scenario in ["slow", "ship-slow", "timeout", "error", "pending", "ship-timeout", "ship-error"] {
        let body = small_with(json!({"payment": {"scenario": scenario}}));
        ids.extend(all((0..8).map(|_| shop.place(&body))).await);
        shop.restart(slow).await;
    }
    for id in &ids {
        assert_eq!(shop.finish(id).await["status"], "completed");
        assert_eq!(shop.effects(id), ["authorize", "ship"]);
    }
}

#[tokio::test]
async fn a_restart_while_undoing_ends_in_cancelled() {
    let slow: &[(&str, &str)] = &[("simulated.payments.slow_ms", "400")];
    let mut shop = Shop::with(&[PAUSED]).await;
    let body = small_with(json!({"payment": {"scenario": "slow"}}));
    let ids = all((0..8).map(|_| shop.place(&body))).await;
    for id in &ids {
        shop.command(id, "hold", &json!({})).await.ok(200);
    }
    shop.restart(slow).await;
    wait_until("a call has its effect", async || !shop.effects(&ids[0]).is_empty()).await;
    for id in &ids {
        shop.command(id, "cancel", &json!({"reason": "other"})).await.ok(200);
    }
    shop.restart(slow).await;
    for id in &ids {
        assert_eq!(shop.finish(id).await["status"], "cancelled");
        let effects = shop.effects(id);
        assert!(effects == ["authorize", "void"] || effects == ["void"], "{effects:?}");
    }
}

#[tokio::test]
async fn everything_shown_survives_a_restart() {
    let mut shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    let pages =
        ["/v1/orders".to_owned(), format!("/v1/orders/{id}/events"), "/v1/events?topic=payments".to_owned()];
    let mut before = Vec::new();
    for page in &pages {
        before.push(shop.get(page).await.ok(200));
    }
    shop.restart(&[]).await;
    for (page, before) in pages.iter().zip(before) {
        assert_eq!(shop.get(page).await.ok(200), before);
    }
    let number = |order: Value| order["number"].as_str().unwrap().parse::<u64>().unwrap();
    let next = shop.place(&small()).await;
    assert!(number(shop.order(&next).await) > number(shop.order(&id).await), "numbers never come again");
}

#[tokio::test]
async fn every_answered_order_is_there_after_a_stop_under_load() {
    let mut shop = Shop::open().await;
    let body = small();
    let (replies, ()) = tokio::join!(
        async {
            let mut placed = Vec::new();
            for _ in 0..50 {
                placed.push(shop.place(&body).await);
            }
            placed
        },
        wait_until("some are placed", async || !shop.get("/v1/orders?limit=1").await.ok(200)["orders"]
            .as_array()
            .unwrap()
            .is_empty())
    );
    shop.restart(&[]).await;
    for id in &replies {
        assert_eq!(shop.finish(id).await["status"], "completed");
    }
}

/// Files are one process's own. A database is everybody's who has its address.
#[tokio::test]
async fn a_second_process_makes_up_one_system_with_the_first_where_that_can_be() {
    let shop = Shop::open().await;
    let second = start(shop.dir(), &[]).await;
    if !Stack::here().is_shared() {
        assert!(second.is_err(), "embedded::files says what it is told");
        return;
    }
    let second = second.unwrap();
    let address = second.address;
    let place = async |_| {
        let placed = reqwest::Client::new().post(format!("http://{address}{ORDERS}")).json(&small()).send();
        text(&placed.await.unwrap().json::<Value>().await.unwrap()["id"])
    };
    let body = small();
    let mut ids = all((0..20).map(place)).await;
    ids.extend(all((0..20).map(|_| shop.place(&body))).await);
    for id in &ids {
        assert_eq!(shop.finish(id).await["status"], "completed");
        assert_eq!(shop.effects(id), ["authorize", "ship"]);
    }
    second.stop().await;
    let alone = shop.place(&body).await;
    assert_eq!(shop.finish(&alone).await["status"], "completed", "what the other one did is taken over");
}

#[tokio::test]
async fn a_busy_port_is_named_with_a_way_out() {
    let shop = Shop::with(&[PAUSED]).await;
    let dir = Home::new();
    let address = shop.address().to_string();
    let taken: &'static str = Box::leak(address.clone().into_boxed_str());
    let error =
        start(dir.path(), &[("http.listen", taken)]).await.err().expect("the port is taken").to_string();
    for word in [address.as_str(), "--listen", "http.listen"] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "and nothing was made");
    start(dir.path(), &[]).await.expect("another port is fine").stop().await;
}

#[tokio::test]
async fn an_address_that_is_none_and_a_directory_that_is_a_file() {
    let dir = Home::new();
    // 192.0.2.0/24 is reserved for documentation: nobody has it.
    let error = start(dir.path(), &[("http.listen", "192.0.2.1:9")]).await.err().unwrap().to_string();
    assert!(error.contains("192.0.2.1:9") && error.contains("--listen"), "{error}");
    let file = dir.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    let error = start(&file, &[]).await.err().unwrap().to_string();
    assert!(error.contains("can't be used") && error.contains(&file.display().to_string()), "{error}");
}

#[tokio::test]
async fn stores_of_another_time_are_refused() {
    let mut shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    shop.stop().await;
    let mut other = Shop::open().await;
    other.stop().await;
    shop.take_orders_of(&other).await;
    let started = start(shop.dir(), &[]).await;
    if Stack::here() == Stack::Kafka {
        // How far a service has read is not kept in the stores there: topics outlive them.
        return started.expect("nothing that can be seen is wrong").stop().await;
    }
    let error = started.err().expect("payments has read what is no more").to_string();
    assert!(error.contains("don't belong together") && error.contains("backup"), "{error}");
}
