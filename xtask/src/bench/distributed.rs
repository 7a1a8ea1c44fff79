//! The figures of a system on PostgreSQL and Kafka: everything on this machine, the servers too.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{
    AT_ONCE, Bench, CONNECTIONS, FLAT, IN_FLIGHT,
    client::Client,
    dialects::HANGING,
    load::LoadReport,
    many::p99,
    report::{Asked, Report},
    say,
    search::placed_to_found,
    system::Server,
    until,
};
use crate::{
    Failure,
    cargo::{build, path_of},
    servers,
};

/// Events that wait for the relay.
const BACKLOG: u64 = 500_000;
/// How long draining them may take before something is wrong.
const DRAINED: Duration = Duration::from_secs(600);
/// What relays have still to send.
const UNSENT: &str = "cartwright_unsent_events{topic=\"orders\"}";
/// Orders a second that several processes share.
const SHARED_RATE: u32 = 400;

/// Which schemas of the database are a system's.
const SCHEMA: &str = "CARTWRIGHT__DATABASE__SCHEMA";

/// Where the servers are, and names that nobody has used before.
struct Cluster {
    database: String,
    brokers: String,
}

impl Bench<'_> {
    /// Everything that is asked of a distributed system.
    pub fn distributed(&self) -> Result<Report, Failure> {
        let all = servers::for_tests()?;
        let find = |name: &str| {
            let set = std::env::var(name).ok();
            let found = all.iter().find(|(variable, _)| *variable == name).map(|(_, url)| url.clone());
            set.or(found).ok_or_else(|| Failure::from(format!("{name} names no server")))
        };
        let cluster =
            Cluster { database: find("CARTWRIGHT_TEST_POSTGRES")?, brokers: find("CARTWRIGHT_TEST_KAFKA")? };
        let search = find("CARTWRIGHT_TEST_SEARCH")?;
        self.warm_up(&cluster)?;
        let mut report = Report::default();
        let bare = self.bare_batches(&cluster)?;
        report.add("raw: the function alone, batches of 64", bare, "orders/s", None, Asked::Nothing);
        self.accepted(&cluster, bare, &mut report)?;
        self.first_event(&cluster, &mut report)?;
        self.through_kafka(&cluster, &mut report)?;
        self.at_200(&cluster, &mut report)?;
        for processes in [1, 2, 4] {
            self.shared(&cluster, processes, &mut report)?;
        }
        self.backlog(&cluster, &mut report)?;
        self.without_brokers(&cluster, &mut report)?;
        self.searched(&cluster, &search, &mut report)?;
        Ok(report)
    }

    /// A broker that was just started runs its code unoptimised, at several times the cost; nobody runs one like that for long.
    fn warm_up(&self, cluster: &Cluster) -> Result<(), Failure> {
        say(&format!("warming the servers up, {} s", self.times.sustain));
        let duration = self.times.sustain.to_string();
        let load = ["--duration", &duration, "--rate", "300", "--connections", CONNECTIONS];
        let settings = cluster.with_kafka(&fresh());
        self.with_all("warm", &settings, |server| self.load(server, &load)).map(drop)
    }

    fn bare_batches(&self, cluster: &Cluster) -> Result<f64, Failure> {
        say("raw: the function alone");
        let seconds = self.times.limit.to_string();
        let said = run_example("bare_batches", &[&cluster.database, &fresh(), &seconds])?;
        said.trim().parse().map_err(|_| format!("bare_batches: {said}").into())
    }

    /// Takes away what a part has left, which the servers would work on meanwhile the next is measured.
    fn clear_away(&self, cluster: &Cluster, settings: &[(String, String)]) -> Result<(), Failure> {
        let schema = settings.iter().find(|(key, _)| key == SCHEMA).map(|(_, schema)| schema);
        let schema = schema.ok_or("the settings name no schema")?;
        run_example("clear_away", &[&cluster.database, schema]).map(drop)
    }

    /// One process that takes orders, and nobody who works on them.
    fn accepted(&self, cluster: &Cluster, bare: f64, report: &mut Report) -> Result<(), Failure> {
        say("accepting, durable in PostgreSQL");
        let settings = cluster.without_kafka(&fresh());
        let duration = self.times.accept.to_string();
        let load = self.with_roles("accepted", "orders", &settings, |server| {
            self.load(server, &["--duration", &duration, "--connections", CONNECTIONS])
        })?;
        let asked = Asked::Both { figure: 6_500.0, ratio: 0.2 };
        report.add("accepted", load.per_second, "orders/s", Some((load.per_second / bare, "of that")), asked);
        report.add("   p99", load.p99_ms, "ms", None, Asked::Nothing);
        report.errors(load.errors);
        self.clear_away(cluster, &settings)
    }

    /// On topics that were just made.
    fn first_event(&self, cluster: &Cluster, report: &mut Report) -> Result<(), Failure> {
        say("the first order of a fresh cluster");
        let settings = cluster.with_kafka(&fresh());
        let took = self.with_all("first", &settings, first_order)?;
        let name = "first event of a fresh cluster: placed, sent, paid, heard of";
        report.add(name, took.as_secs_f64(), "s", None, Asked::AtMost(2.0));
        Ok(())
    }

    /// An older system's orders, while nothing behind them works.
    fn without_brokers(&self, cluster: &Cluster, report: &mut Report) -> Result<(), Failure> {
        let nowhere = Cluster { brokers: "127.0.0.1:9".to_owned(), database: cluster.database.clone() };
        let mut settings = nowhere.with_kafka(&fresh());
        settings.extend(HANGING.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.with_roles("nowhere", "orders,fulfillment", &settings, |server| {
            self.at_a_rate("Kafka is down", server, report)
        })
    }

    /// With the index on a search server.
    fn searched(&self, cluster: &Cluster, search: &str, report: &mut Report) -> Result<(), Failure> {
        say("placed to found, on a search server");
        let name = fresh();
        let mut settings = cluster.with_kafka(&name);
        settings.push(("CARTWRIGHT__SEARCH__URL".to_owned(), search.to_owned()));
        settings.push(("CARTWRIGHT__SEARCH__INDEX".to_owned(), name.clone()));
        settings.push(("CARTWRIGHT__SEARCH__REPLICAS".to_owned(), "0".to_owned()));
        let roles = "orders,payments,fulfillment,relay,indexer";
        let took = self.with_roles("found", roles, &settings, |server| {
            settled(server)?;
            placed_to_found(server)
        })?;
        report.add("placed to found on a search server, p99", p99(took), "ms", None, Asked::AtMost(1_000.0));
        let mut client = Client::connect(search)?;
        for index in [format!("{name}-*"), format!("{name}_progress")] {
            client.ask("DELETE", &format!("/{index}"), "")?;
        }
        self.clear_away(cluster, &settings)
    }

    fn through_kafka(&self, cluster: &Cluster, report: &mut Report) -> Result<(), Failure> {
        say(&format!("placed to shipped through Kafka, {} s", self.times.sustain));
        let duration = self.times.sustain.to_string();
        let load =
            ["--duration", &duration, "--connections", CONNECTIONS, "--in-flight", IN_FLIGHT, "--follow"];
        let settings = cluster.with_kafka(&fresh());
        let sustained = self.with_all("kafka", &settings, |server| {
            settled(server)?;
            self.load(server, &load)
        })?;
        let shipped = sustained.shipped_per_second.unwrap_or(f64::NAN);
        report.add("shipped, through Kafka", shipped, "orders/s", None, Asked::AtLeast(800.0));
        report.errors(sustained.errors);
        self.clear_away(cluster, &settings)
    }

    fn at_200(&self, cluster: &Cluster, report: &mut Report) -> Result<(), Failure> {
        say("200 orders a second");
        let duration = self.times.steady.to_string();
        let load = ["--duration", &duration, "--rate", "200", "--connections", CONNECTIONS, "--follow"];
        let settings = cluster.with_kafka(&fresh());
        let steady = self.with_all("steady", &settings, |server| {
            settled(server)?;
            self.load(server, &load)
        })?;
        let p99 = steady.created_to_shipped_p99_ms.unwrap_or(f64::NAN);
        report.add("   created to shipped at 200/s, p99", p99, "ms", None, Asked::AtMost(250.0));
        report.errors(steady.errors);
        self.clear_away(cluster, &settings)
    }

    /// Several processes that take orders for one system.
    fn shared(&self, cluster: &Cluster, processes: u32, report: &mut Report) -> Result<(), Failure> {
        say(&format!("{processes} processes that take orders"));
        let settings = cluster.without_kafka(&fresh());
        let (rate, duration) = ((SHARED_RATE / processes).to_string(), self.times.accept.to_string());
        let args = ["--duration", &duration, "--rate", &rate, "--connections", "16"];
        let worst = self.with_several("shared", "orders", processes, &settings, |servers| {
            let loads: Vec<Result<LoadReport, String>> = thread::scope(|scope| {
                let loads = servers.iter().map(|server| {
                    scope.spawn(|| self.load(server, &args).map_err(|error| error.to_string()))
                });
                let loads: Vec<_> = loads.collect();
                let over = |load: thread::ScopedJoinHandle<'_, _>| {
                    load.join().unwrap_or_else(|_| Err("a load panicked".to_owned()))
                };
                loads.into_iter().map(over).collect()
            });
            let loads: Vec<LoadReport> = loads.into_iter().collect::<Result<_, _>>()?;
            report.errors(loads.iter().map(|load| load.errors).sum());
            Ok(loads.iter().map(|load| load.p99_ms).fold(0.0, f64::max))
        })?;
        let name = format!("accepted at {SHARED_RATE}/s in {processes} processes, p99");
        report.add(&name, worst, "ms", None, Asked::Nothing);
        self.clear_away(cluster, &settings)
    }

    /// Events that nobody has forwarded for long.
    fn backlog(&self, cluster: &Cluster, report: &mut Report) -> Result<(), Failure> {
        let events = if self.quick { BACKLOG / 10 } else { BACKLOG };
        say(&format!("a backlog of {events} events"));
        let settings = cluster.with_kafka(&fresh());
        let orders = (events / 2).to_string();
        let load = ["--orders", &orders, "--connections", CONNECTIONS];
        let placed = self.with_roles("backlog", "orders", &settings, |server| self.load(server, &load))?;
        report.errors(placed.errors);
        let (seconds, first, second) = self.with_roles("drain", "relay", &settings, |server| {
            let (began, memory) = (Instant::now(), server.memory());
            let (mut first, mut second) = (f64::NAN, f64::NAN); // too quick to be looked at is not flat
            let mut client = Client::connect(server.url())?;
            loop {
                let left = client.metric(UNSENT)?;
                if left == Some(0.0) {
                    break;
                }
                if began.elapsed() > DRAINED {
                    return Err("the backlog was not drained".into());
                }
                let half =
                    if left.is_none_or(|left| left > events as f64 / 2.0) { &mut first } else { &mut second };
                *half = half.max(memory.now());
                thread::sleep(Duration::from_millis(50));
            }
            Ok((began.elapsed().as_secs_f64(), first, second))
        })?;
        let name = format!("backlog of {events} events, drained");
        report.add(&name, events as f64 / seconds, "events/s", None, Asked::AtLeast(5_000.0));
        report.add("   memory at most, first half", first, "MiB", None, Asked::Nothing);
        let grown = Some((second / first, "of that"));
        report.add("   memory at most, second half", second, "MiB", grown, Asked::RatioAtMost(FLAT));
        self.clear_away(cluster, &settings)
    }

    fn with_all<T>(
        &self,
        name: &str,
        settings: &[(String, String)],
        work: impl FnOnce(&Server) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.with_roles(name, "orders,payments,fulfillment,relay", settings, work)
    }

    fn with_roles<T>(
        &self,
        name: &str,
        roles: &str,
        settings: &[(String, String)],
        work: impl FnOnce(&Server) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.with_several(name, roles, 1, settings, |servers| work(&servers[0]))
    }

    fn with_several<T>(
        &self,
        name: &str,
        roles: &str,
        processes: u32,
        settings: &[(String, String)],
        work: impl FnOnce(&[Server]) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let dir = self.data.join(name);
        let start = |n: u32| Server::roles(&self.program, &dir.join(n.to_string()), roles, settings);
        let servers = (0..processes).map(start).collect::<Result<Vec<_>, _>>()?;
        servers.iter().try_for_each(ready)?;
        let result = work(&servers)?;
        servers.into_iter().try_for_each(Server::stop)?;
        Ok(result)
    }
}

/// What one of the store's examples says.
fn run_example(name: &str, args: &[&str]) -> Result<String, Failure> {
    let built = build(&["--release", "-p", "cartwright-store", "--example", name])?;
    let built = built.ok_or_else(|| format!("the example {name} can't be built"))?;
    servers::process::run(Command::new(path_of(&built, name)?).args(args))
}

/// How long it takes until something has become of the first order.
fn first_order(server: &Server) -> Result<Duration, Failure> {
    let began = Instant::now();
    let mut client = Client::connect(server.url())?;
    let placed = client.ask("POST", "/v1/orders", ORDER)?;
    let placed: serde_json::Value = serde_json::from_slice(&placed.body)?;
    let path = format!("/v1/orders/{}", placed["id"].as_str().ok_or("no order was placed")?);
    until("the first order was not paid", Duration::from_millis(5), || {
        Ok((client.json(&path)?.0["milestone"] != "created").then(|| began.elapsed()))
    })
}

/// Waits until an order has gone all the way: every service has joined its group then.
fn settled(server: &Server) -> Result<(), Failure> {
    first_order(server)?;
    let mut client = Client::connect(server.url())?;
    until("the first order was not shipped", Duration::from_millis(20), || {
        let (completed, _) = client.json("/v1/orders?status=completed")?;
        Ok(completed["orders"].as_array().is_some_and(|orders| !orders.is_empty()).then_some(()))
    })
}

impl Cluster {
    fn without_kafka(&self, name: &str) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> =
            AT_ONCE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        all.push(("CARTWRIGHT__DATABASE__URL".to_owned(), self.database.clone()));
        all.push((SCHEMA.to_owned(), name.to_owned()));
        all
    }

    fn with_kafka(&self, name: &str) -> Vec<(String, String)> {
        let mut all = self.without_kafka(name);
        all.push(("CARTWRIGHT__KAFKA__BROKERS".to_owned(), self.brokers.clone()));
        for key in ["KAFKA__TOPIC_PREFIX", "KAFKA__GROUP", "DIALECTS__TOPIC_PREFIX"] {
            all.push((format!("CARTWRIGHT__{key}"), name.to_owned()));
        }
        all
    }
}

const ORDER: &str =
    r#"{"customer":{"id":"c-1"},"currency":"USD","lines":[{"sku":"a","quantity":1,"unitPrice":500}]}"#;

/// A name for schemas and topics.
fn fresh() -> String {
    format!("bench_{}", uuid::Uuid::now_v7().simple())
}

/// Waits until a process says so.
pub(super) fn ready(server: &Server) -> Result<(), Failure> {
    until("a process was not ready", Duration::from_millis(50), || {
        let answer =
            Client::connect(server.url()).and_then(|mut client| client.ask("GET", "/health/ready", ""));
        let is_ready =
            answer.is_ok_and(|answer| answer.status == 200 && !contains(&answer.body, "connecting"));
        Ok(is_ready.then_some(()))
    })
}

fn contains(body: &[u8], word: &str) -> bool {
    String::from_utf8_lossy(body).contains(word)
}
