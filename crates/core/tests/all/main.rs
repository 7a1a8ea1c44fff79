//! The core's integration tests, in one binary.

mod golden;
mod order_life;
mod world;
