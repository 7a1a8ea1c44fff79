//! What the dialects say and hear on Kafka, each in its own form.

use cartwright_core::{
    domain::{ids::OrderId, order::Order},
    events::Envelope,
    ports::Headers,
    services::Said,
};

/// The Kafka form of a dialect.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// The topics that the front writes: whoever takes the orders.
    pub front: &'static [&'static str],
    /// The topics that the back writes: whoever works on them.
    pub back: &'static [&'static str],
    /// What is said, on either side's topics, when this happened to an order of the dialect. The same event makes the same
    /// messages whenever it is asked, so that a repeat is known as one. Of the order only what never changes is the order as
    /// it was then: what was placed, by whom, and what is final.
    pub write: fn(&Envelope, &Order, Letters) -> Vec<Written>,
    /// What a message says.
    pub read: fn(&Message<'_>) -> Result<Said, String>,
}

/// How names of JSON are written where a system has two ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Letters {
    /// `orderId`
    #[default]
    Camel,
    /// `OrderId`
    Pascal,
}

/// A message for a topic of a dialect.
#[derive(Clone, Debug)]
pub struct Written {
    /// The topic, one of the form's.
    pub topic: &'static str,
    /// Its key.
    pub key: OrderId,
    /// Its headers.
    pub headers: Headers,
    /// Its JSON.
    pub value: Vec<u8>,
}

/// A message from a topic of a dialect.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The topic, one of the form's.
    pub topic: &'a str,
    /// Its key.
    pub key: &'a [u8],
    /// Its headers.
    pub headers: &'a Headers,
    /// Whatever it holds.
    pub value: &'a [u8],
}
