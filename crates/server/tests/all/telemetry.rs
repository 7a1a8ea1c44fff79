//! What the system tells about itself: metrics as documented, logs without secrets, health by component.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::harness::{
    Home, PAUSED, Setting, Shop, Stack, fields, path, program, small, small_with, text, variable, wait_until,
};

/// Names of metrics and the labels of each.
type Metrics = BTreeMap<String, BTreeSet<String>>;

/// The tables of the page: the first column is the name, the third the labels.
fn documented() -> Metrics {
    let page = include_str!("../../../../docs/metrics.md");
    let rows = page.lines().filter(|line| line.starts_with("| `cartwright_"));
    let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (quoted(cells[1]).remove(0), quoted(cells[3]).into_iter().collect())
    })
    .collect()
}

/// Whether what is documented may be missing here: only Kafka has relays, and it does not know how long events have waited.
/// No front of an older system is beside us here.
fn may_lack(name: &str) -> bool {
    if name == "cartwright_untold_reports_total" {
        return true;
    }
    match Stack::here() {
        Stack::Embedded | Stack::Postgres => name.contains("_unsent_"),
        Stack::Kafka => name == "cartwright_oldest_unread_seconds",
    }
}

/// What is exposed: a histogram's parts count as one, and its `le` is no label of ours.
fn exposed(text: &str) -> Metrics {
    let mut metrics = Metrics::new();
    let histograms: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" histogram")).collect();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, rest) = line.split_once(['{', ' ']).unwrap();
        let base = histograms.iter().find(|base| {
            name.strip_prefix(**base).is_some_and(|part| ["_bucket", "_sum", "_count"].contains(&part))
        });
        let labels = rest.split_once("} ").map(|(labels, _)| labels).unwrap_or_default();
        let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let labels: BTreeSet<String> = labels.filter(|label| label != "le").collect();
        metrics.entry(base.map_or(name, |base| base).to_owned()).or_default().extend(labels);
    }
    metrics
}

#[tokio::test]
async fn the_metrics_are_those_of_the_page() {
    let shop = Shop::open().await;
    let shipped = shop.place(&small()).await;
    shop.finish(&shipped).await;
    // Some are open for as long as anybody looks.
    let off = json!({"enabled": false});
    shop.json("PUT", "/v1/admin/providers/carrier", &[], &off).await.ok(200);
    for more in [json!({}), json!({"payment": {"scenario": "error"}}), json!({"flow": "processing"})] {
        shop.place(&small_with(more)).await;
    }
    let documented = documented();
    let expected: Vec<_> = documented.iter().filter(|(name, _)| !may_lack(name)).collect();
    let lacking = std::cell::RefCell::new(Vec::new());
    wait_until("every documented metric is there, with its labels", async || {
        let there = exposed(&shop.get("/metrics").await.text());
        let lacks = |(name, labels): &&(&String, &BTreeSet<String>)| there.get(*name) != Some(*labels);
        let now: Vec<String> = expected.iter().filter(lacks).map(|(name, _)| (*name).clone()).collect();
        if *lacking.borrow() != now {
            println!("not there yet, or with other labels: {now:?}");
        }
        *lacking.borrow_mut() = now;
        lacking.borrow().is_empty()
    })
    .await;
    let mut missing = Vec::new();
    for (name, labels) in exposed(&shop.get("/metrics").await.text()) {
        if documented.get(&name) != Some(&labels) {
            missing.push(format!("{name} {labels:?}"));
        }
    }
    assert_eq!(missing, [] as [&str; 0], "docs/metrics.md says otherwise");
}

#[tokio::test]
async fn waiting_orders_are_listed_with_what_they_wait_for() {
    let shop = Shop::with(&[PAUSED]).await;
    for (id, more) in
        [("a", json!({})), ("b", json!({"flow": "ship-only"})), ("c", json!({"flow": "manual"}))]
    {
        let mut order = small_with(more);
        order["id"] = id.into();
        shop.place(&order).await;
    }
    shop.command("b", "hold", &json!({})).await.ok(200);
    let list = async |query: &str| {
        let page = shop.get(&format!("/v1/admin/waiting{query}")).await.ok(200);
        let ids: Vec<String> =
            page["waiting"].as_array().unwrap().iter().map(|w| text(&w["order"])).collect();
        (ids, page)
    };
    let (ids, page) = list("").await;
    assert_eq!(ids, ["a", "b"], "manual orders wait for nothing of ours");
    let (pay, ship) = (&page["waiting"][0], &page["waiting"][1]);
    assert_eq!((&pay["kind"], &pay["service"]), (&json!("pay"), &json!("payments")));
    assert_eq!((&ship["kind"], &ship["onHold"]), (&json!("ship"), &json!(true)));
    assert!(!text(&pay["since"]).is_empty());
    assert_eq!(list("?service=fulfillment").await.0, ["b"]);
    assert_eq!(list("?kind=pay").await.0, ["a"]);
    assert_eq!(list("?olderThan=3600").await.0, [] as [&str; 0]);
    let (first, page) = list("?limit=1").await;
    assert_eq!(first, ["a"]);
    assert_eq!(list(&format!("?limit=1&cursor={}", text(&page["next"]))).await.0, ["b"]);
}

#[tokio::test]
async fn health_shows_what_is_paused_without_failing() {
    let shop = Shop::with(&[PAUSED]).await;
    let ready = shop.get("/health/ready").await.ok(200);
    assert_eq!(ready["status"], "ok");
    let components = &ready["components"];
    assert_eq!((&components["payments"], &components["orders"]), (&json!("paused"), &json!("ok")));
}

#[tokio::test]
async fn open_orders_are_counted_before_anything_happens() {
    let home = Home::new();
    let before = Told::start(&home, &[PAUSED]).await;
    let place = reqwest::Client::new().post(format!("{}/v1/orders", before.url)).json(&small());
    assert_eq!(place.send().await.unwrap().status(), 201);
    drop(before);
    let after = Told::start(&home, &[PAUSED]).await;
    let open = async || {
        let metrics = reqwest::get(format!("{}/metrics", after.url)).await.unwrap().text().await.unwrap();
        metrics.lines().find_map(|line| line.strip_prefix("cartwright_open_orders ").map(str::to_owned))
    };
    wait_until("it says how many", async || open().await.is_some()).await;
    assert_eq!(open().await.unwrap(), "1", "nothing has happened since the start");
}

/// A whole program with everything told, for its log.
struct Told {
    program: std::process::Child,
    log: PathBuf,
    url: String,
}

impl Told {
    async fn start(home: &Home, settings: &[Setting]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = home.join("log");
        let program = Command::new(program())
            .env("CARTWRIGHT__DIALECTS__PORTS", "false")
            .env("CARTWRIGHT__SEARCH__LISTEN", "")
            .args(["up", "--listen", &format!("127.0.0.1:{port}")])
            .current_dir(home.path())
            .envs(Stack::here().environment(home.path()))
            .env("CARTWRIGHT__LOG__FILTER", "trace")
            .env("CARTWRIGHT__SIMULATED__PAYMENTS__FAILURE_RATE", "0.5")
            .envs(settings.iter().map(|(name, value)| (variable(name), *value)))
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let told = Self { program, log, url };
        let ready = async || {
            let answer = reqwest::get(format!("{}/health/ready", told.url)).await;
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        wait_until("it is ready", ready).await;
        told
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

#[tokio::test]
async fn the_log_tells_each_step_with_its_order_and_no_secret() {
    const SECRET: &str = "tok-SECRET-0815";
    let home = Home::new();
    let told = Told::start(&home, &[]).await;
    let client = reqwest::Client::new();
    for scenario in ["success", "decline", "error", "timeout"] {
        let order = small_with(json!({"id": scenario, "payment": {"token": SECRET, "scenario": scenario}}));
        let placed = client.put(format!("{}{}", told.url, path(scenario))).json(&order).send().await.unwrap();
        assert_eq!(placed.status(), 201);
    }
    let bad = json!({"payment": {"token": SECRET, "tokem": SECRET}, "customer": SECRET});
    let refused = client.post(format!("{}/v1/orders", told.url)).json(&bad).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    let lines = || -> Vec<Value> {
        let log = told.log();
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
    };
    let tells = |order: &str, event: &str| {
        lines().into_iter().find(|line| line["order"] == order && line["event"] == event)
    };
    wait_until("the log tells how orders end", async || {
        tells("success", "OrderCompletedV1").is_some() && tells("decline", "OrderFailedV1").is_some()
    })
    .await;
    let placed = tells("success", "OrderCreatedV1").unwrap();
    assert_eq!((&placed["level"], &placed["service"]), (&json!("DEBUG"), &json!("orders")));
    assert_eq!(text(&placed["correlation_id"]).len(), 36);
    assert!(tells("success", "PaymentAuthorizedV1").is_some(), "the other services tell theirs");
    let log = told.log();
    assert!(!log.contains(SECRET), "{:?}", log.lines().find(|line| line.contains(SECRET)));
}

#[tokio::test]
async fn bad_parameters_of_an_operator_s_list_are_named_at_once() {
    let shop = Shop::with(&[PAUSED]).await;
    let problem =
        shop.get("/v1/admin/waiting?service=x&kind=y&olderThan=-1&limit=0&cursor=z&a=b").await.problem(400);
    let mut named = fields(&problem);
    named.sort();
    assert_eq!(named, ["a", "cursor", "kind", "limit", "olderThan", "service"]);
}
