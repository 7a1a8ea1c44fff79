//! `cartwright backup` and `cartwright restore`: copies of a data directory, and what is made of them.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use cartwright_store::backup::{self, BackupError, Manifest, Progress, Restore};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    exit, out,
    style::{Paint, align_right, count, table},
};
use crate::config::Config;

/// Order numbers that a restore leaves out, unless told otherwise: as many as a busy day has orders.
const SKIP_NUMBERS: u64 = 100_000;

/// Copy a data directory, while the system runs or while it is stopped
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright backup /backups/2026-07-31 --data ./shop\n\n\
    Run it on the machine that has the data directory. docs/backup.md says what a backup holds.")]
pub struct BackupArgs {
    /// Where the backup goes: a directory that is new or empty
    #[arg(value_name = "TO")]
    to: PathBuf,
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "./cartwright-data")]
    data: PathBuf,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Make a new data directory of a backup
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright restore /backups/2026-07-31 --data ./shop-restored\n\n\
    What happened after the backup was made is not in it; docs/backup.md says what that means and what to do.")]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FROM")]
    from: PathBuf,
    /// The data directory to be made: new or empty
    #[arg(long, value_name = "DIR", default_value = "./cartwright-data")]
    data: PathBuf,
    /// Go on with this ledger of the simulated providers, which knows what they were asked since
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Leave out so many order numbers: they may have been given since
    #[arg(long, value_name = "N", default_value_t = SKIP_NUMBERS)]
    skip_numbers: u64,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

/// Runs `cartwright backup`.
pub fn backup(args: &BackupArgs) -> ExitCode {
    if let Some(database) = database() {
        let error = format!(
            "the stores are in a database (setting database.url), not in files: back it up with pg_dump, all schemas \
             {database}_* in one dump, so that they are of one moment. To copy a data directory all the same, unset \
             CARTWRIGHT__DATABASE__URL"
        );
        eprintln!("{} {error}", Paint::stderr().red("error:"));
        return exit::FAILED.into();
    }
    let bar = bar(args.json);
    let made =
        backup::back_up(&args.data, &args.to, env!("CARGO_PKG_VERSION"), |progress| show(&bar, progress));
    bar.finish_and_clear();
    report(made, args.json, |manifest| {
        format!(
            "{}\nThe backup is complete and on the disk: {}\nBring it to life with: cartwright restore {} --data NEW",
            contents(manifest),
            args.to.display(),
            args.to.display()
        )
    })
}

/// Runs `cartwright restore`.
pub fn restore(args: &RestoreArgs) -> ExitCode {
    if let Err(error) = std::fs::read_dir(&args.from) {
        let error = format!("{} can't be read: {error}", args.from.display());
        eprintln!("{} {error}", Paint::stderr().red("error:"));
        return exit::UNREACHABLE.into();
    }
    let bar = bar(args.json);
    let asked = Restore {
        from: args.from.clone(),
        to: args.data.clone(),
        ledger: args.ledger.clone(),
        skip_numbers: args.skip_numbers,
    };
    let made = backup::restore(&asked, |progress| show(&bar, progress));
    bar.finish_and_clear();
    report(made, args.json, |manifest| restored(manifest, &args.data))
}

/// What the names of the schemas begin with, if the environment names a database.
fn database() -> Option<String> {
    let options = Config::read(None, &[]).ok()?.postgres()?;
    Some(options.schema)
}

fn restored(manifest: &Manifest, data: &Path) -> String {
    format!(
        "{}\nRestored as of {} into {}.\n\
         What was placed, cancelled or shipped since is not in it. Look before anything moves:\n\
         \x20 CARTWRIGHT__WORKERS__PAUSED=payments,fulfillment cartwright up --data {}",
        contents(manifest),
        manifest.created_at,
        data.display(),
        data.display(),
    )
}

fn report(
    made: Result<Manifest, BackupError>,
    json: bool,
    text: impl FnOnce(&Manifest) -> String,
) -> ExitCode {
    match made {
        Ok(manifest) => {
            if json {
                match serde_json::to_string(&manifest) {
                    Ok(line) => out::line(line),
                    Err(error) => eprintln!("the report can't be written: {error}"),
                }
            } else {
                out::line(text(&manifest));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{} {error}", Paint::stderr().red("error:"));
            match error {
                BackupError::NoData { .. } | BackupError::File { .. } => exit::UNREACHABLE.into(),
                BackupError::NotEmpty(_)
                | BackupError::Inside { .. }
                | BackupError::Incomplete { .. }
                | BackupError::Damaged { .. }
                | BackupError::Newer { .. }
                | BackupError::Mismatch { .. }
                | BackupError::Open(_) => exit::FAILED.into(),
            }
        }
    }
}

fn contents(manifest: &Manifest) -> String {
    let mut shown = table(&["file", "bytes", "events"]);
    align_right(&mut shown, &[1, 2]);
    for file in &manifest.files {
        shown.add_row([file.name.clone(), count(file.bytes), file.head.map(count).unwrap_or_default()]);
    }
    shown.to_string()
}

fn bar(json: bool) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}, {bytes_per_sec}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.of);
    bar.set_position(progress.done);
}
