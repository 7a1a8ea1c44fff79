//! The pure heart of Cartwright: what an order is, what may happen to it, and what each service does about it.
//!
//! Nothing here does I/O: no runtime, no SQL, no HTTP, no Kafka. Time, ids and randomness are arguments. Whatever
//! touches the world stands behind a trait in [`ports`].
//!
//! * [`domain`]: orders, payments, shipments, money, flows; `decide(record, command) -> events`, `apply(record, event)`.
//! * [`events`]: the envelope, the versioned payloads and their codec.
//! * [`services`]: loaded records and a batch of inputs in, commits out.
//! * [`failpoint`]: places next to durable steps, where tests have a process end.
//! * [`ports`]: what the services need from the outside.
#![deny(missing_docs)]

pub mod domain;
pub mod events;
pub mod failpoint;
pub mod ports;
pub mod services;
