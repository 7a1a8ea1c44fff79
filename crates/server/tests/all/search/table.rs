//! The calls of a search server and their answers: `calls.jsonl`, a call a line. Rows for port 9200 are the search server's.

use std::{collections::BTreeMap, net::SocketAddr};

use super::rows;
use crate::harness::Shop;

/// Runs all rows, on an index of this name.
pub async fn run(shop: &Shop, searches: impl Fn(u16) -> (SocketAddr, String), index: &str) {
    let named = BTreeMap::from([("index".to_owned(), index.to_owned())]);
    let place = |port: Option<u16>| match port {
        Some(port @ 9200) => searches(port),
        _ => (shop.address(), String::new()),
    };
    rows(shop, "search", include_str!("calls.jsonl"), named, place).await;
}
