//! The older systems' own requests: how many are taken, and how long each takes, whatever providers and brokers do.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    Bench,
    client::Client,
    report::{Asked, Report},
    say,
    system::Server,
};
use crate::Failure;

/// Clients that ask at once,
const CLIENTS: u32 = 64;
/// and a crowd of them, as behind a shop's front.
const CROWD: u32 = 256;
/// Requests a second where time is taken.
const RATE: u32 = 1_000;
/// A carrier that answers nobody: calls end at their time limit.
pub const HANGING: &[(&str, &str)] = &[("CARTWRIGHT__SIMULATED__CARRIER__TIMEOUT_RATE", "1.0")];

/// What many clients saw.
struct Seen {
    per_second: f64,
    errors: u64,
    /// Milliseconds.
    p95: f64,
}

impl Bench<'_> {
    /// (j): on files.
    pub fn dialects(&self, report: &mut Report) -> Result<(), Failure> {
        say("j. POST /create-order, as many as it takes");
        let length = Duration::from_secs(self.times.accept);
        let limit = self.limit()?.placed_per_second;
        report.add("j. limit of the files, placed alone", limit, "orders/s", None, Asked::Nothing);
        for (clients, asks) in [(CLIENTS, Asked::Nothing), (CROWD, Asked::Ratio(0.3))] {
            self.carts(clients, asks, length, report)?;
        }
        self.with_server("at-a-rate", HANGING, |server| self.at_a_rate("the carrier hangs", server, report))
    }

    /// So many clients create carts, each one after the other.
    fn carts(&self, clients: u32, asks: Asked, length: Duration, report: &mut Report) -> Result<(), Failure> {
        let bare = asked(&Server::bare(&self.xtask)?, "/create-order", &cart, clients, None, length)?;
        let name = format!("   create-order, {clients} clients, bare handler");
        report.add(&name, bare.per_second, "orders/s", None, Asked::Nothing);
        let path = "/dialects/cart-fastapi/create-order";
        let data = format!("carts-{clients}");
        let ours =
            self.with_server(&data, &[], |server| asked(server, path, &cart, clients, None, length))?;
        let ratio = Some((ours.per_second / bare.per_second, "of that"));
        report.add("   create-order", ours.per_second, "orders/s", ratio, asks);
        report.add("   created, p95", ours.p95, "ms", None, Asked::Nothing);
        report.errors(ours.errors);
        Ok(())
    }

    /// `POST /api/orders` at a rate, of a server for which something is not as it should be.
    pub fn at_a_rate(&self, but: &str, server: &Server, report: &mut Report) -> Result<(), Failure> {
        say(&format!("POST /api/orders at {RATE}/s; {but}"));
        let length = Duration::from_secs(self.times.steady);
        let path = "/dialects/order-processing/api/orders";
        let seen = asked(server, path, &shipment, CLIENTS, Some(RATE), length)?;
        let name = format!("   POST /api/orders at {RATE}/s, p95; {but}");
        report.add(&name, seen.p95, "ms", None, Asked::AtMost(20.0));
        report.add("   of those, answered", seen.per_second, "/s", None, Asked::Nothing);
        report.errors(seen.errors);
        Ok(())
    }
}

fn cart(n: u64) -> String {
    format!("{{\"order_id\":\"{n}\",\"number_of_items\":3}}")
}

fn shipment(n: u64) -> String {
    format!(
        "{{\"customerId\":\"customer-{}\",\"customerName\":\"John Doe\",\"items\":[{{\"productId\":\"product-456\",\"quantity\":2}}]}}",
        n % 1_000
    )
}

/// Has many clients ask for so long, at a rate or one request behind the other. What is waited for counts from the moment
/// when a request was due.
fn asked(
    server: &Server,
    path: &str,
    body: &(impl Fn(u64) -> String + Sync),
    clients: u32,
    rate: Option<u32>,
    length: Duration,
) -> Result<Seen, Failure> {
    let began = Instant::now();
    let url = server.url();
    let client = |client: u32| -> Result<(Vec<Duration>, u64), String> {
        let mut connection = Client::connect(url).map_err(|error| error.to_string())?;
        let (mut took, mut errors) = (Vec::new(), 0);
        for turn in 0_u64.. {
            let n = turn * u64::from(clients) + u64::from(client);
            let due = rate.map_or_else(Instant::now, |rate| {
                began + Duration::from_secs_f64(n as f64 / f64::from(rate))
            });
            if due.max(Instant::now()) >= began + length {
                break;
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let answer = connection.ask("POST", path, &body(n)).map_err(|error| error.to_string())?;
            took.push(due.elapsed());
            errors += u64::from(answer.status >= 300);
        }
        Ok((took, errors))
    };
    let (mut took, mut errors) = (Vec::new(), 0);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|n| scope.spawn(move || client(n))).collect();
        for client in clients {
            let (times, failed) = client.join().map_err(|_| "a client panicked")??;
            took.extend(times);
            errors += failed;
        }
        Ok::<(), Failure>(())
    })?;
    took.sort_unstable();
    let p95 = took.get(took.len() * 95 / 100).ok_or("nobody asked anything")?.as_secs_f64() * 1_000.0;
    Ok(Seen { per_second: took.len() as f64 / began.elapsed().as_secs_f64(), errors, p95 })
}
