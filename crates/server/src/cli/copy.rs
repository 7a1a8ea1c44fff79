//! `cartwright copy`: moves a stopped system from its data directory into a database.

use std::{path::PathBuf, process::ExitCode};

use cartwright_store::copy::{self, Compared, Copied, Copy, CopyError, Progress, Stage};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

use super::{
    exit, out,
    style::{Paint, align_right, count, table},
};
use crate::{bus::lanes::LANES, config::Config, providers::switches};

/// Digits of a digest that are enough for people.
const SHOWN: usize = 12;

/// Move a stopped system from its data directory into a database
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    cartwright copy --from ./shop --to postgres://cartwright@db.example/shop\n  \
    CARTWRIGHT__DATABASE__URL_FILE=/run/secrets/url cartwright copy --from ./shop\n\n\
    Others on this machine can see a password in --to: the settings keep it. The data directory is not changed; \
    docs/production.md says what comes before and after.")]
pub struct CopyArgs {
    /// The data directory [default: the setting data.dir]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// The database, which must hold no orders yet [default: the setting database.url]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Runs `cartwright copy`.
pub async fn run(args: CopyArgs) -> ExitCode {
    let mut flags = Vec::new();
    if let Some(from) = &args.from {
        flags.push(("data.dir", from.display().to_string()));
    }
    if let Some(to) = &args.to {
        flags.push(("database.url", to.clone()));
    }
    let config = match Config::read(args.config.as_deref(), &flags) {
        Ok(config) => config,
        Err(error) => return failed(error, exit::FAILED),
    };
    let Some(to) = config.postgres() else {
        let what =
            "no database is named: say --to postgres://user@host/database, or give the setting database.url";
        return failed(what, exit::FAILED);
    };
    let (from, schema) = (config.data.dir.clone(), to.schema.clone());
    let notes = match switches::kept(&from) {
        Ok(kept) => kept.map(|text| (switches::NOTE.to_owned(), text)).into_iter().collect(),
        Err(error) => return failed(error, exit::FAILED),
    };
    let bar = bar(args.json);
    let copied = copy::copy(Copy { from, to, lanes: LANES, notes }, |progress| show(&bar, progress)).await;
    bar.finish_and_clear();
    let copied = match copied {
        Ok(copied) => copied,
        Err(error) => {
            let unreachable = matches!(&error, CopyError::NoData { .. })
                || matches!(&error, CopyError::Database(error) if error.is_passing());
            return failed(error, if unreachable { exit::UNREACHABLE } else { exit::FAILED });
        }
    };
    if args.json {
        out::line(as_json(&copied, &schema));
    } else {
        out::line(as_table(&copied));
        if copied.is_good() {
            out::line(good(&config, &schema));
        }
    }
    if copied.is_good() {
        return ExitCode::SUCCESS;
    }
    failed(
        "both sides differ where the table says so: no server starts on this copy. Make it again; if it differs again, \
         look at the database's log and disk",
        exit::FAILED,
    )
}

fn failed(what: impl std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("{} {what}", Paint::stderr().red("error:"));
    code.into()
}

fn good(config: &Config, schema: &str) -> String {
    let dir = config.data.dir.display();
    format!(
        "\nBoth sides are the same. The system is now in the schemas {schema}_* of the database, and goes on from there:\n\
         \x20 give `cartwright up` the setting database.url, and data.dir = {dir} as before.\n\
         How operators have switched the providers is there, too; providers.json in {dir} counts no more. Simulated \
         providers' ledger.db stays in {dir}, and is used there.\n\
         Never start on the files again: orders.db, payments.db and fulfillment.db are what this system was, and whoever \
         went on from them would pay and ship a second time. Put them away."
    )
}

fn as_table(copied: &Copied) -> String {
    let mut rows = table(&["STORE", "TABLE", "ROWS", "DIGEST", "IN THE DATABASE"]);
    align_right(&mut rows, &[2]);
    for compared in &copied.tables {
        let Compared { store, table, from, to } = compared;
        let there = if from == to {
            "the same".to_owned()
        } else {
            format!("{} rows, {}", count(to.rows), short(&to.digest))
        };
        rows.add_row([store.to_string(), (*table).to_owned(), count(from.rows), short(&from.digest), there]);
    }
    rows.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

fn short(digest: &str) -> String {
    digest.chars().take(SHOWN).collect()
}

fn as_json(copied: &Copied, schema: &str) -> Value {
    let tables: Vec<Value> = copied
        .tables
        .iter()
        .map(|Compared { store, table, from, to }| {
            let sum = |sum: &copy::Sum| json!({"rows": sum.rows, "sha256": sum.digest});
            json!({"store": store.as_str(), "table": table, "same": from == to, "from": sum(from), "to": sum(to)})
        })
        .collect();
    json!({"ok": copied.is_good(), "system": copied.system, "schema": schema, "tables": tables})
}

fn bar(json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {human_pos} of {human_len} rows, {msg}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of.max(progress.done));
    bar.set_position(progress.done);
    let doing = match progress.stage {
        Stage::Copying => "copying",
        Stage::Comparing => "comparing",
    };
    bar.set_message(format!("{doing} {}", progress.store));
}

#[cfg(test)]
mod tests {
    use cartwright_store::{StoreKind, copy::Sum};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_differs_is_shown_where_it_is() {
        let sum = |rows, digest: &str| Sum { rows, digest: digest.repeat(32) };
        let compared = |table, to| Compared { store: StoreKind::Orders, table, from: sum(1_234, "ab"), to };
        let good = vec![compared("record", sum(1_234, "ab"))];
        let copied = Copied { system: Uuid::nil(), tables: good.clone() };
        assert!(
            copied.is_good()
                && as_table(&copied).contains("1,234")
                && as_table(&copied).ends_with("the same")
        );
        let tables = [good, vec![compared("journal", sum(1_233, "cd"))]].concat();
        let copied = Copied { system: Uuid::nil(), tables };
        assert!(
            !copied.is_good() && as_table(&copied).ends_with("1,233 rows, cdcdcdcdcdcd"),
            "{}",
            as_table(&copied)
        );
        let json = as_json(&copied, "shop");
        assert_eq!((&json["ok"], &json["tables"][1]["same"]), (&json!(false), &json!(false)));
    }
}
