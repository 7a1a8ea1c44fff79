//! The embedded bus: each service reads the others' journals, and keeps how far it has read in its own store.

use std::sync::Arc;

use bytes::Bytes;
use cartwright_core::ports::{Delivery, Origin, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::workers::inbox::Deliveries;

/// Rows read at once.
const PAGE: usize = 256;

/// A journal to be read: its topic, its store, and the bell that rings when it has grown.
#[derive(Clone)]
pub struct Source {
    /// The topic's short name.
    pub topic: Arc<str>,
    /// Whose journal it is.
    pub store: Arc<dyn Store>,
    /// Its newest position as far as this process knows; only a wake-up, never a promise.
    pub head: watch::Receiver<u64>,
}

/// A delivery, with the reading that it belongs to. After a failed commit the reading starts anew, and what was
/// read before does not count.
pub struct Read {
    /// Which reading.
    pub reading: u64,
    /// What was read.
    pub delivery: Delivery,
}

/// Reads a journal from where `consumer` has settled it, and sends what it finds, until told to stop. Begins again
/// whenever `reading` changes.
pub async fn follow(
    source: Source,
    consumer: Arc<dyn Store>,
    mut reading: watch::Receiver<u64>,
    to: Deliveries,
    stop: CancellationToken,
) {
    loop {
        let number = *reading.borrow_and_update();
        let mut head = source.head.clone();
        let one = async {
            match read_on(&source, &*consumer, number, &mut head, &to).await {
                Ok(()) => false,
                Err(error) => {
                    tracing::warn!(topic = %source.topic, %error, "can't read the journal; trying again");
                    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                    true
                }
            }
        };
        tokio::select! {
            again = one => if !again { return },
            changed = reading.changed() => if changed.is_err() { return },
            () = stop.cancelled() => return,
        }
    }
}

/// Reads on until nobody listens any more.
async fn read_on(
    source: &Source,
    consumer: &dyn Store,
    reading: u64,
    head: &mut watch::Receiver<u64>,
    to: &Deliveries,
) -> Result<(), StoreError> {
    let incarnation = source.store.incarnation();
    let mut position = settled(consumer, &source.topic, incarnation).await?;
    loop {
        head.borrow_and_update();
        let rows = source.store.journal(position, PAGE).await?;
        if rows.is_empty() {
            if head.changed().await.is_err() {
                return Ok(());
            }
            continue;
        }
        for row in rows {
            position = row.position;
            let delivery = Delivery {
                origin: Origin { source: source.topic.clone(), lane: 0, position },
                incarnation,
                key: Bytes::copy_from_slice(row.message.key.as_str().as_bytes()),
                headers: row.message.headers,
                value: row.message.value,
            };
            if !to.send(Read { reading, delivery }).await {
                return Ok(());
            }
        }
    }
}

async fn settled(consumer: &dyn Store, topic: &str, incarnation: Uuid) -> Result<u64, StoreError> {
    let cursors = consumer.cursors().await?;
    let cursor = cursors.into_iter().find(|c| *c.source == *topic && c.incarnation == incarnation);
    Ok(cursor.map_or(0, |cursor| cursor.position))
}
