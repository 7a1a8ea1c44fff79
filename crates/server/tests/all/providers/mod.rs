//! The providers: real ones over HTTP, simulated ones that are steered, and the gate before both.

mod adapter;
mod fake;
mod http;
mod scenarios;
mod simulated;
mod switched;
