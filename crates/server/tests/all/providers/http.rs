//! Providers over HTTP that are slow, fail, hang up, say odd things, and answer when nobody listens any more.

use serde_json::{Value, json};

use super::fake::{Act, Fake};
use crate::harness::{Setting, Shop, Stack, end_leases, program, small, small_with, text, wait_until};
use cartwright_server::config::Config;

async fn shop_with(fake: &Fake, more: &[Setting]) -> Shop {
    Shop::with(&fake.settings(more)).await
}

fn is_shipped(order: &Value) {
    assert_eq!(
        (&order["status"], &order["milestone"]),
        (&json!("completed"), &json!("shipped")),
        "{order:#}"
    );
}

#[tokio::test]
async fn an_order_is_paid_and_shipped_over_http() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[("payments.token", "s3cret")]).await;
    let id = shop.place(&small_with(json!({"metadata": {"basket": "77"}}))).await;
    let order = shop.finish(&id).await;
    is_shipped(&order);
    assert_eq!(text(&order["payments"][0]["reference"]), format!("ref-{id}"));
    assert_eq!(text(&order["shipments"][0]["trackingNumber"]), format!("T-{id}"));
    assert_eq!(fake.effects(&id), ["authorize", "ship"]);
    let paid = &fake.requests("POST authorize")[0];
    assert_eq!(
        (&*paid.key, &*paid.authorization),
        (&*format!("payments/{id}:1/authorize/1"), "Bearer s3cret")
    );
    assert_eq!(
        paid.body,
        json!({"orderId": id, "amount": 1000, "currency": "USD", "token": null, "metadata": {"basket": "77"}})
    );
    let shipped = &fake.requests("POST shipments")[0];
    assert_eq!(
        (&shipped.authorization, &shipped.body["lines"]),
        (&String::new(), &json!([{"sku": "a", "quantity": 2}]))
    );
    assert!(fake.requests("GET").is_empty(), "a first call needs no question");
}

/// A trouble and what it is called.
type Trouble = (&'static str, fn() -> Act);

/// Every way in which a call can go wrong and pass.
fn troubles() -> Vec<Trouble> {
    const LONG: &str = include_str!("http.rs"); // of no meaning, and made longer below
    vec![
        ("a server error", || Act::Answers(500, &[], "boom")),
        ("busy, at once again", || Act::Answers(429, &[("retry-after", "0")], "")),
        ("busy, until a date", || Act::Answers(503, &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")], "")),
        ("a request time-out", || Act::Answers(408, &[], "")),
        ("a redirect", || Act::Answers(302, &[("location", "http://127.0.0.1:1/")], "")),
        ("garbage", || Act::Answers(200, &[], "<html>all is well</html>")),
        ("no status", || Act::Answers(200, &[], "{}")),
        ("an odd status", || Act::Answers(200, &[], r#"{"status":"perhaps"}"#)),
        ("no reference", || Act::Answers(200, &[], r#"{"status":"approved","reference":""}"#)),
        ("too much", || Act::Answers(200, &[], LONG.repeat(30).leak())),
        ("a lost connection", || Act::HangsUp),
        ("half an answer", || Act::BreaksOff),
        ("pending", || Act::Says(json!({"status": "pending", "reason": "a human looks at it"}))),
        ("no answer in time", || Act::IsSilent),
    ]
}

#[tokio::test]
async fn trouble_that_passes_ends_well_with_one_effect_under_one_key() {
    let fake = Fake::start().await;
    let quick =
        [("payments.timeout_ms", "150"), ("carrier.timeout_ms", "150"), ("providers.breaker.after", "0")];
    let shop = shop_with(&fake, &quick).await;
    for (what, trouble) in troubles() {
        for call in ["POST authorize", "POST shipments"] {
            let before = fake.requests(call).len();
            fake.will(call, [trouble()]);
            let id = shop.place(&small()).await;
            is_shipped(&shop.finish(&id).await);
            assert_eq!(fake.effects(&id), ["authorize", "ship"], "{call}: {what}");
            let calls = fake.requests(call).split_off(before);
            assert!(calls.iter().all(|one| one.key == calls[0].key), "{call}: {what}: {calls:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_succeeded_after_its_time_out_is_found_and_not_made_again() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[("payments.timeout_ms", "100")]).await;
    fake.will("POST authorize", [Act::IsSilent]);
    let id = shop.place(&small()).await;
    is_shipped(&shop.finish(&id).await);
    assert_eq!(fake.requests("POST authorize").len(), 1);
    let asked = fake.requests("GET operations/");
    assert_eq!((asked.len(), &asked[0].key), (1, &format!("payments/{id}:1/authorize/1")));
    assert_eq!(asked[0].what, format!("GET operations/payments%2F{id}%3A1%2Fauthorize%2F1"));
    assert_eq!(fake.effects(&id), ["authorize", "ship"]);
}

#[tokio::test]
async fn a_provider_that_can_t_be_asked_is_called_again_under_the_same_key() {
    // Whether it has no such call (405, 501: it is not asked a second time), hasn't seen the operation, or is at a loss.
    for (status, asked) in [(405, 1), (501, 1), (404, 2), (500, 2), (400, 2)] {
        let fake = Fake::start().await;
        let shop = shop_with(&fake, &[]).await;
        fake.always("GET operations", Some(status));
        for _ in 0..2 {
            fake.will("POST authorize", [Act::BreaksOff]);
            let id = shop.place(&small()).await;
            is_shipped(&shop.finish(&id).await);
            assert_eq!(fake.effects(&id), ["authorize", "ship"], "{status}");
        }
        assert_eq!(
            (fake.requests("POST authorize").len(), fake.requests("GET").len()),
            (4, asked),
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_look_up_that_says_nothing_is_no_answer_to_a_void() {
    for says in ["", "{}", "[]", "null"] {
        let fake = Fake::start().await;
        let shop = shop_with(&fake, &[]).await;
        fake.will("POST shipments", [Act::Says(json!({"status": "rejected"}))]);
        fake.will("POST void", [Act::HangsUp]);
        fake.will("GET operations", [Act::Answers(200, &[], says)]);
        let id = shop.place(&small()).await;
        assert_eq!(shop.finish(&id).await["paymentStatus"], "voided");
        assert_eq!(fake.effects(&id), ["authorize", "refuse", "void"], "{says:?}");
    }
}

#[tokio::test]
async fn keys_of_odd_ids_are_found_again() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[]).await;
    fake.will("POST authorize", [Act::BreaksOff]);
    let mut order = small();
    order["id"] = json!("größe 1/2 %?");
    let id = shop.place(&order).await;
    is_shipped(&shop.finish(&id).await);
    assert_eq!(fake.requests("POST authorize").len(), 1);
    assert_eq!(fake.effects(&id), ["authorize", "ship"]);
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[]).await;
    for (act, why) in [
        (Act::Says(json!({"status": "declined", "reason": "no funds"})), "no funds"),
        (Act::Answers(422, &[], r#"{"detail":"the card has expired"}"#), "the card has expired"),
        (Act::Answers(404, &[], "<html>"), "answered 404"),
    ] {
        let is_of_the_call = matches!(act, Act::Answers(..));
        fake.will("POST authorize", [act]);
        let id = shop.place(&small()).await;
        let order = shop.finish(&id).await;
        assert_eq!(
            (&order["status"], &order["paymentStatus"]),
            (&json!("failed"), &json!("declined")),
            "{why}"
        );
        let reason = text(&order["payments"][0]["reason"]);
        if Stack::here().is_shared() && is_of_the_call {
            // Another process may be making the same call, and its one may succeed: so it is undone by its key first.
            assert!(reason.contains(why) && reason.contains("in case another try had succeeded"), "{reason}");
            assert_eq!(fake.effects(&id), ["void"]);
        } else {
            assert_eq!(reason, why);
            assert!(!fake.effects(&id).contains(&"void".to_owned()), "{why}");
        }
    }
    fake.will("POST shipments", [Act::Says(json!({"status": "rejected", "reason": "too heavy"}))]);
    let id = shop.place(&small()).await;
    let order = shop.finish(&id).await;
    assert_eq!((&order["status"], &order["paymentStatus"]), (&json!("failed"), &json!("voided")));
    assert_eq!(order["shipments"][0]["error"], "too heavy");
    assert_eq!(fake.effects(&id), ["authorize", "refuse", "void"]);
}

/// The repeat of a try that took the money is turned away: an order that fails must not stay charged.
#[tokio::test]
async fn a_repeat_that_is_turned_away_undoes_what_the_first_try_may_have_done() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[]).await;
    fake.always("GET operations", Some(404));
    for status in [400, 401, 404, 409, 422] {
        fake.will("POST authorize", [Act::BreaksOff, Act::Answers(status, &[], "")]);
        let id = shop.place(&small()).await;
        let order = shop.finish(&id).await;
        assert_eq!(order["status"], "failed", "{status}");
        assert_eq!(fake.effects(&id), ["authorize", "void"], "{status}");
        let reason = text(&order["payments"][0]["reason"]);
        assert!(reason.contains("in case another try had succeeded"), "{status}: {reason}");
    }
}

/// A call is under way when the process ends, and the next process may not call for a while: it asks first what came of
/// that call, all the same.
#[tokio::test]
async fn a_call_lost_in_a_crash_is_looked_up_also_after_a_hold() {
    let fake = Fake::start().await;
    let mut shop = shop_with(&fake, &[]).await;
    fake.will("POST authorize", [Act::IsSilent]);
    let id = shop.place(&small()).await;
    wait_until("the call is under way", async || fake.requests("POST authorize").len() == 1).await;
    shop.stop().await;
    // It waits for the call no longer than it must, but the call goes on in this process until it is over.
    wait_until("the call has let go", async || {
        Stack::here().is_shared() || cartwright_store::DataDir::lock(shop.dir()).is_ok()
    })
    .await;
    end_leases(shop.dir(), "payments").await;
    let off = [("payments.enabled", "false"), ("providers.held_back_ms", "20")];
    shop.restart(&fake.settings(&off)).await;
    shop.wait_for(&id, "held back", |order| order["waitingFor"]["reason"].is_string()).await;
    let on = shop.json("PUT", "/v1/admin/providers/payments", &[], &json!({"enabled": true})).await;
    on.ok(200);
    is_shipped(&shop.finish(&id).await);
    assert_eq!(fake.requests("POST authorize").len(), 1, "what it found needs no second call");
    assert_eq!(fake.effects(&id), ["authorize", "ship"]);
}

#[tokio::test]
async fn the_provider_is_left_alone_for_as_long_as_it_asks() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[("providers.retry.max_wait_ms", "7200000")]).await;
    fake.will("POST authorize", [Act::Answers(429, &[("retry-after", "3600")], "")]);
    let id = shop.place(&small()).await;
    let order = shop.wait_for(&id, "waiting", |order| order["waitingFor"]["nextTryAt"].is_string()).await;
    let at = |value: &Value| text(value).parse::<jiff::Timestamp>().unwrap();
    let wait = at(&order["waitingFor"]["nextTryAt"]).duration_since(at(&order["updatedAt"]));
    assert!(wait.as_secs() > 3_500, "{order:#}");
    assert!(text(&order["waitingFor"]["reason"]).contains("429"), "{order:#}");
    assert_eq!(fake.requests("").len(), 1);
}

#[tokio::test]
async fn at_the_deadline_what_nobody_knows_is_undone_and_the_order_fails() {
    let soon = [
        ("providers.deadline_hours", "0.0015"),
        ("providers.retry.long_wait_ms", "20"),
        ("providers.retry.max_wait_ms", "50"),
        ("providers.breaker.after", "0"),
        ("payments.timeout_ms", "1000"), // what is answered is in time, on a busy machine, too
    ];
    // Whether it never happened, or happened and was never answered.
    for happened in [false, true] {
        let fake = Fake::start().await;
        let shop = shop_with(&fake, &soon).await;
        fake.always("GET operations", Some(501));
        if happened {
            fake.will("POST authorize", (0..100).map(|_| Act::IsSilent));
        } else {
            fake.always("POST authorize", Some(500));
        }
        fake.will("POST void", [Act::Answers(500, &[], ""), Act::Answers(409, &[], ""), Act::BreaksOff]);
        let id = shop.place(&small()).await;
        let order = shop.finish(&id).await;
        assert_eq!(order["status"], "failed", "{order:#}");
        assert!(text(&order["payments"][0]["reason"]).contains("deadline"), "{order:#}");
        let effects: &[&str] = if happened { &["authorize", "void"] } else { &["void"] };
        assert_eq!(fake.effects(&id), effects);
        let voids = fake.requests("POST void");
        let operation = json!(format!("payments/{id}:1/authorize/1"));
        assert!(voids.iter().all(|void| void.key == voids[0].key && void.body["operation"] == operation));
        assert_eq!(voids.len(), 4, "repeated until it is answered");
    }
}

#[tokio::test]
async fn too_late_to_cancel_tells_with_whom_the_goods_went() {
    let told = json!({"status": "too_late", "carrier": "Post", "trackingNumber": "T-9"});
    for (says, lookup, carrier) in [
        (json!({"status": "too_late"}), None, "Post"),
        (told, Some(501), "Post"),
        (json!({"status": "too_late"}), Some(501), "unknown"),
    ] {
        let fake = Fake::start().await;
        let patient = [
            ("carrier.timeout_ms", "100"),
            ("providers.retry.quick_tries", "1"),
            ("providers.retry.long_wait_ms", "3600000"),
            ("providers.retry.max_wait_ms", "3600000"),
        ];
        let shop = shop_with(&fake, &patient).await;
        fake.always("GET operations", lookup);
        fake.will("POST shipments", [Act::IsSilent]);
        fake.will("POST shipments/cancel", [Act::Says(says)]);
        let id = shop.place(&small()).await;
        shop.wait_for(&id, "waiting", |order| order["waitingFor"]["nextTryAt"].is_string()).await;
        shop.command(&id, "cancel", &json!({"reason": "customer"})).await.ok(200);
        let order = shop.finish(&id).await;
        is_shipped(&order);
        assert!(!text(&order["cancellation"]["refused"]).is_empty());
        assert_eq!(order["shipments"][0]["carrier"], carrier, "{order:#}");
        assert_eq!(fake.effects(&id), ["authorize", "ship"]);
    }
}

#[tokio::test]
async fn a_provider_that_does_not_answer_is_left_alone_and_orders_wait_without_using_up_their_tries() {
    let fake = Fake::start().await;
    let shop = shop_with(
        &fake,
        &[
            ("providers.breaker.after", "3"),
            ("providers.breaker.open_ms", "100"),
            ("providers.breaker.max_open_ms", "100"),
            ("providers.held_back_ms", "20"),
            ("providers.retry.quick_wait_ms", "1"),
            ("providers.retry.quick_tries", "1000"),
            ("providers.retry.max_wait_ms", "1"),
        ],
    )
    .await;
    fake.always("POST authorize", Some(503));
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(shop.place(&small()).await);
    }
    let waits =
        |order: &Value| order["waitingFor"]["reason"].as_str().is_some_and(|why| why.contains("circuit"));
    for id in &ids {
        shop.wait_for(id, "told about the circuit", waits).await;
    }
    let health = shop.get("/health/ready").await.ok(200);
    assert!(text(&health["components"]["payment provider"]).contains("circuit"), "{health}");
    assert_eq!(health["components"]["carrier"], "ok");
    let state = shop.get("/v1/admin/providers/payments").await.ok(200);
    assert!(state["breaker"] != "closed" && state["failures"].as_u64() >= Some(3), "{state}");
    let version = &shop.order(&ids[0]).await["version"];
    assert!(version.as_u64() < Some(30), "an order that waits is told of changes only");
    fake.always("POST authorize", None);
    for id in &ids {
        is_shipped(&shop.finish(id).await);
        assert_eq!(fake.effects(id), ["authorize", "ship"]);
    }
    assert_eq!(shop.get("/v1/admin/providers").await.ok(200)["payments"]["breaker"], "closed");
    let metrics = shop.get("/metrics").await.text();
    for metric in [
        r#"cartwright_provider_call_seconds_count{provider="payments",call="authorize",outcome="unknown"}"#,
        r#"cartwright_breaker_state{provider="payments"}"#,
        r#"cartwright_task_retries_total{service="payments"}"#,
    ] {
        assert!(metrics.contains(metric), "{metric}\n{metrics}");
    }
}

#[tokio::test]
async fn an_order_that_names_no_provider_is_paid_at_the_one_of_the_settings() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[]).await;
    let mut command = std::process::Command::new(program());
    let server = format!("http://{}", shop.address());
    command.args(["orders", "place", "--sample", "--json", "--server", &server]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let order: Value = serde_json::from_slice(&output.stdout).unwrap();
    let order = shop.finish(&text(&order["id"])).await;
    assert_eq!(order["payments"][0]["provider"], "http", "{order:#}");
}

#[test]
fn a_provider_without_an_address_is_named_at_the_start() {
    for (url, says) in [("", "is missing"), ("shop.example", "is not a URL"), ("http://u:p@x/", "no user")] {
        let wrong = [("carrier.provider", "http"), ("carrier.url", url)];
        let wrong = wrong.map(|(key, value)| (key, value.to_owned()));
        let error = Config::read(None, &wrong).unwrap_err().to_string();
        assert!(error.contains("carrier.url") && error.contains(says), "{error}");
        assert!(error.contains("docs/providers.md") && !error.contains("u:p"), "{error}");
    }
}

#[tokio::test]
async fn verify_does_not_look_into_a_ledger_for_what_real_providers_did() {
    let fake = Fake::start().await;
    let shop = shop_with(&fake, &[("carrier.provider", "simulated")]).await;
    is_shipped(&shop.finish(&shop.place(&small()).await).await);
    let mut command = std::process::Command::new(program());
    command.arg("verify").arg("--data").arg(shop.dir());
    command.args(["--server", &format!("http://{}", shop.address())]).current_dir(shop.dir());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("payments are not simulated") && !said.contains("carrier"), "{said}");
}
