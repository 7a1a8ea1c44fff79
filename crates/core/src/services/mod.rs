//! The three services. Each owns one store and is the only writer of its records in its process: commands,
//! deliveries and task results all pass through its [`Engine`], one batch after the other.
//!
//! ```text
//! inputs ─► Engine::step ─► load records ─► Logic decides each input in order ─► one commit ─► answers, tasks
//! ```
//!
//! [`Logic`] is pure: a record and an input in, a changed record and a [`Turn`] of effects out. The engine knows
//! batches, guards, conflicts, parking and cursors, and nothing of orders or money.

mod calls;
mod engine;
mod fulfillment;
mod orders;
mod parking;
mod payments;
mod retry;
mod schedule;
mod steps;
mod turn;

use std::time::Duration;

pub use self::{
    calls::{CallResult, Providers, TaskDone},
    engine::{Engine, Input, StepReport, Unfinished},
    fulfillment::Fulfillment,
    orders::{
        Answered, Ask, CREATED_TO_SHIPPED, Neighbours, OrderAnswer, Orders, PlaceOrder, Rejection, Request,
        SHIP_SCENARIO, Said, Saying, Variation,
    },
    parking::{Unpark, Unparked},
    payments::Payments,
    retry::RetryPolicy,
    schedule::Schedule,
    steps::{Came, Performer, Wait},
    turn::{Ctx, Logic, NoCommand, Target, Turn},
};

/// Inputs in one batch, at most.
pub const MAX_BATCH: usize = 512;

/// Rounds of deciding again after conflicts before a step gives up and its inputs wait for the next one.
pub const MAX_ROUNDS: usize = 16;

/// Records that a service keeps in memory between batches.
pub const CACHED_RECORDS: usize = 8_192;

/// Bytes that their JSON may have together.
pub const CACHED_BYTES: usize = 64 * 1024 * 1024;

/// Events of one order that may be parked; more are not kept.
pub const MAX_PARKED: usize = 256;

/// Open orders, at most.
pub const MAX_OPEN_ORDERS: u64 = 1_000_000;

/// What the services may be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Orders that may be open at once; more are refused.
    pub max_open_orders: u64,
    /// How long the sweeper waits for an answer before it asks again; doubles with each time, up to 64 times.
    pub sweep_after: Duration,
    /// How long an operation may stay unknown before it is given up by undoing it.
    pub deadline: Duration,
    /// When calls are repeated.
    pub retry: RetryPolicy,
    /// For how long a task is leased beyond its due time: longer than a call's total time.
    pub lease: Duration,
    /// How long a shipment takes to arrive.
    pub eta: Duration,
    /// The provider of orders that name none.
    pub default_provider: String,
    /// Whether this process is the only writer of the store, so that a record in memory is as it stands.
    pub exclusive: bool,
    /// Whether the store keeps how far its sources are read. Kafka keeps that itself.
    pub keeps_cursors: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_open_orders: MAX_OPEN_ORDERS,
            sweep_after: Duration::from_secs(300),
            deadline: Duration::from_secs(24 * 3600),
            retry: RetryPolicy::default(),
            lease: Duration::from_secs(60),
            eta: Duration::from_secs(3 * 24 * 3600),
            default_provider: "simulated".into(),
            exclusive: false,
            keeps_cursors: true,
        }
    }
}
