//! What is asked of the orders service, and what it answers.

use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{
        flow::{By, Step, StepKind},
        frozen::Frozen,
        ids::{OrderId, digest},
        order::{Actor, Order, OrderCommand, PaymentIntent, Placed, PlacedBy},
    },
    ports::AnswerKey,
};

/// What is asked of the orders service.
#[derive(Debug)]
pub enum Ask {
    /// A new order.
    Place(PlaceOrder),
    /// Something to be done about an order.
    Change(Request),
}

/// `PlaceOrder`: a new order, checked at the edge.
#[derive(Debug)]
pub struct PlaceOrder {
    /// Its id: the client's, derived from its key, or fresh.
    pub id: OrderId,
    /// What the client stated, added up.
    pub placed: Frozen<Placed>,
    /// How it is to be paid.
    pub intent: PaymentIntent,
    /// By whom, under which key.
    pub placed_by: PlacedBy,
    /// What ties everything about the order together.
    pub correlation_id: Uuid,
    /// Whether an identical order under this id is as good as a new one (`PUT`).
    pub put: bool,
    /// What of its flow goes otherwise for it.
    pub variation: Variation,
}

/// What of an order's flow goes otherwise for it than for others.
#[derive(Clone, Debug, Default)]
pub struct Variation {
    /// How long its `wait` steps take.
    pub wait_ms: Option<u32>,
    /// Steps of these kinds are a neighbour's to do.
    pub neighbours: Vec<StepKind>,
    /// Services tell when they begin its steps.
    pub announced: bool,
    /// So often its steps are tried.
    pub max_tries: Option<u32>,
    /// What its client calls its state at first.
    pub word: Option<String>,
    /// Somebody else has taken it already: it comes in however many are open.
    pub taken: bool,
}

impl Variation {
    pub(super) fn change(&self, steps: &mut [Step]) {
        for step in steps {
            if step.kind == StepKind::Wait && self.wait_ms.is_some() {
                step.wait_ms = self.wait_ms;
            }
            step.announced = self.announced;
            step.max_tries = self.max_tries;
            if self.neighbours.contains(&step.kind) {
                step.by = By::Neighbour;
            }
        }
    }
}

/// A command about an order that exists.
#[derive(Debug)]
pub struct Request {
    /// The order.
    pub order: OrderId,
    /// What is asked.
    pub command: OrderCommand,
    /// By whom.
    pub actor: Actor,
    /// Under which key its answer is saved.
    pub key: Option<AnswerKey>,
    /// The version that the caller has seen (`If-Match`).
    pub expected: Option<u64>,
}

/// What the orders service answers.
pub type OrderAnswer = Result<Answered, Rejection>;

/// It is done.
#[derive(Debug, Clone)]
pub struct Answered {
    /// The order as it stands (or stood, in a replay).
    pub order: Arc<Order>,
    /// Whether it was made by this.
    pub created: bool,
    /// Whether this repeats an earlier answer.
    pub replayed: bool,
}

/// Why something was not done. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// There is no such order.
    #[error("there is no order {0}")]
    NotFound(OrderId),
    /// Another order has this id.
    #[error("the id {0} is taken by another order")]
    IdTaken(OrderId),
    /// Another order has this external id.
    #[error("the externalId is taken by order {0}")]
    ExternalIdTaken(OrderId),
    /// The key came before with another body.
    #[error("this Idempotency-Key was used for another request")]
    KeyReused,
    /// It is so already, and asking again is not wanted.
    #[error("the order is so already")]
    Unchanged,
    /// Not in this state.
    #[error("{0}")]
    NotNow(String),
    /// The order has changed since the caller looked.
    #[error("the order has version {0} now")]
    Stale(u64),
    /// What is stored of the order is beyond this binary: an operator must look.
    #[error("the record of order {0} can't be read by this version")]
    Unreadable(OrderId),
    /// As many orders are open as we allow.
    #[error("{0} orders are open, and no more are taken until some are through")]
    Full(u64),
}

impl PlaceOrder {
    /// What tells this request from another under the same key: SHA-256 in hex over everything that was asked.
    /// `id` is the id as the client stated it.
    pub fn fingerprint(id: Option<&str>, placed: &Frozen<Placed>, intent: &PaymentIntent) -> String {
        #[derive(Serialize)]
        struct Asked<'a>(Option<&'a str>, &'a Frozen<Placed>, &'a PaymentIntent);
        let asked = serde_json::to_string(&Asked(id, placed, intent)).unwrap_or_default();
        hex(&digest("place", &[&asked]))
    }
}

impl Request {
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        digest("request", &[self.order.as_str(), &serde_json::to_string(&self.command).unwrap_or_default()])
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
