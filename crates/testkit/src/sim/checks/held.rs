//! Nobody is charged or shipped twice, as the providers' own ledger has it.

use cartwright_core::domain::ids::OrderId;

use super::Checks;
use crate::sim::provider::Held;

impl Checks {
    pub(super) fn check_held(&mut self, order: &OrderId, held: Held) {
        // An order has one step to pay and one to ship, and each of them one key.
        self.must(held.charges_ever <= 1, "charged twice", order, || format!("{held:?}"));
        self.must(held.shipments_ever <= 1, "shipped twice", order, || format!("{held:?}"));
    }
}
