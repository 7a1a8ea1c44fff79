//! What the carts have in common: they make up orders, let clients call an order's state by a word, and tell what it costs
//! to send it.

use std::{collections::BTreeMap, ops::RangeInclusive};

use cartwright_core::{
    domain::{
        ids::OrderId,
        money::{Amount, Currency},
        order::{Customer, Line, Order, PaymentIntent, Placed, Totals},
    },
    services::Variation,
};
use uuid::Uuid;

use super::orders::New;

/// The flow of their orders: clients say how far they are.
pub const FLOW: &str = "manual";
/// Their word for an order that nobody has touched yet.
const NEW: &str = "new";

/// An order that was made up, as a new one.
pub fn new(id: OrderId, placed: Placed) -> New {
    let variation = Variation { word: Some(NEW.to_owned()), ..Variation::default() };
    New { id: Some(id), placed, intent: PaymentIntent::default(), variation }
}

/// An order of these lines, in so many decimals.
pub fn placed(dialect: &str, customer: String, currency: Currency, scale: u8, lines: Vec<Line>) -> Placed {
    Placed {
        dialect: Some(dialect.to_owned()),
        external_id: None,
        channel: None,
        flow: FLOW.to_owned(),
        customer: Customer { id: customer, name: None, email: None },
        currency,
        scale: (scale != currency.scale()).then_some(scale),
        lines,
        charges: vec![],
        totals: Totals::default(),
        ship_to: None,
        bill_to: None,
        metadata: BTreeMap::new(),
    }
}

/// The `number`-th line of an order.
pub fn line(number: usize, sku: String, quantity: u32, price: Amount) -> Line {
    Line {
        id: number.to_string(),
        sku,
        name: None,
        quantity,
        unit_price: Some(price),
        discount: 0,
        tax: 0,
        total: 0,
    }
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
    // The last 32 bits of a UUIDv7 are random; those before them count within a millisecond.
    let luck = Uuid::now_v7().as_u128() & u128::from(u32::MAX);
    let many = u128::from(range.end() - range.start()) + 1;
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
