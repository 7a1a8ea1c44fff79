//! The outside world: a payment provider and a carrier that keep to their contract, and a ledger of what they did.

use std::{collections::BTreeMap, time::Duration};

use cartwright_core::{
    domain::{ids::OrderId, money::Amount},
    ports::{CallOutcome, CancelOutcome, HeldBack, Shipped, UndoCall, Work},
    services::CallResult,
};

use super::{plan::Does, service::Service};

/// What was asked of the providers, by key.
#[derive(Default)]
pub(super) struct Provider {
    operations: BTreeMap<String, Operation>,
}

struct Operation {
    order: OrderId,
    service: Service,
    amount: Amount,
    state: State,
    /// Whether it ever took effect.
    happened: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Done,
    /// Done, and too late to stop.
    Gone,
    Refused,
    Undone,
}

/// What the providers hold of one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Charges that stand, and how much they are.
    pub charges: usize,
    /// The sum of the charges that stand.
    pub charged: Amount,
    /// Shipments that go.
    pub shipments: usize,
    /// Charges that ever were.
    pub charges_ever: usize,
    /// Shipments that ever were.
    pub shipments_ever: usize,
}

impl Provider {
    /// The call reaches the provider. What it answers may get lost on the way.
    pub fn carry_out(&mut self, work: &Work, does: Option<Does>) -> CallResult {
        match work {
            Work::Authorize(call) => {
                let outcome = self.operate(&call.key, &call.order_id, Service::Payments, call.amount, does);
                CallResult::Authorize(outcome.map_done(|| format!("ref-{}", call.key)))
            }
            Work::Ship(call) => {
                let outcome = self.operate(&call.key, &call.order_id, Service::Fulfillment, 0, does);
                CallResult::Ship(outcome.map_done(|| shipped(&call.key)))
            }
            Work::Void(call) => CallResult::Void(self.undo(call, Service::Payments, does).map_done(|| ())),
            Work::CancelShipment(call) => CallResult::Cancel(self.undo(call, Service::Fulfillment, does)),
            Work::Wait => CallResult::Waited,
        }
    }

    /// What stands of an order.
    pub fn held(&self, order: &OrderId) -> Held {
        let mut held = Held::default();
        for operation in self.operations.values().filter(|operation| operation.order == *order) {
            let stands = usize::from(matches!(operation.state, State::Done | State::Gone));
            let ever = usize::from(operation.happened);
            if operation.service == Service::Payments {
                held.charges += stands;
                held.charges_ever += ever;
                held.charged += if stands > 0 { operation.amount } else { 0 };
            } else {
                held.shipments += stands;
                held.shipments_ever += ever;
            }
        }
        held
    }

    fn operate(
        &mut self,
        key: &str,
        order: &OrderId,
        service: Service,
        amount: Amount,
        does: Option<Does>,
    ) -> CallOutcome<()> {
        if let Some(Does::HeldBack(ms)) = does {
            return held_back(ms);
        }
        if does == Some(Does::TurnsAway) {
            return CallOutcome::TurnedAway("answered 401".to_owned());
        }
        match self.operations.get(key).map(|operation| operation.state) {
            Some(State::Done | State::Gone) => return answered(does, CallOutcome::Done(())),
            Some(State::Refused | State::Undone) => {
                return answered(does, CallOutcome::Refused("this key is refused".to_owned()));
            }
            None => {}
        }
        let state = match does {
            Some(Does::LosesCall | Does::Hangs) => return unknown(),
            Some(Does::Waits) => return CallOutcome::Pending("under review".to_owned()),
            Some(Does::Refuses) => State::Refused,
            _ => State::Done,
        };
        let happened = state == State::Done;
        self.operations
            .insert(key.to_owned(), Operation { order: order.clone(), service, amount, state, happened });
        let outcome =
            if happened { CallOutcome::Done(()) } else { CallOutcome::Refused("refused".to_owned()) };
        answered(does, outcome)
    }

    fn undo(&mut self, call: &UndoCall, service: Service, does: Option<Does>) -> CallOutcome<CancelOutcome> {
        match does {
            Some(Does::LosesCall | Does::Hangs) => return unknown(),
            Some(Does::Waits) => return CallOutcome::Pending("under review".to_owned()),
            Some(Does::Refuses) => return CallOutcome::Refused("not now".to_owned()),
            Some(Does::TurnsAway) => return CallOutcome::TurnedAway("answered 401".to_owned()),
            Some(Does::HeldBack(ms)) => return held_back(ms),
            _ => {}
        }
        let operation = self.operations.entry(call.operation.clone()).or_insert_with(|| Operation {
            order: call.order_id.clone(),
            service,
            amount: 0,
            state: State::Undone, // its do is refused from now on
            happened: false,
        });
        if operation.state == State::Done {
            operation.state = if does == Some(Does::TooLate) { State::Gone } else { State::Undone };
        }
        let outcome = match operation.state {
            State::Gone => CancelOutcome::TooLate(shipped(&call.operation)),
            _ => {
                operation.state = State::Undone;
                CancelOutcome::Cancelled
            }
        };
        answered(does, CallOutcome::Done(outcome))
    }
}

/// What a caller hears of an outcome.
fn answered<T>(does: Option<Does>, outcome: CallOutcome<T>) -> CallOutcome<T> {
    match does {
        Some(Does::LosesAnswer | Does::LosesCall | Does::Hangs) => unknown(),
        _ => outcome,
    }
}

fn unknown<T>() -> CallOutcome<T> {
    CallOutcome::Unknown { reason: "timed out".to_owned(), retry_after: None }
}

fn held_back<T>(ms: u32) -> CallOutcome<T> {
    let wait = Duration::from_millis(ms.into());
    CallOutcome::HeldBack(HeldBack { reason: "held back".to_owned(), wait, wished: ms.is_multiple_of(2) })
}

fn shipped(key: &str) -> Shipped {
    Shipped { carrier: "carrier".to_owned(), tracking_number: format!("track-{key}") }
}

trait MapDone<T> {
    fn map_done<U>(self, done: impl FnOnce() -> U) -> CallOutcome<U>;
}

impl<T> MapDone<T> for CallOutcome<T> {
    fn map_done<U>(self, done: impl FnOnce() -> U) -> CallOutcome<U> {
        match self {
            Self::Done(_) => CallOutcome::Done(done()),
            Self::Refused(reason) => CallOutcome::Refused(reason),
            Self::TurnedAway(reason) => CallOutcome::TurnedAway(reason),
            Self::Pending(reason) => CallOutcome::Pending(reason),
            Self::Unknown { reason, retry_after } => CallOutcome::Unknown { reason, retry_after },
            Self::HeldBack(held) => CallOutcome::HeldBack(held),
        }
    }
}
