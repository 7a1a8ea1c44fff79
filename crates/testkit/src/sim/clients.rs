//! Clients: they place and change orders, lose patience, hang up, and ask again under the same key.

use std::sync::Arc;

use cartwright_core::{
    domain::{
        frozen::Frozen,
        ids::OrderId,
        order::{Actor, CancelReason, Milestone, OrderCommand, PaymentIntent, Placed, PlacedBy},
    },
    ports::AnswerKey,
    services::{Ask, OrderAnswer, PlaceOrder, Rejection, Request as ChangeOrder, Variation},
};
use uuid::Uuid;

use crate::asks;

use super::{
    checks::Question,
    dice::{Dice, Of},
    plan::{Asked, Item, MILLI, Micros, Plan, SECOND, Style},
    service::Service,
    world::{Event, World},
};

/// The one caller of all requests; what differs are the keys.
const CALLER: &str = "client";
/// Commands that may wait at an instance.
const MAX_COMMANDS: usize = 64;
/// How often a client comes back when too many orders are open. Some may be open for good.
const PATIENT: u32 = 16;

/// Something that a client wants, however often it has to ask.
pub(super) struct Request {
    pub order: usize,
    pub id: OrderId,
    /// What to change; `None`: to place it.
    pub change: Option<Asked>,
    pub key: Option<String>,
    /// Whether asking again can't do harm.
    pub repeatable: bool,
    patience: Micros,
    pub attempt: u32,
    pub over: bool,
    /// When it was over; what it had sent may be carried out all the same.
    ended: Micros,
    /// The version that somebody had been told when the last attempt was sent.
    floor: u64,
    /// When the last attempt arrived.
    arrived: Micros,
}

/// No process is frozen for longer.
const LONGEST_FREEZE: Micros = 120 * SECOND;

/// What comes back to a client.
pub(super) enum Reply {
    /// An answer.
    Answer(OrderAnswer),
    /// Too much is waiting: nothing was done.
    Busy,
    /// The store failed: nobody knows.
    Unknown,
    /// The connection is lost.
    Gone,
}

impl Request {
    fn end(&mut self, now: Micros) {
        self.over = true;
        self.ended = now;
    }

    /// The request of an item of the plan.
    pub fn new(seed: u64, plan: &Plan, number: usize, item: &Item) -> Self {
        let request = |order: usize, change: Option<Asked>, key: Option<String>, patience: Micros| {
            let style = plan.orders[order].style;
            Self {
                order,
                id: id_of(seed, plan, order),
                repeatable: key.is_some() || (change.is_none() && style != Style::Fresh),
                change,
                key,
                patience,
                attempt: 0,
                over: false,
                ended: 0,
                floor: 0,
                arrived: 0,
            }
        };
        match item {
            Item::Change { order, ask, key, patience, .. } => {
                let key = key.then(|| format!("change-{order}-{number}"));
                request(*order, Some(*ask), key, *patience)
            }
            Item::Place { order, patience, .. } => request(*order, None, place_key(plan, *order), *patience),
            other => unreachable!("{other:?} is no request"),
        }
    }
}

impl World<'_> {
    /// A client sends a request, or sends it again.
    pub fn send(&mut self, request: usize) {
        let instances = self.plan.shape.instances as u64;
        let Self { requests, checks, dice, now, .. } = self;
        let asked = &mut requests[request];
        if asked.over {
            return;
        }
        asked.attempt += 1;
        asked.floor = checks.answered_version(&asked.id);
        let attempt = asked.attempt;
        let thing = [request as u64, u64::from(attempt)];
        let instance = (dice.throw(Of::Client, &thing) % instances) as usize;
        // Who is impatient at first learns to wait.
        let patience = asked.patience << (attempt - 1).min(8);
        let id = asked.id.clone();
        let what = asked.change;
        self.trace.say(*now, Some(&id), || format!("client: asks for {what:?} of {id} (attempt {attempt})"));
        let way = dice.between(Of::Way, &thing, 100, 5 * MILLI);
        self.push(way, &thing, Event::Arrive { request, attempt, instance });
        self.push(patience, &thing, Event::HangUp { request, attempt });
    }

    /// A request arrives.
    pub fn arrive(&mut self, request: usize, attempt: u32, instance: usize) {
        debug_assert_eq!(self.instances[instance].service, Service::Orders);
        let ask = Arc::new(self.ask(request));
        let asked = &mut self.requests[request];
        // An earlier attempt may arrive after the last one, and would be taken for it.
        if attempt == asked.attempt {
            asked.arrived = self.now;
        }
        let reply = match &mut self.instances[instance].alive {
            None => Some(Reply::Gone),
            Some(alive) if alive.inbox.commands.len() >= MAX_COMMANDS => Some(Reply::Busy),
            Some(alive) => {
                alive.last_token += 1;
                alive.waiting.insert(alive.last_token, (request, attempt));
                alive.inbox.commands.push_back((alive.last_token, ask));
                None
            }
        };
        match reply {
            Some(reply) => self.push(MILLI, &[40, request as u64], Event::Back { request, attempt, reply }),
            None => self.call(instance, 50),
        }
    }

    /// An instance of orders has answered.
    pub fn answered(&mut self, request: usize, attempt: u32, trouble: Micros, answer: OrderAnswer) {
        let asked = &self.requests[request];
        let id = asked.id.clone();
        match &answer {
            Ok(answered) => {
                self.coverage.orders += u64::from(answered.created);
                self.coverage.replays += u64::from(answered.replayed);
            }
            Err(Rejection::Full(_)) => self.coverage.refused_full += 1,
            Err(Rejection::ExternalIdTaken(_)) => self.coverage.taken += 1,
            Err(_) => {}
        }
        self.trace.say(self.now, Some(&id), || match &answer {
            Ok(a) => format!(
                "client: {id} is answered with version {} ({:?}, created {}, replayed {})",
                a.order.version, a.order.status, a.created, a.replayed
            ),
            Err(rejection) => format!("client: {id} is refused: {rejection}"),
        });
        // A frozen process carries out in one batch what was sent all the while, also by clients that have gone.
        let still = |r: &&Request| !r.over || r.ended + LONGEST_FREEZE >= asked.arrived;
        let rivals = self.requests.iter().filter(still);
        let rivals = rivals.filter(|r| r.attempt > 0 && r.change.is_none()).count();
        let question = Question {
            request,
            order: &asked.id,
            place: asked.change.is_none(),
            moves_milestone: asked.change == Some(Asked::Milestone),
            key: asked.key.as_deref(),
            // An earlier attempt may be answered after a later one was sent: then it is not known when it was.
            floor: if attempt == asked.attempt { asked.floor } else { 0 },
            arrived: (attempt == asked.attempt).then_some(asked.arrived),
            trouble,
            rivals,
        };
        self.checks.answer(self.now, &question, &answer);
        let way = self.dice.between(Of::Way, &[41, request as u64, u64::from(attempt)], 100, 5 * MILLI);
        self.push(way, &[41, request as u64], Event::Back { request, attempt, reply: Reply::Answer(answer) });
    }

    /// A client hears back.
    pub fn back(&mut self, request: usize, attempt: u32, reply: Reply) {
        let asked = &mut self.requests[request];
        if asked.over || asked.attempt != attempt {
            return;
        }
        let again = match reply {
            Reply::Answer(Err(Rejection::Full(_))) if attempt > PATIENT => None,
            Reply::Answer(Err(Rejection::Full(_))) | Reply::Busy => Some(SECOND),
            // A change that came before its order: once more.
            Reply::Answer(Err(Rejection::NotFound(_))) if asked.repeatable && attempt < 4 => Some(SECOND),
            Reply::Answer(_) => None,
            Reply::Unknown | Reply::Gone if asked.repeatable => Some(200 * MILLI),
            Reply::Unknown | Reply::Gone => None,
        };
        match again {
            Some(after) => {
                let after = after << attempt.min(6);
                self.push(after, &[42, request as u64], Event::Send { request });
            }
            None => asked.end(self.now),
        }
    }

    /// A client's patience is at its end.
    pub fn hang_up(&mut self, request: usize, attempt: u32) {
        let asked = &mut self.requests[request];
        if asked.over || asked.attempt != attempt {
            return;
        }
        self.coverage.hang_ups += 1;
        if asked.repeatable {
            self.push(10 * MILLI, &[43, request as u64], Event::Send { request });
        } else {
            asked.end(self.now);
        }
    }

    /// Whoever holds an order lets it go, now that everything is to come to its end.
    pub fn release(&mut self, order: usize) {
        self.requests.push(Request {
            order,
            id: self.id(order),
            change: Some(Asked::Release),
            key: None,
            repeatable: false,
            patience: 10 * SECOND,
            attempt: 0,
            over: false,
            ended: 0,
            floor: 0,
            arrived: 0,
        });
        let request = self.requests.len() - 1;
        self.push(MILLI, &[44, order as u64], Event::Send { request });
    }

    fn ask(&self, request: usize) -> Ask {
        let asked = &self.requests[request];
        let Some(change) = asked.change else { return self.place(asked) };
        let command = match change {
            Asked::Cancel => OrderCommand::Cancel { reason: CancelReason::Customer, note: None },
            Asked::Hold => OrderCommand::Hold { note: None },
            Asked::Release => OrderCommand::Release { note: None },
            Asked::Milestone => {
                let milestone = Milestone::ALL[request % Milestone::ALL.len()];
                OrderCommand::SetMilestone(milestone)
            }
        };
        let key = asked.key.as_ref().map(|key| AnswerKey {
            order: asked.id.clone(),
            caller: CALLER.to_owned(),
            key: key.clone(),
        });
        Ask::Change(ChangeOrder {
            order: asked.id.clone(),
            command,
            actor: Actor::api(CALLER),
            key,
            expected: None,
        })
    }

    fn place(&self, asked: &Request) -> Ask {
        let stated = &self.plan.orders[asked.order];
        let placed = Frozen::new(placed(asked.order, stated.flow, stated.style));
        let intent = PaymentIntent::default();
        let has_id = !matches!(stated.style, Style::Key | Style::External | Style::Fresh);
        let id = has_id.then_some(asked.id.as_str());
        let fingerprint = PlaceOrder::fingerprint(id, &placed, &intent);
        let placed_by = PlacedBy { caller: CALLER.to_owned(), key: asked.key.clone(), fingerprint };
        Ask::Place(PlaceOrder {
            id: asked.id.clone(),
            placed,
            intent,
            placed_by,
            correlation_id: Uuid::from_u64_pair(self.seed, asked.order as u64),
            put: stated.style == Style::Put,
            variation: Variation::default(),
        })
    }
}

/// The id of an order of the plan.
pub(super) fn id_of(seed: u64, plan: &Plan, order: usize) -> OrderId {
    match (plan.orders[order].style, place_key(plan, order)) {
        (Style::Key | Style::External, Some(key)) => OrderId::from_key(CALLER, &key),
        (Style::Fresh, _) => {
            OrderId::from(Uuid::from_u64_pair(Dice::new(seed).throw(Of::Id, &[order as u64]), order as u64))
        }
        _ => OrderId::parse(&format!("order-{order}")).expect("a short word is an id"),
    }
}

/// The price of an order, by which it is told from others in the provider's ledger.
pub(super) const fn price(order: usize) -> i64 {
    1_000 + order as i64
}

/// The external id of an order is also that of its neighbour, so that some are taken.
fn external_id(order: usize) -> String {
    format!("external-{}", order / 2)
}

fn place_key(plan: &Plan, order: usize) -> Option<String> {
    let has_key = matches!(plan.orders[order].style, Style::Key | Style::IdAndKey | Style::External);
    has_key.then(|| format!("place-{order}"))
}

fn placed(order: usize, flow: &str, style: Style) -> Placed {
    let external_id = (style == Style::External).then(|| external_id(order));
    Placed { external_id, ..asks::placed(flow, 1, price(order)) }
}
