//! Orders, payments, shipments, money and flows: pure state and pure transitions.

pub mod flow;
pub mod frozen;
pub mod fulfillment;
pub mod ids;
pub mod money;
pub mod operation;
pub mod order;
pub mod payment;
pub mod performed;
pub mod time;
