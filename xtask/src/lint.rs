//! Formatting, and clippy on everything.

use std::time::Instant;

use crate::{Failure, budget, cargo::cargo};

/// Runs both, so that one run shows all there is to mend.
///
/// # Errors
/// Cargo can't be run.
pub fn run() -> Result<bool, Failure> {
    let slowness = budget::slowness();
    let formatted = cargo(&["fmt", "--all", "--check"]).status()?.success();
    let began = Instant::now();
    let clippy =
        ["clippy", "--locked", "--workspace", "--all-targets", "--profile", "ci", "--", "-D", "warnings"];
    let clean = cargo(&clippy).status()?.success();
    if !formatted {
        eprintln!("xtask: `cargo fmt --all` mends the formatting");
    }
    let (took, may) = (began.elapsed(), budget::of("clippy").mul_f64(slowness.max(budget::slowness())));
    println!("clippy took {} s of {}", took.as_secs(), may.as_secs());
    Ok(formatted && clean && took <= may)
}
