//! The loops: take in, step, back off, shut down. What a batch means is decided in the core.

pub mod gauges;
pub mod inbox;
pub mod operator;
pub mod parked;
pub mod runner;
pub mod service;
pub mod sweeper;
