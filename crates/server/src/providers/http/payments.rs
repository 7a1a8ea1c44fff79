//! The calls of a payment provider.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cartwright_core::{
    domain::{ids::OrderId, money::Amount},
    ports::{AuthorizeCall, CallOutcome, PaymentProvider, UndoCall},
};
use serde::Serialize;

use super::{
    answer::{Answer, unknown},
    endpoint::{Call, Endpoint, wire_key},
};

/// A payment provider behind HTTP.
pub struct HttpPayments {
    endpoint: Endpoint,
}

impl HttpPayments {
    /// One that is asked there.
    pub const fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }
}

/// The body of `POST authorize`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Authorize<'a> {
    order_id: &'a OrderId,
    amount: Amount,
    currency: &'a str,
    /// Decimals of the amount, where they are not the currency's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<u8>,
    token: Option<&'a str>,
    metadata: &'a BTreeMap<String, String>,
}

/// The body of a call that takes an operation back.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Undo<'a> {
    order_id: &'a OrderId,
    operation: String,
}

impl<'a> Undo<'a> {
    pub(super) fn new(call: &'a UndoCall) -> Self {
        Self { order_id: &call.order_id, operation: wire_key(&call.operation) }
    }
}

#[async_trait]
impl PaymentProvider for HttpPayments {
    async fn authorize(&self, call: &AuthorizeCall, again: bool) -> CallOutcome<String> {
        let body = Authorize {
            order_id: &call.order_id,
            amount: call.amount,
            currency: call.currency.code(),
            scale: call.scale,
            token: call.token.as_deref(),
            metadata: &call.metadata,
        };
        self.endpoint.call(Call { path: "authorize", key: &call.key, body }, again, authorized).await
    }

    async fn void(&self, call: &UndoCall, again: bool) -> CallOutcome<()> {
        let body = Undo::new(call);
        self.endpoint.call(Call { path: "void", key: &call.key, body }, again, voided).await
    }
}

fn authorized(answer: Answer) -> CallOutcome<String> {
    match answer.status.as_deref() {
        Some("approved") => {
            Answer::name(answer.reference, "a reference").map_or_else(unknown, CallOutcome::Done)
        }
        Some("declined") => CallOutcome::Refused(answer.reason_or("declined by the payment provider")),
        Some("pending") => CallOutcome::Pending(answer.reason_or("the payment provider needs time")),
        _ => answer.odd(),
    }
}

/// A void is answered by its status alone; a body that says otherwise is heeded.
fn voided(answer: Answer) -> CallOutcome<()> {
    match answer.status.as_deref() {
        None | Some("voided" | "approved") => CallOutcome::Done(()),
        Some("declined") => CallOutcome::Refused(answer.reason_or("the payment provider does not void it")),
        Some("pending") => CallOutcome::Pending(answer.reason_or("the payment provider needs time")),
        Some(_) => answer.odd(),
    }
}
