//! Cartwright's server: the ports of the core on real parts, HTTP around them, and the command line.
//!
//! `http` and `workers` see ports, never adapters; [`compose`] is the only module that knows which parts are used.

mod backoff;
pub mod bus;
pub mod chaos;
pub mod cli;
pub mod clock;
pub mod compose;
pub mod config;
pub mod control;
mod files;
pub mod http;
pub mod providers;
pub mod redact;
pub mod search;
pub mod telemetry;
pub mod workers;
