//! The list of what the old order service received from its topic. Here it is read off the journal of orders.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use cartwright_core::{
    events::{self, Payload},
    ports::{Message, Store, StoreError},
};
use futures_util::stream::try_unfold;

use super::NAME;
use crate::http::Api;

/// The one topic of the old system.
const TOPIC: &str = "orders.events";
/// Rows read at once.
const PAGE: usize = 500;
/// What closes the list.
const END: &[u8] = b"]}";

/// The id of the order of every event of this topic, in the order of their arrival, as a body in constant memory; no ids
/// for a topic that there is not. An error after the first page breaks the body off.
///
/// # Errors
/// The first page can't be read.
pub async fn stream(api: &Api, topic: &str) -> Result<Body, StoreError> {
    let name = serde_json::Value::from(topic);
    let mut page = format!("{{\"topicName\":{name},\"orderIds\":[").into_bytes();
    let journal = api.topics.iter().find(|(of, _)| *of == events::ORDERS && topic == TOPIC);
    let Some((_, journal)) = journal else {
        page.extend(END);
        return Ok(Body::from(page));
    };
    let mut list = List::new(journal.clone()).await?;
    list.next(&mut page).await?;
    let pages = try_unfold(Some((list, page)), async |state| {
        let Some((mut list, mut page)) = state else { return Ok(None) };
        if list.read >= list.head {
            page.extend(END);
            return Ok::<_, StoreError>(Some((Bytes::from(page), None)));
        }
        let mut next = Vec::new();
        list.next(&mut next).await?;
        Ok(Some((Bytes::from(page), Some((list, next)))))
    });
    Ok(Body::from_stream(pages))
}

struct List {
    journal: Arc<dyn Store>,
    /// Up to where it was read.
    read: u64,
    /// Up to where it is read at all: a journal that grows as quickly as it is read has no end.
    head: u64,
    any: bool,
}

impl List {
    async fn new(journal: Arc<dyn Store>) -> Result<Self, StoreError> {
        let (_, head) = journal.journal_bounds().await?;
        Ok(Self { journal, read: 0, head, any: false })
    }

    /// Writes the next page.
    async fn next(&mut self, into: &mut Vec<u8>) -> Result<(), StoreError> {
        let rows = self.journal.journal(self.read, PAGE).await?;
        self.read = rows.last().map_or(self.head, |row| row.position);
        let before = rows.iter().take_while(|row| row.position <= self.head);
        for row in before.filter(|row| was_received(&row.message)) {
            if std::mem::replace(&mut self.any, true) {
                into.push(b',');
            }
            into.extend(serde_json::Value::from(row.message.key.as_str()).to_string().into_bytes());
        }
        Ok(())
    }
}

/// Whether the old system had a message for this event: for a new order, and for a word about one.
fn was_received(message: &Message) -> bool {
    if &*message.topic != events::ORDERS || message.headers.get(events::DIALECT) != Some(NAME) {
        return false;
    }
    match events::decode(&message.value).map(|event| event.payload) {
        Ok(Payload::OrderCreated(_)) => true,
        Ok(Payload::OrderProgressed(at)) => at.word.is_some(),
        _ => false, // of what can't be read, `cartwright verify` tells
    }
}
