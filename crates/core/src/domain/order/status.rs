//! The words for where an order stands, and the small shapes that the API shows as they are kept.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::{money::Amount, time::Timestamp};

/// Where an order stands. Anything but `Open` is final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// On its way.
    #[default]
    Open,
    /// Every step of its flow is done.
    Completed,
    /// A step was refused, and everything before it is undone.
    Failed,
    /// It was called off, and everything done is undone.
    Cancelled,
}

impl OrderStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Open, Self::Completed, Self::Failed, Self::Cancelled];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }
}

/// A postal address. Every part may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Address {
    /// Who.
    pub name: Option<String>,
    /// At which company.
    pub company: Option<String>,
    /// Street and number.
    pub line1: Option<String>,
    /// The rest of the street address.
    pub line2: Option<String>,
    /// City.
    pub city: Option<String>,
    /// State, province or county.
    pub region: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Phone.
    pub phone: Option<String>,
}

/// The furthest thing that has happened to an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Milestone {
    /// Placed.
    #[default]
    Created,
    /// The money is reserved.
    Authorized,
    /// A shipment is planned.
    Scheduled,
    /// Handed to the carrier.
    Shipped,
    /// At the customer's.
    Delivered,
    /// A flow without goods is through.
    Processed,
}

impl Milestone {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Created, Self::Authorized, Self::Scheduled, Self::Shipped, Self::Delivered, Self::Processed];

    /// The word that the API shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Authorized => "authorized",
            Self::Scheduled => "scheduled",
            Self::Shipped => "shipped",
            Self::Delivered => "delivered",
            Self::Processed => "processed",
        }
    }

    /// The milestone of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.as_str() == word)
    }
}

/// One payment of an order, as its order knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Payment {
    /// Its id, chosen by the order.
    pub id: Uuid,
    /// Who takes the money.
    pub provider: String,
    /// Where it stands.
    pub status: PaymentStatus,
    /// The provider's name for it.
    pub reference: Option<String>,
    /// How much is reserved.
    pub authorized: Amount,
    /// How much is taken.
    pub captured: Amount,
    /// How much is given back.
    pub refunded: Amount,
    /// Why it did not work, or what it waits for.
    pub reason: Option<String>,
}

/// Where a payment, or all payments of an order together, stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentStatus {
    /// The flow has no payment.
    None,
    /// Not yet decided.
    Pending,
    /// Reserved.
    Authorized,
    /// A part is taken.
    PartiallyCaptured,
    /// Taken.
    Captured,
    /// Refused.
    Declined,
    /// Released again.
    Voided,
    /// A part is given back.
    PartiallyRefunded,
    /// Given back.
    Refunded,
}

/// One shipment of an order, as its order knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Shipment {
    /// Its id, chosen by the order.
    pub id: Uuid,
    /// Where it stands.
    pub status: FulfillmentStatus,
    /// What is in it.
    pub lines: Vec<ShipmentLine>,
    /// When it should arrive.
    pub eta: Option<Timestamp>,
    /// Who carries it.
    pub carrier: Option<String>,
    /// Under which number.
    pub tracking_number: Option<String>,
    /// When it left.
    pub shipped_at: Option<Timestamp>,
    /// What went wrong.
    pub error: Option<String>,
}

/// A line's part of a shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ShipmentLine {
    /// The id of the order's line.
    pub line: String,
    /// How many of it.
    pub quantity: u32,
}

/// Where a shipment, or all shipments of an order together, stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FulfillmentStatus {
    /// The flow ships nothing.
    None,
    /// Nothing planned yet.
    Pending,
    /// Planned.
    Scheduled,
    /// A part is on its way.
    PartiallyShipped,
    /// On its way.
    Shipped,
    /// A part has arrived.
    PartiallyDelivered,
    /// Arrived.
    Delivered,
    /// It can't be shipped.
    Failed,
    /// Stopped.
    Cancelled,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Actor {
    /// What kind of actor.
    #[serde(rename = "type")]
    pub kind: ActorKind,
    /// Which one.
    pub id: Cow<'static, str>,
}

impl Actor {
    /// One of our services.
    pub const fn service(name: &'static str) -> Self {
        Self { kind: ActorKind::Service, id: Cow::Borrowed(name) }
    }

    /// A caller of the API.
    pub fn api(caller: &str) -> Self {
        Self { kind: ActorKind::Api, id: Cow::Owned(caller.to_owned()) }
    }
}

/// Kinds of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// A caller of the API.
    Api,
    /// One of our services.
    Service,
    /// A person who runs the system.
    Operator,
}
