//! `cargo xtask seed`: fills a data directory with many orders.

use std::{path::PathBuf, process::Command};

use clap::Args;

use crate::{
    Failure,
    cargo::{build, path_of},
};

#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct SeedArgs {
    /// Handed on to the program; `cargo xtask seed --help` shows what it takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

const PROGRAM: &str = "seed";

/// Fills it. `false` if that failed.
///
/// # Errors
/// It can't be built or run.
pub fn run(args: &SeedArgs) -> Result<bool, Failure> {
    Ok(Command::new(program()?).args(&args.args).status()?.success())
}

/// Builds the program that does it.
///
/// # Errors
/// It can't be built.
pub fn program() -> Result<PathBuf, Failure> {
    let built = build(&["--release", "-p", "cartwright-store", "--example", PROGRAM])?;
    Ok(path_of(&built.ok_or("the seeding program can't be built")?, PROGRAM)?.to_owned())
}
