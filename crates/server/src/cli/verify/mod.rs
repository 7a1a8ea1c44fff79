//! `cartwright verify`: holds the server to its promises. What clients have answers for, what the server has stored
//! and what the providers did must agree.

mod gather;
mod judge;
mod outside;

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
    style::{Paint, align_right, count, table},
};
use crate::providers::ledger;

/// How often `--wait` looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// `cartwright verify`
#[derive(Args, Clone, Debug)]
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
                    Ok(line) => println!("{line}"),
                    Err(error) => eprintln!("the report can't be written: {error}"),
                }
            } else {
                println!("{}", show(&report, &Paint::stdout()));
            }
            exit_code(&report).into()
        }
        Err(Failure::Api(error)) => error.report(),
        Err(Failure::File(path, why)) => {
            eprintln!("{} {} can't be read: {why}", Paint::stderr().red("error:"), path.display());
            exit::UNREACHABLE.into()
        }
    }
}

enum Failure {
    Api(ApiError),
    File(PathBuf, String),
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
    let real = outside::Real::of(&api).await;
    real.warn();
    let with_ledger = !args.no_ledger && !real.both();
    let ledger = args.data.join(ledger::FILE_NAME);
    if with_ledger && !ledger.is_file() {
        let hint = "there is no such file; name the server's data with --data, or use --no-ledger";
        return Err(Failure::File(ledger, hint.into()));
    }
    let mut facts = Facts::default();
    for file in answered_files(&args.answered) {
        read_answered(&file, |id| facts.answered(id))
            .map_err(|error| Failure::File(file.clone(), error.to_string()))?;
    }
    gather::read_orders(&api, &mut facts).await?;
    if with_ledger {
        gather::read_ledger(&ledger, &mut facts).map_err(|error| Failure::File(ledger, error.to_string()))?;
    }
    gather::recheck_missing(&api, &mut facts).await?;
    Ok(real.judge(facts.judge(with_ledger)))
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
    let mut row = |name: &str, number: u64| {
        rows.add_row([name.to_owned(), count(number)]);
    };
    row("answered", report.answered);
    row("stored", report.stored);
    row("completed", report.completed);
    row("failed", report.failed);
    row("cancelled", report.cancelled);
    row("waiting", report.waiting);
    for (what, number) in &report.waiting_for {
        row(&format!("  {what}"), *number);
    }
    if report.manual > 0 {
        row("manual, open", report.manual);
    }
    for problem in ProblemKind::ALL.into_iter().filter(|problem| report.ledger || !problem.needs_ledger()) {
        row(problem.title(), report.problems.get(&problem).map_or(0, |finding| finding.count));
    }
    align_right(&mut rows, &[1]);
    let mut shown = rows.trim_fmt();
    for (problem, finding) in &report.problems {
        shown.push_str(&format!("\n\n{}:", paint.red(problem.title())));
        finding.ids.iter().for_each(|id| shown.push_str(&format!("\n  {id}")));
        if finding.count > NAMED as u64 {
            shown.push_str(&format!("\n  and {} more", count(finding.count - NAMED as u64)));
        }
    }
    let verdict = match exit_code(report) {
        0 => paint.green("all good: every order is final, and everything agrees"),
        exit::WAITING => paint.yellow("nothing is wrong, but not every order is final yet"),
        _ => paint.red("something is wrong"),
    };
    format!("{shown}\n\n{verdict}")
}

#[cfg(test)]
mod tests;
