//! What the orders service is asked in tests, and what it needs to be asked anything.

use std::{collections::BTreeMap, sync::Arc};

use cartwright_core::{
    domain::{
        frozen::Frozen,
        money::Currency,
        order::{Actor, Customer, Line, OrderCommand, PaymentIntent, Placed, PlacedBy, Totals},
        time::Timestamp,
    },
    ports::{Clock, Ids},
    services::{Ask, Input, PlaceOrder, Request, Variation},
};
use uuid::Uuid;

use crate::build;

/// An order of one line without anything that may be left out, added up.
///
/// # Panics
/// If the line comes to more than an amount can be.
pub fn placed(flow: &str, quantity: u32, unit_price: i64) -> Placed {
    let line = Line {
        id: "1".to_owned(),
        sku: "sku".to_owned(),
        name: None,
        quantity,
        unit_price: Some(unit_price),
        discount: 0,
        tax: 0,
        total: 0,
    };
    let mut placed = Placed {
        dialect: None,
        taken_at: None,
        external_id: None,
        channel: None,
        flow: flow.to_owned(),
        customer: Customer { id: "customer".to_owned(), ..Customer::default() },
        currency: Currency::parse("USD").expect("dollars are a currency"),
        scale: None,
        lines: vec![line],
        charges: vec![],
        totals: Totals::default(),
        ship_to: None,
        bill_to: None,
        metadata: BTreeMap::new(),
    };
    placed.add_up().expect("one small line adds up");
    placed
}

/// The command to place it: two of one article for 200 in all. Its key is the order's id.
pub fn place(token: u64, order: &str, flow: &str) -> Input<Ask> {
    let ask = Ask::Place(PlaceOrder {
        id: build::id(order),
        placed: Frozen::new(placed(flow, 2, 100)),
        intent: PaymentIntent::default(),
        placed_by: PlacedBy { caller: "test".into(), key: Some(order.into()), fingerprint: "f".into() },
        correlation_id: Uuid::from_u128(9),
        put: false,
        variation: Variation::default(),
    });
    Input::Command { token, command: Arc::new(ask) }
}

/// The command to change it, under a key or none.
pub fn change(token: u64, order: &str, command: OrderCommand, key: Option<&str>) -> Input<Ask> {
    let key = key.map(|key| build::answer_key(order, "test", key));
    let request =
        Request { order: build::id(order), command, actor: Actor::api("test"), key, expected: None };
    Input::Command { token, command: Arc::new(Ask::Change(request)) }
}

/// A clock that stands still, at so many microseconds.
pub struct Still(pub i64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        build::at(self.0)
    }
}

/// Ids that count from the one after this.
#[derive(Default)]
pub struct Counting(pub u128);

impl Ids for Counting {
    fn next(&mut self) -> Uuid {
        self.0 += 1;
        Uuid::from_u128(self.0)
    }
}
