//! `cargo xtask bench`: what this machine can do, and how much of it Cartwright makes use of. Every figure comes from
//! one run on one machine, so the ratios mean something where the figures alone would not.
//!
//! * `bare` … the limit above us: the same HTTP without storing.
//! * `limit` … the limit below us: the same rows without HTTP, decisions or events.
//! * `system` … Cartwright itself, started as users start it and driven by its own load generator.

mod bare;
mod limit;
mod load;
mod report;
mod system;

use std::{
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use clap::Args;

pub use self::{bare::run as bare, limit::LimitArgs, limit::run as limit};
use self::{
    limit::Limit,
    load::{Load, LoadReport},
    report::{Asked, Report},
    system::Server,
};
use crate::{
    Failure,
    cargo::{build, path_of, root},
};

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
    /// Where the data is kept meanwhile: the disk to be measured [default: beside what cargo builds]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// Measures everything. `false` if a figure is short of what is asked for.
///
/// # Errors
/// Something can't be built, started or understood.
pub fn run(args: &BenchArgs) -> Result<bool, Failure> {
    say("building with --release");
    let built = build(&["--release", "-p", "cartwright", "-p", "xtask"])?.ok_or("it can't be built")?;
    let (program, xtask) = (path_of(&built, "cartwright")?, path_of(&built, "xtask")?);
    let beside = program.parent().unwrap_or(Path::new("."));
    let data =
        tempfile::Builder::new().prefix("bench-").tempdir_in(args.data.as_deref().unwrap_or(beside))?;
    let bench = Bench { program, xtask, data: data.path(), times: Times::new(args.quick) };
    let report = bench.measure()?;
    if args.json {
        eprintln!("{}", report.table());
        println!("{}", report.json()?);
    } else {
        println!("{}", report.table());
    }
    Ok(report.all_well())
}

/// How long the parts take.
struct Times {
    accept: u64,
    sustain: u64,
    steady: u64,
    limit: u64,
    one_by_one: u64,
}

impl Times {
    fn new(quick: bool) -> Self {
        if quick {
            Self { accept: 5, sustain: 15, steady: 8, limit: 3, one_by_one: 200 }
        } else {
            Self { accept: 20, sustain: 60, steady: 30, limit: 10, one_by_one: 1_000 }
        }
    }
}

struct Bench<'a> {
    program: &'a Path,
    xtask: &'a Path,
    data: &'a Path,
    times: Times,
}

impl Bench<'_> {
    fn measure(&self) -> Result<Report, Failure> {
        let mut report = Report::default();
        let bare = self.bare()?.per_second;
        report.add("a. bare handler", bare, "orders/s", None, Asked::Nothing);
        let limit = self.limit()?;
        report.add("b. limit of the files", limit.orders_per_second, "orders/s", None, Asked::Nothing);
        report.add("   fsyncs of 4 KiB", limit.fsyncs_per_second, "/s", None, Asked::Nothing);
        self.accepting(bare, &mut report)?;
        self.sustained(&limit, &mut report)?;
        self.one_by_one(&limit, &mut report)?;
        self.steady(&mut report)?;
        Ok(report)
    }

    /// (a)
    fn bare(&self) -> Result<LoadReport, Failure> {
        say("a. a bare handler");
        let server = Server::bare(self.xtask)?;
        self.load(&server, &["--duration", &self.times.accept.to_string(), "--connections", CONNECTIONS])
    }

    /// (b)
    fn limit(&self) -> Result<Limit, Failure> {
        say("b. the limit of the files");
        let dir = self.data.join("limit");
        let seconds = self.times.limit.to_string();
        let output = Command::new(self.xtask)
            .args(["limit", "--seconds", &seconds, "--data"])
            .arg(&dir)
            .env("CARGO_MANIFEST_DIR", root().join("xtask"))
            .stderr(std::process::Stdio::inherit())
            .output()?;
        std::fs::remove_dir_all(&dir)?;
        serde_json::from_slice(&output.stdout).map_err(|error| format!("xtask limit: {error}").into())
    }

    /// (c)
    fn accepting(&self, bare: f64, report: &mut Report) -> Result<(), Failure> {
        let duration = self.times.accept.to_string();
        let load = ["--duration", &duration, "--connections", CONNECTIONS];
        say("c. accepting, the other services paused");
        let server = self.server("paused", &[PAUSED])?;
        let paused = self.load(&server, &load)?;
        server.stop()?;
        let ratio = paused.per_second / bare;
        report.add(
            "c. accepted, others paused",
            paused.per_second,
            "orders/s",
            Some((ratio, "of a")),
            Asked::Ratio(0.5),
        );
        say("c. accepting, everything on");
        let server = self.server("everything", &[])?;
        let all = self.load(&server, &load)?;
        server.stop()?;
        let ratio = all.per_second / bare;
        report.add(
            "   accepted, everything on",
            all.per_second,
            "orders/s",
            Some((ratio, "of a")),
            Asked::Ratio(0.3),
        );
        report.errors(paused.errors + all.errors);
        Ok(())
    }

    /// (d)
    fn sustained(&self, limit: &Limit, report: &mut Report) -> Result<(), Failure> {
        say(&format!("d. placed to shipped, {} s", self.times.sustain));
        let server = self.server("sustained", AT_ONCE)?;
        let watched = server.memory();
        let began = Instant::now();
        let first = thread::spawn(move || {
            thread::sleep(SETTLED);
            watched.now()
        });
        let duration = self.times.sustain.to_string();
        let load =
            ["--duration", &duration, "--connections", CONNECTIONS, "--in-flight", IN_FLIGHT, "--follow"];
        let sustained = self.load(&server, &load)?;
        let end = server.memory().now();
        let first = first.join().unwrap_or_default();
        say(&format!("   took {:.0} s", began.elapsed().as_secs_f64()));
        server.stop()?;
        let shipped = sustained.shipped_per_second.unwrap_or_default();
        let ratio = shipped / limit.orders_per_second;
        report.add(
            "d. shipped",
            shipped,
            "orders/s",
            Some((ratio, "of b")),
            Asked::Both { figure: 2_500.0, ratio: 0.25 },
        );
        report.add("   memory at 10 s", first, "MiB", None, Asked::Nothing);
        report.add(
            "   memory at the end",
            end,
            "MiB",
            Some((end / first, "of 10 s")),
            Asked::RatioAtMost(FLAT),
        );
        report.errors(sustained.errors);
        Ok(())
    }

    /// (e), one at a time
    fn one_by_one(&self, limit: &Limit, report: &mut Report) -> Result<(), Failure> {
        say("e. one order at a time");
        let server = self.server("one", AT_ONCE)?;
        let orders = self.times.one_by_one.to_string();
        let one =
            self.load(&server, &["--orders", &orders, "--connections", "1", "--in-flight", "1", "--follow"])?;
        server.stop()?;
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
        let server = self.server("steady", AT_ONCE)?;
        let duration = self.times.steady.to_string();
        let load = ["--duration", &duration, "--rate", "500", "--connections", CONNECTIONS, "--follow"];
        let steady = self.load(&server, &load)?;
        server.stop()?;
        let shipped = |p: Option<f64>| p.unwrap_or(f64::NAN);
        let (p50, p99) = (steady.created_to_shipped_p50_ms, steady.created_to_shipped_p99_ms);
        report.add("   created to shipped at 500/s, p50", shipped(p50), "ms", None, Asked::AtMost(20.0));
        report.add("   created to shipped at 500/s, p99", shipped(p99), "ms", None, Asked::AtMost(150.0));
        report.add("   accepted at 500/s, p99", steady.p99_ms, "ms", None, Asked::AtMost(10.0));
        report.errors(steady.errors);
        Ok(())
    }

    fn server(&self, name: &str, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        Server::cartwright(self.program, &self.data.join(name), settings)
    }

    fn load(&self, server: &Server, args: &[&str]) -> Result<LoadReport, Failure> {
        Load { program: self.program, server: server.url() }.run(args)
    }
}

/// Says what is under way.
fn say(what: &str) {
    eprintln!("bench: {what}");
}
