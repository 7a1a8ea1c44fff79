//! The order that the tests place, and how they wait for the model store.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use cartwright_core::domain::{
    money::Currency,
    order::{Customer, Line, Placed, Totals},
};

/// Two of one article for 200 in all.
pub fn placed(flow: &str) -> Placed {
    let line = Line {
        id: "1".into(),
        sku: "sku".into(),
        name: None,
        quantity: 2,
        unit_price: Some(100),
        discount: 0,
        tax: 0,
        total: 0,
    };
    let mut placed = Placed {
        external_id: None,
        channel: None,
        flow: flow.to_owned(),
        customer: Customer { id: "c".into(), ..Customer::default() },
        currency: Currency::parse("USD").unwrap(),
        scale: None,
        lines: vec![line],
        charges: vec![],
        totals: Totals::default(),
        ship_to: None,
        bill_to: None,
        metadata: BTreeMap::new(),
    };
    placed.add_up().unwrap();
    placed
}

/// The model store is always ready.
pub fn block_on<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the model store is always ready"),
    }
}
