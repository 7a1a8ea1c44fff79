//! Orders, payments, shipments, money and flows: pure state and pure transitions.

pub mod flow;
pub mod ids;
pub mod money;
pub mod order;
pub mod payment;
pub mod shipment;
pub mod time;
