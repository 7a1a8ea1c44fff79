//! What an operator looks at: parked events and open orders of a whole store, page by page.

use uuid::Uuid;

use super::{Origin, Parked};
use crate::domain::{ids::OrderId, time::Timestamp};

/// Which parked events of a store to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParkedQuery {
    /// Of this order only.
    pub order: Option<OrderId>,
    /// Those that arrived after this one; 0: from the oldest on.
    pub after: u64,
    /// At most this many; fewer when they come to [`PAGE_BYTES`](super::PAGE_BYTES).
    pub limit: usize,
}

/// A parked event of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedParked {
    /// Its place in the list: rises with every event that is parked, but may be given again once the newest is gone.
    pub arrival: u64,
    /// The order that it hangs on.
    pub order: OrderId,
    /// Whether there is a record of that order; else only a placeholder that the event hangs on.
    pub known: bool,
    /// The event.
    pub parked: Parked,
}

/// What tells a parked event from the others of its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedName {
    /// Where it came from.
    pub origin: Origin,
    /// The incarnation of that source.
    pub incarnation: Uuid,
    /// Its own id, if it could be read.
    pub event_id: Option<Uuid>,
}

impl Parked {
    /// What tells it from the others of its order.
    pub fn name(&self) -> ParkedName {
        ParkedName {
            origin: self.delivery.origin.clone(),
            incarnation: self.delivery.incarnation,
            event_id: self.event_id,
        }
    }
}

/// An order whose sweep is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueSweep {
    /// The order.
    pub order: OrderId,
    /// Its place in the list of due ones: since when it is due, and a number of the store's own.
    pub place: (Timestamp, u64),
}

/// Where open orders stand: those of one flow that reached one milestone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stage {
    /// The flow's name.
    pub flow: String,
    /// The milestone that was reached last, as text.
    pub milestone: String,
}

/// Which open orders of one stage to list, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenQuery {
    /// Where they stand.
    pub stage: Stage,
    /// Placed before.
    pub placed_before: Option<Timestamp>,
    /// Continue behind this order: its placing time and its number.
    pub after: Option<(Timestamp, u64)>,
    /// At most this many; fewer when they come to [`PAGE_BYTES`](super::PAGE_BYTES).
    pub limit: usize,
}

/// How many orders are open at one stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCount {
    /// Where they stand.
    pub stage: Stage,
    /// How many.
    pub orders: u64,
    /// When the oldest was placed.
    pub oldest: Timestamp,
}
