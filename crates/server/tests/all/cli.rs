//! The commands as a person at a terminal uses them: the real program against a real server.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::harness::{Home, ORDERS, PAUSED, Shop, Stack, program, small, small_with, text, wait_until};

/// `cartwright` with these arguments, in an empty environment but for what it needs.
pub fn cartwright(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    if args.first() == Some(&"up") {
        command.env("CARTWRIGHT__DIALECTS__PORTS", "false"); // others run, too
        command.env("CARTWRIGHT__SEARCH__LISTEN", "");
    }
    command.args(args).env_remove("CARTWRIGHT_SERVER").stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs a command to its end against this shop.
pub async fn run(shop: &Shop, args: &[&str]) -> Output {
    let server = format!("http://{}", shop.address());
    cartwright(args).args(["--server", &server]).output().await.unwrap()
}

/// The results of a command that must end well.
#[track_caller]
pub fn good(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

pub fn json_of(output: &Output) -> Value {
    serde_json::from_str(&good(output)).unwrap()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command that goes on until it has seen enough.
fn start(shop: &Shop, args: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let server = format!("http://{}", shop.address());
    let mut command = cartwright(args);
    let mut child =
        command.args(["--server", &server]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn an_order_is_found_by_its_number_and_by_its_id() {
    let shop = Shop::with(&[PAUSED]).await;
    let first = shop.place(&small()).await;
    let number = text(&shop.order(&first).await["number"]);
    for command in ["get", "explain"] {
        for name in [&first, &number] {
            let found = json_of(&run(&shop, &["orders", command, name, "--json"]).await);
            assert_eq!(found["id"], first.as_str(), "{command} {name}");
        }
    }
    // An id that looks like a number is an id first.
    shop.place(&small_with(json!({"id": number}))).await;
    let found = json_of(&run(&shop, &["orders", "get", &number, "--json"]).await);
    assert_eq!(found["id"], number.as_str());
    let none = run(&shop, &["orders", "get", "99999999"]).await;
    assert_eq!(none.status.code(), Some(1));
    assert!(said(&none).contains("99999999") && none.stdout.is_empty(), "{}", said(&none));
}

#[tokio::test]
async fn an_order_is_held_explained_released_and_cancelled() {
    let shop = Shop::with(&[PAUSED]).await;
    let id = shop.place(&small()).await;
    let explained = json_of(&run(&shop, &["orders", "explain", &id, "--json"]).await);
    assert_eq!(explained["waitingFor"]["kind"], "pay");
    assert!(text(&explained["because"]).contains("waits for `pay`"), "{explained}");
    assert_eq!(explained["actions"], json!(["cancel", "hold"]));
    good(&run(&shop, &["orders", "hold", &id, "--note", "address"]).await);
    assert_eq!(shop.order(&id).await["onHold"], true);
    let again = run(&shop, &["orders", "hold", &id]).await;
    assert_eq!(again.status.code(), Some(1), "it is on hold already: {}", said(&again));
    good(&run(&shop, &["orders", "release", &id]).await);
    assert_eq!(shop.order(&id).await["onHold"], false);
    let cancelled = json_of(&run(&shop, &["orders", "cancel", &id, "--reason", "stock", "--json"]).await);
    assert_eq!(cancelled["cancellation"]["reason"], "stock");
}

#[tokio::test]
async fn a_final_order_says_why_it_ended_so_and_a_retrying_one_what_was_said_last() {
    let shop = Shop::open().await;
    let declined = shop.place(&small_with(json!({"payment": {"scenario": "decline"}}))).await;
    shop.finish(&declined).await;
    let explained = json_of(&run(&shop, &["orders", "explain", &declined, "--json"]).await);
    assert!(text(&explained["because"]).contains("declined"), "{explained}");
    assert_eq!(explained["steps"][0]["state"], "refused");
    assert_eq!(explained["steps"][2]["state"], "not asked for yet");
    let shown = good(&run(&shop, &["orders", "explain", &declined]).await);
    assert!(shown.contains("is failed") && shown.contains("step 1, pay"), "{shown}");

    let slow =
        Shop::with(&[("providers.retry.quick_tries", "1"), ("providers.retry.long_wait_ms", "600000")]).await;
    let retrying = slow.place(&small_with(json!({"payment": {"scenario": "error"}}))).await;
    slow.wait_for(&retrying, "retrying", |order| order["waitingFor"]["nextTryAt"].is_string()).await;
    let explained = json_of(&run(&slow, &["orders", "explain", &retrying, "--json"]).await);
    let waiting = &explained["waitingFor"];
    assert_eq!((&waiting["kind"], &waiting["tries"]), (&json!("pay"), &json!(1)), "{explained}");
    assert!(waiting["said"].is_string() && waiting["nextTryAt"].is_string(), "{explained}");
}

#[tokio::test]
async fn a_key_that_comes_again_is_said_to_be_placed_before() {
    let shop = Shop::with(&[PAUSED]).await;
    let place = ["orders", "place", "--sample", "--key", "basket-77"];
    let first = good(&run(&shop, &place).await);
    assert!(first.contains("placed: "), "{first}");
    let second = good(&run(&shop, &place).await);
    assert!(second.contains("was placed before under this key"), "{second}");
    assert_eq!(shop.get(ORDERS).await.ok(200)["orders"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn whoever_stops_reading_ends_the_command_quietly() {
    let shop = Shop::with(&[PAUSED]).await;
    for _ in 0..3 {
        shop.place(&small()).await;
    }
    let server = format!("http://{}", shop.address());
    for args in [
        &["events", "tail", "--from", "beginning"][..],
        &["orders", "list"],
        &["orders", "list", "--json"],
        &["completions", "bash"],
        &["config", "print", "--defaults"],
        &["topics", "list"],
    ] {
        let mut command = cartwright(args);
        if ["events", "orders", "topics"].contains(&args[0]) {
            command.args(["--server", &server]);
        }
        // As `head` leaves it once it has its lines.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().await.unwrap();
        assert!(output.status.success(), "{args:?}: {}", output.status);
        assert_eq!(said(&output), "", "{args:?}");
    }
}

#[tokio::test]
async fn watching_goes_on_after_a_restart_of_the_server() {
    let mut shop = Shop::with(&[PAUSED]).await;
    let address = shop.address().to_string();
    let id = shop.place(&small()).await;
    let (mut watch, mut lines) = start(&shop, &["orders", "watch", &id]);
    let first = lines.next_line().await.unwrap().unwrap();
    assert!(first.contains("created"), "{first}");
    shop.stop().await;
    assert!(watch.try_wait().unwrap().is_none(), "it watches on while the server is away");
    shop.restart(&[("http.listen", &*address.leak())]).await;
    let mut seen = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        seen.push(line);
    }
    assert!(watch.wait().await.unwrap().success());
    assert!(seen.iter().any(|line| line.contains("shipped")), "{seen:?}");
    assert!(seen.last().unwrap().contains("is completed"), "{seen:?}");
    assert!(!seen.iter().any(|line| line.contains("created  ")), "nothing is shown twice: {seen:?}");
}

#[tokio::test]
async fn tailing_shows_every_event_once_across_a_restart() {
    let mut shop = Shop::open().await;
    let address: &str = shop.address().to_string().leak();
    let one = shop.place(&small()).await;
    shop.finish(&one).await;
    let (mut tail, mut lines) =
        start(&shop, &["events", "tail", "--from", "beginning", "--json", "--limit", "16"]);
    let mut events = Vec::new();
    for _ in 0..8 {
        events.push(lines.next_line().await.unwrap().unwrap());
    }
    shop.restart(&[("http.listen", address)]).await;
    let two = shop.place(&small()).await;
    while let Some(line) = lines.next_line().await.unwrap() {
        events.push(line);
    }
    assert!(tail.wait().await.unwrap().success());
    let events: Vec<Value> = events.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut ids: Vec<String> = events.iter().map(|event| text(&event["eventId"])).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((events.len(), ids.len()), (16, 16), "each once");
    for order in [&one, &two] {
        let of_order: Vec<&Value> =
            events.iter().filter(|event| event["payload"]["orderId"] == order.as_str()).collect();
        assert_eq!(of_order.len(), 8, "{order}: {of_order:#?}");
        let last = of_order.iter().rfind(|event| event["source"] == "orders").unwrap();
        assert_eq!(last["eventType"], "OrderCompletedV1");
    }
    let picked = good(
        &run(
            &shop,
            &[
                "events",
                "tail",
                "--topic",
                "payments",
                "--order",
                &two,
                "--from",
                "beginning",
                "--limit",
                "1",
            ],
        )
        .await,
    );
    assert!(picked.contains("PaymentAuthorizedV1") && picked.contains(&two), "{picked}");
}

#[tokio::test]
async fn topics_are_listed() {
    let shop = Shop::open().await;
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    let shown = good(&run(&shop, &["topics", "list"]).await);
    let widths: Vec<usize> = shown.lines().take(1).map(str::len).collect();
    assert!(shown.lines().all(|line| line.len() <= widths[0]) && shown.contains("fulfillment"), "{shown}");
    let json = json_of(&run(&shop, &["topics", "list", "--json"]).await);
    assert_eq!(json["topics"].as_array().unwrap().len(), 3);
}

/// `doctor --json` on the data and the port of a shop.
pub async fn doctor(dir: &Path, listen: &str) -> (Option<i32>, Value) {
    let data = dir.to_str().unwrap();
    let mut command = cartwright(&["doctor", "--json", "--data", data, "--listen", listen]);
    let output = command.envs(Stack::here().environment(dir)).output().await.unwrap();
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output))),
    )
}

pub fn state(report: &Value, what: &str) -> String {
    let check = report["checks"].as_array().unwrap().iter().find(|check| check["what"] == what);
    text(&check.unwrap_or_else(|| panic!("nothing about {what}: {report:#}"))["state"])
}

#[tokio::test]
async fn the_doctor_finds_a_running_system_well_and_a_stopped_one_too() {
    let mut shop = Shop::open().await;
    let listen = shop.address().to_string();
    let id = shop.place(&small()).await;
    shop.finish(&id).await;
    let (code, report) = doctor(shop.dir(), &listen).await;
    assert_eq!((code, &report["ok"]), (Some(0), &json!(true)), "{report:#}");
    let shared = Stack::here().is_shared();
    let stores: &[&str] = if shared { &["database", "stores"] } else { &["lock", "stores"] };
    let others = ["settings", "data directory", "ledger", "clock", "open files", "port", "server"];
    let brokers = (Stack::here() == Stack::Kafka).then_some(&"kafka");
    for what in stores.iter().chain(&others).chain(brokers) {
        // The limit of open files is the machine's.
        assert!(state(&report, what) == "ok" || *what == "open files", "{report:#}");
    }
    if !shared {
        let holder = format!("pid {}", std::process::id());
        assert!(report.to_string().contains(&holder), "it says who has the directory");
    }
    shop.stop().await;
    let (code, report) = doctor(shop.dir(), &listen).await;
    assert_eq!((code, state(&report, "port").as_str()), (Some(0), "ok"));
    assert_eq!(state(&report, stores[0]), "ok");
    assert!(report.to_string().contains("fit together"), "{report:#}");
    shop.restart(&[]).await; // nothing was harmed by looking
    shop.finish(&id).await;
}

#[tokio::test]
async fn the_doctor_names_what_is_broken_and_what_to_do() {
    let mut shop = Shop::open().await;
    let other = Shop::with(&[PAUSED]).await;
    shop.stop().await;
    let (_, report) = doctor(&shop.dir().join("new"), &other.address().to_string()).await;
    assert_eq!(state(&report, "data directory"), "ok", "{report:#}");
    assert_eq!(state(&report, "port"), "warn", "another cartwright has it: {report:#}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deaf = taken.local_addr().unwrap().to_string();
    drop(taken);
    let (code, report) = doctor(&shop.dir().join("new"), "192.0.2.1:9").await;
    assert_eq!((code, state(&report, "port").as_str()), (Some(1), "fail"), "{report:#}");
    for check in report["checks"].as_array().unwrap() {
        assert_eq!(check["state"] == "ok", check["advice"].is_null(), "{check}");
    }
    let (code, report) = doctor(&shop.dir().join("new"), &deaf).await;
    assert_eq!((code, state(&report, "port").as_str()), (Some(0), "ok"), "{report:#}");
    let (code, report) = doctor(&shop.dir().join("new"), "nonsense").await;
    assert_eq!((code, state(&report, "settings").as_str()), (Some(1), "fail"), "{report:#}");
}

/// `cartwright doctor` with these settings in its environment.
async fn doctor_of(settings: &[(&str, &str)]) -> (Option<i32>, Value, String) {
    let home = Home::new();
    let mut command = cartwright(&["doctor", "--json", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(home.path()).envs(settings.iter().copied());
    let output = command.output().await.unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), serde_json::from_str(&told).unwrap(), told + &said(&output))
}

/// Needs no database: it is the same wherever the tests run.
#[tokio::test]
async fn the_doctor_says_which_database_does_not_answer_and_no_password() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://shop:s3cret@{nobody}/orders");
    let (code, report, told) = doctor_of(&[("CARTWRIGHT__DATABASE__URL", &url)]).await;
    assert_eq!((code, state(&report, "database").as_str()), (Some(1), "fail"), "{report:#}");
    assert!(told.contains(&format!("{nobody}/orders")) && !told.contains("s3cret"), "{told}");
}

/// Needs no brokers: it is the same wherever the tests run.
#[tokio::test]
async fn the_doctor_says_which_brokers_do_not_answer() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let url = format!("postgres://shop@{nobody}/orders");
    let settings = [("CARTWRIGHT__DATABASE__URL", &*url), ("CARTWRIGHT__KAFKA__BROKERS", &*nobody)];
    let (code, report, told) = doctor_of(&settings).await;
    assert_eq!((code, state(&report, "kafka").as_str()), (Some(1), "fail"), "{report:#}");
    assert!(told.contains(&nobody) && told.contains("settings [kafka]"), "{told}");
}

#[tokio::test]
async fn the_doctor_says_whether_the_search_server_answers() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{nobody}");
    let (code, report, told) = doctor_of(&[("CARTWRIGHT__SEARCH__URL", &*url)]).await;
    assert_eq!((code, state(&report, "search").as_str()), (Some(1), "fail"), "{report:#}");
    assert!(told.contains(&url) && told.contains("settings [search]"), "{told}");
    let real = std::env::var("CARTWRIGHT_TEST_SEARCH").expect(
        "CARTWRIGHT_TEST_SEARCH must name a search server: `cargo xtask servers up opensearch` starts one",
    );
    let (_, report, told) = doctor_of(&[("CARTWRIGHT__SEARCH__URL", &*real)]).await;
    assert_eq!(state(&report, "search"), "ok", "{report:#}");
    assert!(told.contains("opensearch 2."), "{told}");
}

#[tokio::test]
async fn the_doctor_warns_of_what_holds_work_back() {
    let mut shop = Shop::with(&[("workers.paused", "fulfillment")]).await;
    let off = json!({"enabled": false});
    shop.json("PUT", "/v1/admin/providers/payments", &[], &off).await.ok(200);
    let listen = shop.address().to_string();
    let (code, report) = doctor(shop.dir(), &listen).await;
    assert_eq!((code, state(&report, "server").as_str()), (Some(0), "ok"), "{report:#}");
    for (what, path) in [("providers", "providers/payments"), ("services", "services/fulfillment")] {
        assert_eq!(state(&report, what), "warn", "{report:#}");
        let command = format!("curl -X PUT http://{listen}/v1/admin/{path}");
        assert!(report.to_string().contains(&command), "{report:#}");
    }
    shop.stop().await;
    let (_, report) = doctor(shop.dir(), &listen).await;
    assert_eq!(state(&report, "providers"), "warn", "{report:#}");
    match Stack::here() {
        Stack::Embedded => std::fs::write(shop.dir().join("providers.json"), "garbage").unwrap(),
        Stack::Postgres | Stack::Kafka => {
            shop.edit("orders").await.change("UPDATE note SET value = 'garbage'", &[]).await;
        }
    }
    std::fs::remove_file(shop.dir().join("ledger.db")).unwrap();
    let (code, report) = doctor(shop.dir(), &listen).await;
    assert_eq!((code, state(&report, "providers").as_str()), (Some(1), "fail"), "{report:#}");
    assert_eq!(state(&report, "ledger"), "warn", "{report:#}");
}

#[tokio::test]
async fn wrong_settings_are_told_before_anything_starts() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("shop.toml");
    std::fs::write(&file, "[http]\nlisen = 'x'\n[orders]\nmax_open = 0\n").unwrap();
    let (file, data) = (file.to_str().unwrap(), home.path().join("data"));
    for args in [
        &["up", "--config", file][..],
        &["config", "check", "--config", file],
        &["config", "print", "--config", file],
    ] {
        let output = cartwright(args).current_dir(home.path()).output().await.unwrap();
        let told = said(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {told}");
        for part in [
            "shop.toml:2: there is no setting http.lisen; did you mean http.listen?",
            "shop.toml:4: orders.max_open must be between",
        ] {
            assert!(told.contains(part), "{args:?}: {told}");
        }
    }
    let data = data.to_str().unwrap();
    let nonsense = cartwright(&["up", "--data", data, "--listen", "nonsense"]).output().await.unwrap();
    assert!(said(&nonsense).contains("must be an address and a port"), "{}", said(&nonsense));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (address.to_string(), taken)).unwrap();
    let busy = cartwright(&["up", "--data", data, "--listen", &taken.0]).output().await.unwrap();
    assert!(said(&busy).contains("another process uses this port"), "{}", said(&busy));
    let foreign = cartwright(&["up", "--data", data, "--listen", "192.0.2.1:9"]).output().await.unwrap();
    assert!(said(&foreign).contains("an address of this machine"), "{}", said(&foreign));
    let variable =
        cartwright(&["up", "--data", data]).env("CARTWRIGHT_HTTP_LISTEN", "x").output().await.unwrap();
    assert!(said(&variable).contains("did you mean CARTWRIGHT__HTTP__LISTEN?"), "{}", said(&variable));
    assert!(!Path::new(data).exists(), "nothing was started");
}

#[tokio::test]
async fn a_start_says_what_holds_work_back_and_how_to_undo_it() {
    let data = Home::new();
    let before = crate::harness::start(data.path(), &[]).await.unwrap();
    for (name, wish) in [("payments", r#"{"enabled":false}"#), ("carrier", r#"{"enabled":true,"rate":2}"#)] {
        let url = format!("http://{}/v1/admin/providers/{name}", before.address);
        let put = reqwest::Client::new().put(url).header("content-type", "application/json").body(wish);
        assert_eq!(put.send().await.unwrap().status(), 200);
    }
    before.stop().await;
    let mut up = cartwright(&["up", "--listen", "127.0.0.1:0", "--data", data.path().to_str().unwrap()]);
    up.envs(Stack::here().environment(data.path())).env("CARTWRIGHT__WORKERS__PAUSED", "fulfillment");
    let mut child = up.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut shown = String::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        shown.push_str(&line);
        shown.push('\n');
        if line.starts_with("or: ") {
            break;
        }
    }
    let (_, address) = shown.split_once("API        ").unwrap();
    let server = address.split("/v1").next().unwrap();
    for (what, path, body) in [
        ("payments is switched off by an operator", "providers/payments", r#"{"enabled":true,"rate":null}"#),
        (
            "carrier is limited by an operator to 2 calls",
            "providers/carrier",
            r#"{"enabled":true,"rate":null}"#,
        ),
        ("fulfillment is paused (setting workers.paused)", "services/fulfillment", r#"{"paused":false}"#),
    ] {
        let line =
            shown.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {shown}"));
        assert!(line.contains(&format!("curl -X PUT {server}/v1/admin/{path} ")), "{line}");
        assert!(line.contains(body), "{line}");
    }
    let put = ["simulate", "payments=down", "--server", server];
    good(&cartwright(&put).output().await.unwrap());
    child.kill().await.unwrap();
    let mut child = up.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains("Still told so") {
            assert!(line.contains("cartwright simulate payments=up --server http://127.0.0.1:"), "{line}");
            return;
        }
    }
    panic!("it does not say what was told");
}

#[tokio::test]
async fn the_settings_in_effect_are_printed_with_where_they_come_from() {
    let mut command = cartwright(&["config", "print", "--json", "--listen", "127.0.0.1:1"]);
    let output = command.env("CARTWRIGHT__ORDERS__MAX_OPEN", "5").output().await.unwrap();
    let settings = json_of(&output);
    let setting = |key: &str| {
        let all = settings["settings"].as_array().unwrap();
        all.iter().find(|setting| setting["setting"] == key).unwrap().clone()
    };
    assert_eq!(setting("http.listen")["from"], "flag --listen");
    assert_eq!(setting("orders.max_open")["value"], 5);
    assert_eq!(setting("orders.max_open")["from"], "environment variable CARTWRIGHT__ORDERS__MAX_OPEN");
    assert_eq!(setting("data.dir")["from"], "default");
    let printed = good(&cartwright(&["up", "--print-config", "--data", "elsewhere"]).output().await.unwrap());
    assert!(
        printed
            .lines()
            .any(|line| line.contains("data.dir") && line.contains("elsewhere") && line.ends_with("--data")),
        "{printed}"
    );
    let defaults = good(&cartwright(&["config", "print", "--defaults"]).output().await.unwrap());
    assert_eq!(defaults, cartwright_server::config::DEFAULTS);
}

#[tokio::test]
async fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = good(&cartwright(&["completions", shell]).output().await.unwrap());
        assert!(script.contains("explain") && script.contains("doctor"), "{shell}");
    }
}

#[tokio::test]
async fn another_systems_ledger_or_answers_are_not_compared() {
    let (one, other) = (Shop::open().await, Shop::open().await);
    let home = tempfile::tempdir().unwrap();
    let answered = home.path().join("answered");
    let answered = answered.to_str().unwrap();
    let load = ["load", "--orders", "20", "--connections", "2", "--answered", answered];
    good(&run(&one, &load).await);
    let refused = run(&other, &load).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("another system"), "{}", said(&refused));
    let verify = async |shop: &Shop, data: &Path| {
        let args = ["verify", "--wait", "--answered", answered, "--data", data.to_str().unwrap()];
        run(shop, &args).await
    };
    let shown = good(&verify(&one, one.dir()).await);
    assert!(shown.contains("all good"), "{shown}");
    for (shop, data, which) in [(&other, other.dir(), "answered orders"), (&one, other.dir(), "ledger")] {
        let refused = verify(shop, data).await;
        assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
        assert!(
            said(&refused).contains(which) && said(&refused).contains("another system"),
            "{}",
            said(&refused)
        );
    }
    wait_until("all is final", async || {
        one.get("/v1/orders?status=open").await.ok(200)["orders"].as_array().unwrap().is_empty()
    })
    .await;
}
