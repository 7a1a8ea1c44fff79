//! What the forms have in common where they read.

use cartwright_core::{
    domain::{
        frozen::Frozen,
        ids::{OrderId, derive_uuid},
        order::{PaymentIntent, Placed, PlacedBy},
        time::Timestamp,
    },
    services::{PlaceOrder, Said, Saying, Variation},
};
use uuid::Uuid;

use super::{super::neighbours, Message};

/// An order that a neighbour took.
pub struct Taken {
    /// The dialect.
    pub dialect: &'static str,
    /// The neighbour's name for the message.
    pub event_id: Uuid,
    /// The order.
    pub order: OrderId,
    /// What ties everything about it together, if the neighbour said so.
    pub correlation_id: Option<Uuid>,
    /// When the neighbour took it, if it said so.
    pub taken_at: Option<Timestamp>,
    /// What was ordered, added up.
    pub placed: Placed,
    /// How it is to be paid.
    pub intent: PaymentIntent,
    /// What its client calls its state, in a dialect whose clients do so.
    pub word: Option<String>,
}

impl Taken {
    /// The same as something said.
    pub fn said(self) -> Said {
        let Self { dialect, event_id, order, correlation_id, taken_at, placed, intent, word } = self;
        let placed = Frozen::new(Placed { taken_at, ..placed });
        let fingerprint = PlaceOrder::fingerprint(Some(order.as_str()), &placed, &intent);
        let key = Some(event_id.to_string());
        let place = PlaceOrder {
            id: order.clone(),
            placed,
            intent,
            placed_by: PlacedBy { caller: neighbours::caller(dialect), key, fingerprint },
            correlation_id: correlation_id.unwrap_or_else(|| correlation(dialect, order.as_str())),
            put: false,
            variation: Variation { word, taken: true, ..Variation::default() },
        };
        Said { event_id, order, dialect, what: Saying::Placed(Box::new(place)) }
    }
}

/// A correlation id made from whatever the neighbour has instead.
pub fn correlation(dialect: &str, instead: &str) -> Uuid {
    derive_uuid("correlation", &[dialect, instead])
}

impl Message<'_> {
    /// A name for a message whose neighbour gives none; the same in a repeat.
    pub fn derived_id(&self, order: &OrderId) -> Uuid {
        derive_uuid("message", &[self.topic, order.as_str(), &String::from_utf8_lossy(self.value)])
    }

    /// Its key must be the order's id, if it has one: else what is said of one order would be sorted in with another's.
    ///
    /// # Errors
    /// It is something else.
    pub fn has_key_of(&self, order: &OrderId, read: impl Fn(&str) -> Option<OrderId>) -> Result<(), String> {
        let key = std::str::from_utf8(self.key).ok().and_then(read);
        if self.key.is_empty() || key.as_ref() == Some(order) {
            return Ok(());
        }
        Err(format!("the key must be the order's id, {order}"))
    }
}
