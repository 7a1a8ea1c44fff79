//! What the commands say when something is in the way, and when they are given something wrong.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::{
    cli::{cartwright, good, json_of, run, said},
    harness::{PAUSED, Shop, path, small, small_with, text},
};

/// Parks an event of an order in the stores of these services, as a store keeps it.
async fn park(shop: &mut Shop, order: &str, services: &[&str]) {
    shop.stop().await;
    for service in services {
        shop.park(service, order, "too new", b"\0").await;
    }
    shop.restart(&[PAUSED]).await;
}

#[tokio::test]
async fn an_order_behind_a_parked_event_says_so_and_how_to_help() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let number = text(&shop.order(&id).await["number"]);
    park(&mut shop, &id, &["orders"]).await;
    let shown = good(&run(&shop, &["orders", "explain", &id]).await);
    for part in ["parked in orders", "too new", "cartwright parked retry --order", "services resume payments"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let waiting = good(&run(&shop, &["waiting"]).await);
    assert!(waiting.contains("too new") && waiting.contains("services resume payments"), "{waiting}");
    // It goes by its number as well.
    for name in [&id, &number, &format!("#{number}")] {
        let listed = json_of(&run(&shop, &["parked", "list", "--order", name, "--json"]).await);
        assert_eq!(listed["parked"].as_array().unwrap().len(), 1, "{name}: {listed}");
    }
}

#[tokio::test]
async fn providers_and_services_are_switched_from_a_terminal() {
    let shop = Shop::open().await;
    let off = good(&run(&shop, &["providers", "off", "payments"]).await);
    assert!(off.contains("providers on payments"), "{off}");
    let id = shop.place(&small()).await;
    shop.wait_for(&id, "held back", |order| order["waitingFor"]["reason"].is_string()).await;
    let explained = json_of(&run(&shop, &["orders", "explain", &id, "--json"]).await);
    let waiting = &explained["waitingFor"];
    assert_eq!(waiting["heldBack"], "payments is switched off", "{explained}");
    assert_eq!((&waiting["tries"], &waiting["said"]), (&json!(0), &Value::Null), "{explained}");
    let undo = format!("cartwright providers on payments --server http://{}", shop.address());
    assert_eq!(explained["obstacles"][0]["undo"], undo, "{explained}");
    good(&run(&shop, &["providers", "on", "payments", "--rate", "10"]).await);
    let listed = json_of(&run(&shop, &["providers", "--json"]).await);
    assert_eq!((&listed["payments"]["enabled"], &listed["payments"]["rate"]), (&json!(true), &json!(10.0)));
    assert!(good(&run(&shop, &["providers", "list"]).await).contains("payments"));
    good(&run(&shop, &["services", "pause", "fulfillment"]).await);
    assert!(good(&run(&shop, &["services"]).await).contains("paused"));
    good(&run(&shop, &["services", "resume", "fulfillment"]).await);
    assert_eq!(shop.finish(&id).await["status"], "completed");
    assert_eq!(run(&shop, &["services", "pause", "orders"]).await.status.code(), Some(1));
    assert_eq!(run(&shop, &["providers", "off", "bank"]).await.status.code(), Some(2));
}

#[tokio::test]
async fn a_backup_of_a_database_is_left_to_its_own_program() {
    let home = tempfile::tempdir().unwrap();
    let mut backup = cartwright(&["backup", "copy", "--data", "."]);
    backup.current_dir(home.path()).env("CARTWRIGHT__DATABASE__URL", "postgres://u:s3cret@127.0.0.1:1/shop");
    let refused = backup.env("CARTWRIGHT__DATABASE__SCHEMA", "winter").output().await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = said(&refused);
    assert!(told.contains("pg_dump") && told.contains("winter_*") && !told.contains("s3cret"), "{told}");
    assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_hold_says_what_still_finishes() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let held = good(&run(&shop, &["orders", "hold", &id, "--note", "check the address"]).await);
    assert!(held.contains("`pay` was asked for already and will still finish"), "{held}");
    let shown = good(&run(&shop, &["orders", "explain", &id]).await);
    assert!(shown.contains("waits for `pay`") && shown.contains("on hold (check the address)"), "{shown}");
}

#[tokio::test]
async fn a_name_that_may_mean_two_orders_changes_neither() {
    let shop = Shop::with(&[PAUSED]).await;
    let numbered = shop.place(&small()).await;
    let number = text(&shop.order(&numbered).await["number"]);
    shop.place(&small_with(json!({"id": number}))).await;
    let hashed = format!("#{number}");
    let refused = run(&shop, &["orders", "cancel", &number]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains(&numbered) && said(&refused).contains(&hashed), "{}", said(&refused));
    for id in [&numbered, &number] {
        assert_eq!(shop.get(&path(id)).await.ok(200)["cancellation"], Value::Null);
    }
    let found = json_of(&run(&shop, &["orders", "get", &hashed, "--json"]).await);
    assert_eq!(found["id"], numbered.as_str());
    let held = json_of(&run(&shop, &["orders", "hold", &hashed, "--json"]).await);
    assert_eq!(held["id"], numbered.as_str());
    for args in [
        &["orders", "get", "#99999999"][..],
        &["events", "tail", "--order", "nobody"],
        &["parked", "list", "--order", "nobody"],
        &["parked", "retry", "--order", "#99999999"],
    ] {
        let none = run(&shop, args).await;
        assert_eq!(none.status.code(), Some(1), "{args:?}: {}", said(&none));
        assert!(said(&none).contains("there is no order"), "{args:?}: {}", said(&none));
    }
}

#[tokio::test]
async fn an_order_parked_in_two_services_is_one_order_and_flags_are_named_as_flags() {
    let mut shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    park(&mut shop, &id, &["orders", "payments"]).await;
    let dry = json_of(&run(&shop, &["parked", "retry", "--dry-run", "--json"]).await);
    assert_eq!((&dry["events"], &dry["orders"]), (&json!(2), &json!(1)), "{dry}");
    let refused = run(&shop, &["parked", "discard", "--order", &id]).await;
    assert!(said(&refused).contains("--confirm must be 2"), "{}", said(&refused));
    let none = run(&shop, &["parked", "discard", "--service", "orders", "9-00000000"]).await;
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none).contains("nothing was discarded"), "{}", said(&none));
    let retried = json_of_any(&run(&shop, &["parked", "retry", "--json"]).await.stdout);
    assert_eq!(retried["orders"], 1, "{retried}");
}

fn json_of_any(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[tokio::test]
async fn a_file_that_can_t_be_read_and_a_wrong_command_line_end_with_2() {
    let home = tempfile::tempdir().unwrap();
    for args in [
        &["orders", "place", "--file", "nofile"][..],
        &["load", "--body", "nofile"],
        &["load", "--rate", "0"],
        &["config", "check", "--config", "nofile.toml"],
        &["config", "check", "--config", "nofile.toml", "--json"],
        &["restore", "nothere", "--data", "new"],
        &["orders", "list", "--limit", "501"],
    ] {
        let output = cartwright(args).current_dir(home.path()).output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
    }
}

/// Answers one request with these bytes, and gives what it was asked.
fn answering(bytes: &'static [u8]) -> (String, std::thread::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answer = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = vec![0; 64 * 1024];
        let length = stream.read(&mut request).unwrap();
        stream.write_all(bytes).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    (address, std::thread::spawn(answer))
}

#[tokio::test]
async fn what_is_no_cartwright_is_said_to_be_none() {
    for page in [
        &b"HTTP/1.1 404 Not Found\r\ncontent-length: 15\r\nconnection: close\r\n\r\n<html>no</html>"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nconnection: close\r\n\r\n<html>hi</html>",
    ] {
        let (server, asked) = answering(page);
        let output = cartwright(&["orders", "list", "--server", &server]).output().await.unwrap();
        asked.join().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = said(&output);
        assert!(told.contains("no Cartwright answers at") && !told.contains("<html>"), "{told}");
    }
}

#[tokio::test]
async fn an_order_without_an_answer_can_be_placed_again_under_its_key() {
    let (server, asked) = answering(b"");
    let output = cartwright(&["orders", "place", "--sample", "--server", &server]).output().await.unwrap();
    let asked = asked.join().unwrap();
    let key = asked.lines().find_map(|line| line.strip_prefix("idempotency-key: ")).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains(&format!("--key {key}")), "{}", said(&output));
}
