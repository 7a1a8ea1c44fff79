//! The calls of a carrier.

use async_trait::async_trait;
use cartwright_core::{
    domain::{ids::OrderId, order::Address},
    ports::{CallOutcome, CancelOutcome, Carrier, ShipCall, ShipLine, Shipped, UndoCall},
};
use serde::Serialize;

use super::{
    answer::{Answer, unknown},
    endpoint::{Call, Endpoint},
    payments::Undo,
};

/// What stands for a carrier and its tracking number when it says "too late" and nothing more.
const NOT_SAID: &str = "unknown";

/// A carrier behind HTTP.
pub struct HttpCarrier {
    endpoint: Endpoint,
}

impl HttpCarrier {
    /// One that is asked there.
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

/// The body of `POST shipments`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shipment<'a> {
    order_id: &'a OrderId,
    ship_to: Option<&'a Address>,
    lines: &'a [ShipLine],
}

/// What came of asking to cancel.
enum Cancelled {
    Stopped,
    /// Gone, with what the answer says of how.
    TooLate(Option<Shipped>),
}

#[async_trait]
impl Carrier for HttpCarrier {
    async fn ship(&self, call: &ShipCall, again: bool) -> CallOutcome<Shipped> {
        let body = Shipment { order_id: &call.order_id, ship_to: call.ship_to.as_ref(), lines: &call.lines };
        self.endpoint.call(Call { path: "shipments", key: &call.key, body }, again, accepted).await
    }

    async fn cancel(&self, call: &UndoCall, again: bool) -> CallOutcome<CancelOutcome> {
        let asked = Call { path: "shipments/cancel", key: &call.key, body: Undo::new(call) };
        match self.endpoint.call(asked, again, cancelled).await {
            CallOutcome::Done(Cancelled::Stopped) => CallOutcome::Done(CancelOutcome::Cancelled),
            CallOutcome::Done(Cancelled::TooLate(Some(how))) => {
                CallOutcome::Done(CancelOutcome::TooLate(how))
            }
            CallOutcome::Done(Cancelled::TooLate(None)) => self.how_it_went(&call.operation).await,
            CallOutcome::Refused(reason) => CallOutcome::Refused(reason),
            CallOutcome::TurnedAway(reason) => CallOutcome::TurnedAway(reason),
            CallOutcome::Pending(reason) => CallOutcome::Pending(reason),
            CallOutcome::Unknown { reason, retry_after } => CallOutcome::Unknown { reason, retry_after },
            CallOutcome::HeldBack(held) => CallOutcome::HeldBack(held),
        }
    }
}

impl HttpCarrier {
    /// Asks with whom the goods went, of a carrier that said only that they have gone.
    async fn how_it_went(&self, operation: &str) -> CallOutcome<CancelOutcome> {
        match self.endpoint.find(operation, accepted).await {
            Some(CallOutcome::Done(how)) => CallOutcome::Done(CancelOutcome::TooLate(how)),
            Some(CallOutcome::Unknown { reason, retry_after }) => {
                CallOutcome::Unknown { reason, retry_after }
            }
            Some(
                CallOutcome::Refused(_)
                | CallOutcome::TurnedAway(_)
                | CallOutcome::Pending(_)
                | CallOutcome::HeldBack(_),
            )
            | None => {
                let how = Shipped { carrier: NOT_SAID.into(), tracking_number: NOT_SAID.into() };
                CallOutcome::Done(CancelOutcome::TooLate(how))
            }
        }
    }
}

fn accepted(answer: Answer) -> CallOutcome<Shipped> {
    match answer.status.as_deref() {
        Some("accepted") => shipped(answer).map_or_else(unknown, CallOutcome::Done),
        Some("rejected") => CallOutcome::Refused(answer.reason_or("rejected by the carrier")),
        Some("pending") => CallOutcome::Pending(answer.reason_or("the carrier needs time")),
        _ => answer.odd(),
    }
}

fn cancelled(answer: Answer) -> CallOutcome<Cancelled> {
    match answer.status.as_deref() {
        Some("cancelled") => CallOutcome::Done(Cancelled::Stopped),
        Some("too_late") => CallOutcome::Done(Cancelled::TooLate(shipped(answer).ok())),
        Some("rejected") => CallOutcome::Refused(answer.reason_or("the carrier does not cancel it")),
        Some("pending") => CallOutcome::Pending(answer.reason_or("the carrier needs time")),
        _ => answer.odd(),
    }
}

fn shipped(answer: Answer) -> Result<Shipped, String> {
    Ok(Shipped {
        carrier: Answer::name(answer.carrier, "a carrier")?,
        tracking_number: Answer::name(answer.tracking_number, "a trackingNumber")?,
    })
}
