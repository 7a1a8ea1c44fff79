//! The [`Store`](cartwright_core::ports::Store) port of Cartwright on real databases, and what belongs around them:
//! the lock of a data directory and the check that files fit together.
//!
//! * [`sqlite`]: one file per service, for a single process.
//! * [`postgres`]: one schema per service, for any number of processes.
//! * [`backup`]: copies of a data directory, and data directories of copies.
//! * [`copy`](mod@copy): from files into a database. [`upgrade`]: what a newer binary changes in either.
#![deny(missing_docs)]

pub mod backup;
pub mod copy;
mod cursors;
mod data_dir;
mod open_error;
pub mod postgres;
pub mod sqlite;
pub mod upgrade;

pub use cursors::{CursorMismatch, check_cursors};
pub use data_dir::{DataDir, Holder};
pub use open_error::OpenError;

use std::fmt;

/// Whose store it is. A file remembers it and is refused to the other services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// The orders service.
    Orders,
    /// The payments service.
    Payments,
    /// The fulfillment service.
    Fulfillment,
}

/// The services' files in a data directory, and in a backup.
pub(crate) const STORES: [(StoreKind, &str); 3] = [
    (StoreKind::Orders, "orders.db"),
    (StoreKind::Payments, "payments.db"),
    (StoreKind::Fulfillment, "fulfillment.db"),
];

impl StoreKind {
    /// The service's name, as in its topic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Payments => "payments",
            Self::Fulfillment => "fulfillment",
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
