//! Fulfillment's record.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{performed::Performed, time::Timestamp};
use crate::ports::Shipped;

/// The schema number of the JSON that this code writes.
pub const FULFILLMENT_SCHEMA: u32 = 1;

/// All plans and shipments of one order.
pub type FulfillmentRecord = Performed<Consignment>;

/// A plan to ship, or a shipment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Consignment {
    /// It is planned; nothing has left.
    #[serde(rename_all = "camelCase")]
    Plan {
        /// Which shipment, chosen by the order.
        shipment: Uuid,
        /// When it should arrive.
        eta: Timestamp,
    },
    /// It is handed to the carrier.
    #[serde(rename_all = "camelCase")]
    Shipment {
        /// Which shipment, chosen by the order.
        shipment: Uuid,
        /// How and when it went, once it did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shipped: Option<(Shipped, Timestamp)>,
    },
}

impl Consignment {
    /// Which shipment it is about.
    pub fn shipment(&self) -> Uuid {
        match self {
            Self::Plan { shipment, .. } | Self::Shipment { shipment, .. } => *shipment,
        }
    }

    /// Notes how it went; the first word counts.
    pub fn note_shipped(&mut self, how: &Shipped, now: Timestamp) {
        if let Self::Shipment { shipped, .. } = self {
            shipped.get_or_insert_with(|| (how.clone(), now));
        }
    }
}
