//! The three services by name.

use cartwright_core::events;

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Orders.
    Orders,
    /// Payments.
    Payments,
    /// Fulfillment.
    Fulfillment,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Orders, Self::Payments, Self::Fulfillment];

    /// Its name, which is its topic's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => events::ORDERS,
            Self::Payments => events::PAYMENTS,
            Self::Fulfillment => events::FULFILLMENT,
        }
    }

    /// Whose topics it reads.
    pub(super) const fn sources(self) -> &'static [Self] {
        match self {
            Self::Orders => &[Self::Payments, Self::Fulfillment],
            Self::Payments | Self::Fulfillment => &[Self::Orders],
        }
    }

    /// Who reads its topic.
    pub(super) const fn readers(self) -> &'static [Self] {
        self.sources() // whoever asks is answered
    }

    /// For tables that are indexed by service.
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}
