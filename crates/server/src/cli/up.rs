//! `cartwright up`: the whole system in one process on embedded parts.

use std::{io::IsTerminal, path::PathBuf, process::ExitCode};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    compose::{self, System},
    config::Config,
    telemetry,
};

/// Run the whole system on embedded parts
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  cartwright up --data ./shop --listen 127.0.0.1:9000\n\n\
    Settings: a file given with --config < environment (CARTWRIGHT__HTTP__LISTEN=127.0.0.1:9000) < flags.")]
pub struct UpArgs {
    /// Where the data is kept [default: ./cartwright-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port of the API [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// A file of settings
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs until SIGTERM or SIGINT; a second signal stops at once.
pub async fn run(args: UpArgs) -> ExitCode {
    let config = match read_config(&args) {
        Ok(config) => config,
        Err(error) => return fail(&error),
    };
    telemetry::start_logging(&config.log.filter, config.log.format);
    match compose::start(&config, telemetry::metrics::start()).await {
        Ok(system) => until_stopped(system).await,
        Err(error) => fail(&error),
    }
}

fn read_config(args: &UpArgs) -> Result<Config, crate::config::ConfigError> {
    let mut flags = Vec::new();
    if let Some(data) = &args.data {
        flags.push(("data.dir", data.display().to_string()));
    }
    if let Some(listen) = &args.listen {
        flags.push(("http.listen", listen.clone()));
    }
    Config::read(args.config.as_deref(), &flags)
}

async fn until_stopped(system: System) -> ExitCode {
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

/// Where things are, and a first order ready to paste.
fn welcome(system: &System) {
    let address = system.address;
    let bold = |text: &str| {
        if std::io::stdout().is_terminal() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    };
    let usual = address.ip().is_loopback() && address.port() == 8080;
    let elsewhere = if usual { String::new() } else { format!(" --server http://{address}") };
    let admin =
        system.admin.map(|own| format!("  Admin      http://{own}/v1/admin/services\n")).unwrap_or_default();
    println!(
        "{} is up.\n\
         \n\
         \x20 API        http://{address}/v1/orders\n\
         \x20 Docs       http://{address}/docs\n\
         \x20 Health     http://{address}/health/ready\n\
         \x20 Metrics    http://{address}/metrics\n\
         {admin}\
         \x20 Data       {}\n\
         \x20 {}\n\
         \n\
         A first order:\n\
         \n\
         \x20 curl -s http://{address}/v1/orders -H 'Content-Type: application/json' -d '\n\
         \x20   {{\"customer\":{{\"id\":\"customer-123\"}},\"currency\":\"USD\",\n\
         \x20    \"lines\":[{{\"sku\":\"product-456\",\"quantity\":2,\"unitPrice\":129999}}]}}'\n\
         \n\
         or: cartwright orders place --sample --watch{elsewhere}",
        bold("Cartwright"),
        system.data.display(),
        simulated(system.simulated),
    );
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

fn fail(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("cartwright: {error}");
    ExitCode::FAILURE
}
