//! `cartwright verify`: holds the server to its promises. What clients have answers for, what the server has stored
//! and what the providers did must agree.

mod gather;
mod judge;
mod outside;
mod search;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;

use self::judge::{Facts, NAMED};
pub use self::judge::{Finding, ProblemKind, VerifyReport};
use super::{
    ServerArg,
    api::{Api, ApiError},
    exit,
    load::{DEFAULT_ANSWERED, read_answered},
    out,
    style::{Paint, align_right, count, table},
};
use crate::providers::ledger;

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// `cartwright verify`
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Orders of the flow manual end only when their client says so: while open, they have a row of \
    their own and are no finding.\n\nExamples:\n  cartwright verify --wait --search\n  \
    cartwright verify --data ./shop --answered ./monday.answered --server http://127.0.0.1:9000 --json"
)]
pub struct VerifyArgs {
    /// Wait until no order is on its way any more (those of the flow `manual` aside)
    #[arg(long)]
    wait: bool,
    /// Wait no longer than this
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Files of answered orders, as `cartwright load` writes them [default: ./cartwright-load.answered, if it is there]
    #[arg(long, value_name = "FILE")]
    answered: Vec<PathBuf>,
    /// Where the server keeps its data, and so the providers' ledger
    #[arg(long, value_name = "DIR", default_value = "./cartwright-data")]
    data: PathBuf,
    /// Don't look at the providers' ledger: they are not simulated, or not on this machine
    #[arg(long)]
    no_ledger: bool,
    /// Compare every order with its document in the search index, too
    #[arg(long)]
    search: bool,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArg,
}

/// Runs `cartwright verify`.
pub async fn run(args: VerifyArgs) -> ExitCode {
    match verify(&args).await {
        Ok(report) => {
            if args.json {
                match serde_json::to_string(&report) {
                    Ok(line) => out::line(line),
                    Err(error) => eprintln!("the report can't be written: {error}"),
                }
            } else {
                out::line(show(&report, &Paint::stdout()));
            }
            exit_code(&report).into()
        }
        Err(Failure::Api(error)) => error.report(),
        Err(Failure::Others { what, theirs, ours }) => {
            eprintln!(
                "{} {what} belongs to another system ({theirs}) than the server that answers ({ours}): comparing them \
                 would only find false alarms. Name the right ones with --data, --answered and --server",
                Paint::stderr().red("error:")
            );
            exit::UNREACHABLE.into()
        }
        Err(Failure::File(path, why)) => {
            eprintln!("{} {} can't be read: {why}", Paint::stderr().red("error:"), path.display());
            exit::UNREACHABLE.into()
        }
    }
}

enum Failure {
    Api(ApiError),
    File(PathBuf, String),
    /// What is to be compared does not belong together.
    Others {
        what: String,
        theirs: String,
        ours: String,
    },
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// Reads what happens first first: an answered order must be in the later list of orders, and what a final order has
/// caused must be in the still later ledger. So a system at work is not accused of what it has yet to do.
async fn verify(args: &VerifyArgs) -> Result<VerifyReport, Failure> {
    let api = Api::new(args.server.url())?;
    if args.wait {
        wait(&api, Duration::from_secs(args.timeout)).await?;
    }
    let system = api.system().await?;
    let real = outside::Real::of(&api).await;
    real.warn();
    let with_ledger = !args.no_ledger && !real.both();
    let ledger = args.data.join(ledger::FILE_NAME);
    if with_ledger && !ledger.is_file() {
        let hint = "there is no such file; name the server's data with --data, or use --no-ledger";
        return Err(Failure::File(ledger, hint.into()));
    }
    let mut facts = Facts::default();
    let files = answered_files(&args.answered);
    for file in &files {
        let theirs = read_answered(file, |id| facts.answered(id))
            .map_err(|error| Failure::File(file.clone(), error.to_string()))?;
        check_system(&format!("{}, a file of answered orders,", file.display()), theirs, system.as_deref())?;
    }
    if with_ledger {
        let theirs = gather::system_of_ledger(&ledger)
            .map_err(|error| Failure::File(ledger.clone(), error.to_string()))?;
        check_system(&format!("{}, the providers' ledger,", ledger.display()), theirs, system.as_deref())?;
    }
    gather::read_orders(&api, &mut facts).await?;
    if with_ledger {
        gather::read_ledger(&ledger, &mut facts).map_err(|error| Failure::File(ledger, error.to_string()))?;
    }
    gather::recheck_missing(&api, &mut facts).await?;
    let judged = real.judge(facts.judge(with_ledger));
    let mut report = VerifyReport { answered_files: files.len() as u64, ..judged };
    if args.search {
        let compared = search::compare(&api).await?;
        report.searched = Some(compared.orders);
        report.ok &= compared.problems.is_empty();
        report.problems.extend(compared.problems);
    }
    Ok(report)
}

/// What does not name its system is taken: it may be of an older version.
fn check_system(what: &str, theirs: Option<String>, ours: Option<&str>) -> Result<(), Failure> {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            Err(Failure::Others { what: what.to_owned(), theirs, ours: ours.to_owned() })
        }
        _ => Ok(()),
    }
}

/// A server that is just starting again is waited for as well.
async fn wait(api: &Api, timeout: Duration) -> Result<(), Failure> {
    let start = Instant::now();
    loop {
        let looked = gather::is_any_waiting(api).await;
        let in_time = start.elapsed() < timeout;
        match looked {
            Ok(false) => return Ok(()),
            Ok(true) if !in_time => return Ok(()),
            Err(error) if !in_time || error.status().is_some_and(|status| status < 429) => {
                return Err(error.into());
            }
            Ok(true) | Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

fn answered_files(named: &[PathBuf]) -> Vec<PathBuf> {
    if named.is_empty() && Path::new(DEFAULT_ANSWERED).is_file() {
        return vec![DEFAULT_ANSWERED.into()];
    }
    named.to_vec()
}

fn exit_code(report: &VerifyReport) -> u8 {
    if !report.problems.is_empty() {
        exit::FAILED
    } else if report.waiting > 0 {
        exit::WAITING
    } else {
        0
    }
}

fn show(report: &VerifyReport, paint: &Paint) -> String {
    let mut rows = table(&[]);
    if report.answered_files == 0 {
        rows.add_row(["answered", "no file"]);
    } else {
        rows.add_row(["answered", &count(report.answered)]);
    }
    let mut row = |name: &str, number: u64| {
        rows.add_row([name.to_owned(), count(number)]);
    };
    row("stored", report.stored);
    row("completed", report.completed);
    row("failed", report.failed);
    row("cancelled", report.cancelled);
    row("waiting", report.waiting);
    for (what, number) in &report.waiting_for {
        row(&format!("  {what}"), *number);
    }
    row("manual, still open", report.manual);
    if let Some(searched) = report.searched {
        row("compared with the search index", searched);
    }
    let looked_for = |problem: &ProblemKind| {
        (report.ledger || !problem.needs_ledger()) && (report.searched.is_some() || !problem.needs_search())
    };
    for problem in ProblemKind::ALL.into_iter().filter(looked_for) {
        let found = report.problems.get(&problem).map_or(0, |finding| finding.count);
        if found > 0 || problem != ProblemKind::Unreadable {
            row(problem.title(), found); // what hardly ever happens has no row until it does
        }
    }
    align_right(&mut rows, &[1]);
    let mut shown = rows.trim_fmt();
    for (problem, finding) in &report.problems {
        shown.push_str(&format!("\n\n{}:", paint.red(problem.title())));
        finding.ids.iter().for_each(|id| shown.push_str(&format!("\n  {id}")));
        if !finding.ids.is_empty() && finding.count > NAMED as u64 {
            shown.push_str(&format!("\n  and {} more", count(finding.count - NAMED as u64)));
        }
    }
    let verdict = match exit_code(report) {
        0 => paint.green("all good: every order is final, and everything agrees"),
        exit::WAITING => paint.yellow("nothing is wrong, but not every order is final yet"),
        _ => paint.red("something is wrong"),
    };
    let hint = if report.answered_files == 0 {
        "\nno file of answered orders: whether one was lost, nobody can say (`cartwright load` writes one; name yours with --answered)"
    } else {
        ""
    };
    format!("{shown}\n\n{verdict}{}", paint.yellow(hint))
}

#[cfg(test)]
mod tests;
