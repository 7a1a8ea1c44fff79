//! x
pub mod cli;
pub mod providers;
