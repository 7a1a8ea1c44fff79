//! `cartwright up`: the whole system in one process, on files or on a database.

use std::{io::Write, process::ExitCode};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    config::{self, SettingsArgs},
    put_command,
    style::Paint,
};
use crate::{
    compose::{self, Held, Role, System},
    control::Mode,
    telemetry,
};

/// Run the whole system in one process
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  cartwright up\n  cartwright up --data ./shop --listen 127.0.0.1:9000\n  \
    cartwright up --config shop.toml\n\n\
    Settings: a file given with --config < environment (CARTWRIGHT__HTTP__LISTEN=127.0.0.1:9000) < flags.\n\
    `cartwright config print --defaults` prints all of them, documented."
)]
pub struct UpArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print the settings in effect and where each came from, and end
    #[arg(long)]
    print_config: bool,
}

/// Runs until SIGTERM or SIGINT; a second signal stops at once.
pub async fn run(args: UpArgs) -> ExitCode {
    if args.print_config {
        return config::print(&args.settings, false);
    }
    let config = match args.settings.read() {
        Ok(effective) => effective.config,
        Err(error) => return fail(&error),
    };
    telemetry::start_logging(&config.log.filter, config.log.format);
    match compose::start(&config, telemetry::metrics::start()).await {
        Ok(system) => until_stopped(system).await,
        Err(error) => fail(&error),
    }
}

/// Runs a system until SIGTERM or SIGINT; a second signal stops at once.
pub async fn until_stopped(system: System) -> ExitCode {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        eprintln!("cartwright: can't listen for signals");
        return ExitCode::FAILURE;
    };
    welcome(&system);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("stopping; a second signal stops at once");
    tokio::select! {
        () = system.stop() => tracing::info!("stopped"),
        // Nothing is waited for, not even what returning from main would wait for.
        _ = term.recv() => std::process::exit(0),
        _ = int.recv() => std::process::exit(0),
    }
    ExitCode::SUCCESS
}

/// Where things are, and a first order ready to paste, where orders are taken.
fn welcome(system: &System) {
    if !system.roles.has(Role::Orders) {
        let (address, roles) = (system.address, &system.roles);
        let _ = writeln!(
            std::io::stdout(),
            "{} is up: {roles}.\n\n  Health     http://{address}/health/ready\n  Metrics    http://{address}/metrics\n  Data       {}",
            Paint::stdout().bold("Cartwright"),
            place(system),
        );
        return;
    }
    let address = system.address;
    let usual = address.ip().is_loopback() && address.port() == 8080;
    let elsewhere = if usual { String::new() } else { format!(" --server http://{address}") };
    let undone_at = system.admin.map_or_else(|| elsewhere.clone(), |own| format!(" --server http://{own}"));
    let operator = format!("http://{}", system.admin.unwrap_or(address));
    let admin =
        system.admin.map(|own| format!("  Admin      http://{own}/v1/admin/services\n")).unwrap_or_default();
    // Nobody needs to read it for the system to run.
    let _ = writeln!(
        std::io::stdout(),
        "{} is up.\n\
         \n\
         \x20 API        http://{address}/v1/orders\n\
         \x20 Docs       http://{address}/docs\n\
         \x20 Health     http://{address}/health/ready\n\
         \x20 Metrics    http://{address}/metrics\n\
         {admin}\
         {}{}\
         \x20 Data       {}\n\
         \x20 {}\n\
         {}{}\
         \n\
         A first order:\n\
         \n\
         \x20 curl -s http://{address}/v1/orders -H 'Content-Type: application/json' -d '\n\
         \x20   {{\"customer\":{{\"id\":\"customer-123\"}},\"currency\":\"USD\",\n\
         \x20    \"lines\":[{{\"sku\":\"product-456\",\"quantity\":2,\"unitPrice\":129999}}]}}'\n\
         \n\
         or: cartwright orders place --sample --watch{elsewhere}",
        Paint::stdout().bold("Cartwright"),
        dialects(system),
        search(system),
        place(system),
        simulated(system.simulated),
        told(&system.told, &undone_at),
        held(&system.held, &operator),
    );
}

/// Where older systems are spoken for.
fn dialects(system: &System) -> String {
    if system.old.is_empty() {
        return String::new();
    }
    let ports: Vec<String> = system.old.iter().map(|(_, address)| address.port().to_string()).collect();
    format!("  Dialects   ports {}: as the older systems of docs/dialects\n", ports.join(", "))
}

/// Where orders are searched.
fn search(system: &System) -> String {
    let line = |url| format!("  Search     {url}/_search?pretty&q=WORDS\n");
    system.search.as_ref().map(line).unwrap_or_default()
}

/// Where its data is.
fn place(system: &System) -> String {
    let files = system.data.display();
    match &system.schema {
        None => files.to_string(),
        Some(schema) => {
            format!("the database's schemas {schema}_*; the simulated providers' ledger in {files}")
        }
    }
}

/// What is only played.
const fn simulated((payments, carrier): (bool, bool)) -> &'static str {
    match (payments, carrier) {
        (true, true) => "Payments and carrier are simulated: no money moves, nothing is shipped.",
        (true, false) => {
            "Payments are simulated, no money moves; the carrier is real, and goods are shipped."
        }
        (false, true) => "The carrier is simulated, nothing is shipped; payments are real, and money moves.",
        (false, false) => "Payments and carrier are real: money moves, and goods are shipped.",
    }
}

/// What somebody made of the simulated providers, and may have forgotten.
fn told(told: &[(&str, Mode)], elsewhere: &str) -> String {
    let line = |(provider, mode): &(&str, Mode)| {
        let (mode, meaning) = (mode.as_str(), mode.meaning());
        format!(
            "  Still told so: {provider}={mode} ({meaning}). Undo: cartwright simulate {provider}=up{elsewhere}\n"
        )
    };
    told.iter().map(line).collect()
}

/// What else holds work back.
fn held(held: &[Held], operator: &str) -> String {
    let line = |held: &Held| {
        let undo = put_command(operator, &held.path, held.undo);
        format!("  Still so: {}. Undo: {undo}\n", held.what)
    };
    held.iter().map(line).collect()
}

pub fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{} {error}", Paint::stderr().red("error:"));
    ExitCode::FAILURE
}
