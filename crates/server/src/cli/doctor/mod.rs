//! `cartwright doctor`: looks at everything that a start or a running system needs, and says what to do where it is
//! not as it must be. It changes nothing.

mod database;
mod files;
mod held;
mod kafka;
mod machine;
mod search;
mod server;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{
    ServerArg,
    config::SettingsArgs,
    exit, out,
    style::{Paint, table},
};
use crate::providers::Switches;

/// `cartwright doctor`
#[derive(Args, Debug)]
#[command(
    after_help = "Give it the same settings as `cartwright up`. Ends with 0 unless a line says fail.\n\n\
    Examples:\n  cartwright doctor\n  cartwright doctor --data ./shop --listen 127.0.0.1:9000 --json"
)]
pub struct DoctorArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    server: ServerArg,
    /// Print JSON, for machines
    #[arg(long)]
    json: bool,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// It works, but look at it.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Check {
    state: State,
    what: &'static str,
    /// What was found.
    found: String,
    /// What to do about it; nothing where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { state: State::Ok, what, found: found.into(), advice: None }
    }

    fn warn(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Warn, what, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(what: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { state: State::Fail, what, found: found.into(), advice: Some(advice.into()) }
    }
}

/// Runs `cartwright doctor`.
pub async fn run(args: DoctorArgs) -> ExitCode {
    let checks = examine(&args).await;
    let failed = checks.iter().any(|check| check.state == State::Fail);
    if args.json {
        out::line(serde_json::json!({"ok": !failed, "checks": checks}));
    } else {
        out::line(show(&checks, &Paint::stdout()));
    }
    if failed { exit::FAILED.into() } else { ExitCode::SUCCESS }
}

async fn examine(args: &DoctorArgs) -> Vec<Check> {
    let effective = match args.settings.read() {
        Ok(effective) => effective,
        Err(error) => {
            let wrong = error.wrong.iter().map(|wrong| format!("{}: {}", wrong.origin, wrong.what));
            let found = wrong.collect::<Vec<_>>().join("; ");
            return vec![Check::fail(
                "settings",
                found,
                "mend them; the rest is looked at once they can be read",
            )];
        }
    };
    let own = effective.settings.iter().filter(|setting| !setting.is_default()).count();
    let config = effective.config;
    let mut checks = vec![Check::ok("settings", format!("good; {own} differ from the default file"))];
    let simulated = config.payments.is_simulated() || config.carrier.is_simulated();
    let (stored, switches, runs) = match config.postgres() {
        None => {
            let (stored, runs) = files::check(&config.data, simulated);
            (stored, Switches::open(&config.data.dir), runs)
        }
        Some(options) => database::check(&config, &options, simulated).await,
    };
    checks.extend(stored);
    if let Some(brokers) = config.kafka() {
        checks.push(kafka::check(&brokers).await);
    }
    checks.extend(search::check(&config.search).await);
    checks.extend(held::stored(&config, switches, runs));
    checks.push(machine::clock(&config.data.dir));
    checks.push(machine::open_files(config.http.max_connections));
    checks.extend(server::check(&config, &args.server, runs).await);
    checks
}

fn show(checks: &[Check], paint: &Paint) -> String {
    let mut rows = table(&[]);
    for check in checks {
        let state = match check.state {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "fail",
        };
        rows.add_row([state, check.what, &check.found]);
    }
    let mut shown = String::new();
    for (line, check) in rows.lines().zip(checks) {
        let line = line.trim_end();
        shown.push_str(&match check.state {
            State::Ok => line.to_owned(),
            State::Warn => paint.yellow(line),
            State::Fail => paint.red(line),
        });
        shown.push('\n');
        if let Some(advice) = &check.advice {
            shown.push_str(&format!("        -> {advice}\n"));
        }
    }
    let (failed, warned) = checks.iter().fold((0, 0), |(failed, warned), check| match check.state {
        State::Ok => (failed, warned),
        State::Warn => (failed, warned + 1),
        State::Fail => (failed + 1, warned),
    });
    shown.push_str(&match (failed, warned) {
        (0, 0) => paint.green("\nall good"),
        (0, warned) => paint.yellow(&format!("\nnothing is broken; {warned} to look at")),
        (failed, _) => paint.red(&format!("\n{failed} to mend")),
    });
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_a_line_and_what_is_wrong_has_advice() {
        let checks = [Check::ok("clock", "sane"), Check::fail("disk", "full", "make room")];
        let shown = show(&checks, &Paint::plain());
        assert!(shown.contains("-> make room") && shown.ends_with("1 to mend"), "{shown}");
        assert!(show(&checks[..1], &Paint::plain()).ends_with("all good"));
    }
}
