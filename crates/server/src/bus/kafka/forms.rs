//! What is said of our orders on the topics of others.

use cartwright_core::{domain::order::Order, events::Envelope, ports::Headers};

/// Says what happened to orders in the words of others.
pub trait Forms: Send + Sync {
    /// What is said of an event of an order; the same whenever it is asked.
    fn messages(&self, event: &Envelope, order: &Order) -> Vec<Written>;
}

/// The header of whatever we say there.
pub const OURS: (&str, &str) = ("ce_source", "/cartwright/orders");

/// A message for a topic of others.
#[derive(Clone, Debug)]
pub struct Written {
    /// The topic's whole name.
    pub topic: String,
    /// Its headers.
    pub headers: Headers,
    /// What it says.
    pub value: Vec<u8>,
}
