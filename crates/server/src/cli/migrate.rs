//! `cartwright migrate`: what a start would change in the files or the database, and doing it without starting.

use std::{fmt::Display, path::PathBuf, process::ExitCode};

use cartwright_store::upgrade::{Plan, plan_files, plan_schemas, upgrade_files, upgrade_schemas};
use clap::Args;
use serde_json::{Value, json};

use super::{
    exit, out,
    style::{Paint, align_right, table},
};
use crate::config::Config;

/// Bring files or database up to what this binary needs, or show what that would change
#[derive(Args, Debug)]
#[command(
    after_help = "A start does the same by itself; this is for whoever wants to look first, or lets another user \
    change tables than the one that the server is.\n\n\
    Examples:\n  cartwright migrate --plan --config shop.toml\n  \
    CARTWRIGHT__DATABASE__URL_FILE=/run/secrets/owner cartwright migrate\n\n\
    docs/production.md says how versions run side by side."
)]
pub struct MigrateArgs {
    /// Only show what would change
    #[arg(long)]
    plan: bool,
    /// The data directory, if there is no database [default: the setting data.dir]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Runs `cartwright migrate`.
pub async fn run(args: MigrateArgs) -> ExitCode {
    let data = args.data.as_ref().map(|data| ("data.dir", data.display().to_string()));
    let flags: Vec<_> = data.into_iter().collect();
    let config = match Config::read(args.config.as_deref(), &flags) {
        Ok(config) => config,
        Err(error) => return failed(error, exit::FAILED),
    };
    let plans = match plan(&config).await {
        Ok(plans) => plans,
        Err(failure) => return failed(failure.what, failure.code),
    };
    let usable = plans.iter().all(Plan::is_usable);
    let changes = plans.iter().any(|plan| !plan.migrations.is_empty());
    let shared = config.postgres().is_some();
    if usable
        && changes
        && !args.plan
        && let Err(failure) = carry_out(&config).await
    {
        return failed(failure.what, failure.code);
    }
    let done = usable && changes && !args.plan;
    if args.json {
        out::line(json!({
            "ok": usable, "changes": changes, "done": done,
            "stores": plans.iter().map(as_json).collect::<Vec<_>>(),
        }));
    } else {
        out::line(as_table(&plans));
        out::line(verdict(&plans, shared, done));
    }
    if usable { ExitCode::SUCCESS } else { exit::FAILED.into() }
}

/// Why it could not be seen or done.
struct Failure {
    what: String,
    code: u8,
}

async fn plan(config: &Config) -> Result<Vec<Plan>, Failure> {
    match config.postgres() {
        Some(options) => plan_schemas(&options).await.map_err(|error| database(&error)),
        None => plan_files(&config.data.dir)
            .map_err(|error| Failure { what: error.to_string(), code: exit::FAILED }),
    }
}

async fn carry_out(config: &Config) -> Result<(), Failure> {
    match config.postgres() {
        Some(options) => upgrade_schemas(&options).await.map_err(|error| database(&error)),
        None => upgrade_files(&config.data.dir)
            .map_err(|error| Failure { what: error.to_string(), code: exit::FAILED }),
    }
}

fn database(error: &cartwright_store::postgres::DatabaseError) -> Failure {
    let code = if error.is_passing() { exit::UNREACHABLE } else { exit::FAILED };
    Failure { what: format!("{error} (setting database.url)"), code }
}

fn failed(what: impl Display, code: u8) -> ExitCode {
    eprintln!("{} {what}", Paint::stderr().red("error:"));
    code.into()
}

fn as_table(plans: &[Plan]) -> String {
    let mut rows = table(&["STORE", "WHERE", "SCHEMA", "KNOWN HERE", "A START"]);
    align_right(&mut rows, &[2, 3]);
    for plan in plans {
        let schema = plan.found.map_or_else(|| "none".to_owned(), |found| found.schema.to_string());
        let does = match plan.migrations.as_slice() {
            _ if !plan.is_usable() => format!("refuses: usable from schema {} on", plan.oldest_binary),
            [] => "changes nothing".to_owned(),
            some => format!("runs {}", some.join(", ")),
        };
        rows.add_row([plan.store.to_string(), plan.place.clone(), schema, plan.known.to_string(), does]);
    }
    rows.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// What follows from it for whoever upgrades.
fn verdict(plans: &[Plan], shared: bool, done: bool) -> String {
    if !plans.iter().all(Plan::is_usable) {
        return "\nA newer cartwright wrote this and gave up what this binary needs: start the newer one again, or restore \
            what was saved before the upgrade"
            .to_owned();
    }
    if plans.iter().all(|plan| plan.migrations.is_empty()) {
        return "\nnothing to do".to_owned();
    }
    let verb = if done {
        "done"
    } else {
        "nothing was changed yet; `cartwright migrate` does it, and so does a start"
    };
    let older =
        match (plans.iter().any(|plan| plan.found.is_none()), plans.iter().all(Plan::keeps_older), shared) {
            (true, ..) => "There was nothing before, so no older binary has to go on",
            (false, true, true) => {
                "Processes with the older binary can go on beside it: replace them one by one"
            }
            (false, true, false) => "The older binary can be started on it again",
            (false, false, true) => {
                "The older binary can't use it afterwards: stop all its processes before, and keep a dump"
            }
            (false, false, false) => "The older binary can't use it afterwards: keep a backup",
        };
    format!("\n{older}.\n{verb}")
}

fn as_json(plan: &Plan) -> Value {
    json!({
        "store": plan.store.as_str(),
        "where": plan.place,
        "found": plan.found.map(|found| json!({"schema": found.schema, "oldestBinary": found.oldest_binary})),
        "known": plan.known,
        "migrations": plan.migrations,
        "oldestBinary": plan.oldest_binary,
        "usable": plan.is_usable(),
        "olderMayGoOn": plan.keeps_older(),
    })
}
