//! `cartwright`: one binary for everything.

use std::process::ExitCode;

use cartwright_server::cli::{backup, load, orders, simulate, up, verify};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Takes orders, has them paid and shipped, and loses none
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole system on embedded parts
    Up(up::UpArgs),
    /// Place, show, list and cancel orders
    Orders(orders::OrdersArgs),
    /// Place many orders, and remember durably which were answered
    Load(load::LoadArgs),
    /// Show how the simulated providers behave, or make them behave otherwise
    Simulate(simulate::SimulateArgs),
    /// Copy a data directory, while the system runs or while it is stopped
    Backup(backup::BackupArgs),
    /// Make a new data directory of a backup
    Restore(backup::RestoreArgs),
    /// Compare answered orders, stored orders and the providers' ledger
    Verify(verify::VerifyArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Up(args) => up::run(args).await,
        Command::Orders(args) => orders::run(args).await,
        Command::Load(args) => load::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Verify(args) => verify::run(args).await,
    }
}
