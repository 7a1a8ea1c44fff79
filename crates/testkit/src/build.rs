//! Values for tests, in one line each. Change what matters with `Commit { guard, ..build::commit("a") }`.

use cartwright_core::{
    domain::{ids::OrderId, order::OrderStatus, time::Timestamp},
    ports::{
        AnswerKey, Batch, Commit, Cursor, Delivery, Guard, Message, OrderColumns, Origin, Parked, Row,
        SavedAnswer, Task, Work,
    },
};
use uuid::Uuid;

/// An order id.
///
/// # Panics
/// If it is none.
pub fn id(text: &str) -> OrderId {
    OrderId::parse(text).expect("a test's order id")
}

/// A moment.
pub const fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// A batch without cursors.
pub fn batch(commits: impl IntoIterator<Item = Commit>) -> Batch {
    Batch { commits: commits.into_iter().collect(), cursors: Vec::new() }
}

/// A commit that writes a new record without columns, and nothing else.
pub fn commit(order: &str) -> Commit {
    Commit::new(id(order), Guard::Absent, Some(row(order)))
}

/// A record without columns.
pub fn row(order: &str) -> Row {
    Row { schema: 1, record: Some(format!(r#"{{"id":"{order}"}}"#).into_bytes()), columns: None }
}

/// A commit that places a listed order.
pub fn placed(order: &str, columns: OrderColumns) -> Commit {
    let mut commit = commit(order);
    commit.row = Some(Row { columns: Some(columns), ..row(order) });
    commit
}

/// A commit that writes a placeholder for parked events.
pub fn placeholder(order: &str) -> Commit {
    let mut commit = commit(order);
    commit.row = Some(Row { record: None, ..row(order) });
    commit
}

/// The columns of an open order, placed and changed at the same moment.
pub fn columns(number: u64, moment: i64) -> OrderColumns {
    OrderColumns {
        number,
        channel: String::new(),
        external_id: None,
        status: OrderStatus::Open,
        milestone: "placed".to_owned(),
        flow: "standard".to_owned(),
        customer: String::new(),
        created_at: at(moment),
        updated_at: at(moment),
        sweep_at: None,
        counted: true,
    }
}

/// A message with headers, for the topic `orders`.
pub fn message(order: &str, value: &str) -> Message {
    Message {
        topic: "orders".into(),
        key: id(order),
        headers: [("ce_id", format!("{order}/{value}")), ("ce_type", String::new())].into_iter().collect(),
        value: value.to_owned().into(),
    }
}

/// A task that waits.
pub fn task(name: &str, order: &str, due_at: i64) -> Task {
    Task {
        id: name.to_owned(),
        order: id(order),
        work: Work::Wait,
        due_at: at(due_at),
        lease_until: at(0),
        attempts: 0,
    }
}

/// Where an event came from: a position of `payments`.
pub fn origin(position: u64) -> Origin {
    Origin { source: "payments".into(), lane: 0, position }
}

/// A parked event from [`origin`].
pub fn parked(order: &str, position: u64, event_id: Option<Uuid>) -> Parked {
    Parked {
        delivery: Delivery {
            origin: origin(position),
            incarnation: Uuid::from_u128(7),
            key: order.to_owned().into(),
            headers: [("eventType", "PaymentAuthorizedV1")].into_iter().collect(),
            value: format!("event {position}").into(),
        },
        event_id,
        reason: "its order is unknown".to_owned(),
        parked_at: at(1_000 + (position % 1_000) as i64),
    }
}

/// The name of an answer.
pub fn answer_key(order: &str, caller: &str, key: &str) -> AnswerKey {
    AnswerKey { order: id(order), caller: caller.to_owned(), key: key.to_owned() }
}

/// An answer.
pub fn answer(text: &str, saved_at: i64) -> SavedAnswer {
    SavedAnswer {
        fingerprint: [saved_at as u8; 32],
        record: text.as_bytes().to_vec(),
        saved_at: at(saved_at),
    }
}

/// How far lane 0 of `payments` is read.
pub fn cursor(position: u64) -> Cursor {
    Cursor { source: "payments".into(), lane: 0, incarnation: Uuid::from_u128(7), position }
}
