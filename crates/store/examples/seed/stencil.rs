//! What an order leaves behind, with blanks.

use bytes::Bytes;
use cartwright_core::{
    domain::{ids::OrderId, order::OrderStatus, time::Timestamp},
    ports::{Commit, Guard, Headers, HistoryEntry, Message, OrderColumns, Row, Store},
};
use cartwright_testkit::MemoryStore;
use serde_json::Value;

use crate::Failure;

/// When each life begins: all times in it are written with this year.
pub const BEGIN: Timestamp = Timestamp::from_micros(981_173_106_000_000);
const YEAR: &[u8] = b"2001-02-";
const TIME: usize = "2001-02-03T04:05:06.000000Z".len();

/// The first half of every id in it.
pub const PREFIX: u64 = 0x0123_4567_89ab_7cde;
const PREFIX_TEXT: &[u8] = b"01234567-89ab-7cde";

/// Its number, customer and external id. What is filled in is as long.
pub const NUMBER: u32 = 7_654_321;
const NUMBER_TEXT: &[u8] = b"7654321";
/// Its customer.
pub const CUSTOMER: &str = "customer-7070707";
/// Its external id.
pub const EXTERNAL: &str = "external-6060606";

/// What is filled in.
pub struct Blanks {
    /// When it was placed; another moment for each order.
    pub at: Timestamp,
    /// Its number; up to 9,999,999.
    pub number: u64,
    /// Its customer.
    pub customer: u64,
}

/// An order's whole life in the three services' stores.
pub struct Life {
    order: Stencil,
    services: [Option<Left>; 3],
}

/// What one service keeps of it.
struct Left {
    schema: u32,
    record: Stencil,
    columns: Option<OrderColumns>,
    journal: Vec<(std::sync::Arc<str>, Stencil, Stencil)>,
    history: Vec<Entry>,
}

enum Entry {
    Own(usize),
    Foreign(Stencil),
}

struct Stencil(Vec<Part>);

enum Part {
    Bytes(Vec<u8>),
    Prefix,
    /// A moment, so many microseconds after the first one.
    Time(i64),
    Number,
    Customer,
    External,
}

impl Life {
    /// Cuts stencils from what the services kept of `order`.
    pub async fn cut(order: &OrderId, stores: [&MemoryStore; 3]) -> Result<Self, Failure> {
        let mut services = [const { None }; 3];
        for (left, store) in services.iter_mut().zip(stores) {
            *left = Left::cut(order, store).await?;
        }
        Ok(Self { order: Stencil::cut(order.as_str().as_bytes()), services })
    }

    /// What each service is to write for one order.
    pub fn filled(&self, blanks: &Blanks) -> Result<[Option<Commit>; 3], Failure> {
        let id = OrderId::parse(&String::from_utf8(self.order.filled(blanks))?)?;
        let mut commits = [const { None }; 3];
        for (commit, left) in commits.iter_mut().zip(&self.services) {
            *commit = left.as_ref().map(|left| left.filled(&id, blanks)).transpose()?;
        }
        Ok(commits)
    }
}

impl Left {
    async fn cut(order: &OrderId, store: &MemoryStore) -> Result<Option<Self>, Failure> {
        let stored = store.load(std::slice::from_ref(order)).await?.remove(0);
        let Some(record) = stored.record else { return Ok(None) };
        let journal = store.journal(0, 1_000).await?;
        let own = |event: &Bytes| journal.iter().position(|row| row.message.value == *event);
        let history = store.history(order, 0, 1_000).await?;
        let history = history
            .iter()
            .map(|event| own(event).map_or_else(|| Entry::Foreign(Stencil::cut(event)), Entry::Own))
            .collect();
        let rows = journal.iter().map(|row| {
            let headers = Stencil::cut(row.message.headers.as_bytes());
            (row.message.topic.clone(), headers, Stencil::cut(&row.message.value))
        });
        Ok(Some(Self {
            schema: stored.schema,
            columns: columns(&serde_json::from_slice(&record)?),
            record: Stencil::cut(&record),
            journal: rows.collect(),
            history,
        }))
    }

    fn filled(&self, id: &OrderId, blanks: &Blanks) -> Result<Commit, Failure> {
        let journal = self.journal.iter().map(|(topic, headers, value)| {
            Ok(Message {
                topic: topic.clone(),
                key: id.clone(),
                headers: Headers::from_bytes(headers.filled(blanks).into())?,
                value: value.filled(blanks).into(),
            })
        });
        let columns = self.columns.as_ref().map(|columns| {
            let took = columns.updated_at.as_micros() - columns.created_at.as_micros();
            OrderColumns {
                number: blanks.number,
                external_id: columns.external_id.as_ref().map(|_| blanks.external()),
                customer: blanks.customer(),
                created_at: blanks.at,
                updated_at: Timestamp::from_micros(blanks.at.as_micros() + took),
                ..columns.clone()
            }
        });
        Ok(Commit {
            id: id.clone(),
            guard: Guard::Absent,
            row: Some(Row { schema: self.schema, record: Some(self.record.filled(blanks)), columns }),
            journal: journal.collect::<Result<_, Failure>>()?,
            history: self
                .history
                .iter()
                .map(|entry| match entry {
                    Entry::Own(n) => HistoryEntry::Own(*n),
                    Entry::Foreign(event) => HistoryEntry::Foreign(event.filled(blanks).into()),
                })
                .collect(),
            put_tasks: vec![],
            drop_tasks: vec![],
            answers: vec![],
            park: vec![],
            unpark: vec![],
        })
    }
}

/// The listed columns of an order's record; `None` for a payment's or a shipment's.
fn columns(record: &Value) -> Option<OrderColumns> {
    let text = |at: &str| record.pointer(at).and_then(Value::as_str).map(str::to_owned);
    let moment = |at: &str| text(at).and_then(|moment| Timestamp::parse(&moment));
    let status = OrderStatus::parse(&text("/status")?)?;
    Some(OrderColumns {
        number: 0,
        channel: text("/placed/channel").unwrap_or_default(),
        external_id: text("/placed/externalId"),
        status,
        milestone: text("/milestone")?,
        flow: text("/placed/flow")?,
        customer: String::new(),
        created_at: moment("/createdAt")?,
        updated_at: moment("/updatedAt")?,
        sweep_at: None,
        counted: status == OrderStatus::Open,
    })
}

impl Blanks {
    /// A UUID of version 7 begins with its time; each order has a millisecond of its own, or shares it with few.
    fn prefix(&self) -> String {
        let millis = self.at.as_micros() / 1_000;
        format!("{:08x}-{:04x}-7{:03x}", millis >> 16, millis & 0xffff, self.number & 0xfff)
    }

    fn customer(&self) -> String {
        format!("customer-{:07}", self.customer)
    }

    fn external(&self) -> String {
        format!("external-{:07}", self.number)
    }
}

impl Stencil {
    fn cut(text: &[u8]) -> Self {
        let (mut parts, mut plain, mut rest) = (Vec::new(), Vec::new(), text);
        while let Some(first) = rest.first() {
            let Some((part, length)) = blank(rest) else {
                plain.push(*first);
                rest = &rest[1..];
                continue;
            };
            parts.push(Part::Bytes(std::mem::take(&mut plain)));
            parts.push(part);
            rest = &rest[length..];
        }
        parts.push(Part::Bytes(plain));
        Self(parts)
    }

    fn filled(&self, blanks: &Blanks) -> Vec<u8> {
        let mut text = Vec::with_capacity(2_048);
        for part in &self.0 {
            match part {
                Part::Bytes(bytes) => text.extend_from_slice(bytes),
                Part::Prefix => text.extend_from_slice(blanks.prefix().as_bytes()),
                Part::Time(after) => {
                    let moment = Timestamp::from_micros(blanks.at.as_micros() + after);
                    text.extend_from_slice(moment.to_string().as_bytes());
                }
                Part::Number => text.extend_from_slice(blanks.number.to_string().as_bytes()),
                Part::Customer => text.extend_from_slice(blanks.customer().as_bytes()),
                Part::External => text.extend_from_slice(blanks.external().as_bytes()),
            }
        }
        text
    }
}

/// The blank that a text begins with, and how long it is.
fn blank(text: &[u8]) -> Option<(Part, usize)> {
    let fixed = [
        (PREFIX_TEXT, Part::Prefix),
        (NUMBER_TEXT, Part::Number),
        (CUSTOMER.as_bytes(), Part::Customer),
        (EXTERNAL.as_bytes(), Part::External),
    ];
    for (word, part) in fixed {
        if text.starts_with(word) {
            return Some((part, word.len()));
        }
    }
    let moment = text.starts_with(YEAR).then(|| text.get(..TIME)).flatten()?;
    let moment = Timestamp::parse(std::str::from_utf8(moment).ok()?)?;
    Some((Part::Time(moment.as_micros() - BEGIN.as_micros()), TIME))
}
