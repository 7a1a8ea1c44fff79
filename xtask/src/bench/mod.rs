//! `cargo xtask bench`: what this machine can do, and how much of it Cartwright makes use of. Every figure comes from
//! one run on one machine, so the ratios mean something where the figures alone would not.
//!
//! * `bare` … the limit above us: the same HTTP without storing.
//! * `limit` … the limit below us: the same rows without HTTP, decisions or events.
//! * `system` … Cartwright itself, started as users start it and driven by its own load generator.
//! * `many` … with many orders in its stores.
//! * `search` … the search index.
//! * `dialects` … the older systems' requests.
//! * `distributed` … on PostgreSQL and Kafka.
//! * `soak` … for long, and more than it can do: `cargo xtask soak`.

mod bare;
mod client;
mod dialects;
mod distributed;
mod limit;
mod load;
mod many;
mod report;
mod search;
pub mod soak;
mod system;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

pub use self::{bare::run as bare, limit::LimitArgs, limit::run as limit};
use self::{
    limit::Limit,
    load::{Load, LoadReport},
    report::{Asked, Report},
    system::Server,
};
use crate::{
    Failure,
    cargo::{Built, build, path_of, root},
};

/// The program that is measured.
const PROGRAM: &str = "cartwright";

/// The services whose work is not part of accepting an order.
const PAUSED: (&str, &str) = ("CARTWRIGHT__WORKERS__PAUSED", "payments,fulfillment");

/// Providers that answer at once, so that it is our time that is measured.
const AT_ONCE: &[(&str, &str)] = &[
    ("CARTWRIGHT__SIMULATED__PAYMENTS__LATENCY_MIN_MS", "0"),
    ("CARTWRIGHT__SIMULATED__PAYMENTS__LATENCY_MAX_MS", "0"),
    ("CARTWRIGHT__SIMULATED__CARRIER__LATENCY_MIN_MS", "0"),
    ("CARTWRIGHT__SIMULATED__CARRIER__LATENCY_MAX_MS", "0"),
];

const CONNECTIONS: &str = "64";

/// Orders on their way at once where as many as possible are to get through.
const IN_FLIGHT: &str = "4096";

/// How long something that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// When memory is looked at first.
const SETTLED: Duration = Duration::from_secs(10);

/// How much memory may grow from then to the end and still be called flat.
const FLAT: f64 = 1.25;

#[derive(Args)]
pub struct BenchArgs {
    /// Short runs: rough figures in about a minute
    #[arg(long)]
    quick: bool,
    /// Print the figures as JSON (the table goes to stderr then)
    #[arg(long)]
    json: bool,
    /// The figures of a system on PostgreSQL and Kafka instead, with servers of our own
    #[arg(long, conflicts_with_all = ["only", "seeded"])]
    distributed: bool,
    /// Only these parts (a and b come along where others are compared to them)
    #[arg(long, value_enum, value_delimiter = ',', ignore_case = true)]
    only: Vec<Part>,
    /// A directory whose `data` was filled by `cargo xtask seed`; parts f to h add some orders to it [default: filled anew]
    #[arg(long, value_name = "DIR")]
    seeded: Option<PathBuf>,
    /// Where the data is kept meanwhile: the disk to be measured [default: beside what cargo builds]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Measure this program instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// A part of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The limit above: a bare handler
    A,
    /// The limit below: the files
    B,
    /// Accepting
    C,
    /// Placed to shipped, sustained
    D,
    /// Placed to shipped, one at a time and at a steady rate
    E,
    /// The start
    F,
    /// Memory of an idle system
    G,
    /// Reading among a million orders
    H,
    /// Bytes on disk
    I,
    /// The older systems' requests
    J,
    /// The search index
    K,
}

/// Measures everything. `false` if a figure is short of what is asked for.
///
/// # Errors
/// Something can't be built, started or understood.
pub fn run(args: &BenchArgs) -> Result<bool, Failure> {
    let (program, xtask) = programs(args)?;
    let beside = xtask.parent().unwrap_or(Path::new("."));
    let data =
        tempfile::Builder::new().prefix("bench-").tempdir_in(args.data.as_deref().unwrap_or(beside))?;
    let bench = Bench {
        program,
        xtask,
        data: data.path(),
        times: Times::new(args.quick),
        quick: args.quick,
        only: args.only.clone(),
        given: args.seeded.clone(),
    };
    let report = if args.distributed { bench.distributed()? } else { bench.measure()? };
    if args.json {
        eprintln!("{}", report.table());
        println!("{}", report.json()?);
    } else {
        println!("{}", report.table());
    }
    Ok(report.all_well())
}

/// The program to be measured, and this one as fast as it can be.
fn programs(args: &BenchArgs) -> Result<(PathBuf, PathBuf), Failure> {
    use Part::{F, G, H, I};
    let given = args.program.as_deref();
    let light = !args.only.is_empty() && args.only.iter().all(|part| [F, G, H, I].contains(part));
    if let (Some(given), true) = (given, light) {
        return Ok((given.to_owned(), std::env::current_exe()?));
    }
    let built = if given.is_some() { released(&["xtask"])? } else { released(&["xtask", PROGRAM])? };
    let program = given.map_or_else(|| path_of(&built, PROGRAM), Ok)?;
    Ok((program.to_owned(), path_of(&built, "xtask")?.to_owned()))
}

/// What these packages are as fast as they can be.
fn released(packages: &[&str]) -> Result<Vec<Built>, Failure> {
    say("building with --release");
    let packages = packages.iter().flat_map(|package| ["-p", package]);
    let args: Vec<&str> = std::iter::once("--release").chain(packages).collect();
    Ok(build(&args)?.ok_or("it can't be built")?)
}

/// How long the parts take.
struct Times {
    accept: u64,
    sustain: u64,
    steady: u64,
    limit: u64,
    one_by_one: u64,
    /// Orders in the store where there are to be many.
    orders: u64,
    /// Requests for each page.
    reads: usize,
}

impl Times {
    fn new(quick: bool) -> Self {
        if quick {
            Self { accept: 5, sustain: 15, steady: 8, limit: 3, one_by_one: 200, orders: 100_000, reads: 100 }
        } else {
            Self {
                accept: 20,
                sustain: 60,
                steady: 30,
                limit: 10,
                one_by_one: 1_000,
                orders: 1_000_000,
                reads: 300,
            }
        }
    }
}

struct Bench<'a> {
    program: PathBuf,
    xtask: PathBuf,
    data: &'a Path,
    times: Times,
    quick: bool,
    only: Vec<Part>,
    given: Option<PathBuf>,
}

impl Bench<'_> {
    fn measure(&self) -> Result<Report, Failure> {
        use Part::{A, B, C, D, E, F, G, H, I, J, K};
        let mut report = Report::default();
        let bare = if self.wants(&[A, C]) { Some(self.bare()?.per_second) } else { None };
        if let Some(bare) = bare {
            report.add("a. bare handler", bare, "orders/s", None, Asked::Nothing);
        }
        let limit = if self.wants(&[B, D, E]) { Some(self.limit()?) } else { None };
        if let Some(limit) = &limit {
            report.add("b. limit of the files", limit.orders_per_second, "orders/s", None, Asked::Nothing);
            report.add("   fsyncs of 4 KiB", limit.fsyncs_per_second, "/s", None, Asked::Nothing);
        }
        if let (Some(bare), true) = (bare, self.wants(&[C])) {
            self.accepting(bare, &mut report)?;
        }
        if let (Some(limit), true) = (&limit, self.wants(&[D])) {
            self.sustained(limit, &mut report)?;
        }
        if let (Some(limit), true) = (&limit, self.wants(&[E])) {
            self.one_by_one(limit, &mut report)?;
            self.steady(&mut report)?;
        }
        if self.wants(&[F, G, H, K]) {
            self.with_many(&self.seeded()?, &mut report)?;
        }
        if self.wants(&[I]) {
            self.bytes(&mut report)?;
        }
        if self.wants(&[J]) {
            self.dialects(&mut report)?;
        }
        Ok(report)
    }

    /// (f) to (h), and (k) before them: it leaves an index, as a system that has been running has one.
    fn with_many(&self, seeded: &Path, report: &mut Report) -> Result<(), Failure> {
        if self.wants(&[Part::K]) {
            self.searching(seeded, report)?;
        }
        if self.wants(&[Part::F]) {
            self.starts(seeded, report)?;
        }
        if self.wants(&[Part::G]) {
            self.idle(seeded, report)?;
        }
        if self.wants(&[Part::H]) {
            self.reading(seeded, report)?;
        }
        Ok(())
    }

    /// Whether any of these parts is asked for.
    fn wants(&self, parts: &[Part]) -> bool {
        self.only.is_empty() || parts.iter().any(|part| self.only.contains(part))
    }

    /// (a)
    fn bare(&self) -> Result<LoadReport, Failure> {
        say("a. a bare handler");
        let server = Server::bare(&self.xtask)?;
        self.load(&server, &["--duration", &self.times.accept.to_string(), "--connections", CONNECTIONS])
    }

    /// (b)
    fn limit(&self) -> Result<Limit, Failure> {
        say("b. the limit of the files");
        let dir = self.data.join("limit");
        let seconds = self.times.limit.to_string();
        let output = Command::new(&self.xtask)
            .args(["limit", "--seconds", &seconds, "--data"])
            .arg(&dir)
            .env("CARGO_MANIFEST_DIR", root().join("xtask"))
            .stderr(Stdio::inherit())
            .output()?;
        fs::remove_dir_all(&dir)?;
        serde_json::from_slice(&output.stdout).map_err(|error| format!("xtask limit: {error}").into())
    }

    /// (c)
    fn accepting(&self, bare: f64, report: &mut Report) -> Result<(), Failure> {
        let duration = self.times.accept.to_string();
        let load = ["--duration", &duration, "--connections", CONNECTIONS];
        say("c. accepting, the other services paused");
        let paused = self.with_server("paused", &[PAUSED], |server| self.load(server, &load))?;
        say("c. accepting, everything on");
        let all = self.with_server("everything", &[], |server| self.load(server, &load))?;
        let ratio = |load: &LoadReport| Some((load.per_second / bare, "of a"));
        let (name, unit) = ("c. accepted, others paused", "orders/s");
        report.add(name, paused.per_second, unit, ratio(&paused), Asked::Ratio(0.5));
        report.add("   accepted, everything on", all.per_second, unit, ratio(&all), Asked::Ratio(0.3));
        report.errors(paused.errors + all.errors);
        Ok(())
    }

    /// (d)
    fn sustained(&self, limit: &Limit, report: &mut Report) -> Result<(), Failure> {
        say(&format!("d. placed to shipped, {} s", self.times.sustain));
        let duration = self.times.sustain.to_string();
        let load =
            ["--duration", &duration, "--connections", CONNECTIONS, "--in-flight", IN_FLIGHT, "--follow"];
        let (sustained, first, end) = self.with_server("sustained", AT_ONCE, |server| {
            let memory = server.memory();
            let first = thread::spawn(move || {
                thread::sleep(SETTLED);
                memory.now()
            });
            let sustained = self.load(server, &load)?;
            let end = memory.now();
            let first = first.join().map_err(|_| "the look at the memory panicked")?;
            Ok((sustained, first, end))
        })?;
        let shipped = sustained.shipped_per_second.unwrap_or(f64::NAN);
        let ratio = Some((shipped / limit.orders_per_second, "of b"));
        report.add("d. shipped", shipped, "orders/s", ratio, Asked::Both { figure: 2_500.0, ratio: 0.25 });
        report.add("   memory at 10 s", first, "MiB", None, Asked::Nothing);
        let ratio = Some((end / first, "of that"));
        report.add("   memory at the end", end, "MiB", ratio, Asked::RatioAtMost(FLAT));
        report.errors(sustained.errors);
        Ok(())
    }

    /// (e), one at a time
    fn one_by_one(&self, limit: &Limit, report: &mut Report) -> Result<(), Failure> {
        say("e. one order at a time");
        let orders = self.times.one_by_one.to_string();
        let load = ["--orders", &orders, "--connections", "1", "--in-flight", "1", "--follow"];
        let one = self.with_server("one", AT_ONCE, |server| self.load(server, &load))?;
        let p50 = one.created_to_shipped_p50_ms.unwrap_or(f64::NAN);
        let fsyncs = p50 / 1_000.0 * limit.fsyncs_per_second;
        let asked = Asked::EitherAtMost { figure: 8.0, ratio: 14.0 };
        report.add("e. created to shipped, idle, p50", p50, "ms", Some((fsyncs, "fsyncs")), asked);
        report.errors(one.errors);
        Ok(())
    }

    /// (e), at a steady rate
    fn steady(&self, report: &mut Report) -> Result<(), Failure> {
        say("e. 500 orders a second");
        let duration = self.times.steady.to_string();
        let load = ["--duration", &duration, "--rate", "500", "--connections", CONNECTIONS, "--follow"];
        let steady = self.with_server("steady", AT_ONCE, |server| self.load(server, &load))?;
        let p50 = steady.created_to_shipped_p50_ms.unwrap_or(f64::NAN);
        let p99 = steady.created_to_shipped_p99_ms.unwrap_or(f64::NAN);
        report.add("   created to shipped at 500/s, p50", p50, "ms", None, Asked::AtMost(20.0));
        report.add("   created to shipped at 500/s, p99", p99, "ms", None, Asked::AtMost(150.0));
        report.add("   accepted at 500/s, p99", steady.p99_ms, "ms", None, Asked::AtMost(10.0));
        report.errors(steady.errors);
        Ok(())
    }

    /// Does something to a fresh system. Its files go before the next one comes, so that each finds the disk alike.
    fn with_server<T>(
        &self,
        name: &str,
        settings: &[(&str, &str)],
        work: impl FnOnce(&Server) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let dir = self.data.join(name);
        let server = Server::cartwright(&self.program, &dir, settings)?;
        let worked = work(&server).and_then(|result| server.stop().map(|()| result));
        let log = fs::read_to_string(dir.join(system::LOG)).unwrap_or_default();
        fs::remove_dir_all(&dir)?;
        worked.map_err(|error| format!("{error}\nThe server said:\n{log}").into())
    }

    fn load(&self, server: &Server, args: &[&str]) -> Result<LoadReport, Failure> {
        Load { program: &self.program, server: server.url() }.run(args)
    }
}

/// Looks again and again until something is there, for a minute at the most; `what` did not come about if it is not.
fn until<T>(
    what: &str,
    every: Duration,
    mut look: impl FnMut() -> Result<Option<T>, Failure>,
) -> Result<T, Failure> {
    let began = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("{what} within {} s", PATIENCE.as_secs()).into());
        }
        thread::sleep(every);
    }
}

/// Says what is under way.
fn say(what: &str) {
    eprintln!("bench: {what}");
}
