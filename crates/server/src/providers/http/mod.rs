//! A payment provider and a carrier that answer over HTTP, as `docs/providers.md` asks of them.
//!
//! [`Endpoint`] knows how one is asked and what an answer's status, or its absence, means. [`HttpPayments`] and
//! [`HttpCarrier`] know the calls.

mod answer;
mod carrier;
mod endpoint;
mod payments;

pub use self::{
    carrier::HttpCarrier,
    endpoint::{Endpoint, HttpSettings, UrlError},
    payments::HttpPayments,
};
