//! Formatting, and clippy on everything.

use crate::{Failure, cargo::cargo};

/// Runs both, so that one run shows all there is to mend.
///
/// # Errors
/// Cargo can't be run.
pub fn run() -> Result<bool, Failure> {
    let formatted = cargo(&["fmt", "--all", "--check"]).status()?.success();
    let clippy = ["clippy", "--workspace", "--all-targets", "--profile", "ci", "--", "-D", "warnings"];
    let clean = cargo(&clippy).status()?.success();
    if !formatted {
        eprintln!("xtask: `cargo fmt --all` mends the formatting");
    }
    Ok(formatted && clean)
}
