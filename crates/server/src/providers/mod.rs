//! Payment providers and carriers: over HTTP, or simulated with a ledger in which they write down what they did; and
//! the gate before either.

mod breaker;
pub mod gate;
pub mod http;
pub mod ledger;
mod pace;
pub mod simulated;
mod steered;
pub mod switches;

pub use self::{
    breaker::BreakerSettings,
    gate::{Gate, GateSettings, Gated},
    http::{Endpoint, HttpCarrier, HttpPayments, HttpSettings, UrlError},
    ledger::{Ledger, LedgerError},
    simulated::{SimulatedCarrier, SimulatedPayments, SimulatedSettings},
    switches::{Kept, Kind, SwitchError, Switches},
};
