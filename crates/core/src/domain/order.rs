//! The order: its record, what may be done to it, and what follows.

use serde::{Deserialize, Serialize};

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
