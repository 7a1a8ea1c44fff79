//! One test binary for the adapters: the contract on each of them, and what only one of them promises.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod copy;
mod garbage;
mod postgres;
mod postgres_leases;
mod postgres_proxy;
mod postgres_services;
mod postgres_tls;
mod power;
mod simulated;
mod sqlite;
mod upgrades;
