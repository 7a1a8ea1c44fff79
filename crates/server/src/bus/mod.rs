//! How a service reads the events of the others.

pub mod journal;
pub mod kafka;
pub mod lanes;
mod progress;
pub mod reports;
