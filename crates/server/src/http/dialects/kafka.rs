//! What the dialects say and hear on Kafka, each in its own form.
//!
//! * One module for each system, with its [`Form`].
//! * [`fields`]: reading the JSON of a message; [`dates`]: moments as these systems write them.
//! * [`heard`]: what the forms have in common where they read.

pub mod cart_dotnet;
pub mod cart_fastapi;
mod fields;
mod heard;
pub mod order_fulfilment;
pub mod order_processing;
pub mod order_tracking;
#[cfg(test)]
mod tests;

use cartwright_core::{
    domain::{ids::OrderId, order::Order},
    events::Envelope,
    ports::Headers,
    services::Said,
};
use serde::Serialize;
use uuid::Uuid;

use super::dates;

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
    /// Names the place where it was read: the same whenever it is read there.
    pub place: Uuid,
}

impl Written {
    /// A message about an order, without headers.
    fn about(order: &Order, topic: &'static str, value: &impl Serialize) -> Self {
        // Plain structs with text keys: writing them into memory has no way to fail.
        let value = serde_json::to_vec(value).unwrap_or_default();
        Self { topic, key: order.id.clone(), headers: Headers::default(), value }
    }
}
