//! `cargo xtask soak`: far more orders than it can complete, then what it can for long, then a mountain that grew
//! while nobody worked. What is looked at all the while is drawn on a page.
//!
//! * `watch` … looks at a running system every second. `page` … the report.

mod page;
mod watch;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use self::{
    page::{Page, Verdict},
    watch::Watch,
};
use super::{
    AT_ONCE, CONNECTIONS, IN_FLIGHT, PAUSED,
    client::Client,
    load::{Load, LoadReport},
    programs_for_soak, say,
    system::{self, Server},
};
use crate::Failure;

/// How much of what it can do it is asked to do for long.
const STEADY: f64 = 0.7;
/// How much more than it can do it is asked to do at first.
const OVERLOAD: u32 = 10;
/// How much memory, or time for an answer, may grow from the second quarter to the last and still be called flat.
const FLAT: f64 = 1.25;
const FLAT_LATENCY: f64 = 2.0;
/// Megabytes that are left free when the disk is called full.
const ROOM_MB: u64 = 300;
/// How long everything may take to become final.
const FINAL: Duration = Duration::from_secs(1_800);

#[derive(Args)]
pub struct SoakArgs {
    /// Short: a look at whether it works, in about three minutes
    #[arg(long)]
    quick: bool,
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
    measure: u64,
    steady: u64,
    backlog: u64,
}

impl Size {
    const FULL: Self = Self { overload: 300, open: 100_000, measure: 30, steady: 1_200, backlog: 500_000 };
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
    let (program, beside) = programs_for_soak(args.program.as_deref())?;
    let data =
        tempfile::Builder::new().prefix("soak-").tempdir_in(args.data.as_deref().unwrap_or(&beside))?;
    let size = if args.quick { Size::QUICK } else { Size::FULL };
    let soak = Soak { program, data: data.path(), size };
    let mut page = Page::default();
    soak.overload(&mut page)?;
    soak.full_disk(&mut page)?;
    soak.steady(&mut page)?;
    soak.backlog(&mut page)?;
    let report = args.report.clone().unwrap_or_else(|| beside.join("soak.html"));
    fs::write(&report, page.html())?;
    println!("{}\nthe report: {}", page.table(), report.display());
    Ok(page.all_well())
}

impl Soak<'_> {
    /// Ten times what it can complete: it refuses what is too much, keeps its memory, and finishes what it has taken.
    fn overload(&self, page: &mut Page) -> Result<(), Failure> {
        let Size { overload, open, .. } = self.size;
        say(&format!("soak: {OVERLOAD} times as many orders as it completes, {overload} s"));
        let open = open.to_string();
        let max_open = ("CARTWRIGHT__ORDERS__MAX_OPEN", &*open);
        let dir = self.data.join("overload");
        let server = Server::cartwright(&self.program, &dir, &[AT_ONCE, &[max_open]].concat())?;
        // Payments at a rate: what is completed in a second is known, whatever machine this is.
        let answered = dir.join("answered");
        let completes = (self.size.open / overload / 2).max(50);
        rate_of_payments(&server, &format!(r#"{{"enabled":true,"rate":{completes}}}"#))?;
        let watch = Watch::begin(&server, &dir)?;
        let offered = u64::from(OVERLOAD) * completes;
        let load = self.load(
            &server,
            &["--duration", &overload.to_string(), "--rate", &offered.to_string()],
            Some(&answered),
        )?;
        rate_of_payments(&server, r#"{"enabled":true,"rate":null}"#)?;
        let course = watch.until_final(FINAL)?;
        let verified = self.verify(&server, &dir, &answered)?;
        server.stop()?;
        fs::remove_dir_all(&dir)?;
        page.chart("Overload: open orders", "orders", &course, |seen| seen.open);
        page.chart("Overload: memory of its own", "MiB", &course, |seen| seen.memory);
        page.chart("Overload: time to an answer", "ms", &course, |seen| seen.answer_ms);
        let refused = course.refused;
        page.verdict("overload: orders taken", load.orders as f64, "", Verdict::Told);
        page.verdict(
            "overload: refused with 503 and Retry-After",
            refused.told as f64,
            "probes",
            Verdict::from(refused.told > 0),
        );
        page.verdict(
            "overload: refused otherwise",
            refused.otherwise as f64,
            "probes",
            Verdict::from(refused.otherwise == 0),
        );
        page.verdict(
            "overload: open at the most",
            course.most(|seen| seen.open),
            "orders",
            Verdict::from(course.most(|seen| seen.open) <= self.size.open as f64),
        );
        page.verdict(
            "overload: memory, last quarter to second",
            course.growth(|seen| seen.memory),
            "times",
            Verdict::from(course.growth(|seen| seen.memory) <= FLAT),
        );
        page.verdict("overload: every order taken is final in the end", 1.0, "", Verdict::from(verified));
        Ok(())
    }

    /// A disk that fills up: it refuses before it is full, and finishes what it has taken.
    fn full_disk(&self, page: &mut Page) -> Result<(), Failure> {
        say("soak: a disk that fills up");
        let dir = self.data.join("disk");
        fs::create_dir_all(&dir)?;
        let free = watch::free_mb(&dir)?;
        let kept = free.saturating_sub(ROOM_MB).to_string();
        let server = Server::cartwright(
            &self.program,
            &dir,
            &[AT_ONCE, &[("CARTWRIGHT__DATA__MIN_FREE_MB", &*kept)]].concat(),
        )?;
        let watch = Watch::begin(&server, &dir)?;
        let answered = dir.join("answered");
        let loaded = thread::scope(|scope| {
            let load = scope.spawn(|| {
                self.load(&server, &["--duration", "60", "--connections", CONNECTIONS], Some(&answered))
                    .map_err(|error| error.to_string())
            });
            load.join().unwrap_or_else(|_| Err("the load panicked".to_owned()))
        })?;
        let refused = watch.refused();
        // An operator makes room.
        let course = watch.end()?;
        server.stop()?;
        let server = Server::cartwright(&self.program, &dir, AT_ONCE)?;
        Watch::begin(&server, &dir)?.until_final(FINAL)?;
        let verified = self.verify(&server, &dir, &answered)?;
        server.stop()?;
        fs::remove_dir_all(&dir)?;
        page.chart("A disk that fills up: free above the limit", "MB", &course, |seen| {
            seen.free_mb - kept.parse::<f64>().unwrap_or(0.0)
        });
        page.verdict("full disk: orders taken", loaded.orders as f64, "", Verdict::Told);
        page.verdict(
            "full disk: refused with 503 and Retry-After",
            refused.told as f64,
            "probes",
            Verdict::from(refused.told > 0),
        );
        page.verdict(
            "full disk: refused otherwise",
            refused.otherwise as f64,
            "probes",
            Verdict::from(refused.otherwise == 0),
        );
        page.verdict("full disk: every order taken is final in the end", 1.0, "", Verdict::from(verified));
        Ok(())
    }

    /// What it can do, for long: nothing grows but the data, and that as orders come.
    fn steady(&self, page: &mut Page) -> Result<(), Failure> {
        let Size { measure, steady, .. } = self.size;
        say(&format!("soak: what it can do, {measure} s"));
        let dir = self.data.join("steady");
        let server = Server::cartwright(&self.program, &dir, AT_ONCE)?;
        let measured = self.load(
            &server,
            &[
                "--duration",
                &measure.to_string(),
                "--connections",
                CONNECTIONS,
                "--in-flight",
                IN_FLIGHT,
                "--follow",
            ],
            None,
        )?;
        let rate = (measured.shipped_per_second.unwrap_or(measured.per_second) * STEADY) as u64;
        say(&format!("soak: {rate} orders a second, {steady} s"));
        let watch = Watch::begin(&server, &dir)?;
        let answered = dir.join("answered");
        let load = self.load(
            &server,
            &[
                "--duration",
                &steady.to_string(),
                "--rate",
                &rate.to_string(),
                "--connections",
                CONNECTIONS,
                "--follow",
            ],
            Some(&answered),
        )?;
        let course = watch.end()?;
        Watch::begin(&server, &dir)?.until_final(FINAL)?;
        let verified = self.verify(&server, &dir, &answered)?;
        let files = watch::files(&dir)?;
        server.stop()?;
        fs::remove_dir_all(&dir)?;
        page.chart("Steady: memory of its own", "MiB", &course, |seen| seen.memory);
        page.chart("Steady: time to an answer", "ms", &course, |seen| seen.answer_ms);
        page.chart("Steady: open orders", "orders", &course, |seen| seen.open);
        page.chart("Steady: data on disk", "MB", &course, |seen| seen.data_mb);
        page.verdict("steady: orders a second", rate as f64, "", Verdict::Told);
        page.verdict("steady: accepted, p99", load.p99_ms, "ms", Verdict::Told);
        page.verdict(
            "steady: created to shipped, p99",
            load.created_to_shipped_p99_ms.unwrap_or(f64::NAN),
            "ms",
            Verdict::Told,
        );
        page.verdict(
            "steady: memory, last quarter to second",
            course.growth(|seen| seen.memory),
            "times",
            Verdict::from(course.growth(|seen| seen.memory) <= FLAT),
        );
        page.verdict(
            "steady: time to an answer, last quarter to second",
            course.growth_of_middle(|seen| seen.answer_ms),
            "times",
            Verdict::from(course.growth_of_middle(|seen| seen.answer_ms) <= FLAT_LATENCY),
        );
        page.verdict(
            "steady: data for each order",
            course.rise(|seen| seen.data_mb) * 1_000.0 / load.orders.max(1) as f64,
            "kB",
            Verdict::Told,
        );
        for (name, mb) in files {
            page.verdict(&format!("steady: at the end, {name}"), mb, "MB", Verdict::Told);
        }
        page.verdict("steady: every order taken is final in the end", 1.0, "", Verdict::from(verified));
        Ok(())
    }

    /// Orders that wait because nobody works; then somebody does.
    fn backlog(&self, page: &mut Page) -> Result<(), Failure> {
        let orders = self.size.backlog;
        say(&format!("soak: a backlog of {orders} orders"));
        let dir = self.data.join("backlog");
        let server = Server::cartwright(&self.program, &dir, &[AT_ONCE, &[PAUSED]].concat())?;
        self.load(&server, &["--orders", &orders.to_string(), "--connections", CONNECTIONS], None)?;
        server.stop()?;
        let server = Server::cartwright(&self.program, &dir, AT_ONCE)?;
        let began = Instant::now();
        let course = Watch::begin(&server, &dir)?.until_final(FINAL)?;
        let seconds = began.elapsed().as_secs_f64();
        let verified = self.verify(&server, &dir, Path::new(""))?;
        server.stop()?;
        fs::remove_dir_all(&dir)?;
        page.chart("Backlog: open orders", "orders", &course, |seen| seen.open);
        page.chart("Backlog: memory of its own", "MiB", &course, |seen| seen.memory);
        page.verdict("backlog: orders that waited", orders as f64, "", Verdict::Told);
        page.verdict("backlog: final in a second", orders as f64 / seconds, "orders/s", Verdict::Told);
        page.verdict(
            "backlog: memory, last quarter to second",
            course.growth(|seen| seen.memory),
            "times",
            Verdict::from(course.growth(|seen| seen.memory) <= FLAT),
        );
        page.verdict("backlog: every order is final in the end", 1.0, "", Verdict::from(verified));
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
            .args(["verify", "--wait", "--timeout", "600", "--server", server.url(), "--data"])
            .arg(dir.join("data"));
        if answered.exists() {
            command.arg("--answered").arg(answered);
        }
        let output = command.output()?;
        if !output.status.success() {
            say(&String::from_utf8_lossy(&output.stdout));
            say(&fs::read_to_string(dir.join(system::LOG)).unwrap_or_default());
        }
        Ok(output.status.success())
    }
}

/// Has the payment provider be called at a rate, or as often as it comes.
fn rate_of_payments(server: &Server, body: &str) -> Result<(), Failure> {
    let answer = Client::connect(server.url())?.ask("PUT", "/v1/admin/providers/payments", body)?;
    if answer.status >= 300 {
        return Err(format!("the rate of payments: {}", String::from_utf8_lossy(&answer.body)).into());
    }
    Ok(())
}
