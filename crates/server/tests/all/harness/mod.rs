//! Starts the system in this process, talks to it over HTTP, and looks into its stores.
//!
//! * `stack` … what it runs on: files, or servers. `stores` … the door to what it has stored.

mod stack;
mod stores;

use std::{
    net::SocketAddr,
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use cartwright_server::{
    compose::{self, Roles, StartError, System},
    config::Config,
    http::dialects::OldPort,
    telemetry::metrics,
};
use cartwright_store::{OpenError, sqlite::SqliteOptions};
use metrics_exporter_prometheus::PrometheusHandle;
use reqwest::{
    Client, Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use uuid::Uuid;

use self::stores::Stores;
pub use self::{
    stack::{Home, Stack, database, program, variable},
    stores::{Cell, Tables, end_leases},
};

/// What must come true within it. Generous: it only decides how long a broken system keeps us waiting.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Where orders are.
pub const ORDERS: &str = "/v1/orders";

/// Settings that make everything quick: providers without latency, short waits between tries.
const QUICK: &[(&str, &str)] = &[
    ("http.listen", "127.0.0.1:0"),
    ("dialects.ports", "false"),
    ("search.listen", ""),
    ("simulated.payments.latency_min_ms", "0"),
    ("simulated.payments.latency_max_ms", "0"),
    ("simulated.carrier.latency_min_ms", "0"),
    ("simulated.carrier.latency_max_ms", "0"),
    ("providers.retry.quick_wait_ms", "20"),
];

/// A setting that differs in a test.
pub type Setting = (&'static str, &'static str);

/// Services that do not work.
pub const PAUSED: Setting = ("workers.paused", "payments,fulfillment");

/// The system under test.
pub struct Shop {
    system: Option<System>,
    address: SocketAddr,
    client: Client,
    stores: Stores,
    home: Home,
}

impl Shop {
    /// A system that works at once.
    pub async fn open() -> Self {
        Self::with(&[]).await
    }

    /// A system with other settings.
    pub async fn with(settings: &[Setting]) -> Self {
        Self::start(Home::new(), settings).await
    }

    /// A system whose stores lie on a disk of their own.
    pub async fn on_disk(options: &SqliteOptions, home: Home) -> Self {
        let system = start_with(home.path(), &[], options).await.unwrap();
        Self::of(system, home)
    }

    /// A system on what is there.
    pub async fn on(home: Home) -> Self {
        Self::start(home, &[]).await
    }

    async fn start(home: Home, settings: &[Setting]) -> Self {
        let system = start(home.path(), settings).await.unwrap();
        Self::of(system, home)
    }

    fn of(system: System, home: Home) -> Self {
        let stores = Stores::of(home.path());
        Self { address: system.address, system: Some(system), client: Client::new(), stores, home }
    }

    /// Stops it and starts it again on the same files.
    pub async fn restart(&mut self, settings: &[Setting]) {
        self.stop().await;
        let until = Instant::now() + LIMIT;
        let system = loop {
            // A stop leaves behind what does not end in time, as on a machine that is busy with other tests; where a
            // process ends with it, so does that.
            match start(self.home.path(), settings).await {
                Err(StartError::Open(OpenError::InUse { .. })) if Instant::now() < until => pause().await,
                system => break system.unwrap(),
            }
        };
        self.address = system.address;
        self.system = Some(system);
    }

    pub async fn stop(&mut self) {
        if let Some(system) = self.system.take() {
            system.stop().await;
        }
    }

    pub fn dir(&self) -> &Path {
        self.home.path()
    }

    /// Where the operator's own listener is.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.system.as_ref().and_then(|system| system.admin)
    }

    /// Where an old system is spoken for.
    pub fn old(&self, port: OldPort) -> SocketAddr {
        let old = &self.system.as_ref().unwrap().old;
        old.iter().find(|(old, _)| *old == port).unwrap_or_else(|| panic!("{port:?} is not listened on")).1
    }

    /// Where orders are searched as on a search server.
    pub fn search_port(&self) -> SocketAddr {
        let url = self.system.as_ref().unwrap().search.as_deref().expect("search has a port of its own");
        url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap()
    }

    /// The old systems' ports that are listened on.
    pub fn old_ports(&self) -> Vec<OldPort> {
        self.system.as_ref().unwrap().old.iter().map(|(port, _)| *port).collect()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A request as it is; `headers` are taken byte by byte.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        self.send_to(self.address, method, path, map, body).await
    }

    /// The same to somebody else.
    pub async fn send_to(
        &self,
        address: SocketAddr,
        method: Method,
        path: &str,
        map: HeaderMap,
        body: &[u8],
    ) -> Reply {
        let url = format!("http://{address}{path}");
        let request = self.client.request(method.clone(), url).headers(map).body(body.to_vec());
        let response = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        Reply {
            what: format!("{method} {path}"),
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.unwrap().to_vec(),
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"").await
    }

    pub async fn json(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        self.send(method, path, &all, body.to_string().as_bytes()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.json("POST", path, &[], body).await
    }

    /// Places an order and gives its id.
    pub async fn place(&self, body: &Value) -> String {
        text(&self.post(ORDERS, body).await.ok(201)["id"])
    }

    pub async fn order(&self, id: &str) -> Value {
        self.get(&path(id)).await.ok(200)
    }

    /// A command about an order.
    pub async fn command(&self, id: &str, name: &str, body: &Value) -> Reply {
        self.post(&format!("{}/{name}", path(id)), body).await
    }

    /// Waits until the order is as described.
    pub async fn wait_for(&self, id: &str, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        let mut order = self.order(id).await;
        let until = Instant::now() + LIMIT;
        while !is(&order) {
            assert!(Instant::now() < until, "order {id} is not {what} after {LIMIT:?}: {order:#}");
            pause().await;
            order = self.order(id).await;
        }
        order
    }

    /// Waits until the order is final.
    pub async fn finish(&self, id: &str) -> Value {
        self.wait_for(id, "final", |order| order["status"] != "open").await
    }

    /// Waits until one of the orders is final, and gives its id.
    pub async fn finish_one(&self, ids: &[String]) -> String {
        let until = Instant::now() + LIMIT;
        loop {
            for id in ids {
                if self.order(id).await["status"] != "open" {
                    return id.clone();
                }
            }
            assert!(Instant::now() < until, "none of {ids:?} is final after {LIMIT:?}");
            pause().await;
        }
    }

    /// The history of an order.
    pub async fn history(&self, id: &str) -> Vec<Value> {
        let page = self.get(&format!("{}/events", path(id))).await.ok(200);
        page["events"].as_array().unwrap().clone()
    }

    /// What the outside world did for an order: the kinds of effects, in their order.
    pub fn effects(&self, id: &str) -> Vec<String> {
        let ledger = read_only(&self.home.path().join("ledger.db"));
        let mut select = ledger.prepare("SELECT kind FROM effects WHERE order_id = ?1 ORDER BY n").unwrap();
        let kinds = select.query_map([id], |row| row.get(0)).unwrap();
        kinds.map(Result::unwrap).collect()
    }

    /// The one amount reserved for an order.
    pub fn reserved(&self, id: &str) -> (i64, String) {
        read_only(&self.home.path().join("ledger.db"))
            .query_row(
                "SELECT amount, currency FROM effects WHERE order_id = ?1 AND kind = 'authorize'",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap()
    }

    /// When the tasks of a service are due, in the order of their ids.
    pub async fn task_times(&self, service: &str) -> Vec<i64> {
        self.stores.look(service).await.numbers("SELECT due_at FROM task ORDER BY id").await
    }

    /// Everything that a write leaves behind: journal heads and rows of the three stores.
    pub async fn traces(&self) -> Vec<(&'static str, i64, i64, i64, i64)> {
        let mut traces = Vec::new();
        for name in ["orders", "payments", "fulfillment"] {
            let all = "SELECT position FROM head UNION ALL SELECT count(*) FROM record
                UNION ALL SELECT count(*) FROM answer UNION ALL SELECT count(*) FROM task";
            let counts = self.stores.look(name).await.numbers(all).await;
            traces.push((name, counts[0], counts[1], counts[2], counts[3]));
        }
        traces
    }

    /// The tables of a service, to be changed while the system is stopped.
    pub async fn edit(&self, service: &str) -> Tables {
        assert!(self.system.is_none(), "nobody changes the tables of a system that runs");
        self.stores.edit(service).await
    }

    /// Writes events, each a key and a value, into the topic of a service, as if that had. The system must be stopped.
    pub async fn publish(&self, service: &str, events: &[(&str, &str)]) {
        let tables = self.edit(service).await;
        for (key, value) in events {
            tables.change("UPDATE head SET position = position + 1", &[]).await;
            let insert = "INSERT INTO journal (position, topic, key, headers, value)
                SELECT position, $1, $2, $3, $4 FROM head";
            let value = value.as_bytes().to_vec();
            let given = [service.into(), (*key).into(), Vec::new().into(), value.into()];
            assert_eq!(tables.change(insert, &given).await, 1);
        }
    }

    /// Parks an event of an order in a service, as if it had come from payments. The system must be stopped.
    pub async fn park(&self, service: &str, order: &str, reason: &str, value: &[u8]) {
        let tables = self.edit(service).await;
        let park = "INSERT INTO parked
                (record, source, lane, position, incarnation, key, headers, reason, parked_at, value)
            SELECT key, 'payments', 0, 999, $1, $2, $3, $4, 0, $5 FROM record WHERE id = $6";
        let key = order.as_bytes().to_vec();
        let given: [Cell; 6] = [
            Uuid::nil().into(),
            key.into(),
            Vec::new().into(),
            reason.into(),
            value.to_vec().into(),
            order.into(),
        ];
        assert_eq!(tables.change(park, &given).await, 1, "{service} does not know {order}");
        tables.change("UPDATE record SET parked = parked + 1 WHERE id = $1", &[order.into()]).await;
        tables.change("UPDATE head SET parked = parked + 1", &[]).await;
    }

    /// Puts another system's store of orders in the place of its own. Both must be stopped.
    pub async fn take_orders_of(&self, other: &Self) {
        assert!(self.system.is_none() && other.system.is_none(), "nobody takes away what is in use");
        stores::take(other.dir(), self.dir(), "orders").await;
    }
}

/// Starts a system on a directory.
pub async fn start(dir: &Path, settings: &[Setting]) -> Result<System, StartError> {
    start_with(dir, settings, &SqliteOptions::default()).await
}

/// Starts a system on a directory, its stores with these options.
pub async fn start_with(
    dir: &Path,
    settings: &[Setting],
    options: &SqliteOptions,
) -> Result<System, StartError> {
    static METRICS: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    let mut all: Vec<(&str, String)> = QUICK.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    all.push(("data.dir", dir.display().to_string()));
    all.extend(Stack::here().settings(dir));
    let lists = |key: &str| [PAUSED.0, "dialects.off"].contains(&key);
    all.extend(
        settings.iter().filter(|(key, _)| !lists(key)).map(|(key, value)| (*key, (*value).to_owned())),
    );
    let mut config = Config::read(None, &all).unwrap();
    for (key, value) in settings.iter().filter(|(key, _)| lists(key)) {
        let named = value.split(',').map(str::to_owned).collect();
        if *key == PAUSED.0 { config.workers.paused = named } else { config.dialects.off = named }
    }
    let metrics = METRICS.get_or_init(metrics::start).clone();
    compose::start_with(&config, &Roles::all(&config), metrics, options).await
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    what: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Reply {
    /// The JSON of a good answer.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text());
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{}: {e}: {}", self.what, self.text()))
    }

    /// The problem document of a bad one.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text());
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.what);
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status, "{problem:#}");
        for key in ["type", "title", "detail"] {
            let said = problem[key].as_str().is_some_and(|text| !text.is_empty());
            assert!(said, "{}: the problem has no {key}: {problem:#}", self.what);
        }
        problem
    }

    /// The title of an older system's problem document.
    pub fn problem_title(&self) -> String {
        let problem: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        problem["title"].as_str().unwrap_or_default().to_owned()
    }

    /// A header; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Waits until a condition holds.
pub async fn wait_until(what: &str, holds: impl AsyncFn() -> bool) {
    wait_within(LIMIT, what, async || if holds().await { Ok(()) } else { Err(String::new()) }).await;
}

/// The same where it may take longer, or where it helps to know what was seen instead.
pub async fn wait_within(limit: Duration, what: &str, look: impl AsyncFn() -> Result<(), String>) {
    let until = Instant::now() + limit;
    while let Err(seen) = look().await {
        assert!(Instant::now() < until, "after {limit:?} it still does not hold that {what}: {seen}");
        pause().await;
    }
}

/// For tests that have no runtime of their own, or need another.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Lets others work between two looks. Nothing depends on its length.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

/// The smallest order.
pub fn small() -> Value {
    json!({"customer": {"id": "c-1"}, "currency": "USD", "lines": [{"sku": "a", "quantity": 2, "unitPrice": 500}]})
}

/// The smallest order with something added.
pub fn small_with(more: Value) -> Value {
    let mut order = small();
    for (key, value) in more.as_object().unwrap() {
        order[key] = value.clone();
    }
    order
}

/// The path of an order.
pub fn path(id: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let encoded: String =
        id.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    format!("{ORDERS}/{encoded}")
}

/// A text in an answer.
#[track_caller]
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}

/// The fields that a problem names.
pub fn fields(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    errors.iter().map(|error| text(&error["field"])).collect()
}

fn read_only(file: &Path) -> Connection {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    conn.busy_timeout(LIMIT).unwrap();
    conn
}

/// Makes all calls at once.
pub async fn all<T>(calls: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut calls: Vec<_> = calls.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = calls.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (call, done) in calls.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = call.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
