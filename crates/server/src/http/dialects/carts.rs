//! What the carts have in common: they make up orders, let clients call an order's state by a word, and tell what it costs
//! to send it.

use std::{
    hash::{BuildHasher, RandomState},
    ops::RangeInclusive,
};

use cartwright_core::{
    domain::{
        ids::OrderId,
        money::{Amount, Currency},
        order::{Customer, Order, PaymentIntent, Placed},
    },
    services::Variation,
};

use super::{
    goods::{Goods, Item},
    orders::New,
};

/// The flow of their orders: clients say how far they are.
pub const FLOW: &str = "manual";
/// Their word for an order that nobody has touched yet.
pub const NEW: &str = "new";
/// Decimals of their amounts, at least: whatever the currency has.
const DECIMALS: u8 = 2;

/// An order that was made up, as a new one.
pub fn new(id: OrderId, placed: Placed) -> New {
    let variation = Variation { word: Some(NEW.to_owned()), ..Variation::default() };
    New { id: Some(id), placed, intent: PaymentIntent::default(), variation }
}

/// An order of these items. `None`: it is worth more than an order can hold.
pub fn placed(
    dialect: &'static str,
    customer: String,
    currency: Currency,
    items: Vec<Item>,
) -> Option<Placed> {
    let customer = Customer { id: customer, name: None, email: None };
    Goods { dialect, flow: FLOW, customer, currency, decimals: DECIMALS, items }.placed()
}

/// What its client calls the state of an order.
pub fn status(order: &Order) -> &str {
    order.word.as_deref().unwrap_or(NEW)
}

/// Whether this word is the one for an order that nobody has touched yet.
pub fn is_new(status: &str) -> bool {
    status.eq_ignore_ascii_case(NEW)
}

/// What it costs to send an order: 2 % of its total, exactly, and how many decimals that has.
pub fn shipping(total: Amount, scale: u8) -> (Amount, u8) {
    (total.saturating_mul(2), scale + 2)
}

/// A random number of this range.
pub fn random(range: RangeInclusive<u32>) -> u32 {
    // Each state hashes otherwise; the keys of the first are from the system's source of random numbers.
    let luck = RandomState::new().hash_one(()) >> 32;
    let many = u64::from(range.end() - range.start()) + 1;
    range.start() + ((luck * many) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_reach_both_ends_and_stay_within() {
        let drawn: std::collections::BTreeSet<u32> = (0..2_000).map(|_| random(1..=10)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
        assert_eq!(random(7..=7), 7);
        random(0..=u32::MAX);
    }
}
