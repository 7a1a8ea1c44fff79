//! Simulated providers are told to behave otherwise while the system runs.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::fake::Fake;
use crate::harness::{Shop, fields, program, small, small_with, text};

const QUICK: &[(&str, &str)] = &[("providers.retry.long_wait_ms", "20"), ("providers.held_back_ms", "20")];

async fn behave(shop: &Shop, provider: &str, wish: Value) -> Value {
    shop.json("PUT", &format!("/v1/admin/simulated/{provider}"), &[], &wish).await.ok(200)
}

#[tokio::test]
async fn a_provider_that_is_down_holds_orders_up_until_it_is_up() {
    let settings = &[("providers.retry.max_wait_ms", "50"), QUICK[0], QUICK[1]];
    let mut shop = Shop::with(settings).await;
    behave(&shop, "payments", json!({"mode": "down"})).await;
    // Also an order that has its own idea of the provider.
    let ids = [
        shop.place(&small()).await,
        shop.place(&small_with(json!({"payment": {"scenario": "success"}}))).await,
    ];
    for id in &ids {
        shop.wait_for(id, "waiting", |order| order["waitingFor"]["reason"].is_string()).await;
        assert!(shop.effects(id).is_empty());
    }
    shop.restart(settings).await;
    let all = shop.get("/v1/admin/simulated").await.ok(200);
    assert_eq!((&all["payments"]["mode"], &all["carrier"]["mode"]), (&json!("down"), &json!("up")));
    assert!(shop.effects(&ids[0]).is_empty(), "our restart does not bring it up");
    behave(&shop, "payments", json!({"mode": "up"})).await;
    for id in &ids {
        assert_eq!(shop.finish(id).await["status"], "completed");
        assert_eq!(shop.effects(id), ["authorize", "ship"]);
    }
}

#[tokio::test]
async fn each_mode_does_as_it_says() {
    let shop = Shop::with(&[QUICK[0], QUICK[1], ("simulated.carrier.slow_ms", "40")]).await;
    for (provider, wish, status, effects) in [
        ("payments", json!({"mode": "decline"}), "failed", &["decline"][..]),
        ("carrier", json!({"mode": "decline"}), "failed", &["authorize", "reject", "void"]),
        ("payments", json!({"mode": "timeout"}), "completed", &["authorize", "ship"]),
        ("carrier", json!({"mode": "slow"}), "completed", &["authorize", "ship"]),
        ("carrier", json!({"mode": "flaky", "failureRate": 0.5}), "completed", &["authorize", "ship"]),
        ("payments", json!({"mode": "up", "declineRate": 1}), "failed", &["decline"]),
    ] {
        behave(&shop, provider, wish.clone()).await;
        let id = shop.place(&small()).await;
        assert_eq!(shop.finish(&id).await["status"], status, "{provider}: {wish}");
        assert_eq!(shop.effects(&id), effects, "{provider}: {wish}");
        behave(&shop, provider, json!({"mode": "up"})).await;
    }
    let all = shop.get("/v1/admin/simulated").await.ok(200);
    assert_eq!((&all["payments"]["mode"], &all["carrier"]["mode"]), (&json!("up"), &json!("up")));
    assert_eq!(shop.get("/v1/admin/simulated/carrier").await.ok(200), all["carrier"]);
}

#[tokio::test]
async fn what_can_t_be_simulated_is_named() {
    let fake = Fake::start().await;
    let shop = Shop::with(&fake.settings(&[("carrier.provider", "simulated")])).await;
    let put = async |provider: &str, wish: Value| {
        shop.json("PUT", &format!("/v1/admin/simulated/{provider}"), &[], &wish).await
    };
    let problem = put("payments", json!({"mode": "down"})).await.problem(404);
    assert!(text(&problem["detail"]).contains("not simulated"), "{problem}");
    assert_eq!(shop.get("/v1/admin/simulated").await.ok(200)["payments"], Value::Null);
    put("bank", json!({"mode": "down"})).await.problem(404);
    shop.get("/v1/admin/simulated/%FF").await.problem(404);
    for (wish, field) in [
        (json!({"mode": "away"}), "/mode"),
        (json!({}), "/mode"),
        (json!({"mode": "up", "failureRate": 2}), "/failureRate"),
        (json!({"mode": "up", "latencyMinMs": 9, "latencyMaxMs": 1}), "/latencyMaxMs"),
        (json!({"mode": "up", "speed": 1}), "/speed"),
    ] {
        let problem = put("carrier", wish).await.problem(400);
        assert_eq!(fields(&problem), [field]);
    }
    let modes = text(&put("carrier", json!({"mode": "away"})).await.problem(400)["errors"][0]["message"]);
    assert!(modes.contains("up, down, slow, decline, timeout, flaky"), "{modes}");
    let openapi = shop.get("/openapi.json").await.ok(200);
    for call in ["/v1/admin/simulated/{provider}", "/v1/admin/providers/{provider}"] {
        assert!(openapi["paths"][call]["put"]["requestBody"].is_object(), "{call}");
    }
}

#[tokio::test]
async fn the_command_line_steers_and_shows() {
    let shop = Shop::open().await;
    let simulate = async |args: &[&str]| run(&shop, args).await;
    let steered = simulate(&["payments=decline", "carrier=slow"]).await;
    let table = String::from_utf8(steered.stdout).unwrap();
    assert!(steered.status.success() && table.contains("decline") && table.contains("slow"), "{table}");
    assert_eq!(shop.finish(&shop.place(&small()).await).await["status"], "failed");
    let shown: Value = serde_json::from_slice(&simulate(&["--json"]).await.stdout).unwrap();
    assert_eq!((&shown["payments"]["mode"], &shown["carrier"]["mode"]), (&json!("decline"), &json!("slow")));
    let wrong = simulate(&["payments=gone"]).await;
    let says = String::from_utf8(wrong.stderr).unwrap();
    assert!(!wrong.status.success() && says.contains("up, down, slow, decline, timeout, flaky"), "{says}");
    assert!(wrong.stdout.is_empty());
}

#[tokio::test]
async fn the_command_line_says_that_a_provider_is_real() {
    let fake = Fake::start().await;
    let shop = Shop::with(&fake.settings(&[])).await;
    let refused = run(&shop, &["carrier=down"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("not simulated"));
    let shown = run(&shop, &[]).await;
    assert!(shown.status.success() && String::from_utf8(shown.stdout).unwrap().contains("real"));
}

async fn run(shop: &Shop, args: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("simulate").args(args).args(["--server", &format!("http://{}", shop.address())]);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}
