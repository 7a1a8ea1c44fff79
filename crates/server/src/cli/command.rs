//! The command line as a whole.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use super::{
    EXIT_CODES, backup, completions, config, copy, doctor, events, exit, index, load, migrate, orders,
    parked, providers, serve, services, simulate, topics, up, verify, waiting,
};
use crate::chaos;

/// Takes orders, has them paid and shipped, and loses none
#[derive(Parser)]
#[command(version, propagate_version = true, after_help = EXIT_CODES)]
pub(super) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the whole system in one process
    Up(up::UpArgs),
    /// Run some roles of a system on PostgreSQL, with or without Kafka
    Serve(serve::ServeArgs),
    /// Place, show, watch and change orders
    Orders(orders::OrdersArgs),
    /// Follow the events of the topics
    Events(events::EventsArgs),
    /// Show what the topics hold
    Topics(topics::TopicsArgs),
    /// Place many orders, and remember durably which were answered
    Load(load::LoadArgs),
    /// Show how the simulated providers behave, or make them behave otherwise
    Simulate(simulate::SimulateArgs),
    /// Show whether the providers are called, switch them off, or on at a rate
    Providers(providers::ProvidersArgs),
    /// Show how the services are, pause one, or have it go on
    Services(services::ServicesArgs),
    /// Look at events that could not be applied, try them again, or give them up
    Parked(parked::ParkedArgs),
    /// List open orders, what they wait for and since when
    Waiting(waiting::WaitingArgs),
    /// Copy a data directory, while the system runs or while it is stopped
    Backup(backup::BackupArgs),
    /// Make a new data directory of a backup
    Restore(backup::RestoreArgs),
    /// Move a stopped system from its data directory into a database
    Copy(copy::CopyArgs),
    /// Bring files or database up to what this binary needs, or show what that would change
    Migrate(migrate::MigrateArgs),
    /// Show how far the search index is, or make it anew
    Index(index::IndexArgs),
    /// Compare answered orders, stored orders and the providers' ledger
    Verify(verify::VerifyArgs),
    /// Look at everything that a system needs, and say what to do where it is not well
    Doctor(doctor::DoctorArgs),
    /// Print and check settings
    Config(config::ConfigArgs),
    /// Print the script that completes our commands in a shell
    Completions(completions::CompletionsArgs),
}

/// The program: does what its arguments say. Here and not in `main.rs`, whose every build would compile all that these
/// commands wait for once more.
pub fn main() -> ExitCode {
    if let Err(wrong) = chaos::begin() {
        eprintln!("cartwright: {wrong}");
        return ExitCode::from(2);
    }
    let command = Cli::parse().command;
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(command)),
        Err(error) => {
            eprintln!("cartwright: the system gives this process no threads: {error}");
            ExitCode::from(exit::FAILED)
        }
    }
}

async fn run(command: Command) -> ExitCode {
    match command {
        Command::Up(args) => up::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Orders(args) => orders::run(args).await,
        Command::Load(args) => load::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Providers(args) => providers::run(args).await,
        Command::Services(args) => services::run(args).await,
        Command::Parked(args) => parked::run(args).await,
        Command::Waiting(args) => waiting::run(args).await,
        Command::Backup(args) => backup::backup(&args),
        Command::Restore(args) => backup::restore(&args),
        Command::Copy(args) => copy::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Index(args) => index::run(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Doctor(args) => doctor::run(args).await,
        Command::Events(args) => events::run(args).await,
        Command::Topics(args) => topics::run(args).await,
        Command::Config(args) => config::run(&args),
        Command::Completions(args) => completions::run(&args, &mut Cli::command()),
    }
}
