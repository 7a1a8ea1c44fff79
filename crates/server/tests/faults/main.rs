//! What may happen to a system of many processes, with the real binary, the real PostgreSQL and the real Kafka: each of
//! them is stopped, killed or frozen under load, and in the end `verify` judges whether anything was lost or done twice.
//!
//! These tests have servers of their own, which they stop and kill: they run one at a time (`--test-threads=1`).

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod cluster;
mod dialects;
mod kafka;
mod neighbour;
mod processes;
mod secure;
mod servers;
mod wire;
