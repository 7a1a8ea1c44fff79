//! The core's integration tests, in one binary.
#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod engine;
mod garbage;
mod golden;
mod order_life;
mod unpark;
