//! What a million orders in the store change: the start, the memory, lists and single orders.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    AT_ONCE, Bench,
    client::Client,
    report::{Asked, Report},
    say,
    system::Server,
};
use crate::{Failure, seed};

/// The smallest order.
pub(super) const ORDER: &str =
    r#"{"customer":{"id":"bench"},"currency":"USD","lines":[{"sku":"bench","quantity":1,"unitPrice":100}]}"#;

/// The number of the first order that the seeding program writes.
const FIRST_NUMBER: u64 = 1_001;

/// Orders on a page.
const PAGE: usize = 50;

/// Until a process that does nothing has given back what it does not need.
const IDLE: Duration = Duration::from_secs(5);

/// Starts of one directory; the middle one counts.
const STARTS: usize = 5;

/// Orders whose bytes are counted.
const COUNTED: u64 = 20_000;

/// Lists as clients ask for them; `{late}` is a moment shortly before the last order.
const LISTS: [&str; 21] = [
    "",
    "status=open",
    "status=completed",
    "status=failed",
    "status=cancelled",
    "status=failed&status=cancelled",
    "milestone=created",
    "milestone=shipped",
    "milestone=delivered",
    "flow=ship-only",
    "flow=processing",
    "flow=manual",
    "status=open&flow=standard",
    "status=failed&milestone=shipped",
    "customer=customer-0000007",
    "customer=customer-0000007&status=completed",
    "externalId=external-0500000",
    "createdAfter={late}",
    "updatedAfter={late}",
    "sort=updatedAt",
    "sort=updatedAt&status=failed",
];

impl Bench<'_> {
    /// (f): the start.
    pub(super) fn starts(&self, seeded: &Path, report: &mut Report) -> Result<(), Failure> {
        say("f. starting");
        let empty = |n: usize| self.data.join(format!("start-{n}"));
        let on_empty = median((0..STARTS).map(|n| self.start(&empty(n))).collect::<Result<_, _>>()?);
        for n in 0..STARTS {
            fs::remove_dir_all(empty(n))?;
        }
        let on_many = median((0..STARTS).map(|_| self.start(seeded)).collect::<Result<_, _>>()?);
        report.add("f. start to first 201, empty", on_empty, "ms", None, Asked::AtMost(200.0));
        report.add(
            &format!("   start to first 201, {} orders", self.orders()),
            on_many,
            "ms",
            None,
            Asked::AtMost(500.0),
        );
        Ok(())
    }

    /// From starting the process to the first order that is answered, in ms.
    fn start(&self, dir: &Path) -> Result<f64, Failure> {
        let began = Instant::now();
        let server = Server::cartwright(&self.program, dir, AT_ONCE)?;
        place(&mut Client::connect(server.url())?)?;
        let took = millis(began.elapsed());
        server.stop()?;
        Ok(took)
    }

    /// (g): memory of a system that does nothing.
    pub(super) fn idle(&self, seeded: &Path, report: &mut Report) -> Result<(), Failure> {
        say("g. doing nothing");
        let memory = |server: &Server| {
            place(&mut Client::connect(server.url())?)?;
            thread::sleep(IDLE);
            Ok(server.memory().now())
        };
        let empty = self.with_server("idle", AT_ONCE, memory)?;
        let server = Server::cartwright(&self.program, seeded, AT_ONCE)?;
        let many = memory(&server)?;
        server.stop()?;
        report.add("g. memory, idle, empty", empty, "MiB", None, Asked::AtMost(60.0));
        report.add(
            &format!("   memory, idle, {} orders", self.orders()),
            many,
            "MiB",
            None,
            Asked::AtMost(60.0),
        );
        Ok(())
    }

    /// (h): reading among many orders.
    pub(super) fn reading(&self, seeded: &Path, report: &mut Report) -> Result<(), Failure> {
        say("h. reading");
        let server = Server::cartwright(&self.program, seeded, AT_ONCE)?;
        let mut reader = Reader::new(&server, self.times.reads)?;
        let get = reader.get()?;
        report.add("h. get, p99", get, "ms", None, Asked::AtMost(5.0));
        for list in LISTS {
            let (first, last) = reader.list(list)?;
            let name = format!("   list ?{}, p99", list.replace("{late}", "…"));
            let ratio = Some((last / first, "last page to first"));
            report.add(&name, first.max(last), "ms", ratio, Asked::AtMost(5.0));
        }
        server.stop()
    }

    /// (i): bytes that an order takes.
    pub(super) fn bytes(&self, report: &mut Report) -> Result<(), Failure> {
        say("i. bytes on disk");
        let dir = self.data.join("bytes");
        let server = Server::cartwright(&self.program, &dir, AT_ONCE)?;
        let orders = COUNTED.to_string();
        let load = self.load(&server, &["--orders", &orders, "--in-flight", "4096", "--follow"])?;
        server.stop()?;
        let stores = ["orders.db", "payments.db", "fulfillment.db"].map(|name| dir.join("data").join(name));
        let sizes =
            stores.iter().map(|store| Ok(fs::metadata(store)?.len())).collect::<Result<Vec<_>, Failure>>()?;
        fs::remove_dir_all(&dir)?;
        let bytes = sizes.iter().sum::<u64>() as f64 / load.orders as f64;
        report.add("i. on disk per order", bytes / 1024.0, "KiB", None, Asked::Nothing);
        report.errors(load.errors);
        Ok(())
    }

    /// A directory for [`Server::cartwright`] with many orders: the one that is given, or a new one.
    pub(super) fn seeded(&self) -> Result<PathBuf, Failure> {
        if let Some(given) = &self.given {
            return Ok(given.clone());
        }
        say(&format!("seeding {} orders", self.orders()));
        let dir = self.data.join("seeded");
        let orders = self.times.orders.to_string();
        let status = Command::new(seed::program()?)
            .args(["--orders", &orders, "--dir"])
            .arg(dir.join("data"))
            .status()?;
        if status.success() { Ok(dir) } else { Err("the seeding program failed".into()) }
    }

    fn orders(&self) -> String {
        if self.given.is_some() { "many".to_owned() } else { self.times.orders.to_string() }
    }
}

fn place(client: &mut Client) -> Result<(), Failure> {
    let answer = client.ask("POST", "/v1/orders", ORDER)?;
    match answer.status {
        201 => Ok(()),
        status => Err(format!("placing: {status} {}", String::from_utf8_lossy(&answer.body)).into()),
    }
}

/// Asks for the same again and again.
struct Reader {
    client: Client,
    /// How often.
    times: usize,
    /// When the first order was placed, in seconds since 1970, ...
    first: i64,
    /// and the last one.
    last: i64,
    /// Some orders' ids.
    ids: Vec<String>,
}

impl Reader {
    fn new(server: &Server, times: usize) -> Result<Self, Failure> {
        let mut client = Client::connect(server.url())?;
        let (newest, _) = client.json("/v1/orders?limit=500")?;
        let (oldest, _) = client.json(&format!("/v1/orders?number={FIRST_NUMBER}"))?;
        let moment = |page: &Value| {
            let text = page["orders"][0]["createdAt"].as_str().ok_or("there are no orders")?;
            Ok::<_, Failure>(text.parse::<jiff::Timestamp>()?.as_second())
        };
        let ids =
            orders(&newest).iter().filter_map(|order| order["id"].as_str().map(str::to_owned)).collect();
        Ok(Self { first: moment(&oldest)?, last: moment(&newest)?, client, times, ids })
    }

    fn get(&mut self) -> Result<f64, Failure> {
        let mut took = Vec::with_capacity(self.times);
        for id in self.ids.clone().iter().cycle().take(self.times) {
            took.push(self.client.json(&format!("/v1/orders/{id}"))?.1);
        }
        Ok(p99(took))
    }

    /// How long the first and the last page of a list take.
    fn list(&mut self, filters: &str) -> Result<(f64, f64), Failure> {
        let late = jiff::Timestamp::from_second(self.last - (self.last - self.first) / 1_000)?;
        let list = format!("/v1/orders?limit={PAGE}&{}", filters.replace("{late}", &late.to_string()));
        let first = self.page(&list)?;
        let last = match self.before_the_last_page(&list)? {
            Some(cursor) => self.page(&format!("{list}&cursor={cursor}"))?,
            None => first,
        };
        Ok((first, last))
    }

    fn page(&mut self, path: &str) -> Result<f64, Failure> {
        let path = path.trim_end_matches('&');
        let took = (0..self.times).map(|_| Ok(self.client.json(path)?.1));
        Ok(p99(took.collect::<Result<_, Failure>>()?))
    }

    /// A cursor of this list behind which there is about one page. Found by asking for the oldest orders only: a cursor
    /// names an order, so it holds in the whole list, too.
    fn before_the_last_page(&mut self, list: &str) -> Result<Option<String>, Failure> {
        let mut span = 3_600;
        while self.first + span < self.last {
            let until = jiff::Timestamp::from_second(self.first + span)?;
            let few = format!("{list}&createdBefore={until}").replace(&format!("limit={PAGE}"), "limit=500");
            let (found, _) = self.client.json(&few)?;
            let count = orders(&found).len();
            if count > PAGE {
                let but_the_last = format!("limit={}", count - PAGE);
                let (page, _) = self.client.json(&few.replace("limit=500", &but_the_last))?;
                return Ok(page["next"].as_str().map(str::to_owned));
            }
            span *= 2;
        }
        Ok(None)
    }
}

fn orders(page: &Value) -> &[Value] {
    page["orders"].as_array().map(Vec::as_slice).unwrap_or_default()
}

pub(super) fn p99(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    let at = (took.len() * 99).div_ceil(100).saturating_sub(1);
    took.get(at).copied().map_or(f64::NAN, millis)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_the_ninety_ninth_counts() {
        let took: Vec<Duration> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(p99(took), 99.0);
        assert!(p99(vec![]).is_nan());
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
