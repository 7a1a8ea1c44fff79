//! Searching orders: on the index of our own, on its port, and on a real search server, with the same answers.

mod table;

use std::{net::SocketAddr, time::Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cli::{json_of, run},
    dialects::table::rows,
    harness::{LIMIT, ORDERS, PAUSED, Setting, Shop, path, pause, text, wait_until},
};

/// Our own index, on a port of its own.
const ON_ITS_PORT: Setting = ("search.listen", "127.0.0.1:0");

/// An index on the real search server, which goes when the test does.
/// An index of its own on the search server.
pub struct OnServer {
    url: String,
    index: String,
}

impl OnServer {
    pub fn new() -> Self {
        let url = std::env::var("CARTWRIGHT_TEST_SEARCH").expect(
            "CARTWRIGHT_TEST_SEARCH must name a search server: `cargo xtask servers up opensearch` starts one, and \
             `cargo xtask test` does so itself",
        );
        Self { url, index: format!("t{}", Uuid::now_v7().simple()) }
    }

    pub fn settings(&self) -> [Setting; 3] {
        let leaked = |text: &str| -> &'static str { text.to_owned().leak() };
        [("search.url", leaked(&self.url)), ("search.index", leaked(&self.index)), ("search.replicas", "0")]
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.url);
        let reply = Client::new().request(method, url).json(body).send().await.unwrap();
        (reply.status(), reply.json().await.unwrap())
    }

    pub async fn remove(&self) {
        for name in [format!("{}-*", self.index), format!("{}_progress", self.index)] {
            let (status, answer) = self.ask(Method::DELETE, &format!("/{name}"), &json!({})).await;
            assert!(status.is_success() || status == StatusCode::NOT_FOUND, "{answer}");
        }
        let _ = self.ask(Method::DELETE, &format!("/_index_template/{}", self.index), &json!({})).await;
    }
}

fn order(customer: &str) -> Value {
    let lines = json!([{"sku": "a", "quantity": 1, "unitPrice": 500}]);
    json!({"customer": {"id": customer}, "currency": "USD", "lines": lines})
}

fn fulfilment(product: &str, country: &str, scenario: &str) -> Value {
    json!({"customerEmail": "user@example.com", "productType": product, "country": country, "paymentScenario": scenario})
}

async fn search(shop: &Shop, body: &Value) -> Value {
    shop.post("/search/_search", body).await.ok(200)
}

#[tokio::test]
async fn the_official_python_clients_run_the_contracts_queries() {
    let shop = Shop::with(&[ON_ITS_PORT]).await;
    let fulfilments = "/dialects/order-fulfilment/orders";
    for (product, scenario) in [("Laptop", "success"), ("Phone", "success"), ("Chair", "failure")] {
        shop.post(fulfilments, &fulfilment(product, "DE", scenario)).await.ok(201);
    }
    let scheduled = json!({"query": {"match": {"status": "FulfillmentScheduled"}}, "size": 0});
    wait_until("two orders are found as scheduled", async || {
        let found = shop.post("/search/_search", &scheduled).await; // 503 until the index is open
        found.status == 200 && found.ok(200)["hits"]["total"]["value"] == 2
    })
    .await;
    let python = std::env::var("CARTWRIGHT_TEST_PYTHON").expect(
        "CARTWRIGHT_TEST_PYTHON must name a Python that has the packages elasticsearch 8 and opensearch-py; \
         `cargo xtask test` installs them",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/search_clients.py");
    let ran = tokio::process::Command::new(python)
        .args([script, &format!("http://{}", shop.search_port())])
        .output()
        .await
        .unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}{wrong}");
    assert!(said.starts_with("3 orders, 2 of them scheduled\n"), "{said}{wrong}");
}

/// The document of an order, once it is as described.
async fn document(shop: &Shop, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + LIMIT;
    loop {
        let reply = shop.get(&format!("/search/_all/_doc/{id}")).await;
        let found: Value = serde_json::from_slice(&reply.body).unwrap();
        if reply.status == 200 && is(&found["_source"]) {
            return found;
        }
        assert!(Instant::now() < until, "the document of {id} is not {what} after {LIMIT:?}: {found:#}");
        pause().await;
    }
}

#[tokio::test]
async fn the_calls_of_a_search_server_are_answered_under_our_own_port() {
    let shop = Shop::open().await;
    table::run(&shop, |_| (shop.address(), "/search".to_owned()), "orders-v1").await;
}

#[tokio::test]
async fn the_calls_of_a_search_server_are_answered_on_its_port() {
    let shop = Shop::with(&[ON_ITS_PORT]).await;
    let own: SocketAddr = shop.search_port();
    table::run(&shop, |_| (own, String::new()), "orders-v1").await;
}

#[tokio::test]
async fn the_same_is_answered_with_a_real_search_server() {
    let server = OnServer::new();
    let shop = Shop::with(&server.settings()).await;
    table::run(&shop, |_| (shop.address(), "/search".to_owned()), &server.index).await;

    // The contract's requests on the server's own port.
    let (_, all) = server.ask(Method::GET, &format!("/{}/_search?pretty", server.index), &json!({})).await;
    assert_eq!(all["hits"]["total"]["value"], 4, "{all:#}");
    let matching = json!({"query": {"match": {"status": "FulfillmentScheduled"}}});
    let (_, found) = server.ask(Method::POST, &format!("/{}/_search", server.index), &matching).await;
    assert_eq!(found["hits"]["total"]["value"], 2, "{found:#}");
    drop(shop);
    server.remove().await;
}

#[tokio::test]
async fn a_document_follows_its_order_with_its_timeline() {
    let shop = Shop::with(&[PAUSED]).await;
    let reply =
        shop.post("/dialects/order-fulfilment/orders", &fulfilment("Phone", "US", "success")).await.ok(201);
    let id = text(&reply["id"]);
    let first = document(&shop, &id, "there", |_| true).await;
    assert_eq!(
        (&first["_source"]["status"], &first["_source"]["orderStatus"]),
        (&json!("Created"), &json!("open"))
    );
    for service in ["payments", "fulfillment"] {
        shop.json("PUT", &format!("/v1/admin/services/{service}"), &[], &json!({"paused": false}))
            .await
            .ok(200);
    }
    let done = document(&shop, &id, "scheduled", |source| source["status"] == "FulfillmentScheduled").await;
    assert!(done["_version"].as_u64() > first["_version"].as_u64(), "{done:#}");
    let history: Vec<String> = shop.history(&id).await.iter().map(|event| text(&event["eventId"])).collect();
    let timeline = done["_source"]["events"].as_array().unwrap();
    assert_eq!(timeline.iter().map(|event| text(&event["id"])).collect::<Vec<_>>(), history);
}

#[tokio::test]
async fn orders_are_listed_by_words_and_filters_page_by_page() {
    let shop = Shop::open().await;
    let place = async |customer: &str, name: &str| {
        let body = json!({"customer": {"id": customer, "name": "Ada Lovelace"}, "currency": "USD",
            "lines": [{"sku": "thing-1", "name": name, "quantity": 1, "unitPrice": 500}]});
        let id = shop.place(&body).await;
        shop.finish(&id).await;
        id
    };
    let mut chairs = vec![];
    for n in 0..5 {
        chairs.push(place(&format!("c-{n}"), "Blue chair").await);
    }
    let table = place("c-1", "Blue table").await;
    let listed = async |query: &str| {
        let page = shop.get(&format!("{ORDERS}?{query}")).await.ok(200);
        let ids: Vec<String> =
            page["orders"].as_array().unwrap().iter().map(|order| text(&order["id"])).collect();
        (ids, page["next"].as_str().map(str::to_owned))
    };
    wait_until("all are found", async || listed("q=blue&status=completed").await.0.len() == 6).await;
    chairs.reverse(); // newest first
    assert_eq!(listed("q=blue+chair").await.0, chairs);
    assert_eq!(listed("q=lovelace+table").await.0, std::slice::from_ref(&table));
    assert_eq!(listed("q=products:table").await.0, std::slice::from_ref(&table));
    assert_eq!(listed(&format!("q={table}")).await.0, std::slice::from_ref(&table));
    assert_eq!(listed("q=blue&customer=c-1&customer=c-2").await.0.len(), 3);
    assert_eq!(listed("q=nothing+of+this").await, (vec![], None));
    let (first, next) = listed("q=chair&limit=3").await;
    let (second, end) = listed(&format!("q=chair&limit=3&cursor={}", next.unwrap())).await;
    assert_eq!(([first, second].concat(), end), (chairs, None));
    for (query, field) in [
        ("q=", "q"),
        ("q=a&q=b", "q"),
        ("q=status:[", "q"),
        ("q=blue&cursor=c1-2", "cursor"),
        ("q=blue&limit=0", "limit"),
    ] {
        let problem = shop.get(&format!("{ORDERS}?{query}")).await.ok(400);
        assert_eq!(problem["errors"][0]["field"], field, "{query}: {problem:#}");
    }
}

#[tokio::test]
async fn an_index_is_made_anew_while_it_is_searched() {
    for server in [None, Some(OnServer::new())] {
        let settings = server.as_ref().map(OnServer::settings);
        let shop = Shop::with(settings.as_ref().map_or(&[][..], |settings| settings)).await;
        let ids = crate::harness::all((0..20).map(|n| {
            let body = order(&format!("c-{n}"));
            let shop = &shop;
            async move { shop.place(&body).await }
        }))
        .await;
        for id in &ids {
            shop.finish(id).await;
        }
        let completed = json!({"query": {"term": {"orderStatus": "completed"}}, "size": 0});
        let found = async || search(&shop, &completed).await["hits"]["total"]["value"].as_u64().unwrap();
        wait_until("the index is there", async || {
            shop.post("/search/_search", &completed).await.status == 200
        })
        .await;
        wait_until("all are found", async || found().await == 20).await;
        let reply = shop.post("/v1/admin/index/rebuild", &json!({})).await.ok(202);
        assert!(
            ["asked", "running", "done"].contains(&reply["rebuild"]["state"].as_str().unwrap()),
            "{reply:#}"
        );
        wait_until("the new index is there", async || {
            assert_eq!(found().await, 20, "no search finds less meanwhile");
            shop.get("/v1/admin/index").await.ok(200)["rebuild"]["state"] == "done"
        })
        .await;
        let index = shop.get("/v1/admin/index").await.ok(200);
        assert_eq!(index["rebuild"]["done"], 20, "{index:#}");
        // It is followed as the old one was.
        let more = shop.place(&order("late")).await;
        document(&shop, &more, "completed", |source| source["orderStatus"] == "completed").await;
        // A server gives documents out before searches find them.
        wait_until("the new one is found", async || found().await == 21).await;
        drop(shop);
        if let Some(server) = server {
            server.remove().await;
        }
    }
}

#[tokio::test]
async fn an_index_that_is_lost_is_made_anew_by_itself() {
    let mut shop = Shop::open().await;
    let id = shop.place(&order("c")).await;
    shop.finish(&id).await;
    document(&shop, &id, "completed", |source| source["orderStatus"] == "completed").await;
    shop.stop().await;
    std::fs::remove_dir_all(shop.dir().join("search")).unwrap();
    shop.restart(&[]).await;
    document(&shop, &id, "there again", |source| source["orderStatus"] == "completed").await;
}

#[tokio::test]
async fn orders_go_on_while_the_search_server_is_away() {
    // Nobody listens there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url: &'static str = format!("http://{gone}").leak();
    let mut shop = Shop::with(&[("search.url", url)]).await;
    let id = shop.place(&order("c")).await;
    shop.finish(&id).await;
    let problem = shop.get(&format!("{ORDERS}?q=a")).await;
    assert_eq!((problem.status, problem.header("retry-after")), (503, "1"), "{}", problem.text());
    wait_until("health tells of it", async || {
        let health = shop.get("/health/ready").await.ok(200);
        health["components"]["search"].to_string().contains("not available")
    })
    .await;
    // Back on an index of our own, all that it missed is there.
    shop.restart(&[("search.url", "")]).await;
    document(&shop, &id, "there", |source| source["orderStatus"] == "completed").await;
}

#[tokio::test]
async fn without_search_its_calls_say_so() {
    let shop = Shop::with(&[("search.enabled", "false")]).await;
    let reply = shop.get("/search/_search").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(reply.text().contains("search.enabled"), "{}", reply.text());
    assert_eq!(shop.get(&format!("{ORDERS}?q=a")).await.status, 503);
    assert_eq!(shop.get("/v1/admin/index").await.status, 409);
    let id = shop.place(&order("c")).await;
    assert_eq!(shop.get(&path(&id)).await.status, 200);
}

#[tokio::test]
async fn commands_search_make_the_index_anew_and_compare_it() {
    let shop = Shop::open().await;
    let id = shop.place(&order("ada")).await;
    shop.finish(&id).await;
    document(&shop, &id, "completed", |source| source["orderStatus"] == "completed").await;
    let found = json_of(&run(&shop, &["orders", "search", "ada", "status:completed", "--json"]).await);
    assert_eq!(found["orders"][0]["id"], id.as_str(), "{found:#}");
    let index = json_of(&run(&shop, &["index", "rebuild", "--json"]).await);
    assert_eq!(
        (&index["rebuild"]["state"], &index["rebuild"]["done"]),
        (&json!("done"), &json!(1)),
        "{index:#}"
    );
    assert_eq!(json_of(&run(&shop, &["index", "--json"]).await)["behind"], 0);
    let report = json_of(&run(&shop, &["verify", "--search", "--no-ledger", "--json"]).await);
    assert_eq!((&report["ok"], &report["searched"]), (&json!(true), &json!(1)), "{report:#}");
}

/// It leaves the order's version as it is.
#[tokio::test]
async fn a_step_that_is_asked_for_again_is_in_the_timeline() {
    let shop = Shop::with(&[PAUSED, ("sweeper.after_seconds", "1")]).await;
    let id = shop.place(&order("a")).await;
    let asked = |source: &Value| {
        let events = source["events"].as_array().into_iter().flatten();
        events.filter(|event| event["type"] == "StepRequestedV1").count()
    };
    let again = document(&shop, &id, "asked for again", |source| asked(source) > 1).await;
    assert_eq!(again["_source"]["version"], 1, "{again:#}");
}

#[tokio::test]
async fn what_is_wrong_in_an_index_is_found() {
    let server = OnServer::new();
    let shop = Shop::with(&server.settings()).await;
    let mut ids = vec![];
    for customer in ["a", "b", "c"] {
        let id = shop.place(&order(customer)).await;
        shop.finish(&id).await;
        document(&shop, &id, "completed", |source| source["orderStatus"] == "completed").await;
        ids.push(id);
    }
    let at = |id: &str, version: u32| {
        format!("/{}/_doc/{id}?version={version}&version_type=external&refresh=true", server.index)
    };
    let strange = json!({"id": "strange", "version": 900});
    for (method, path) in [
        (Method::PUT, at(&ids[0], 900)),
        (Method::DELETE, at(&ids[1], 900)),
        (Method::PUT, at("strange", 900)),
    ] {
        let (status, answer) = server.ask(method, &path, &strange).await;
        assert!(status.is_success(), "{answer}");
    }
    let output = run(&shop, &["verify", "--search", "--no-ledger", "--json"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["searched"], 3);
    for (problem, id) in
        [("foundOtherwise", &ids[0]), ("notFound", &ids[1]), ("foundOnly", &"strange".to_owned())]
    {
        assert_eq!(report["problems"][problem], json!({"count": 1, "ids": [id]}), "{report:#}");
    }
    // Nothing older takes their places; a new index is right again.
    json_of(&run(&shop, &["index", "rebuild", "--json"]).await);
    let report = json_of(&run(&shop, &["verify", "--search", "--no-ledger", "--json"]).await);
    assert_eq!(report["ok"], true, "{report:#}");
    drop(shop);
    server.remove().await;
}
