//! `cargo xtask sim`: runs the simulator, built for speed.

use std::{path::Path, process::Command, time::SystemTime};

use clap::Args;

use crate::{
    Failure,
    cargo::{build, path_of},
};

#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct SimArgs {
    /// Handed on to the simulator; `cargo xtask sim --help` shows what it takes
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

/// The name of the program.
pub const PROGRAM: &str = "sim";

/// Runs it. `false` if a seed failed.
///
/// # Errors
/// It can't be built or run.
pub fn run(args: &SimArgs) -> Result<bool, Failure> {
    match build(&["--release", "-p", "cartwright-testkit", "--example", PROGRAM])? {
        Some(built) => Ok(Command::new(path_of(&built, PROGRAM)?).args(&args.args).status()?.success()),
        None => Ok(false),
    }
}

/// Runs every seed that ever failed, and fresh ones for so many minutes. `false` if one failed.
///
/// # Errors
/// It can't be run.
pub fn run_fresh(program: &Path, minutes: f64) -> Result<bool, Failure> {
    let from = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs() << 20;
    let minutes = minutes.to_string();
    let from = from.to_string();
    let args = ["--kept", "--minutes", minutes.as_str(), "--from", from.as_str()];
    Ok(Command::new(program).args(args).status()?.success())
}
