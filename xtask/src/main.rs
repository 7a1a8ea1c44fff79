//! Cartwright's own chores: `cargo xtask test`, `cargo xtask lint`, `cargo xtask sim`, `cargo xtask seed`,
//! `cargo xtask bench`, `cargo xtask servers`.

mod bench;
mod budget;
mod cargo;
mod deploy;
mod directions;
#[cfg(test)]
mod guarantees;
mod lint;
mod seed;
mod servers;
mod sim;
mod suites;
mod supply;
mod table;

use std::{error::Error, process::ExitCode};

use clap::{Parser, Subcommand};

/// As in the server, so that what is compared to it allocates as fast.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a chore can fail with: it is only ever shown.
type Failure = Box<dyn Error + Send + Sync>;

/// Cartwright's own chores
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check the dependency directions and the files of `deploy`, build everything once, run every test
    Test(suites::TestArgs),
    /// Check the formatting, and let clippy look at everything
    Lint,
    /// Run the whole system in one thread, with everything going wrong that a seed decides
    Sim(sim::SimArgs),
    /// Fill a new data directory with many orders
    Seed(seed::SeedArgs),
    /// Measure the speed of this machine and of Cartwright on it
    Bench(bench::BenchArgs),
    /// Check licences, unused libraries, and that each library has a reason
    Supply(supply::SupplyArgs),
    /// Load the system for long, with more than it can do, and draw what became of it
    Soak(bench::soak::SoakArgs),
    /// Real servers for tests: PostgreSQL, Kafka and OpenSearch
    Servers(servers::ServersArgs),
    /// A handler that answers orders without storing them
    #[command(hide = true)]
    Bare,
    /// What the files allow at best
    #[command(hide = true)]
    Limit(bench::LimitArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().chore {
        Chore::Test(args) => suites::run(&args),
        Chore::Lint => lint::run(),
        Chore::Sim(args) => sim::run(&args),
        Chore::Seed(args) => seed::run(&args),
        Chore::Bench(args) => bench::run(&args),
        Chore::Supply(args) => supply::run(&args),
        Chore::Soak(args) => bench::soak::run(&args),
        Chore::Servers(args) => servers::run(&args),
        Chore::Bare => bench::bare(),
        Chore::Limit(args) => bench::limit(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
