//! `cargo xtask soak`: far more orders than it can complete, then what it can for long, then a mountain that grew
//! while nobody worked. What is looked at all the while is drawn on a page.
//!
//! * `machine` … what it had left. `watch` … looks at a running system every second. `page` … the report.

mod machine;
mod page;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use self::{
    page::Page,
    watch::{Refused, Watch},
};
use super::{
    AT_ONCE, CONNECTIONS, IN_FLIGHT, PAUSED, PROGRAM,
    client::Client,
    load::{Load, LoadReport},
    released, say,
    system::{self, Server},
};
use crate::{Failure, cargo::path_of};

/// How much of what it can do it is asked to do for long.
const STEADY: f64 = 0.7;
/// How much more than it can do it is asked to do at first.
const OVERLOAD: u32 = 10;
/// Connections where orders come at a rate: so many that none waits for one in the worst of moments, for then the wait is
/// the load's and not the system's.
const AT_A_RATE: &str = "512";
/// How much memory, or time for an answer, may grow from the second quarter to the last and still be called flat.
const FLAT: f64 = 1.25;
const FLAT_LATENCY: f64 = 2.0;
/// Megabytes that are left free when the disk is called full.
const ROOM_MB: u64 = 300;
/// How long everything may take to become final.
const FINAL: Duration = Duration::from_secs(1_800);

/// What it consists of, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Far more orders than it completes
    Overload,
    /// A disk that fills up
    Disk,
    /// What it can do, for long
    Steady,
    /// Many orders that waited
    Backlog,
}

#[derive(Args)]
pub struct SoakArgs {
    /// Short: a look at whether it works, in about three minutes
    #[arg(long)]
    quick: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Where the report is written [default: soak.html beside what cargo builds]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where the data is kept meanwhile [default: beside what cargo builds]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Try this program instead of building it
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// How long each part takes, and how large it is.
struct Size {
    overload: u64,
    /// Orders that may be open meanwhile.
    open: u64,
    /// For how long it is measured what it can do: an empty store is quicker than one with many orders.
    measure: u64,
    steady: u64,
    backlog: u64,
}

impl Size {
    const FULL: Self = Self { overload: 300, open: 100_000, measure: 60, steady: 1_200, backlog: 500_000 };
    const QUICK: Self = Self { overload: 15, open: 1_500, measure: 8, steady: 30, backlog: 40_000 };
}

struct Soak<'a> {
    program: PathBuf,
    data: &'a Path,
    size: Size,
}

/// Runs all of it. `false` if something is not as it should be.
///
/// # Errors
/// Something can't be built, started or understood.
pub fn run(args: &SoakArgs) -> Result<bool, Failure> {
    let program = match &args.program {
        Some(given) => given.clone(),
        None => path_of(&released(&[PROGRAM])?, PROGRAM)?.to_owned(),
    };
    let this = std::env::current_exe()?;
    let beside = this.parent().unwrap_or(Path::new("."));
    let data = tempfile::Builder::new().prefix("soak-").tempdir_in(args.data.as_deref().unwrap_or(beside))?;
    let size = if args.quick { Size::QUICK } else { Size::FULL };
    let soak = Soak { program, data: data.path(), size };
    let mut page = Page::default();
    let report = args.report.clone().unwrap_or_else(|| beside.join("soak.html"));
    for part in Part::value_variants() {
        if !args.only.is_empty() && !args.only.contains(part) {
            continue;
        }
        match part {
            Part::Overload => soak.overload(&mut page)?,
            Part::Disk => soak.full_disk(&mut page)?,
            Part::Steady => soak.steady(&mut page)?,
            Part::Backlog => soak.backlog(&mut page)?,
        }
        // What was seen is not lost with what comes after it.
        fs::write(&report, page.html())?;
    }
    println!("{}\nthe report: {}", page.table(), report.display());
    Ok(page.all_well())
}

impl Soak<'_> {
    /// Ten times what it can complete: it refuses what is too much, keeps its memory, and finishes what it has taken.
    fn overload(&self, page: &mut Page) -> Result<(), Failure> {
        let Size { overload, open, .. } = self.size;
        say(&format!("soak: {OVERLOAD} times as many orders as it completes, {overload} s"));
        let dir = self.data.join("overload");
        let server = self.server(&dir, &[("CARTWRIGHT__ORDERS__MAX_OPEN", &open.to_string())])?;
        // Payments at a rate: what is completed in a second is known, whatever machine this is.
        let completes = (open / overload / 2).max(50);
        rate_of_payments(&server, &format!(r#"{{"enabled":true,"rate":{completes}}}"#))?;
        let watch = Watch::begin(&server, &dir)?;
        let answered = dir.join("answered");
        let offered = (u64::from(OVERLOAD) * completes).to_string();
        // Whoever is refused comes again after a second: as many clients, so that it stays so much.
        let args = ["--duration", &overload.to_string(), "--rate", &offered, "--connections", &offered];
        let load = self.load(&server, &args, Some(&answered))?;
        rate_of_payments(&server, r#"{"enabled":true,"rate":null}"#)?;
        let course = watch.until_final(FINAL)?;
        page.chart("Overload: open orders", "orders", &course, |seen| seen.open);
        page.chart("Overload: memory of its own", "MiB", &course, |seen| seen.memory);
        page.chart("Overload: time to an answer", "ms", &course, |seen| seen.answer_ms);
        page.judged("overload: orders taken", load.orders as f64, "", load.orders > 0);
        page.told("overload: clients sent away for a while", load.retries as f64, "times");
        page.refused("overload", course.refused);
        let most = course.most(|seen| seen.open);
        page.judged("overload: open at the most", most, "orders", most <= open as f64);
        page.flat("overload: memory", course.growth(|seen| seen.memory), FLAT);
        self.judge("overload", &server, &dir, &answered, page)?;
        end(server, &dir)
    }

    /// A disk that fills up: it refuses before it is full, and finishes what it has taken.
    fn full_disk(&self, page: &mut Page) -> Result<(), Failure> {
        say("soak: a disk that fills up");
        let dir = self.data.join("disk");
        fs::create_dir_all(&dir)?;
        let kept = watch::free_mb(&dir)?.saturating_sub(ROOM_MB);
        let server = self.server(&dir, &[("CARTWRIGHT__DATA__MIN_FREE_MB", &kept.to_string())])?;
        let watch = Watch::begin(&server, &dir)?;
        let answered = dir.join("answered");
        let load =
            self.load(&server, &["--duration", "60", "--connections", CONNECTIONS], Some(&answered))?;
        let course = watch.end()?;
        // An operator makes room.
        server.stop()?;
        let server = self.server(&dir, &[])?;
        let title = "A disk that fills up: free above the limit";
        page.chart(title, "MB", &course, |seen| seen.free_mb - kept as f64);
        page.judged("full disk: orders taken", load.orders as f64, "", load.orders > 0);
        page.refused("full disk", course.refused);
        self.judge("full disk", &server, &dir, &answered, page)?;
        end(server, &dir)
    }

    /// What it can do, for long: nothing grows but the data, and that as orders come.
    fn steady(&self, page: &mut Page) -> Result<(), Failure> {
        let Size { measure, steady, .. } = self.size;
        say(&format!("soak: what it can do, {measure} s"));
        let dir = self.data.join("steady");
        let server = self.server(&dir, &[])?;
        let seconds = measure.to_string();
        let args =
            ["--duration", &seconds, "--in-flight", IN_FLIGHT, "--connections", CONNECTIONS, "--follow"];
        let measured = self.load(&server, &args, None)?;
        let rate = (measured.shipped_per_second.unwrap_or(measured.per_second) * STEADY) as u64;
        say(&format!("soak: {rate} orders a second, {steady} s"));
        let watch = Watch::begin(&server, &dir)?;
        let answered = dir.join("answered");
        let (seconds, rate_asked) = (steady.to_string(), rate.to_string());
        let args = ["--duration", &seconds, "--rate", &rate_asked, "--connections", AT_A_RATE, "--follow"];
        let load = self.load(&server, &args, Some(&answered))?;
        let course = watch.end()?;
        page.chart("Steady: memory of its own", "MiB", &course, |seen| seen.memory);
        page.chart("Steady: time to an answer", "ms", &course, |seen| seen.answer_ms);
        page.chart("Steady: open orders", "orders", &course, |seen| seen.open);
        page.chart("Steady: data on disk", "MB", &course, |seen| seen.data_mb);
        page.chart("Steady: processors of the machine that were idle", "%", &course, |seen| {
            seen.machine.idle
        });
        page.chart("Steady: waiting for the disk", "%", &course, |seen| seen.machine.stalled);
        page.chart("Steady: processors that others had", "%", &course, |seen| seen.machine.stolen);
        page.loaded("steady", &load);
        page.told("steady: orders a second", load.per_second, "");
        page.judged(
            "steady: of those asked for",
            load.per_second / rate as f64,
            "",
            load.per_second >= 0.99 * rate as f64,
        );
        let Refused { told, otherwise } = course.refused;
        page.judged("steady: refused", (told + otherwise) as f64, "probes", told + otherwise == 0);
        page.told("steady: accepted, p99", load.p99_ms, "ms");
        let shipped = load.created_to_shipped_p99_ms.unwrap_or(f64::NAN);
        page.told("steady: created to shipped, p99", shipped, "ms");
        page.flat("steady: memory", course.growth(|seen| seen.memory), FLAT);
        let slower = course.growth_of_middle(|seen| seen.answer_ms);
        page.flat("steady: time to an answer", slower, FLAT_LATENCY);
        let spread = course.spread_of_middles(|seen| seen.answer_ms);
        page.told("steady: time to an answer, slowest quarter to quickest", spread, "times");
        page.told("steady: open at the most", course.most(|seen| seen.open), "orders");
        let grown = course.rise(|seen| seen.data_mb) * 1_000.0 / load.orders.max(1) as f64;
        page.told("steady: data for each order", grown, "kB");
        self.judge("steady", &server, &dir, &answered, page)?;
        for (name, mb) in watch::files(&dir)? {
            page.told(&format!("steady: at the end, {name}"), mb, "MB");
        }
        end(server, &dir)
    }

    /// Orders that wait because nobody works; then somebody does.
    fn backlog(&self, page: &mut Page) -> Result<(), Failure> {
        let orders = self.size.backlog;
        say(&format!("soak: a backlog of {orders} orders"));
        let dir = self.data.join("backlog");
        let server = self.server(&dir, &[PAUSED])?;
        let answered = dir.join("answered");
        let args = ["--orders", &orders.to_string(), "--connections", CONNECTIONS];
        let load = self.load(&server, &args, Some(&answered))?;
        server.stop()?;
        let server = self.server(&dir, &[])?;
        let began = Instant::now();
        let course = Watch::begin(&server, &dir)?.until_final(FINAL)?;
        let seconds = began.elapsed().as_secs_f64();
        page.chart("Backlog: open orders", "orders", &course, |seen| seen.open);
        page.chart("Backlog: memory of its own", "MiB", &course, |seen| seen.memory);
        page.loaded("backlog", &load);
        page.judged("backlog: orders that waited", load.orders as f64, "", load.orders == orders);
        page.told("backlog: final in a second", load.orders as f64 / seconds, "orders/s");
        page.flat("backlog: memory", course.growth(|seen| seen.memory), FLAT);
        self.judge("backlog", &server, &dir, &answered, page)?;
        end(server, &dir)
    }

    fn server(&self, dir: &Path, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        Server::cartwright(&self.program, dir, &[AT_ONCE, settings].concat())
    }

    /// Has it judged that everything is final, and nothing lost or done twice.
    fn judge(
        &self,
        part: &str,
        server: &Server,
        dir: &Path,
        answered: &Path,
        page: &mut Page,
    ) -> Result<(), Failure> {
        let well = self.verify(server, dir, answered)?;
        page.judged(&format!("{part}: every order taken is final in the end"), f64::from(well), "", well);
        Ok(())
    }

    /// Orders, noted in a file as they are answered.
    fn load(&self, server: &Server, args: &[&str], answered: Option<&Path>) -> Result<LoadReport, Failure> {
        Load { program: &self.program, server: server.url() }.run_noting(args, answered)
    }

    /// Whether nothing is lost, and nothing was done twice.
    fn verify(&self, server: &Server, dir: &Path, answered: &Path) -> Result<bool, Failure> {
        let mut command = Command::new(&self.program);
        command
            .args(["verify", "--wait", "--timeout", &FINAL.as_secs().to_string()])
            .args(["--server", server.url(), "--data"])
            .arg(dir.join("data"))
            .arg("--answered")
            .arg(answered);
        let output = command.output()?;
        if !output.status.success() {
            say(&String::from_utf8_lossy(&output.stdout));
            say(&fs::read_to_string(dir.join(system::LOG)).unwrap_or_default());
        }
        Ok(output.status.success())
    }
}

/// Nothing stays of it.
fn end(server: Server, dir: &Path) -> Result<(), Failure> {
    server.stop()?;
    Ok(fs::remove_dir_all(dir)?)
}

/// Has the payment provider be called at a rate, or as often as it comes.
fn rate_of_payments(server: &Server, body: &str) -> Result<(), Failure> {
    let answer = Client::connect(server.url())?.ask("PUT", "/v1/admin/providers/payments", body)?;
    if answer.status >= 300 {
        return Err(format!("the rate of payments: {}", String::from_utf8_lossy(&answer.body)).into());
    }
    Ok(())
}
