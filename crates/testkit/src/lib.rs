//! What tests need beside the code under test: a store in memory, builders, and the contract that every store keeps.
//!
//! * [`memory_store`]: the `Store` port as a model, so simple that it is obviously right.
//! * [`store_contract`]: one suite for every adapter of the port; see [`store_contract!`](crate::store_contract!).
//! * [`sim`]: the simulator, in which one seed decides everything.
//! * [`garbage`]: what nobody should send, for everything that reads from outside.
//! * [`build`]: commits, tasks and events in one line; [`asks`]: commands, and a clock that stands still.
//! * `power`, with the feature of this name: a disk under SQLite that loses power, fails and fills up.
#![deny(missing_docs)]

pub mod asks;
pub mod build;
pub mod garbage;
pub mod memory_store;
#[cfg(feature = "power")]
pub mod power;
pub mod sim;
pub mod store_contract;
mod waiting;

pub use memory_store::MemoryStore;
pub use waiting::block_on;
