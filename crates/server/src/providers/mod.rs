//! Payment providers and carriers: the simulated ones, and the ledger in which they write down what they did.

pub mod ledger;
pub mod simulated;

pub use ledger::{Ledger, LedgerError};
pub use simulated::{SimulatedCarrier, SimulatedPayments, SimulatedSettings};
