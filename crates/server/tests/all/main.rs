//! The whole system over real HTTP: each test starts its own on a port and a data directory of its own.
//!
//! Nothing here waits for a time: [`harness::wait_until`] waits for what must come true.
#![expect(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod bad_inputs;
mod changing;
mod chaos;
mod cli;
mod cli_troubles;
mod dialects;
mod embedded;
mod events;
mod flows;
mod garbage;
mod harness;
mod keys;
mod lists;
mod operations;
mod parked;
mod placing;
mod providers;
mod restarts;
mod search;
mod secrets;
mod signals;
mod story;
mod telemetry;
