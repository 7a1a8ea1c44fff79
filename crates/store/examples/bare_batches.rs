//! How fast PostgreSQL takes orders when nothing but the store asks it to: batches, one after the other, on one connection.
//! `cargo xtask bench --distributed` compares the system with this. Prints orders per second.
//!
//! `bare_batches URL SCHEMA [SECONDS] [ORDERS IN A BATCH]`

use std::time::{Duration, Instant};

use cartwright_core::{
    domain::{ids::OrderId, order::OrderStatus, time::Timestamp},
    ports::{Batch, Commit, Guard, HistoryEntry, Message, OrderColumns, Row, Store},
};
use cartwright_store::{
    StoreKind,
    postgres::{PostgresOptions, PostgresStore, PostgresTls},
};
use uuid::Uuid;

/// Orders in a batch, if nobody says.
const BATCH: u64 = 64;
/// Bytes of a record, and of an event: about what a small order has.
const BYTES: usize = 1_100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (url, schema) = (args.next().ok_or("a url")?, args.next().ok_or("a schema")?);
    let seconds = args.next().and_then(|text| text.parse().ok()).unwrap_or(5);
    let batch = args.next().and_then(|text| text.parse().ok()).unwrap_or(BATCH);
    let options = PostgresOptions { url, schema, connections: 2, tls: PostgresTls::default() };
    let store = PostgresStore::open(StoreKind::Orders, &options).await?;
    let (began, mut orders) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(seconds) {
        let commits = (0..batch).map(|n| order(1_001 + orders + n)).collect::<Result<_, _>>()?;
        store.commit(Batch { commits, cursors: vec![] }).await?;
        orders += batch;
    }
    println!("{}", orders as f64 / began.elapsed().as_secs_f64());
    Ok(())
}

/// A new order with two events, as they come from `POST /v1/orders`.
fn order(number: u64) -> Result<Commit, Box<dyn std::error::Error>> {
    let id = OrderId::from(Uuid::now_v7());
    let now = Timestamp::from_micros(1_000_000 + i64::try_from(number)?);
    let columns = OrderColumns {
        number,
        channel: String::new(),
        external_id: None,
        status: OrderStatus::Open,
        milestone: "created".to_owned(),
        flow: "standard".to_owned(),
        customer: "customer-123".to_owned(),
        created_at: now,
        updated_at: now,
        sweep_at: Some(now),
        counted: true,
    };
    let row = Row { schema: 1, record: Some(vec![b'x'; BYTES]), columns: Some(columns) };
    let headers = [("ce_type", "OrderCreatedV1"), ("correlationId", "0192f3a1-7b1c-7000-8000-000000000001")];
    let message = || Message {
        topic: "orders".into(),
        key: id.clone(),
        headers: headers.into_iter().collect(),
        value: vec![b'x'; BYTES].into(),
    };
    let (journal, history) = (vec![message(), message()], vec![HistoryEntry::Own(0), HistoryEntry::Own(1)]);
    Ok(Commit { journal, history, ..Commit::new(id.clone(), Guard::Absent, Some(row)) })
}
