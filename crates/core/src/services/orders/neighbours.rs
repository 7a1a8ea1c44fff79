//! What neighbours of older systems say on their topics, and how an order takes it.

use std::sync::Arc;

use uuid::Uuid;

use super::{Order, PlaceOrder, Rejection, advance, place_order};
use crate::{
    domain::{
        flow::{By, StepKind},
        ids::OrderId,
        order::{Actor, Facts, OrderCommand, OrderEvent, OrderStatus, Report, StepReport},
        time::Timestamp,
    },
    ports::Delivery,
    services::{Ctx, Turn},
};

/// Reads what neighbours say.
pub trait Neighbours: Send + Sync {
    /// Whether a delivery is our own word, come back to us.
    fn is_ours(&self, delivery: &Delivery) -> bool;

    /// What a delivery says; `None`: it comes from no neighbour.
    ///
    /// # Errors
    /// It is malformed: it will be set aside with this reason.
    fn hear(&self, delivery: &Delivery) -> Option<Result<Said, String>>;
}

/// What a neighbour said.
#[derive(Debug)]
pub struct Said {
    /// Its name for this message, or one made up from it; the same in a repeat.
    pub event_id: Uuid,
    /// The order.
    pub order: OrderId,
    /// The dialect.
    pub dialect: &'static str,
    /// What it said of it.
    pub what: Saying,
}

/// What may be said of an order.
#[derive(Debug)]
pub enum Saying {
    /// Their front has taken it. A second time changes nothing.
    Placed(Box<PlaceOrder>),
    /// The client calls its state so.
    Word(String),
    /// What came of the step of this kind, which is theirs.
    Step {
        /// The kind of the step.
        kind: StepKind,
        /// What came of it.
        report: Report,
        /// When the goods should arrive, if that is planned now.
        eta: Option<Timestamp>,
    },
}

impl Said {
    /// Whether it makes an order.
    pub(in crate::services) fn creates(&self) -> bool {
        matches!(self.what, Saying::Placed(_))
    }
}

/// Has an order take what was said. An error says why it can't be applied yet.
pub(super) fn take(
    record: &mut Option<Arc<Order>>,
    said: &Said,
    ctx: &mut Ctx<'_>,
    turn: &mut Turn,
) -> Result<(), String> {
    let order = match (&said.what, record) {
        (Saying::Placed(place), record @ None) => {
            let taken = place_order(record, place, None, ctx, turn);
            return taken.map(|_| ()).map_err(|rejection: Rejection| rejection.to_string());
        }
        (_, None) => return Err(format!("order {} is not known (yet)", said.order)),
        (_, Some(order)) => order,
    };
    if order.placed.dialect.as_deref() != Some(said.dialect) {
        return Err(format!("order {} is none of {}", said.order, said.dialect));
    }
    let first = match &said.what {
        // Said again. Where clients give words, what was said is counted, too.
        Saying::Placed(_) => {
            let word = order.word.clone().filter(|_| order.status == OrderStatus::Open);
            word.map(OrderEvent::WordSet).into_iter().collect()
        }
        Saying::Word(word) => {
            let command = OrderCommand::SetWord { word: word.clone(), again: true };
            order.decide(&command).map_err(|refusal| refusal.why)?
        }
        Saying::Step { kind, report, eta } => {
            let theirs = |step: &&crate::domain::flow::Step| step.kind == *kind && step.by == By::Neighbour;
            let Some(step) = order.steps.iter().find(theirs).map(|step| step.number) else {
                return Err(format!("no step {} of order {} is theirs", kind.as_str(), said.order));
            };
            let facts = eta.map_or(Facts::None, |eta| Facts::Plan { id: order.shipment_id(), eta });
            order.fold(&StepReport { step, report: report.clone(), facts })?
        }
    };
    if !first.is_empty() {
        let actor = Actor::api(&format!("{} neighbour", said.dialect));
        advance(Arc::make_mut(order), first, Some(said.event_id), &actor, ctx, turn);
    }
    Ok(())
}
