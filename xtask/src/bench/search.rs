//! The search index: what it costs, how soon it knows, how fast it is made and asked.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    AT_ONCE, Bench, CONNECTIONS, IN_FLIGHT,
    client::Client,
    distributed::ready,
    many::{ORDER, p99},
    report::{Asked, Report},
    say,
    system::Server,
    until,
};
use crate::Failure;

/// The switch.
const OFF: (&str, &str) = ("CARTWRIGHT__SEARCH__ENABLED", "false");

/// Orders whose documents are waited for, one after the other.
const AWAITED: usize = 100;

/// What clients ask again and again: where orders stand.
const STATUS: &str = r#"{"query":{"match":{"status":"completed"}}}"#;

/// How often it is looked how far an index is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Bench<'_> {
    /// (k)
    pub(super) fn searching(&self, seeded: &Path, report: &mut Report) -> Result<(), Failure> {
        self.cost_of_indexing(report)?;
        self.soon(report)?;
        self.of_many(seeded, report)
    }

    fn cost_of_indexing(&self, report: &mut Report) -> Result<(), Failure> {
        let duration = self.times.sustain.to_string();
        let load =
            ["--duration", &duration, "--connections", CONNECTIONS, "--in-flight", IN_FLIGHT, "--follow"];
        let shipped = |name, settings: &[(&str, &str)]| {
            let load = self.with_server(name, settings, |server| self.load(server, &load))?;
            Ok::<_, Failure>((load.shipped_per_second.unwrap_or(f64::NAN), load.errors))
        };
        say("k. shipped, without the index and with it");
        let (without, errors) = shipped("unsearched", &[AT_ONCE, &[OFF]].concat())?;
        let (with, more) = shipped("searched", AT_ONCE)?;
        report.add("k. shipped, without the search index", without, "orders/s", None, Asked::Nothing);
        let ratio = Some((with / without, "of that"));
        report.add("   shipped, with it", with, "orders/s", ratio, Asked::Ratio(0.85));
        report.errors(errors + more);
        Ok(())
    }

    /// From the answer to an order to its document.
    fn soon(&self, report: &mut Report) -> Result<(), Failure> {
        say("k. placed to found");
        let took = self.with_server("soon", AT_ONCE, placed_to_found)?;
        report.add("   placed to found, p99", p99(took), "ms", None, Asked::AtMost(300.0));
        Ok(())
    }

    fn of_many(&self, seeded: &Path, report: &mut Report) -> Result<(), Failure> {
        say("k. making the index anew, and asking it");
        let old = seeded.join("data/search");
        if old.exists() {
            fs::remove_dir_all(old)?; // of another bench
        }
        let without = Server::cartwright(&self.program, seeded, &[AT_ONCE, &[OFF]].concat())?;
        ready(&without)?;
        let rest = without.memory().own();
        without.stop()?;
        let server = Server::cartwright(&self.program, seeded, AT_ONCE)?;
        let mut client = Client::connect(server.url())?;
        // The first start makes it by itself.
        rebuilt(&mut client, |_| {})?;
        let memory = server.memory();
        let mut most = memory.own();
        client.ask("POST", "/v1/admin/index/rebuild", "{}")?;
        let index = rebuilt(&mut client, |_| most = most.max(memory.own()))?;
        let seconds = index["rebuild"]["tookMs"].as_f64().ok_or("it says no time")? / 1_000.0;
        let documents = index["rebuild"]["done"].as_f64().unwrap_or(f64::NAN);
        report.add("   documents in the index", documents, "", None, Asked::Nothing);
        report.add("   made anew", documents / seconds, "documents/s", None, Asked::AtLeast(15_000.0));
        report.add("   memory of the process, at the most meanwhile", most, "MiB", None, Asked::Nothing);
        report.add(
            "   without the search index it has so much less",
            most - rest,
            "MiB",
            None,
            Asked::AtMost(200.0),
        );
        let took =
            (0..self.times.reads).map(|_| Ok(client.ask("POST", "/search/orders-v1/_search", STATUS)?.took));
        let took = p99(took.collect::<Result<_, Failure>>()?);
        report.add("   status query, p99", took, "ms", None, Asked::AtMost(20.0));
        server.stop()
    }
}

/// How long it takes from the answer to an order until a search finds it, for some orders.
pub(super) fn placed_to_found(server: &Server) -> Result<Vec<Duration>, Failure> {
    let mut client = Client::connect(server.url())?;
    let found = |_| {
        let answer = client.ask("POST", "/v1/orders", ORDER)?;
        let began = Instant::now();
        let order: Value = serde_json::from_slice(&answer.body)?;
        let one = json!({"query": {"ids": {"values": [order["id"]]}}}).to_string();
        until("an order was not found", Duration::from_millis(2), || {
            let found = client.ask("POST", "/search/_search", &one)?;
            // At first the index may not be there yet.
            let found: Value = serde_json::from_slice(&found.body)?;
            Ok((found["hits"]["total"]["value"] == 1).then(|| began.elapsed()))
        })
    };
    (0..AWAITED).map(found).collect()
}

/// Waits until a new index is in its place, and gives what is said of it.
fn rebuilt(client: &mut Client, mut look: impl FnMut(&Value)) -> Result<Value, Failure> {
    loop {
        let (index, _) = client.json("/v1/admin/index")?;
        look(&index);
        match index["rebuild"]["state"].as_str() {
            Some("done") => return Ok(index),
            Some("failed") => return Err(format!("no new index: {}", index["rebuild"]["error"]).into()),
            _ => thread::sleep(LOOK_EVERY),
        }
    }
}
